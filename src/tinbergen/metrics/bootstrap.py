"""Intervals by resampling whole units: sessions, animals, folds, frames."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tinbergen.metrics.score import Interval

_DRAWS = 2000
_LEVEL = 0.95


def bootstrap_interval(
    values: ArrayLike, groups: ArrayLike | None = None, *, seed: int = 0
) -> Interval:
    """95 % percentile interval of the mean of ``values``, resampling groups with replacement.

    Parameters
    ----------
    values
        ``(n,)``; NaN are left out.
    groups
        ``(n,)``: what each value belongs to (a recording, an animal); whole groups are drawn.
        By default every value is its own group.

    Returns
    -------
    Interval
        NaN bounds when fewer than two groups hold a value.

    References
    ----------
    Efron & Tibshirani, "An introduction to the bootstrap", 1993, chapter 13.
    """
    values = np.asarray(values, dtype=np.float64).ravel()
    labels = np.arange(len(values)) if groups is None else np.asarray(groups).ravel()
    valid = np.isfinite(values)
    _, index = np.unique(labels[valid], return_inverse=True)
    n = index.max() + 1 if index.size else 0
    if n < 2:
        return Interval(np.nan, np.nan)
    sums = np.bincount(index, weights=values[valid], minlength=n)
    counts = np.bincount(index, minlength=n)
    draws = np.random.default_rng(seed).integers(n, size=(_DRAWS, n))
    means = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    low, high = np.quantile(means, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Interval(float(low), float(high))


class Difference(NamedTuple):
    """Mean of paired differences, its standard error, and its interval."""

    mean: float
    standard_error: float
    interval: Interval


def paired_difference(ours: ArrayLike, theirs: ArrayLike, *, seed: int = 0) -> Difference:
    """Compare two methods on the same units (folds, sessions, keypoints): ours minus theirs.

    Pairs with a NaN on either side are left out.

    Examples
    --------
    >>> paired_difference([1.0, 2.0, 3.0], [2.0, 2.0, 2.0]).mean
    0.0
    """
    d = np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64)
    d = d[np.isfinite(d)].ravel()
    if len(d) < 2:
        return Difference(float(d.mean()) if len(d) else np.nan, np.nan, Interval(np.nan, np.nan))
    error = float(d.std(ddof=1) / np.sqrt(len(d)))
    return Difference(float(d.mean()), error, bootstrap_interval(d, seed=seed))
