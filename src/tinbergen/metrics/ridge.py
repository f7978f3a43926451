"""Ridge regression over a whole path of penalties, for many features and few samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

ALPHAS = 10.0 ** np.arange(-4, 6.01, 0.5)


def ridge_path(
    features: ArrayLike, train: ArrayLike, targets: ArrayLike, alphas: ArrayLike = ALPHAS
) -> np.ndarray:
    """Fit ridge on the training rows for every penalty and predict all rows.

    Solved in the dual from one eigendecomposition, so that the number of features hardly
    matters. The intercept is not penalised.

    Parameters
    ----------
    features
        ``(n, d)``.
    train
        Indices of the training rows.
    targets
        ``(n, k)``; only the training rows are looked at.
    alphas
        ``(a,)`` penalties, > 0.

    Returns
    -------
    ndarray
        ``(a, n, k)`` predictions.
    """
    x = np.asarray(features, dtype=np.float64)
    train = np.asarray(train)
    y = np.asarray(targets, dtype=np.float64)[train]
    centred = x - x[train].mean(axis=0)
    fit = centred[train]
    if len(train) > x.shape[1]:
        values, vectors = np.linalg.eigh(fit.T @ fit)
        left, right = centred @ vectors, vectors.T @ (fit.T @ (y - y.mean(axis=0)))
    else:
        values, vectors = np.linalg.eigh(fit @ fit.T)
        left, right = centred @ (fit.T @ vectors), vectors.T @ (y - y.mean(axis=0))
    values = np.maximum(values, 0)
    return np.stack(
        [left @ (right / (values + a)[:, None]) + y.mean(axis=0) for a in np.asarray(alphas)]
    )


def standardise(features: ArrayLike, train: ArrayLike) -> np.ndarray:
    """Z-score by the training rows and scale, so that one range of penalties fits any width.

    Features that hardly vary are not blown up: a tenth of the mean deviation is added to each.
    """
    x = np.asarray(features, dtype=np.float64)
    x = x.reshape(len(x), -1)
    fit = x[np.asarray(train)]
    deviation = fit.std(axis=0)
    z = (x - fit.mean(axis=0)) / (deviation + 0.1 * deviation.mean() + 1e-9)
    return z * np.sqrt(40 / z.shape[1])
