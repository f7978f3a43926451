"""Maps with any number of bumps: what they are taught, and the peaks that are read off them.

Where a map of one keypoint of one animal is a distribution (:mod:`tinbergen.pose.heatmaps`), a map
for all animals gives each pixel a probability of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tinbergen.pose.heatmaps import centre_of, to_image, to_map, windows


def bump_targets(positions: Tensor, size: tuple[int, int], stride: int, sigma: float) -> Tensor:
    """Return maps with a bump of height 1 for each animal; where they overlap, the higher counts.

    Parameters
    ----------
    positions
        ``(n, animal, keypoint, 2)`` px of the image; NaN gives no bump.
    size, stride, sigma
        See :func:`~tinbergen.pose.heatmaps.gaussian_targets`.

    Returns
    -------
    Tensor
        ``(n, keypoint, rows, columns)`` float32, 0 to 1.
    """
    centre = to_map(positions.float(), stride)
    sides = []
    for axis, length in ((1, size[0]), (0, size[1])):
        grid = torch.arange(length, device=centre.device, dtype=torch.float32)
        exponent = -(grid - centre[..., axis, None]).square() / (2 * sigma**2)
        sides.append(exponent.exp().nan_to_num())
    target = torch.zeros(*positions.shape[:1], positions.shape[2], *size, device=centre.device)
    for rows, columns in zip(sides[0].unbind(1), sides[1].unbind(1), strict=True):
        target = torch.maximum(target, rows[..., :, None] * columns[..., None, :])
    return target


def bump_loss(logits: Tensor, target: Tensor, n_bumps: Tensor) -> Tensor:
    """Cross-entropy of each pixel with its bump, summed over the maps, per bump.

    Parameters
    ----------
    logits, target
        ``(n, keypoint, rows, columns)``.
    n_bumps
        How many there are in all.
    """
    loss = functional.binary_cross_entropy_with_logits(logits.float(), target, reduction="sum")
    return loss / n_bumps.clamp_min(1)


def find_peaks(
    logits: Tensor, stride: int, sigma: float, threshold: float, most: int
) -> tuple[Tensor, Tensor]:
    """Find the highest local maxima of maps, with sub-pixel positions.

    A bump is a Gaussian of known ``sigma``, so its logarithm gives its centre exactly; see
    :func:`~tinbergen.pose.heatmaps.decode`.

    Parameters
    ----------
    logits
        ``(n, keypoint, rows, columns)``.
    threshold
        Least probability.
    most
        Peaks of a map.

    Returns
    -------
    positions : ``(n, keypoint, most, 2)`` px of the image, the highest first; NaN for none.
    probability : ``(n, keypoint, most)``; 0 for none.
    """
    logits = logits.float()
    n, keypoints, rows, columns = logits.shape
    highest = functional.max_pool2d(logits, 3, stride=1, padding=1)
    # Of equal neighbours the first one counts.
    around = functional.pad(logits, (1, 1, 1, 0), value=-torch.inf)
    first = logits > torch.maximum(
        functional.max_pool2d(around[..., :-1, :], (1, 3), stride=1), around[..., 1:, :-2]
    )
    lone = torch.where((highest == logits) & first, logits, -torch.inf).flatten(2)
    wanted, most = most, min(most, rows * columns)
    height, place = lone.topk(most, dim=-1)
    probability = height.sigmoid()
    which = torch.arange(n * keypoints, device=logits.device).repeat_interleave(most)
    row, column = (place // columns).flatten(), (place % columns).flatten()
    log_probability = functional.logsigmoid(logits).flatten(0, 1)
    offset = centre_of(windows(log_probability, which, row, column), sigma)
    centre = to_image(torch.stack([column, row], dim=-1) + offset, stride)
    positions = centre.view(n, keypoints, most, 2)
    there = probability >= threshold
    missing = wanted - most
    positions = torch.where(there[..., None], positions, torch.nan)
    return (
        functional.pad(positions, (0, 0, 0, missing), value=torch.nan),
        functional.pad(torch.where(there, probability, 0.0), (0, missing)),
    )
