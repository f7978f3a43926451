"""The commands of population models, from a study on disk to a page; broken input; interrupted."""

import json
import time

import numpy as np
import pandas as pd
import pytest

import tinbergen as tb
from tinbergen.cli.population import parse_modalities
from tinbergen.errors import ConfigError

TINY = {
    "network.width": 16, "network.depth": 1, "network.heads": 2, "network.hidden": 32,
    "units.linear_rank": 4, "train.precision": "fp32", "train.device": "cpu",
    "train.tensorboard": "false", "train.workers": 0, "train.batch_size": 8,
    "train.checkpoint_every": 1, "train.log_every": 1, "train.validate_every": 4,
}  # fmt: skip
WINDOWS = ["--align", "stim_on", "--before", "0.2", "--after", "0.8", "--bin", "0.1"]
NAMED = ["--modality", "wheel=wheel/velocity", "--modality", "choice=trials/choice:categorical"]
TIMES = ("items_per_s", "data_s", "compute_s", "elapsed_s", "cpu_s")


def tiny(**changes):
    pairs = {**TINY, **{key.replace("__", "."): value for key, value in changes.items()}}
    return [part for key, value in pairs.items() for part in ("--set", f"{key}={value}")]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Three animals with 30 units each, on disk."""
    folder = tmp_path_factory.mktemp("study")
    tb.simulation.simulate_task_study(animals=3, trials=30, neurons=30).save(folder)
    return folder


@pytest.fixture(scope="module")
def brain(cli, study, tmp_path_factory):
    out = tmp_path_factory.mktemp("brain") / "run"
    said = cli("population", "pretrain", study, "--out", out, *WINDOWS, *NAMED, "--steps", "12",
               "--hold-out", "animal2", *tiny())  # fmt: skip
    assert said.code == 0, said.err
    assert "2 sessions, 60 units, 10 bins a window" in said.out
    return out


def test_from_a_study_to_a_page_and_on_to_another_animal(cli, study, brain, tmp_path):
    said = cli("population", "evaluate", brain, study, "--folds", "3")
    assert said.code == 0, said.err
    assert "Co-smoothing" in said.out
    assert "Decoding of choice" in said.out
    page = (brain / "report.html").read_text()
    assert "All questions and methods" in page
    adapted = tmp_path / "adapted"
    said = cli("population", "adapt", brain, study, "--out", adapted, "--only", "animal2",
               "--strategy", "frozen", "--steps", "4")  # fmt: skip
    assert said.code == 0, said.err
    out = tmp_path / "predictions"
    said = cli("population", "predict", adapted, study, "--given", "spikes,wheel",
               "--target", "choice", "--out", out)  # fmt: skip
    assert said.code == 0, said.err
    values = np.load(out / "animal2_session0" / "prediction.npy")
    index = pd.read_csv(out / "animal2_session0" / "index.csv")
    assert values.shape == (len(index), 2)
    np.testing.assert_allclose(values.sum(axis=1), 1.0, rtol=1e-5)
    assert [p.name for p in out.iterdir()] == ["animal2_session0"]
    assert cli("report", adapted).code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--modality", "wheel=weel/velocity"], 2, "no recording has a stream 'weel'"),
        (["--modality", "wheel=wheel/speed"], 1, "there is no channel 'speed'"),
        (["--modality", "x=trials/choise:categorical"], 1, "no column 'choise'"),
        (["--modality", "x:kind"], 2, "--modality: expected NAME"),
        (["--spikes", "units"], 1, "no stream 'units'"),
        (["--set", "train.stepz=3"], 2, "did you mean 'steps'"),
        (["--preset", "ned"], 2, "expected one of tinbergen, neds"),
        (["--hold-out", "animal9"], 2, "no subject 'animal9'"),
        (["--only", "animal9"], 1, "no animal 'animal9'"),
        (["--recordings", "monday"], 1, "no recording 'monday'"),
    ],
)
def test_wrong_input_is_refused_before_training(cli, study, tmp_path, arguments, code, text):
    out = tmp_path / "run"
    said = cli("population", "pretrain", study, "--out", out, *WINDOWS, *arguments)
    assert said.code == code, said.err
    assert text in said.err
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["evaluate", "{run}", "{study}", "--tasks", "smoothing"], 2, "expected some of"),
        (["evaluate", "{run}", "{study}", "--part", "exam"], 1, "expected a part 'exam'"),
        (["evaluate", "{run}", "{study}", "--recordings", "animal2_session0"], 1, "knows none of"),
        (["evaluate", "{study}", "{study}"], 1, "Expected a run folder"),
        (["predict", "{run}", "{study}", "--out", "o", "--given", "whisker"], 2, "no 'whisker'"),
        (["adapt", "{run}", "{study}", "--out", "o", "--strategy", "slow"], 2, "strategy"),
        (["adapt", "{run}", "{study}", "--out", "o", "--set", "network.depth=2"], 2, "network"),
    ],
)
def test_questions_that_do_not_fit(
    cli, study, brain, tmp_path, monkeypatch, arguments, code, text
):
    monkeypatch.chdir(tmp_path)
    said = cli("population", *(a.format(run=brain, study=study) for a in arguments))
    assert said.code == code, said.err
    assert text in said.err
    assert not list(tmp_path.iterdir())


def logged(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines]


def test_killed_and_resumed_is_never_interrupted(cli, study, brain, start, tmp_path):
    run = tmp_path / "run"
    arguments = ["population", "pretrain", study, "--out", run, *WINDOWS, *NAMED, "--steps", "12",
                 "--hold-out", "animal2", "--resume", *tiny()]  # fmt: skip
    process = start(*arguments)
    end = time.monotonic() + 300
    while not list(run.glob("checkpoints/step_*.json")) and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.02)
    process.kill()
    process.communicate()
    said = cli(*arguments)
    assert said.code == 0, said.err
    assert logged(run) == logged(brain)
    weights = [(folder / "weights.safetensors").read_bytes() for folder in (run, brain)]
    assert weights[0] == weights[1]


def test_modalities_are_read_as_they_are_written():
    assert parse_modalities(
        ["wheel", "licks=tongue:counts", "c=trials/contrast", "p=pose:static"]
    ) == {
        "wheel": {},
        "licks": {"source": "tongue", "kind": "counts"},
        "c": {"source": "trials/contrast", "static": True},
        "p": {"source": "pose", "static": True},
    }
    with pytest.raises(ConfigError, match="each name once"):
        parse_modalities(["wheel", "wheel"])
