"""Fixed sine-cosine position tables of vision transformers."""

from __future__ import annotations

import torch
from torch import Tensor


def sincos_2d(rows: int, columns: int, width: int, *, cls_token: bool = True) -> Tensor:
    """Position table of a grid of patches, as in the masked autoencoder.

    The first half of the channels encodes the column, the second half the row; within each half
    first the sines, then the cosines, at frequencies ``10000 ** (-4 k / width)``.

    Parameters
    ----------
    rows, columns
        Patches in the grid.
    width
        Channels; a multiple of 4.
    cls_token
        Put a row of zeros in front, for the CLS token.

    Returns
    -------
    Tensor
        ``(cls + rows * columns, width)``, float32, row after row.

    References
    ----------
    He et al., "Masked autoencoders are scalable vision learners", CVPR 2022, appendix A.1.
    """
    if width % 4:
        raise ValueError(f"width must be a multiple of 4 for a 2-D position table, got {width}")
    frequency = 10000 ** (-torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    y, x = torch.meshgrid(
        torch.arange(rows, dtype=torch.float64),
        torch.arange(columns, dtype=torch.float64),
        indexing="ij",
    )
    parts = []
    for coordinate in (x, y):
        angle = coordinate.reshape(-1, 1) * frequency
        parts += [angle.sin(), angle.cos()]
    table = torch.cat(parts, dim=1)
    if cls_token:
        table = torch.cat([torch.zeros(1, width, dtype=table.dtype), table])
    return table.float()
