"""Heat maps: what a network is taught for a keypoint, and where a map says that it is.

Positions are ``(x, y)`` in px of the image that the network sees, with the centre of the top left
pixel at ``(0, 0)``. A map of stride s has its pixel centres at ``(i + 0.5) * s - 0.5``.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

WINDOW = 2
"""Pixels of the map on each side of its peak that a position is read from."""


def to_map(positions: Tensor, stride: int) -> Tensor:
    """Px of the image to px of the map."""
    return (positions + 0.5) / stride - 0.5


def to_image(positions: Tensor, stride: int) -> Tensor:
    """Px of the map to px of the image: the inverse of :func:`to_map`."""
    return (positions + 0.5) * stride - 0.5


def gaussian_targets(
    positions: Tensor, size: tuple[int, int], stride: int, sigma: float
) -> Tensor:
    """Return a Gaussian around each position, each map summing to 1.

    Parameters
    ----------
    positions
        ``(..., 2)``, px of the image, finite.
    size
        ``(rows, columns)`` of the map.
    stride
        Px of the image per px of the map.
    sigma
        Standard deviation, px of the map.

    Returns
    -------
    Tensor
        ``(..., rows, columns)`` float32.

    Examples
    --------
    >>> target = gaussian_targets(torch.tensor([127.5, 127.5]), (64, 64), 4, 1.25)
    >>> round(float(target.sum()), 4)
    1.0
    """
    centre = to_map(positions.float(), stride)
    sides = []
    for axis, n in ((1, size[0]), (0, size[1])):
        grid = torch.arange(n, device=centre.device, dtype=torch.float32)
        # Separable, and normalised by a softmax: a centre far outside gives no 0 / 0.
        exponent = -(grid - centre[..., axis, None]).square() / (2 * sigma**2)
        sides.append(torch.softmax(exponent, dim=-1))
    return sides[0][..., :, None] * sides[1][..., None, :]


def decode(logits: Tensor, stride: int, sigma: float) -> tuple[Tensor, Tensor]:
    """Read positions and confidences off unnormalised maps by a local soft-argmax.

    The soft-argmax is taken in the 5 x 5 window around the highest pixel. Its plain form, the mean
    of the pixels weighted by their probability, is pulled towards the middle of the window, which
    cuts the bump off unevenly. What was taught is a Gaussian of known ``sigma``, whose logarithm
    plus ``r^2 / (2 sigma^2)`` is a plane; so the plane's slope, by least squares with the
    probabilities as weights, says how far the centre is from the weighted mean. For a Gaussian
    this is exact at every place, also where the map's border cuts the window.

    Parameters
    ----------
    logits
        ``(..., rows, columns)``, whose softmax over a map is its probability.
    stride, sigma
        As in :func:`gaussian_targets`.

    Returns
    -------
    positions : ``(..., 2)`` float32, px of the image.
    confidence : ``(...,)``, the probability within the window, 0 to 1.
    """
    logits = logits.float()
    *lead, rows, columns = logits.shape
    flat = logits.reshape(-1, rows, columns)
    peak = flat.flatten(1).argmax(dim=1)
    row, column = peak // columns, peak % columns
    each = torch.arange(len(flat), device=logits.device)
    window = windows(flat, each, row, column)
    confidence = (window.flatten(1).logsumexp(1) - flat.flatten(1).logsumexp(1)).exp()
    offset = centre_of(window, sigma)
    centre = torch.stack([column, row], dim=-1) + offset
    return to_image(centre, stride).reshape(*lead, 2), confidence.reshape(lead)


def decode_apart(
    logits: Tensor, individuals: int, stride: int, sigma: float
) -> tuple[Tensor, Tensor]:
    """Read the maps of several animals; what one of them has is not the other's as well.

    Maps of animals that look alike in a part have peaks on both of them. Where two animals would
    have the same keypoint at the same place, the more certain one keeps it, and the other takes
    the next best place of its own map.

    Parameters
    ----------
    logits
        ``(n, individual * keypoint, rows, columns)``.
    individuals
        How many there are.
    stride, sigma
        See :func:`decode`, which does the same for one animal.

    Returns
    -------
    positions : ``(n, individual * keypoint, 2)`` float32, px of the image.
    confidence : ``(n, individual * keypoint)``, the probability within the window, 0 to 1.
    """
    positions, confidence = decode(logits, stride, sigma)
    if individuals == 1:
        return positions, confidence
    maps = logits.float().unflatten(1, (individuals, -1)).clone()
    where, sure = (x.unflatten(1, (individuals, -1)) for x in (positions, confidence))
    # One after the other, the most certain first, each beside all that were before it.
    order = sure.argsort(dim=1, descending=True)
    frame = torch.arange(len(maps), device=maps.device)[:, None].expand(-1, maps.shape[2])
    keypoint = torch.arange(maps.shape[2], device=maps.device).expand(len(maps), -1)
    for place in range(1, individuals):
        who = order[:, place]
        for _ in range(place):
            own = where[frame, who, keypoint]
            others = [where[frame, order[:, before], keypoint] for before in range(place)]
            gaps = torch.stack([(other - own).norm(dim=-1) for other in others])
            taken = gaps.min(dim=0).values < WINDOW * stride
            if not taken.any():
                break
            at = frame[taken], who[taken], keypoint[taken]
            total = maps[at].flatten(1).logsumexp(1)
            left = _without(maps[at], to_map(own[taken], stride))
            maps[at] = left
            share = (left.flatten(1).logsumexp(1) - total).exp()
            found, certain = decode(left, stride, sigma)
            where[at], sure[at] = found, certain * share
    return where.flatten(1, 2), sure.flatten(1, 2)


def _without(maps: Tensor, centres: Tensor) -> Tensor:
    """Take nearly all probability around ``(n, 2)`` px of maps ``(n, rows, columns)`` away."""
    _, rows, columns = maps.shape
    y = torch.arange(rows, device=maps.device)[:, None] - centres[:, 1, None, None]
    x = torch.arange(columns, device=maps.device) - centres[:, 0, None, None]
    near = torch.maximum(y.abs(), x.abs()) <= WINDOW + 0.5
    return maps.masked_fill(near, torch.finfo(maps.dtype).min / 2)


def hidden_logits(maps: Tensor, marks: Tensor) -> Tensor:
    """Log odds that each keypoint is hidden: its mark, read where its map says that it is.

    Parameters
    ----------
    maps
        ``(..., rows, columns)``, whose softmax over a map is its probability. They are not taught
        by this.
    marks
        The same shape.

    Returns
    -------
    Tensor
        ``(...,)``.
    """
    probability = torch.softmax(maps.detach().float().flatten(-2), dim=-1)
    return (probability * marks.float().flatten(-2)).sum(dim=-1)


def windows(maps: Tensor, which: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Cut 5 x 5 px around pixels of maps ``(n, rows, columns)``; -inf outside of a map.

    Parameters
    ----------
    which, row, column
        ``(m,)``: the map, and the pixel that a window is cut around.

    Returns
    -------
    Tensor
        ``(m, 5, 5)``.
    """
    side = torch.arange(-WINDOW, WINDOW + 1, device=maps.device)
    padded = functional.pad(maps, (WINDOW,) * 4, value=float("-inf"))
    rows = (row[:, None] + WINDOW + side)[:, :, None]
    columns = (column[:, None] + WINDOW + side)[:, None, :]
    return padded[which[:, None, None], rows, columns]


def centre_of(window: Tensor, sigma: float) -> Tensor:
    """Centre of the bump in windows ``(n, 5, 5)`` of log probabilities, px from their middle.

    Returns
    -------
    Tensor
        ``(n, 2)``, x and y.
    """
    side = torch.arange(-WINDOW, WINDOW + 1, device=window.device, dtype=window.dtype)
    y, x = torch.meshgrid(side, side, indexing="ij")
    weight = torch.softmax(window.flatten(1), dim=1)
    places = torch.stack([x, y], dim=-1).reshape(-1, 2)
    mean = weight @ places
    # Log probability plus the known curvature: a plane over the window. Pixels outside the map
    # have no weight; their -inf is kept out of the sums.
    height = window.flatten(1) + places.square().sum(-1) / (2 * sigma**2)
    height = torch.where(weight > 0, height, 0.0)
    height = height - (weight * height).sum(1, keepdim=True)
    around = places - mean[:, None]
    weighted = around * weight[..., None]
    spread = weighted.transpose(1, 2) @ around
    slope = torch.linalg.solve(
        spread + 1e-6 * torch.eye(2, device=window.device),
        (weighted * height[..., None]).sum(1)[..., None],
    )[..., 0]
    # The plane has the slope centre / sigma^2. A map that is nothing like a Gaussian must not
    # throw the position out of the window.
    return (slope * sigma**2).clamp(mean - 1, mean + 1)
