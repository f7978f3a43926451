"""NWB files of other programs, whole, odd and broken."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tinbergen.errors import DataError, MissingFileError
from tinbergen.recordings import Intervals, Trials, Video, read_nwb

pynwb: Any = pytest.importorskip("pynwb")

T = np.arange(50) * 0.1


# pynwb advises against some of what older files hold
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pynwb", "ignore::UserWarning:hdmf")


def new_file() -> Any:
    return pynwb.NWBFile(
        session_description="a session",
        identifier="1",
        session_start_time=datetime(2024, 1, 2, tzinfo=UTC),
        subject=pynwb.file.Subject(subject_id="mouse7"),
    )


def save(file: Any, path: Path) -> Path:
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(file)
    return path


def series(name: str, **options: Any) -> Any:
    given = {"data": np.arange(50.0), "unit": "cm", "timestamps": T, "description": "x"}
    if "rate" in options:
        given.pop("timestamps")
    return pynwb.TimeSeries(name=name, **(given | options))


def notes(recording: Any, *words: str) -> str:
    """The one note that holds all the words."""
    found = [note for note in recording.notes if all(word in note for word in words)]
    assert len(found) == 1, recording.notes
    return found[0]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    file = new_file()
    device = file.create_device("probe", description="d")
    groups = [
        file.create_electrode_group(name, description=name, location=name, device=device)
        for name in ("CA1", "DG")
    ]
    file.add_electrode_column("rel_y", "µm")
    for i in range(4):
        file.add_electrode(group=groups[i // 2], location=groups[i // 2].name, rel_y=20.0 * i)
    file.add_unit_column("KSLabel", "by Kilosort")
    file.add_unit_column("amplitudes", "of each spike", index=True)
    trains = [[0.3, 0.1, 0.2], [0.5, np.nan], [], [0.05, 0.95]]
    electrodes = [[0], [0, 3], [2, 3], [3]]
    for i, (train, rows) in enumerate(zip(trains, electrodes, strict=True)):
        file.add_unit(
            id=10 + i,
            spike_times=np.array(train),
            electrodes=rows,
            obs_intervals=np.array([[0.0, 1.0]]) if i else np.array([[0.0, 0.4], [0.5, 0.9]]),
            KSLabel="good" if i % 2 else "mua",
            waveform_mean=np.zeros((5, 2)),
            amplitudes=np.ones(len(train)),
        )
    file.add_trial_column("choice", "left or right")
    file.add_trial_column("licks", "s", index=True)
    file.add_trial(start_time=0.0, stop_time=0.5, choice="left", licks=[0.1, 0.2])
    file.add_trial(start_time=0.6, stop_time=np.nan, choice="right", licks=[])
    file.add_trial(start_time=0.9, stop_time=0.7, choice="left", licks=[0.8])
    epochs = pynwb.epoch.TimeIntervals(name="blocks", description="d")
    epochs.add_row(start_time=0.0, stop_time=1.0)
    file.add_time_intervals(epochs)
    file.add_invalid_time_interval(start_time=2.0, stop_time=2.5)

    file.add_acquisition(series("wheel", data=np.arange(50, dtype=np.int16), conversion=0.5))
    file.add_acquisition(series("pupil", rate=10.0, starting_time=3.0, offset=1.0))
    file.add_acquisition(series("late", timestamps=np.r_[T[:-1], np.nan]))
    file.add_acquisition(series("back", timestamps=T[::-1].copy()))
    file.add_acquisition(series("wide", data=np.zeros((50, 2, 3))))
    file.add_acquisition(
        pynwb.misc.AnnotationSeries(
            name="says", data=["go", "stop"], timestamps=[1.0, 2.0], description="x"
        )
    )
    file.add_acquisition(
        pynwb.misc.IntervalSeries(name="laser", data=[1, -1, 2, -2], timestamps=[0, 1, 2, 3.0])
    )
    behavior = file.create_processing_module("behavior", "d")
    for side in ("left", "right"):
        position = pynwb.behavior.Position(name=side)
        position.add_spatial_series(
            pynwb.behavior.SpatialSeries(
                name="head",
                data=np.ones((50, 2)) * (side == "left"),
                timestamps=T,
                reference_frame="corner",
                unit="cm",
            )
        )
        behavior.add(position)
    _add_fluorescence(file, device)
    return save(file, tmp_path_factory.mktemp("nwb") / "whole.nwb")


def _add_fluorescence(file: Any, device: Any) -> None:
    channel = pynwb.ophys.OpticalChannel(name="c", description="d", emission_lambda=500.0)
    plane = file.create_imaging_plane(
        name="plane",
        optical_channel=channel,
        description="d",
        device=device,
        excitation_lambda=900.0,
        imaging_rate=10.0,
        indicator="GCaMP6s",
        location="V1",
    )
    cells = pynwb.ophys.PlaneSegmentation(name="cells", description="d", imaging_plane=plane)
    cells.add_column("accepted", "is a cell")
    for i in range(3):
        cells.add_roi(image_mask=np.zeros((4, 4)), accepted=i != 1)
    module = file.create_processing_module("ophys", "d")
    module.add(pynwb.ophys.ImageSegmentation(plane_segmentations=[cells]))
    rois = cells.create_roi_table_region("some", region=[2, 0])
    response = pynwb.ophys.RoiResponseSeries(
        name="dff", data=np.arange(20.0).reshape(10, 2), rois=rois, unit="n.a.", rate=10.0
    )
    turned = pynwb.ophys.RoiResponseSeries(
        name="spks", data=np.arange(20.0).reshape(10, 2), rois=rois, unit="n.a.", rate=10.0
    )
    module.add(pynwb.ophys.Fluorescence(roi_response_series=[response, turned]))


def test_units(whole):
    recording = read_nwb(whole)
    spikes = recording["spikes"]
    assert recording.subject == "mouse7" and recording.name == "whole"
    np.testing.assert_array_equal(spikes.train(10), [0.1, 0.2, 0.3])
    np.testing.assert_array_equal(spikes.train(11), [0.5])
    assert list(spikes.table.index) == [10, 11, 12, 13]
    assert list(spikes.table["region"]) == ["CA1", "CA1+DG", "DG", "DG"]
    np.testing.assert_array_equal(spikes.table["depth"], [0, 30, 50, 60])
    assert list(spikes.table["quality"]) == ["mua", "good", "mua", "good"]
    assert spikes.valid == Intervals([0, 0.5], [0.4, 0.9])
    notes(recording, "units", "1 of 7 spikes left out", "finite")
    notes(recording, "units", "1 units were not ascending", "sorted")
    notes(recording, "units", "1 of 4 units have no spike")
    notes(recording, "units", "left out, not one value a row: amplitudes")
    notes(recording, "units", "1 units lie on electrodes of several regions")
    notes(recording, "units", "1 of 6 spikes lie outside the observed intervals")
    assert read_nwb(whole, observed="any")["spikes"].valid == Intervals([0], [1])


def test_intervals_and_events(whole):
    recording = read_nwb(whole)
    trials = recording["trials"].table
    assert trials.to_dict("list") == {
        "start": [0.0],
        "stop": [0.5],
        "choice": ["left"],
        "licks": [(0.1, 0.2)],
    }
    notes(recording, "trials", "1 of 3 rows left out", "not known", "row 1")
    notes(recording, "trials", "1 of 3 rows left out", "stop before start", "row 2")
    assert len(recording["blocks"]) == 1
    assert list(recording["says"].table["annotation"]) == ["go", "stop"]
    assert recording["laser"].table.values.tolist() == [[0, 1, 1], [2, 3, 2]]


def test_signals(whole):
    recording = read_nwb(whole)
    np.testing.assert_array_equal(recording["wheel"].values[:, 0], np.arange(50) * 0.5)
    assert recording["wheel"].unit == "cm"
    np.testing.assert_allclose(recording["pupil"].times, 3 + T)
    np.testing.assert_array_equal(recording["pupil"].values[:, 0], np.arange(50) + 1)
    assert len(recording["late"]) == 49
    notes(recording, "acquisition/late", "1 of 50 samples left out")
    assert recording["wide"].values.shape == (50, 6)
    assert recording["left/head"].channels == ("x", "y")
    assert recording["left/head"].values.all() and not recording["right/head"].values.any()
    assert "back" not in recording
    notes(recording, "acquisition/back", "run backwards 49 times", "sample 1")
    assert not recording["wheel"].valid.contains(np.array([2.2])).any()
    notes(recording, "invalid_times", "0.500 s")


def test_what_is_asked_for_must_be_readable(whole):
    assert list(read_nwb(whole, streams=["wheel"], name="a").streams) == ["wheel"]
    with pytest.raises(DataError, match=r"whole.nwb, acquisition/back: .*backwards"):
        read_nwb(whole, streams=["back"])
    with pytest.raises(DataError, match=r"no stream 'whel'; it has spikes, .*wheel"):
        read_nwb(whole, streams=["whel"])


def test_fluorescence(whole):
    dff = read_nwb(whole)["dff"]
    assert dff.values.shape == (10, 2) and dff.unit == ""
    assert list(dff.table["region"]) == ["V1", "V1"]
    assert list(dff.table["roi"]) == [2, 0] and dff.table["accepted"].all()


def changed(whole: Path, tmp_path: Path, change: Any) -> Path:
    path = tmp_path / "changed.nwb"
    path.write_bytes(whole.read_bytes())
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def _replace(file: Any, name: str, data: Any) -> None:
    attributes = dict(file[name].attrs)
    del file[name]
    file[name] = data
    file[name].attrs.update(attributes)


BROKEN = {
    "no units": (lambda f: f.__delitem__("units"), ["units", "no table"]),
    "no spike times": (lambda f: f.__delitem__("units/spike_times"), ["units", "no column"]),
    "no index": (lambda f: f.__delitem__("units/spike_times_index"), ["no spike_times_index"]),
    "index beyond": (
        lambda f: f["units/spike_times_index"].__setitem__(3, 99),
        ["units", "row 3 ends at 99"],
    ),
    "ids twice": (lambda f: f["units/id"].__setitem__(1, 10), ["units", "stand twice"]),
    "short column": (lambda f: _replace(f, "units/KSLabel", ["a"]), ["KSLabel", "1 rows", "4"]),
    "electrode beyond": (lambda f: f["units/electrodes"].__setitem__(0, 9), ["electrodes: row 9"]),
    "no stop": (lambda f: f.__delitem__("intervals/trials/stop_time"), ["trials", "stop_time"]),
    "no time": (
        lambda f: f.__delitem__("acquisition/wheel/timestamps"),
        ["acquisition/wheel", "neither timestamps"],
    ),
    "short times": (
        lambda f: _replace(f, "acquisition/wheel/timestamps", T[:9]),
        ["acquisition/wheel", "50 samples, but 9 timestamps"],
    ),
    "no rate": (
        lambda f: f["acquisition/pupil/starting_time"].attrs.__setitem__("rate", 0.0),
        ["acquisition/pupil", "0.0 Hz"],
    ),
    "turned": (
        lambda f: _replace(
            f, "processing/ophys/Fluorescence/dff/data", np.arange(20.0).reshape(2, 10)
        ),
        ["dff", "turned round"],
    ),
    "no roi": (
        lambda f: f["processing/ophys/Fluorescence/dff/rois"].__setitem__(0, 7),
        ["dff", "row 7"],
    ),
    "a link to nothing": (
        lambda f: f["acquisition"].__setitem__("far", h5py.ExternalLink("no.nwb", "/a")),
        ["acquisition/far", "leads to nothing"],
    ),
    "no data": (
        lambda f: f.__delitem__("acquisition/wheel/data"),
        ["acquisition/wheel", "without data"],
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_costs_one_item_and_is_named(whole, tmp_path, case):
    change, words = BROKEN[case]
    recording = read_nwb(changed(whole, tmp_path, change))
    notes(recording, *words)
    assert "blocks" in recording and "right/head" in recording


def test_turned_traces_are_the_same_traces(whole, tmp_path):
    data = np.arange(20.0).reshape(10, 2).T
    name = "processing/ophys/Fluorescence/dff/data"
    path = changed(whole, tmp_path, lambda f: _replace(f, name, data))
    np.testing.assert_array_equal(read_nwb(path)["dff"].values, data.T)


def test_units_never_observed_together(whole, tmp_path):
    def change(file: Any) -> None:
        file["units/obs_intervals"][2] = [5.0, 6.0]

    path = changed(whole, tmp_path, change)
    notes(read_nwb(path), "units", "no time at which all units")
    assert read_nwb(path, observed="any")["spikes"].valid.duration == pytest.approx(2.0)


def test_large_signals_are_read_only_by_name(whole, monkeypatch):
    monkeypatch.setattr("tinbergen.recordings.nwb_streams.MAX_BYTES", 50 * 8 - 1)
    recording = read_nwb(whole)
    assert "pupil" not in recording and "wheel" in recording  # 16 bit
    notes(recording, "acquisition/pupil", "streams=")
    assert len(read_nwb(whole, streams=["pupil"])["pupil"]) == 50


def test_pose(tmp_path):
    ndx_pose: Any = pytest.importorskip("ndx_pose")
    file = new_file()
    module = file.create_processing_module("behavior", "d")
    skeleton = ndx_pose.Skeleton(name="s", nodes=["nose", "ear"], subject=file.subject)
    module.add(ndx_pose.Skeletons(skeletons=[skeleton]))
    parts = [
        ndx_pose.PoseEstimationSeries(
            name=name,
            data=np.full((len(times), 2), k + 1.0),
            reference_frame="corner",
            timestamps=times,
            confidence=np.full(len(times), 0.9) if k else None,
            conversion=2.0,
        )
        for k, (name, times) in enumerate([("nose", T), ("ear", T[::2])])
    ]
    module.add(ndx_pose.PoseEstimation(pose_estimation_series=parts, skeleton=skeleton))
    recording = read_nwb(save(file, tmp_path / "pose.nwb"))
    pose = recording["PoseEstimation"]
    assert pose.keypoints == ("nose", "ear") and pose.individuals == ("mouse7",)
    assert pose.unit == "px"
    np.testing.assert_array_equal(pose.of("nose"), np.full((50, 2), 2.0))
    np.testing.assert_array_equal(pose.of("ear")[:, 0], [4, np.nan] * 25)
    np.testing.assert_array_equal(pose.confidence[0, 0], [np.nan, 0.9])
    notes(recording, "PoseEstimation", "times of their own")


def test_films(tmp_path, videos):
    for name in ("a.mp4", "b.mp4"):
        videos.write_video(tmp_path / name, 40)
    file = new_file()

    def film(name: str, **options: Any) -> None:
        file.add_acquisition(pynwb.image.ImageSeries(name=name, unit="n.a.", **options))

    film(
        "one",
        external_file=["a.mp4"],
        format="external",
        rate=20.0,
        starting_time=5.0,
        num_samples=40,
    )
    both = {"external_file": ["a.mp4", "b.mp4"], "starting_frame": [0, 40], "format": "external"}
    film("two", **both, timestamps=np.arange(80.0))
    film("lost", external_file=["c.mp4"], format="external", timestamps=T)
    film("inside", data=np.zeros((4, 6, 8), np.uint8), timestamps=np.arange(4.0))
    film("deep", data=np.zeros((4, 6, 8), np.uint16), rate=1.0)
    recording = read_nwb(save(file, tmp_path / "film.nwb"))
    assert set(recording.streams) == {"one", "two/0", "two/1", "inside"}
    assert isinstance(recording["one"], Video)
    np.testing.assert_allclose(recording["one"].times, 5 + np.arange(40) / 20)
    np.testing.assert_array_equal(recording["two/1"].times, np.arange(40.0, 80))
    assert recording["inside"].frame(2).shape == (6, 8, 3)
    notes(recording, "lost", "c.mp4")
    notes(recording, "deep", "uint16")


def test_tables_of_events(tmp_path):
    file = new_file()
    if not hasattr(file, "add_events_table"):
        pytest.skip("this pynwb has no tables of events")
    table = pynwb.event.EventsTable(name="tones", description="d")
    table.add_column("pitch", "Hz")
    table.add_row(timestamp=0.5, pitch=440)
    table.add_row(timestamp=1.5, pitch=220)
    file.add_events_table(table)
    tones = read_nwb(save(file, tmp_path / "events.nwb"))["tones"]
    assert tones.table.to_dict("list") == {
        "start": [0.5, 1.5],
        "stop": [0.5, 1.5],
        "pitch": [440, 220],
    }


def test_other_files_are_refused(tmp_path):
    with pytest.raises(MissingFileError, match="found none"):
        read_nwb(tmp_path / "no.nwb")
    with pytest.raises(MissingFileError, match="Zarr"):
        read_nwb(tmp_path)
    (tmp_path / "text.nwb").write_text("hello")
    with pytest.raises(DataError, match="damaged"):
        read_nwb(tmp_path / "text.nwb")
    with h5py.File(tmp_path / "h5.nwb", "w"):
        pass
    with pytest.raises(DataError, match="expected an NWB 2 file, found no nwb_version"):
        read_nwb(tmp_path / "h5.nwb")
    with pytest.raises(DataError, match="observed"):
        read_nwb(tmp_path / "h5.nwb", observed="both")  # type: ignore[arg-type]


def test_human_recording(real_data):
    """Zheng et al. 2022 (DANDI 000207); pynwb 4 does not open it, for its list of films."""
    path = real_data / "neural" / "human_mtl_zheng_nwb" / "sub-4_ses-4_ecephys+image.nwb"
    recording = read_nwb(path)
    spikes = recording["spikes"]
    assert spikes.n_units == 35 and len(spikes) == 214278
    regions = spikes.table["region"]
    assert set(regions) == {"hippocampus_right", "amygdala_right"}
    sizes = {"encoding_table": 90, "recognition_table": 180, "timediscrimination_table": 180}
    for name, size in sizes.items():
        assert isinstance(recording[name], Trials) and len(recording[name]) == size
    with h5py.File(path, "r") as file:
        units: Any = file["units"]
        ends, electrodes = units["spike_times_index"][()], units["electrodes"][()]
        places: Any = file["general/extracellular_ephys/electrodes/location"]
        for row in (0, 17, 34):
            train = units["spike_times"][ends[row - 1] if row else 0 : ends[row]]
            np.testing.assert_array_equal(spikes.train(spikes.table.index[row]), np.sort(train))
            assert regions.iloc[row] == places.asstr()[electrodes[row]]
        table: Any = file["intervals/recognition_table"]
        order = np.argsort(table["start_time"][()], kind="stable")
        times = recording["recognition_table"].column("RT")
        np.testing.assert_array_equal(times, table["RT"][()][order])
    notes(recording, "acquisition/events", "backwards")
    notes(recording, "StimulusPresentation_encoding", "90 of 90 files are absent")
