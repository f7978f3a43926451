"""Folders of suite2p, with settings pickled as suite2p pickles them."""

from __future__ import annotations

import contextlib
import pickle

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d, maximum_filter1d, minimum_filter1d

from tinbergen.errors import DataError, MissingFileError
from tinbergen.recordings import read_suite2p
from tinbergen.recordings.plain_pickle import plain_number, read_plain_pickle

N, T, FPS = 5, 400, 15.0


@pytest.fixture
def plane(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "suite2p/plane0"
    folder.mkdir(parents=True)
    for name, low in (("F", 200), ("Fneu", 100), ("spks", 0)):
        np.save(folder / f"{name}.npy", rng.uniform(low, low + 50, (N, T)).astype(np.float32))
    np.save(folder / "iscell.npy", np.array([[1, 0.9], [0, 0.1], [1, 0.8], [1, 0.7], [0, 0.2]]))
    ops = {
        "fs": FPS,
        "nframes": T,
        "save_path": "C:/x",
        "meanImg": rng.normal(size=(8, 8)),
        "flag": True,
        "none": None,
        "xrange": [0, 8],
        "when": np.float32(3.5),
    }
    np.save(folder / "ops.npy", ops, allow_pickle=True)  # type: ignore[arg-type]
    stat = [{"med": [i, 2 * i], "npix": np.int64(10 + i), "lam": np.ones(3)} for i in range(N)]
    np.save(folder / "stat.npy", np.array(stat, dtype=object), allow_pickle=True)
    return folder


def test_corrected_cells_with_places(plane):
    series = read_suite2p(plane)
    F, neuropil = np.load(plane / "F.npy"), np.load(plane / "Fneu.npy")
    cells = [0, 2, 3]
    assert np.allclose(series.values, (F - 0.7 * neuropil)[cells].T)
    assert series.channels == ("0", "2", "3") and np.allclose(np.diff(series.times), 1 / FPS)
    assert series.table is not None
    assert series.table["probability"].tolist() == [0.9, 0.8, 0.7]
    assert series.table["x"].tolist() == [0, 4, 6] and series.table["pixels"].tolist() == [
        10,
        12,
        13,
    ]
    assert np.array_equal(read_suite2p(plane.parent).values, series.values)


def test_signals_as_they_are(plane):
    for signal in ("F", "Fneu", "spks"):
        series = read_suite2p(plane, signal=signal, cells_only=False, times=np.arange(T) + 7.0)
        assert np.array_equal(series.values.T, np.load(plane / f"{signal}.npy"))
        assert series.times[0] == 7


def test_change_over_baseline(plane):
    series = read_suite2p(plane, signal="dF/F", cells_only=False, baseline_window=4.0)
    F, neuropil = np.load(plane / "F.npy"), np.load(plane / "Fneu.npy")
    for i in range(N):
        trace = F[i].astype(float) - 0.7 * neuropil[i].astype(float)
        base = gaussian_filter1d(trace, 10.0)
        base = maximum_filter1d(minimum_filter1d(base, 60), 60)
        assert np.allclose(series.values[:, i], (trace - base) / base, atol=1e-5)
    np.save(plane / "Fneu.npy", np.full((N, T), 1000.0))
    assert np.isnan(read_suite2p(plane, signal="dF/F").values).all()


def test_without_what_is_pickled(plane):
    (plane / "ops.npy").unlink()
    (plane / "stat.npy").write_bytes(b"not an array")
    with pytest.raises(DataError, match="frame rate is not known .*give fps"):
        read_suite2p(plane)
    series = read_suite2p(plane, 30.0)
    assert series.table is not None and list(series.table) == ["iscell", "probability"]
    (plane / "iscell.npy").unlink()
    assert read_suite2p(plane, 30.0).values.shape == (T, N)


def test_broken_folders(plane, tmp_path):
    with pytest.raises(MissingFileError, match="F.npy"):
        read_suite2p(tmp_path / "gone")
    with pytest.raises(DataError, match="400 frames, but 3 times"):
        read_suite2p(plane, times=np.arange(3.0))
    np.save(plane / "Fneu.npy", np.zeros((N, T - 1)))
    with pytest.raises(DataError, match="arrays of one shape"):
        read_suite2p(plane)
    np.save(plane / "iscell.npy", np.zeros((N, 2)))
    with pytest.raises(DataError, match="none of 5 ROIs is called a cell"):
        read_suite2p(plane, signal="F")
    np.save(plane / "iscell.npy", np.zeros((3, 2)))
    with pytest.raises(DataError, match=r"5 ROIs, found \(3, 2\)"):
        read_suite2p(plane, signal="F")
    second = plane.parent / "plane1"
    second.mkdir()
    np.save(second / "F.npy", np.zeros((2, 3)))
    with pytest.raises(DataError, match="2 planes; name one of: plane0, plane1"):
        read_suite2p(plane.parent)


class _Evil:
    def __reduce__(self):
        return (print, ("ran",))


@pytest.mark.parametrize("protocol", range(2, 6))
def test_nothing_runs(plane, protocol, capsys):
    ops = {"fs": 20.0, "evil": _Evil(), "number": np.float64(2.5), "deep": ({"a": (1, None)},)}
    read = read_plain_pickle(pickle.dumps(ops, protocol), unread=True)
    assert read["fs"] == 20.0 and read["deep"] == ({"a": (1, None)},)
    assert "print" in read["evil"].name and capsys.readouterr().out == ""
    if protocol > 2:
        assert plain_number(read["number"]) == 2.5
    assert plain_number(read["evil"]) is None
    with pytest.raises(DataError, match="could run code"):
        read_plain_pickle(pickle.dumps(ops, protocol))


def test_damaged_pickles(plane):
    data = pickle.dumps({"a": [1, 2, np.arange(4)], "b": "x" * 30}, 4)
    for size in range(len(data)):
        with pytest.raises(DataError):
            read_plain_pickle(data[:size], unread=True)
    rng = np.random.default_rng(0)
    for _ in range(300):
        bad = bytearray(data)
        bad[rng.integers(len(bad))] = rng.integers(256)
        with contextlib.suppress(DataError):
            read_plain_pickle(bytes(bad), unread=True)
