"""Retrieval: finding a frame's neighbour in time among other frames by its features."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

_LEAST_PAIRS = 4
_APART = 3


def draw_pairs(
    recordings: ArrayLike, step: int, *, pairs: int = 16, batches: int = 20, seed: int = 0
) -> list[np.ndarray]:
    """Draw batches of frames with their partners ``step`` rows later.

    Parameters
    ----------
    recordings
        ``(n,)`` labels of consecutive frames; partners lie in the same recording.
    step
        Rows between partners.
    pairs, batches
        At most so many pairs in each batch; different pairs lie well apart.

    Returns
    -------
    list of ndarray
        Rows, ``(2 * pairs,)``: anchors first, then their partners. Empty where fewer than four
        pairs find room.
    """
    owner = np.asarray(recordings)
    fits = np.flatnonzero(owner[:-step] == owner[step:]) if len(owner) > step else np.zeros(0)
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(batches):
        chosen: list[int] = []
        for row in rng.permutation(fits):
            if all(abs(row - other) >= step + _APART for other in chosen):
                chosen.append(int(row))
            if len(chosen) == pairs:
                break
        if len(chosen) < _LEAST_PAIRS:
            return []
        drawn.append(np.r_[chosen, np.array(chosen) + step])
    return drawn


def retrieval_top1(features: ArrayLike, batches: list[np.ndarray]) -> np.ndarray:
    """Share of rows whose most similar other row of the batch is their partner.

    By the cosine of features centred over all rows; chance is ``1 / (rows - 1)``.

    Parameters
    ----------
    features
        ``(n, channel)``.
    batches
        From :func:`draw_pairs`.

    Returns
    -------
    ndarray
        ``(batch,)``.

    Examples
    --------
    >>> x = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1], [0.1, 1.0]])
    >>> retrieval_top1(x, [np.array([0, 1, 2, 3])])
    array([1.])
    """
    x = np.asarray(features, dtype=np.float64)
    x = x - x.mean(axis=0)
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    shares = []
    for rows in batches:
        similar = x[rows] @ x[rows].T
        np.fill_diagonal(similar, -np.inf)
        partner = np.roll(np.arange(len(rows)), len(rows) // 2)
        shares.append(float((similar.argmax(axis=1) == partner).mean()))
    return np.array(shares)
