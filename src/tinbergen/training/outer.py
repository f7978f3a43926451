"""Processes that torchrun or SLURM started, told from the environment alone, without torch."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Outer:
    """The processes that the environment started, of which this is one."""

    launcher: str | None = None
    rank: int = 0
    world: int = 1
    nodes: int = 1


def outer_processes() -> Outer:
    """Read from the environment whether torchrun or srun started several processes."""
    env = os.environ
    if "TORCHELASTIC_RUN_ID" in env:
        world = int(env["WORLD_SIZE"])
        return Outer("torchrun", int(env["RANK"]), world, world // int(env["LOCAL_WORLD_SIZE"]))
    if int(env.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
        nodes = int(env.get("SLURM_STEP_NUM_NODES", 1))
        return Outer("srun", int(env["SLURM_PROCID"]), int(env["SLURM_STEP_NUM_TASKS"]), nodes)
    return Outer()


def outer_rank() -> int:
    """Return the rank of this process among those that the environment started; else 0."""
    return outer_processes().rank
