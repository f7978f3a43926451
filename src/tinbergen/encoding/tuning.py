"""Bumps over the range of a signal: features with which a linear model draws tuning curves."""

from __future__ import annotations

import numpy as np

BUMPS = 12
_TAIL = 0.005  # of the values, at either end: a few strays must not stretch the range


def tuning_ranges(values: np.ndarray) -> np.ndarray:
    """Return the range ``(channel, 2)`` of values ``(time, channel)``, some strays left out."""
    known = [column[np.isfinite(column)] for column in values.T]
    ends = [np.quantile(c, [_TAIL, 1 - _TAIL]) if len(c) else np.zeros(2) for c in known]
    return np.reshape(ends, (-1, 2))


def tuning_bumps(
    values: np.ndarray, n: int = BUMPS, ranges: np.ndarray | None = None
) -> np.ndarray:
    """Lay raised cosines over the range of each channel; of two channels, tiles of their plane.

    Neighbours overlap by half, so that the bumps of a known value sum to 1. Values beyond the
    range, which leaves out the outermost 0.5 % at either end, count as its ends.

    Parameters
    ----------
    values
        ``(time, channel)``; NaN = not known.
    n
        Bumps a channel.
    ranges
        ``(channel, 2)``; by default those of the values, see :func:`tuning_ranges`.

    Returns
    -------
    ndarray
        ``(time, channel * n)``, or ``(time, n * n)`` of two channels, the second one's bumps
        running fastest. NaN where a channel is not known.

    Examples
    --------
    >>> tuning_bumps(np.array([[0.0], [1.0], [2.0]]), 3).round(2).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    ranges = tuning_ranges(values) if ranges is None else ranges
    parts = [_bumps(column, n, *ends) for column, ends in zip(values.T, ranges, strict=True)]
    if len(parts) == 2:
        tiles = parts[0][:, :, None] * parts[1][:, None, :]
        return tiles.reshape(len(values), n * n)
    return np.concatenate(parts, axis=1)


def _bumps(column: np.ndarray, n: int, low: float, high: float) -> np.ndarray:
    if not high > low:
        return np.where(np.isfinite(column)[:, None], 1.0 / n, np.nan) * np.ones(n)
    place = (np.clip(column, low, high) - low) / (high - low) * (n - 1)
    away = np.clip(place[:, None] - np.arange(n), -1, 1)
    return (1 + np.cos(np.pi * away)) / 2
