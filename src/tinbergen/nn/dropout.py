"""Dropout that costs little on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LEVELS = 2**16


class Dropout(nn.Module):
    """Set each value to zero with probability ``p`` in training, and scale up the rest.

    Torch draws a random number a value on a CPU one after another, which takes a tenth of a step
    of a small transformer. Here four values share 64 random bits: ``p`` is rounded to a multiple
    of 2^-16, and the scale is that of the rounded one.
    """

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Map a tensor to one of the same shape and type."""
        if not self.training or not self.p:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.p)
        dropped = round(self.p * _LEVELS)
        if dropped == _LEVELS:
            return torch.zeros_like(x)
        bits = torch.empty(x.numel() // 4 + 1, dtype=torch.int64).random_(-(2**63), None)
        levels = bits.view(torch.int16)[: x.numel()].view(x.shape)
        # Into numbers at once: a cast of booleans takes longer than all else here.
        keep = torch.ge(
            levels, dropped - _LEVELS // 2, out=torch.empty_like(x, requires_grad=False)
        )
        return x * keep.mul_(_LEVELS / (_LEVELS - dropped))

    def extra_repr(self) -> str:
        """Say the probability where the module is printed."""
        return f"p={self.p}"
