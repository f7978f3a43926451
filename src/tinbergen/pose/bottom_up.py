"""Bottom-up: all keypoints of all animals at once, joined to animals along their limbs."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tinbergen.pose.affinity import group_candidates, line_affinities
from tinbergen.pose.config import PoseConfig
from tinbergen.pose.model import PoseModel
from tinbergen.pose.peaks import find_peaks

_SPARE = 2  # candidates for a keypoint beyond the number of animals


def limb_numbers(config: PoseConfig) -> np.ndarray:
    """Limbs as ``(limb, 2)`` numbers of keypoints."""
    pairs = [[config.keypoints.index(name) for name in limb] for limb in config.animals.skeleton]
    return np.array(pairs, dtype=int).reshape(-1, 2)


def read_animals(logits: Tensor, config: PoseConfig) -> tuple[Tensor, Tensor]:
    """Read animals off the network's maps.

    Parameters
    ----------
    logits
        ``(n, keypoint + 2 limb, rows, columns)``.

    Returns
    -------
    positions : ``(n, individual, keypoint, 2)`` px of the image; NaN = not found.
    confidence : ``(n, individual, keypoint)`` probability; 0 = not found.
    """
    n_animals, n_keypoints = len(config.individuals), len(config.keypoints)
    places, probability = find_peaks(
        logits[:, :n_keypoints],
        PoseModel.stride,
        config.heatmaps.sigma,
        config.animals.threshold,
        n_animals + _SPARE,
    )
    limbs = limb_numbers(config)
    fields = logits[:, n_keypoints:].float().unflatten(1, (len(limbs), 2))
    affinity = line_affinities(fields, places, torch.from_numpy(limbs), PoseModel.stride)
    places, probability, affinity = places.cpu(), probability.cpu(), affinity.cpu()
    groups = [
        group_candidates(a, p, limbs, n_animals)
        for a, p in zip(affinity.double().numpy(), probability.numpy(), strict=True)
    ]
    chosen = torch.from_numpy(np.stack(groups))  # (n, individual, keypoint)
    frame = torch.arange(len(chosen))[:, None, None]
    keypoint = torch.arange(n_keypoints)
    found = chosen >= 0
    positions = torch.where(found[..., None], places[frame, keypoint, chosen], torch.nan)
    return positions, torch.where(found, probability[frame, keypoint, chosen], 0.0)
