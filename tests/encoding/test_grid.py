"""Common bins: counts and means against plain loops; nothing crosses a gap."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinbergen.encoding.grid import Grid, counts_on, mean_on, runs
from tinbergen.errors import DataError
from tinbergen.recordings import Intervals, Spikes, Trials


def test_continuous_bins_leave_out_the_rest_and_know_their_segments():
    grid = Grid.over(Intervals([0.0, 5.0], [1.05, 5.5]), 0.25)
    assert np.allclose(grid.starts, [0, 0.25, 0.5, 0.75, 5.0, 5.25])
    assert grid.segment.tolist() == [0, 0, 0, 0, 1, 1]
    assert grid.left_out == {"seconds at the ends": pytest.approx(0.05)}


@given(st.integers(0, 10_000), st.sampled_from([1, 2, 3]))
def test_counts_are_added_up_like_a_loop(seed, join):
    rng = np.random.default_rng(seed)
    kept = rng.random(40) < 0.9
    times = np.arange(40)[kept] * 0.1
    counts = rng.poisson(1.0, (len(times), 2))
    valid = Intervals([-1.0], [10.0])
    grid = Grid.of_samples(times, 0.1, valid, join)
    got = counts_on(grid, times, counts, 0.1)
    assert np.isfinite(got).all()
    for row in range(len(grid)):
        inside = (times > grid.starts[row] - 0.05) & (times < grid.stops[row] - 0.05)
        assert inside.sum() == join
        assert (counts[inside].sum(axis=0) == got[row]).all()
    neighbours = np.diff(grid.starts) > join * 0.1 + 0.05
    assert (neighbours <= (np.diff(grid.segment) > 0)).all()


def test_counts_in_overlapping_windows_are_refused():
    with pytest.raises(DataError, match="overlap"):
        Grid.of_samples(np.array([0.0, 0.05, 0.1]), 0.1, Intervals([0], [1]))


def test_counts_do_not_fit_finer_bins():
    grid = Grid.over(Intervals([0], [1]), 0.05)
    with pytest.raises(DataError, match="multiple"):
        counts_on(grid, np.arange(10) * 0.1, np.ones((10, 1)), 0.1)


@given(st.integers(0, 10_000))
def test_means_equal_a_loop(seed):
    rng = np.random.default_rng(seed)
    times = np.sort(rng.uniform(0, 4, 30))
    values = rng.normal(size=(30, 2))
    values[rng.random((30, 2)) < 0.2] = np.nan
    grid = Grid.over(Intervals([0.0], [4.0]), 0.5)
    got = mean_on(grid, times, values, Intervals([0.0], [4.0]))
    for row in range(len(grid)):
        inside = (times >= grid.starts[row]) & (times < grid.stops[row])
        for c in range(2):
            known = values[inside, c][np.isfinite(values[inside, c])]
            if inside.any():
                expected = known.mean() if len(known) else np.nan
                assert got[row, c] == pytest.approx(expected, nan_ok=True, rel=1e-5, abs=1e-6)


def test_a_slow_signal_is_interpolated_but_not_over_a_gap():
    times = np.array([0.0, 0.2, 0.4, 0.6, 5.0, 5.2])
    valid = Intervals.of_samples(times)
    values = (10 * times)[:, None]
    got = mean_on(Grid.over(Intervals([0.0], [5.2]), 0.05), times, values, valid)[:, 0]
    centers = np.arange(0.025, 5.2, 0.05)
    empty = ~np.isin(np.arange(len(centers)), np.round(times / 0.05).astype(int))
    inside = (centers < 0.6) & empty
    assert np.allclose(got[inside], 10 * centers[inside], atol=1e-4)
    assert np.isnan(got[(centers > 0.7) & (centers < 4.9)]).all()


def test_a_memory_map_is_read_in_pieces(tmp_path, monkeypatch):
    import tinbergen.encoding.grid as grid_module

    monkeypatch.setattr(grid_module, "_VALUES_AT_ONCE", 64)
    values = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float16)
    np.save(tmp_path / "v.npy", values)
    times = np.arange(500) * 0.01
    grid = Grid.over(Intervals([0.0], [5.0]), 0.05)
    got = mean_on(grid, times, np.load(tmp_path / "v.npy", mmap_mode="r"), Intervals([0], [5]))
    assert np.allclose(got, values.astype(float).reshape(100, 5, 3).mean(axis=1), atol=1e-6)


def test_windows_around_trials_hold_the_spikes_of_half_open_bins():
    trials = Trials(
        pd.DataFrame(
            {
                "start": [0.0, 2.0, 4.0, 6.0],
                "stop": [1.0, 3.0, 5.0, 7.0],
                "go": [0.5, np.nan, 4.5, 9],
            }
        )
    )
    spikes = Spikes.of({0: [0.4, 0.5, 0.7, 4.5], 1: []}, valid=Intervals([0], [8]))
    grid = Grid.around(trials, "go", 0.2, 0.4, 0.2, {"spikes": spikes})
    assert grid.per_trial == 3
    assert grid.trial.tolist() == [0, 0, 0, 2, 2, 2]
    assert sum(grid.left_out.values()) == 2
    counts = np.concatenate([spikes.bin(bins)[:, 0] for _, bins in grid.pieces()])
    assert counts.tolist() == [1, 1, 1, 0, 1, 0]


def test_whole_trials_hold_rates():
    trials = Trials(pd.DataFrame({"start": [0.0, 2.0, 4.0], "stop": [1.0, 4.0, 8.5]}))
    grid = Grid.whole_trials(trials, Intervals([0.0], [8.0]))
    assert grid.trial.tolist() == [0, 1]
    assert sum(grid.left_out.values()) == 1
    times = np.arange(80) * 0.1
    counts = counts_on(grid, times, np.ones((80, 1)), 0.1)
    assert counts.ravel().tolist() == pytest.approx([15.0, 15.0])  # per 1.5 s, the median length


def test_taking_rows_parts_neighbours():
    grid = Grid.over(Intervals([0.0], [1.0]), 0.1)
    rows = np.ones(10, bool)
    rows[4] = False
    assert grid.take(rows).segment.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1]
    assert runs(np.array([], int), grid.segment).tolist() == []


def test_small_changes_of_large_numbers_survive():
    times = np.arange(100) * 0.1
    values = (1e8 + np.sin(times))[:, None]  # steps of float32 at 1e8: 8
    grid = Grid.over(Intervals([0.0], [10.0]), 0.1)
    found = mean_on(grid, times, values, Intervals([0.0], [10.0]))
    assert np.allclose(found, values, atol=1e-6)
    embedding = values.astype(np.float32)
    assert mean_on(grid, times, embedding, Intervals([0.0], [10.0])).dtype == np.float32
