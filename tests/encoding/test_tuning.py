"""Bumps over the range of a signal, against a partition of unity and simulated place cells."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinbergen as tb
from tinbergen.encoding.tuning import tuning_bumps
from tinbergen.errors import ConfigError


@given(st.integers(2, 15), st.integers(1, 3), st.integers(0, 9))
def test_known_values_have_bumps_that_sum_to_one(n, channels, seed):
    values = np.random.default_rng(seed).normal(size=(40, channels)) * 7 + 3
    values[5] = np.nan
    bumps = tuning_bumps(values, n)
    parts = 1 if channels == 2 else channels
    assert bumps.shape == (40, n * n if channels == 2 else n * channels)
    assert np.isnan(bumps[5]).all()
    known = np.delete(bumps, 5, axis=0)
    assert (known >= 0).all() and (known <= 1).all()
    np.testing.assert_allclose(known.sum(axis=1), parts)


def test_tiles_of_a_plane():
    grid = np.stack(np.meshgrid([0.0, 1.0, 2.0], [0.0, 5.0, 10.0], indexing="ij"), axis=2)
    tiles = tuning_bumps(np.repeat(grid.reshape(-1, 2), 300, axis=0), 3)[::300]
    np.testing.assert_allclose(tiles, np.eye(9), atol=1e-12)


def test_a_constant_says_nothing():
    assert np.ptp(tuning_bumps(np.full((4, 1), 2.0), 5)) == 0


def test_place_cells_are_explained_by_bumps_and_not_by_the_place_itself():
    rng = np.random.default_rng(0)
    times = np.arange(0, 400, 0.1)
    place = 50 + 50 * np.sin(times / 3) + rng.normal(size=len(times))
    fields = np.exp(-((place[:, None] - np.array([30.0, 50.0, 70.0])) ** 2) / 150)
    track = tb.Recording("track", {
        "place": tb.Series(times, place, ("x",), "cm"),
        "counts": tb.Series(times, rng.poisson(0.05 + fields), ("a", "b", "c"), "spikes/bin"),
    })  # fmt: skip
    plain, tuned = (
        tb.encode(track, features=features, target="counts", model="glm").headline.value
        for features in ("place", "place:tuned")
    )
    assert tuned is not None and plain is not None
    assert tuned > plain + 0.2
    with pytest.raises(ConfigError, match="bumps are features"):
        tb.decode(track, features="counts", target="place:tuned")


def test_tiles_of_a_plane_do_not_crowd_out_a_narrow_set():
    rng = np.random.default_rng(0)
    times = np.arange(0, 300, 0.1)
    x, y, speed = (
        np.convolve(rng.normal(size=len(times)), np.ones(20) / 4.5, "same") for _ in range(3)
    )
    counts = rng.poisson(np.exp(speed[:, None] * [0.8, -0.8] - 0.5))
    streams = {
        "place": tb.Series(times, np.stack([x, y], axis=1)),
        "speed": tb.Series(times, speed),
        "counts": tb.Series(times, counts, unit="spikes/bin"),
    }
    study: Any = {"features": "place:tuned,speed", "target": "counts", "bin": 0.1, "folds": 3}
    recording, options = tb.Recording("rat", streams), {"lags": (0, 0)}
    result = tb.encode(recording, compare=True, options=options, **study)
    mean: Any = result.scores.groupby("features")["value"].mean()
    assert mean["speed"] > 0.3
    assert mean["all"] > 0.75 * mean["speed"]
    joint = tb.encode(recording, options={**options, "groups": None}, **study)
    assert joint.headline.value is not None
    assert joint.headline.value < 0.5 * mean["all"]
