"""Losses on video without labels: closed forms, gradients, and runs that use them."""

import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spots import NAMES, SIZE, SMALL, picture, write_project
from test_training import same

from tinbergen.configuration import merge
from tinbergen.errors import ConfigError, DataError, MissingFileError
from tinbergen.pose import PoseAugmentation, PoseEstimator, evaluate, train
from tinbergen.pose.augment import move_back, move_keypoints
from tinbergen.pose.clips import read_clips
from tinbergen.pose.config import PoseConfig, UnlabelledConfig
from tinbergen.pose.heatmaps import decode, gaussian_targets
from tinbergen.pose.video_losses import Plane, temporal_loss
from tinbergen.recordings import Video, write_video

ON = {"unlabelled": {"pca_singleview": 0.0, "clips": 6, "jump": 0.0}}
FEW = merge(SMALL, merge(ON, {"train": {"steps": 12, "validate_every": 4, "checkpoint_every": 3}}))


# ---- the losses by themselves


def test_jumps_cost_what_they_exceed_the_threshold_by():
    places = torch.tensor([0.0, 0.0, 5.0, 30.0])  # steps of 0, 5 and 25 px
    walk = torch.stack([places, torch.zeros(4)], dim=-1)[:, None, None]
    sure = torch.ones(4, 1, 1)
    assert float(temporal_loss(walk, sure, 20.0)) == pytest.approx(5 / 3)
    assert float(temporal_loss(walk, sure, 25.0)) == 0
    unsure = torch.tensor([1.0, 1.0, 1.0, 0.01])[:, None, None]
    assert float(temporal_loss(walk, unsure, 20.0)) == 0
    assert float(temporal_loss(walk, torch.zeros(4, 1, 1), 20.0)) == 0


def world(n: int, parts: int, cameras: int, seed: int) -> np.ndarray:
    """Points in space seen by far cameras, ``(frame, part * camera, 2)`` px."""
    rng = np.random.default_rng(seed)
    points = rng.normal(0, 30, (n, parts, 3))
    lenses = rng.normal(0, 1, (cameras, 2, 3))
    return np.einsum("cij,npj->npci", lenses, points).reshape(n, -1, 2) + 100


@given(st.integers(2, 4), st.integers(1, 3), st.integers(0, 99))
def test_views_of_points_in_space_lie_in_three_dimensions(cameras, parts, seed):
    seen = world(40, parts, cameras, seed)
    columns = np.arange(parts * cameras).reshape(parts, cameras)
    plane = Plane.fit(seen, columns, 3, "test")
    assert plane.threshold < 1e-6
    other = torch.tensor(seen[:4] * 1.5 - 50, dtype=torch.float32)  # still views of points
    assert float(plane.loss(other)) < 1e-3


def test_a_shift_out_of_the_plane_costs_its_length():
    seen = world(60, 1, 2, 0)
    plane = Plane.fit(seen, np.array([[0, 1]]), 3, "test")
    full = np.linalg.svd(seen.reshape(60, 4) - seen.reshape(60, 4).mean(0))[2]
    moved = torch.tensor(seen + 7 * full[3].reshape(2, 2), dtype=torch.float32)
    left = 7 * np.linalg.norm(full[3].reshape(2, 2), axis=-1)
    assert np.linalg.norm(left) == pytest.approx(7)
    assert float(plane.loss(moved)) == pytest.approx(left.mean(), rel=1e-3)


def test_most_labels_cost_nothing():
    rng = np.random.default_rng(3)
    noisy = world(300, 1, 3, 1) + rng.normal(0, 1.0, (300, 3, 2))
    plane = Plane.fit(noisy, np.array([[0, 1, 2]]), 3, "test")
    assert 1 < plane.threshold < 5
    assert float(plane.loss(torch.tensor(noisy, dtype=torch.float32))) < 0.02


def test_too_few_poses_for_a_plane():
    seen = world(5, 1, 3, 0)
    with pytest.raises(DataError, match=r"at least 6 poses .* found 5.*--set a\.b=0"):
        Plane.fit(seen, np.array([[0, 1, 2]]), 3, "a.b")


@pytest.mark.parametrize("place", [(31.3, 20.9), (1.0, 46.5)])  # inside, and at the border
def test_gradients_reach_the_maps(place):
    target = gaussian_targets(torch.tensor([place]), (12, 16), 4, 1.25)
    logits = target.clamp_min(1e-9).log().double().requires_grad_()
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(logits.shape, generator=generator, dtype=torch.float64)
    decode(logits, 4, 1.25)[0].sum().backward()
    assert logits.grad is not None
    slope = float((logits.grad * direction).sum())
    with torch.no_grad():
        ends = [decode((logits + e * direction), 4, 1.25)[0].sum() for e in (1e-2, -1e-2)]
    assert slope == pytest.approx(float(ends[0] - ends[1]) / 2e-2, rel=0.05, abs=1e-3)


def test_positions_move_back_to_where_they_were():
    generator = torch.Generator().manual_seed(0)
    drawn = PoseAugmentation(rotation=90, flip=0.5).draw(16, (48, 64), generator)
    swap = torch.tensor([0, 2, 1])
    places = torch.rand(16, 3, 2, generator=generator) * 50
    back = move_back(move_keypoints(places, drawn, swap), drawn, swap)
    torch.testing.assert_close(back, places, atol=1e-3, rtol=0)


def test_the_weights_grow_from_nothing_to_all():
    settings = UnlabelledConfig(start=0.2, full=0.6)
    assert [settings.ramp(step, 100) for step in (0, 20, 40, 60, 99)] == pytest.approx(
        [0, 0, 0.5, 1, 1]
    )
    assert UnlabelledConfig(start=0.5, full=0.1).ramp(99, 100) == 1


# ---- clips


@pytest.mark.parametrize("n", [5, 38])
def test_clips_are_frames_in_a_row_all_over_the_video(film, n):
    config = PoseConfig(
        keypoints=NAMES, individuals=("individual",), image_size=(64, 96), channels=1,
        unlabelled=UnlabelledConfig(clips=n, frames=3),
    )  # fmt: skip
    video = Video(film[0])
    clips = read_clips([video], config, SIZE)
    assert clips.frames.shape == (n, 3, 64, 96, 1)
    whole = video.view(gray=True, size=(64, 96), keep_aspect=True).frames(np.arange(40)).frames
    starts = [
        int(np.abs(whole - c[0, ..., 0].astype(int)).sum((1, 2)).argmin()) for c in clips.frames
    ]
    for start, clip in zip(starts, clips.frames, strict=True):
        np.testing.assert_array_equal(clip[..., 0], whole[start : start + 3])
    assert np.ptp(starts) >= 24
    assert read_clips([video], config, SIZE).digest == clips.digest
    with pytest.raises(DataError, match=r"at least 3 frames.*film"):
        read_clips([video.between(0, 0.05)], config, SIZE)


# ---- runs


def test_runs_with_video_resume_exactly(project, film, tmp_path, killed_at):
    whole = train(project, tmp_path / "whole", videos=film[0], overrides=FEW)
    with killed_at(7):
        train(project, tmp_path / "k", videos=film[0], overrides=FEW)
    again = train(project, tmp_path / "k", videos=film[0], overrides=FEW, resume=True)
    assert same(whole, again)
    plain = train(project, tmp_path / "plain", overrides=SMALL | {"train": FEW["train"]})
    assert not same(whole, plain)


def test_a_run_with_every_loss_still_finds_the_spots(tmp_path):
    """Two views of one point, the second shifted: what PCA of several views is for."""
    rng = np.random.default_rng(0)
    project = write_project(tmp_path / "p", 24)
    lines = (project / "CollectedData.csv").read_text().replace("spot", "a_top")
    (project / "CollectedData.csv").write_text(lines.replace("dot", "a_bot"))
    places = rng.uniform(10, [70, 50], (30, 2, 2))
    frames = np.stack([picture(each) for each in places])
    write_video(tmp_path / "v.mp4", frames, np.arange(30) / 30)
    settings = {"views": ["_top", "_bot"], "clips": 8, "temporal": 1e-4, "pca_multiview": 1e-4}
    run = train(
        project, tmp_path / "run", test=0.2, videos=tmp_path / "v.mp4",
        overrides=merge(SMALL, {"unlabelled": settings, "augment": {"flip": 0.0}}),
    )  # fmt: skip
    assert np.nanmean(evaluate(run, project, out=False).distances) < 2
    lines = run.metrics_path.read_text()
    for name in ("temporal", "pca_singleview", "pca_multiview", "labelled"):
        assert f'"{name}"' in lines


def test_the_estimator_takes_videos(project, film):
    pose = PoseEstimator(settings=FEW, device="cpu").fit(project, videos=film[0])
    assert pose.run_.status["inputs"]["videos"]


def test_settings_that_do_not_go_together_are_refused_before_anything_is_read(
    project, film, tmp_path, unread
):
    with pytest.raises(ConfigError, match="unlabelled: these settings are for video"):
        train(project, tmp_path / "run", overrides=FEW)
    frozen = merge(FEW, {"encoder": {"image_size": [64, 96], "patch": 8, "channels": 1}})
    with pytest.raises(ConfigError, match=r"backbone is frozen: .* head\.frozen=false"):
        train(project, tmp_path / "run", videos=film[0], overrides=frozen)


def test_what_cannot_be_learned_from_video(project, film, tmp_path):
    with pytest.raises(DataError, match="No keypoint is there with each of the endings _l, _r"):
        settings = merge(FEW, {"unlabelled": {"views": ["_l", "_r"]}})
        train(project, tmp_path / "run", videos=film[0], overrides=settings)
    other = tmp_path / "other.mp4"
    write_video(other, np.zeros((8, 60, 60), np.uint8), np.arange(8) / 30)
    with pytest.raises(DataError, match=r"other.mp4: expected frames like .*of --videos"):
        train(project, tmp_path / "run", videos=other, overrides=FEW)
    table = project / "CollectedData.csv"
    lines = table.read_text().splitlines()
    for row in range(3, len(lines)):  # every image has one of the two keypoints only
        image, *places = lines[row].split(",")
        lines[row] = ",".join(
            [image, *(["", "", *places[2:]] if row % 2 else [*places[:2], "", ""])]
        )
    table.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=r"at least 80% .* --set unlabelled\.pca_singleview=0"):
        settings = merge(FEW, {"unlabelled": {"pca_singleview": 1e-4}})
        train(project, tmp_path / "run", videos=film[0], overrides=settings)
    assert not (tmp_path / "run").exists()


def test_a_mistyped_video_is_told_before_any_image_is_read(project, tmp_path, unread):
    with pytest.raises(MissingFileError, match="fllm"):
        train(project, tmp_path / "run", videos=tmp_path / "fllm.mp4", overrides=FEW)


def test_videos_of_held_out_recordings_are_left_out(film, tmp_path):
    project = write_project(tmp_path / "p", 24, folders=6)
    for name in ("video0", "video1", "other"):
        shutil.copy(film[0], tmp_path / f"{name}.mp4")
    names = [f"video{k % 6}/img{k:03d}.png" for k in range(24)]
    split = {
        "train": [name for name in names if "video0" not in name],
        "test": [name for name in names if "video0" in name],
    }
    videos = [tmp_path / f"{name}.mp4" for name in ("video0", "video1", "other")]
    some = train(project, tmp_path / "some", videos=videos, split=split, overrides=FEW)
    assert any("held out" in note and "video0.mp4" in note for note in some.status["notes"])
    assert not any("video1" in note for note in some.status["notes"])
    without = train(project, tmp_path / "wo", videos=videos[1:], split=split, overrides=FEW)
    assert some.status["inputs"]["videos"] == without.status["inputs"]["videos"]
    with pytest.raises(DataError, match=r"video0\.mp4 are of recordings .* held out"):
        train(project, tmp_path / "none", videos=videos[:1], split=split, overrides=FEW)
