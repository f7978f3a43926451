"""Aligned animals, an installed cebra, and the real worms."""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from tinbergen.crossanimal import (
    Animal,
    baseline_methods,
    evaluate_embeddings,
    split_at_end,
    training_part,
)
from tinbergen.crossanimal.cebra import cebra_method
from tinbergen.crossanimal.evaluation_probes import logistic
from tinbergen.crossanimal.evaluation_split import split_by_blocks
from tinbergen.errors import ConfigError, DataError
from tinbergen.recordings.lags import lagged
from tinbergen.simulation import SharedActions, simulate_shared_actions

DATA = Path(os.environ.get("TINBERGEN_DATA", Path(__file__).parents[3] / "shared/data"))
WORMS = DATA / "calcium" / "worms"
needs_worms = pytest.mark.skipif(not WORMS.is_dir(), reason="the worms are not there")


@pytest.fixture(scope="module")
def flies():
    settings = SharedActions(animals=4, neurons=40, duration=100.0, gap=1.0)
    neural, pose, labels = {}, {}, {}
    for each in simulate_shared_actions(settings):
        neural[each.name], pose[each.name] = each["neural"].values, each["pose"].values
        names = np.array(each["actions"].classes)
        labels[each.name] = names[each["actions"].codes(each["neural"].times)]
    return neural, pose, labels, {name: split_at_end(1600) for name in neural}


def test_aligned_animals_carry_over(flies):
    neural, pose, labels, splits = flies
    methods = baseline_methods(neural, pose, splits)
    result = evaluate_embeddings(methods, labels, splits, nulls=0, fractions=(1.0,))
    table: Any = result.summary().query("fraction == 1").set_index(["method", "protocol"])
    scores = table["balanced_accuracy"]
    assert scores["CCA by pose", "leave-one-out"] > 0.6
    assert scores["Procrustes by pose", "leave-one-out"] > 0.4
    assert scores["raw, logistic, ±2 frames", "single"] > 0.6
    assert ("raw, logistic, ±2 frames", "leave-one-out") not in table.index


def test_alignment_sees_no_test_frames(flies):
    neural, pose, _, splits = flies
    other = {}
    for name, values in pose.items():
        other[name] = np.where(splits[name].test[:, None], 99.0, values)
    one, two = (baseline_methods(neural, each, splits) for each in (pose, other))
    for a, b in zip(one, two, strict=True):
        for name in splits:
            assert np.array_equal(a.runs[0][name], b.runs[0][name]), a.name


def test_neurons_without_life(flies):
    neural, pose, _, splits = flies
    holes = {name: values.astype(float).copy() for name, values in neural.items()}
    holes["animal1"][:, 3] = np.nan
    holes["animal1"][100:120, 5] = np.nan
    methods = baseline_methods(holes, pose, splits)
    assert methods[0].runs[0]["animal1"].shape[1] == 39 * 5
    assert np.isfinite(methods[0].runs[0]["animal1"]).all()
    holes["animal2"][:] = np.nan
    with pytest.raises(DataError, match="neural, animal 'animal2': no column"):
        baseline_methods(holes, pose, splits)


class FakeCEBRA:
    """What the adapter calls of ``cebra.CEBRA``."""

    def __init__(self, **options):
        self.options = options

    def fit(self, x, y):
        assert isinstance(x, list) and all(len(a) == len(b) for a, b in zip(x, y, strict=True))
        assert all(np.isfinite(each).all() for each in [*x, *y])
        self.widths = [each.shape[1] for each in x]
        self.rows = [len(each) for each in x]

    def transform(self, x, session_id):
        assert x.shape[1] == self.widths[session_id]
        return x[:, : self.options["output_dimension"]]


def test_an_installed_cebra(flies, monkeypatch):
    neural, pose, labels, splits = flies
    times = np.arange(1600) / 16
    animals = [Animal(name, neural[name], times, pose[name], times) for name in neural]
    monkeypatch.setitem(sys.modules, "cebra", None)
    with pytest.raises(ConfigError, match="pip install cebra"):
        cebra_method(animals, splits)
    monkeypatch.setitem(sys.modules, "cebra", types.SimpleNamespace(CEBRA=FakeCEBRA))
    method = cebra_method(animals, splits, seeds=[0, 1], output_dimension=5)
    assert len(method.runs) == 2 and method.runs[0]["animal2"].shape == (1600, 5)
    evaluate_embeddings([method], labels, splits, nulls=0)


class TestTrainingParts:
    def animal(self):
        times = np.arange(100) / 10
        return Animal(
            "a", np.arange(200.0).reshape(100, 2), times, np.arange(100.0)[:, None], times
        )

    def test_nothing_of_the_test_is_left(self):
        split = split_by_blocks(5, 100, test=0.4, gap=3, seed=0)
        part = training_part(self.animal(), split)
        assert np.array_equal(part.neural[:, 0] / 2, np.flatnonzero(split.train))
        assert (
            part.pose is not None and np.isin(part.pose[:, 0], np.flatnonzero(split.train)).all()
        )
        paired = part.paired
        assert np.array_equal(part.pose[part.centre[paired], 0], part.neural[paired, 0] / 2)
        # A window does not span what was taken out.
        runs = 1 + (np.diff(np.flatnonzero(split.train)) > 1).sum()
        assert len(np.unique(part.segment)) == runs

    def test_clocks_that_do_not_overlap(self):
        times = np.arange(100) / 10
        apart = Animal("a", np.zeros((100, 2)), times, np.zeros((100, 1)), times + 1e4)
        with pytest.raises(DataError, match="one clock"):
            training_part(apart, split_at_end(100))


@needs_worms
def test_the_bar_on_worms():
    """Logistic regression on windows of raw traces: 0.778 at scikit-learn's C = 0.001."""
    scores = []
    for path in sorted(WORMS.glob("worm_*.npz")):
        worm = np.load(path)
        traces, truth = worm["traces_original"], (worm["reversal"] > 0).astype(int)
        n = int(0.8 * len(truth))
        window = lagged((traces - traces[:n].mean(0)) / (traces[:n].std(0) + 1e-6), range(-2, 3))
        probe = logistic(window[: n - 10], truth[: n - 10], 1e3)
        scores.append(balanced_accuracy_score(truth[n:], probe.predict(window[n:])))
    assert np.mean(scores) == pytest.approx(0.778, abs=0.015)
