"""Means and deviations of what is known; NaN is left out."""

from __future__ import annotations

import numpy as np


def known_mean(values: np.ndarray) -> np.ndarray:
    """Mean over the first axis without the NaN; NaN where nothing is left.

    Examples
    --------
    >>> known_mean(np.array([[1.0, np.nan], [np.nan, np.nan]])).tolist()
    [1.0, nan]
    """
    known = np.isfinite(values)
    n = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.where(n > 0, total / np.maximum(n, 1), np.nan)


def known_moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and population deviation over the first axis, summed in float64; 0 of nothing."""
    known = np.isfinite(values)
    n = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0).sum(axis=0, dtype=np.float64) / n
    square = np.square(np.where(known, values - mean, 0)).sum(axis=0, dtype=np.float64)
    return mean, np.sqrt(square / n)
