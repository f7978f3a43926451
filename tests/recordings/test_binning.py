"""Bins, counts and means against brute force; smoothing against closed forms and scipy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d

from tinbergen.errors import DataError
from tinbergen.recordings import Bins, Intervals, Spikes, Trials, smooth

spike_times = st.lists(st.integers(-40, 80), max_size=60)  # quarters of a second: many on an edge
pairs = st.lists(st.tuples(st.integers(-10, 20), st.integers(1, 6)), max_size=5)


def some_spikes(quarters: list[int], n_units: int, seed: int) -> Spikes:
    times = np.sort(np.array(quarters, dtype=float) / 4)
    units = np.random.default_rng(seed).integers(0, n_units, len(times))
    return Spikes(times, units, pd.DataFrame(index=range(n_units)), Intervals([-20], [40]))


def brute_counts(spikes: Spikes, starts, stops) -> np.ndarray:
    counts = np.zeros((len(starts), spikes.n_units), int)
    for i, (a, b) in enumerate(zip(starts, stops, strict=True)):
        for time, unit in zip(spikes.times, spikes.units, strict=True):
            counts[i, unit] += a <= time < b
    return counts


class TestCounts:
    @given(spike_times, st.integers(1, 4), pairs, st.sampled_from([0.25, 0.3, 1.0, 7.0]))
    def test_like_counting_one_by_one(self, quarters, n_units, spans, width):
        spikes = some_spikes(quarters, n_units, 0)
        valid = Intervals([a for a, _ in spans], [a + b for a, b in spans])
        bins = Bins.inside(valid, width)
        counts = spikes.bin(bins)
        np.testing.assert_array_equal(counts, brute_counts(spikes, bins.starts, bins.stops))
        assert counts.dtype == np.int32
        assert counts.sum() == valid.contains(spikes.times).sum()

    @given(spike_times, st.lists(st.tuples(st.integers(-50, 90), st.integers(0, 40)), max_size=8))
    def test_bins_that_overlap_or_leave_gaps(self, quarters, spans):
        spikes = some_spikes(quarters, 3, 1)
        starts = np.array([a for a, _ in spans], dtype=float) / 4
        stops = starts + np.array([b for _, b in spans], dtype=float) / 4
        counts = spikes.bin(Bins(starts, stops, 1.0, np.arange(len(starts))))
        np.testing.assert_array_equal(counts, brute_counts(spikes, starts, stops))

    def test_equal_bins_in_blocks_as_by_assigning_each_spike(self):
        rng = np.random.default_rng(0)
        times = np.sort(rng.uniform(0, 100, 50_000).round(2))
        spikes = Spikes(times, rng.integers(0, 300, 50_000), valid=Intervals([0], [100]))
        bins = Bins.inside(spikes.valid, 0.01)
        assert len(bins) * 300 > 2**20  # several blocks
        at = bins.of(times)
        expected = np.zeros((len(bins), 300), int)
        np.add.at(expected, (at[at >= 0], spikes.units[at >= 0]), 1)
        np.testing.assert_array_equal(spikes.bin(bins), expected)

    def test_nothing_to_count(self):
        empty = Bins.inside(Intervals(), 1.0)
        assert some_spikes([1], 2, 0).bin(empty).shape == (0, 2)
        bins = Bins.inside(Intervals([0], [2]), 1.0)
        assert Spikes.of({}, valid=Intervals([0], [2])).bin(bins).shape == (2, 0)
        silent = Spikes.of({"a": [], "b": []}, valid=Intervals([0], [2]))
        np.testing.assert_array_equal(silent.bin(bins), np.zeros((2, 2)))

    def test_too_many_for_the_type(self):
        spikes = Spikes.of({"a": np.linspace(0, 0.9, 300)}, valid=Intervals([0], [1]))
        bins = Bins.inside(spikes.valid, 1.0)
        assert spikes.bin(bins, np.uint16)[0, 0] == 300
        with pytest.raises(DataError, match="holds 300 spikes .* more than uint8 can count"):
            spikes.bin(bins, np.uint8)

    def test_only_some_units(self):
        spikes = Spikes.of({"a": [0.1, 0.4], "b": [0.2], "c": [0.3]})
        some = spikes.only([2, 0])
        assert list(some.table.index) == ["c", "a"]
        np.testing.assert_array_equal(some.train("a"), [0.1, 0.4])
        assert list(spikes.only(np.array([False, True, False])).times) == [0.2]

    def test_refuses_damaged_times(self):
        with pytest.raises(DataError, match="sample 1 is at 3.000000 s, the next at 2.000000"):
            Spikes(np.array([1.0, 3.0, 2.0]), np.array([0, 0, 0]))
        with pytest.raises(DataError, match="unit 'b' has 1 spikes without a finite time"):
            Spikes.of({"a": [1.0], "b": [1.0, np.nan]})


class TestMeans:
    @given(
        st.lists(st.tuples(st.integers(0, 40), st.sampled_from([1.0, 2.5, np.nan])), max_size=40),
        st.sampled_from([0.25, 0.5, 3.0, 10.0]),
    )
    def test_like_averaging_one_by_one(self, samples, width):
        samples = sorted(samples, key=lambda pair: pair[0])
        times = np.array([t / 4 for t, _ in samples])
        values = np.array([[v, 2.0] for _, v in samples]).reshape(-1, 2)
        bins = Bins.inside(Intervals([0, 6], [5, 10]), width)
        means = bins.mean(times, values)
        for i, (a, b) in enumerate(zip(bins.starts, bins.stops, strict=True)):
            for column in range(2):
                some = values[(times >= a) & (times < b), column]
                some = some[np.isfinite(some)]
                expected = some.mean() if len(some) else np.nan
                np.testing.assert_allclose(means[i, column], expected)

    def test_between_samples(self):
        bins = Bins.inside(Intervals([0], [5]), 1.0)  # middles 0.5, 1.5, ...
        values = np.array([[0.0, 1], [2, 2], [4, np.nan]])
        between = bins.interpolate(np.array([1.0, 2.0, 4.0]), values)
        np.testing.assert_allclose(between[:, 0], [np.nan, 1, 2.5, 3.5, np.nan])
        np.testing.assert_allclose(between[:, 1], [np.nan, 1.5, np.nan, np.nan, np.nan])
        exact = Bins.inside(Intervals([0], [2]), 1.0).interpolate(np.array([0.5]), np.array([3.0]))
        np.testing.assert_allclose(exact, [3, np.nan])
        assert np.isnan(bins.interpolate(np.zeros(0), np.zeros((0, 2)))).all()


class TestTrials:
    @given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 6)), max_size=7))
    def test_overlaps_like_pair_by_pair(self, spans):
        table = pd.DataFrame({"start": [a for a, _ in spans], "stop": [a + b for a, b in spans]})
        trials = Trials(table.astype(float))
        a, b = trials.start, trials.stop
        share = (a[:, None] < b) & (a < b[:, None]) & (b > a)[:, None] & (b > a)
        np.fill_diagonal(share, False)
        np.testing.assert_array_equal(trials.overlapping, share.any(axis=1))
        bins = Bins.inside(Intervals([0], [20]), 1.0)
        middle = bins.centers[:, None]
        last = [max(np.flatnonzero(row), default=-1) for row in (a <= middle) & (middle < b)]
        np.testing.assert_array_equal(trials.bin(bins), last)

    def test_codes(self):
        table = {"start": [0, 1, 2, 3], "stop": [1, 2, 3, 4]}
        trials = Trials(
            pd.DataFrame(table | {"choice": [1, -1, np.nan, 1], "block": [0.8, 0.2, 0.5, 0.5]})
        )
        codes, values = trials.codes("choice")
        assert codes.tolist() == [1, 0, -1, 1] and values == [-1, 1]
        assert trials.codes("block")[0].tolist() == [2, 0, 1, 1]
        with pytest.raises(DataError, match="no column 'side'; they have start, stop, choice"):
            trials.codes("side")

    def test_refuses_what_is_not_a_time(self):
        with pytest.raises(DataError, match=r"row 2 of 2 has no start or no stop: nan to 2"):
            Trials(pd.DataFrame({"start": [0, np.nan], "stop": [1, 2]}))


class TestSmooth:
    def test_pulse(self):
        pulse = np.zeros(41)
        pulse[20] = 1
        out = smooth(pulse, 2)
        assert out[20] == pytest.approx(0.1994746, abs=1e-7)
        assert out[[18, 22]] == pytest.approx([0.1209875] * 2, abs=1e-7)
        assert out.sum() == pytest.approx(1)
        assert pulse.sum() == 1 and pulse[20] == 1
        np.testing.assert_array_equal(smooth(pulse, 0), pulse)

    @given(st.floats(0.3, 5), st.integers(0, 3))
    def test_like_scipy_inside(self, sigma, seed):
        values = np.random.default_rng(seed).normal(size=(80, 2))
        reach = int(4 * sigma + 0.5)
        expected = gaussian_filter1d(values, sigma, axis=0)[reach : 80 - reach]
        np.testing.assert_allclose(smooth(values, sigma)[reach : 80 - reach], expected)

    def test_edges_segments_and_missing(self):
        constant = np.full((30, 1), 3.0)
        np.testing.assert_allclose(smooth(constant, 4), constant)
        segments = np.repeat([0, 1, 0], 10)
        steps = np.repeat([1.0, 5.0, 9.0], 10)
        np.testing.assert_allclose(smooth(steps, 3, segments), steps)
        steps[3] = np.nan
        out = smooth(steps, 3, segments)
        assert np.flatnonzero(np.isnan(out)).tolist() == [3]
        np.testing.assert_allclose(np.delete(out, 3), np.delete(steps, 3))

    def test_trials_are_segments(self):
        values = np.random.default_rng(0).normal(size=(3, 12, 2))
        expected = np.stack([smooth(trial, 1.5) for trial in values])
        np.testing.assert_allclose(smooth(values, 1.5), expected)
        flat = smooth(values.reshape(36, 2), 1.5, np.repeat([0, 1, 2], 12))
        np.testing.assert_allclose(flat.reshape(3, 12, 2), expected)

    def test_refuses(self):
        with pytest.raises(DataError, match="sigma_bins >= 0"):
            smooth(np.zeros(3), -1)
        with pytest.raises(DataError, match="a segment for each of 3 bins"):
            smooth(np.zeros(3), 1, [0, 1])
        assert smooth(np.zeros((0, 2)), 1).shape == (0, 2)
