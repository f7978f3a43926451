"""What a model gives to the training loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from tinbergen.training.config import TrainConfig
from tinbergen.training.optim import adamw
from tinbergen.training.sampler import Sampler


class Task(ABC):
    """A model, its data and its loss. The loop owns everything else.

    With several processes a task is sent to each of them, so it must be picklable: hold paths
    and open files lazily, not open handles or memory maps of large files.
    """

    score: tuple[str, Literal["min", "max"]] | None = None
    """The validation result that decides which weights are best, and what better means. With a
    score the best weights are the run's weights; without, the last ones are."""

    validate_start: bool = False
    """Whether the model is of use before the first step, so that the start may be the best."""

    @abstractmethod
    def build(self) -> nn.Module:
        """Return a new model on the CPU. Global generators are seeded before the call."""

    @abstractmethod
    def batches(self) -> Sampler:
        """Return the sampler that names the items of every step."""

    @abstractmethod
    def fetch(self, indices: np.ndarray, step: int) -> Any:
        """Return the batch of ``indices``: arrays or tensors in dicts, lists, tuples, dataclasses.

        Runs in threads ahead of the loop, so it must be a pure function of its arguments: draw
        from :func:`~tinbergen.training.numpy_generator` with (seed, step), never from a global
        generator.
        """

    @abstractmethod
    def loss(self, model: nn.Module, batch: Any, generator: torch.Generator) -> dict[str, Tensor]:
        """Return scalars, averaged over the batch; ``"loss"`` is minimised, all are logged.

        Call ``model(...)`` itself, not its methods: the call is what DDP and autocast wrap; what
        it returns is fp32. ``generator`` is on the device, seeded by (seed, step, rank).
        """

    def validate(self, model: nn.Module) -> dict[str, float] | None:
        """Return validation results (in eval mode, without gradients), or None if there are none.

        Called in the first process only, with the plain module on its device, under autocast, so
        outputs may be bf16: score them with ``.float()``.
        """
        return None

    def describe(self, indices: np.ndarray) -> str:
        """Name the items of a batch, for the message when training meets a NaN."""
        return np.array2string(np.asarray(indices).ravel(), threshold=100)

    def optimizer(self, model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
        """Return the optimizer; the schedule scales the learning rate of each parameter group."""
        return adamw(model, config)
