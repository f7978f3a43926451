"""Rotary position embedding: attention that knows how far apart in time two tokens are."""

from __future__ import annotations

import torch
from torch import Tensor

_BASE = 10_000.0


def rotation(positions: Tensor, width: int, base: float = _BASE) -> tuple[Tensor, Tensor]:
    """Return cosines and sines of the angles of each position, ``(token, width)`` float32.

    Channel pair ``(i, i + width / 2)`` turns by ``position * base ** (-2 i / width)``
    (Su et al. 2021, arXiv 2104.09864, eq. 15, with the pairs laid out in halves).

    Parameters
    ----------
    positions
        ``(token,)``; position 0 is not turned.
    width
        Channels of one attention head, even.
    """
    if width % 2:
        raise ValueError(f"rotary positions need an even head width, got {width}")
    frequency = base ** (-torch.arange(0, width, 2, device=positions.device) / width)
    angles = positions.float()[:, None] * frequency
    angles = torch.cat([angles, angles], dim=1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Turn queries or keys ``(..., token, width)`` by :func:`rotation` of their positions."""
    cos, sin = (part.to(x.dtype) for part in turn)
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin
