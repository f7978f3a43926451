import hashlib
import os

import numpy as np
import pytest
from typer.testing import CliRunner

from tinbergen.errors import ConfigError, MissingFileError, OutputError, VideoError
from tinbergen.recordings import Video, read_dlc_csv, read_labels
from tinbergen.recordings.series import read_series
from tinbergen.simulation import (
    KEYPOINTS,
    LATENTS,
    MOUSE,
    Rig,
    Session,
    Subject,
    frame_times,
    loop_video,
    simulate,
)
from tinbergen.simulation import study as study_module


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    out = tmp_path_factory.mktemp("study")
    return out, simulate(out, animals=2, recordings_per_animal=2, duration=3.0, seed=5)


def truth(folder):
    """Hash of every file that is not a video, by relative name."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".mp4"
    }


def pixels(video):
    return hashlib.sha256(Video(video).frames(np.arange(0, 90, 7)).frames.tobytes()).hexdigest()


def test_the_dataset_holds_every_stream(study):
    _, data = study
    assert list(data) == [f"animal{a}_session{s}" for a in (0, 1) for s in (0, 1)]
    for name, recording in data.items():
        assert recording.subject == name.split("_")[0]
        assert set(recording.streams) == {"video", "keypoints", "behaviour", "latents"}
        assert recording["keypoints"].keypoints == KEYPOINTS
        assert recording["latents"].channels == tuple(LATENTS)
        assert recording["behaviour"].classes == MOUSE.names
        for stream in ("keypoints", "latents"):
            np.testing.assert_array_equal(recording[stream].times, recording["video"].times)


def test_the_files_are_what_other_tools_read(study):
    out, _ = study
    name = "animal1_session0"
    video = Video(out / "videos" / f"{name}.mp4")
    assert (video.n_frames, video.height, video.width) == (90, 192, 256)
    np.testing.assert_array_equal(video.times, frame_times(3.0, 30.0))
    check = video.check()
    assert check.ok == 90
    keypoints = read_dlc_csv(out / "keypoints" / f"{name}.csv", video)
    assert keypoints.positions.shape == (90, 1, len(KEYPOINTS), 2)
    assert set(np.unique(keypoints.confidence)) == {0.0, 1.0}
    assert np.isfinite(keypoints.positions).all()
    labels = read_labels(out / "behaviour" / f"{name}.csv")
    assert (labels.codes(video.times) >= 0).all()
    series = read_series(out / "latents" / f"{name}.npz")
    np.testing.assert_array_equal(series.times, video.times)


def test_recordings_of_one_animal_share_its_rig_and_not_its_behaviour(study):
    out, _ = study
    frames = {
        name: Video(out / "videos" / f"{name}.mp4").frame(0).astype(float)
        for name in ("animal0_session0", "animal0_session1", "animal1_session0")
    }

    def difference(a, b):
        return np.median(np.abs(frames[a] - frames[b]))

    same = difference("animal0_session0", "animal0_session1")
    assert same < difference("animal0_session0", "animal1_session0") / 1.5
    truths = [out / "keypoints" / f"animal0_session{i}.csv" for i in (0, 1)]
    assert truths[0].read_bytes() != truths[1].read_bytes()


def test_same_seed_same_truth_and_same_pixels(study, tmp_path):
    out, _ = study
    simulate(tmp_path / "again", animals=2, recordings_per_animal=2, duration=3.0, seed=5)
    simulate(tmp_path / "other", animals=1, duration=3.0, seed=6)
    assert truth(out) == truth(tmp_path / "again")
    name = "videos/animal0_session1.mp4"
    assert pixels(out / name) == pixels(tmp_path / "again" / name)
    other = tmp_path / "other/keypoints/animal0_session0.csv"
    assert other.read_bytes() != (out / "keypoints/animal0_session0.csv").read_bytes()


def test_two_animals_and_a_variable_frame_rate(tmp_path):
    data = simulate(tmp_path, animals=1, individuals=2, duration=3.0, jitter=0.3, views=("top",))
    recording = data["animal0_session0"]
    assert recording["keypoints"].individuals == ("animal0_0", "animal0_1")
    assert {"latents_0", "latents_1"} < set(recording.streams)
    assert recording["behaviour"].individuals == ("animal0_0", "animal0_1")
    intervals = np.diff(recording["video"].times)
    assert 0.15 < intervals.std() / intervals.mean() < 0.45
    np.testing.assert_array_equal(recording["keypoints"].times, recording["video"].times)
    header = (tmp_path / "keypoints/animal0_session0.csv").read_text().splitlines()
    assert header[1].startswith("individuals,")


def test_movement_does_not_depend_on_the_frame_rate():
    sessions = [
        Session.draw("s", "m", [Subject()], Rig(), frame_times(4.0, fps), 4.0, (1, 2))
        for fps in (20, 60)
    ]
    slow, fast = (session.series()["latents"].values for session in sessions)
    np.testing.assert_allclose(fast[::3], slow, atol=1e-6)


def test_frame_times_fill_the_duration():
    times = frame_times(2.0, 25.0)
    np.testing.assert_allclose(times, np.arange(50) / 25, atol=1e-5)
    jittered = frame_times(2.0, 25.0, 0.4, np.random.default_rng(0))
    assert jittered[0] == 0 and jittered[-1] < 2.0 and len(jittered) == 50
    assert (np.diff(jittered) > 0).all()
    with pytest.raises(ConfigError, match="generator"):
        frame_times(2.0, 25.0, 0.4)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        simulate(tmp_path, animals=1, duration=1.0)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_path_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        simulate(tmp_path / "file" / "out", animals=1, duration=1.0)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="permission"):
        simulate(tmp_path / "out", animals=1, duration=1.0)


def test_nothing_is_left_after_an_interruption(tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(study_module.Dataset, "save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path, animals=1, duration=0.5)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"animals": 0}, "animals"),
        ({"individuals": 0}, "individuals"),
        ({"duration": 0.0}, "duration"),
        ({"duration": float("nan")}, "duration"),
        ({"fps": -1.0}, "fps"),
        ({"duration": 0.001}, "no frame"),
        ({"size": (191, 256)}, "yuv420p"),
        ({"size": (16, 16)}, "32 px"),
        ({"views": ("below",)}, "oblique, side, top"),
        ({"jitter": 1.5}, "jitter"),
        ({"seed": -1}, "seed"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(tmp_path, wrong, message):
    with pytest.raises(ConfigError, match=message):
        simulate(tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()


def test_a_looped_video_repeats_the_same_frames(study, tmp_path):
    source = study[0] / "videos" / "animal0_session0.mp4"
    loop_video(source, tmp_path / "long.mp4", 4)
    one, four = Video(source), Video(tmp_path / "long.mp4")
    assert four.n_frames == 4 * one.n_frames
    np.testing.assert_allclose(np.diff(four.times), 1 / 30, atol=2e-5)
    for index in (0, 31, 89):
        for repeat in (1, 3):
            np.testing.assert_array_equal(one.frame(index), four.frame(index + 90 * repeat))


def test_loop_video_says_what_is_wrong(study, tmp_path):
    source = study[0] / "videos" / "animal0_session0.mp4"
    with pytest.raises(ConfigError, match="repeats"):
        loop_video(source, tmp_path / "long.mp4", 0)
    with pytest.raises(MissingFileError):
        loop_video(tmp_path / "none.mp4", tmp_path / "long.mp4", 2)
    with pytest.raises(OutputError, match="already there"):
        loop_video(source, source, 2)
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(VideoError, match=r"text\.mp4"):
        loop_video(tmp_path / "text.mp4", tmp_path / "long.mp4", 2)
    assert not (tmp_path / "long.mp4").exists()


def test_the_command_writes_a_study_and_refuses_to_overwrite_it(tmp_path):
    typer = pytest.importorskip("typer")
    from tinbergen.cli.simulate import simulate as command

    app = typer.Typer()
    app.command()(command)
    run = CliRunner().invoke
    arguments = [str(tmp_path / "out"), "--animals", "1", "--duration", "1", "--view", "side"]
    result = run(app, arguments)
    assert result.exit_code == 0, result.output
    assert "dataset.yaml" in result.output
    again = run(app, arguments)
    assert isinstance(again.exception, OutputError)
    assert run(app, [str(tmp_path / "b"), "--view", "below"]).exit_code == 2
    assert run(app, [str(tmp_path / "b"), "--animals", "0"]).exit_code == 2
