"""Fewer numbers from many patch tokens: their means in parts of the image, and their texture."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_GRID = 4
_TEXTURE_GRID = 3
_WIDTH = 0.5  # standard deviation of a soft part, in spacings of the parts


def coarse(patches: Tensor) -> Tensor:
    """Average tokens ``(N, rows, columns, width)`` in 4 x 4 parts: ``(N, 4, 4, width)``.

    Parts share a row or column of patches where these cannot be dealt out evenly.
    """
    rows, columns = (min(_GRID, side) for side in patches.shape[1:3])
    pooled = nn.functional.adaptive_avg_pool2d(patches.movedim(-1, 1).float(), (rows, columns))
    return pooled.movedim(1, -1)


def texture(patches: Tensor) -> Tensor:
    """Root mean square by which neighbouring tokens differ, in 3 x 3 parts.

    It tells how much contrast there is, in which of the network's features and along which
    direction, and not where exactly an edge lies: to a linear readout tokens themselves do not
    tell that, nor do their means. Parts are Gaussians that overlap, so that it hardly jumps where
    an edge goes from patch to patch.

    Parameters
    ----------
    patches
        ``(N, rows, columns, width)``, 2 x 2 patches or more.

    Returns
    -------
    Tensor
        ``(N, 3, 3, 4, width)`` float32: differences along rows, along columns, and along the
        diagonals that fall and that rise.
    """
    x = patches.float()
    steps = (
        x[:, :, 1:] - x[:, :, :-1],
        x[:, 1:] - x[:, :-1],
        x[:, 1:, 1:] - x[:, :-1, :-1],
        x[:, 1:, :-1] - x[:, :-1, 1:],
    )
    return torch.stack([_soft_means(step.square()).sqrt() for step in steps], dim=3)


def _soft_means(values: Tensor) -> Tensor:
    """Average ``(N, rows, columns, width)`` in Gaussian parts: ``(N, 3, 3, width)``."""
    rows, columns = (_soft_parts(side).to(values.device) for side in values.shape[1:3])
    along_columns = torch.einsum("bc,nrcd->nrbd", columns, values)
    return torch.einsum("ar,nrbd->nabd", rows, along_columns)


def _soft_parts(side: int) -> Tensor:
    """Weights ``(part, side)`` of evenly spaced Gaussians; those of a part sum to 1."""
    spacing = side / _TEXTURE_GRID
    middles = (torch.arange(_TEXTURE_GRID) + 0.5) * spacing
    distance = torch.arange(side) + 0.5 - middles[:, None]
    weights = torch.exp(-0.5 * (distance / (_WIDTH * spacing)) ** 2)
    return weights / weights.sum(dim=1, keepdim=True)
