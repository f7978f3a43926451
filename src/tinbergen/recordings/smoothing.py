"""Gaussian smoothing of binned values over time."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinbergen.errors import DataError

_REACH = 4.0  # standard deviations, as in scipy; what lies beyond weighs less than 1e-4


def smooth(values: Any, sigma_bins: float, segments: Any = None) -> np.ndarray:
    """Smooth over time with a Gaussian kernel whose weights sum to 1.

    A value is the weighted mean of the finite values within 4 standard deviations in its own
    segment. So at the ends of a segment, and beside missing values, the weights of what is there
    are scaled to sum to 1: a constant stays the same constant up to its edge. NaN stays NaN where
    it was, and does not spread.

    Parameters
    ----------
    values
        ``(time, ...)``; with three or more dimensions ``(trial, time, ...)``, each trial a segment
        of its own.
    sigma_bins
        Standard deviation of the kernel, bins; 0 leaves the values alone.
    segments
        ``(time,)`` int, for values ``(time, ...)`` of at most two dimensions: bins of different
        segments are not neighbours.

    Returns
    -------
    float64, shape of ``values``.

    Examples
    --------
    >>> pulse = np.zeros(21)
    >>> pulse[10] = 1
    >>> smooth(pulse, 2)[[10, 12]].round(7)
    array([0.1994746, 0.1209875])
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim == 0 or not (np.isfinite(sigma_bins) and sigma_bins >= 0):
        raise DataError(
            f"Expected values over time and sigma_bins >= 0, found shape {values.shape} and "
            f"{sigma_bins}."
        )
    if values.ndim > 2 and segments is not None:
        raise DataError(
            "Values (trial, time, ...) are smoothed trial by trial; leave segments out."
        )
    kernel = _gaussian(sigma_bins)
    if values.ndim > 2:
        return _smooth_rows(values, kernel) if values.size else values.copy()
    smoothed = values.copy()
    for first, last in _stretches(segments, len(values)):
        smoothed[first:last] = _smooth_rows(values[None, first:last], kernel)[0]
    return smoothed


def _gaussian(sigma: float) -> np.ndarray:
    """One half of the kernel, from its middle outwards; the whole of it sums to 1."""
    if sigma == 0:
        return np.ones(1)
    half = np.exp(-0.5 * (np.arange(int(_REACH * sigma + 0.5) + 1) / sigma) ** 2)
    return half / (2 * half.sum() - half[0])


def _smooth_rows(values: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Smooth ``(row, time, ...)`` along its second axis."""
    known = np.isfinite(values)
    if known.all():
        shape = (1, values.shape[1], *[1] * (values.ndim - 2))
        return _convolve(values, kernel) / _convolve(np.ones(shape), kernel)
    total = _convolve(np.where(known, values, 0.0), kernel)
    weight = _convolve(known.astype(np.float64), kernel)
    return np.divide(total, weight, out=np.full_like(values, np.nan), where=known)


def _convolve(values: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    total = kernel[0] * values
    for lag in range(1, min(len(kernel), values.shape[1])):
        total[:, lag:] += kernel[lag] * values[:, :-lag]
        total[:, :-lag] += kernel[lag] * values[:, lag:]
    return total


def _stretches(segments: Any, n: int) -> list[tuple[int, int]]:
    """First and last + 1 of each run of one segment number."""
    if segments is None:
        return [(0, n)] if n else []
    segments = np.asarray(segments)
    if segments.shape != (n,):
        raise DataError(f"Expected a segment for each of {n} bins, found shape {segments.shape}.")
    edges = [0, *(np.flatnonzero(segments[1:] != segments[:-1]) + 1).tolist(), n]
    return [(a, b) for a, b in zip(edges[:-1], edges[1:], strict=True) if b > a]
