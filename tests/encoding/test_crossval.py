"""Folds: every item tested once, and nothing to train on near what is tested."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinbergen.encoding.crossval import folds_to_dict, make_folds
from tinbergen.errors import DataError


def apart(starts, stops, one, other):
    """Shortest time between two groups of items."""
    return min(
        max(starts[i] - stops[j], starts[j] - stops[i])
        for i in np.flatnonzero(one)
        for j in np.flatnonzero(other)
    )


@given(st.integers(0, 1000), st.integers(2, 6), st.floats(0, 2))
def test_blocks_are_apart(seed, n_folds, gap):
    rng = np.random.default_rng(seed)
    starts = np.cumsum(rng.uniform(0.1, 1.0, 80))
    stops = np.minimum(starts + 0.1, np.append(starts[1:], np.inf))
    folds = make_folds(starts, stops, n_folds, gap=gap)
    assert (np.sum([f.test for f in folds], axis=0) == 1).all()
    for fold in folds:
        assert not (fold.train & fold.test).any()
        assert (fold.validate <= fold.train).all()
        assert (np.diff(np.flatnonzero(fold.test)) == 1).all()
        assert apart(starts, stops, fold.train, fold.test) >= gap - 1e-9
        inner = fold.train & ~fold.validate
        assert apart(starts, stops, inner, fold.validate) >= gap - 1e-9


def test_overlapping_trials_keep_their_distance():
    starts = np.arange(20.0)
    stops = starts + np.where(np.arange(20) == 7, 6.0, 0.5)  # trial 7 reaches into the next ones
    for fold in make_folds(starts, stops, 4, gap=0.2):
        if fold.test[7]:
            assert not fold.train[8:13].any()


def test_random_folds_hold_classes_in_equal_shares():
    classes = np.repeat([0, 1], [40, 20])
    times = np.arange(60.0)
    folds = make_folds(times, times + 1, 5, kind="random", strata=classes, seed=3)
    for fold in folds:
        assert np.bincount(classes[fold.test]).tolist() == [8, 4]
        assert not (fold.train & fold.test).any()
        assert (fold.validate <= fold.train).all()
    again = make_folds(times, times + 1, 5, kind="random", strata=classes, seed=3)
    assert all((a.test == b.test).all() for a, b in zip(folds, again, strict=True))


def test_too_little_is_said():
    times = np.arange(6.0)
    with pytest.raises(DataError, match="Use fewer folds"):
        make_folds(times, times + 1, 5)
    with pytest.raises(DataError, match="shorter gap"):
        make_folds(times, times + 1, 3, gap=100.0)
    with pytest.raises(DataError, match="'blocks' or 'random'"):
        make_folds(times, times + 1, 2, kind="shuffled")  # type: ignore[arg-type]


def test_splits_are_plain_values():
    times = np.arange(20) * 0.5
    folds = make_folds(times, times + 0.5, 2, gap=1.0)
    value = folds_to_dict(folds, times, times + 0.5, kind="blocks", gap=1.0, unit="bins")
    assert json.loads(json.dumps(value)) == value
    assert value["folds"][0]["test"] == [[0.0, 5.0]]
