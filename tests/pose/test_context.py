"""Frames with their neighbours: stacked, found beside labelled images, learned from, predicted."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spots import NAMES, SMALL, picture

from tinbergen.configuration import merge
from tinbergen.errors import ConfigError, DataError
from tinbergen.pose import Predictor, evaluate, export_frames, open_labels, train
from tinbergen.pose.config import PoseConfig
from tinbergen.pose.context import neighbours, stack_context, with_context
from tinbergen.pose.fitting import pose_config
from tinbergen.pose.labels import load_images
from tinbergen.pose.model import PoseModel
from tinbergen.recordings import FrameBatch, Keypoints, Video

WITH = merge(SMALL, {"context": 1, "train": {"steps": 60}})


@pytest.fixture
def filmed(film, tmp_path):
    """A project of every fourth frame of the film, and the frames beside them."""
    path, places = film
    pose = Keypoints(Video(path).times, places[:, None], keypoints=NAMES)
    export_frames(Video(path), range(1, 40, 4), tmp_path / "p", pose, context=1)
    return tmp_path / "p"


@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 3), st.integers(0, 11))
def test_a_video_in_batches_is_the_video_at_once(n, batch, context, bad):
    frames = np.arange(1, n + 1, dtype=np.uint8).reshape(n, 1, 1)
    status = (np.arange(n) == bad).astype(np.uint8)
    frames[status > 0] = 0
    batches = [
        FrameBatch(np.arange(n)[i : i + batch], np.arange(n)[i : i + batch] / 30,
                   frames[i : i + batch], status[i : i + batch])
        for i in range(0, n, batch)
    ]  # fmt: skip
    found = list(with_context(batches, context))
    indices, ok, seen = (np.concatenate(parts) for parts in zip(*found, strict=True))
    np.testing.assert_array_equal(indices, np.arange(n))
    np.testing.assert_array_equal(ok, status == 0)
    sound = np.arange(1, n + 1)
    if bad < n:
        sound[bad] = bad  # as the one before; black at the start
    padded = np.pad(sound, context, mode="edge").reshape(-1, 1, 1, 1)
    np.testing.assert_array_equal(seen, stack_context(padded, context))


def test_neighbours_by_the_number_in_the_name(tmp_path):
    names = [path.name for path in neighbours(tmp_path / "img0010_a.png", 2)]
    assert names == [f"img00{n}_a.png" for n in ("08", "09", "10", "11", "12")]
    assert [path.name for path in neighbours(tmp_path / "img0.png", 1)][0] == "img0.png"
    assert neighbours(tmp_path / "snout.png", 1) == [tmp_path / "snout.png"] * 3


def test_labelled_images_come_with_the_frames_beside_them(filmed, film):
    labels = open_labels(filmed)
    assert len(labels) == 10
    images = load_images(labels, pose_config(labels, None, WITH))
    assert images.images.shape == (10, 64, 96, 3)
    view = Video(film[0]).view(gray=True, size=(64, 96), keep_aspect=True)
    first = np.moveaxis(view.frames([0, 1, 2]).frames, 0, -1)
    assert np.abs(images.images[0].astype(int) - first).max() <= 2  # RGB and back to gray
    np.testing.assert_array_equal(images.picture(0)[..., 0], images.images[0, ..., 1])


@pytest.mark.parametrize("channels", [1, 3])
def test_every_frame_is_prepared_as_if_alone(channels):
    shape = {"keypoints": NAMES, "individuals": ("x",), "image_size": (32, 64)}
    config = PoseConfig(**shape, channels=channels, context=1)  # type: ignore[arg-type]
    model, alone = PoseModel(config), PoseModel(config.updated(context=0))
    frames = torch.randint(0, 255, (4, 32, 64, 3 * channels), dtype=torch.uint8)
    drawn = config.augment.draw(4, (32, 64), torch.Generator().manual_seed(0))
    for transforms in (None, drawn):
        parts = [alone.prepare(part, transforms) for part in frames.chunk(3, dim=-1)]
        assert torch.equal(model.prepare(frames, transforms), torch.cat(parts, dim=1))


def test_runs_with_context_learn_and_predict(filmed, film, tmp_path):
    run = train(filmed, tmp_path / "run", test=0.2, overrides=WITH)
    assert run.load_weights()["network.down.0.0.0.weight"].shape[1] == 3 + 2
    evaluate(run, filmed)
    found = Predictor(run, device="cpu").video(Video(film[0]), batch_size=7)
    again = Predictor(run, device="cpu").video(Video(film[0]), batch_size=40)
    assert np.isfinite(found.positions).all()
    np.testing.assert_allclose(found.positions, again.positions, atol=1e-2)
    video = merge(WITH, {"train": {"steps": 6}, "unlabelled": {"pca_singleview": 0, "clips": 4}})
    train(filmed, tmp_path / "video", videos=film[0], overrides=video)


def test_frames_in_colour_have_neighbours_too(filmed, tmp_path):
    colour = merge(WITH, {"channels": 3, "train": {"steps": 2}})
    run = train(filmed, tmp_path / "run", test=0.2, overrides=colour)
    assert run.load_weights()["network.down.0.0.0.weight"].shape[1] == 9 + 2


def test_a_neighbour_that_helps(tmp_path):
    """What is asked for is where the spot was a frame before: one frame cannot tell."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "p/labeled-data/v"
    folder.mkdir(parents=True)
    lines = ["scorer,me,me", "bodyparts,before,before", "coords,x,y"]
    for k in range(24):
        places = rng.uniform([8, 8], [71, 51], (2, 2))
        for number, spot in zip((2 * k, 2 * k + 1), places, strict=True):
            frame = picture(np.array([spot, [-9, -9]]))
            cv2.imwrite(str(folder / f"img{number:03d}.png"), frame)
        x, y = places[0].tolist()
        lines.append(f"labeled-data/v/img{2 * k + 1:03d}.png,{x},{y}")
    (tmp_path / "p/CollectedData.csv").write_text("\n".join(lines) + "\n")
    settings = merge(SMALL, {"context": 1})
    run = train(tmp_path / "p", tmp_path / "run", test=0.2, overrides=settings)
    found = evaluate(run, tmp_path / "p", out=False)
    assert np.nanmean(found.distances) < 3


def test_context_without_neighbours(project, film, tmp_path):
    for image in (project / "labeled-data/video0").iterdir():
        image.rename(image.with_name(image.name.replace("img0", "img0_").replace(".png", "0.png")))
    table = project / "CollectedData.csv"
    table.write_text(table.read_text().replace("img0", "img0_").replace(".png", "0.png"))
    with pytest.raises(DataError, match=r"context: not one of 24 .* suggest --context 1"):
        train(project, tmp_path / "run", overrides=WITH)
    shape = {
        "image_size": [64, 96],
        "patch": 8,
        "channels": 1,
        "width": 24,
        "depth": 1,
        "heads": 2,
    }
    with pytest.raises(ConfigError, match="a backbone sees one frame"):
        train(project, tmp_path / "run", overrides=merge(WITH, {"encoder": shape}))


def test_labelled_images_numbered_one_after_the_other_are_remarked_on(project, filmed, tmp_path):
    few = merge(WITH, {"train": {"steps": 2}})
    run = train(project, tmp_path / "numbered", overrides=few)
    assert any("no neighbours in time" in note for note in run.status["notes"])
    run = train(filmed, tmp_path / "filmed", overrides=few)
    assert not run.status["notes"]
