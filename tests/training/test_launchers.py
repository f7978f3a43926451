"""What is handed to SLURM, seen by programs that stand for its own; and what is refused."""

import os
import shutil

import pytest

from tinbergen.errors import ConfigError, DeviceError
from tinbergen.training.launchers import Submitit

pytest.importorskip("submitit")
ASKED = {"partition": "gpu", "time": "04:30:00", "gpus_per_node": 1, "cpus_per_task": 8}


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A folder of programs named as SLURM's; ``sbatch`` keeps the script it was given."""
    programs = tmp_path / "bin"
    programs.mkdir()
    script = tmp_path / "script.sh"
    said = {
        "sbatch": f'cp "$1" {script}; echo "Submitted batch job 12"',
        "srun": "",
        "sacct": "echo 'JobID|State|NodeList'; echo '12|PREEMPTED|n1'",
        "scancel": f'echo "$@" > {tmp_path}/cancelled',
    }
    for name, does in said.items():
        path = programs / name
        path.write_text(f"#!/bin/sh\n{does}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def test_a_job_of_slurm(slurm):
    job = Submitit(ASKED).start(slurm / "logs", "003", print, "hello")
    lines = (slurm / "script.sh").read_text().splitlines()
    for line in (
        "#SBATCH --partition=gpu",
        "#SBATCH --time=270",
        "#SBATCH --gpus-per-node=1",
        "#SBATCH --cpus-per-task=8",
        "#SBATCH --job-name=003",
        "#SBATCH --signal=USR2@90",  # training saves then, and the sweep submits it again
    ):
        assert line in lines
    assert job.done()  # preempted
    job.stop()
    assert (slurm / "cancelled").read_text().split() == ["12"]


@pytest.mark.parametrize(
    ("changed", "said"), [({"partitoin": "gpu"}, "partitoin"), ({"time": "4h"}, "HH:MM:SS")]
)
def test_parameters_that_do_not_exist(slurm, changed, said):
    with pytest.raises(ConfigError, match=said):
        Submitit({**ASKED, **changed}).executor(slurm / "logs")


def test_without_slurm(tmp_path):
    if shutil.which("srun"):
        pytest.skip("this machine has SLURM")
    with pytest.raises(DeviceError, match="found none"):
        Submitit(ASKED).executor(tmp_path)
