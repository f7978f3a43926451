"""Clocks: maps, what they do to streams, and finding them from pulses."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinbergen.errors import DataError
from tinbergen.recordings import (
    ArrayVideo,
    Clock,
    Intervals,
    Keypoints,
    Labels,
    Recording,
    Series,
    Spikes,
    Trials,
    align_clocks,
)


def pulse_trains(
    seed: int = 0,
    n: int = 300,
    *,
    jitter: float = 0.3,
    offset: float = 3600.0,
    ppm: float = 80.0,
    lost: float = 0.1,
    extra: int = 20,
    noise: float = 2e-4,
    bend: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """One pulse about every second, on two clocks; some lost on each, others extra."""
    rng = np.random.default_rng(seed)
    true = np.cumsum(1 + jitter * rng.uniform(-1, 1, n))
    other = offset + true * (1 + ppm * 1e-6) + bend * np.sin(2 * np.pi * true / n)
    other += rng.normal(0, noise, n)
    spurious = offset + rng.uniform(0, true[-1], extra)
    return true[rng.random(n) >= lost], np.sort(np.append(other[rng.random(n) >= lost], spurious))


class TestClock:
    @given(st.floats(-1e4, 1e4), st.floats(-500, 500), st.lists(st.floats(-1e4, 1e5), max_size=9))
    def test_there_and_back(self, offset, ppm, times):
        clock = Clock.affine(offset, ppm)
        there = clock.times(times)
        np.testing.assert_allclose(there, offset + np.array(times) * (1 + ppm * 1e-6), atol=1e-6)
        np.testing.assert_allclose(clock.inverse().times(there), times, atol=1e-6)
        assert clock.drift_ppm == pytest.approx(ppm, abs=1e-4)
        assert clock.offset == pytest.approx(offset)

    def test_pieces(self):
        clock = Clock(np.array([0.0, 10, 20]), np.array([0.0, 10, 30]))
        np.testing.assert_allclose(clock.times([-5, 5, 15, 25, np.nan]), [-5, 5, 20, 40, np.nan])
        np.testing.assert_allclose(clock.drifts_ppm, [0, 1e6])

    def test_refuses(self):
        with pytest.raises(DataError, match="must run forwards"):
            Clock(np.array([0.0, 1]), np.array([1.0, 1]))
        with pytest.raises(DataError, match="two or more moments"):
            Clock(np.array([0.0]), np.array([1.0]))
        with pytest.raises(DataError, match="found a ndarray; use times"):
            Clock.affine(1).apply(np.zeros(3))


class TestApply:
    def test_every_stream(self, tmp_path):
        times = np.arange(5.0)
        with h5py.File(tmp_path / "v.h5", "w") as file:
            file["video"] = np.zeros((5, 4, 4), np.uint8)
        streams = {
            "spikes": Spikes.of({"a": times}, valid=Intervals([0], [5])),
            "wheel": Series(times, times),
            "pose": Keypoints(times, np.zeros((5, 1, 1, 2)), np.ones((5, 1, 1)), ("n",), ("m",)),
            "labels": Labels(pd.DataFrame({"start": [1.0], "stop": [2.0], "label": ["rear"]})),
            "trials": Trials(pd.DataFrame({"start": [1.0], "stop": [2.0]})),
            "video": ArrayVideo(tmp_path / "v.h5", times=times),
        }
        here = Recording("a", streams)
        there = Clock.affine(100.0, 1e5).apply(here)
        for name in ("spikes", "wheel", "pose", "video"):
            np.testing.assert_allclose(there[name].times, 100 + 1.1 * times)
            np.testing.assert_array_equal(here[name].times, times)
        assert there["spikes"].valid == Intervals([100], [105.5])
        assert there["labels"].table["start"].tolist() == pytest.approx([101.1])
        assert there["labels"].observed.stops == pytest.approx([102.2])
        assert there["trials"].stop == pytest.approx([102.2])
        clip = Clock.affine(100.0, 1e5).apply(here["video"].between(2, 4))
        np.testing.assert_allclose(clip.times, [102.2, 103.3])

    def test_only_the_streams_of_that_clock(self):
        series = Series(np.array([0.0, 1.0]), np.array([0, 1]))
        both = {"a": series, "b": series}
        moved = Clock.affine(5.0).recording(Recording("r", both), ["b"])
        assert list(moved.streams) == ["a", "b"]
        assert moved["a"].times[0] == 0 and moved["b"].times[0] == 5

    def test_event_columns_of_trials(self):
        table = {"start": [0.0, 10, 20], "stop": [5.0, 15, 25], "contrast": [0.5, 0.25, 1.0]}
        trials = Trials(pd.DataFrame(table | {"stim": [1.0, np.nan, 21], "choice": [1, 2, 1]}))
        moved = Clock.affine(100.0).apply(trials).table
        assert moved["stim"].dropna().tolist() == [101, 121]
        assert moved["contrast"].tolist() == [0.5, 0.25, 1.0]
        unsure = Trials(trials.table.assign(stim=[1.0, 11, 26]))
        with pytest.raises(DataError, match="'stim' .* hold times. 2 of 3 values lie within"):
            Clock.affine(100.0).apply(unsure)
        named = Clock.affine(100.0).trials(unsure, events=["stim"])
        assert named.table["stim"].tolist() == [101, 111, 126]


class TestAlign:
    @settings(max_examples=15)
    @given(st.integers(0, 1000), st.sampled_from([-90_000.0, 0.25, 3600.0]), st.floats(-200, 200))
    def test_offset_and_drift_are_found(self, seed, offset, ppm):
        source, target = pulse_trains(seed, offset=offset, ppm=ppm)
        clock = align_clocks(source, target)
        moments = np.array([0.0, 150.0, 300.0])
        truth = offset + moments * (1 + ppm * 1e-6)
        np.testing.assert_allclose(clock.times(moments), truth, atol=3e-4)
        assert clock.drift_ppm == pytest.approx(ppm, abs=1)
        assert 0.7 * 300 < clock.n_matched < 0.9 * 300 and clock.worst_ms < 1
        assert clock.n_source == len(source) and clock.n_target == len(target)

    def test_drift_that_changes(self):
        source, target = pulse_trains(bend=0.04, n=600)
        with pytest.raises(DataError, match=r"one straight line: \d+ of \d+ .* goes from -\d\d\d"):
            align_clocks(source, target)
        clock = align_clocks(source, target, piece=30.0)
        assert clock.worst_ms < 2
        moments = source[(source > 20) & (source < 580)]
        truth = 3600 + moments * (1 + 80e-6) + 0.04 * np.sin(2 * np.pi * moments / 600)
        assert np.abs(clock.times(moments) - truth).max() < 1e-3

    def test_constant_intervals_do_not_tell(self):
        source, target = pulse_trains(jitter=0.0, lost=0.0, extra=0)
        with pytest.raises(DataError, match="offset of the two clocks is not certain: 3600"):
            align_clocks(source, target)
        each: list[dict[str, Any]] = [{"offset": 3600.3}, {"one_to_one": True}]
        for options in each:
            clock = align_clocks(source, target, **options)
            assert clock.offset == pytest.approx(3600, abs=1e-3) and clock.n_matched == 300

    def test_a_gap_is_said(self):
        source, target = pulse_trains(n=400, lost=0.01)
        clock = align_clocks(source, target[(target < 3700) | (target > 3760)])
        assert len(clock.gaps) == 1
        assert clock.gaps.duration == pytest.approx(60, abs=4)
        assert "1 gaps" in str(clock) and "ppm" in str(clock)
        assert clock.inverse().gaps.starts == pytest.approx(clock.times(clock.gaps.starts))

    def test_unrelated_pulses(self):
        source, _ = pulse_trains(0)
        _, target = pulse_trains(1)
        with pytest.raises(DataError, match=r"do not match: at best \d+ of \d+ and \d+, to 5 ms"):
            align_clocks(source, target)

    @pytest.mark.parametrize(
        ("source", "target", "options", "message"),
        [
            ([0, 1, 2], [0, 1, 2], {}, "Expected 5 or more pulses"),
            ([0, 1, 2], [0, 1], {"one_to_one": True}, "3 and 2 pulses cannot be the same"),
            ([0, 1, 5, 2, 3], [0, 1, 2, 3, 4], {}, "source pulses: times must not run backwards"),
            ([0, 1, 2, 3, 4], [0, 1, np.nan, 3, 4], {}, "target pulses: 1 of 5 samples"),
            ([0, 1, 1, 3, 4], [0, 1, 2, 3, 4], {}, "Two source pulses have the same time"),
            ([0, 1, 2], [0, 1, 2], {"one_to_one": True, "piece": 0}, "pieces longer than 0 s"),
        ],
    )
    def test_refuses(self, source, target, options: dict[str, Any], message):
        with pytest.raises(DataError, match=message):
            align_clocks(np.array(source, float), np.array(target, float), **options)

    def test_pulses_that_are_not_the_same(self):
        source, target = pulse_trains(jitter=0.3, lost=0.0, extra=0)
        with pytest.raises(DataError, match="do not fit one straight line"):
            align_clocks(source[:-1], target[1:], one_to_one=True)
