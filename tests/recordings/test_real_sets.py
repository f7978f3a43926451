"""Every real set loads through the public readers, and carries what its README says."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import balanced_accuracy_score, r2_score
from sklearn.model_selection import GroupKFold, KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tinbergen.recordings import Bins, Intervals, Labels, Recording, Series, Spikes, Trials

NAMES = [
    *("counts_8targets", "hd", "human_mtl", "m1", "sleep", "nelpy", "ofc", "pmd", "rat_lever"),
    *("ratgps", "steinmetz", "miniscope", "songbird", "v1", "worms", "linear_tracks"),
]


@pytest.fixture(scope="module")
def real_sets(real_data) -> ModuleType:
    file = Path(__file__).parents[2] / "benchmarks" / "real_sets.py"
    spec = importlib.util.spec_from_file_location("real_sets", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["real_sets"] = module
    spec.loader.exec_module(module)
    return module


def first(real_sets, real_data, name: str) -> Recording:
    return next(iter(real_sets.load(name, real_data, first=1).values()))


def test_every_folder_has_a_set(real_sets, real_data):
    folders = {real_data / each.folder for each in real_sets.SETS.values()}
    assert set(real_sets.SETS) == set(NAMES)
    assert folders == {f for kind in ("neural", "calcium") for f in (real_data / kind).iterdir()}


@pytest.mark.parametrize("name", NAMES)
def test_loads_and_names_what_is_there(real_sets, real_data, name):
    chosen = real_sets.SETS[name]
    recordings = real_sets.load(name, real_data, first=2)
    for recording in recordings.values():
        for stream in recording.streams.values():
            if isinstance(stream, Series):
                assert stream.valid.contains(stream.times).all()
            if isinstance(stream, Spikes):
                assert stream.valid.contains(stream.times[:-1]).all() and len(stream)
    recording = next(iter(recordings.values()))
    assert chosen.neural in recording
    columns = {c for s in recording.streams.values() if isinstance(s, Trials) for c in s.table}
    for target in chosen.targets:
        stream = target.name.split(":")[0].split("/")[0]
        assert stream in recording or target.name in columns
        assert target.align is None or target.align in columns
    for feature in chosen.features:
        assert feature.split(":")[0].split("/")[0] in {*recording.streams, *columns}


def test_what_the_readmes_count(real_sets, real_data):
    session = first(real_sets, real_data, "steinmetz")
    counts, trials = session["counts"], session["trials"]
    assert counts.values.shape == (114 * 40, 734) and len(counts.valid) == len(trials) == 114
    assert counts.table["region"].iloc[:2].tolist() == ["ACA", "MOs"] and session.subject == "Cori"
    assert trials.start[0] == pytest.approx(71.2077, abs=1e-4)
    lever = first(real_sets, real_data, "rat_lever")
    assert isinstance(lever["state"], Labels)
    assert lever["state"].observed.duration == pytest.approx(150.0, abs=0.5)  # 1500 of 13145 bins
    song = first(real_sets, real_data, "songbird")
    assert song["song"].values.shape == (4440, 141) and song["traces"].values.shape == (666, 75)
    maze = first(real_sets, real_data, "miniscope")
    assert (maze["traces"].valid & maze["pose"].valid).duration == pytest.approx(459, abs=1)
    track = first(real_sets, real_data, "nelpy")
    assert np.isnan(track["position"].values).any(axis=1).sum() <= 1  # lost: 0 or 1 px
    assert np.nanmin(track["position"].values) > 1 and track["spikes"].n_units == 31


def test_counts_are_whole(real_sets, real_data):
    for name in ("m1", "steinmetz", "ratgps", "hd"):
        values = first(real_sets, real_data, name)["counts"].values
        assert np.array_equal(values, np.rint(values)) and values.sum() > 1000


def _r2(X, Y, folds, groups=None) -> float:
    model = make_pipeline(StandardScaler(), Ridge(100.0))
    return r2_score(Y, cross_val_predict(model, X, Y, cv=folds, groups=groups))


def _balanced(X, y, folds) -> float:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=200))
    return balanced_accuracy_score(y, cross_val_predict(model, X, y, cv=folds))


def test_targets_can_be_read_out(real_sets, real_data):
    """The streams fit each other in time: plain linear models come near the READMEs' figures."""
    reach = first(real_sets, real_data, "m1")
    trial = reach["trials"].bin(Bins.inside(reach["counts"].valid, 0.1))
    assert (trial >= 0).all() and len(trial) == len(reach["counts"])
    got = _r2(reach["counts"].values, reach["velocity"].values, GroupKFold(5), trial)
    assert got > 0.5
    track = first(real_sets, real_data, "nelpy")
    binned = track.only("spikes", "position").bin(0.25)
    known = np.isfinite(binned["position"]).all(axis=1)
    assert _r2(np.sqrt(binned["spikes"])[known], binned["position"][known], KFold(5)) > 0.25
    head = first(real_sets, real_data, "hd")
    adn = (head["counts"].table["region"] == "ADn").to_numpy()
    counts = head["counts"].values[:91400, adn].reshape(-1, 8, adn.sum()).sum(1)  # 200 ms
    angle = head["head_direction"].values[:91400].reshape(-1, 8)[:, 4]
    assert _r2(counts, np.stack([np.cos(angle), np.sin(angle)], 1), KFold(5)) > 0.75


def test_windows_of_trials(real_sets, real_data):
    reach = first(real_sets, real_data, "pmd")
    start, part = reach["trials"].start, reach["trials"].table["part"].to_numpy()
    target = reach["trials"].table["target"].to_numpy()

    def counts(begin, end):
        windows = Intervals(start + begin, start + end)
        bins = Bins(windows.starts, windows.stops, end - begin, np.arange(len(start)))
        return np.sqrt(reach["spikes"].bin(bins))

    model = LogisticRegression(C=0.01, max_iter=200)
    for begin, end, low, high in ((0.2, 0.4, 0.85, 1.0), (0.0, 0.15, 0.0, 0.2)):
        X = counts(begin, end)
        model.fit(X[part == "train"], target[part == "train"])
        assert low < (model.predict(X) == target)[part == "test"].mean() < high


def test_repair_of_times_out_of_order(real_sets):
    times = np.array([0.0, 1, 9, 2, 3, 3, -5, 4])
    assert real_sets._in_order(times).tolist() == [1, 1, 0, 1, 1, 1, 0, 1]
    assert real_sets._in_order(np.zeros(0)).tolist() == []
