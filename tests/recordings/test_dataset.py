"""Datasets, dataset.yaml, folders of images, arrays, and check."""

from __future__ import annotations

import importlib
import json
import os

import cv2
import h5py
import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from tinbergen.cli.check import check
from tinbergen.errors import ConfigError, DataError, MissingFileError, OutputError
from tinbergen.recordings import (
    ArrayVideo,
    Dataset,
    FrameStatus,
    ImageFolder,
    Intervals,
    Keypoints,
    Labels,
    Recording,
    Series,
    Spikes,
    Split,
    Trials,
    Video,
    check_dataset,
    split_by_recording,
)
from tinbergen.recordings.splits import WHOLE


@pytest.fixture
def study(videos, tmp_path) -> Dataset:
    recordings = []
    for name in ("m1/day 1", "m1/day 2", "m2/день"):
        video = Video(videos.write_video(tmp_path / "videos" / f"{name}.mp4", 50))
        streams = {
            "video": video,
            "pose": Keypoints(video.times, np.random.default_rng(0).uniform(0, 40, (50, 1, 2, 2))),
            "wheel": Series(np.arange(30) / 10, np.arange(30.0), ("speed",), "cm/s"),
            "behaviour": Labels.from_frames(video.times, np.arange(50) // 20, ("x", "y", "z")),
            "spikes": Spikes.of({"u": [0.1, 1.2]}),
            "trials": Trials(pd.DataFrame({"start": [0.5], "stop": [1.5]})),
        }
        recordings.append(Recording(name, streams, name.split("/")[0]))
    return Dataset(recordings)


class TestOpen:
    def test_folder_with_one_name_twice(self, videos, tmp_path):
        for name in ("a/clip.mp4", "b/clip.mp4", "b/clip.avi", "Ü x.mkv"):
            videos.write_video(tmp_path / name, 3, codec="mpeg4", b_frames=0)
        data = Dataset.open(tmp_path)
        assert list(data) == ["a/clip", "b/clip.avi", "b/clip.mp4", "Ü x"]
        assert [video.n_frames for _, _, video in data.videos()] == [3] * 4
        assert list(Dataset.open(tmp_path, recursive=False)) == ["Ü x"]

    def test_files_and_folders_that_clash(self, videos, tmp_path):
        one = videos.write_video(tmp_path / "one/clip.mp4", 2)
        two = videos.write_video(tmp_path / "two/clip.mp4", 3)
        data = Dataset.open([one, two])
        assert list(data) == ["one/clip", "two/clip"]
        assert list(Dataset.open([tmp_path / "one", tmp_path / "two"])) == ["one/clip", "two/clip"]
        assert list(Dataset.open([one, tmp_path / "one"])) == ["clip"]

    def test_nothing(self, tmp_path):
        with pytest.raises(DataError, match="Found no video"):
            Dataset.open(tmp_path)
        with pytest.raises(MissingFileError):
            Dataset.open(tmp_path / "gone")
        (tmp_path / "m1.nwb").touch()
        with pytest.raises(DataError, match=r"Found no video.*kind: nwb, file: m1\.nwb"):
            Dataset.open(tmp_path)

    def test_real_rigs(self, real_data):
        data = Dataset.open(real_data / "video")
        assert len(data) == 30
        assert "mouse_treadmill_mirror_lp/videos/test_vid" in data


class TestFile:
    def test_round_trip(self, study, tmp_path):
        split = split_by_recording(study.animals, {"train": 0.5, "test": 0.5}, seed=0)
        path = study.with_split("animals", split).save(tmp_path)
        text = path.read_text(encoding="utf-8")
        assert "file: videos/m2/день.mp4" in text
        again = Dataset.open(tmp_path)
        assert list(again) == list(study)
        assert again.splits["animals"].to_dict() == split.to_dict()
        for name, recording in study.items():
            new = again[name]
            assert new.subject == recording.subject and list(new.streams) == list(
                recording.streams
            )
            np.testing.assert_array_equal(new["pose"].positions, recording["pose"].positions)
            np.testing.assert_array_equal(new["pose"].times, recording["pose"].times)
            np.testing.assert_array_equal(new["wheel"].values, recording["wheel"].values)
            pd.testing.assert_frame_equal(new["behaviour"].table, recording["behaviour"].table)
            np.testing.assert_array_equal(new["spikes"].times, recording["spikes"].times)
            np.testing.assert_array_equal(new["video"].frame(3), recording["video"].frame(3))

    def test_moves_with_its_folder(self, study, tmp_path):
        study.save(tmp_path)
        moved = tmp_path.with_name(tmp_path.name + " moved")
        os.rename(tmp_path, moved)
        assert Dataset.open(moved / "dataset.yaml")["m1/day 1"]["video"].n_frames == 50

    def test_sidecars_regions_and_folders(self, videos, tmp_path):
        path = videos.write_video(tmp_path / "a.mp4", 5)
        times = np.array([0.0, 0.1, 0.15, 0.3, 0.4])
        video = Video(path, times=times, offset=2.0, roi=(0, 0, 10, 8))
        pose = Keypoints(times + 7, np.zeros((5, 1, 1, 3)), unit="mm")
        Dataset([Recording("a", {"cam": video, "pose": pose})]).save(tmp_path)
        new = Dataset.open(tmp_path)["a"]
        np.testing.assert_array_equal(new["cam"].times, times + 2)
        assert new["cam"].frame(0).shape == (8, 10, 3)
        assert new["pose"].unit == "mm"
        np.testing.assert_array_equal(new["pose"].times, times + 7)

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("recordings:", "recording:", "recording: there is no such setting; did you mean"),
            (
                "subject: m1",
                "subjct: m1",
                "recording 'm1/day 1': subjct: .* did you mean 'subject'",
            ),
            ("file: pose", "fille: pose", r"stream 'pose': (?s:.*)fille: .* did you mean 'file'"),
            ("kind: series", "kind: serie", "stream 'wheel': expected kind: video, .* 'serie'"),
            ("schema_version: 1", "schema_version: 9", "schema_version 9 is not known"),
        ],
    )
    def test_mistakes_are_named(self, study, tmp_path, old, new, message):
        path = study.save(tmp_path)
        text = path.read_text(encoding="utf-8").replace(old, new, 1)
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match=message):
            Dataset.open(path)

    def test_absent_stream_file(self, study, tmp_path):
        path = study.save(tmp_path)
        (tmp_path / "wheel/m1/day 1.npz").unlink()
        with pytest.raises(MissingFileError, match="wheel/m1/day 1.npz"):
            Dataset.open(path)

    def test_a_clip_cannot_be_saved(self, study, tmp_path):
        part = Dataset([study["m1/day 1"].between(0, 1)])
        with pytest.raises(DataError, match="is a clip"):
            part.save(tmp_path)

    def test_output_that_is_a_file(self, study, tmp_path):
        (tmp_path / "taken").touch()
        with pytest.raises(OutputError):
            study.save(tmp_path / "taken" / "dataset.yaml")


class TestChoose:
    def test_only_and_split(self, study):
        data = study.with_split(
            "s",
            Split(
                {
                    "train": {"m1/day 1": WHOLE, "m2/день": Intervals([0, 1.5], [0.5, 2])},
                    "test": {"m2/день": Intervals([0.75], [1.25])},
                }
            ),
        )
        parts = data.split("s")
        assert list(parts["train"]) == [
            "m1/day 1",
            "m2/день@0.000-0.500",
            "m2/день@1.500-2.000",
        ]
        frames = {name: each["video"].n_frames for name, each in parts["test"].items()}
        assert frames == {"m2/день": 13}
        assert list(data.only(animals="m1")) == ["m1/day 1", "m1/day 2"]
        assert data.only(["m1/day 1"]).splits["s"].recordings == {"m1/day 1"}
        with pytest.raises(DataError, match="no animal 'm9'"):
            data.only(animals=["m9"])
        with pytest.raises(DataError, match="no recording 'm1'"):
            data.only(["m1"])

    def test_names_are_unique(self):
        with pytest.raises(DataError, match="Two recordings are called 'a'"):
            Dataset([Recording("a"), Recording("a")])
        with pytest.raises(DataError, match="no recording 'b'"):
            Dataset([Recording("a")], {"s": Split({"train": {"b": WHOLE}})})


class TestImages:
    @pytest.fixture
    def folder(self, tmp_path):
        folder = tmp_path / "extracted" / "mouse 1"
        folder.mkdir(parents=True)
        for number in (9, 10, 11, 120):
            image = np.full((20, 30, 3), (number, 0, 50), np.uint8)
            cv2.imwrite(str(folder / f"img{number:08d}.png"), image)
        (folder / "selected_frames.csv").write_text("img00000010.png\nimg00000120.png\n")
        return folder

    def test_beast_extract_layout(self, folder):
        data = Dataset.open(folder.parent)
        assert list(data) == ["mouse 1"]
        images = data["mouse 1"]["video"]
        assert isinstance(images, ImageFolder)
        np.testing.assert_array_equal(images.numbers, [9, 10, 11, 120])
        np.testing.assert_array_equal(images.selected, [False, True, False, True])
        np.testing.assert_array_equal(images.frame(1)[0, 0], [50, 0, 10])
        assert images.view(gray=True, size=(10, 15)).frame(1).shape == (10, 15)
        np.testing.assert_array_equal(ImageFolder(folder, fps=10).times, [0.9, 1.0, 1.1, 12.0])
        np.testing.assert_array_equal(images.between(10, 12).numbers, [10, 11])

    def test_damaged_image(self, folder):
        (folder / "img00000010.png").write_bytes(b"x")
        batch = ImageFolder(folder).frames([0, 1, 2])
        np.testing.assert_array_equal(batch.status, [0, FrameStatus.CORRUPT, 0])
        assert not batch.frames[1].any()

    def test_images_of_another_size_are_named(self, folder):
        cv2.imwrite(str(folder / "img00000010.png"), np.zeros((7, 9, 3), np.uint8))
        images = ImageFolder(folder)
        np.testing.assert_array_equal(images.frames([0, 1, 2]).status, [0, 1, 0])
        (problem,) = images.check().problems
        assert problem.startswith("1 of 4 images are not") and "img00000010.png: 9 x 7" in problem

    def test_videos_come_first(self, folder, videos):
        videos.write_video(folder.parent / "a.mp4", 2)
        assert list(Dataset.open(folder.parent)) == ["a"]

    def test_array(self, tmp_path):
        frames = np.random.default_rng(0).integers(0, 255, (6, 8, 10), dtype=np.uint8)
        with h5py.File(tmp_path / "fish.h5", "w") as file:
            file["video"] = frames
        video = Dataset.open(tmp_path / "fish.h5")["fish"]["video"]
        assert isinstance(video, ArrayVideo)
        np.testing.assert_array_equal(video.view(gray=True).frames([5, 0]).frames, frames[[5, 0]])
        np.testing.assert_array_equal(video.frame(2), np.repeat(frames[2, ..., None], 3, axis=2))
        with pytest.raises(DataError, match="no dataset 'movie'"):
            _ = ArrayVideo(tmp_path / "fish.h5", key="movie").times


app = typer.Typer()
app.command()(check)


class TestCheck:
    def test_sound(self, study, tmp_path):
        rows = check_dataset(study.save(tmp_path), workers=1)
        assert len(rows) == 18
        assert {row.state for row in rows} == {"ok"}
        assert rows[0].ok == rows[0].n_frames == 50 and rows[0].fps == 25

    def test_processes_and_pieces_agree(self, videos, tmp_path, monkeypatch):
        path = videos.flip_bytes(videos.write_video(tmp_path / "a.ts", 200), n=12)
        whole = Video(path).check()
        module = importlib.import_module("tinbergen.recordings.check")
        monkeypatch.setattr(module, "_PIECE", 20)
        for workers in (1, 2):
            (row,) = check_dataset(path, workers=workers)
            assert (row.ok, row.corrupt, row.missing) == (whole.ok, whole.corrupt, whole.missing)
            assert row.state == "losses" and "left out" in row.hint
            assert row.damaged == whole.damaged and f": {whole.first_bad}" in row.problems[0]

    def test_command(self, videos, tmp_path):
        run = CliRunner().invoke
        good = videos.write_video(tmp_path / "good.mp4", 30)
        vfr = videos.write_video(
            tmp_path / "vfr.mp4", 30, pts=np.cumsum([10, 70, 40] * 10).tolist()
        )
        result = run(app, [str(good), str(vfr), "--json", str(tmp_path / "rows.json")])
        assert result.exit_code == 0, result.output
        assert "VFR" in result.output and "2 files: 2 ok" in result.output
        rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
        assert [row["variable_rate"] for row in rows] == [False, True]

        (tmp_path / "notes.mp4").write_text("hello")
        result = run(app, [str(tmp_path), "--workers", "1"])
        assert result.exit_code == 3
        assert "notes: " in result.output and "is not a readable video" in result.output
        result = run(app, [str(tmp_path / "notes.mp4")])
        assert result.exit_code == 1 and "1 files: 0 ok" in result.output

    def test_streams_against_the_video(self, study, tmp_path):
        path = study.save(tmp_path)
        pose = (tmp_path / "pose/m1/day 1.csv").read_text().splitlines()
        (tmp_path / "pose/m1/day 1.csv").write_text("\n".join(pose[:-10]) + "\n")
        labels = tmp_path / "behaviour/m1/day 2.csv"
        labels.write_text("start,stop,label\n100,110,x\n")
        problems = {
            (row.recording, row.stream): row.problems[0]
            for row in check_dataset(path, workers=1)
            if row.state == "losses"
        }
        assert problems["m1/day 1", "pose"] == "40 rows, but video has 50 frames"
        assert "no time in common with video" in problems["m1/day 2", "behaviour"]

    def test_header_promises_more(self, videos, tmp_path):
        path = videos.cut_off(videos.write_video(tmp_path / "a.avi", 60, codec="mjpeg",
                              pix_fmt="yuvj420p"))  # fmt: skip
        (row,) = check_dataset(path, workers=1)
        assert row.state == "losses"
        assert any("promises 60 frames" in problem for problem in row.problems)
