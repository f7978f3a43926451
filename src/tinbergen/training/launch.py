"""Processes: one here, several started by us, or several started by torchrun or SLURM."""

from __future__ import annotations

import atexit
import dataclasses
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tinbergen import errors
from tinbergen.errors import ConfigError, TinbergenError
from tinbergen.nn.weights import read_tensors
from tinbergen.training.device import Hardware
from tinbergen.training.outer import outer_processes
from tinbergen.training.signals import StopRequest
from tinbergen.training.tensors import write_tensors

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_PATIENCE = timedelta(days=1)  # others wait this long while the first process validates or saves


@dataclass(frozen=True)
class Outcome:
    """What training came to; best and validation values only in the first process."""

    step: int
    metrics: dict[str, float]
    best_step: int | None
    best_score: float | None
    stopped_by: str | None
    weights: dict[str, Tensor]
    module: nn.Module | None = None
    """The trained module, if this process trained it."""


class Team:
    """The processes that train together, as the loop sees them."""

    def __init__(self, fabric: Fabric):
        self.rank, self.world = fabric.global_rank, fabric.world_size
        self.first = self.rank == 0
        self._group: Any = None
        if self.world > 1:  # on the CPU, so that asking never waits for a GPU
            self._group = torch.distributed.new_group(backend="gloo", timeout=_PATIENCE)
            atexit.register(_leave)

    def any(self, flag: bool) -> bool:
        """Whether ``flag`` is true in any process; waits for all of them."""
        if self._group is None:
            return flag
        value = torch.tensor(int(flag))
        torch.distributed.all_reduce(value, torch.distributed.ReduceOp.MAX, group=self._group)
        return bool(value)

    def same(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the first process's ``weights`` in all of them; on the CPU."""
        if self._group is not None:
            for value in weights.values():
                torch.distributed.broadcast(value, src=0, group=self._group)
        return weights

    def mean(self, tensor: Tensor) -> Tensor:
        """Return the mean of ``tensor`` over the processes."""
        if self._group is None:
            return tensor
        torch.distributed.all_reduce(tensor)
        return tensor / self.world


def _leave() -> None:
    """Join gloo's threads; a process that exits while they run may be aborted by C++."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def launch(function: Callable[..., Outcome], hardware: Hardware, *args: Any) -> Outcome:
    """Call ``function(fabric, *args)`` in every process; return what the first one returns.

    Raises
    ------
    TinbergenError
        The first one that was raised in any process, with its type.
    """
    outer = outer_processes()
    if outer.launcher and hardware.devices not in (1, outer.world // outer.nodes):
        raise ConfigError(
            f"{outer.launcher} started {outer.world} processes on {outer.nodes} node(s), but "
            f"devices is {hardware.devices}. Leave devices at 1: the launcher decides."
        )
    from tinbergen.training.fabric import make_fabric

    fabric = make_fabric(hardware, outer)
    if outer.launcher or hardware.devices == 1:
        return fabric.launch(function, *args)
    return _spawn(fabric, function, *args)


def _spawn(fabric: Fabric, function: Callable[..., Outcome], *args: Any) -> Outcome:
    """Start the processes; results and errors come back as files in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="tinbergen-") as folder, StopRequest(forward=True):
        try:
            # All in one partial: Lightning looks into loose arguments and stops at frozen ones.
            fabric.launch(partial(_in_process, function, args, Path(folder)))
        except Exception as error:
            raise _first_error(Path(folder)) or error from None
        scalars = json.loads((Path(folder) / "outcome.json").read_text())
        return Outcome(**scalars, weights=read_tensors(Path(folder) / "weights.safetensors"))


def _in_process(
    function: Callable[..., Outcome], args: tuple, folder: Path, fabric: Fabric
) -> None:
    try:
        outcome = function(fabric, *args)
    except TinbergenError as error:
        said = {"time": time.time(), "type": type(error).__name__, "text": str(error)}
        (folder / f"error_{fabric.global_rank}.json").write_text(json.dumps(said))
        raise
    if fabric.global_rank == 0:
        names = [field.name for field in dataclasses.fields(outcome)]
        scalars = {n: getattr(outcome, n) for n in names if n not in ("weights", "module")}
        write_tensors(folder / "weights.safetensors", outcome.weights)
        (folder / "outcome.json").write_text(json.dumps(scalars))


def _first_error(folder: Path) -> TinbergenError | None:
    said = [json.loads(path.read_text()) for path in folder.glob("error_*.json")]
    if not said:
        return None
    first = min(said, key=lambda error: error["time"])
    return getattr(errors, first["type"])(first["text"])
