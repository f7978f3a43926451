"""Part affinity fields: which keypoints belong to one animal.

Along each limb a field of unit vectors points from one keypoint to the other; the mean of the
field along the line between two candidates says whether they belong together (Cao et al., CVPR
2017, eqs. 8 to 11).
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional

from tinbergen.pose.heatmaps import to_map

_SAMPLES = 8  # along a line between two candidates
_LEAST = 0.2  # affinity
WIDTH = 1.0
"""Half the width of a limb, px of the map."""


def limb_targets(
    positions: Tensor, limbs: Tensor, size: tuple[int, int], stride: int
) -> tuple[Tensor, Tensor]:
    """Return the fields of labelled animals; where limbs overlap, their mean.

    Parameters
    ----------
    positions
        ``(n, animal, keypoint, 2)`` px of the image; NaN = not labelled.
    limbs
        ``(limb, 2)`` keypoints.
    size
        ``(rows, columns)`` of the map.

    Returns
    -------
    fields : ``(n, limb, 2, rows, columns)``, x and y of unit vectors; 0 off the limbs.
    n_limbs : how many limbs are labelled at both ends.
    """
    ends = to_map(positions.float(), stride)[:, :, limbs]  # (n, animal, limb, 2, 2)
    rows = torch.arange(size[0], device=ends.device, dtype=torch.float32)[:, None]
    columns = torch.arange(size[1], device=ends.device, dtype=torch.float32)
    fields = torch.zeros(len(ends), len(limbs), 2, *size, device=ends.device)
    count = torch.zeros(len(ends), len(limbs), *size, device=ends.device)
    for start, stop in zip(ends[:, :, :, 0].unbind(1), ends[:, :, :, 1].unbind(1), strict=True):
        length = (stop - start).norm(dim=-1, keepdim=True).clamp_min(1e-6)
        unit = (stop - start) / length  # (n, limb, 2)
        x = columns - start[..., 0, None, None]
        y = rows - start[..., 1, None, None]
        ux, uy = unit[..., 0, None, None], unit[..., 1, None, None]
        along, across = ux * x + uy * y, uy * x - ux * y
        near = (across.abs() <= WIDTH) & (along >= -WIDTH) & (along <= length[..., None] + WIDTH)
        fields += near[:, :, None] * unit.nan_to_num()[..., None, None]
        count += near
    n_limbs = ends.isfinite().flatten(3).all(dim=-1).sum()
    return fields / count.clamp_min(1)[:, :, None], n_limbs


def line_affinities(fields: Tensor, candidates: Tensor, limbs: Tensor, stride: int) -> Tensor:
    """Mean of a limb's field along the line between each two candidates for its ends.

    Parameters
    ----------
    fields
        ``(n, limb, 2, rows, columns)``.
    candidates
        ``(n, keypoint, candidate, 2)`` px of the image; NaN = none.

    Returns
    -------
    Tensor
        ``(n, limb, candidate, candidate)``: 1 along the limb, 0 across it; 0 where one is none.
    """
    n, n_limbs, _, rows, columns = fields.shape
    start = to_map(candidates.float(), stride)[:, limbs[:, 0]][:, :, :, None]
    stop = to_map(candidates.float(), stride)[:, limbs[:, 1]][:, :, None]
    way = stop - start  # (n, limb, candidate, candidate, 2)
    share = torch.linspace(0, 1, _SAMPLES, device=fields.device)[:, None]
    points = (start[..., None, :] + share * way[..., None, :]).nan_to_num()
    extent = points.new_tensor([columns, rows])
    grid = (2 * points + 1) / extent - 1
    sampled = functional.grid_sample(
        fields.float().flatten(0, 1), grid.flatten(0, 1).flatten(1, 2), align_corners=False
    )
    sampled = sampled.view(n, n_limbs, 2, *points.shape[2:-1]).mean(dim=-1)
    unit = way / way.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    return (sampled * unit.movedim(-1, 2)).sum(dim=2).nan_to_num()


def group_candidates(
    affinity: np.ndarray, probability: np.ndarray, limbs: np.ndarray, most: int
) -> np.ndarray:
    """Join the candidates of one frame to animals.

    For each limb the pairs with the largest sum of affinities (Hungarian method); then pair after
    pair, the surest first, joins what it holds, unless that gave an animal two of one keypoint.
    On a skeleton without rings there are no such contradictions, and the result is the best there
    is; rings let an animal keep together where a keypoint is missing.

    Parameters
    ----------
    affinity
        ``(limb, candidate, candidate)``.
    probability
        ``(keypoint, candidate)``; 0 = none.
    limbs
        ``(limb, 2)`` keypoints.
    most
        Animals.

    Returns
    -------
    ``(most, keypoint)`` number of the candidate, or -1; the animals with most probability first.
    """
    n_keypoints, n_candidates = probability.shape
    pairs = []
    for (i, j), scores in zip(limbs.tolist(), affinity, strict=True):
        for a, b in zip(*linear_sum_assignment(-scores), strict=True):
            if scores[a, b] >= _LEAST and probability[i, a] and probability[j, b]:
                pairs.append((float(scores[a, b]), (i, int(a)), (j, int(b))))
    # Each candidate starts as an animal by itself: {keypoint: candidate}.
    owner = {
        (k, c): {k: c}
        for k in range(n_keypoints)
        for c in range(n_candidates)
        if probability[k, c]
    }
    for _, one, other in sorted(pairs, reverse=True):
        first, second = owner[one], owner[other]
        if first is second or first.keys() & second.keys():
            continue
        first |= second
        for member in second.items():
            owner[member] = first
    animals = list({id(animal): animal for animal in owner.values()}.values())
    animals.sort(key=lambda animal: -sum(probability[k, c] for k, c in animal.items()))
    grouped = np.full((most, n_keypoints), -1)
    for row, animal in enumerate(animals[:most]):
        grouped[row, list(animal)] = list(animal.values())
    return grouped
