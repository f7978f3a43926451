"""Which frames to label next, and files that go from one format to another."""

from dataclasses import replace

import numpy as np
import pytest
from spots import write_project

from tinbergen.errors import ConfigError, DataError, OutputError
from tinbergen.pose import convert, export_frames, open_labels, smooth, suggest_frames
from tinbergen.recordings import (
    Dataset,
    Keypoints,
    Video,
    read_keypoints,
    read_labelled_frames,
    read_nwb,
    write_dlc_csv,
    write_labelled_frames,
    write_sleap,
    write_sleap_analysis,
)


def members(spread, poses=None):
    """Two runs that differ by twice ``spread`` (time,) px around poses."""
    t = len(spread)
    poses = np.zeros((t, 1, 2, 2)) if poses is None else poses
    shift = np.zeros_like(poses)
    shift[..., 0] = np.asarray(spread, dtype=float)[:, None, None]
    names = ("a", "b")
    return [Keypoints(np.arange(t) / 10, poses + s * shift, keypoints=names) for s in (1, -1)]


class TestSuggesting:
    def test_frames_of_disagreement_come_first(self):
        spread = np.full(100, 0.1)
        spread[[10, 40, 70]] = [5.0, 9.0, 7.0]
        found = suggest_frames(members(spread), 3)
        assert found.frames.tolist() == [40, 70, 10]
        np.testing.assert_allclose(found.difficulty, [9, 7, 5])

    def test_they_are_not_all_of_one_moment_or_one_pose(self):
        spread = np.full(200, 0.1)
        spread[20:50] = 5.0  # one long awkward pose
        spread[150] = 4.0  # and another, a little easier
        poses = np.zeros((200, 1, 2, 2))
        poses[150] = 80.0
        poses += np.random.default_rng(0).normal(0, 0.5, poses.shape)
        found = suggest_frames(members(spread, poses), 3, gap=0.5)
        assert 150 in found.frames
        assert np.diff(np.sort(found.frames)).min() >= 5

    def test_one_run_goes_by_its_confidence(self):
        confidence = np.full((50, 1, 2), 0.9)
        confidence[[7, 30]] = 0.2
        one = Keypoints(np.arange(50) / 10, np.zeros((50, 1, 2, 2)), confidence, ("a", "b"))
        assert set(suggest_frames([one], 2).frames) == {7, 30}
        silent = Keypoints(np.arange(50) / 10, np.zeros((50, 1, 2, 2)), keypoints=("a", "b"))
        with pytest.raises(DataError, match="cannot disagree with itself"):
            suggest_frames([silent], 2)

    def test_easier_frames_fill_up_where_the_hard_ones_are_of_one_moment(self):
        spread = np.full(100, 0.1)
        spread[40:60] = 5.0
        found = suggest_frames(members(spread), 8, gap=0.5)
        assert len(found.frames) == 8
        assert np.diff(np.sort(found.frames)).min() >= 5
        assert np.isin(found.frames[:2], range(40, 60)).all()
        assert len(suggest_frames(members(spread), 99, gap=0.5).frames) <= 20

    def test_frames_with_labels_do_not_come_back(self):
        spread = np.full(100, 0.1)
        spread[[10, 40, 42, 70]] = [5.0, 9.0, 8.0, 7.0]
        found = suggest_frames(members(spread), 2, gap=0.3, taken=[40, 5000])
        assert found.frames.tolist() == [70, 10]

    def test_look_alikes_of_several_runs_are_compared_with_themselves(self):
        shape = np.array([[0.0, 0.0], [20.0, 0.0], [0.0, 15.0]])
        poses = np.stack([np.full((40, 3, 2), 50.0), np.full((40, 3, 2), 300.0)], axis=1) + shape
        other = poses[:, ::-1].copy()
        other[17] += 4.0
        who = ("animal0", "animal1")
        runs = [Keypoints(np.arange(40) / 10, p, individuals=who) for p in (poses, other)]
        found = suggest_frames(runs, 1)
        assert found.frames.tolist() == [17]
        assert found.difficulty[0] == pytest.approx(np.sqrt(8))
        with pytest.raises(DataError, match="finds of look-alikes.*pose track"):
            smooth(runs)

    def test_animals_that_one_run_has_not_found_are_not_hard(self):
        positions = np.zeros((30, 2, 2, 2))
        confidence = np.full((30, 2, 2), 0.9)
        positions[:25, 1], confidence[:25, 1] = np.nan, 0.0
        confidence[27] = 0.4
        one = Keypoints(np.arange(30) / 10, positions, confidence, individuals=("a", "b"))
        assert suggest_frames([one], 1).frames.tolist() == [27]

    def test_frames_without_any_position_are_left_out(self):
        spread = np.full(40, 1.0)
        made = members(spread)
        positions = made[0].positions.copy()
        positions[5:] = np.nan
        lost = [Keypoints(made[0].times, positions, keypoints=("a", "b"))] * 2
        assert set(suggest_frames(lost, 10, gap=0).frames) <= set(range(5))

    def test_positions_outside_of_the_image_are_no_labels(self, film, tmp_path):
        video = Video(film[0])
        height, width = video.frames([0]).frames.shape[1:3]
        places = [[0, 0], [width, 5], [3, -1], [width - 1, height - 1]]
        positions = np.broadcast_to(np.array(places, float), (len(video), 1, 4, 2))
        truth = Keypoints(video.times, positions)
        labels = export_frames(video, [1], tmp_path / "project", truth)
        assert labels.visible[0, 0].tolist() == [True, False, False, True]
        assert np.isnan(labels.positions[0, 0, 1:3]).all()

    def test_exported_frames_are_a_project(self, film, tmp_path):
        path, places = film
        video = Video(path)
        pose = Keypoints(video.times, places[:, None], keypoints=("spot", "dot"))
        export_frames(video, [30, 4], tmp_path, pose, scorer="me")
        labels = open_labels(tmp_path)
        assert [image.name for image in labels.images] == ["img0004.png", "img0030.png"]
        assert not labels.missing_images()
        np.testing.assert_array_equal(labels.positions[:, 0], places[[4, 30]])
        empty = export_frames(video, [7], tmp_path / "other")
        assert len(empty) == 1
        assert not list((tmp_path / "other").rglob("*.csv"))

    def test_predictions_that_nobody_corrected_are_said(self, film, tmp_path, capsys):
        path, places = film
        pose = Keypoints(np.arange(len(places)) / 30, places[:, None], keypoints=("spot", "dot"))
        made = export_frames(Video(path), [4, 30], tmp_path, pose, scorer="me")
        table = made.images[0].parent / "CollectedData_me.csv"
        open_labels(tmp_path)
        assert f"{table} holds predictions" in capsys.readouterr().err
        write_labelled_frames(table, replace(made, positions=made.positions + 1), tmp_path)
        open_labels(tmp_path)
        assert not capsys.readouterr().err

    def test_the_command(self, cli, trained, film, tmp_path):
        arguments = ("pose", "suggest", film[0], "--run", trained[1].path, "--device", "cpu")
        said = cli(*arguments, "--out", tmp_path / "p", "-n", 3)
        assert said.code == 0, said.err
        assert said.out.count("mean confidence") == 3
        labels = open_labels(tmp_path / "p")
        assert len(labels) == 3
        assert cli(*arguments, "--out", tmp_path / "p").code == 1
        more = cli(*arguments, "--out", tmp_path / "p", "-n", 1000, "--scorer", "me")
        assert more.code == 0, more.err
        assert "of the 1000 asked for" in more.out
        both = open_labels(tmp_path / "p")
        assert len(set(both.images)) == len(both.images) > 3
        assert set(labels.images) < set(both.images)


class TestConverting:
    @pytest.fixture
    def pose(self):
        rng = np.random.default_rng(0)
        positions, confidence = rng.normal(size=(6, 2, 3, 2)), rng.uniform(size=(6, 2, 3))
        positions[2, 1] = confidence[2, 1] = np.nan
        return Keypoints(np.arange(6), positions, confidence, ("a", "b", "c"), ("fly 1", "fly 2"))

    @pytest.mark.parametrize("ways", [(".slp", ".h5", ".csv"), (".h5", ".analysis.h5", ".slp")])
    def test_tracks_come_back_through_every_format(self, pose, tmp_path, ways):
        write_dlc_csv(tmp_path / "0.csv", pose)
        source = tmp_path / "0.csv"
        for number, ending in enumerate(ways, start=1):
            target = tmp_path / f"{number}{ending}"
            convert(source, target, video="clip.mp4")
            source = target
        again = read_keypoints(source, fps=1)
        assert (again.keypoints, again.individuals) == (pose.keypoints, pose.individuals)
        np.testing.assert_array_equal(again.positions, pose.positions)
        np.testing.assert_array_equal(again.confidence, pose.confidence)

    def test_labels_come_back_through_every_format(self, tmp_path):
        project = write_project(tmp_path / "project", 6)
        labels = read_labelled_frames(project / "CollectedData.csv")
        convert(project / "CollectedData.csv", project / "labels.json")
        convert(project / "labels.json", project / "labels.slp")
        convert(project / "labels.slp", project / "again.csv", images=project / "unused")
        again = read_labelled_frames(project / "again.csv", project)
        assert again.images == labels.images
        np.testing.assert_array_equal(again.positions, labels.positions)

    def test_frames_without_a_row_stay_in_their_places(self, tmp_path):
        (tmp_path / "some.csv").write_text(
            "bodyparts,a,a,a\ncoords,x,y,likelihood\n1,5,6,0.5\n3,7,8,0.5\n"
        )
        found = convert(tmp_path / "some.csv", tmp_path / "all.csv")
        assert len(found) == 4
        again = read_keypoints(tmp_path / "all.csv", fps=1)
        np.testing.assert_array_equal(again.positions[[1, 3], 0, 0], [[5, 6], [7, 8]])
        assert np.isnan(again.positions[[0, 2]]).all()

    def test_nwb_has_the_times_of_the_video(self, film, tmp_path):
        video = Video(film[0])
        positions = np.random.default_rng(0).normal(size=(len(video), 1, 2, 2))
        write_dlc_csv(tmp_path / "p.csv", Keypoints(video.times, positions, keypoints=("a", "b")))
        with pytest.raises(ConfigError, match="times in s.*--video"):
            convert(tmp_path / "p.csv", tmp_path / "p.nwb")
        convert(tmp_path / "p.csv", tmp_path / "p.nwb", video=film[0])
        again = read_nwb(tmp_path / "p.nwb")["keypoints"]
        np.testing.assert_array_equal(again.positions, positions)
        np.testing.assert_array_equal(again.times, video.times)
        write_dlc_csv(tmp_path / "q.csv", Keypoints(video.times[1:], positions[1:]))
        with pytest.raises(DataError, match="Give the video that was tracked"):
            convert(tmp_path / "q.csv", tmp_path / "q.nwb", video=film[0])

    def test_refused(self, pose, tmp_path):
        write_dlc_csv(tmp_path / "p.csv", pose)
        with pytest.raises(ConfigError, match="give it with --video"):
            convert(tmp_path / "p.csv", tmp_path / "p.slp")
        with pytest.raises(OutputError, match="already exists"):
            convert(tmp_path / "p.csv", tmp_path / "p.csv")
        with pytest.raises(ConfigError, match=r"tracked keypoints are written as .csv, .h5, .slp"):
            convert(tmp_path / "p.csv", tmp_path / "p.json")
        with pytest.raises(DataError, match=r"\.csv, \.h5 or \.slp, found '\.txt'"):
            read_keypoints(tmp_path / "p.txt", fps=1)


@pytest.mark.parametrize("ending", ["slp", "h5"])
def test_a_dataset_file_takes_sleap(tmp_path, film, ending):
    pose = Keypoints(np.arange(40), np.ones((40, 2, 3, 2)), individuals=("x", "y"))
    if ending == "slp":
        write_sleap(tmp_path / "p.slp", pose, film[0])
    else:
        write_sleap_analysis(tmp_path / "p.h5", pose)
    (tmp_path / "dataset.yaml").write_text(
        "schema_version: 1\nrecordings:\n  day1:\n    streams:\n"
        f"      video: {{kind: video, file: {film[0]}}}\n"
        f"      pose: {{kind: keypoints, file: p.{ending}, times: video}}\n"
    )
    found = Dataset.open(tmp_path)["day1"]["pose"]
    assert found.individuals == ("x", "y")
    assert found.positions.shape == (40, 2, 3, 2)
