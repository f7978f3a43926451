"""What selectors find, and how each kind of stream comes onto bins."""

from typing import Any

import cv2
import h5py
import numpy as np
import pandas as pd
import pytest

from tinbergen.encoding.features import features_on, find_features, named_features
from tinbergen.encoding.grid import Grid
from tinbergen.encoding.pixels import FramePixels, motion_energy
from tinbergen.encoding.sources import find_source
from tinbergen.encoding.streams import as_classes
from tinbergen.errors import ConfigError, DataError, MissingFileError
from tinbergen.recordings import (
    ArrayVideo,
    Intervals,
    Keypoints,
    Labels,
    Recording,
    Series,
    Spikes,
    Trials,
)

GRID = Grid.over(Intervals([0.0], [10.0]), 0.5)


@pytest.fixture
def recording():
    times = np.arange(0, 10, 0.1)
    wheel = Series(times, np.stack([times, -times], 1), ("speed", "turn"), "cm/s")
    angle = Series(times, np.rad2deg(times) % 360, ("yaw",), "deg")
    pose = np.zeros((100, 1, 2, 2))
    pose[:, 0, 0, 0] = 3 * times
    pose[:, 0, 1] = np.nan
    pose[20, 0, 0, 0] = np.nan
    table = pd.DataFrame(
        {"region": ["VISp", "CA1", "VISp"], "depth": [1.0, 2, 3]}, index=[7, 8, 9]
    )
    spikes = Spikes.of({7: [0.1, 0.6], 8: [0.7], 9: [9.9]}, table, Intervals([0], [10]))
    counts = Series(times, np.ones((100, 2)), ("a", "b"), "spikes/bin")
    trials = Trials(
        pd.DataFrame(
            {
                "start": [0.0, 5.0],
                "stop": [4.0, 9.0],
                "choice": ["left", "right"],
                "contrast": [0.25, 1.0],
                "go": [1.2, np.nan],
            }
        )
    )
    labels = Labels(
        pd.DataFrame({"start": [0.0, 5.0], "stop": [5.0, 8.0], "label": ["rest", "walk"]})
    )
    streams = {"wheel": wheel, "head": angle, "spikes": spikes, "counts": counts}
    streams |= {"trials": trials, "state": labels}
    streams["pose"] = Keypoints(times, pose, keypoints=("nose", "tail"))
    return Recording("m/1", streams)


def columns(recording, selector, **options):
    return find_source(recording, selector, **options).on(GRID)


def test_series_channels_and_angles(recording):
    assert columns(recording, "wheel").names == ("speed", "turn")
    one = columns(recording, "wheel/turn")
    assert one.names == ("turn",)
    assert np.allclose(one.values[:, 0], -(GRID.starts + 0.2), atol=1e-6)
    angle = columns(recording, "head:circular")
    assert angle.kind == "angle"
    assert angle.names == ("cos yaw", "sin yaw")
    assert np.allclose(angle.values[:, 0], np.cos(GRID.starts + 0.2), atol=0.02)


def test_units_of_a_region(recording):
    every = columns(recording, "spikes")
    assert every.kind == "counts"
    assert every.values.sum() == 4
    assert columns(recording, "spikes/VISp").names == ("7", "9")
    assert columns(recording, "spikes/depth=2.0").names == ("8",)
    assert columns(recording, "counts").values.tolist() == [[5.0, 5.0]] * 20
    with pytest.raises(DataError, match=r"region \(CA1, VISp\), depth \(\d values"):
        columns(recording, "spikes/nowhere")


def test_keypoints_bridge_short_holes_and_drop_what_is_rarely_seen(recording):
    pose = columns(recording, "pose")
    assert pose.names == ("nose x", "nose y", "nose x/s", "nose y/s")
    assert np.allclose(pose.values[:, 0], 3 * (GRID.starts + 0.2), atol=1e-5)
    assert np.allclose(pose.values[:, 2], 3.0, atol=1e-4)
    assert any("interpolated" in note for note in pose.notes)
    assert any("left out" in note for note in pose.notes)
    speed = columns(recording, "pose/nose:speed")
    assert np.allclose(speed.values, 3.0, atol=1e-4)


def test_trial_columns_as_regressors(recording):
    inside = GRID.in_trials(recording["trials"])
    steps = find_source(recording, "contrast").on(inside)
    assert steps.names == ("contrast 0.25", "contrast 1")
    numbers = find_source(recording, "contrast:numbers").on(inside).values[:, 0]
    assert numbers.tolist() == [0.25] * 8 + [0.0] * 2 + [1.0] * 8 + [0.0] * 2
    events = find_source(recording, "go:events").on(inside).values[:, 0]
    assert np.flatnonzero(events).tolist() == [2]
    target = find_source(recording, "trials/choice", as_target=True)
    assert target.trials is recording["trials"]
    assert target.on(inside).classes == ("left", "right")


def test_labels_are_shares_or_classes(recording):
    shares = columns(recording, "state")
    assert shares.values[0].tolist() == [1.0, 0.0]
    assert np.isnan(shares.values[-1]).all()
    target = columns(recording, "state", as_target=True)
    assert target.values[:, 0].tolist() == [0] * 10 + [1] * 6 + [-1] * 4
    one = columns(recording, "state/walk", as_target=True)
    assert one.classes == ("not walk", "walk")


@pytest.mark.parametrize(
    ("selector", "kind", "says"),
    [
        ("whel", DataError, "It has: wheel, head"),
        ("wheel/spin", DataError, "among speed, turn"),
        ("wheel:pca", ConfigError, "views values, circular"),
        ("choice:numbers", DataError, "holds names"),
    ],
)
def test_what_is_not_there_is_said(recording, selector, kind, says):
    with pytest.raises(kind, match=says):
        columns(recording, selector)


def test_feature_sets_have_names(recording, tmp_path):
    assert list(named_features("a, b")) == ["a", "b"]
    assert list(named_features(["a,b", "c"])) == ["a", "b", "c"]
    assert list(named_features({"move": "wheel", "look": "pose"})) == ["move", "look"]
    series = Series(np.arange(2.0), np.arange(2.0))
    assert list(named_features({"m/1": series})) == ["features"]
    with pytest.raises(ConfigError, match="twice"):
        named_features("a,a")
    with pytest.raises(ConfigError, match="found none"):
        named_features("")
    sets = features_on(find_features(recording, named_features("wheel,head")), GRID)
    assert sets.known.all()


def test_embeddings_are_read_from_their_folder(recording, tmp_path):
    folder = tmp_path / "m" / "1"
    folder.mkdir(parents=True)
    times = np.arange(0, 10, 0.1)
    tokens = np.stack([times, times**2], 1).astype(np.float16)
    tokens[5] = np.nan
    np.save(folder / "cls.npy", tokens)
    index = pd.DataFrame({"frame": range(100), "time": times, "status": 0})
    index.to_parquet(folder / "index.parquet")
    found = columns(recording, str(tmp_path))
    assert found.names == ("cls0", "cls1")
    assert np.allclose(found.values[0, 0], np.mean([0.0, 0.1, 0.2, 0.3, 0.4]), atol=1e-3)
    assert np.allclose(found.values[1, 0], np.mean([0.6, 0.7, 0.8, 0.9]), atol=1e-3)
    with pytest.raises(MissingFileError, match="no 'patch' tokens; it has: cls"):
        columns(recording, f"{tmp_path}:patch")
    other = Recording("m/2", {"wheel": recording["wheel"]})
    with pytest.raises(MissingFileError, match="embedding of recording 'm/2'"):
        find_source(other, str(tmp_path))


# --- video -----------------------------------------------------------------------------------


def film(path, frames: Any):
    with h5py.File(path, "w") as file:
        file["video"] = np.asarray(frames, np.uint8)
    return ArrayVideo(path, fps=10.0)


def test_motion_energy_is_the_mean_change(tmp_path):
    frames = np.zeros((3, 2, 2), np.uint8)
    frames[1, 0, 0], frames[1, 1, 1] = 10, 2
    frames[2] = frames[1]
    frames[2, 0, 1] = 4
    video = film(tmp_path / "v.h5", frames)
    assert motion_energy(video).values.ravel().tolist() == pytest.approx(
        [np.nan, 3, 1], nan_ok=True
    )
    right = motion_energy(video, roi=(1, 0, 1, 2)).values.ravel().tolist()
    assert right == pytest.approx([np.nan, 1, 2], nan_ok=True)


def test_components_equal_a_plain_pca_of_the_training_frames(tmp_path):
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(100, 2)) * [30, 10]
    axes = cv2.GaussianBlur(rng.normal(size=(2, 8, 10)).astype(np.float32), (3, 3), 0)
    frames = np.clip(128 + np.einsum("tk,kyx->tyx", latent, axes), 0, 255)
    pixels = FramePixels(film(tmp_path / "v.h5", frames))
    used = np.arange(100) < 60
    got = pixels.components(used, n=2)
    flat = frames.astype(np.uint8).reshape(100, -1).astype(float)
    _, _, v = np.linalg.svd(flat[used] - flat[used].mean(axis=0), full_matrices=False)
    expected = (flat - flat[used].mean(axis=0)) @ v[:2].T
    for k in range(2):
        assert abs(np.corrcoef(got[:, k], expected[:, k])[0, 1]) > 0.9999
    assert np.allclose(np.abs(got), np.abs(expected), rtol=1e-2, atol=0.5)


def test_components_never_see_the_test(tmp_path):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (60, 6, 6), dtype=np.uint8)
    changed = frames.copy()
    changed[40:] = 255 - changed[40:]
    used = np.arange(60) < 40
    one = FramePixels(film(tmp_path / "a.h5", frames)).components(used, n=4)
    other = FramePixels(film(tmp_path / "b.h5", changed)).components(used, n=4)
    assert np.array_equal(one[:40], other[:40])


def test_video_views(tmp_path):
    frames = np.random.default_rng(0).integers(0, 255, (100, 8, 8), dtype=np.uint8)
    recording = Recording("r", {"cam": film(tmp_path / "v.h5", frames)})
    features = features_on(find_features(recording, named_features("cam,cam:motion")), GRID)
    train = np.arange(len(GRID)) < 12
    components = features.columns("cam", train)
    assert components.shape == (20, 63) or components.shape == (20, 59)
    assert features.columns("cam:motion", train).shape == (20, 1)
    assert features.known.sum() == 20


def test_numbers_that_never_recur_are_no_classes():
    times = pd.Series([0.31, 0.52, 0.44, np.nan, 0.9])
    values, classes = as_classes(times)
    assert classes == ()
    assert np.isnan(values[3])
    assert as_classes(pd.Series([0.25, 1.0, 0.25]))[1] == ("0.25", "1")
    assert as_classes(pd.Series([0, 1]))[1] == ("0", "1")
    whole = pd.Series([3, 1, 4, None], dtype="Int64")
    assert as_classes(whole)[0][:3].tolist() == [3, 1, 4]


def test_channels_without_a_name_are_called_by_their_stream():
    times = np.arange(0, 10, 0.1)
    grid = Grid.over(Intervals([0.0], [10.0]), 0.5)
    streams = {
        "pupil": Series(times, np.sin(times)),
        "pose": Series(times, np.zeros((100, 2))),
        "wheel": Series(times, np.sin(times), ("speed",)),
    }
    recording = Recording("day", streams)
    names = {s: find_source(recording, s).on(grid).names for s in (*streams, "pose/1")}
    assert names == {
        "pupil": ("pupil",), "pose": ("pose 0", "pose 1"), "wheel": ("speed",),
        "pose/1": ("pose 1",),
    }  # fmt: skip
    assert find_source(recording, "pupil:circular").on(grid).names == ("cos pupil", "sin pupil")
