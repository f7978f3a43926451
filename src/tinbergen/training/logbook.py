"""What a run writes down while it goes: means over steps, speed, TensorBoard."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import Tensor

from tinbergen.training.run import RunFolder


class Means:
    """Sums of scalars since the last line of metrics, kept on the device until they are read."""

    def __init__(self) -> None:
        self.count = 0
        self.sums: dict[str, Tensor] = {}

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Add the scalars of one step."""
        self.count += 1
        for name, value in values.items():
            value = value.detach().to(torch.float32)
            self.sums[name] = self.sums[name] + value if name in self.sums else value

    def share(self, reduce: Any) -> None:
        """Replace every sum by its mean over the processes; ``reduce`` does so for a tensor."""
        if self.sums:
            shared = reduce(torch.stack(list(self.sums.values())))
            self.sums = dict(zip(self.sums, shared.unbind(), strict=True))

    def take(self) -> dict[str, float]:
        """Return the means and start anew; waits for the device."""
        means = {name: value.item() / self.count for name, value in self.sums.items()}
        self.__init__()
        return means

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must hold to go on in mid-line."""
        return {"count": self.count, "sums": {n: value.item() for n, value in self.sums.items()}}

    def restore(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Go on from a checkpoint."""
        self.count = state["count"]
        self.sums = {
            name: torch.tensor(value, dtype=torch.float32, device=device)
            for name, value in state["sums"].items()
        }


class Stopwatch:
    """Seconds waited for data and seconds of everything else, wall and CPU."""

    def __init__(self, elapsed: float = 0.0, cpu: float = 0.0):
        """``elapsed`` and ``cpu``: seconds that the run took before it was resumed."""
        self._start = self._line = time.perf_counter()
        self._elapsed, self._cpu = elapsed, cpu - time.process_time()
        self._waited = 0.0
        self._items = self._steps = 0
        self._paused = 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the block as a wait for data."""
        start = time.perf_counter()
        yield
        self._waited += time.perf_counter() - start

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the block, which validates or saves, out of the speed of training."""
        start = time.perf_counter()
        yield
        self._paused += time.perf_counter() - start

    def step(self, items: int) -> None:
        """Count a step of ``items`` items."""
        self._steps += 1
        self._items += items

    def totals(self) -> dict[str, float]:
        """Return wall and CPU seconds since the run began, over all its resumptions."""
        elapsed = self._elapsed + time.perf_counter() - self._start
        return {"elapsed_s": elapsed, "cpu_s": self._cpu + time.process_time()}

    def take(self) -> dict[str, float]:
        """Return the speed since the last line: items/s, and seconds per step by kind."""
        now = time.perf_counter()
        seconds = max(now - self._line - self._paused, 1e-9)
        steps = max(self._steps, 1)
        speed = {
            "items_per_s": self._items / seconds,
            "data_s": self._waited / steps,
            "compute_s": (seconds - self._waited) / steps,
        }
        self._line, self._waited, self._paused = now, 0.0, 0.0
        self._items = self._steps = 0
        return {**speed, **self.totals()}


class Logbook:
    """Writes lines to ``metrics.jsonl`` and TensorBoard; silent without a run."""

    def __init__(self, run: RunFolder | None, tensorboard: bool, start_step: int):
        self._run = run
        self._writer = None
        if run is not None and tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(
                str(run.path / "tensorboard"), purge_step=start_step + 1 if start_step else None
            )

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append one line."""
        if self._run is not None:
            self._run.log({"step": step, **values})
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()
