"""IBL session folders, whole and broken, made here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tinbergen.errors import MissingFileError
from tinbergen.recordings import Intervals, Video, read_alf

UUID = "0a1b2c3d-1111-2222-3333-0123456789ab"
CAMERA = np.arange(30) / 60.0


def save(path: Path, values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(values, pd.DataFrame):
        values.to_parquet(path) if path.suffix == ".pqt" else values.to_csv(path, index=False)
    else:
        np.save(path, values)


def probe(folder: Path, **changes: Any) -> None:
    """Six spikes of clusters 0, 1 and 3 of four, on channels 2, 0, 1 and 1."""
    metrics = pd.DataFrame({"cluster_id": [0, 1, 2, 3], "label": [1, 0.3, 1, 1]})
    standard = {
        "spikes.times": np.array([0.5, 1.0, 1.5, 2.0, 2.5, 3.0]),
        "spikes.clusters": np.array([0, 1, 1, 0, 3, 3], np.uint32),
        "spikes.amps": np.ones(6),
        "clusters.channels": np.array([2, 0, 1, 1]),
        "clusters.depths": np.array([40.0, 0, 20, 20]),
        "clusters.metrics": metrics,
        "clusters.waveforms": np.zeros((4, 3, 2)),
        "channels.brainLocationIds_ccf_2017": np.array([382, 997, 385]),
    }
    for name, values in (standard | changes).items():
        suffix = ".pqt" if isinstance(values, pd.DataFrame) else ".npy"
        if values is not None:
            save(folder / f"{name}{suffix}", values)


def session(tmp_path: Path) -> Path:
    folder = tmp_path / "lab" / "Subjects" / "KS014" / "2019-12-03" / "001"
    alf = folder / "alf"
    probe(alf / "probe00" / "pykilosort")
    trials = {
        "intervals_0": [0.0, 1.0, 2.0],
        "intervals_1": [0.9, 1.9, np.nan],
        "goCue_times": [0.2, 1.2, 2.2],
        "stimOn_times": [0.19, 1.19, 2.19],
        "choice": [1.0, -1.0, 1.0],
        "probabilityLeft": [0.5, 0.8, 0.8],
        "contrastLeft": [0.25, np.nan, np.nan],
        "contrastRight": [np.nan, 1.0, 0.0],
        "feedbackType": [1, -1, 1],
    }
    save(alf / "_ibl_trials.table.pqt", pd.DataFrame(trials))
    save(alf / "_ibl_wheel.position.npy", np.array([0.0, 0.0, 2.0, 2.0]))
    save(alf / "_ibl_wheel.timestamps.npy", np.array([0.0, 1.0, 2.0, 3.0]))
    save(alf / "licks.times.npy", np.array([0.4, np.nan, 0.1]))
    save(alf / "_ibl_leftCamera.times.npy", CAMERA)
    save(alf / f"leftCamera.ROIMotionEnergy.{UUID}.npy", np.arange(30.0))
    dlc = {"nose_tip_x": CAMERA, "nose_tip_y": CAMERA + 1, "nose_tip_likelihood": CAMERA * 0 + 0.9}
    save(alf / "_ibl_leftCamera.dlc.pqt", pd.DataFrame(dlc))
    save(alf / "_ibl_leftCamera.features.pqt", pd.DataFrame({"pupilDiameter_raw": CAMERA}))
    return folder


def notes(recording: Any, *words: str) -> str:
    found = [note for note in recording.notes if all(word in note for word in words)]
    assert len(found) == 1, recording.notes
    return found[0]


def test_a_session(tmp_path):
    recording = read_alf(session(tmp_path))
    assert recording.name == "KS014_2019-12-03_001" and recording.subject == "KS014"
    spikes = recording["spikes"]
    np.testing.assert_array_equal(spikes.train(1), [1.0, 1.5])
    table = spikes.table
    assert list(table["region"]) == ["385", "382", "997", "997"]
    assert list(table["quality"]) == ["good", "mua", "good", "good"]
    assert list(table["depth"]) == [40, 0, 20, 20] and list(table["channel"]) == [2, 0, 1, 1]
    assert list(table["n_spikes"]) == [2, 2, 0, 2] and set(table["probe"]) == {"probe00"}
    trials = recording["trials"].table
    assert list(trials.columns) == [
        *("start", "stop", "go_cue", "stim_on", "choice", "probability_left"),
        *("contrast_left", "contrast_right", "feedback_type", "contrast"),
    ]
    assert list(trials["contrast"]) == [-0.25, 1.0]
    notes(recording, "trials", "1 of 3 rows left out")
    np.testing.assert_array_equal(recording["licks"].train("lick"), [0.1, 0.4])
    notes(recording, "licks", "1 of 3")
    notes(recording, "rightCamera: no times")


def test_the_wheel_turns_at_one_speed(tmp_path):
    """2 rad/s between 1 and 2 s, and nothing before or after; no gap where it stands."""
    recording = read_alf(session(tmp_path) / "alf")
    wheel, speed = recording["wheel"], recording["wheel_speed"]
    assert wheel.valid == Intervals([0], [3]) and wheel.unit == "rad"
    values = speed.values[:, 0]
    inside = (speed.times > 1.03) & (speed.times < 1.97)
    outside = (speed.times < 0.97) | (speed.times > 2.03)
    np.testing.assert_allclose(values[inside], 2.0)
    np.testing.assert_allclose(values[outside], 0.0, atol=1e-9)
    np.testing.assert_allclose(values.sum() / 250, 2.0, atol=0.01)  # all of the way


def test_cameras(tmp_path, videos):
    folder = session(tmp_path)
    raw = folder / "raw_video_data" / f"_iblrig_leftCamera.raw.{UUID}.mp4"
    videos.write_video(raw, 30)
    recording = read_alf(folder)
    energy = recording["left_camera_motion_energy"]
    np.testing.assert_array_equal(energy.values[:, 0], np.arange(30))
    np.testing.assert_array_equal(energy.times, CAMERA)
    pose = recording["left_camera_dlc"]
    assert pose.keypoints == ("nose_tip",)
    np.testing.assert_array_equal(pose.of("nose_tip"), np.stack([CAMERA, CAMERA + 1], axis=1))
    assert (pose.confidence == 0.9).all()
    assert recording["left_camera_features"].channels == ("pupilDiameter_raw",)
    assert isinstance(recording["left_camera"], Video)
    np.testing.assert_array_equal(recording["left_camera"].times, CAMERA)
    videos.write_video(raw, 29)
    save(folder / "alf" / f"leftCamera.ROIMotionEnergy.{UUID}.npy", np.arange(31.0))
    recording = read_alf(folder)
    assert "left_camera" not in recording and "left_camera_motion_energy" not in recording
    notes(recording, "leftCamera_motion_energy", "31 rows, but 30 times")
    notes(recording, "leftCamera: left out", "29 frames")


def test_probes_sorters_and_revisions(tmp_path):
    folder = session(tmp_path)
    alf = folder / "alf"
    revised = alf / "probe00" / "pykilosort" / "#2024-05-06#"
    save(revised / f"spikes.times.{UUID}.npy", np.arange(6.0))
    save(alf / "probe00" / "pykilosort" / "#2023-05-06#" / "spikes.times.npy", np.zeros(6))
    probe(alf / "probe00" / "ks2_matlab", **{"spikes.times": np.zeros(6)})
    probe(alf / "probe01", **{"channels.acronym": None})
    recording = read_alf(folder)
    spikes = recording["spikes"]
    assert spikes.n_units == 8 and list(spikes.table["probe"]) == ["probe00"] * 4 + ["probe01"] * 4
    np.testing.assert_array_equal(spikes.train("probe00_0"), [0.0, 3.0])
    np.testing.assert_array_equal(spikes.train("probe01_0"), [0.5, 2.0])
    notes(recording, "probe00/pykilosort is used, not probe00/ks2_matlab")


def test_trials_of_single_files(tmp_path):
    alf = tmp_path / "alf"
    save(alf / "_ibl_trials.intervals.npy", np.array([[0.0, 1.0], [2.0, 1.5], [3, 4]]))
    save(alf / "_ibl_trials.stimOn_times.npy", np.array([[0.1], [2.1], [3.1]]))
    save(alf / "_ibl_trials.choice.npy", np.array([1, -1]))
    recording = read_alf(tmp_path)
    assert recording["trials"].table.to_dict("list") == {
        "start": [0.0, 3.0],
        "stop": [1.0, 4.0],
        "stim_on": [0.1, 3.1],
    }
    notes(recording, "trials.choice", "2 rows, not 3")
    notes(recording, "trials: 1 of 3")
    notes(recording, "spikes: none")
    notes(recording, "wheel: none")


P = "alf/probe00/pykilosort/"
BROKEN: dict[str, tuple[Callable[[Path], Any], tuple[str, ...], bool]] = {
    "length": (
        lambda f: save(f / P / "spikes.clusters.npy", np.zeros(5, int)),
        ("spikes left out", "6 spikes.times, but 5"),
        False,
    ),
    "no clusters": (
        lambda f: (f / P / "spikes.clusters.npy").unlink(),
        ("spikes left out", "not both there"),
        False,
    ),
    "negative": (
        lambda f: save(f / P / "spikes.clusters.npy", np.full(6, -1)),
        ("spikes left out", "no number of a cluster"),
        False,
    ),
    "no such cluster": (
        lambda f: save(f / P / "spikes.clusters.npy", np.full(6, 10**9)),
        ("spikes left out", "1000000000"),
        False,
    ),
    "text": (
        lambda f: save(f / P / "spikes.clusters.npy", np.array(list("abcdef"))),
        ("spikes.clusters left out: not numbers",),
        False,
    ),
    "no byte": (
        lambda f: (f / P / "spikes.times.npy").write_bytes(b""),
        ("pykilosort/spikes.times.npy: left out",),
        False,
    ),
    "not numpy": (
        lambda f: (f / P / "spikes.times.npy").write_text("x"),
        ("pykilosort/spikes.times.npy: left out",),
        False,
    ),
    "nan": (
        lambda f: save(f / P / "spikes.times.npy", np.r_[np.nan, np.arange(5.0)]),
        ("1 of 6 spikes have no time",),
        True,
    ),
    "unsorted": (
        lambda f: save(f / P / "spikes.times.npy", np.arange(6.0)[::-1].copy()),
        ("not ascending; sorted",),
        True,
    ),
    "not listed": (
        lambda f: save(f / P / "spikes.clusters.npy", np.array([0, 1, 1, 0, 5, 5])),
        ("2 clusters have spikes but no entry",),
        True,
    ),
    "no metrics": (lambda f: (f / P / "clusters.metrics.pqt").unlink(), ("no clusters.m",), True),
    "no regions": (
        lambda f: (f / P / "channels.brainLocationIds_ccf_2017.npy").unlink(),
        ("regions are not known",),
        True,
    ),
    "channels": (
        lambda f: save(f / P / "clusters.channels.npy", np.array([2, 0, 1, 7])),
        ("do not fit",),
        True,
    ),
    "wheel": (
        lambda f: save(f / "alf/_ibl_wheel.timestamps.npy", np.array([0.0, 2, 1, 3])),
        ("wheel: left out", "backwards"),
        True,
    ),
    "wheel nan": (
        lambda f: save(f / "alf/_ibl_wheel.position.npy", np.array([0.0, np.nan, 1, 3])),
        ("wheel: left out", "NaN"),
        True,
    ),
    "wheel length": (
        lambda f: save(f / "alf/_ibl_wheel.position.npy", np.zeros(7)),
        ("wheel: left out", "7 positions"),
        True,
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_is_noted_and_not_fatal(tmp_path, case):
    change, words, spikes = BROKEN[case]
    folder = session(tmp_path)
    change(folder)
    recording = read_alf(folder)
    notes(recording, *words)
    assert ("spikes" in recording) is spikes and "trials" in recording
    if case == "not listed":
        assert list(recording["spikes"].table["quality"])[4:] == ["unlisted"] * 2


def test_folders_that_are_no_session(tmp_path):
    with pytest.raises(MissingFileError, match="found none"):
        read_alf(tmp_path / "no")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(MissingFileError, match="no ALF file"):
        read_alf(tmp_path)
