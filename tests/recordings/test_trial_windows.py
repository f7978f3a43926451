"""Windows around events and sliding ones: what they hold, and who is left out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinbergen.errors import DataError
from tinbergen.recordings import (
    Intervals,
    Keypoints,
    Labels,
    Recording,
    Series,
    Spikes,
    Trials,
    sliding_windows,
    trial_windows,
)


@pytest.fixture
def session() -> Recording:
    times = np.concatenate([np.arange(0, 10, 0.01), np.arange(14, 30, 0.01)])
    spikes = Spikes.of({"a": np.arange(0, 30, 0.5), "b": []}, valid=Intervals([0], [30]))
    return Recording("s", {"wheel": Series(times, times * 2), "spikes": spikes})


@pytest.fixture
def trials() -> Trials:
    table = pd.DataFrame(
        {
            "start": [0.2, 3, 4, 5, 9.5, 16, 29],
            "stop": [2, 4, 5, 6, 15, 17, 30],
            "stim": [0.5, 3.5, 4.5, np.nan, 9.75, 16.5, 29.5],
            "choice": [1, -1, 1, 1, 1, -1, 1],
        }
    )
    return Trials(table)


class TestTrialWindows:
    def test_who_is_left_out_and_why(self, session, trials):
        windows = trial_windows(trials, "stim", before=0.5, after=1.0, width=0.1, streams=session)
        assert dict(windows.left_out.reasons) == {
            "no time in 'stim'": (3,),
            "not covered by 'wheel'": (4, 6),
            "begins in the window before": (2,),
        }
        assert windows.table["trial"].tolist() == [0, 1, 5]
        assert windows.table["choice"].tolist() == [1, -1, -1]
        assert str(windows.left_out).startswith("trials: 3 of 7 kept\n  no time in 'stim'")
        assert windows.left_out.as_dict()["kept"] == 3

    def test_gap_is_named_as_such(self, session):
        trials = Trials(pd.DataFrame({"start": [9.0, 1.0], "stop": [15.0, 2.0]}))
        windows = trial_windows(
            trials, "start", before=0, after=6, width=0.5, streams=session.only("wheel")
        )
        assert dict(windows.left_out.reasons) == {"a gap in 'wheel'": (1,)}

    def test_values(self, session, trials):
        windows = trial_windows(trials, "stim", before=0.5, after=1.0, width=0.1, streams=session)
        counts = windows.of(session["spikes"])
        assert counts.shape == (3, 15, 2) and counts.dtype == np.int32
        np.testing.assert_array_equal(np.flatnonzero(counts[0, :, 0]), [0, 5, 10])
        wheel = windows.of(session["wheel"])
        np.testing.assert_allclose(wheel[1, :, 0], 2 * (3.5 + windows.offsets - 0.005), atol=0.011)
        np.testing.assert_allclose(windows.offsets[[0, 14]], [-0.45, 0.95])

    def test_an_event_is_an_edge_to_the_last_bit(self):
        rng = np.random.default_rng(0)
        events = np.sort(rng.uniform(0, 1e4, 200))
        trials = Trials(pd.DataFrame({"start": events, "stop": events + 1}))
        spikes = Spikes.of({"a": events}, valid=Intervals([-1], [2e4]))
        windows = trial_windows(trials, "start", before=0.5, after=1.5, width=0.02, overlap="keep")
        assert windows.edges.shape == (200, 101)
        assert (windows.of(spikes)[:, 25, 0] == 1).all()
        before = Spikes.of({"a": np.nextafter(events, 0)}, valid=Intervals([-1], [2e4]))
        assert (windows.of(before)[:, 24, 0] == 1).all()

    @given(
        st.lists(st.integers(0, 120), min_size=1, max_size=12),
        st.lists(st.integers(-20, 160), max_size=50),
    )
    def test_like_brute_force(self, events, quarters):
        table = pd.DataFrame({"start": np.array(events) / 4, "stop": np.array(events) / 4})
        spikes = Spikes.of({"a": np.sort(np.array(quarters) / 4)}, valid=Intervals([-9], [99]))
        kept = trial_windows(Trials(table), "start", before=1, after=2, width=0.5)
        everyone = trial_windows(
            Trials(table), "start", before=1, after=2, width=0.5, overlap="keep"
        )
        assert len(everyone) == len(events)
        assert kept.left_out.kept == len(kept)
        assert (np.diff(kept.starts) >= 3).all()
        for windows in (kept, everyone):
            counts = windows.of(spikes)
            for k, edges in enumerate(windows.edges):
                for j in range(6):
                    inside = (spikes.times >= edges[j]) & (spikes.times < edges[j + 1])
                    assert counts[k, j, 0] == inside.sum()
            inside = (spikes.times >= windows.starts[:, None]) & (
                spikes.times < windows.stops[:, None]
            )
            assert counts.sum() == inside.sum()

    def test_signal_slower_than_the_bins(self):
        times = np.arange(0, 10, 1 / 30)
        positions = np.stack([times, 3 * times], axis=1)[:, None, None, :]
        pose = Keypoints(times, positions, np.ones((len(times), 1, 1)), ("nose",), ("m",))
        trials = Trials(pd.DataFrame({"start": [1.0, 4.0], "stop": [2.0, 5.0]}))
        windows = trial_windows(trials, "start", before=0, after=1, width=0.01)
        values = windows.of(pose)
        assert values.shape == (2, 100, 1, 1, 2)
        np.testing.assert_allclose(values[1, :, 0, 0, 0], 4 + windows.offsets, atol=0.0051)

    def test_no_value_is_made_up_in_a_gap(self, session):
        trials = Trials(pd.DataFrame({"start": [9.0], "stop": [15.0]}))
        windows = trial_windows(trials, "start", before=0, after=6, width=0.5)
        missing = np.isnan(windows.of(session["wheel"])[0, :, 0])
        np.testing.assert_array_equal(np.flatnonzero(missing), np.arange(2, 10))

    def test_other_streams(self, trials):
        labels = Labels(pd.DataFrame({"start": [0.0], "stop": [0.5], "label": ["groom"]}))
        windows = trial_windows(trials, "stim", before=0.5, after=0.5, width=0.5)
        assert windows.of(labels).shape == (len(windows), 2, 1)
        assert windows.of(trials)[0].tolist() == [0, 0]

    def test_refuses(self, session, trials):
        with pytest.raises(DataError, match="no column 'stim_on'; they have start, stop, stim"):
            trial_windows(trials, "stim_on", before=0, after=1, width=0.1)
        with pytest.raises(DataError, match="window of 1 s must be a whole number of bins"):
            trial_windows(trials, "stim", before=0, after=1, width=0.3)
        with pytest.raises(DataError, match="must hold times in s"):
            named = Trials(trials.table.assign(side="left"))
            trial_windows(named, "side", before=0, after=1, width=0.1)
        late = Trials(pd.DataFrame({"start": [29.5], "stop": [31.0]}))
        windows = trial_windows(late, "start", before=0, after=1, width=0.1)
        with pytest.raises(DataError, match="1 of 1 windows reach outside .* 29.500 to 30.500"):
            windows.of(session["spikes"])

    def test_no_trial_is_left(self, session):
        late = Trials(pd.DataFrame({"start": [3629.5], "stop": [3631.0]}))
        windows = trial_windows(late, "start", before=0, after=1, width=0.1, streams=session)
        assert windows.of(session["spikes"]).shape == (0, 10, 2)
        assert windows.left_out.reasons["not covered by 'wheel'"] == (0,)


class TestSlidingWindows:
    @given(
        st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=4),
        st.sampled_from([0.5, 1.0, 2.0, 3.0]),
    )
    def test_inside_and_complete(self, spans, step):
        valid = Intervals([a for a, _ in spans], [a + b for a, b in spans])
        windows = sliding_windows(valid, length=2.0, width=0.5, step=step)
        expected = [
            a + k * step
            for a, b in zip(valid.starts, valid.stops, strict=True)
            for k in range(100)
            if a + k * step + 2 <= b
        ]
        np.testing.assert_allclose(windows.starts, expected)
        np.testing.assert_array_equal(windows.table["start"], windows.starts)

    def test_each_spike_once_where_windows_touch(self):
        times = np.round(np.arange(0, 99.999, 0.01), 2)
        spikes = Spikes.of({"a": times}, valid=Intervals([0.0], [100.0]))
        windows = sliding_windows(spikes.valid, length=0.7, width=0.01)
        counts = windows.of(spikes)
        assert counts.sum() == (times < windows.stops[-1]).sum()
        assert windows.left_out.note == "0.600 s lie in no window"

    def test_short_intervals_are_named(self):
        windows = sliding_windows(Intervals([0, 5], [2, 5.5]), length=1, width=0.1, step=0.25)
        assert dict(windows.left_out.reasons) == {"shorter than 1 s": (1,)}
        assert len(windows) == 5
        assert len(windows.only([0, 3])) == 2
        with pytest.raises(DataError, match="step > 0"):
            sliding_windows(Intervals([0], [1]), length=1, width=0.1, step=0)
