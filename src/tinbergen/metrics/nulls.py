"""Null distributions: what a prediction scores when its time, or its trials, are the wrong ones.

Neural activity and behaviour are both smooth in time, so two unrelated recordings correlate:
shifting one against the other keeps that smoothness and breaks the link (Harris 2020).
Shuffling trials keeps what every trial has in common. A score is worth what it has beyond these.

Draws are index arrays into the first axis: ``prediction[index]`` is the prediction under the null.
A draw scores a fitted model again, without fitting it anew.

References
----------
Harris, "Nonsense correlations in neuroscience", bioRxiv 2020.402719.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from tinbergen.errors import DataError
from tinbergen.metrics.blocks import row_blocks, same_shape
from tinbergen.metrics.poisson import FLOOR, bits_per_spike, null_rates


def time_shifts(
    segments: ArrayLike | int, minimum: int, n: int = 200, *, seed: int = 0
) -> Iterator[np.ndarray]:
    """Draw circular shifts in time, within each segment.

    Parameters
    ----------
    segments
        ``(time,)`` labels: bins of different segments are not neighbours and never change places.
        Or the number of bins, all of one segment.
    minimum
        Every bin moves at least so many bins, counted either way round, so that what is left of
        the link in slow signals is small.
    n
        Draws; each segment has its own shift in each.

    Yields
    ------
    ndarray
        ``(time,)`` indices.

    Raises
    ------
    DataError
        If a segment is too short to be shifted so far.

    Examples
    --------
    >>> next(time_shifts(4, minimum=2))
    array([2, 3, 0, 1])
    """
    labels = np.zeros(segments) if isinstance(segments, int) else np.asarray(segments)
    if minimum < 1:
        raise DataError(f"expected a shift of at least 1 bin, found {minimum}.")
    names, index, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    short = np.flatnonzero(sizes < 2 * minimum)
    if len(short):
        i = int(short[0])
        raise DataError(
            f"a circular shift by at least {minimum} bins needs segments of {2 * minimum} bins; "
            f"segment {names[i]} has {sizes[i]} ({len(short)} of {len(names)} are too short). "
            "Shift less far, join segments, or shuffle trials instead."
        )
    order = np.argsort(index, kind="stable")
    starts = np.cumsum(sizes) - sizes
    place = np.arange(len(index)) - np.repeat(starts, sizes)
    rng = np.random.default_rng(seed)
    for _ in range(n):
        shifts = rng.integers(minimum, sizes - minimum, endpoint=True)
        moved = (place + np.repeat(shifts, sizes)) % np.repeat(sizes, sizes)
        draw = np.empty(len(index), dtype=np.intp)
        draw[order] = order[moved + np.repeat(starts, sizes)]
        yield draw


def shuffled(rows: ArrayLike | int, n: int = 200, *, seed: int = 0) -> Iterator[np.ndarray]:
    """Draw permutations of the rows (trials), within each group.

    Parameters
    ----------
    rows
        The number of rows; or ``(row,)`` labels (condition, recording) within which they are
        shuffled, so that what the labels tell stays true under the null.
    n
        Draws.

    Yields
    ------
    ndarray
        ``(row,)`` indices.
    """
    labels = np.zeros(rows) if isinstance(rows, int) else np.asarray(rows)
    _, index = np.unique(labels, return_inverse=True)
    order = np.argsort(index, kind="stable")
    rng = np.random.default_rng(seed)
    for _ in range(n):
        draw = np.empty(len(index), dtype=np.intp)
        draw[order] = np.lexsort((rng.random(len(index)), index))
        yield draw


def null_distribution(
    score: Callable[[Any, Any], ArrayLike],
    truth: ArrayLike,
    prediction: ArrayLike,
    draws: Iterable[np.ndarray],
) -> np.ndarray:
    """Score the prediction under each draw of :func:`time_shifts` or :func:`shuffled`.

    Parameters
    ----------
    score
        Takes truth and prediction, gives a number or ``(column,)``.
    truth, prediction
        First axis as the draws index it.

    Returns
    -------
    ndarray
        ``(draw,)`` or ``(draw, column)``.

    Examples
    --------
    >>> from tinbergen.metrics import r2
    >>> y = np.sin(np.arange(100))
    >>> null_distribution(r2, y, y, time_shifts(100, minimum=10, n=3)).shape
    (3, 1)
    """
    prediction = np.asarray(prediction)
    return np.array([score(truth, prediction[index]) for index in draws])


def bits_per_spike_null(
    counts: ArrayLike,
    rates: ArrayLike,
    null: ArrayLike | str,
    draws: Iterable[np.ndarray],
    floor: float = FLOOR,
    *,
    train: ArrayLike | None = None,
) -> np.ndarray:
    """Bits per spike of each unit under each draw; :func:`null_distribution`, but quicker.

    A draw only moves rates, so that one product of counts and logarithms a draw is left to do.
    Parameters as in :func:`~tinbergen.metrics.bits_per_spike`.

    Returns
    -------
    ndarray
        ``(draw, unit)``.
    """
    n, r = same_shape(counts, rates)
    if isinstance(null, str):
        null = null_rates(null, n, train)
    if np.isnan(n).any() or np.isnan(r).any() or np.isnan(null).any():

        def score(y: Any, p: Any) -> np.ndarray:
            return bits_per_spike(y, p, null, floor)

        return null_distribution(score, n, r, draws)
    unmoved = bits_per_spike(n, r, null, floor)  # checks the input too
    spikes = n.sum(axis=tuple(range(n.ndim - 1)), dtype=np.float64)
    weight = np.where(spikes > 0, spikes * np.log(2), np.nan)
    logs = np.log(np.maximum(r, floor))
    start = _dot(n, logs, None)
    return np.array([unmoved + (_dot(n, logs, index) - start) / weight for index in draws])


def _dot(counts: np.ndarray, logs: np.ndarray, index: np.ndarray | None) -> np.ndarray:
    """Sum of counts times the moved logarithms over all axes but the last."""
    units = counts.shape[-1]
    total = np.zeros(units)
    for rows in row_blocks(counts.shape):
        moved = logs[rows] if index is None else logs[index[rows]]
        n = counts[rows].reshape(-1, units).astype(np.float64)
        total += np.einsum("iu,iu->u", n, moved.reshape(-1, units))
    return total


@dataclass(frozen=True)
class NullInterval:
    """A score beside its null distribution; arrays with an entry a unit where there are units.

    Attributes
    ----------
    value
        The score.
    mean
        Of the null.
    low, high
        2.5 and 97.5 % points of the null.
    p
        One-sided: share of draws, the real one among them, that are at least as good. At least
        ``1 / (n + 1)``.
    n
        Draws.
    """

    value: Any
    mean: Any
    low: Any
    high: Any
    p: Any
    n: int


def null_interval(
    score: ArrayLike,
    null: ArrayLike,
    *,
    direction: Literal["higher", "lower"] = "higher",
) -> NullInterval:
    """Place a score in its null distribution.

    Parameters
    ----------
    score
        A number, or ``(unit,)``.
    null
        ``(draw,)``, or ``(draw, unit)``, from :func:`null_distribution`.
    direction
        Which way is better.

    Returns
    -------
    NullInterval
        NaN where the score is NaN.

    Notes
    -----
    For the mean over units, take the mean of score and null first
    (``np.nanmean(null, axis=1)``): the mean of p values says nothing.

    Examples
    --------
    >>> null_interval(0.5, [0.0, 0.1, -0.1]).p
    0.25
    """
    value, draws = np.asarray(score, dtype=np.float64), np.asarray(null, dtype=np.float64)
    if draws.shape[1:] != value.shape or not len(draws):
        raise DataError(
            f"expected null scores (draw, ...) for scores of shape {value.shape}, found "
            f"{draws.shape}."
        )
    sign = 1.0 if direction == "higher" else -1.0
    better = (sign * draws >= sign * value).sum(axis=0)
    p = np.where(np.isfinite(value), (1 + better) / (1 + len(draws)), np.nan)
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    plain = float if value.ndim == 0 else np.asarray
    return NullInterval(
        value=plain(value),
        mean=plain(draws.mean(axis=0)),
        low=plain(low),
        high=plain(high),
        p=plain(p),
        n=len(draws),
    )
