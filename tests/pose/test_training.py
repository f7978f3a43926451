"""A run from labels to weights: exact resume, seeds, losses, splits, and what is refused."""

import json

import cv2
import numpy as np
import pytest
import torch
from spots import NAMES, SMALL, picture, write_project

from tinbergen.configuration import merge
from tinbergen.errors import ConfigError, DataError, MissingFileError, OutputError
from tinbergen.pose import evaluate, open_labels, train
from tinbergen.pose.config import PoseConfig, default_size
from tinbergen.pose.fitting import make_task, pose_config
from tinbergen.pose.heatmaps import gaussian_targets
from tinbergen.pose.labels import load_images, split_rows
from tinbergen.recordings import LabelledFrames
from tinbergen.training import RunFolder

FEW = merge(SMALL, {"train": {"steps": 12, "validate_every": 4, "checkpoint_every": 3}})


def weights(run: RunFolder) -> dict[str, torch.Tensor]:
    return run.load_weights()


def same(one: RunFolder, other: RunFolder) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def task_of(project, **changes):
    labels = open_labels(project)
    config = pose_config(labels, None, merge(FEW, changes))
    images = load_images(labels, config)
    parts = split_rows(images, validation=0.2, test=0, seed=0, split=None)
    return make_task(config, images, parts)


# ---- learning


def test_spots_are_found_to_a_fraction_of_a_pixel(trained):
    project, run = trained
    found = evaluate(run, project, out=False)
    assert found.maps == NAMES
    assert np.nanmean(found.distances) < 1.0
    assert found.scores[0].judge() == "good"
    assert (found.confidence > 0.3).all()
    assert run.status["state"] == "done"
    assert run.status["best_score"] < 1


def test_the_same_seed_gives_the_same_bytes(project, tmp_path):
    one, two = (train(project, tmp_path / name, overrides=FEW) for name in ("one", "two"))
    other = train(project, tmp_path / "other", overrides=merge(FEW, {"train": {"seed": 1}}))
    assert same(one, two)
    assert not same(one, other)


@pytest.mark.parametrize("at", [2, 7])
def test_killed_and_resumed_equals_uninterrupted(project, tmp_path, killed_at, at):
    whole = train(project, tmp_path / "whole", overrides=FEW)
    with killed_at(at):
        train(project, tmp_path / "killed", overrides=FEW)
    again = train(project, tmp_path / "killed", overrides=FEW, resume=True)
    assert same(whole, again)
    assert whole.status["best_score"] == again.status["best_score"]


def test_a_run_is_not_written_over(project, tmp_path):
    train(project, tmp_path / "run", overrides=FEW)
    with pytest.raises(OutputError, match="--resume"):
        train(project, tmp_path / "run", overrides=FEW)


# ---- losses


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_losses_are_least_at_the_target(project, loss):
    task = task_of(project, heatmaps={"loss": loss})
    positions = task.positions[:4]
    target = gaussian_targets(
        positions, (task.config.size[0] // 4, task.config.size[1] // 4), 4, 1.25
    )
    perfect = target.log().clamp_min(-60)
    best = task.compare(perfect, positions)
    entropy = -(target * perfect).flatten(2).sum(-1).mean() if loss == "cross_entropy" else 0.0
    assert float(best) == pytest.approx(float(entropy), abs=1e-4)
    assert task.compare(perfect.roll(1, -1), positions) > best
    assert task.compare(torch.zeros_like(perfect), positions) > best


def test_unlabelled_and_outside_keypoints_do_not_count(project):
    task = task_of(project)
    positions = task.positions[:4].clone()
    logits = torch.randn(4, 2, task.config.size[0] // 4, task.config.size[1] // 4)
    alone = task.compare(logits[:, :1], positions[:, :1])
    positions[:, 1] = float("nan")
    assert task.compare(logits, positions) == pytest.approx(float(alone))
    positions[:, 1] = -50.0
    assert task.compare(logits, positions) == pytest.approx(float(alone))
    everywhere = task_of(project, heatmaps={"unlabelled": "uniform"})
    positions[:, 1] = float("nan")
    flat = logits.clone()
    flat[:, 1] = 0.0
    assert everywhere.compare(flat, positions) == pytest.approx(float(alone) / 2)
    assert task.compare(logits, torch.full_like(positions, float("nan"))) == 0


# ---- labels and images


def test_images_and_labels_meet_at_any_size(project):
    labels = open_labels(project)
    for size in [(64, 96), (96, 64), (64, 64)]:
        config = pose_config(labels, None, merge(FEW, {"image_size": size}))
        images = load_images(labels, config)
        assert images.images.shape == (24, *size, 1)
        places = images.seen_positions()
        back = images.to_source(np.arange(24), places)
        assert np.abs(back - images.positions).max() < 1e-4
        for image, (bright, _) in zip(images.images[..., 0], places, strict=True):
            x, y = np.rint(bright).astype(int)
            assert image[y, x] > 100


def test_default_sizes_keep_the_aspect():
    config = PoseConfig()
    assert default_size(config, 406, 396) == (256, 256)
    assert default_size(config, 480, 640) == (192, 256)
    assert default_size(config, 100, 2000) == (32, 256)


def test_colours_are_kept_where_there_are_some(project):
    labels = open_labels(project)
    assert pose_config(labels, None, FEW).channels == 1
    image = np.array(cv2.imread(str(labels.images[3])))
    image[..., 0] //= 2
    cv2.imwrite(str(labels.images[3]), image)
    config = pose_config(labels, None, FEW)
    assert config.channels == 3
    assert load_images(labels, config).images.shape[-1] == 3
    assert train(project, project / "run", overrides=FEW).status["state"] == "done"


def test_a_region_of_interest(project, tmp_path):
    settings = merge(FEW, {"roi": [0, 0, 80, 48], "longest": 96})
    run = train(project, tmp_path / "run", overrides=settings)
    assert run.config["image_size"] == [64, 96]


def test_projects_of_deeplabcut_and_single_tables(project, tmp_path):
    dlc = tmp_path / "dlc"
    for number in range(2):
        part = write_project(tmp_path / f"part{number}", 6, seed=number)
        folder = dlc / f"labeled-data/v{number}"
        folder.mkdir(parents=True)
        for image in (part / "labeled-data/video0").iterdir():
            image.rename(folder / image.name)
        text = (part / "CollectedData.csv").read_text().replace("video0", f"v{number}")
        (folder / "CollectedData_me.csv").write_text(text)
    labels = open_labels(dlc)
    assert len(labels) == 12
    assert not labels.missing_images()
    assert len(open_labels(project / "CollectedData.csv")) == 24
    assert len(open_labels([dlc, project])) == 36
    assert open_labels(labels) is labels


def test_whole_folders_are_held_out_where_there_are_five(tmp_path):
    labels = open_labels(write_project(tmp_path / "p", 30, folders=6))
    images = load_images(labels, pose_config(labels, None, FEW))
    parts = split_rows(images, validation=0.2, test=0.2, seed=0, split=None)
    groups = [set(images.groups[rows]) for rows in parts.values()]
    assert all(a.isdisjoint(b) for i, a in enumerate(groups) for b in groups[i + 1 :])
    assert sum(map(len, parts.values())) == 30
    assert len(parts["test"]) == len(parts["validation"]) == 5


def test_a_split_by_names(project, tmp_path):
    names = [f"labeled-data/video0/img{i:03d}.png" for i in range(24)]
    split = {"train": names[:10], "val": names[10:14], "test": ["img020.png"]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    run = train(project, tmp_path / "run", split=tmp_path / "split.json", overrides=FEW)
    splits = run.splits or {}
    assert splits["train"] == [name.removeprefix("labeled-data/") for name in names[:10]]
    assert splits["test"] == ["video0/img020.png"]
    with pytest.raises(DataError, match="no labelled image is called 'img99.png'"):
        train(project, tmp_path / "no", split={"train": ["img99.png"]}, overrides=FEW)
    with pytest.raises(DataError, match="stands in train and in test"):
        train(project, tmp_path / "no", split={"train": names, "test": names[:1]}, overrides=FEW)
    with pytest.raises(DataError, match="'training'"):
        train(project, tmp_path / "no", split={"training": names}, overrides=FEW)
    assert not (tmp_path / "no").exists()


def test_several_animals_of_fixed_looks_have_maps_of_their_own(project, tmp_path):
    labels = open_labels(project)
    pair = LabelledFrames(
        images=labels.images,
        keypoints=("middle",),
        individuals=("bright", "dark"),
        positions=labels.positions.reshape(24, 2, 1, 2),
        visible=labels.visible.reshape(24, 2, 1),
    )
    run = train(pair, tmp_path / "run", test=0.2, overrides=SMALL)
    found = evaluate(run, pair, out=False)
    assert found.maps == ("bright/middle", "dark/middle")
    assert np.nanmean(found.distances) < 1.5


# ---- broken input


def test_missing_images_are_named_and_can_be_left_out(project, tmp_path):
    gone = project / "labeled-data/video0/img003.png"
    gone.unlink()
    (project / "labeled-data/video0/img004.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"2 of 24 labelled images(.|\n)*img003.png is not there"):
        train(project, tmp_path / "run", overrides=FEW)
    assert not (tmp_path / "run").exists()
    run = train(project, tmp_path / "run", overrides=FEW, skip_bad=True)
    assert len(run.status["losses"]) == 2
    assert "img004.png cannot be decoded" in run.status["losses"][1]


def test_images_of_mixed_sizes_are_scaled_and_said(project, tmp_path, capsys):
    rng = np.random.default_rng(1)
    image = picture(rng.uniform(8, 50, (2, 2)), (120, 160))
    cv2.imwrite(str(project / "labeled-data/video0/img003.png"), image)
    run = train(project, tmp_path / "run", overrides=FEW)
    note = run.status["notes"][0]
    assert "23 of 80 x 60 px" in note
    assert "1 of 160 x 120 px (video0/img003.png)" in note
    assert note in capsys.readouterr().err


def test_a_keypoint_that_is_never_labelled(project, tmp_path):
    table = project / "CollectedData.csv"
    lines = table.read_text().splitlines()
    lines[3:] = [",".join([*line.split(",")[:3], "", ""]) for line in lines[3:]]
    table.write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"dot: labelled in none of the 22 .* --keypoints spot"):
        train(project, tmp_path / "run", overrides=FEW)
    assert not (tmp_path / "run").exists()
    run = train(project, tmp_path / "run", keypoints=["spot"], overrides=FEW)
    assert run.config["keypoints"] == ["spot"]
    with pytest.raises(DataError, match="No keypoint 'tail'"):
        train(project, tmp_path / "no", keypoints=["tail"], overrides=FEW)


def test_labels_outside_of_their_image(project, tmp_path):
    table = project / "CollectedData.csv"
    lines = table.read_text().splitlines()
    lines[8] = ",".join([lines[8].split(",")[0], "500.0", *lines[8].split(",")[2:]])
    table.write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"img005.png: spot is labelled at \(500.0, .*80 x 60 px"):
        train(project, tmp_path / "run", overrides=FEW)


def test_a_wrong_header_level(project, tmp_path):
    table = project / "CollectedData.csv"
    table.write_text("\n".join(table.read_text().splitlines()[:1] + ["a,b,c,d,e"] * 3))
    with pytest.raises(DataError, match=r"CollectedData.csv: expected header rows"):
        train(project, tmp_path / "run", overrides=FEW)


def test_there_is_nothing_to_learn_from(tmp_path):
    with pytest.raises(MissingFileError, match=r"CollectedData.csv \(Lightning Pose\)"):
        train(tmp_path, tmp_path / "run")
    with pytest.raises(DataError, match="at least one table"):
        open_labels([])


def test_tables_of_different_keypoints(project, tmp_path):
    other = write_project(tmp_path / "other", 4)
    table = other / "CollectedData.csv"
    table.write_text(table.read_text().replace("dot", "point"))
    with pytest.raises(DataError, match=r"not in both: dot, point"):
        open_labels([project, other])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"image_size": [60, 80]}, "multiples of 32"),
        ({"image_sise": [64, 64]}, "did you mean 'image_size'"),
        ({"heatmaps": {"loss": "mae"}}, "heatmaps.loss"),
        ({"augment": {"flip": 2}}, "augment.flip"),
    ],
)
def test_impossible_settings(project, tmp_path, settings, said):
    with pytest.raises(ConfigError, match=said):
        train(project, tmp_path / "run", overrides=settings)
    assert not (tmp_path / "run").exists()


def test_a_region_that_leaves_the_image(project, tmp_path):
    with pytest.raises(ConfigError, match=r"inside the 80 x 60 px image"):
        train(project, tmp_path / "run", overrides=merge(FEW, {"roi": [50, 0, 50, 50]}))


def test_other_labels_than_the_run_began_with(project, tmp_path):
    train(project, tmp_path / "run", overrides=FEW)
    write_project(project, seed=3)
    with pytest.raises(DataError, match="labels changed since the run began"):
        train(project, tmp_path / "run", overrides=FEW, resume=True)
