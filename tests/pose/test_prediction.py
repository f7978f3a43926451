"""Whole videos: where the spots are, on the video's own times; and the command line around it."""

import json
import shutil

import cv2
import numpy as np
import pytest
from spots import SMALL, picture, write_project

from tinbergen.errors import DataError, MissingFileError, NotFittedError, OutputError
from tinbergen.pose import (
    PoseEstimator,
    Predictor,
    ensemble_disagreement,
    evaluate,
    open_labels,
    predict,
    train,
)
from tinbergen.recordings import Video, read_dlc_csv, read_labelled_frames, write_video


def small(*more):
    """Arguments for a network that trains in a few seconds."""
    flat = {"longest": 96, "conv.widths": "[8,16,16]", "conv.merged": 16}
    train = {k: str(v).lower() for k, v in SMALL["train"].items()}
    pairs = [f"{k}={v}" for k, v in flat.items()]
    pairs += [f"train.{k}={v}" for k, v in {**train, "steps": 10}.items()]
    return [*more, *(part for pair in pairs for part in ("--set", pair))]


class TestVideo:
    def test_spots_are_followed_on_the_videos_own_times(self, trained, film):
        path, places = film
        video = Video(path)
        found = Predictor(trained[1], device="cpu").video(video)
        np.testing.assert_array_equal(found.times, video.times)
        assert found.keypoints == ("spot", "dot")
        error = np.linalg.norm(found.positions[:, 0] - places, axis=-1)
        assert np.median(error) < 1.2
        assert (found.confidence > 0.2).mean() > 0.9

    def test_batches_do_not_matter(self, trained, film):
        predictor, video = Predictor(trained[1], device="cpu", precision="fp32"), Video(film[0])
        one, many = (predictor.video(video, batch_size=n) for n in (1, 16))
        np.testing.assert_allclose(one.positions, many.positions, atol=1e-2)

    def test_damaged_frames_are_missing(self, trained, film, monkeypatch):
        from tinbergen.recordings.frames import FrameSource, FrameStatus

        whole = Video._read

        def with_losses(self, positions, close):
            for n, (make, status) in enumerate(whole(self, positions, close)):
                yield (None, FrameStatus.CORRUPT) if n in (3, 20) else (make, status)

        assert issubclass(Video, FrameSource)
        monkeypatch.setattr(Video, "_read", with_losses)
        found = Predictor(trained[1], device="cpu").video(Video(film[0]))
        lost = np.isnan(found.confidence).all(axis=(1, 2))
        assert np.flatnonzero(lost).tolist() == [3, 20]
        assert np.isnan(found.positions[lost]).all()

    def test_a_larger_video_of_the_same_camera(self, trained, film, tmp_path):
        path, places = film
        big = np.stack([picture(each * 2 + 0.5, (120, 160)) for each in places])
        for frame, each in zip(big, places, strict=True):  # twice as large, spots too
            frame[:] = cv2.resize(picture(each), (160, 120), interpolation=cv2.INTER_LINEAR)
        write_video(tmp_path / "big.mp4", big, np.arange(len(big)) / 30)
        found = Predictor(trained[1], device="cpu").video(Video(tmp_path / "big.mp4"))
        error = np.linalg.norm(found.positions[:, 0] - (places * 2 + 0.5), axis=-1)
        assert np.median(error) < 2.4

    def test_another_aspect_is_refused(self, trained, tmp_path):
        frames = np.full((4, 80, 60), 50, np.uint8)
        write_video(tmp_path / "tall.mp4", frames, np.arange(4) / 30)
        predictor = Predictor(trained[1], device="cpu")
        with pytest.raises(DataError, match=r"80 x 60 px, found 60 x 80 px.*--any-size"):
            predictor.video(Video(tmp_path / "tall.mp4"))
        assert len(predictor.video(Video(tmp_path / "tall.mp4"), any_size=True)) == 4

    def test_tables_are_kept_and_read_again(self, trained, film, tmp_path):
        first = predict(trained[1], film[0], tmp_path, device="cpu")
        written = (tmp_path / "film.csv").stat().st_mtime_ns
        again = predict(trained[1], film[0], tmp_path, device="cpu")
        assert (tmp_path / "film.csv").stat().st_mtime_ns == written
        np.testing.assert_array_equal(first["film"].positions, again["film"].positions)
        table = read_dlc_csv(tmp_path / "film.csv", Video(film[0]))
        np.testing.assert_array_equal(table.positions, first["film"].positions)
        np.testing.assert_array_equal(table.confidence, first["film"].confidence)

    def test_a_table_of_another_run_is_not_taken_for_ours(self, trained, film, tmp_path):
        predict(trained[1], film[0], tmp_path, device="cpu")
        note = tmp_path / "film.csv.json"
        note.write_text(note.read_text().replace('"weights": "', '"weights": "0'))
        for skip_bad in (False, True):
            with pytest.raises(OutputError, match=r"film\.csv already exists.*--overwrite"):
                predict(trained[1], film[0], tmp_path, device="cpu", skip_bad=skip_bad)
        predict(trained[1], film[0], tmp_path, device="cpu", overwrite=True)
        predict(trained[1], film[0], tmp_path, device="cpu")

    def test_a_region_of_the_video_has_px_of_its_own(self, trained, film):
        from tinbergen.recordings.following import AnimalView

        predictor = Predictor(trained[1], device="cpu", precision="fp32")
        whole = predictor.video(Video(film[0]))
        padded = Video(film[0], roi=(4, 3, 72, 54))
        part = predictor.video(padded)
        shifted = part.positions + [4, 3]
        assert np.median(np.linalg.norm(shifted - whole.positions, axis=-1)) < 1.0
        with pytest.raises(DataError, match="Leave 'follow' out"):
            predictor.video(AnimalView(Video(film[0]), 24))

    def test_nothing_is_written_where_a_later_video_cannot_be_used(self, trained, film, tmp_path):
        write_video(tmp_path / "z.mp4", np.full((4, 80, 60), 50, np.uint8), np.arange(4) / 30)
        both = [film[0], tmp_path / "z.mp4"]
        with pytest.raises(DataError, match=r"1 of 2 videos(.|\n)*found 60 x 80 px"):
            predict(trained[1], both, tmp_path / "out", device="cpu")
        assert not list((tmp_path / "out").iterdir())
        assert list(predict(trained[1], both, tmp_path / "out", device="cpu", skip_bad=True)) == [
            "film"
        ]

    def test_an_unfinished_run(self, tmp_path):
        with pytest.raises(MissingFileError, match="run folder"):
            Predictor(tmp_path)


class TestEvaluation:
    def test_files_for_the_report(self, trained, tmp_path):
        project, run = trained
        found = evaluate(run, project, out=tmp_path / "scores")
        summary = json.loads((tmp_path / "scores/summary.json").read_text())
        assert summary["room"] == "pose"
        assert summary["headline"]["value"] == pytest.approx(np.nanmean(found.distances))
        assert summary["headline"]["null"] > 10 * summary["headline"]["value"]
        predictions = read_labelled_frames(tmp_path / "scores/predictions.csv")
        np.testing.assert_array_equal(predictions.positions[:, 0], found.predicted)
        pictures = np.load(tmp_path / "scores/diagnostics/reconstructions.npy")
        assert pictures.shape[1:] == (2, 64, 96, 3)
        from tinbergen.report import write_report

        shutil.copy(run.path / "status.json", tmp_path / "scores")
        page = write_report(tmp_path / "scores").read_text()
        assert "Labels and predictions" in page

    def test_parts_of_the_split(self, trained):
        project, run = trained
        splits = run.splits
        for part, n in (("test", 5), ("validation", 2), ("train", 17), ("all", 24)):
            found = evaluate(run, project, part=part, out=False)
            assert len(found.names) == n
            assert part == "all" or set(found.names) == set(splits[part])
        with pytest.raises(DataError, match="part: expected"):
            evaluate(run, project, part="tset", out=False)

    def test_other_animals_are_scored_whole(self, trained, tmp_path):
        # Their images have the names of those that the run was trained on, but are others.
        other = write_project(tmp_path / "other", 6, seed=9)
        found = evaluate(trained[1], other, out=False)
        assert len(found.names) == 6
        assert np.nanmean(found.distances) < 1.5
        # The null is the mean pose of training, not of these.
        images = open_labels(trained[0])
        rows = [
            f"{i.parts[-2]}/{i.name}" in set(trained[1].splits["train"]) for i in images.images
        ]
        mean = images.positions[rows, 0].mean(axis=0)
        expected = np.linalg.norm(found.true - mean, axis=-1)
        np.testing.assert_allclose(found.null, expected)

    def test_two_runs_and_their_disagreement(self, trained, tmp_path):
        project, run = trained
        few = {**SMALL, "train": {**SMALL["train"], "steps": 12}}
        other = train(project, tmp_path / "few", split=run.splits, overrides=few)
        ours, theirs = (evaluate(each, project, out=False) for each in (run, other))
        test = ours.compared_with(theirs)
        assert test.mean < 0
        assert test.p < 0.1  # five frames: 2 / 2**5 at best
        spread = ensemble_disagreement([ours, theirs])
        expected = np.linalg.norm(ours.predicted - theirs.predicted, axis=-1) / 2
        np.testing.assert_allclose(spread, expected)
        curve = theirs.by_difficulty(spread, [0.0])
        assert curve.error[0] == pytest.approx(np.nanmean(theirs.distances))

    def test_labels_of_other_keypoints(self, trained, tmp_path):
        other = write_project(tmp_path / "other", 4)
        table = other / "CollectedData.csv"
        table.write_text(table.read_text().replace("dot", "point"))
        with pytest.raises(DataError, match="No keypoint 'dot' in the labels"):
            evaluate(trained[1], other, out=False)


class TestCommands:
    def test_train_evaluate_predict_smooth_convert(self, cli, project, film, tmp_path):
        run = tmp_path / "run"
        said = cli("pose", "train", project, "--out", run, *small())
        assert said.code == 0, said.err
        assert "pixel error" in said.out
        assert (run / "report.html").is_file()
        said = cli("pose", "evaluate", run, project, "--part", "all", "--against", run)
        assert said.code == 0, said.err
        assert "+0.00 px" in said.out
        out = tmp_path / "out"
        said = cli("pose", "predict", run, film[0], "--out", out, "--overlay", "--device", "cpu")
        assert said.code == 0, said.err
        drawn = Video(out / "film.overlay.mp4")
        assert (drawn.n_frames, drawn.height, drawn.width) == (40, 60, 80)
        table = out / "film.csv"
        said = cli("pose", "smooth", table, table, "--fps", 30, "--out", out / "smooth.csv")
        assert said.code == 0, said.err
        assert cli("pose", "smooth", table, "--fps", 30, "--out", table).code == 1
        assert cli("pose", "smooth", table, "--out", out / "x.csv").code == 2
        said = cli("pose", "convert", table, "--out", out / "film.slp", "--video", film[0])
        assert said.code == 0, said.err
        assert "40 tracked frames, 2 keypoints" in said.out
        said = cli("pose", "convert", project / "CollectedData.csv", "--out", project / "l.json")
        assert said.code == 0, said.err
        assert "24 labelled frames" in said.out

    def test_images_that_are_left_out_are_losses(self, cli, project, tmp_path):
        (project / "labeled-data/video0/img003.png").unlink()
        said = cli("pose", "train", project, "--out", tmp_path / "run", *small())
        assert said.code == 1
        assert "img003.png is not there" in said.err
        assert "Traceback" not in said.err
        said = cli("pose", "train", project, "--out", tmp_path / "run", *small("--skip-bad"))
        assert said.code == 3, said.err
        assert "pixel error" in said.out

    @pytest.mark.parametrize(
        ("arguments", "code", "text"),
        [
            (["--set", "longest=big"], 2, "longest"),
            (["--set", "lenght=3"], 2, "there is no such setting"),
            (["--keypoints", "nose"], 1, "No keypoint 'nose'"),
            (["--split", "nothing.json"], 1, "nothing.json"),
            (["--backbone", "nothing"], 1, "nothing"),
        ],
    )
    def test_broken_input_is_one_message(self, cli, project, tmp_path, arguments, code, text):
        said = cli("pose", "train", project, "--out", tmp_path / "run", *arguments)
        assert said.code == code, said
        assert text in said.err
        assert "Traceback" not in said.err
        assert not (tmp_path / "run").exists()

    def test_a_video_that_is_broken_and_one_that_is_not(self, cli, trained, film, tmp_path):
        videos = tmp_path / "videos"
        videos.mkdir()
        shutil.copy(film[0], videos / "good.mp4")
        (videos / "bad.mp4").write_bytes(b"no video")
        arguments = ("pose", "predict", trained[1].path, videos, "--out", tmp_path / "out")
        assert cli(*arguments).code == 1
        said = cli(*arguments, "--skip-bad")
        assert said.code == 3
        assert "bad.mp4" in said.err
        assert (tmp_path / "out/good.csv").is_file()

    def test_files_that_do_not_go_together(self, cli, project, film, tmp_path):
        table = project / "CollectedData.csv"
        said = cli("pose", "convert", table, "--out", tmp_path / "x.h5")
        assert said.code == 2
        assert "labels are written as" in said.err
        said = cli("pose", "convert", film[0], "--out", tmp_path / "x.csv")
        assert said.code == 2
        assert "expected a .csv, .h5, .slp or .json" in said.err


class TestEstimator:
    def test_fit_predict_score_save_load(self, project, film, tmp_path):
        few = {**SMALL, "train": {**SMALL["train"], "steps": 20}}
        pose = PoseEstimator(settings=few, test=0.2, device="cpu", precision="fp32")
        with pytest.raises(NotFittedError, match="not fitted"):
            pose.predict(film[0])
        assert pose.fit(project) is pose
        found = pose.predict(film[0])
        assert len(found) == 40
        score = pose.score(project)
        assert score < 0
        saved = pose.save(tmp_path / "runs/pose")
        again = PoseEstimator.load(saved, device="cpu", precision="fp32")
        assert again.score(project) == score
        np.testing.assert_array_equal(again.predict(film[0]).positions, found.positions)
        with pytest.raises(OutputError):
            pose.save(saved)
        with pytest.raises(MissingFileError):
            PoseEstimator.load(tmp_path / "none")
