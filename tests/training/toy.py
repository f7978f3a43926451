"""A small task with everything that could break exact resume; also a program to be killed.

``python toy.py '[{"path": "run", "resume": true, "config": {...}, "task": {...}}]'``
"""

import json
import os
import signal
import sys
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from tinbergen.configuration import resolve
from tinbergen.errors import TinbergenError
from tinbergen.training import (
    EpochSampler,
    RunFolder,
    Task,
    TrainConfig,
    fit,
    numpy_generator,
)


@dataclass
class Toy(Task):
    """Regression with dropout, batch norm, noise drawn in fetch and in the loss."""

    n_items: int = 53
    batch_size: int = 8
    noise: float = 0.1
    dropout: float = 0.2
    batch_norm: bool = True
    sleep: float = 0.0
    kill_at: int = -1
    kill_signal: str = "SIGKILL"
    nan_item: int = -1
    scored: bool = True
    from_start: bool = False

    def __post_init__(self):
        self.score = ("error", "min") if self.scored else None
        self.validate_start = self.from_start
        generator = numpy_generator(7, "toy")
        self.x = generator.normal(size=(self.n_items, 6)).astype(np.float32)
        self.y = (self.x @ np.arange(6, dtype=np.float32))[:, None]
        if self.nan_item >= 0:
            self.x[self.nan_item] = np.nan

    def build(self):
        norm = nn.BatchNorm1d(16) if self.batch_norm else nn.LayerNorm(16)
        drop = nn.Dropout(self.dropout)
        return nn.Sequential(nn.Linear(6, 16), norm, drop, nn.GELU(), nn.Linear(16, 1))

    def batches(self):
        return EpochSampler(self.n_items, self.batch_size, seed=3)

    def fetch(self, indices, step):
        if self.sleep:
            time.sleep(self.sleep)
        if step == self.kill_at:
            os.kill(os.getpid(), getattr(signal, self.kill_signal))
            time.sleep(0.05)
        noise = numpy_generator(5, "noise", step).normal(size=(len(indices), 6)) * self.noise
        return {"x": self.x[indices] + noise.astype(np.float32), "y": self.y[indices]}

    def loss(self, model, batch, generator):
        device = generator.device
        noise = torch.randn(batch["x"].shape, generator=generator, device=device)
        error = model(batch["x"] + self.noise * noise) - batch["y"]
        return {"loss": error.square().mean(), "absolute": error.abs().mean()}

    def validate(self, model):
        out = model(torch.from_numpy(self.x)).float() - torch.from_numpy(self.y)
        return {"error": float(out.square().mean())}

    def describe(self, indices):
        return ", ".join(f"item-{i}" for i in indices)


def config(**changes):
    base = {
        "steps": 40,
        "batch_size": 8,
        "learning_rate": 1e-2,
        "checkpoint_every": 6,
        "validate_every": 9,
        "log_every": 4,
        "precision": "fp32",
        "device": "cpu",
        "ema": 0.9,
        "tensorboard": False,
    }
    return resolve(TrainConfig, base, changes)


def train(path, *, task=None, resume=False, **changes):
    settings = config(**changes)
    run = RunFolder.start(path, settings, seed=settings.seed, resume=resume)
    return fit(Toy(**(task or {})), settings, run, resume=resume)


if __name__ == "__main__":
    try:
        for told in json.loads(sys.argv[1]):
            train(told["path"], task=told["task"], resume=told["resume"], **told["config"])
    except TinbergenError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
