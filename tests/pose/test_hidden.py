"""Keypoints that labels say are hidden: learned, predicted, scored."""

from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from spots import NAMES, SIZE, SMALL, picture

from tinbergen.configuration import merge
from tinbergen.errors import ConfigError
from tinbergen.pose import Predictor, evaluate, predict, train
from tinbergen.pose.heatmaps import gaussian_targets, hidden_logits
from tinbergen.recordings import LabelledFrames, Video, write_coco, write_video
from tinbergen.recordings.coco import read_coco


def covered(places, hidden):
    """Two spots, and a bright square over the second of them where it is hidden."""
    frame = picture(places)
    if hidden:
        x, y = np.round(places[1]).astype(int)
        cv2.rectangle(frame, (x - 6, y - 6), (x + 6, y + 6), 255, cv2.FILLED)
    return frame


@pytest.fixture
def labels(tmp_path):
    """Labelled frames in which the dot is hidden half of the time, by way of COCO."""
    rng = np.random.default_rng(0)
    paths, positions, visible = [], [], []
    (tmp_path / "v").mkdir()
    for number in range(48):
        places = rng.uniform(10, [SIZE[1] - 11, SIZE[0] - 11], (2, 2))
        hidden = number % 2 == 1
        paths.append(tmp_path / f"v/img{number:03d}.png")
        cv2.imwrite(str(paths[-1]), covered(places, hidden))
        positions.append(places)
        visible.append([True, not hidden])
    frames = LabelledFrames(
        tuple(paths), NAMES, ("individual",), np.array(positions)[:, None],
        np.array(visible)[:, None],
    )  # fmt: skip
    write_coco(tmp_path / "labels.json", frames)
    return read_coco(tmp_path / "labels.json")


def test_a_mark_is_read_where_the_map_says():
    places = torch.tensor([[[8.0, 12.0], [40.0, 20.0]]])
    maps = gaussian_targets(places, (12, 16), 4, 1.0).clamp_min(1e-12).log()
    marks = torch.full_like(maps, -3.0)
    marks[0, 0, :6, :6] = 5.0  # around the first place only
    odds = hidden_logits(maps.requires_grad_(), marks.requires_grad_())
    torch.testing.assert_close(odds, torch.tensor([[5.0, -3.0]]), atol=0.05, rtol=0)
    odds.sum().backward()
    assert maps.grad is None and marks.grad is not None


def test_what_is_hidden_is_learned_and_predicted(labels, tmp_path):
    run = train(labels, tmp_path / "run", test=0.3, overrides=SMALL)
    assert run.config["hidden"] is True
    found = evaluate(run, labels)
    assert found.said_hidden is not None
    scores: dict[str, Any] = {score.name: score.value for score in found.scores}
    assert scores["AUROC of hidden keypoints"] > 0.9
    assert np.nanmedian(found.distances) < 2
    truth = np.array([False, True] * 6)
    places = np.array([[20.0, 20.0], [60.0, 40.0]])
    frames = np.stack([covered(places, hidden) for hidden in truth])
    write_video(tmp_path / "film.mp4", frames, np.arange(12) / 30)
    predict(run, tmp_path / "film.mp4", tmp_path / "out", device="cpu")
    table = pd.read_csv(tmp_path / "out/film.hidden.csv", header=[0, 1, 2], index_col=0)
    assert table.columns.get_level_values(1).tolist() == list(NAMES)
    assert table.iloc[truth, 1].min() > table.iloc[~truth, 1].max()
    _, hidden = Predictor(run, device="cpu").video_and_hidden(Video(tmp_path / "film.mp4"))
    assert hidden is not None
    np.testing.assert_allclose(hidden[:, 0], table.to_numpy())


def test_labels_without_marks_teach_nothing_of_it(project, tmp_path):
    few = merge(SMALL, {"train": {"steps": 2}})
    run = train(project, tmp_path / "run", overrides=few)
    assert run.config["hidden"] is False
    assert evaluate(run, project, out=False).said_hidden is None
    with pytest.raises(ConfigError, match=r"hidden: no label is marked .* visibility 1"):
        train(project, tmp_path / "other", overrides=merge(few, {"hidden": True}))


def test_it_can_be_left_out(labels, tmp_path):
    few = merge(SMALL, {"train": {"steps": 2}, "hidden": False})
    run = train(labels, tmp_path / "run", overrides=few)
    assert evaluate(run, labels, out=False).said_hidden is None
