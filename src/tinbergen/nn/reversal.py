"""Gradient reversal: features are to make a classifier fail that does its best on them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: float) -> Tensor:
        ctx.weight = weight
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        return -ctx.weight * upstream[0], None


def reverse_gradient(x: Tensor, weight: float = 1.0) -> Tensor:
    """Return ``x``; what comes back is multiplied by ``-weight``.

    Ganin & Lempitsky, "Unsupervised domain adaptation by backpropagation", ICML 2015, section
    3.2. The classifier behind it gets its own gradient as it is.

    Examples
    --------
    >>> x = torch.ones(2, requires_grad=True)
    >>> reverse_gradient(x, 0.5).sum().backward()
    >>> x.grad
    tensor([-0.5000, -0.5000])
    """
    result = _Reversal.apply(x, weight)
    assert isinstance(result, Tensor)
    return result


def reversal_weight(progress: float, steepness: float = 10.0) -> float:
    """Return the weight at a share of training: 0 at its start, then towards 1.

    >>> round(reversal_weight(0.1), 7)
    0.4621172
    """
    return 2.0 / (1.0 + math.exp(-steepness * progress)) - 1.0
