"""Intervals, windows, bins and splits: the algebra of time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinbergen.errors import DataError
from tinbergen.recordings import (
    Bins,
    Intervals,
    Split,
    Trials,
    nearest,
    split_by_recording,
    split_by_time_blocks,
    split_by_trials,
)
from tinbergen.recordings.splits import WHOLE

TICKS = np.arange(0, 41)  # whole seconds, so that membership can be counted by hand
PROBES = TICKS + 0.5


@st.composite
def some_intervals(draw):
    pairs = draw(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 10)), max_size=6))
    return Intervals([a for a, _ in pairs], [a + b for a, b in pairs])


class TestAlgebra:
    @given(some_intervals(), some_intervals())
    def test_like_sets_of_seconds(self, a, b):
        in_a, in_b = a.contains(PROBES), b.contains(PROBES)
        np.testing.assert_array_equal((a & b).contains(PROBES), in_a & in_b)
        np.testing.assert_array_equal((a | b).contains(PROBES), in_a | in_b)
        np.testing.assert_array_equal((a - b).contains(PROBES), in_a & ~in_b)

    @given(some_intervals(), some_intervals())
    def test_laws(self, a, b):
        assert a & b == b & a
        assert a | b == b | a
        assert (a & b) | (a - b) == a
        assert (a - b) & b == Intervals()
        assert (a | b).duration == pytest.approx(a.duration + b.duration - (a & b).duration)

    @given(some_intervals())
    def test_normal_form(self, a):
        assert (a.starts < a.stops).all()
        assert (a.starts[1:] > a.stops[:-1]).all()

    def test_half_open(self):
        np.testing.assert_array_equal(
            Intervals([1], [2]).contains(np.array([0.9, 1.0, 1.9, 2.0])), [0, 1, 1, 0]
        )

    def test_gap_between_samples(self):
        times = np.concatenate([np.arange(10) * 0.1, 5 + np.arange(10) * 0.1])
        valid = Intervals.of_samples(times)
        np.testing.assert_allclose(valid.starts, [0, 5])
        np.testing.assert_allclose(valid.stops, [1.0, 6.0])

    def test_backwards(self):
        with pytest.raises(DataError, match="must not end before it starts: 3.0 to 2.0"):
            Intervals([3], [2])


class TestWindows:
    @given(
        some_intervals(),
        st.floats(0.1, 7),
        st.sampled_from(["short", "drop", "overlap"]),
    )
    def test_each_moment_once_and_no_gap_crossed(self, valid, length, tail):
        windows = valid.windows(length, tail=tail)
        hits = np.zeros(len(PROBES), dtype=int)
        for start, stop in windows:
            assert 0 < stop - start <= length * (1 + 1e-6)
            assert Intervals([start], [stop]) - valid == Intervals()
            hits += (start <= PROBES) & (stop > PROBES)
        inside = valid.contains(PROBES)
        assert (hits[~inside] == 0).all()
        if tail == "short":
            np.testing.assert_array_equal(hits, inside)
        if tail == "overlap":
            assert (hits[inside] >= 1).all()
        if tail == "drop":
            np.testing.assert_allclose(windows[:, 1] - windows[:, 0], length, rtol=1e-6)

    def test_by_hand(self):
        valid = Intervals([0, 100], [10, 103])
        np.testing.assert_array_equal(valid.windows(4), [[0, 4], [4, 8], [8, 10], [100, 103]])
        np.testing.assert_array_equal(valid.windows(4, tail="overlap")[2], [6, 10])
        np.testing.assert_array_equal(
            valid.windows(4, 2, "drop"), [[0, 4], [2, 6], [4, 8], [6, 10]]
        )

    def test_rounding_makes_no_sliver(self):
        assert len(Intervals([0], [0.1 * 30]).windows(0.1)) == 30

    def test_refuses_zero(self):
        with pytest.raises(DataError, match="> 0 s"):
            Intervals([0], [1]).windows(0)


class TestBins:
    def test_counts_add_up(self):
        times = np.sort(np.random.default_rng(0).uniform(0, 10, 500))
        bins = Bins.inside(Intervals([0, 6], [4.25, 10]), 0.5)
        counts = np.bincount(bins.of(times)[bins.of(times) >= 0], minlength=len(bins))
        assert counts.sum() == ((times < 4.25) | (times >= 6)).sum()
        assert bins.coverage[8] == pytest.approx(0.5)
        assert np.delete(bins.coverage, 8) == pytest.approx(1)
        np.testing.assert_array_equal(bins.interval, [0] * 9 + [1] * 8)

    def test_mean_ignores_nan(self):
        bins = Bins.inside(Intervals([0], [2]), 1.0)
        values = np.array([[1.0], [np.nan], [3.0]])
        np.testing.assert_array_equal(bins.mean(np.array([0, 0.5, 0.9]), values), [[2], [np.nan]])

    def test_nearest(self):
        at = nearest(np.array([0.0, 1.0, 2.0]), np.array([-0.4, 0.5, 1.6, 9]), 0.5)
        np.testing.assert_array_equal(at, [0, 0, 2, -1])


class TestSplits:
    @given(st.integers(3, 40), st.integers(0, 99))
    def test_by_recording(self, n, seed):
        names = [f"r{i}" for i in range(n)]
        split = split_by_recording(names, seed=seed)
        given_out = [name for part in split.parts for name in split[part]]
        assert sorted(given_out) == sorted(names)
        assert all(len(split[part]) >= 1 for part in split.parts)
        assert abs(len(split["train"]) - 0.8 * n) <= 2
        assert split.to_dict() == split_by_recording(names, seed=seed).to_dict()

    def test_by_animal(self):
        animals = {f"{a}{day}": a for a in "abcd" for day in range(3)}
        split = split_by_recording(animals, {"train": 0.5, "test": 0.5}, seed=0)
        for part in split.parts:
            assert len(split[part]) == 6
        assert not {animals[r] for r in split["train"]} & {animals[r] for r in split["test"]}

    def test_too_few(self):
        with pytest.raises(DataError, match="3 parts need at least as many pieces, found 2"):
            split_by_recording(["a", "b"], seed=0)

    @given(st.integers(3, 25), st.floats(0, 2), st.integers(0, 99), st.booleans())
    def test_time_blocks_keep_the_gap(self, n_blocks, gap, seed, holes):
        valid = Intervals([0, 70], [50, 120]) if holes else Intervals([0], [100])
        parts = split_by_time_blocks(valid, gap_s=gap, seed=seed, n_blocks=n_blocks)
        assert set(parts) == {"train", "validation", "test"}
        union = Intervals()
        for name, one in parts.items():
            assert one.duration > 0
            assert one - valid == Intervals()
            union = union | one
            for other_name, other in parts.items():
                if name != other_name:
                    for start, stop in zip(one.starts, one.stops, strict=True):
                        near = Intervals([start - gap + 1e-6], [stop + gap - 1e-6])
                        assert not len(other & near)
        assert union.duration >= valid.duration - gap * n_blocks - 1e-6

    def test_blocks_shorter_than_the_gap(self):
        with pytest.raises(DataError, match="longer than the gap"):
            split_by_time_blocks(np.arange(100) / 100, gap_s=1.0)

    def test_by_trials(self):
        trials = Trials(pd.DataFrame({"start": range(10), "stop": np.arange(10) + 0.5}))
        parts = split_by_trials(trials, {"train": 0.5, "test": 0.5}, seed=1)
        assert len(parts["train"]) == len(parts["test"]) == 5
        assert not len(parts["train"] & parts["test"])

    def test_overlap_is_refused(self):
        with pytest.raises(DataError, match="train and test share .* of 'a'"):
            Split({"train": {"a": WHOLE}, "test": {"a": Intervals([1], [2])}})

    @given(some_intervals())
    def test_round_trip(self, intervals):
        split = Split({"train": {"a": intervals}, "test": {"b": WHOLE}})
        again = Split.from_dict(split.to_dict())
        assert again["train"]["a"] == intervals
        assert again["test"]["b"] == WHOLE

    def test_bad_entry(self):
        with pytest.raises(DataError, match="train, a: expected 'all' or a list"):
            Split.from_dict({"train": {"a": "most"}})
