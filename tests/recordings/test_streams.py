"""Series, labels, spikes, trials, and a recording of them all."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinbergen.errors import DataError
from tinbergen.recordings import (
    Bins,
    Intervals,
    Keypoints,
    Labels,
    Recording,
    Series,
    Spikes,
    Trials,
    Video,
    read_labels,
    read_series,
    read_spikes,
    read_times,
    read_trials,
)


class TestSeries:
    def test_between_is_half_open(self):
        series = Series(np.arange(3.0), np.array([5, 6, 7]))
        np.testing.assert_array_equal(series.between(0, 2).values.ravel(), [5, 6])
        assert series.between(0.5, 1.5).valid == Intervals([0.5], [1.5])

    def test_inputs_stay_as_they_are(self):
        values = np.zeros((3, 1))
        series = Series(np.arange(3.0), values)
        values[0] = 9
        assert series.values[0] == 0
        with pytest.raises(ValueError, match="read-only"):
            series.values[0] = 1

    def test_pandas_and_pynapple(self):
        frame = pd.DataFrame({"x": [1.0, 2.0], "y": [3.0, 4.0]}, index=[0.0, 0.5])
        assert Series.of(frame, "cm").channels == ("x", "y")
        tsd = SimpleNamespace(t=np.array([0.0, 1.0]), d=np.array([2.0, 3.0]))
        np.testing.assert_array_equal(Series.of(tsd).values, [[2], [3]])
        with pytest.raises(DataError, match="found a list"):
            Series.of([1])

    def test_round_trip(self, tmp_path):
        values = np.array([[1.0, np.nan]] * 2)
        series = Series(np.array([0, 1.5]), values, ("α", "b c"), "cm/s", Intervals([0], [3]))
        series.write(tmp_path / "s.npz")
        again = read_series(tmp_path / "s.npz")
        assert (again.channels, again.unit, again.valid) == (("α", "b c"), "cm/s", series.valid)
        np.testing.assert_array_equal(again.values, series.values)

    def test_csv(self, tmp_path):
        (tmp_path / "s.csv").write_text("time,speed\n0,1\n0.5,\n")
        np.testing.assert_array_equal(read_series(tmp_path / "s.csv").values, [[1], [np.nan]])

    @pytest.mark.parametrize(
        ("times", "values", "message"),
        [
            ([0, 1], [1], "for 2 times, found shape"),
            ([1, 0], [1, 2], "sample 0 is at 1.000000 s"),
            ([0, np.nan], [1, 2], "finite time"),
        ],
    )
    def test_refuses(self, times, values, message):
        with pytest.raises(DataError, match=message):
            Series(times, values)

    def test_text_is_no_series(self):
        with pytest.raises(DataError, match="expected numbers"):
            Series(np.arange(2.0), np.array(["a", "b"]))

    def test_not_a_series(self, tmp_path):
        (tmp_path / "s.npz").write_text("no")
        with pytest.raises(DataError, match="s.npz is not a series"):
            read_series(tmp_path / "s.npz")


class TestLabels:
    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.integers(-1, 3), max_size=50), st.floats(0.001, 2))
    def test_run_length_round_trip(self, codes, step):
        times = np.arange(len(codes)) * step + 3.0
        labels = Labels.from_frames(times, np.array(codes, dtype=int), ("a", "b", "c", "d"))
        np.testing.assert_array_equal(labels.codes(times), codes)
        runs = int((np.diff(codes) != 0).sum()) + 1 if codes else 0
        assert len(labels.table) <= runs

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.tuples(*[st.integers(0, 1)] * 3), min_size=1, max_size=30))
    def test_multi_label_round_trip(self, rows):
        times = np.arange(len(rows)) * 0.04
        labels = Labels.from_frames(times, np.array(rows), ("a", "b", "c"))
        np.testing.assert_array_equal(labels.multi(times), rows)

    def test_a_label_of_one_animal_does_not_mean_that_another_was_looked_at(self):
        rows = [(0.0, 2.0, "walk", "a"), (4.0, 5.0, "rest", "b")]
        table = pd.DataFrame(rows, columns=["start", "stop", "label", "individual"])
        times = np.arange(6.0)
        labels = Labels(table, ("none", "rest", "walk"))
        assert labels.codes(times, "a", "none").tolist() == [2, 2, -1, -1, -1, -1]
        assert labels.codes(times, "b", "none").tolist() == [-1, -1, -1, -1, 1, -1]
        assert labels.codes(times, None, "none").tolist() == [2, 2, -1, -1, 1, -1]
        watched = Labels(table, labels.classes, Intervals([0.0], [6.0]))
        assert watched.codes(times, "a", "none").tolist() == [2, 2, 0, 0, 0, 0]

    def test_unlabelled_is_not_background(self):
        table = pd.DataFrame({"start": [1.0], "stop": [2.0], "label": ["rear"]})
        labels = Labels(table, ("rest", "rear"), Intervals([0], [3]))
        times = np.array([0.5, 1.5, 3.5])
        np.testing.assert_array_equal(labels.codes(times), [-1, 1, -1])
        np.testing.assert_array_equal(labels.codes(times, background="rest"), [0, 1, -1])
        np.testing.assert_array_equal(labels.multi(times), [[0, 0], [0, 1], [-1, -1]])

    def test_two_at_once(self):
        table = pd.DataFrame({"start": [0, 1], "stop": [2, 3], "label": ["walk", "sniff"]})
        with pytest.raises(DataError, match="at 1.500 s sniff and walk hold at once"):
            Labels(table).codes(np.array([1.5]))

    def test_individuals(self):
        table = pd.DataFrame(
            {"start": [0, 0], "stop": [1, 2], "label": ["a", "b"], "individual": ["m1", "m2"]}
        )
        labels = Labels(table)
        assert labels.individuals == ("m1", "m2")
        np.testing.assert_array_equal(labels.codes(np.array([0.5, 1.5]), "m2"), [1, 1])

    def test_a_gap_ends_a_run(self):
        times = np.array([0, 0.1, 0.2, 9.0, 9.1, 9.2])
        labels = Labels.from_frames(times, np.zeros(6, int), ("a",))
        np.testing.assert_allclose(labels.table["stop"], [0.3, 9.3])

    def test_bin_and_between(self):
        table = pd.DataFrame({"start": [1.0], "stop": [2.5], "label": ["a"]})
        labels = Labels(table, observed=Intervals([0], [3]))
        shares = labels.bin(Bins.inside(Intervals([0], [4]), 1.0))
        np.testing.assert_allclose(shares.ravel(), [0, 1, 0.5, np.nan])
        cut = labels.between(2, 9)
        assert cut.table.loc[0, "start"] == 2 and cut.observed == Intervals([2], [3])

    def test_round_trip(self, tmp_path):
        table = pd.DataFrame({"start": [0.1, 0.7], "stop": [0.3, 1 / 3 + 1], "label": ["a", "b"]})
        labels = Labels(table, ("a", "b", "never"), Intervals([0], [5]))
        labels.write(tmp_path / "l.csv")
        again = read_labels(tmp_path / "l.csv", labels.classes)
        pd.testing.assert_frame_equal(again.table, labels.table)
        assert again.observed == labels.observed and again.classes == labels.classes

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (
                "beginning,stop,label\n0,1,a\n",
                "l.csv is no file of labels that is known.*beginning",
            ),
            (
                "start,stop,label\n2,1,a\n",
                "line 2: a must start before it stops.*2.000 to 1.000 s",
            ),
            ("start,stop,label\nx,1,a\n", "line 2, column 'start': 'x' is no number"),
        ],
    )
    def test_refuses(self, tmp_path, text, message):
        (tmp_path / "l.csv").write_text(text)
        with pytest.raises(DataError, match=message):
            read_labels(tmp_path / "l.csv")


class TestSpikes:
    def test_counts(self):
        spikes = Spikes.of({"u7": [0.1, 0.2, 1.5], "silent": [], "u9": [0.15]})
        counts = spikes.bin(Bins.inside(Intervals([0], [2]), 1.0))
        np.testing.assert_array_equal(counts, [[2, 0, 1], [1, 0, 0]])
        np.testing.assert_array_equal(spikes.train("u7"), [0.1, 0.2, 1.5])
        assert spikes.between(0.15, 1.5).n_units == 3
        assert len(spikes.between(0.15, 1.5)) == 2

    def test_pynapple_group(self):
        group = {3: SimpleNamespace(t=np.array([1.0])), 5: SimpleNamespace(t=np.array([0.5]))}
        np.testing.assert_array_equal(Spikes.of(group).units, [1, 0])

    def test_round_trip(self, tmp_path):
        table = pd.DataFrame({"region": ["CA1", "V1"], "depth": [1.5, 2.0]}, index=["a", "b"])
        spikes = Spikes(np.array([0.1, 0.2]), np.array([1, 0]), table, Intervals([0], [9]))
        spikes.write(tmp_path / "s.npz")
        again = read_spikes(tmp_path / "s.npz")
        pd.testing.assert_frame_equal(again.table, table, check_dtype=False)
        np.testing.assert_array_equal(again.units, spikes.units)
        assert again.valid == spikes.valid

    def test_refuses(self):
        with pytest.raises(DataError, match="rows of the table, 0 to 0; found 0 to 3"):
            Spikes(np.array([0.1, 0.2]), np.array([0, 3]), pd.DataFrame(index=["a"]))

    def test_refuses_units_that_are_none(self):
        for units, message in (
            ([0, np.nan], "1 of 2 spikes have no unit"),
            ([0, 0.5], "whole numbers"),
            (["a", "b"], "Spikes.of"),
        ):
            with pytest.raises(DataError, match=message):
                Spikes(np.array([0.0, 1]), np.array(units))
        table = pd.DataFrame(index=[1])
        with pytest.raises(DataError, match=r"1 of 2 units are not in the table, the first is 5"):
            Spikes.of({1: [0.0], 5: [1.0]}, table)
        with pytest.raises(DataError, match="mask of 2 for 1 units"):
            Spikes.of({1: [0.0]}, table).only(np.array([True, False]))

    def test_what_is_not_known_is_stored_without_pickle(self, tmp_path):
        table = pd.DataFrame(
            {
                "region": ["V1", None],
                "n": pd.array([None, 3], dtype="Int64"),
                "channels": [(1, 2), ()],
                "group": pd.Categorical(["good", None]),
            }
        )
        Spikes(np.array([0.0]), np.array([1]), table).write(tmp_path / "s.npz")
        Series(np.arange(3), np.zeros((3, 2)), table=table).write(tmp_path / "x.npz")
        for stream in (read_spikes(tmp_path / "s.npz"), read_series(tmp_path / "x.npz")):
            assert stream.table is not None
            assert stream.table["region"].tolist() == ["V1", ""]
            assert stream.table["group"].tolist() == ["good", ""]
            assert stream.table["channels"].tolist() == ["(1, 2)", "()"]
            np.testing.assert_array_equal(stream.table["n"], [np.nan, 3])


class TestTrials:
    def test_between_and_bin(self, tmp_path):
        trials = Trials(pd.DataFrame({"start": [2, 0], "stop": [3, 1], "choice": ["l", "r"]}))
        assert trials.columns == ("choice",)
        assert list(trials.between(0, 2.5).table["choice"]) == ["r"]
        np.testing.assert_array_equal(
            trials.bin(Bins.inside(Intervals([0], [4]), 1.0)), [0, -1, 1, -1]
        )
        trials.write(tmp_path / "t.csv")
        pd.testing.assert_frame_equal(read_trials(tmp_path / "t.csv").table, trials.table)

    def test_refuses(self):
        with pytest.raises(DataError, match=r"\['stop'\] missing"):
            Trials(pd.DataFrame({"start": [1]}))


class TestSidecar:
    def test_miniscope(self, tmp_path):
        path = tmp_path / "timeStamps.csv"
        path.write_text("Frame Number,Time Stamp (ms),Buffer Index\n0,-31,0\n1,18,0\n")
        np.testing.assert_allclose(read_times(path), [-0.031, 0.018])

    def test_real_miniscope(self, real_data):
        folder = real_data / "video/miniscope_behavcam_stub/C6-J588_Disc5/15_06_28/BehavCam_2"
        video = Video(folder / "0.avi", times=folder / "timeStamps.csv")
        np.testing.assert_allclose(video.times, [-0.031, 0.018, 0.048, 0.081, 0.113])

    @pytest.mark.parametrize(
        ("text", "times"),
        [("0.1\n0.2\n", [0.1, 0.2]), ("time_us\n100\n200\n", [1e-4, 2e-4]), ("t time\n3\n", [3])],
    )
    def test_plain(self, tmp_path, text, times):
        (tmp_path / "t.csv").write_text(text)
        np.testing.assert_allclose(read_times(tmp_path / "t.csv"), times)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("a,b\n1,2\n", "one column with 'time'"),
            ("time\n2\n1\n", "frame 0 is at 2.000000 s"),
            ("time\n2\nx\n", "not a number"),
            ("time\n2\nnan\n", "time of frame 1 is nan"),
        ],
    )
    def test_refuses(self, tmp_path, text, message):
        (tmp_path / "t.csv").write_text(text)
        with pytest.raises(DataError, match=message):
            read_times(tmp_path / "t.csv")


@pytest.fixture
def recording(videos, tmp_path) -> Recording:
    video = Video(videos.write_video(tmp_path / "a.mp4", 50))
    pose = Keypoints(video.times, np.random.default_rng(0).normal(size=(50, 2, 3, 2)),
                     individuals=("a", "b"))  # fmt: skip
    return Recording(
        "m1/day 1",
        {
            "video": video,
            "side": Video(video.path, times=video.times + 0.1),
            "pose": pose,
            "wheel": Series(np.arange(300) / 100, np.arange(300.0)),
            "behaviour": Labels.from_frames(video.times, np.arange(50) // 20, ("x", "y", "z")),
            "spikes": Spikes.of({1: [0.5, 1.0]}, valid=Intervals([0], [3])),
            "trials": Trials(pd.DataFrame({"start": [0.0, 1.0], "stop": [1.0, 2.0]})),
        },
        subject="m1",
    )


class TestRecording:
    def test_valid_is_common_time(self, recording):
        assert recording.valid.starts == pytest.approx([0.1])
        assert recording.valid.stops == pytest.approx([2.0])
        assert list(recording.videos) == ["video", "side"]

    def test_windows_lose_and_double_nothing(self, recording):
        whole = recording.between(recording.valid.starts[0], recording.valid.stops[-1])
        parts = list(recording.windows(0.3))
        for stream in ("video", "side", "pose", "wheel", "spikes"):
            times = np.concatenate([part[stream].times for part in parts])
            np.testing.assert_array_equal(times, whole[stream].times)

    def test_bin(self, recording):
        binned = recording.only("video", "pose", "wheel", "behaviour", "spikes", "trials").bin(0.5)
        assert {name: value.shape for name, value in binned.values.items()} == {
            "video": (4,),
            "pose": (4, 2, 3, 2),
            "wheel": (4, 1),
            "behaviour": (4, 3),
            "spikes": (4, 1),
            "trials": (4,),
        }
        np.testing.assert_allclose(binned["wheel"].ravel(), [24.5, 74.5, 124.5, 174.5])
        np.testing.assert_array_equal(binned["spikes"].ravel(), [0, 1, 1, 0])
        np.testing.assert_array_equal(binned["video"], [6, 18, 31, 43])

    def test_two_clocks_an_hour_apart(self):
        wheel = Series(np.arange(60.0), np.zeros(60))
        spikes = Spikes.of({"a": [3600.5, 3650.0]}, valid=Intervals([3600], [3660]))
        recording = Recording("r", {"wheel": wheel, "spikes": spikes})
        shown = "share no time: wheel 0 to 60 s, spikes 3600 to 3660 s. If they run on different"
        with pytest.raises(DataError, match=shown):
            recording.bin(1.0)
        with pytest.raises(DataError, match=shown):
            next(recording.windows(1.0))

    def test_refuses(self, recording):
        with pytest.raises(DataError, match="no stream 'eye'; it has: video, side"):
            recording["eye"]
        with pytest.raises(DataError, match="expected one of .* found a ndarray"):
            Recording("a", {"x": np.zeros(3)})
