"""AdamW with sensible groups, the learning-rate schedule, and the moving average of weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from tinbergen.training.config import TrainConfig


def adamw(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW whose weight decay leaves out biases, norms and embeddings (unless ``decay_all``).

    The fused kernel is used where there is one; not under fp16, whose unscaled gradients are
    needed for clipping.
    """
    decayed, plain = [], []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        decays = config.decay_all or (parameter.ndim >= 2 and not _is_embedding(model, name))
        (decayed if decays else plain).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=config.betas,
        fused=config.precision != "fp16",
    )


def _is_embedding(model: nn.Module, name: str) -> bool:
    owner, _, leaf = name.rpartition(".")
    if isinstance(model.get_submodule(owner), nn.Embedding):
        return True
    return any(word in leaf for word in ("embed", "token", "position"))


@torch.no_grad()
def clip_on_cpu(optimizer: torch.optim.Optimizer, limit: float) -> Tensor:
    """Scale all gradients so that their norm is at most ``limit``; return the norm before.

    As :func:`torch.nn.utils.clip_grad_norm_`, which multiplies by one where nothing has to
    shrink: on a CPU, where looking at the norm is free, a pass over the memory for nothing.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    gradients = [p.grad for p in parameters if p.grad is not None]
    norms = torch._foreach_norm(gradients)  # pyright: ignore[reportPrivateImportUsage]
    norm = torch.linalg.vector_norm(torch.stack(norms))
    if not norm <= limit:  # also where it is not a number
        for gradient in gradients:
            gradient.mul_(limit / (norm + 1e-6))
    return norm


def learning_rate_factor(step: int, config: TrainConfig) -> float:
    """Share of the peak learning rate that step ``step`` (from 0) uses.

    Linear from ``start_lr`` to 1 over ``warmup * steps`` steps, then half a cosine down to
    ``final_lr`` at the last step (Loshchilov & Hutter 2017, eq. 5, without restarts).
    """
    warmup = round(config.warmup * config.steps)
    if step < warmup:
        return config.start_lr + (1.0 - config.start_lr) * (step + 1) / warmup
    if config.schedule == "constant":
        return 1.0
    progress = (step - warmup) / max(1, config.steps - 1 - warmup)
    return config.final_lr + (1.0 - config.final_lr) * 0.5 * (1.0 + math.cos(math.pi * progress))


class Average:
    """Exponential moving average of a model's floating-point parameters and buffers.

    The decay of step t is ``min(decay, (1 + t) / (10 + t))``, so that a short run is not an
    average of its random start.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in _state(model).items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move towards the weights after step ``step`` (from 0)."""
        weight = 1.0 - min(self.decay, (1.0 + step) / (10.0 + step))
        current = _state(model)
        for name, value in self.weights.items():
            value.lerp_(current[name], weight)

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        """Let ``model`` hold the averaged weights inside the block."""
        current = _state(model)
        kept = {name: value.detach().clone() for name, value in current.items()}
        _copy(self.weights, current)
        try:
            yield
        finally:
            _copy(kept, current)


def _state(model: nn.Module) -> dict[str, Tensor]:
    return {n: value for n, value in model.state_dict().items() if value.is_floating_point()}


@torch.no_grad()
def _copy(source: dict[str, Tensor], target: dict[str, Tensor]) -> None:
    for name, value in source.items():
        target[name].copy_(value)
