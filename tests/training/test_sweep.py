"""Sweeps: every trial once, whatever happens; bad ones end early, broken ones are counted."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from tinbergen.configuration import read_yaml
from tinbergen.errors import ConfigError, DataError, OutputError, PreemptedError
from tinbergen.training import RunFolder
from tinbergen.training.launchers import Here, Processes, Submitit
from tinbergen.training.study import StudyFile
from tinbergen.training.sweeping import sweep

pytest.importorskip("optuna")
SPACE = {"level": [1.0, 5.0], "width": {"int": [1, 8]}}


@pytest.fixture(scope="session")
def toys(toy):
    """The module toy_sweep.py beside this file."""
    import toy_sweep

    return toy_sweep


@pytest.fixture(scope="module")
def straight(toys, tmp_path_factory):
    """A sweep that nothing interrupted."""
    out = tmp_path_factory.mktemp("straight") / "sweep"
    return sweep(toys.ToyTrainer(), out, trials=3, space=SPACE, launcher=Here())


def states(result):
    return list(zip(result.trials["level"], result.trials["state"], strict=True))


def same(one, other):
    columns = ["trial", "state", "score", "level", "width", "reason"]
    pd.testing.assert_frame_equal(one.trials[columns], other.trials[columns])


def test_bad_trials_end_early(toys, tmp_path):
    out = tmp_path / "sweep"
    result = sweep(toys.ToyTrainer(), out, trials=6, space=SPACE, launcher=Here())
    assert {level for level, _ in states(result)} == {1.0, 5.0}
    for number, (level, state) in enumerate(states(result)):
        assert state == ("complete" if level == 1.0 else "pruned")
        run = RunFolder.open(out / f"trials/{number:03d}")
        assert run.status["state"] == "done"
        assert run.weights_path.is_file()
        assert run.status["step"] == (toys.STEPS if level == 1.0 else 5)
    assert states(result)[0][0] == 1.0  # the settings as they are
    assert result.trials["width"].tolist()[0] == 2
    assert len(set(result.trials["width"])) > 1

    summary = json.loads((out / "summary.json").read_text())
    assert summary["complete"] + summary["pruned"] == summary["trials"] == 6
    assert summary["best"]["score"] == 1.0
    best = out / summary["best"]["run"]
    assert (out / "best").resolve() == best.resolve()
    assert (out / "best.yaml").read_text() == (best / "config.yaml").read_text()
    table = pd.read_csv(out / "trials.csv")
    assert table["state"].tolist() == result.trials["state"].tolist()
    assert read_yaml(out / "config.yaml")["space"] == SPACE
    assert RunFolder.open(out).status["state"] == "done"


def test_a_failed_trial_is_counted_and_costs_itself_alone(toys, tmp_path):
    space = {**SPACE, "level": [1.0, -1.0, -2.0, -3.0]}
    result = sweep(toys.ToyTrainer(), tmp_path / "s", trials=4, space=space, launcher=Here())
    assert result.counts["failed"] >= 1
    assert result.counts["failed"] + result.counts["complete"] == 4
    summary = json.loads((tmp_path / "s/summary.json").read_text())
    assert set(summary["failures"].values()) == {"ZeroDivisionError: it broke"}


def test_when_all_fail_the_reason_is_given(toys, tmp_path):
    trainer = toys.ToyTrainer(task={"nan_item": 3}, kill_trial=0)
    with pytest.raises(DataError, match="None of 1 trials.*NonFiniteError"):
        sweep(trainer, tmp_path / "sweep", trials=1, space=SPACE, launcher=Here())
    assert RunFolder.open(tmp_path / "sweep").status["state"] == "failed"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR2"])
def test_a_signal_loses_and_doubles_nothing(toys, straight, tmp_path, name):
    out = tmp_path / "stopped"
    trainer = toys.ToyTrainer(kill_trial=0, task={"kill_at": 13, "kill_signal": name})
    with pytest.raises(PreemptedError, match="--resume"):
        sweep(trainer, out, trials=3, space=SPACE, launcher=Here())
    assert RunFolder.open(out).status["state"] == "preempted"
    assert RunFolder.open(out / "trials/000").status["state"] == "preempted"
    with pytest.raises(OutputError, match="resume"):
        sweep(trainer, out, trials=3, space=SPACE, launcher=Here())
    resumed = sweep(trainer, out, trials=3, space=SPACE, launcher=Here(), resume=True)
    same(straight, resumed)
    weights = [p / "trials/000/weights.safetensors" for p in (straight.path, out)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


class Killed(BaseException):
    """Stands for a kill: nothing of ours catches it."""


@pytest.mark.parametrize("moment", ["finish", "add", "_compare"])
def test_a_kill_loses_and_doubles_nothing(toys, straight, tmp_path, monkeypatch, moment):
    from tinbergen.training.loop import Loop

    owner = Loop if moment == "_compare" else StudyFile
    original, calls = getattr(owner, moment), []

    def die(self, *args):
        calls.append(args)
        if len(calls) == 2:
            raise Killed
        return original(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(owner, moment, die)
        with pytest.raises(Killed):
            sweep(toys.ToyTrainer(), tmp_path / "s", trials=3, space=SPACE, launcher=Here())
    with open(tmp_path / "s/study.jsonl", "a") as file:
        file.write('{"op_code": 6, "wor')  # a crash in the middle of a record
    resumed = sweep(
        toys.ToyTrainer(), tmp_path / "s", trials=3, space=SPACE, launcher=Here(), resume=True
    )
    same(straight, resumed)
    assert sorted(p.name for p in (tmp_path / "s/trials").glob("0*")) == [
        f"{n:03d}" for n in range(3)
    ]


def test_more_trials_can_be_added_but_nothing_else_changed(toys, tmp_path):
    options = {"launcher": Here(), "resume": True}
    sweep(toys.ToyTrainer(), tmp_path / "s", trials=2, space=SPACE, **options)
    result = sweep(toys.ToyTrainer(), tmp_path / "s", trials=3, space=SPACE, **options)
    assert len(result.trials) == 3
    with pytest.raises(ConfigError, match="space.level"):
        other = {**SPACE, "level": [1.0, 2.0]}
        sweep(toys.ToyTrainer(), tmp_path / "s", trials=3, space=other, **options)


def test_nothing_is_made_when_the_space_is_wrong(toys, tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'level'"):
        sweep(toys.ToyTrainer(), tmp_path / "s", trials=2, space={"levl": [1, 2]})
    assert not (tmp_path / "s").exists()


@pytest.mark.slow
def test_jobs_of_submitit(toys, tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    launcher = Submitit(cluster="local", poll_s=0.2)
    trainer = toys.ToyTrainer(kill_trial=1, task={"kill_at": 13, "kill_signal": "SIGUSR2"})
    space = {"width": {"int": [1, 8]}}
    result = sweep(trainer, tmp_path / "s", trials=2, space=space, workers=2, launcher=launcher)
    assert result.trials["state"].tolist() == ["complete", "complete"]
    assert len(list((tmp_path / "s/logs").glob("*_result.pkl"))) >= 2


@pytest.mark.slow
def test_processes_beside_each_other(toys, tmp_path):
    trainer = toys.ToyTrainer(kill_trial=1, task={"kill_at": 13, "kill_signal": "SIGKILL"})
    result = sweep(
        trainer, tmp_path / "s", trials=2, space=SPACE, workers=2, launcher=Processes(2)
    )
    assert set(result.trials["state"]) <= {"complete", "pruned"}
    assert (tmp_path / "s/logs/001.log").is_file()


@pytest.mark.slow
def test_killing_the_sweep_alone(toys, tmp_path):
    """Its processes live on; the resumed sweep waits for them instead of doing it again."""
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import toy_sweep
from tinbergen.training.sweeping import sweep


if __name__ == "__main__":
    trainer = toy_sweep.ToyTrainer(kill_trial=0, task={{"sleep": 0.3}})
    sweep(trainer, {str(tmp_path / "s")!r}, trials=2, space={SPACE!r}, workers=1, resume=True)
"""
    script = tmp_path / "script.py"
    script.write_text(code)
    process = subprocess.Popen([sys.executable, str(script)])
    metrics = tmp_path / "s/trials/000/metrics.jsonl"
    while not metrics.is_file() or not metrics.read_text():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run([sys.executable, str(script)], check=True)
    summary = json.loads((tmp_path / "s/summary.json").read_text())
    assert summary["trials"] == 2
    assert summary["failed"] == 0
    steps = [json.loads(line)["step"] for line in metrics.read_text().splitlines()]
    assert steps == sorted(steps)
