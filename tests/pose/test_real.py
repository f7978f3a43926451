"""The real mouse on its wheel: learned from its labels, followed through its video."""

from dataclasses import replace

import numpy as np
import pytest
from spots import SMALL

from tinbergen.pose import Predictor, evaluate, evaluate_tracks, open_labels, track, train
from tinbergen.recordings import Video, read_sleap


@pytest.fixture(scope="module")
def mirror_mouse(real_data):
    folder = real_data / "video/mouse_treadmill_mirror_lp"
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder}")
    return folder


def test_projects_open_as_they_are(real_data, mirror_mouse):
    labels = open_labels(mirror_mouse)
    assert (len(labels), len(labels.keypoints)) == (90, 17)
    assert not labels.missing_images()
    for name, n, k in (
        ("mouse_openfield_top_dlc", 116, 4),
        ("mouse_reaching_headfixed_dlc", 55, 5),
    ):
        labels = open_labels(real_data / "video" / name)
        assert (len(labels), len(labels.keypoints)) == (n, k)
        assert not labels.missing_images()


@pytest.mark.slow
def test_a_short_run_finds_the_mouse_in_frames_and_video(mirror_mouse, tmp_path):
    settings = {
        "longest": 128,
        "train": {"steps": 200, "tensorboard": False, "device": "cpu", "validate_every": 50},
    }
    run = train(mirror_mouse, tmp_path / "run", test=0.1, overrides=settings)
    found = evaluate(run, mirror_mouse, out=False)
    assert np.nanmean(found.distances) < 15  # 6 px after a full run at this size; mean pose: 39
    assert np.nanmean(found.null) > 30
    assert run.config["channels"] == 1
    video = Video(mirror_mouse / "videos/test_vid.mp4")
    pose = Predictor(run, device="cpu").video(video.between(0, 0.4))
    assert len(pose) == 100
    nose = pose.of("nose_top")
    assert np.linalg.norm(np.diff(nose, axis=0), axis=1).mean() < 5
    assert np.abs(np.median(nose, axis=0) - [390, 20]).max() < 12


@pytest.mark.slow
def test_a_set_with_frames_of_their_own_aspect(real_data, tmp_path):
    folder = real_data / "video/mouse_openfield_top_dlc"
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder}")
    settings = {"longest": 128, "train": {**SMALL["train"], "steps": 10}}
    run = train(folder, tmp_path / "run", test=0.1, overrides=settings)
    assert run.config["image_size"] == [96, 128]
    video = next((folder / "videos").glob("*.mp4"))
    assert len(Predictor(run, device="cpu").video(Video(video).between(0, 0.5))) in (15, 16)


@pytest.mark.parametrize(("noise", "lost"), [(0.0, 0.0), (3.0, 0.1)])
def test_proofread_tracks_that_were_taken_apart_come_together_again(real_data, noise, lost):
    folder = real_data / "video/flies_two_tracked_sleap"
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder}")
    truth = read_sleap(folder / "clip.slp", fps=25).between(36, 60)  # before, they stand still
    rng = np.random.default_rng(0)
    n = len(truth)
    order = np.stack([rng.permutation(2) for _ in range(n)])
    positions = np.take_along_axis(truth.positions, order[:, :, None, None], axis=1)
    positions = positions + rng.normal(0, noise, positions.shape)
    positions[rng.random((n, 2)) < lost] = np.nan
    broken = replace(truth, positions=positions)
    switches, _, _ = evaluate_tracks(track(broken), truth, broken)
    assert switches.value == 0 and (switches.null or 0) > 1000
