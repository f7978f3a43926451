"""Two processes on this machine (gloo): as one process with the same batch, and exact resume."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from tinbergen.errors import ConfigError, NonFiniteError, PreemptedError
from tinbergen.training import RunFolder
from tinbergen.training.outer import outer_processes

PLAIN = {"noise": 0.0, "dropout": 0.0, "batch_norm": False}


@pytest.fixture(scope="module")
def together(toy, tmp_path_factory):
    """Two uninterrupted runs, by two processes that a launcher started."""
    folder = tmp_path_factory.mktemp("together")
    told = [
        {"path": str(folder / name), "task": task, "resume": True, "config": {}}
        for name, task in (("plain", PLAIN), ("random", {}))
    ]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run([*command, toy.__file__, json.dumps(told)], check=True)
    return folder


def test_two_processes_equal_one(toy, together, tmp_path):
    one = toy.train(tmp_path / "one", task=PLAIN).run
    two = RunFolder.open(together / "plain")
    assert (one.status["processes"], two.status["processes"]) == (1, 2)
    weights = two.load_weights()
    for name, value in one.load_weights().items():
        torch.testing.assert_close(weights[name], value, rtol=1e-4, atol=1e-5)
    losses = [run.metrics()["loss"].dropna().to_numpy() for run in (one, two)]
    np.testing.assert_allclose(*losses, rtol=1e-5)


@pytest.mark.slow
def test_preempted_and_resumed_equals_uninterrupted(toy, together, tmp_path):
    path, dies = tmp_path / "run", {"kill_at": 13, "kill_signal": "SIGTERM"}
    with pytest.raises(PreemptedError, match="after step .* of 40"):
        toy.train(path, task=dies, devices=2)
    assert RunFolder.open(path).status["state"] == "preempted"
    resumed = toy.train(path, resume=True, devices=2).run
    straight = RunFolder.open(together / "random")
    assert straight.weights_path.read_bytes() == resumed.weights_path.read_bytes()


@pytest.mark.slow
def test_error_in_a_process_arrives_with_its_type(toy, tmp_path):
    with pytest.raises(NonFiniteError, match="item-17"):
        toy.train(tmp_path / "run", task={"nan_item": 17}, devices=2)
    status = RunFolder.open(tmp_path / "run").status
    assert status["state"] == "failed"
    assert "item-17" in status["reason"]


def test_batch_must_share_out_evenly(toy):
    with pytest.raises(ConfigError, match="multiple of devices"):
        toy.config(batch_size=7, devices=2)


def test_srun_is_recognised(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.setenv("SLURM_NTASKS", "4")  # in a batch script without srun: one process
    assert outer_processes().world == 1
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    monkeypatch.setenv("SLURM_STEP_NUM_NODES", "2")
    monkeypatch.setenv("SLURM_PROCID", "3")
    found = outer_processes()
    assert (found.launcher, found.rank, found.world, found.nodes) == ("srun", 3, 4, 2)
