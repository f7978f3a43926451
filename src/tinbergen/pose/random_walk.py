"""Kalman filter and Rauch-Tung-Striebel smoother of random walks, many at once, in numpy.

The state of dimension d takes a step of covariance ``q * step`` from sample to sample, and shows
itself through ``y = loading @ state + noise`` with independent noise of known variance ``r``,
which differs from sample to sample and is infinite where nothing was seen.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Walk(NamedTuple):
    """What is known of the states: means ``(time, ..., d)``, covariances ``(time, ..., d, d)``."""

    mean: np.ndarray
    covariance: np.ndarray


class ScalarWalk(NamedTuple):
    """The same for states of one dimension: ``(time, ...)`` each."""

    mean: np.ndarray
    variance: np.ndarray


def scalar_log_likelihood(
    y: np.ndarray, r: np.ndarray, q: np.ndarray, steps: np.ndarray, start: float | np.ndarray
) -> np.ndarray:
    """Log density of observations under scalar random walks, up to a constant.

    Parameters
    ----------
    y
        ``(time, ...)`` observations; arbitrary where ``r`` is infinite, but finite.
    r
        ``(time, ...)`` variance of their noise.
    q
        Variance of the walk per unit of ``steps``; broadcasts against ``y[0]``.
    steps
        ``(time - 1,)`` length of each step.
    start
        Variance of the first state, about 0.

    Returns
    -------
    ``(...)``, summed over time.
    """
    shape = np.broadcast_shapes(y.shape[1:], np.shape(q))
    mean = np.zeros(shape)
    variance = np.broadcast_to(np.asarray(start, dtype=float), shape).copy()
    surprise, spread = np.empty((2, len(y), *shape))
    for t in range(len(y)):
        if t:
            variance = variance + q * steps[t - 1]
        total = variance + r[t]
        error = y[t] - mean
        surprise[t], spread[t] = error, total
        gain = variance / total
        mean = mean + gain * error
        variance = variance * (1 - gain)
    seen = np.isfinite(spread)
    spread = np.where(seen, spread, 1.0)
    terms = np.log(spread) + surprise**2 / spread
    return -0.5 * np.where(seen, terms, 0.0).sum(axis=0)


def scalar_smoother(
    y: np.ndarray, r: np.ndarray, q: np.ndarray, steps: np.ndarray, start: float | np.ndarray
) -> ScalarWalk:
    """Means and variances of scalar random walks given all observations.

    Parameters as in :func:`scalar_log_likelihood`.

    Examples
    --------
    >>> y = np.array([0.0, 0.0, 3.0, 0.0, 0.0])
    >>> scalar_smoother(y, np.ones(5), np.array(1.0), np.ones(4), 1.0).mean.round(6)
    array([0.168539, 0.505618, 1.348315, 0.539326, 0.269663])
    """
    shape = np.broadcast_shapes(y.shape[1:], np.shape(q))
    mean, variance = np.empty((2, len(y), *shape))
    ahead = np.empty((len(y), *shape))  # variance before the observation
    now, spread = np.zeros(shape), np.broadcast_to(np.asarray(start, dtype=float), shape)
    for t in range(len(y)):
        if t:
            spread = spread + q * steps[t - 1]
        ahead[t] = spread
        gain = spread / (spread + r[t])
        now = now + gain * (y[t] - now)
        spread = spread * (1 - gain)
        mean[t], variance[t] = now, spread
    for t in range(len(y) - 2, -1, -1):
        gain = np.divide(variance[t], ahead[t + 1], out=np.ones(shape), where=ahead[t + 1] > 0)
        mean[t] += gain * (mean[t + 1] - mean[t])
        variance[t] += gain**2 * (variance[t + 1] - ahead[t + 1])
    return ScalarWalk(mean, variance)


def _information(y: np.ndarray, r: np.ndarray, loading: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return ``loading' R^-1 loading`` (time, n, d, d), ``loading' R^-1 y`` (time, n, d)."""
    weight = 1.0 / r
    matrix = np.einsum("nod,tno,noe->tnde", loading, weight, loading, optimize=True)
    vector = np.einsum("nod,tno->tnd", loading, weight * y, optimize=True)
    return matrix, vector


def smoother(
    y: np.ndarray,
    r: np.ndarray,
    loading: np.ndarray,
    q: np.ndarray,
    steps: np.ndarray,
    start: np.ndarray,
) -> Walk:
    """Means and covariances of several random walks of dimension d given all observations.

    Parameters
    ----------
    y, r
        ``(time, n, o)`` observations of n walks, and the variances of their noise (infinite: not
        seen).
    loading
        ``(n, o, d)``.
    q, start
        ``(n, d, d)`` covariance of the walk per unit of ``steps``, and of the first state.
    steps
        ``(time - 1,)``.
    """
    matrix, vector = _information(y, r, loading)
    n, d = loading.shape[0], loading.shape[2]
    mean, covariance = np.empty((len(y), n, d)), np.empty((len(y), n, d, d))
    ahead = np.empty_like(covariance)
    now, spread = np.zeros((n, d, 1)), start
    eye = np.eye(d)
    for t in range(len(y)):
        if t:
            spread = spread + q * steps[t - 1]
        ahead[t] = spread
        # (P^-1 + M)^-1 = (I + P M)^-1 P, which also holds for a singular P.
        inverse = np.linalg.inv(eye + spread @ matrix[t])
        now = now + inverse @ (spread @ (vector[t][..., None] - matrix[t] @ now))
        spread = inverse @ spread
        mean[t], covariance[t] = now[..., 0], spread
    # A walk that does not move in some direction has a singular covariance ahead.
    back = covariance[:-1] @ np.linalg.pinv(ahead[1:], hermitian=True)
    for t in range(len(y) - 2, -1, -1):
        gain = back[t]
        mean[t] += (gain @ (mean[t + 1] - mean[t])[..., None])[..., 0]
        change = covariance[t + 1] - ahead[t + 1]
        covariance[t] += gain @ change @ gain.swapaxes(-1, -2)
    return Walk(mean, covariance)


def log_likelihood(
    y: np.ndarray,
    r: np.ndarray,
    loading: np.ndarray,
    q: np.ndarray,
    steps: np.ndarray,
    start: np.ndarray,
) -> np.ndarray:
    """Log density of observations under random walks of dimension d, up to a constant.

    Parameters as in :func:`smoother`; ``q`` may have leading axes, as ``(g, n, d, d)``. Terms that
    do not depend on ``q`` are left out.

    Returns
    -------
    ``(..., n)``, summed over time.
    """
    matrix, vector = _information(y, r, loading)
    d = loading.shape[2]
    lead = np.broadcast_shapes(q.shape[:-2], start.shape[:-2])
    now, spread = np.zeros((*lead, d, 1)), np.broadcast_to(start, (*lead, d, d))
    eye, total = np.eye(d), np.zeros(lead)
    for t in range(len(y)):
        if t:
            spread = spread + q * steps[t - 1]
        # By the matrix determinant and inversion lemmas, with the residual's information
        # C' R^-1 (y - C m) = v - M m.
        inner = eye + spread @ matrix[t]
        information = vector[t][..., None] - matrix[t] @ now
        inverse = np.linalg.inv(inner)
        move = inverse @ (spread @ information)
        fit = (information * move).sum(axis=(-1, -2))
        # y' R^-1 y is the same for all q; what is left of (y - C m)' R^-1 (y - C m) is not.
        cross = (now * (2 * vector[t][..., None] - matrix[t] @ now)).sum(axis=(-1, -2))
        total += -0.5 * np.log(np.linalg.det(inner)) + 0.5 * (fit + cross)
        now = now + move
        spread = inverse @ spread
    return total
