"""Variance that predictions explain: R2 on single trials, on PSTHs, and pooled over neurons.

All take truth and prediction as ``(time, column)`` or ``(trial, time, column)`` (a vector is one
column) and leave out, column by column, what is NaN in either.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from tinbergen.errors import DataError
from tinbergen.metrics.blocks import add_rows, group_numbers, row_blocks, same_shape


def r2(truth: ArrayLike, prediction: ArrayLike, null: ArrayLike | None = None) -> np.ndarray:
    """Coefficient of determination of each column, over all trials and bins.

    The "single-trial R2" of NEDS (Zhang et al., 2025). 1 is perfect, 0 is the null, and there is
    no lower bound.

    Parameters
    ----------
    truth, prediction
        ``(time, column)`` or ``(trial, time, column)``.
    null
        ``(column,)`` means that a model without input would give, such as those of the training
        data. By default the mean of the evaluated truth, as everywhere in the field.

    Returns
    -------
    ndarray
        ``(column,)``; NaN where the truth does not vary.

    Examples
    --------
    >>> r2([1, 2, 3], [1, 2, 2])
    array([0.5])
    """
    gain, weight = (part.sum(axis=0) for part in r2_parts(truth, prediction, null))
    return np.where(weight > 0, gain / np.where(weight > 0, weight, 1.0), np.nan)


def r2_parts(
    truth: ArrayLike,
    prediction: ArrayLike,
    null: ArrayLike | None = None,
    *,
    groups: ArrayLike | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return sums whose ratio is R2, a row a group, for a bootstrap over trials.

    Parameters
    ----------
    truth, prediction, null
        As in :func:`r2`; the null stays what it is in all resamples.
    groups
        ``(trial,)`` or ``(time,)``: what a row belongs to. By default all rows are one group.

    Returns
    -------
    gain, weight
        ``(group, column)``: squared error of the null less that of the prediction, and squared
        error of the null; see :func:`~tinbergen.metrics.ratio_intervals`.
    """
    y, p = same_shape(truth, prediction)
    index, n_groups = group_numbers(groups, len(y))
    columns = y.shape[-1]
    mean = _means(y, p) if null is None else np.asarray(null, dtype=np.float64)
    mean = np.broadcast_to(mean, (columns,))
    gain, weight = np.zeros((n_groups, columns)), np.zeros((n_groups, columns))
    for rows in row_blocks(y.shape):
        a = y[rows].astype(np.float64)
        unknown = np.isnan(a) | np.isnan(p[rows])
        error = np.where(unknown, 0.0, (a - p[rows]) ** 2)
        deviation = np.where(unknown, 0.0, (a - mean) ** 2)
        add_rows(gain, index[rows], deviation - error)
        add_rows(weight, index[rows], deviation)
    rounding = (1e-12 * mean) ** 2 * y[..., 0].size
    weight[:, weight.sum(axis=0) <= rounding] = 0.0  # a constant does not vary
    return gain, weight


def _means(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Mean of each column of ``y`` over the rows where both are known."""
    total, n = np.zeros((1, y.shape[-1])), np.zeros((1, y.shape[-1]))
    for rows in row_blocks(y.shape):
        known = ~(np.isnan(y[rows]) | np.isnan(p[rows]))
        add_rows(total, np.zeros(1, int), np.where(known, y[rows], 0.0))
        add_rows(n, np.zeros(1, int), known.astype(np.float64))
    return total[0] / np.maximum(n[0], 1)


def condition_means(values: ArrayLike, conditions: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """PSTH of each condition.

    Parameters
    ----------
    values
        ``(trial, time, column)``; NaN are left out.
    conditions
        ``(trial,)`` labels.

    Returns
    -------
    means, index
        ``(condition, time, column)`` in the order of the sorted labels, and ``(trial,)`` the
        number of each trial's condition.
    """
    y = np.asarray(values, dtype=np.float64)
    labels = np.asarray(conditions)
    if y.ndim != 3 or labels.shape != (len(y),):
        raise DataError(
            "a PSTH is an average over trials: expected (trial, time, column) and a condition a "
            f"trial, found {y.shape} and {labels.shape}."
        )
    names, index = np.unique(labels, return_inverse=True)
    known = ~np.isnan(y)
    total, n = np.zeros((len(names), *y.shape[1:])), np.zeros((len(names), *y.shape[1:]))
    np.add.at(total, index, np.where(known, y, 0.0))
    np.add.at(n, index, known)
    return np.where(n > 0, total / np.maximum(n, 1), np.nan), index


def psth_r2(truth: ArrayLike, prediction: ArrayLike, conditions: ArrayLike) -> np.ndarray:
    """R2 of trial averages: whether the prediction knows the mean response to each condition.

    Truth and prediction are averaged over the trials of each condition, the averages laid end to
    end, and compared by :func:`r2` (Zhang et al., 2025).

    Parameters
    ----------
    truth, prediction
        ``(trial, time, column)``.
    conditions
        ``(trial,)`` labels, or ``(trial, variable)``: the averages by each variable in turn
        (choice, block, reward) are then laid end to end.

    Returns
    -------
    ndarray
        ``(column,)``.
    """
    y, p = same_shape(truth, prediction)
    labels = np.asarray(conditions)
    labels = labels[:, None] if labels.ndim == 1 else labels
    unknown = np.isnan(y) | np.isnan(p)
    y, p = np.where(unknown, np.nan, y), np.where(unknown, np.nan, p)
    averages = [[condition_means(v, by)[0] for by in labels.T] for v in (y, p)]
    return r2(*(np.concatenate(parts) for parts in averages))


def single_trial_r2(
    truth: ArrayLike, prediction: ArrayLike, conditions: ArrayLike | None = None
) -> np.ndarray:
    """R2 of what differs from trial to trial.

    From truth and prediction the mean of their own condition is taken, so that a model that knows
    the conditions and no more scores 0: what is left is movement, arousal, and noise.

    Parameters
    ----------
    truth, prediction
        ``(trial, time, column)``.
    conditions
        ``(trial,)`` labels; trials alone in their condition are left out, because nothing of them
        is left. None: nothing is taken away, as in :func:`r2`.

    Returns
    -------
    ndarray
        ``(column,)``; NaN where no condition has two trials.
    """
    y, p = same_shape(truth, prediction)
    if conditions is None:
        return r2(y, p)
    unknown = np.isnan(y) | np.isnan(p)
    y, p = np.where(unknown, np.nan, y), np.where(unknown, np.nan, p)
    means, index = condition_means(y, conditions)
    repeated = np.bincount(index)[index] > 1
    rest = y - means[index]
    predicted = p - condition_means(p, conditions)[0][index]
    return r2(rest[repeated], predicted[repeated], null=0.0)


def variance_explained(
    truth: ArrayLike, prediction: ArrayLike, pooled: bool = True
) -> float | np.ndarray:
    """Variance explained as Facemap defines it.

    Pooled: ``1 - squared error / variance``, both summed over all neurons (or principal
    components), so that those which vary much count much; see Syeda et al., "Facemap", Nature
    Neuroscience 2024. Otherwise per neuron, which is :func:`r2`.

    Parameters
    ----------
    truth, prediction
        ``(time, column)`` or ``(trial, time, column)`` of test data.
    pooled
        One number, or one a column.

    Examples
    --------
    >>> y, p = [[1, 2], [2, 4], [3, 6]], [[1, 2], [2, 4], [3, 3]]
    >>> round(variance_explained(y, p), 9), variance_explained(y, p, pooled=False)
    (0.1, array([ 1.   , -0.125]))
    """
    if not pooled:
        return r2(truth, prediction)
    gain, weight = r2_parts(truth, prediction)
    return float(gain.sum() / weight.sum()) if weight.sum() > 0 else float("nan")
