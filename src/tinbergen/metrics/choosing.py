"""Which items deserve a look: hard ones, each unlike those that were chosen before."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def choose_diverse(
    features: ArrayLike,
    worth: ArrayLike,
    n: int,
    *,
    times: ArrayLike | None = None,
    gap: float = 0.0,
    groups: ArrayLike | None = None,
) -> np.ndarray:
    """Pick the item of most worth, then again and again the one farthest from those picked.

    Farthest counts times worth, so that neither one awkward moment nor an oddity of no worth
    fills the list.

    Parameters
    ----------
    features
        ``(item, d)``: what tells them apart.
    worth
        ``(item,)``: 0 or more.
    n
        How many; fewer come back where the gap leaves no more.
    times, gap
        ``(item,)`` s, and the least time between two that are picked.
    groups
        ``(item,)``: the gap holds within a group (a recording) alone; default: one group.

    Returns
    -------
    ``(n,)`` indices in the order of picking.

    Examples
    --------
    >>> choose_diverse([[0.0], [0.1], [5.0]], [1.0, 0.9, 0.5], 2)
    array([0, 2])
    """
    features, worth = np.asarray(features, dtype=np.float64), np.asarray(worth, dtype=np.float64)
    times = np.arange(len(features)) if times is None else np.asarray(times)
    groups = np.zeros(len(features)) if groups is None else np.asarray(groups)
    weight = np.maximum(worth, 1e-12)
    nearest = np.full(len(features), np.inf)
    free = np.ones(len(features), dtype=bool)
    chosen: list[int] = []
    while len(chosen) < n and free.any():
        value = weight if not chosen else weight * nearest
        best = int(np.where(free, value, -np.inf).argmax())
        chosen.append(best)
        nearest = np.minimum(nearest, np.linalg.norm(features - features[best], axis=1))
        free &= (groups != groups[best]) | (np.abs(times - times[best]) >= gap)
        free[best] = False
    return np.array(chosen, dtype=int)
