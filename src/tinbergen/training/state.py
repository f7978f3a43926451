"""What training changes, as one thing that a checkpoint can hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from tinbergen.training.checkpoint import flatten_optimizer, restore_optimizer
from tinbergen.training.config import TrainConfig
from tinbergen.training.logbook import Means, Stopwatch
from tinbergen.training.optim import Average
from tinbergen.training.randomness import reseed_everything
from tinbergen.training.task import Task

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass
class Position:
    """How far a run is: plain numbers and text."""

    step: int = 0
    validated_at: int = -1
    best_step: int | None = None
    best_score: float | None = None
    not_better: int = 0
    """Validations since the best one."""
    ended: str | None = None
    """Why training ended before its last step."""
    last_values: dict[str, float] = field(default_factory=dict)
    """The latest value of everything that was logged."""


class TrainState:
    """Weights, optimizer, moving average, position and running means of one training run."""

    def __init__(self, fabric: Fabric, task: Task, config: TrainConfig):
        self._fabric = fabric
        reseed_everything(config.seed, "build")
        self.module: nn.Module = task.build().to(fabric.device)
        if fabric.world_size > 1 and fabric.device.type == "cuda":
            self.module = nn.SyncBatchNorm.convert_sync_batchnorm(self.module)
        self.optimizer = task.optimizer(self.module, config)
        for group in self.optimizer.param_groups:
            group["peak_lr"] = group["lr"]
        self.model: nn.Module = self.module
        self.stepper: Any
        if fabric.world_size > 1 or fabric.strategy.precision.precision != "32-true":
            self.model, self.stepper = fabric.setup(self.module, self.optimizer)
        else:  # nothing to wrap, and looking through arguments takes a small model's time
            self.stepper = fabric.setup_optimizers(self.optimizer)
        """The same module and optimizer with DDP, autocast and scaling, where there is any."""
        self.average = Average(self.module, config.ema) if config.ema else None
        self.position = Position()
        self.means = Means()
        self.watch = Stopwatch()

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Let the module hold the weights to validate and keep: the average, if any."""
        with self.average.applied_to(self.module) if self.average else nullcontext():
            yield

    def weights(self) -> dict[str, Tensor]:
        """Return a copy of what the module holds, on the CPU."""
        return {n: value.detach().cpu().clone() for n, value in self.module.state_dict().items()}

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors that a checkpoint must hold, by name."""
        tensors = {f"model/{name}": value for name, value in self.module.state_dict().items()}
        if self.average is not None:
            tensors |= {f"ema/{name}": value for name, value in self.average.weights.items()}
        return tensors | flatten_optimizer(self.optimizer, self.module)[0]

    def scalars(self) -> dict[str, Any]:
        """Return everything else that a checkpoint must hold."""
        return {
            **asdict(self.position),
            "means": self.means.state(),
            "scaler": self._fabric.strategy.precision.state_dict(),
            "optimizer": flatten_optimizer(self.optimizer, self.module)[1],
            **self.watch.totals(),
        }

    def restore(self, tensors: Mapping[str, Tensor], scalars: Mapping[str, Any]) -> None:
        """Become what :meth:`tensors` and :meth:`scalars` once said."""
        self.module.load_state_dict(_under("model/", tensors))
        restore_optimizer(self.optimizer, self.module, tensors, scalars["optimizer"])
        if self.average is not None:
            for name, value in _under("ema/", tensors).items():
                self.average.weights[name].copy_(value)
        self._fabric.strategy.precision.load_state_dict(scalars["scaler"])
        self.position = Position(**{name: scalars[name] for name in asdict(Position())})
        self.means.restore(scalars["means"], self._fabric.device)
        self.watch = Stopwatch(scalars["elapsed_s"], scalars["cpu_s"])


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
