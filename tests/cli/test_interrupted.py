"""Killed and called again = never interrupted, with the real command in its own process."""

import json
import random
import signal
import time

import pytest

TIMES = ("items_per_s", "data_s", "compute_s", "elapsed_s", "cpu_s")
SETTINGS = {"train__steps": 40, "train__workers": 2}


def logged(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines]


def assert_same(one, other):
    assert logged(one) == logged(other)
    weights = [(run / "weights.safetensors").read_bytes() for run in (one, other)]
    assert weights[0] == weights[1]


def wait_for(condition, process, limit=120.0):
    """Wait until ``condition()``, or until the process has ended."""
    end = time.monotonic() + limit
    while not condition() and process.poll() is None:
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.005)


@pytest.fixture(scope="module")
def straight(cli, tiny, videos, tmp_path_factory):
    run = tmp_path_factory.mktemp("straight") / "run"
    assert cli("pretrain", videos, "--out", run, "--no-report", *tiny(**SETTINGS)).code == 0
    return run


def test_killed_while_caching_and_at_random_steps(cli, tiny, videos, start, straight, tmp_path):
    run, chance = tmp_path / "run", random.Random()
    arguments = ["pretrain", videos, "--out", run, "--no-report", "--resume"]
    caching = start(*arguments, *tiny(**SETTINGS))
    wait_for(lambda: list(tmp_path.glob(".frames/*/building.json")), caching)
    caching.kill()
    caching.communicate()
    assert caching.returncode == -signal.SIGKILL
    assert not run.exists()
    killed_at = []
    for _ in range(2):
        saved = set(run.glob("checkpoints/step_*.json"))
        process = start(*arguments, *tiny(**SETTINGS))
        wait_for(lambda s=saved: set(run.glob("checkpoints/step_*.json")) - s, process)
        time.sleep(chance.random() * 0.2)
        process.kill()
        process.communicate()
        killed_at.append(max(run.glob("checkpoints/step_*.json"), default=run).name)
    said = cli(*arguments)
    assert said.code == 0, said.err
    assert_same(straight, run)
    assert json.loads((run / "status.json").read_text())["state"] == "done"
    assert not list(run.rglob("*.tmp")), killed_at


def test_sigterm_saves_and_exits_with_75(cli, tiny, videos, start, straight, tmp_path):
    run = tmp_path / "run"
    arguments = ["pretrain", videos, "--out", run, "--no-report"]
    process = start(*arguments, *tiny(**SETTINGS))
    wait_for(lambda: list(run.glob("checkpoints/step_*.json")), process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert "Stopped by SIGTERM after step" in err and "Traceback" not in err
    assert json.loads((run / "status.json").read_text())["state"] == "preempted"
    assert cli(*arguments, "--resume").code == 0
    assert_same(straight, run)


def test_sigterm_while_caching_exits_with_75(cli, tiny, videos, start, straight, tmp_path):
    run = tmp_path / "run"
    arguments = ["pretrain", videos, "--out", run, "--no-report", "--resume"]
    process = start(*arguments, *tiny(**SETTINGS))
    wait_for(lambda: list(tmp_path.glob(".frames/*/building.json")), process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert "--resume" in err and "Traceback" not in err
    assert cli(*arguments, *tiny(**SETTINGS)).code == 0
    assert_same(straight, run)


def test_embedding_stopped_by_a_signal_exits_with_75(cli, clip, trained, start, tmp_path):
    video = clip(tmp_path / "long.mp4", 4500)
    arguments = ["embed", trained, video, "--batch-size", "64", "--out", tmp_path / "out"]
    process = start(*arguments)
    wait_for(lambda: (tmp_path / "out" / ".long.partial" / "progress.json").is_file(), process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert "run the same command again" in err and "Traceback" not in err
    assert cli(*arguments).code == 0


def test_embedding_killed_and_called_again(cli, clip, trained, start, tmp_path):
    video = clip(tmp_path / "long.mp4", 4500)  # two marks of 2048 rows
    arguments = ["embed", trained, video, "--tokens", "cls,patch", "--batch-size", "64"]
    assert cli(*arguments, "--out", tmp_path / "whole").code == 0
    out = tmp_path / "killed"
    process = start(*arguments, "--out", out)
    wait_for(lambda: (out / ".long.partial" / "progress.json").is_file(), process)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (out / "long").exists()
    assert cli(*arguments, "--out", out).code == 0
    for name in ("cls.npy", "patch.npy", "index.csv"):
        assert (out / "long" / name).read_bytes() == (
            tmp_path / "whole" / "long" / name
        ).read_bytes()
    assert sorted(p.name for p in out.iterdir()) == ["long"]
