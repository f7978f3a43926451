"""Arrays of other people's files: every format, every shape, and what is refused."""

from __future__ import annotations

import contextlib
from typing import Any

import h5py
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays

from tinbergen.errors import DataError, MissingFileError, TinbergenError
from tinbergen.recordings import (
    Intervals,
    Series,
    lay_out_trials,
    list_arrays,
    read_array,
    read_array_series,
    read_array_spikes,
    read_array_trials,
    read_binned_trials,
    read_series,
)

COUNTS = np.arange(30, dtype=np.uint8).reshape(10, 3)


def write_matlab_73(path, values: dict[str, Any]) -> None:
    """Write as MATLAB does: columns first, a class by each array, text as numbers."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in values.items():
            if isinstance(value, list):
                cells = np.empty((len(value), 1), dtype=h5py.ref_dtype)
                for i, text in enumerate(value):
                    codes = np.array([[ord(c)] for c in text], np.uint16)
                    cell = file.create_dataset(f"#refs#/{name}{i}", data=codes)
                    cell.attrs["MATLAB_class"] = np.bytes_("char")
                    cells[i] = cell.ref
                item = file.create_dataset(name, data=cells, dtype=h5py.ref_dtype)
                item.attrs["MATLAB_class"] = np.bytes_("cell")
            elif scipy.sparse.issparse(value):
                group = file.create_group(name)
                group.attrs["MATLAB_sparse"] = value.shape[0]
                for key, part in zip(
                    ("data", "ir", "jc"), (value.data, value.indices, value.indptr), strict=True
                ):
                    group.create_dataset(key, data=part)
            else:
                item = file.create_dataset(name, data=np.asarray(value).T)
                item.attrs["MATLAB_class"] = np.bytes_("double")


@pytest.fixture(params=["npz", "mat5", "mat73", "h5"])
def everything(request, tmp_path):
    values = {"counts": COUNTS, "t": np.arange(10) * 0.5, "area": ["V1", "CA1", "LP"]}
    path = (
        tmp_path
        / f"data.{request.param.rstrip('573') if 'mat' in request.param else request.param}"
    )
    if request.param == "npz":
        np.savez(path, **values)
    elif request.param == "mat5":
        cell = np.array(values["area"], dtype=object)[None]
        scipy.io.savemat(path, values | {"area": cell, "deep": {"in": {"x": COUNTS}}})
    elif request.param == "mat73":
        write_matlab_73(path, values | {"sparse": scipy.sparse.csc_matrix(COUNTS)})
    else:
        with h5py.File(path, "w") as file:
            file.update({"counts": COUNTS, "t": values["t"], "group/area": values["area"]})
    return path


class TestFormats:
    def test_series_with_table(self, everything):
        area = "group/area" if everything.suffix == ".h5" else "area"
        series = read_array_series(
            everything, "counts", times="t", unit="spikes/bin", table={"region": area}
        )
        assert np.array_equal(series.values, COUNTS)
        assert np.array_equal(series.times, np.arange(10) * 0.5)
        assert series.table is not None and list(series.table["region"]) == ["V1", "CA1", "LP"]
        assert any("(10, 3)" in v or "(3, 10)" in v for v in list_arrays(everything).values())

    def test_missing_key_lists_those_there_are(self, everything):
        with pytest.raises(DataError, match=r"expected an array 'spikes'; it holds: .*counts"):
            read_array(everything, "spikes")
        with pytest.raises(DataError, match="several arrays; name one of: .*counts"):
            read_array(everything)

    def test_struct_sparse_and_text(self, tmp_path):
        sparse = scipy.sparse.csc_matrix(COUNTS)
        scipy.io.savemat(tmp_path / "a.mat", {"s": sparse, "deep": {"in": {"x": COUNTS}}})
        assert np.array_equal(read_array(tmp_path / "a.mat", "s"), COUNTS)
        assert np.array_equal(read_array(tmp_path / "a.mat", "deep/in/x"), COUNTS)
        with pytest.raises(DataError, match="struct; name one of: deep/in"):
            read_array(tmp_path / "a.mat", "deep")
        with pytest.raises(DataError, match="deep/in holds: x"):
            read_array(tmp_path / "a.mat", "deep/in/y")
        write_matlab_73(tmp_path / "b.mat", {"s": sparse})
        assert np.array_equal(read_array(tmp_path / "b.mat", "s"), COUNTS)
        (tmp_path / "c.txt").write_text("# a note\n1 2\n3 4\n")
        assert read_array(tmp_path / "c.txt").tolist() == [[1, 2], [3, 4]]
        (tmp_path / "d.csv").write_text("1,2\n3,x\n")
        with pytest.raises(DataError, match="cannot be read as .csv"):
            read_array(tmp_path / "d.csv")

    @pytest.mark.parametrize(("suffix", "separator"), [(".csv", ","), (".tsv", "\t")])
    def test_columns_of_a_table_are_arrays(self, tmp_path, suffix, separator):
        rows = ["intervals_0,intervals_1,choice,contrast", "1.5,2.5,left,", "3.5,5,right,0.25"]
        path = tmp_path / f"trials{suffix}"
        path.write_text("\n".join(rows).replace(",", separator))
        assert list(list_arrays(path)) == rows[0].split(",")
        trials = read_array_trials(
            path, "intervals_0", "intervals_1", columns=["choice", "contrast"]
        )
        assert trials.stop.tolist() == [2.5, 5.0]
        assert trials.table["choice"].tolist() == ["left", "right"]
        np.testing.assert_array_equal(trials.table["contrast"], [np.nan, 0.25])
        with pytest.raises(DataError, match="expected an array 'on'; it holds: intervals_0"):
            read_array_trials(path, "on", "intervals_1")

    def test_objects_are_refused(self, tmp_path):
        ragged = np.array([np.zeros(2), np.zeros(3)], dtype=object)
        np.save(tmp_path / "a.npy", ragged)
        np.savez(tmp_path / "a.npz", trains=ragged, ok=COUNTS)
        scipy.io.savemat(tmp_path / "a.mat", {"trains": ragged})
        for name, key in (("a.npy", None), ("a.npz", "trains"), ("a.mat", "trains")):
            with pytest.raises(DataError, match=r"(?s)objects.*np.concatenate"):
                read_array(tmp_path / name, key)
        assert read_array(tmp_path / "a.npz", "ok").shape == (10, 3)

    def test_files_that_are_none(self, tmp_path):
        with pytest.raises(MissingFileError, match="gone.npz"):
            read_array(tmp_path / "gone.npz", "x")
        (tmp_path / "x.pkl").write_bytes(b"")
        with pytest.raises(DataError, match=r"expected one of .npy"):
            read_array(tmp_path / "x.pkl")
        for suffix in (".npy", ".npz", ".mat", ".h5"):
            (tmp_path / f"x{suffix}").write_bytes(b"no array")
            with pytest.raises(DataError, match="cannot be read"):
                read_array(tmp_path / f"x{suffix}", "x")

    def test_cut_off_anywhere(self, everything, tmp_path):
        whole = everything.read_bytes()
        for size in np.linspace(0, len(whole) - 1, 25).astype(int):
            cut = tmp_path / f"cut{everything.suffix}"
            cut.write_bytes(whole[:size])
            with contextlib.suppress(TinbergenError):
                assert np.array_equal(read_array(cut, "counts"), COUNTS)

    @settings(max_examples=15)
    @given(arrays(np.float64, array_shapes(min_dims=2, max_dims=3), elements=st.floats(-1, 1)))
    def test_all_formats_agree(self, tmp_path_factory, value):
        folder = tmp_path_factory.mktemp("same")
        np.savez(folder / "a.npz", x=value)
        scipy.io.savemat(folder / "a.mat", {"x": value})
        write_matlab_73(folder / "b.mat", {"x": value})
        for name in ("a.npz", "a.mat", "b.mat"):
            read = read_array(folder / name, "x")
            # MATLAB has no trailing axes of length 1.
            assert np.array_equal(read.reshape(value.shape), value)


class TestSeries:
    def test_transposed_is_noticed(self, tmp_path):
        np.savez(tmp_path / "a.npz", x=COUNTS.T, t=np.arange(10.0))
        with pytest.raises(DataError, match=r"seems to be \(channel, time\)"):
            read_array_series(tmp_path / "a.npz", "x", times="t")
        with pytest.raises(DataError, match="fewer rows than columns; it seems transposed"):
            read_array_series(tmp_path / "a.npz", "x", fps=10)
        series = read_array_series(tmp_path / "a.npz", "x", fps=10, axes="unit, time", start=2.0)
        assert np.array_equal(series.values, COUNTS) and series.times[1] == 2.1
        wide = read_array_series(tmp_path / "a.npz", "x", fps=10, axes="time, channel")
        assert wide.values.shape == (3, 10)

    def test_lengths_that_differ(self, tmp_path):
        np.savez(tmp_path / "a.npz", x=COUNTS, t=np.arange(9.0), names=["a", "b"])
        with pytest.raises(DataError, match=r"shape \(10, 3\).*say time 9"):
            read_array_series(tmp_path / "a.npz", "x", times="t")
        with pytest.raises(DataError, match=r"say channel 2"):
            read_array_series(tmp_path / "a.npz", "x", fps=1, channels="names")
        with pytest.raises(DataError, match="either times or fps"):
            read_array_series(tmp_path / "a.npz", "x")
        with pytest.raises(DataError, match="expected numbers"):
            read_array_series(tmp_path / "a.npz", "names", fps=1)

    def test_vectors_and_other_files(self, tmp_path):
        scipy.io.savemat(tmp_path / "v.mat", {"v": np.arange(5.0)})
        np.save(tmp_path / "t.npy", np.arange(5) * 20)
        for times in ("t.npy", np.arange(5) * 20):
            series = read_array_series(tmp_path / "v.mat", "v", times=times, rate=1000)
            assert series.values.shape == (5, 1) and series.times[-1] == 0.08

    def test_table_survives(self, tmp_path):
        table = pd.DataFrame({"region": ["a", None], "depth": [1.5, np.nan]}, index=[7, 9])
        series = Series(np.arange(4.0), np.zeros((4, 2)), unit="dF/F", table=table)
        assert series.channels == ("7", "9")
        series.between(0, 2).write(tmp_path / "s.npz")
        again = read_series(tmp_path / "s.npz")
        assert again.table is not None
        assert list(again.table.index) == ["7", "9"] and list(again.table["region"]) == ["a", ""]
        assert np.array_equal(again.table["depth"], [1.5, np.nan], equal_nan=True)
        Series(np.zeros(1), np.ones((1, 1))).write(tmp_path / "old.npz")
        assert read_series(tmp_path / "old.npz").table is None

    def test_a_single_value_is_no_series(self, tmp_path):
        np.savez(tmp_path / "a.npz", v=3.0)
        with pytest.raises(DataError, match="a single one"):
            read_array_series(tmp_path / "a.npz", "v", fps=10)

    def test_table_of_other_channels(self):
        swapped = pd.DataFrame({"x": [1, 2]}, index=["b", "a"])
        with pytest.raises(DataError, match="2 channels, but a table of 3 rows"):
            Series(np.zeros(1), np.ones((1, 2)), table=pd.DataFrame({"a": [1, 2, 3]}))
        with pytest.raises(DataError, match="order of the channels"):
            Series(np.zeros(1), np.ones((1, 2)), ("a", "b"), table=swapped)


class TestTrials:
    def test_session_clock_and_axes(self, tmp_path):
        values = (
            np.random.default_rng(0).poisson(1, (4, 3, 5)).astype(np.uint8)
        )  # unit before time
        times = np.array([30.0, 10.0, 20.0, 40.0])[:, None] + np.arange(5) * 0.01
        np.savez(tmp_path / "a.npz", c=values, t=times, side=[3, 1, 2, 4], area=["a", "b", "c"])
        with pytest.raises(DataError, match=r"seems to be \(trial, channel, time\)"):
            read_binned_trials(tmp_path / "a.npz", "c", times="t")
        series, trials = read_binned_trials(
            tmp_path / "a.npz",
            "c",
            axes="trial, unit, time",
            times="t",
            columns=["side"],
            table={"area": "area"},
        )
        assert list(trials.table["side"]) == [1, 2, 3, 4]
        assert trials.start.tolist() == [10, 20, 30, 40]
        assert np.allclose(trials.stop - trials.start, 0.05)
        assert len(series.valid) == 4 and series.values.dtype == np.uint8
        order = [1, 2, 0, 3]
        assert np.array_equal(series.values.reshape(4, 5, 3), values[order].transpose(0, 2, 1))

    def test_a_single_trial_stays_on_its_clock(self, tmp_path):
        np.savez(tmp_path / "a.npz", c=np.zeros((1, 5, 2)), t=100 + np.arange(5)[None] * 0.1)
        series, trials = read_binned_trials(tmp_path / "a.npz", "c", times="t")
        assert series.times[0] == trials.start[0] == 100

    def test_without_a_clock(self):
        series, trials = lay_out_trials(
            np.zeros((3, 4, 2)), times=np.arange(-2, 2) * 0.5, gap=2.0, event="stim", columns={}
        )
        assert trials.start.tolist() == [0, 4, 8] and trials.stop.tolist() == [2, 6, 10]
        assert trials.table["stim"].tolist() == [1, 5, 9]
        assert series.valid == Intervals([0, 4, 8], [2, 6, 10])

    def test_rows_of_numbered_trials(self):
        trial = np.array([0, 0, 0, 2, 2, 1])
        series, trials = lay_out_trials(
            np.arange(6.0)[:, None], trial=trial, width=0.1, columns={"target": [10, 11, 12]}
        )
        assert trials.table["target"].tolist() == [10, 12, 11]
        assert np.allclose(trials.stop - trials.start, [0.3, 0.2, 0.1])
        assert series.values.ravel().tolist() == [0, 1, 2, 3, 4, 5]
        with pytest.raises(DataError, match="rows of trial 0 are not together"):
            lay_out_trials(np.zeros((3, 1)), trial=np.array([0, 1, 0]), width=0.1)

    def test_bins_missing_within_a_trial(self):
        times = np.array([0.0, 1, 2, 5, 6, 20, 21])
        series, trials = lay_out_trials(
            np.zeros((7, 1)), times=times, trial=np.array([0] * 5 + [1] * 2)
        )
        assert series.valid == Intervals([0, 5, 20], [3, 7, 22])
        assert trials.stop.tolist() == [7, 22]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"width": 1.0, "starts": [0.0, 2.5, 9.0]}, "trials 0 and 1 share 1.5 s"),
            ({"width": 1.0, "starts": [0.0, np.nan, 9.0]}, "1 of 3 trials have no start"),
            ({"width": 1.0, "starts": [0.0, 9.0]}, "starts of shape"),
            ({"width": 0.0}, "expected times or width > 0"),
            ({}, "expected times or width > 0"),
            ({"times": np.arange(3.0)}, "do not fit shape"),
            ({"times": np.array([0, 1, 1, 2.0])}, "must rise"),
            ({"times": np.array([0, 1, np.nan, 2.0])}, "must rise"),
            ({"width": 1.0, "columns": {"side": [1, 2, 3, 4]}}, "3 trials, but column 'side'"),
        ],
    )
    def test_refused(self, options, message):
        with pytest.raises(DataError, match=message):
            lay_out_trials(np.zeros((3, 4, 2)), **options)

    def test_event_needs_a_time_0(self):
        with pytest.raises(DataError, match="times are those of the session already"):
            lay_out_trials(np.zeros((1, 2)), times=np.array([[0.0, 1.0]]), event="stim")

    @given(st.integers(1, 6), st.integers(1, 6), st.floats(0.001, 2), st.floats(0.01, 3))
    def test_nothing_is_lost(self, n_trials, n_bins, width, gap):
        values = np.arange(n_trials * n_bins, dtype=float).reshape(n_trials, n_bins)
        series, trials = lay_out_trials(values, width=width, gap=gap)
        assert np.array_equal(series.values.ravel(), values.ravel())
        assert series.valid.contains(series.times).all() and len(series.valid) == n_trials
        for i, (start, stop) in enumerate(zip(trials.start, trials.stop, strict=True)):
            assert np.array_equal(series.between(start, stop).values.ravel(), values[i])

    def test_table_of_arrays(self, tmp_path):
        np.savez(tmp_path / "t.npz", on=[1000, 3000], off=[1500, 3500], choice=["l", "r"])
        trials = read_array_trials(tmp_path / "t.npz", "on", "off", rate=1000, columns=["choice"])
        assert trials.stop.tolist() == [1.5, 3.5] and list(trials.table["choice"]) == ["l", "r"]
        trials = read_array_trials(tmp_path / "t.npz", "on", duration=0.5, rate=1000)
        assert trials.stop.tolist() == [1.5, 3.5]
        with pytest.raises(DataError, match="either stop or duration"):
            read_array_trials(tmp_path / "t.npz", "on")
        with pytest.raises(DataError, match="columns of one length"):
            read_array_trials(tmp_path / "t.npz", "on", duration=1, columns={"x": np.arange(3)})


class TestSpikes:
    def test_samples_unsorted(self, tmp_path):
        np.savez(tmp_path / "s.npz", t=[60000, 30000, 0], u=[5, 9, 5], ids=[9, 5, 7], d=[1, 2, 3])
        with pytest.raises(DataError, match="whole numbers .*Give rate"):
            read_array_spikes(tmp_path / "s.npz", "t", "u")
        spikes = read_array_spikes(
            tmp_path / "s.npz", "t", "u", rate=30000, ids="ids", table={"depth": "d"}, valid=(0, 3)
        )
        assert spikes.times.tolist() == [0, 1, 2] and spikes.n_units == 3
        assert spikes.train(5).tolist() == [0, 2] and spikes.train(7).tolist() == []
        assert spikes.table["depth"].tolist() == [1, 2, 3] and spikes.valid == Intervals([0], [3])

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"units": np.array([0, 1])}, "3 times, but 2 units"),
            ({"units": np.array([1, 2, 3])}, "1 spikes are of 1 units .*counted from 1"),
            ({"units": np.array([0, 1, 40])}, "1 spikes are of 1 units .*first 40"),
            ({"times": np.array([0.0, np.nan, 1])}, "1 of 3 spikes have no time"),
            ({"units": np.array([0, 1, np.nan])}, "1 of 3 spikes have no unit"),
            ({"ids": np.array([0, 1, 1])}, "some stand twice"),
            ({"ids": np.arange(4)}, "4 unit ids, but a table of 3"),
            ({"rate": -1.0}, "expected rate > 0"),
        ],
    )
    def test_refused(self, change, message, tmp_path):
        np.savez(tmp_path / "s.npz", times=[0.5, 0.1, 1.0], units=[0, 1, 2])
        options: dict[str, Any] = {"table": {"area": np.array(["a", "b", "c"])}} | change
        with pytest.raises(DataError, match=message):
            read_array_spikes(tmp_path / "s.npz", **options)

    def test_none(self, tmp_path):
        np.savez(tmp_path / "s.npz", times=np.zeros(0), units=np.zeros(0, int))
        assert read_array_spikes(tmp_path / "s.npz").n_units == 0


class TestReal:
    def test_spikes_in_samples_of_a_real_recording(self, real_data):
        path = real_data / "neural/hd_mouse28_adn_pos/Mouse28-140313_spike_times.npz"
        spikes = read_array_spikes(path, "spike_times_s", "spike_unit", table={"area": "region"})
        assert spikes.n_units == 32 and len(spikes) == 385173
        assert spikes.table["area"].tolist().count("ADn") == 17

    def test_real_matlab(self, real_data):
        path = real_data / "calcium/songbird_hvc_song/MackeviciusData.mat"
        fps = float(read_array(path, "VIDEOfs").item())
        series = read_array_series(path, "NEURAL", fps=fps, axes="channel, time")
        assert series.values.shape == (666, 75)
        with pytest.raises(DataError, match="seems transposed"):
            read_array_series(path, "NEURAL", fps=fps)

    def test_real_text(self, real_data):
        folder = real_data / "neural/ratgps_hippocampus"
        counts = read_array_series(folder / "2D_R2192_200ms_feat.txt", fps=5)
        fine = read_array_series(
            folder / "2D_R2192_20ms_counts.mat", "mm", fps=50, axes="unit, time"
        )
        assert np.array_equal(fine.values.reshape(5410, 10, 63).sum(1), counts.values)
