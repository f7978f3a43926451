"""Streams as pynapple objects and back."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tinbergen.errors import DataError
from tinbergen.recordings import (
    Intervals,
    Keypoints,
    Labels,
    Recording,
    Series,
    Spikes,
    Trials,
    from_pynapple,
    to_pynapple,
)

nap: Any = pytest.importorskip("pynapple")

T = np.arange(100) * 0.02


def test_series():
    table = pd.DataFrame({"region": ["V1", "CA1"], "a": [1, 2]}, index=["a", "b"])
    valid = Intervals([0.0, 1.0], [0.5, 2.0])
    values = np.random.default_rng(0).normal(size=(100, 2)).astype(np.float32)
    series = Series(T, values, unit="dF/F", valid=valid, table=table)
    frame = to_pynapple(series)
    assert isinstance(frame, nap.TsdFrame) and list(frame.columns) == ["a", "b"]
    inside = valid.contains(T) | (T == 0.5)  # pynapple's intervals are closed
    np.testing.assert_array_equal(frame.d, values[inside])
    back = from_pynapple(frame)
    np.testing.assert_allclose(back.times, T[inside])
    assert back.channels == ("a", "b") and back.valid.duration == pytest.approx(1.5)
    assert list(back.table["region"]) == ["V1", "CA1"] and list(back.table["table_a"]) == [1, 2]


def test_one_channel_and_tensors():
    tsd = from_pynapple(nap.Tsd(t=T, d=np.arange(100)))
    assert tsd.values.shape == (100, 1) and tsd.values.dtype == np.arange(1).dtype
    assert tsd.valid == Intervals.of_samples(tsd.times)
    gap = np.r_[T[:50], T[50:] + 10]
    assert len(from_pynapple(nap.Tsd(t=gap, d=gap)).valid) == 2
    tensor = from_pynapple(nap.TsdTensor(t=T, d=np.arange(600).reshape(100, 2, 3)))
    assert tensor.channels == ("0_0", "0_1", "0_2", "1_0", "1_1", "1_2")
    np.testing.assert_array_equal(tensor.values[1], np.arange(6, 12))
    frame = to_pynapple(Series(T, T, ("speed",)))
    assert isinstance(frame, nap.TsdFrame) and from_pynapple(frame).channels == ("speed",)


def test_keypoints():
    positions = np.random.default_rng(0).normal(size=(100, 1, 3, 2))
    tensor = to_pynapple(Keypoints(T, positions))
    assert isinstance(tensor, nap.TsdTensor)
    np.testing.assert_array_equal(tensor.d, positions)


@pytest.mark.parametrize("ids", [[3, 7, 9], ["p0_3", "p0_7", "p1_1"]])
def test_spikes(ids):
    table = pd.DataFrame({"region": ["a", "b", "c"], "rate": [1.0, 2, 3]}, index=ids)
    spikes = Spikes(np.array([0.1, 0.2, 0.35]), np.array([0, 2, 0]), table, Intervals([0], [1]))
    group = to_pynapple(spikes)
    assert isinstance(group, nap.TsGroup) and list(group["region"]) == ["a", "b", "c"]
    back = from_pynapple(group)
    np.testing.assert_array_equal(back.units, spikes.units)
    np.testing.assert_allclose(back.times, spikes.times)
    assert list(back.table.index) == ids and list(back.table["table_rate"]) == [1, 2, 3]
    assert back.valid == Intervals([0], [1])


def test_a_group_of_others():
    group = nap.TsGroup({5: nap.Ts([0.5, 1.0]), 2: nap.Ts([])}, metadata={"area": ["a", "b"]})
    spikes = from_pynapple(group)
    assert list(spikes.table.index) == [2, 5] and list(spikes.table["area"]) == ["b", "a"]
    np.testing.assert_array_equal(spikes.train(5), [0.5, 1.0])
    assert spikes.valid.contains(spikes.times).all()
    assert from_pynapple(nap.Ts([1.0, 2.0])).n_units == 1


def test_trials():
    table = {"start": [0.0, 1.0, 3.0], "stop": [1.0, 2.0, 4.0], "choice": ["l", "r", "l"]}
    intervals = to_pynapple(Trials(pd.DataFrame(table)))
    assert isinstance(intervals, nap.IntervalSet) and list(intervals["choice"]) == ["l", "r", "l"]
    np.testing.assert_allclose(intervals.end, [1 - 1e-6, 2, 4])
    back = from_pynapple(intervals)
    assert isinstance(back, Trials) and list(back.table.columns) == ["start", "stop", "choice"]
    np.testing.assert_allclose(back.stop, [1, 2, 4], atol=2e-6)
    bare = from_pynapple(nap.IntervalSet([0, 2], [1, 3]))
    assert bare.columns == () and len(bare) == 2
    for stops, match in (([1.5, 2, 4], "1 trials begin before .* row 2"), ([0, 2, 4], "1 trials")):
        with pytest.raises(DataError, match=match):
            to_pynapple(Trials(pd.DataFrame(table | {"stop": stops})))


def test_labels_and_intervals():
    labels = Labels(pd.DataFrame({"start": [0.0, 0.5], "stop": [1.0, 2], "label": ["a", "b"]}))
    sets = to_pynapple(labels)
    np.testing.assert_allclose(sets["b"].values, [[0.5, 2]])
    np.testing.assert_allclose(to_pynapple(Intervals([1], [2])).values, [[1, 2]])


def test_what_pynapple_has_no_name_for():
    with pytest.raises(DataError, match="like a dict"):
        to_pynapple({})
    with pytest.raises(DataError, match="without any valid time"):
        to_pynapple(Series(np.zeros(0), np.zeros((0, 1))))


def test_other_things_stay_as_they_are():
    array, series = np.zeros(3), Series(T, T)
    assert from_pynapple(array) is array and from_pynapple(series) is series


def test_a_recording_takes_pynapple_objects():
    recording = Recording("a", {"wheel": nap.Tsd(t=T, d=T), "spikes": nap.TsGroup({0: nap.Ts(T)})})
    assert isinstance(recording["wheel"], Series) and isinstance(recording["spikes"], Spikes)
    assert recording.bin(0.1)["spikes"].sum() == 100


def test_pynapple_is_imported_only_by_need():
    code = "import sys, tinbergen.recordings as r; r.from_pynapple(1); assert not "
    code += "{'pynapple', 'numba'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
