"""Killed and resumed = uninterrupted, bit for bit on the CPU."""

import json
import random
import signal
import time

import pytest
import torch

from tinbergen.errors import DataError, OutputError, PreemptedError
from tinbergen.training import RunFolder, fit
from tinbergen.training.run import RunFolder as Folder

TIMES = ("items_per_s", "data_s", "compute_s", "elapsed_s", "cpu_s")


def same_weights(one, other):
    a, b = one.load_weights(), other.load_weights()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def logged(run):
    lines = [json.loads(line) for line in run.metrics_path.read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines]


def assert_same_run(one, other):
    assert same_weights(one, other)
    assert logged(one) == logged(other)
    assert one.status["best_step"] == other.status["best_step"]


class Killed(BaseException):
    """Stands for a kill: nothing of ours catches it."""


def crash(toy, path, at, monkeypatch, **options):
    """Train until step ``at`` and die there without saving."""

    def die(self, *args, step=at):
        if args[0] == step:
            raise Killed
        return original(self, *args)

    from tinbergen.training.loop import Loop

    original = Loop._update
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_update", die)
        with pytest.raises(Killed):
            toy.train(path, **options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"workers": 0},
        {"workers": 5},
        {"precision": "auto", "ema": 0.0},
        {"task": {"scored": False}, "validate_every": 0},
        {"validate_every": 2, "patience": 8, "learning_rate": 1.0, "ema": 0.0},
    ],
    ids=["plain", "no-workers", "workers", "bf16-if-any", "unscored", "early-stop"],
)
def test_resumed_equals_uninterrupted(toy, tmp_path, monkeypatch, options):
    straight = toy.train(tmp_path / "straight", **options).run
    for at in (7, 16):
        crash(toy, tmp_path / "killed", at, monkeypatch, resume=at > 7, **options)
    killed = toy.train(tmp_path / "killed", resume=True, **options).run
    assert_same_run(straight, killed)


def test_result_does_not_depend_on_workers(toy, tmp_path):
    runs = [toy.train(tmp_path / str(n), workers=n).run for n in (0, 1, 4)]
    assert_same_run(runs[0], runs[1])
    assert_same_run(runs[0], runs[2])


@pytest.mark.slow
def test_sigkill_at_random_moments(toy, start_toy, tmp_path):
    options = {"checkpoint_every": 1, "steps": 60, "workers": 2}
    straight = toy.train(tmp_path / "straight", **options).run
    path, chance = tmp_path / "killed", random.Random()
    for _ in range(2):  # saving after every step, so that many kills hit a save
        process = start_toy(path, task={"sleep": 0.02}, resume=True, **options)
        checkpoints = path / "checkpoints"
        have = set(checkpoints.glob("step*.json")) if checkpoints.exists() else set()
        while not (set(checkpoints.glob("step*.json")) - have) and process.poll() is None:
            time.sleep(0.01)
        time.sleep(chance.random() * 0.3)
        process.kill()
        process.communicate()
    assert Folder(path).status["state"] == "running"
    killed = toy.train(path, resume=True, **options).run
    assert_same_run(straight, killed)
    assert not list(checkpoints.glob(".*"))


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGINT"])
def test_signal_saves_at_the_next_step(toy, tmp_path, name):
    straight = toy.train(tmp_path / "straight").run
    before = signal.getsignal(getattr(signal, name))
    with pytest.raises(PreemptedError, match=f"{name} after step .* of 40"):
        toy.train(tmp_path / "run", task={"kill_at": 13, "kill_signal": name})
    assert signal.getsignal(getattr(signal, name)) is before
    run = RunFolder.open(tmp_path / "run")
    assert run.status["state"] == "preempted"
    assert name in run.status["reason"]
    assert not run.weights_path.exists()
    assert_same_run(straight, toy.train(tmp_path / "run", resume=True).run)


def test_sigterm_exits_with_75(start_toy, tmp_path):
    process = start_toy(tmp_path / "run", task={"kill_at": 13, "kill_signal": "SIGTERM"})
    _, said = process.communicate()
    assert process.returncode == 75
    assert "Resume to go on" in said


def test_damaged_last_falls_back_loudly(toy, tmp_path, monkeypatch, capsys):
    straight = toy.train(tmp_path / "straight").run
    crash(toy, tmp_path / "run", 25, monkeypatch)
    last = sorted((tmp_path / "run" / "checkpoints").glob("step*.safetensors"))[-1]
    data = bytearray(last.read_bytes())
    data[-3] ^= 1
    last.write_bytes(data)
    run = toy.train(tmp_path / "run", resume=True).run
    said = capsys.readouterr().err
    assert f"{last.name} is damaged" in said
    assert "Going on from step 18" in said
    assert run.status["notes"]
    assert_same_run(straight, run)


@pytest.mark.parametrize("damage", ["truncate", "no-tensors", "half-json"])
def test_every_kind_of_damage_is_seen(toy, tmp_path, monkeypatch, damage):
    crash(toy, tmp_path / "run", 25, monkeypatch)
    last = sorted((tmp_path / "run" / "checkpoints").glob("step*.safetensors"))[-1]
    if damage == "truncate":
        last.write_bytes(last.read_bytes()[:-10])
    elif damage == "no-tensors":
        last.unlink()
    else:
        text = last.with_suffix(".json").read_text()
        last.with_suffix(".json").write_text(text[: len(text) // 2])
    run = toy.train(tmp_path / "run", resume=True).run
    assert "Going on from step 18" in run.status["notes"][0]


def test_all_checkpoints_damaged(toy, tmp_path, monkeypatch):
    crash(toy, tmp_path / "run", 25, monkeypatch)
    for path in (tmp_path / "run" / "checkpoints").glob("step*.safetensors"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match="No checkpoint can be used"):
        toy.train(tmp_path / "run", resume=True)


def test_damaged_best_is_chosen_anew(toy, tmp_path, monkeypatch):
    crash(toy, tmp_path / "run", 25, monkeypatch)
    for path in (tmp_path / "run" / "checkpoints").glob("best*.safetensors"):
        path.write_bytes(b"")
    run = toy.train(tmp_path / "run", resume=True).run
    assert "chosen anew" in run.status["notes"][0]
    assert run.status["best_step"] > 24


def test_half_written_metrics_line_is_tolerated(toy, tmp_path, monkeypatch):
    straight = toy.train(tmp_path / "straight").run
    crash(toy, tmp_path / "run", 25, monkeypatch)
    run = RunFolder.open(tmp_path / "run")
    with open(run.metrics_path, "a") as file:
        file.write('{"step": 24, "lo')
    assert run.metrics()["step"].iloc[-1] == 24
    assert_same_run(straight, toy.train(tmp_path / "run", resume=True).run)


def test_resuming_a_finished_run_only_reads_it(toy, tmp_path):
    first = toy.train(tmp_path / "run")
    before = first.run.metrics_path.read_bytes()
    again = toy.train(tmp_path / "run", resume=True)
    assert first.run.metrics_path.read_bytes() == before
    assert again.best_score == first.best_score
    for name, value in first.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name])


def test_resume_where_nothing_is_starts_anew(toy, tmp_path):
    assert toy.train(tmp_path / "run", resume=True).step == 40


def test_used_run_is_refused_without_resume(toy, tmp_path):
    run = toy.train(tmp_path / "run").run
    with pytest.raises(OutputError, match="resume"):
        fit(toy.Toy(), toy.config(), run)


def test_crash_between_last_checkpoint_and_weights(toy, tmp_path, monkeypatch):
    straight = toy.train(tmp_path / "straight").run

    def die(self, *args):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "save_weights", die)
        with pytest.raises(Killed):
            toy.train(tmp_path / "run")
    assert_same_run(straight, toy.train(tmp_path / "run", resume=True).run)
