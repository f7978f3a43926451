"""Two look-alikes: learned, found in stills and in a video, tracked, scored, refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pairs import NAMES, PAIR, film, walks

from tinbergen.beast import pretrain
from tinbergen.errors import ConfigError, DataError
from tinbergen.nn.backbone import Backbone
from tinbergen.nn.vit import ViT, ViTConfig
from tinbergen.pose import (
    Predictor,
    evaluate,
    evaluate_tracks,
    export_frames,
    open_labels,
    track,
    train,
    write_overlay,
)
from tinbergen.pose.animals import animal_choices, spanning_skeleton
from tinbergen.pose.evaluation_animals import Animals
from tinbergen.pose.fitting import pose_config
from tinbergen.pose.top_down import cut, shrunk
from tinbergen.recordings import Video, read_dlc_csv, read_keypoints, write_dlc_csv, write_video
from tinbergen.recordings.keypoint_table import write_keypoint_table

ROUTES = ("top_down", "bottom_up")


@pytest.fixture(scope="module")
def pair_project(tmp_path_factory):
    """A project of 60 frames of two look-alikes; each stands now in one row, now in the other."""
    frames, truth = film(walks(60, seed=1))
    folder = tmp_path_factory.mktemp("pairs")
    write_video(folder / "film.mp4", frames, truth.times)
    export_frames(Video(folder / "film.mp4"), np.arange(60), folder / "project", truth)
    return folder / "project"


@pytest.fixture(scope="module", params=ROUTES)
def pair_run(request, pair_project, tmp_path_factory):
    """A finished run of each route."""
    out = tmp_path_factory.mktemp(request.param) / "run"
    settings = {**PAIR, "animals": {"route": request.param}}
    return train(pair_project, out, test=0.2, overrides=settings)


def test_what_is_left_out_of_the_settings_is_chosen_from_the_labels(pair_run):
    config = pair_run.config
    assert config["individuals"] == ["animal0", "animal1"]
    if config["animals"]["route"] == "top_down":
        assert config["animals"]["crop"] == 32
    else:
        limbs = {frozenset(limb) for limb in config["animals"]["skeleton"]}
        assert limbs >= {frozenset(("head", "middle")), frozenset(("middle", "tail"))}


def test_held_out_animals_are_found(pair_run, pair_project):
    found = evaluate(pair_run, pair_project, part="test")
    scores = {score.name: (score.value or 0.0, score.null or 0.0) for score in found.scores}
    error, null = scores["pixel error"]
    assert 0 < error < 2 < null
    precision, null = scores["mAP, OKS with sigma 0.1"]
    assert null < 0.1 < 0.8 < precision
    assert scores["animals found"][0] > 0.8
    assert len(found.maps) == 6
    table = (pair_run.path / "predictions.csv").read_text().splitlines()
    assert table[1].split(",")[1:] == ["a"] * 9 + ["b"] * 9


def test_a_video_is_found_tracked_and_scored_from_the_command_line(pair_run, tmp_path, cli):
    frames, truth = film(walks(50, seed=9))
    write_video(tmp_path / "film.mp4", frames, truth.times)
    write_dlc_csv(tmp_path / "truth.csv", truth)
    said = cli("pose", "predict", pair_run.path, tmp_path / "film.mp4", "-o", tmp_path / "out")
    assert said.code == 0, said.err
    arguments = [tmp_path / "out/film.csv", "--video", tmp_path / "film.mp4"]
    said = cli(
        "pose", "track", *arguments, "-o", tmp_path / "tracks.csv", "--overlay",
        "--truth", tmp_path / "truth.csv",
    )  # fmt: skip
    assert said.code == 0, said.err
    assert "identity switches per minute" in said.out and "IDF1" in said.out
    assert (tmp_path / "tracks.overlay.mp4").stat().st_size > 1000
    tracks = read_dlc_csv(tmp_path / "tracks.csv", fps=25)
    assert tracks.individuals == ("track0", "track1")
    scores = {s.name: s.value or 0.0 for s in evaluate_tracks(tracks, truth, tracks)}
    assert scores["IDF1"] > 0.8
    again = cli("pose", "track", *arguments, "-o", tmp_path / "tracks.csv")
    assert again.code == 1 and "already exists" in again.err
    without = cli("pose", "track", tmp_path / "out/film.csv", "-o", tmp_path / "other.csv")
    assert without.code == 2 and "--video or --fps" in without.err


@pytest.mark.parametrize("route", ROUTES)
def test_a_run_that_finds_nothing_yet_is_scored_all_the_same(route, pair_project, tmp_path):
    settings = {**PAIR, "train": {**PAIR["train"], "steps": 1}, "animals": {"route": route}}
    run = train(pair_project, tmp_path / "run", test=0.2, overrides=settings)
    found = evaluate(run, pair_project)
    assert found.scores[0].value is None and (found.scores[0].null or 0) > 2
    scores = {score.name: score.value for score in found.scores}
    assert scores["mAP, OKS with sigma 0.1"] == 0
    assert scores["animals found"] == 0 == scores["PCK at 10 px"]


@pytest.mark.parametrize("route", ROUTES)
def test_labels_of_another_number_of_animals_are_learned_and_scored(route, tmp_path):
    """Three rows in one project, of which the last is never labelled; one row in the other."""
    frames, truth = film(walks(12, seed=1))
    write_video(tmp_path / "film.mp4", frames, truth.times)
    video = Video(tmp_path / "film.mp4")
    empty = np.full((12, 1, 3, 2), np.nan)
    three = np.concatenate([truth.positions, empty], axis=1)
    for name, positions in {"three": three, "one": truth.positions[:, :1]}.items():
        who = tuple("abc"[: positions.shape[1]])
        export_frames(
            video,
            np.arange(12),
            tmp_path / name,
            replace(truth, positions=positions, confidence=None, individuals=who),
        )
    settings = {**PAIR, "train": {**PAIR["train"], "steps": 1}, "animals": {"route": route}}
    run = train(tmp_path / "three", tmp_path / "run", test=0.2, overrides=settings)
    assert run.status["mean_pose"][-1] == [None, None]
    assert evaluate(run, tmp_path / "three", out=False).scores[0].null is not None
    assert len(evaluate(run, tmp_path / "one", out=False).maps) == 3


def test_an_empty_frame_has_no_animal(pair_run):
    predictor = Predictor(pair_run)
    height, width = predictor.config.size
    found = predictor.frames(np.full((1, height, width, 1), 30, np.uint8))
    assert found.positions.shape == (1, 6, 2)
    assert np.isnan(found.positions).all() and (found.confidences == 0).all()


@pytest.mark.parametrize("route", ROUTES)
def test_killed_and_resumed_equals_uninterrupted(route, pair_project, tmp_path, killed_at):
    few = {**PAIR["train"], "steps": 6, "checkpoint_every": 2, "validate_every": 3}
    settings = {**PAIR, "train": few, "animals": {"route": route}}
    whole = train(pair_project, tmp_path / "whole", overrides=settings)
    with killed_at(5):
        train(pair_project, tmp_path / "killed", overrides=settings)
    again = train(pair_project, tmp_path / "killed", overrides=settings, resume=True)
    one, other = whole.load_weights(), again.load_weights()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_what_a_route_cannot_do_is_refused_before_training(pair_project, tmp_path):
    def attempt(animals):
        train(pair_project, tmp_path / "run", overrides={**PAIR, "animals": animals})

    with pytest.raises(ConfigError, match="no keypoint 'wing'"):
        attempt({"route": "bottom_up", "skeleton": [["head", "wing"]]})
    with pytest.raises(ConfigError, match="top_down"):
        attempt({"route": "topdown"})
    names = {"individuals": ["x", "y", "z"], "animals": {"route": "top_down"}}
    with pytest.raises(ConfigError, match=r"3 names \(x, y, z\), but the labels have 2 \(a, b\)"):
        train(pair_project, tmp_path / "run", overrides={**PAIR, **names})
    with pytest.raises(ConfigError, match="expected two keypoints or more"):
        train(
            pair_project,
            tmp_path / "run",
            keypoints=["head"],
            overrides={**PAIR, "animals": {"route": "top_down"}},
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("videos", "context", "what"),
    [("film.mp4", 0, "videos without labels"), (None, 1, "context frames")],
)
def test_what_a_route_does_not_learn_from_is_refused_before_anything_is_read(
    route, videos, context, what, pair_project, tmp_path, unread
):
    settings = {**PAIR, "animals": {"route": route}, "context": context}
    film = None if videos is None else pair_project.parent / videos
    with pytest.raises(ConfigError, match=rf"animals\.route={route} .* from {what}.*=identity"):
        train(pair_project, tmp_path / "run", videos=film, overrides=settings)


def test_a_backbone_for_look_alikes_is_refused_before_anything_is_read(pair_project, unread):
    shape = ViTConfig(image_size=(96, 128), patch=8, channels=1, width=16, depth=1, heads=2)
    backbone = Backbone(ViT(shape), residual=False, backgrounds=None, digest="")
    with pytest.raises(ConfigError, match="expected no backbone, found one"):
        pose_config(open_labels(pair_project), backbone, {"animals": {"route": "top_down"}})


def test_a_skeleton_reaches_every_keypoint_twice_and_prefers_short_limbs():
    line = np.array([[0.0, 0.0], [20.0, 0.0], [40.0, 0.0], [60.0, 0.0]])
    limbs = spanning_skeleton(np.tile(line, (3, 2, 1, 1)), comfortable=12)
    assert {(0, 1), (1, 2), (2, 3)} <= set(limbs)
    assert len(limbs) == len(set(limbs)) == 6
    close = np.array([[0.0, 0.0], [1.0, 0.0], [20.0, 0.0]])
    assert (0, 2) in spanning_skeleton(np.tile(close, (3, 1, 1, 1)), comfortable=12)


def test_large_animals_are_seen_smaller_and_small_ones_in_full():
    def labels(length):
        return np.array([[0.0, 0.0], [length, 0.0]]) + np.zeros((5, 2, 1, 1))

    small = animal_choices("top_down", labels(80.0), (1000, 1000), ("a", "b"))
    assert (small["longest"], small["animals"]) == (1000, {"crop": 128, "shrink": 4})
    large = animal_choices("top_down", labels(400.0), (1000, 1000), ("a", "b"))
    assert (large["longest"], large["animals"]["crop"]) == (320, 160)
    given = animal_choices("top_down", labels(80.0), (1000, 1000), ("a", "b"), scale=0.5)
    assert (given["longest"], given["animals"]) == (500, {"crop": 64, "shrink": 2})


def test_a_size_that_is_given_decides_how_large_a_crop_is(pair_project):
    def crop(**given):
        config = pose_config(
            open_labels(pair_project), None, {"animals": {"route": "top_down"}, **given}
        )
        return config.animals.crop, config.size

    assert crop() == (32, (96, 128))
    assert crop(longest=512) == (96, (384, 512))
    assert crop(image_size=[192, 256]) == (64, (192, 256))
    assert crop(roi=[0, 0, 64, 64], longest=256) == (96, (256, 256))


def test_crops_and_their_corners():
    frame = torch.arange(100, dtype=torch.uint8).view(1, 10, 10, 1)
    centres = torch.tensor([[4.5, 4.5], [0.0, 9.0]])
    crops, corners = cut(frame, torch.tensor([0, 0]), centres, 4)
    assert corners.tolist() == [[3, 3], [-2, 8]]
    assert crops[0, :, :, 0].tolist() == frame[0, 3:7, 3:7, 0].tolist()
    assert crops[1, 2:].eq(0).all() and crops[1, :, :2].eq(0).all()
    assert crops[1, 0, 2, 0] == 80
    assert shrunk(frame, 2)[0, 0, 0, 0] == round((0 + 1 + 10 + 11) / 4)
    assert shrunk(frame, 2).shape == (1, 32, 32, 1)


def test_each_label_gets_the_find_that_resembles_it_and_far_ones_none():
    shape = np.array([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0]])
    true = np.stack([shape, shape + 200])[None]
    found = np.stack([shape + 200.5, shape + 900])[None]
    animals = Animals(found, np.full((1, 2, 3), 0.9), true, np.stack([shape, shape]))
    positions, confidence = animals.aligned()
    assert np.isnan(positions[0, 0]).all() and (confidence[0, 0] == 0).all()
    assert np.array_equal(positions[0, 1], shape + 200.5)
    assert np.allclose(animals.null_distances()[0, 0], 0)
    wide, narrow = (score.value or 0.0 for score in animals.precision_scores())
    assert 0 < narrow < wide < 0.51  # one of two found, one find is false


def test_animals_are_cut_out_embedded_and_identified_from_the_command_line(tmp_path, cli):
    frames, truth = film(walks(40, seed=3))
    write_video(tmp_path / "film.mp4", frames, truth.times)
    write_dlc_csv(tmp_path / "tracks.csv", replace(truth, individuals=("track0", "track1")))
    same = [tmp_path / "tracks.csv", "--video", tmp_path / "film.mp4"]
    said = cli("pose", "cut", *same, "--out", tmp_path / "cut")
    assert said.code == 0, said.err
    video = Video(tmp_path / "cut/film_track1.mp4")
    assert (len(video), video.height) == (40, video.width)
    middle = video.frames([20]).frames[0][video.height // 2 - 8 : video.height // 2 + 8]
    assert middle.max() > 200  # the animal is in the middle
    small = {
        "encoder": {"image_size": [32, 32], "patch": 8, "width": 32, "depth": 1, "heads": 2},
        "train": {"steps": 2, "batch_size": 8, "device": "cpu", "tensorboard": False},
        "frames": {"select": "all"},
    }
    run = pretrain([tmp_path / "cut"], tmp_path / "beast", preset="vit-c", overrides=small)
    assert cli("embed", run.path, tmp_path / "cut", "--out", tmp_path / "looks").code == 0
    arguments = [*same, "--embeddings", tmp_path / "looks", "--out", tmp_path / "named.csv"]
    said = cli("pose", "identify", *arguments, "--truth", tmp_path / "tracks.csv")
    assert said.code == 0, said.err
    assert "IDF1" in said.out
    assert read_dlc_csv(tmp_path / "named.csv", fps=25).individuals == ("track0", "track1")
    assert "already exists" in cli("pose", "identify", *arguments).err


def test_tracks_of_another_video_are_not_scored():
    _, truth = film(walks(5))
    _, other = film(walks(5))
    with pytest.raises(DataError, match="no keypoint in common"):
        evaluate_tracks(replace(other, keypoints=("x", "y", "z")), truth, other)
    assert truth.keypoints == NAMES
    assert evaluate_tracks(track(truth), truth, truth)[2].value == 1.0


@pytest.fixture
def gappy(tmp_path):
    """A film of 20 frames, and a table of it that lacks frames 4 to 9 and the last ones."""
    frames, truth = film(walks(20, seed=3))
    write_video(tmp_path / "film.mp4", frames, truth.times)
    kept = np.r_[0:4, 10:13]
    write_keypoint_table(
        tmp_path / "found.csv",
        [str(i) for i in kept],
        np.concatenate([truth.positions[kept], np.ones((7, 2, 3, 1))], axis=-1),
        ("x", "y", "likelihood"),
        truth.individuals,
        truth.keypoints,
        "tinbergen",
    )
    return tmp_path, truth, kept


@pytest.mark.parametrize("ending", [".csv", ".h5"])
def test_a_table_that_lacks_frames_keeps_its_clock(gappy, ending, cli):
    folder, truth, kept = gappy
    out = folder / f"tracks{ending}"
    same = ["--video", folder / "film.mp4"]
    said = cli("pose", "track", folder / "found.csv", *same, "--out", out, "--overlay")
    assert said.code == 0, said.err
    tracks = read_keypoints(out, fps=25)
    assert len(tracks) == 20
    there = np.isfinite(tracks.positions).all(axis=(1, 2, 3))
    assert np.array_equal(np.flatnonzero(there), kept)
    assert np.allclose(tracks.positions[kept].sum(axis=1), truth.positions[kept].sum(axis=1))
    said = cli("pose", "track", folder / "found.csv", "--fps", 25, "--out", folder / "f.csv")
    assert len(read_dlc_csv(folder / "f.csv", fps=25)) == 13
    said = cli("pose", "cut", out, *same, "--out", folder / "cut")
    assert said.code == 0, said.err
    again = cli("pose", "cut", out, *same, "--out", folder / "cut")
    assert again.code == 1 and "already exists" in again.err


def test_outputs_of_tracking_are_refused_before_anything_is_read(gappy, cli):
    folder, _, _ = gappy
    same = ["pose", "track", folder / "found.csv", "--video", folder / "film.mp4"]
    said = cli(*same, "--out", folder / "tracks.slp")
    assert said.code == 2 and "written as .csv or .h5, not as '.slp'" in said.err
    (folder / "tracks.overlay.mp4").touch()
    said = cli(*same, "--out", folder / "tracks.csv", "--overlay")
    assert said.code == 1 and "tracks.overlay.mp4 already exists" in said.err
    assert not (folder / "tracks.csv").exists()
    frames, truth = film(walks(5))
    write_video(folder / "short.mp4", frames, truth.times)
    same[-1] = folder / "short.mp4"
    said = cli(*same, "--out", folder / "tracks.csv")
    assert said.code == 1 and "goes up to frame 12" in said.err
    with pytest.raises(DataError, match="all 20 frames .* found 5 rows"):
        write_overlay(folder / "o.mp4", Video(folder / "film.mp4"), truth)


def test_proofread_frames_alone_are_scored_over_the_time_they_span():
    _, truth = film(walks(51))
    sparse = np.full_like(truth.positions, np.nan)
    sparse[::10] = truth.positions[::10]
    switched = truth.positions.copy()
    switched[30:] = switched[30:, ::-1]
    tracks = replace(truth, positions=switched)
    scores = evaluate_tracks(tracks, replace(truth, positions=sparse), truth)
    assert scores[0].value == pytest.approx(2 / (51 / 25 / 60))
    assert scores[1].null == 1.0  # finds in other frames are not false
    assert scores[0].n == 12
