"""The commands across animals, from a study on disk to a page; broken input before training."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import tinbergen as tb
from tinbergen.recordings import Dataset, Series, Trials, read_series
from tinbergen.simulation import SharedActions, simulate_shared_actions

TINY = ["--steps", "12", "--set", "network.members=1", "--set", "train.batch_size=32"]


def flies():
    return simulate_shared_actions(SharedActions(animals=4, neurons=12, pose=6, duration=40.0))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flies")
    Dataset(flies()).save(folder)
    return folder


@pytest.fixture(scope="module")
def run(cli, study, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    said = cli("crossanimal", "train", study, "--out", out, "--hold-out", "animal4",
               "--set", "swap.pose=0.5", *TINY)  # fmt: skip
    assert said.code == 0, said.err
    assert "3 recordings: animal1, animal2, animal3" in said.out
    return out


def test_from_a_study_to_a_page_and_on_to_another_animal(cli, study, run, tmp_path):
    both = tmp_path / "all"
    said = cli("crossanimal", "adapt", run, study, "--out", both, "--steps", "5")
    assert said.code == 0, said.err
    evaluated = tmp_path / "evaluated"
    said = cli(
        "crossanimal", "evaluate", both, study, "--out", evaluated, "--beside", f"twin={both}"
    )
    assert said.code == 0, said.err
    for text in ("leave-one-out 0.5", "CCA by pose", "twin", "which animal"):
        assert text in said.out
    page = (evaluated / "report.html").read_text()
    for text in (
        "Like poses of other animals",
        "Actions within and across animals",
        "Which animal",
        "By action",
        "By recording",
    ):
        assert text in page
    summary = json.loads((evaluated / "summary.json").read_text())
    assert summary["headline"]["name"] == "Balanced accuracy, leave-one-out"
    table = pd.read_csv(evaluated / "diagnostics/across_actions.csv")
    assert {"rolled", "shuffled", "chance", "low", "high"} <= set(table)
    embedded = tmp_path / "embedded"
    assert cli("crossanimal", "embed", both, study, "--out", embedded).code == 0
    series = read_series(embedded / "animal4.npz")
    assert isinstance(series, Series) and len(series) == 640 and series.channels[0] == "h0"


def test_strict_trains_without_each_animal(cli, study, run, tmp_path):
    out = tmp_path / "strict"
    said = cli("crossanimal", "evaluate", run, study, "--strict", "--no-baselines", "--no-report",
               "--recordings", "animal1,animal2,animal3", "--out", out)  # fmt: skip
    assert said.code == 0, said.err
    assert "strict 1" in said.out


def test_whole_trials_for_the_test(cli, tmp_path):
    """What was trained on whole trials can be evaluated: the gap is kept between them too."""
    table = pd.DataFrame({"start": np.arange(0.0, 40.0, 4.0)})
    table["stop"] = table["start"] + 3.5
    recordings = [replace(r, streams={**r.streams, "trials": Trials(table)}) for r in flies()[:2]]
    Dataset(recordings).save(tmp_path / "study")
    out = tmp_path / "run"
    said = cli("crossanimal", "train", tmp_path / "study", "--out", out, "--trials", "trials",
               "--by-trial", *TINY)  # fmt: skip
    assert said.code == 0, said.err
    said = cli("crossanimal", "evaluate", out, tmp_path / "study", "--no-report")
    assert said.code == 0, said.err
    assert "distant knn" in said.out


def changed(tmp_path, change):
    """The study with one recording that ``change`` was done to."""
    recordings = flies()
    recordings[1] = change(recordings[1])
    Dataset(recordings).save(tmp_path)
    return tmp_path


def without(*names):
    return lambda r: replace(r, streams={k: v for k, v in r.streams.items() if k not in names})


def with_neural(values):
    def change(recording):
        old = recording["neural"]
        new = Series(old.times, values(old.values.astype(float)))
        return replace(recording, streams={**recording.streams, "neural": new})

    return change


def late(recording):
    pose = recording["pose"]
    moved = Series(pose.times + 1e4, pose.values)
    return replace(recording, streams={**recording.streams, "pose": moved})


def named_otherwise(recording):
    pose = recording["pose"]
    other = Series(pose.times, pose.values, ("0", "2", "1", "3", "4", "5"))
    return replace(recording, streams={**recording.streams, "pose": other})


def without_a_column(recording):
    pose = recording["pose"]
    other = Series(pose.times, pose.values[:, :5])
    return replace(recording, streams={**recording.streams, "pose": other})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (without("pose"), "'animal2' has no stream 'pose'"),
        (with_neural(lambda x: np.where(np.arange(12) == 3, np.nan, x)), "the first is column 3"),
        (with_neural(lambda x: np.full_like(x, np.nan)), "'animal2': its neural stream holds no"),
        (late, "the neural stream runs from 0 to 39.9375 s, the pose from 10000"),
        (named_otherwise, "'animal2': column 1 of its pose is '2', that of 'animal1' '1'"),
        (without_a_column, "'animal2': its pose has 5 columns, that of 'animal1' 6"),
        (lambda r: r.between(0, 1.0), "'animal2': 3 frames with a pose are left for training"),
        (lambda r: r.between(0, 0.5), "'animal2', 8 frames: split"),
        (lambda r: r.between(500, 600), "'animal2': its neural stream is empty"),
    ],
)
def test_broken_recordings_are_named_before_training(cli, tmp_path, change, text):
    folder = changed(tmp_path / "study", change)
    said = cli("crossanimal", "train", folder, "--out", tmp_path / "run", *TINY)
    assert said.code == 1 and text in said.err, said.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--gap", "3"], 2, "give at least 8"),
        (["--gap", "3", "--by-trial"], 2, "give at least 8"),
        (["--test", "0.9", "--gap", "90"], 1, "'animal1', 640 frames: split"),
        (["--objective", "contrst"], 2, "objective"),
        (["--set", "swap.posee=1"], 2, "did you mean 'pose'"),
    ],
)
def test_wrong_settings(cli, study, tmp_path, arguments, code, text):
    said = cli("crossanimal", "train", study, "--out", tmp_path / "run", *arguments)
    assert said.code == code and text in said.err, said.err


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--labels", "action"], 1, "no recording has a stream of labels 'action'"),
        (["--actions", "left up,left dwn"], 1, "Did you mean 'left down'"),
        (["--labels", "pose"], 1, "a series of one channel"),
        (["--probe", "svm"], 2, "probe: expected one of"),
        (["--beside", "twin"], 2, "expected NAME=RUN"),
        (["--fractions", "half"], 2, "--fractions: expected numbers"),
    ],
)
def test_evaluations_that_cannot_be(cli, study, run, tmp_path, arguments, code, text):
    said = cli("crossanimal", "evaluate", run, study, "--recordings", "animal1,animal2,animal3",
               "--out", tmp_path / "out", *arguments)  # fmt: skip
    assert said.code == code and text.lower() in said.err.lower(), said.err
    assert not (tmp_path / "out").exists()


def test_one_animal_cannot_be_left_out(cli, study, run, tmp_path):
    said = cli("crossanimal", "evaluate", run, study, "--recordings", "animal1", "--strict",
               "--out", tmp_path / "out")  # fmt: skip
    assert said.code == 1 and "leaving one animal out needs two" in said.err


def test_an_unknown_animal(cli, study, run):
    said = cli("crossanimal", "embed", run, study, "--out", run.parent / "nothing")
    assert said.code == 1 and "Call adapt" in said.err
    assert not (run.parent / "nothing").exists()


def test_images_of_two_photon_trials(cli, tmp_path):
    """From folders of trials to features; a fly that is new needs no training."""
    lines = ["recordings:"]
    for fly in (1, 2, 3):
        rng = np.random.default_rng(fly)
        name = f"201008_G23xU1_Fly{fly}_001"
        (tmp_path / name).mkdir()
        rng.random((60, 64, 64), np.float32).tofile(tmp_path / name / "2p_dff_resized.mm")
        rng.random((360, 76), np.float32).tofile(tmp_path / name / "pose_result.mm")
        np.save(tmp_path / name / "indices.npy", np.repeat(np.arange(60), 6))
        np.save(tmp_path / name / "rest.npy", np.arange(360) // 60 % 2 == 0)
        lines.append(f"  {name}:\n    subject: fly{fly}\n    streams:")
        lines.append(f"      trial: {{kind: mc2p, file: {name}}}")
    (tmp_path / "dataset.yaml").write_text("\n".join(lines))
    run, wider = tmp_path / "run", tmp_path / "wider"
    said = cli("crossanimal", "train", tmp_path, "--out", run, "--neural", "images",
               "--hold-out", "fly3", "--steps", "2", "--set", "network.members=1",
               "--set", "train.batch_size=8", "--set", "windows.neural=3")  # fmt: skip
    assert said.code == 0, said.err
    assert cli("crossanimal", "adapt", run, tmp_path, "--out", wider).code == 0
    said = cli("crossanimal", "evaluate", wider, tmp_path, "--labels", "rest", "--no-report")
    assert said.code == 0 and "leave-one-out" in said.out, said.err
    out = tmp_path / "embedded"
    assert cli("crossanimal", "embed", run, tmp_path, "--out", out).code == 0
    assert np.isfinite(read_series(out / "201008_G23xU1_Fly3_001.npz").values).all()


def test_labels_from_a_series_of_numbers(study):
    data = Dataset.open(study)
    first = data["animal1"]
    numbers = Series(first["neural"].times, np.arange(640) // 320)
    given = {"animal1": replace(first, streams={**first.streams, "state": numbers})}
    animals = tb.crossanimal.animals_of(given, "neural", "pose")
    from tinbergen.crossanimal.streams import labels_of

    found = labels_of(given, animals, "state")["animal1"]
    assert list(np.unique(found)) == ["state 0", "state 1"] and (found[320:] == "state 1").all()
