"""Recordings written as NWB are valid, open in pynwb and pynapple, and read back the same."""

from __future__ import annotations

import warnings
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinbergen.errors import DataError, OutputError
from tinbergen.recordings import (
    ArrayVideo,
    Intervals,
    Keypoints,
    Labels,
    Recording,
    Series,
    Spikes,
    Trials,
    Video,
    read_nwb,
    write_nwb,
)

pynwb = pytest.importorskip("pynwb")
pytest.importorskip("ndx_pose")

T = np.arange(60) * 0.02
AGAIN = settings(
    max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


def same(one: Any, two: Any) -> None:
    """Two streams hold the same, to the last bit."""
    assert type(one) is type(two)
    for name in ("times", "values", "units", "positions", "confidence"):
        if hasattr(one, name):
            np.testing.assert_array_equal(getattr(two, name), getattr(one, name), err_msg=name)
    for name in ("valid", "channels", "unit", "keypoints", "individuals", "classes", "observed"):
        assert getattr(one, name, None) == getattr(two, name, None), name
    if isinstance(one, Series):
        assert one.values.dtype == two.values.dtype
    table = getattr(one, "table", None)
    if table is None:
        assert getattr(two, "table", None) is None
    else:
        pd.testing.assert_frame_equal(
            two.table, table, check_index_type=False, check_column_type=False
        )


def session() -> Recording:
    rng = np.random.default_rng(0)
    units = pd.DataFrame(
        {"region": ["CA1", "VISp", "", "CA1"], "depth": [10.0, np.nan, 30, 4], "good": [True] * 4},
        index=[7, 3, 9, 11],
    )
    trials = {"start": [0, 0.5], "stop": [0.4, 0.9], "choice": [1, -1], "id": ["x", "y"]}
    labels = {"start": [0.0, 1.0], "stop": [0.5, 1.1], "label": ["groom", "rear"]}
    cells = pd.DataFrame({"region": ["V1", "V2"], "cell": [True, False]}, index=["a", "b"])
    return Recording(
        "m1",
        {
            "spikes": Spikes(
                np.sort(rng.uniform(0, 1.2, 50)),
                rng.integers(0, 3, 50),
                units,
                Intervals([0, 0.7], [0.6, 1.2]),
            ),
            "trials": Trials(pd.DataFrame(trials | {"licks": [(0.1, 0.2), ()]})),
            "probe/passive": Trials(pd.DataFrame({"start": [1.0], "stop": [1.0]})),
            "wheel": Series(T, rng.normal(size=60), ("speed",), "cm/s"),
            "embedding": Series(T, rng.normal(size=(60, 5)).astype(np.float16)),
            "dff": Series(T, rng.normal(size=(60, 2)), unit="dF/F", table=cells),
            "running": Series(T, rng.normal(size=60) > 0, valid=Intervals([0.1], [1.0])),
            "pose": Keypoints(
                T,
                rng.normal(size=(60, 2, 3, 2)),
                rng.uniform(size=(60, 2, 3)),
                ("nose", "paw/left", "tail"),
                ("m1", "m2"),
            ),
            "pose3d": Keypoints(T, rng.normal(size=(60, 1, 1, 3)), keypoints=("nose",), unit="mm"),
            "labels": Labels(
                pd.DataFrame(labels), ("groom", "rear", "run"), Intervals([0], [1.15])
            ),
        },
        "mouse 1",
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("nwb") / "m1.nwb"
    rates = Series(T, np.abs(np.sin(np.outer(T, [1, 2, 3]))), ("7", "3", "9"), "spikes/bin")
    write_nwb(
        path,
        session(),
        predictions={"rates": rates, "wheel": Series(T, T, ("speed",), "cm/s")},
        subject={"species": "Mus musculus", "sex": "U", "age": "P90D"},
        metadata={"lab": "L", "session_id": "s1"},
    )
    return path


def test_what_was_written_is_read_back(written):
    back = read_nwb(written)
    given = session()
    assert back.name == "m1" and back.subject == "mouse 1"
    assert list(back.streams) == [*given.streams, "predictions/rates", "predictions/wheel"]
    for name, stream in given.streams.items():
        same(stream, back[name])
    np.testing.assert_array_equal(back["predictions/wheel"].values[:, 0], T)
    assert back["predictions/rates"].channels == ("7", "3", "9")
    assert back.notes == ("units: 1 of 4 units have no spike; kept",)


def test_the_file_is_valid_and_says_it_in_nwb_terms(written):
    assert pynwb.validate(path=str(written)) == []
    with pynwb.NWBHDF5IO(written, "r") as io:
        file = io.read()
        assert file.subject.species == "Mus musculus" and file.lab == "L"
        units = file.units.to_dataframe()
        np.testing.assert_array_equal(units.loc[3, "spike_times"], session()["spikes"].train(3))
        np.testing.assert_array_equal(units.loc[3, "obs_intervals"], [[0, 0.6], [0.7, 1.2]])
        assert list(units["region"]) == ["CA1", "VISp", "", "CA1"]
        assert list(file.trials["choice"]) == [1, -1]
        assert list(file.intervals["labels"]["label"]) == ["groom", "", "rear", ""]
        pose = file.processing["behavior"]["pose_m2"]
        nose = pose["nose"]
        np.testing.assert_array_equal(nose.data[:], session()["pose"].of("nose", "m2"))
        np.testing.assert_array_equal(nose.confidence[:], session()["pose"].confidence[:, 1, 0])
        assert list(pose.skeleton.nodes) == ["nose", "paw_left", "tail"]
        assert file.processing["predictions"]["rates"].unit == "spikes/bin"


def test_calcium_traces_are_those_of_cells(tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"iscell": [True, False], "pixel_mask": [1.0, np.nan]})
    traces = Series(T, rng.normal(size=(60, 2)).astype(np.float32), unit="dF/F", table=table)
    streams = {"calcium": traces, "plane/2": Series(T, rng.normal(size=(60, 3)), unit="dF/F")}
    path = tmp_path / "a.nwb"
    write_nwb(path, Recording("m", streams), predictions={"calcium": traces})
    assert not pynwb.validate(path=str(path))
    back = read_nwb(path)
    assert back.notes == ("units: there is no table of units",)
    for name, stream in streams.items():
        same(stream, back[name])
    same(traces, back["predictions/calcium"])
    with pynwb.NWBHDF5IO(str(path), "r") as io:
        file = io.read()
        response = file.processing["ophys"]["DfOverF"]["calcium"]
        assert isinstance(response, pynwb.ophys.RoiResponseSeries)
        assert list(response.rois.table["iscell"].data) == [True, False]
        assert "calcium" in file.processing["predictions"].data_interfaces
    with h5py.File(path, "a") as file:
        del file["scratch/tinbergen"]  # what other programs see
    again = read_nwb(path, streams=["DfOverF/calcium"])["DfOverF/calcium"]
    np.testing.assert_array_equal(again.values, traces.values)
    assert list(again.table["iscell"]) == [True, False]


def test_pynapple_opens_it(written):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nap = pytest.importorskip("pynapple")
        data = nap.load_file(str(written))
        np.testing.assert_allclose(data["units"][7].t, session()["spikes"].train(7))
        np.testing.assert_allclose(data["dff"].d, session()["dff"].values)
        np.testing.assert_allclose(data["trials"].start, [0, 0.5])


def test_films_are_named_by_a_path_or_kept_inside(tmp_path, videos):
    film = Video(videos.write_video(tmp_path / "film" / "v.mp4"), offset=3.0)
    images = np.random.default_rng(0).integers(0, 255, (5, 8, 12, 3), dtype=np.uint8)
    with h5py.File(tmp_path / "stack.h5", "w") as file:
        file["video"] = images
    stack = ArrayVideo(tmp_path / "stack.h5", fps=10)
    path = tmp_path / "out" / "m.nwb"
    write_nwb(path, Recording("m", {"camera": film, "stack": stack}))
    back = read_nwb(path)
    np.testing.assert_array_equal(back["camera"].times, film.times)
    np.testing.assert_array_equal(back["camera"].frame(7), film.frame(7))
    np.testing.assert_array_equal(back["stack"].frames(range(5)).frames, images)
    np.testing.assert_array_equal(back["stack"].times, stack.times)
    clip = Recording("m", {"camera": film.between(3.2, 3.5)})
    with pytest.raises(DataError, match="clip"):
        write_nwb(tmp_path / "clip.nwb", clip)


def test_nothing_is_overwritten_and_nothing_is_left_half(tmp_path):
    path = tmp_path / "a.nwb"
    path.write_text("mine")
    wheel = Recording("a", {"wheel": Series(T, T)})
    with pytest.raises(OutputError, match="exists"):
        write_nwb(path, wheel)
    assert path.read_text() == "mine"
    write_nwb(path, wheel, overwrite=True)
    table = pd.DataFrame({"region": ["a\0"]})
    with pytest.raises(DataError, match="NUL"):
        write_nwb(tmp_path / "b.nwb", Recording("b", {"s": Spikes.of({0: [0.1]}, table)}))
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"session_start": datetime(2024, 1, 2)}, "time zone"),
        ({"metadata": {"labb": "L"}}, "labb"),
        ({"subject": {"specie": "x"}}, "specie"),
    ],
)
def test_what_nwb_does_not_know_is_refused(tmp_path, options: dict[str, Any], match):
    with pytest.raises(DataError, match=match):
        write_nwb(tmp_path / "a.nwb", session(), **options)


def test_several_populations_and_names_that_clash(tmp_path):
    spikes = {name: Spikes.of({"u/1": [0.1, 0.3], "u2": []}) for name in ("v1", "ca1")}
    series = {"a/b": Series(T, T), "a:b": Series(T, -T), "trials": Series(T, 2 * T)}
    path = tmp_path / "m.nwb"
    write_nwb(path, Recording("m", {**spikes, **series}), predictions=spikes)
    back = read_nwb(path)
    for name, stream in {**spikes, **series}.items():
        same(stream, back[name])
    same(spikes["v1"], back["predictions/v1"])
    assert pynwb.validate(path=str(path)) == []


def test_a_file_without_any_stream(tmp_path):
    write_nwb(tmp_path / "m.nwb", Recording("m"))
    back = read_nwb(tmp_path / "m.nwb")
    assert not back.streams and back.notes == ("units: there is no table of units",)


FINITE = st.floats(-1e6, 1e6, allow_nan=False, width=64)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1)


def _column(rows: int) -> st.SearchStrategy:
    def lists(values: st.SearchStrategy) -> st.SearchStrategy:
        return st.lists(values, min_size=rows, max_size=rows)

    floats = st.floats(allow_nan=True, allow_infinity=True)
    whole = st.integers(-(2**62), 2**62)
    arrays = [lists(floats).map(lambda v: np.array(v, np.float64))]
    arrays += [lists(whole).map(lambda v: np.array(v, np.int64))]
    arrays += [lists(st.booleans()).map(lambda v: np.array(v, bool))]
    arrays += [lists(TEXT).map(lambda v: pd.array(v, dtype="str"))]
    return st.one_of(arrays)


@st.composite
def tables(draw, rows: int) -> pd.DataFrame:
    names = draw(st.lists(NAMES, max_size=3, unique=True))
    names = [name for name in names if name not in ("start", "stop")]
    return pd.DataFrame({name: draw(_column(rows)) for name in names}, index=range(rows))


@st.composite
def recordings(draw) -> Recording:
    n_units = draw(st.integers(0, 4))
    table = draw(tables(n_units))
    ids = st.one_of(st.integers(-5, 2**40), TEXT.filter(bool)) if draw(st.booleans()) else TEXT
    kinds = st.lists(ids, min_size=n_units, max_size=n_units, unique_by=str)
    index = draw(kinds)
    whole = all(isinstance(each, int) for each in index)
    table.index = pd.Index(index if whole else [str(each) for each in index], dtype=None)
    n_spikes = draw(st.integers(0, 6)) if n_units else 0
    times = np.sort(draw(st.lists(FINITE, min_size=n_spikes, max_size=n_spikes)))
    units = draw(
        st.lists(st.integers(0, max(n_units - 1, 0)), min_size=n_spikes, max_size=n_spikes)
    )
    n_trials = draw(st.integers(0, 4))
    pairs = draw(st.lists(st.tuples(FINITE, FINITE), min_size=n_trials, max_size=n_trials))
    starts, stops = np.sort(np.reshape(pairs, (-1, 2)), axis=1).T if n_trials else ([], [])
    trials = draw(tables(n_trials)).assign(start=starts, stop=stops)
    n = draw(st.integers(0, 5))
    kind = draw(st.sampled_from(["f8", "f4", "i2", "u1", "?"]))
    values = np.array(draw(st.lists(FINITE, min_size=n, max_size=n))).astype(kind)
    when = np.sort(draw(st.lists(FINITE, min_size=n, max_size=n)))
    return Recording(
        "r",
        {
            "spikes": Spikes(np.array(times), np.array(units, int), table),
            "trials": Trials(trials.astype({"start": float, "stop": float})),
            draw(NAMES): Series(np.array(when), values[:, None], unit=draw(TEXT)),
        },
    )


@AGAIN
@given(recording=recordings())
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_any_recording_is_read_back(tmp_path, recording):
    path = tmp_path / "any.nwb"
    write_nwb(path, recording, overwrite=True)
    back = read_nwb(path)
    assert set(back.streams) == set(recording.streams)
    for name, stream in recording.streams.items():
        if isinstance(stream, Spikes | Trials) and not len(stream.table):
            assert not len(back[name].table)  # the types of its columns are lost
        else:
            same(stream, back[name])
