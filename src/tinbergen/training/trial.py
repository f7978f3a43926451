"""The small task with which ``tinbergen doctor`` tries the training loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tinbergen.configuration import resolve
from tinbergen.training.config import TrainConfig
from tinbergen.training.fitting import fit
from tinbergen.training.randomness import numpy_generator
from tinbergen.training.sampler import EpochSampler
from tinbergen.training.task import Task


class _Line(Task):
    """Learn a linear map."""

    def build(self) -> nn.Module:
        return nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 1))

    def batches(self) -> EpochSampler:
        return EpochSampler(256, 64)

    def fetch(self, indices: np.ndarray, step: int) -> dict[str, np.ndarray]:
        x = numpy_generator(0, "doctor").normal(size=(256, 16)).astype(np.float32)[indices]
        return {"x": x, "y": x.sum(axis=1, keepdims=True)}

    def loss(self, model: nn.Module, batch: Any, generator: torch.Generator) -> dict[str, Tensor]:
        return {"loss": (model(batch["x"]) - batch["y"]).square().mean()}


def try_training(device: str) -> tuple[float, float]:
    """Train for a moment on ``device``; return the mean loss of the first and last ten steps."""
    losses = []

    class Watched(_Line):
        def loss(
            self, model: nn.Module, batch: Any, generator: torch.Generator
        ) -> dict[str, Tensor]:
            values = super().loss(model, batch, generator)
            losses.append(values["loss"].item())
            return values

    settings = {"steps": 40, "learning_rate": 1e-2, "device": device, "workers": 0}
    fit(Watched(), resolve(TrainConfig, settings))
    return float(np.mean(losses[:10])), float(np.mean(losses[-10:]))
