"""Intervals and tests by resampling what is independent: sessions, animals, trials, units."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tinbergen.metrics.score import Interval

_DRAWS = 2000
_TAILS = (0.025, 0.975)
_CHUNK = 4_000_000  # numbers drawn at once


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
    return _percentiles(means)


def _percentiles(draws: np.ndarray) -> Interval:
    low, high = np.quantile(draws, _TAILS)
    return Interval(float(low), float(high))


def pooled_interval(
    counts: ArrayLike, statistic: Callable[[np.ndarray], ArrayLike], *, seed: int = 0
) -> Interval:
    """95 % interval of a statistic of counts summed over sessions, resampling sessions.

    For what is no mean over sessions: F1 of pooled counts, kappa of a pooled confusion.

    Parameters
    ----------
    counts
        ``(session, ...)``.
    statistic
        ``(draw, ...)`` summed counts to ``(draw,)`` values; NaN are left out.

    Returns
    -------
    Interval
        NaN bounds for fewer than two sessions.
    """
    counts = np.asarray(counts, dtype=np.float64)
    n = len(counts)
    if n < 2:
        return Interval(np.nan, np.nan)
    rng = np.random.default_rng(seed)
    times = rng.multinomial(n, np.full(n, 1 / n), size=_DRAWS).astype(np.float64)
    values = np.asarray(statistic(np.tensordot(times, counts, axes=1)))
    values = values[np.isfinite(values)]
    return _percentiles(values) if len(values) else Interval(np.nan, np.nan)


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


def hierarchical_interval(
    values: ArrayLike,
    sessions: ArrayLike,
    *,
    average: Literal["units", "sessions"] = "units",
    seed: int = 0,
) -> Interval:
    """95 % interval of a mean over units, resampling sessions, then the units of each.

    Units of one session share its animal, its state and its luck; resampling them alone makes
    intervals too narrow.

    Parameters
    ----------
    values
        ``(unit,)``; NaN are left out.
    sessions
        ``(unit,)`` labels. Of one session alone only its units are resampled: the interval then
        says nothing about other sessions.
    average
        Over all units alike, or over the means of sessions.

    Returns
    -------
    Interval
        NaN bounds when fewer than two units hold a value.

    References
    ----------
    Saravanan, Berman & Sober, "Application of the hierarchical bootstrap to multi-level data in
    neuroscience", Neurons, Behavior, Data Analysis and Theory 2020.
    """
    values, labels = np.asarray(values, dtype=np.float64).ravel(), np.asarray(sessions).ravel()
    valid = np.isfinite(values)
    if valid.sum() < 2:
        return Interval(np.nan, np.nan)
    _, index = np.unique(labels[valid], return_inverse=True)
    parts = [values[valid][index == s] for s in range(index.max() + 1)]
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(parts), size=(_DRAWS, len(parts)))
    total, n = np.zeros(_DRAWS), np.zeros(_DRAWS)
    for s, part in enumerate(parts):
        draw = np.nonzero(drawn == s)[0]  # a draw as often as it drew this session
        means = np.concatenate(
            [
                part[rng.integers(len(part), size=(len(some), len(part)))].mean(axis=1)
                for some in np.array_split(draw, max(1, len(draw) * len(part) // _CHUNK))
            ]
        )
        weight = len(part) if average == "units" else 1
        np.add.at(total, draw, weight * means)
        np.add.at(n, draw, weight)
    return _percentiles(total / n)


class RatioIntervals(NamedTuple):
    """Intervals of ratios of sums; see :func:`ratio_intervals`.

    Attributes
    ----------
    units
        ``(unit, 2)``: low and high of each unit's ratio.
    mean, pooled
        Of the mean over units, and of the ratio of the sums over units.
    population
        Of the mean over units when these are drawn as well, each draw its own.
    """

    units: np.ndarray
    mean: Interval
    pooled: Interval
    population: Interval


def ratio_intervals(gain: ArrayLike, weight: ArrayLike, *, seed: int = 0) -> RatioIntervals:
    """95 % intervals over trials of scores that are ratios of sums: bits per spike, D2, R2.

    Trials (or blocks of time) are drawn with replacement, the same ones for all units, whose
    noise is shared.

    Parameters
    ----------
    gain, weight
        ``(trial, unit)``: numerators and denominators, from
        :func:`~tinbergen.metrics.information_parts` or :func:`~tinbergen.metrics.r2_parts`.

    Returns
    -------
    RatioIntervals
        NaN for units whose weight is 0, and for fewer than two trials. Draws without any weight
        (of a unit all of whose spikes lie in one trial) are left out.

    References
    ----------
    Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 2007, for both at once.
    """
    gain, weight = np.asarray(gain, dtype=np.float64), np.asarray(weight, dtype=np.float64)
    n = len(gain)
    known = weight.sum(axis=0) > 0
    if n < 2 or not known.any():
        nothing = Interval(np.nan, np.nan)
        return RatioIntervals(np.full((gain.shape[1], 2), np.nan), nothing, nothing, nothing)
    rng = np.random.default_rng(seed)
    times = rng.multinomial(n, np.full(n, 1 / n), size=_DRAWS).astype(np.float64)
    top, bottom = times @ gain[:, known], times @ weight[:, known]
    ratios = np.where(bottom > 0, top / np.where(bottom > 0, bottom, 1.0), np.nan)
    units = np.full((gain.shape[1], 2), np.nan)
    units[known] = np.nanquantile(ratios, _TAILS, axis=0).T
    some = bottom.sum(axis=1) > 0  # draws of trials without any spike have no score
    pooled = top[some].sum(axis=1) / bottom[some].sum(axis=1)
    ratios = ratios[some]
    means = np.nanmean(ratios, axis=1)
    k = ratios.shape[1]
    drawn = rng.multinomial(k, np.full(k, 1 / k), size=len(ratios)) * np.isfinite(ratios)
    n_drawn = drawn.sum(axis=1)
    both = (np.nan_to_num(ratios) * drawn).sum(axis=1)[n_drawn > 0] / n_drawn[n_drawn > 0]
    return RatioIntervals(units, *map(_percentiles, (means, pooled, both)))


class PairedTest(NamedTuple):
    """Two models on the same units; see :func:`paired_test`.

    Attributes
    ----------
    mean, median
        Of ours minus theirs.
    interval
        95 % of the mean, bootstrap over groups, then units.
    p
        Two-sided.
    better
        Share of units where ours is higher.
    n, n_groups, n_left_out
        Pairs, their groups, and pairs with a NaN.
    """

    mean: float
    median: float
    interval: Interval
    p: float
    better: float
    n: int
    n_groups: int
    n_left_out: int


def paired_test(
    ours: ArrayLike,
    theirs: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    n: int = 9999,
    seed: int = 0,
) -> PairedTest:
    """Sign-flip permutation test of two models on the same units.

    If neither model were better, each difference could as well have had the other sign. With
    groups whole groups are flipped: then the p value speaks of new sessions, not of new units of
    these. All flips are tried where there are no more than ``n`` (Good 2005); its smallest p is
    therefore ``2 / 2**groups``: 0.03 for six sessions.

    Parameters
    ----------
    ours, theirs
        ``(unit,)`` scores.
    groups
        ``(unit,)`` labels of what is independent: sessions, animals. By default each unit is.
    n
        Flips at most.

    Returns
    -------
    PairedTest
        NaN where fewer than two pairs are left.

    References
    ----------
    Good, "Permutation, Parametric and Bootstrap Tests of Hypotheses", 2005, chapter 3.

    Examples
    --------
    >>> paired_test([2.0, 3.0, 4.0], [1.0, 2.0, 3.0]).p
    0.25
    """
    d = np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64)
    d = d.ravel()
    labels = np.arange(len(d)) if groups is None else np.asarray(groups).ravel()
    known = np.isfinite(d)
    left_out = int((~known).sum())
    d, labels = d[known], labels[known]
    if len(d) < 2:
        nothing = Interval(np.nan, np.nan)
        mean = float(d.mean()) if len(d) else np.nan
        return PairedTest(mean, mean, nothing, np.nan, np.nan, len(d), len(d), left_out)
    _, index = np.unique(labels, return_inverse=True)
    sums = np.bincount(index, weights=d)
    if groups is None:
        interval = bootstrap_interval(d, seed=seed)
    else:
        interval = hierarchical_interval(d, labels, seed=seed)
    return PairedTest(
        mean=float(d.mean()),
        median=float(np.median(d)),
        interval=interval,
        p=_sign_flip_p(sums, n, seed),
        better=float((d > 0).mean()),
        n=len(d),
        n_groups=len(sums),
        n_left_out=left_out,
    )


def _sign_flip_p(sums: np.ndarray, n: int, seed: int) -> float:
    """Share of sign flips whose sum is at least as far from 0 as the real one."""
    k = len(sums)
    least = abs(sums.sum()) * (1 - 1e-12)
    if k < 63 and 2**k <= n:
        flips = (np.arange(2**k)[:, None] >> np.arange(k)) & 1
        return float((np.abs((1 - 2 * flips) @ sums) >= least).mean())
    rng = np.random.default_rng(seed)
    hits = 0
    for size in np.diff(np.linspace(0, n, max(1, n * k // _CHUNK) + 1).astype(int)):
        signs = rng.integers(0, 2, size=(size, k), dtype=np.int8)
        hits += int((np.abs((1 - 2 * signs.astype(np.float64)) @ sums) >= least).sum())
    return (1 + hits) / (1 + n)
