"""Linear-Gaussian regressions that differ from state to state: what (AR)HMM and SLDS are made of.

In state k, ``y = weights[k] @ r + noise`` with covariance ``noise[k]``. The regressors r are the
frames before and a constant 1, or the constant alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import gammaln


class Moments(NamedTuple):
    """Sums over frames, weighted by the probability of each state.

    ``frames`` ``(state,)``; ``rr`` ``(state, regressor, regressor)``; ``ry``
    ``(state, regressor, channel)``; ``yy`` ``(state, channel, channel)``.
    """

    frames: np.ndarray
    rr: np.ndarray
    ry: np.ndarray
    yy: np.ndarray


class Prior(NamedTuple):
    """Matrix-normal inverse-Wishart, as frames that were never seen.

    ``frames`` of them, of residual scatter ``scatter`` ``(channel, channel)`` in all, around the
    weights ``mean`` ``(channel, regressor)``, with regressors of mean square 1.
    """

    frames: float
    scatter: np.ndarray
    mean: np.ndarray


def autoregressors(x: np.ndarray, lags: int) -> np.ndarray:
    """Return the regressors of each frame from ``lags`` on, ``(time - lags, regressor)``.

    Columns: the frame before, the one before that, ..., and 1.

    Examples
    --------
    >>> autoregressors(np.array([[1.0], [2.0], [3.0]]), 2)
    array([[2., 1., 1.]])
    """
    frames = max(len(x) - lags, 0)
    before = [x[lags - lag : lags - lag + frames] for lag in range(1, lags + 1)]
    return np.concatenate([*before, np.ones((frames, 1))], axis=1)


def moments(
    sequences: Sequence[np.ndarray],
    states: Sequence[np.ndarray],
    lags: int,
    emphasis: Sequence[np.ndarray] | None = None,
) -> Moments:
    """Return the weighted sums of all sequences; frames before ``lags`` are only regressors.

    ``emphasis`` ``(time, state)`` of each weighs the products as well, but not the ``frames``.
    """
    r = np.concatenate([autoregressors(x, lags) for x in sequences])
    y = np.concatenate([x[lags:] for x in sequences])
    weight = np.concatenate([each[lags:] for each in states])
    both = np.concatenate([r, y], axis=1)
    n = r.shape[1]
    products = weight
    if emphasis is not None:
        products = weight * np.concatenate([each[lags:] for each in emphasis])
    square = np.stack([(both * w[:, None]).T @ both for w in products.T])
    return Moments(weight.sum(axis=0), square[:, :n, :n], square[:, :n, n:], square[:, n:, n:])


def default_prior(pooled: Moments, frames: float, lags: int) -> Prior:
    """Return the prior of what is likely without states: as before, with the residuals of all.

    ``pooled`` are moments of a single state. The prior mean of the weights is that every frame is
    as the one before it (``lags`` > 0), else the mean 0.
    """
    channels, regressors = pooled.yy.shape[1], pooled.rr.shape[1]
    none = Prior(0.0, np.zeros((channels, channels)), np.zeros((channels, regressors)))
    tiny = np.eye(regressors) * 1e-6
    _, noise = most_likely(pooled._replace(rr=pooled.rr + tiny), none, diagonal=True)
    mean = np.eye(channels, regressors) if lags else np.zeros((channels, regressors))
    least = 1e-6 * np.trace(pooled.yy[0]) / (channels * max(pooled.frames[0], 1.0)) + 1e-12
    return Prior(frames, frames * (noise[0] + least * np.eye(channels)), mean)


def most_likely(sums: Moments, prior: Prior, diagonal: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights ``(state, channel, regressor)`` and noise that are most probable.

    The covariance of the noise is ``(state, channel, channel)``, without correlations if
    ``diagonal``.
    """
    precision = np.eye(sums.rr.shape[1]) * prior.frames
    rr = sums.rr + precision
    ry = sums.ry + precision @ prior.mean.T
    weights = np.linalg.solve(rr, ry).swapaxes(1, 2)
    yy = sums.yy + prior.scatter + prior.mean @ precision @ prior.mean.T
    residual = yy - weights @ ry
    frames = np.maximum(sums.frames + prior.frames, 1e-300)
    noise = (residual + residual.swapaxes(1, 2)) / (2 * frames[:, None, None])
    return weights, noise * np.eye(noise.shape[1]) if diagonal else noise


def log_prior(weights: np.ndarray, noise: np.ndarray, prior: Prior) -> float:
    """Return the log density of the prior, up to a constant."""
    away = weights - prior.mean
    scatter = prior.scatter + prior.frames * (away @ away.swapaxes(1, 2))
    trace = np.trace(np.linalg.solve(noise, scatter), axis1=1, axis2=2)
    return float(-0.5 * (prior.frames * np.linalg.slogdet(noise)[1] + trace).sum())


def log_densities(
    x: np.ndarray, weights: np.ndarray, noise: np.ndarray, lags: int, freedom: float | None = None
) -> np.ndarray:
    """Return the log density of each frame given those before it, ``(time, state)``.

    It is 0 for the first ``lags`` frames, which are taken as given. With ``freedom`` degrees the
    noise is Student's t, ``noise`` its scale; else Gaussian.

    Examples
    --------
    >>> x, state = np.array([[1.0, 0.0]]), np.array([[[0.5], [0.5]]])
    >>> log_densities(x, state, np.eye(2)[None] * 0.25, 0).round(9)
    array([[-1.45158271]])
    """
    channels, found = weights.shape[1], np.zeros((len(x), len(weights)))
    distance, log_root = _distances(x, weights, noise, lags)
    if freedom is None:
        found[lags:] = log_root - 0.5 * (channels * np.log(2 * np.pi) + distance)
        return found
    half = 0.5 * (freedom + channels)
    constant = gammaln(half) - gammaln(0.5 * freedom) - 0.5 * channels * np.log(np.pi * freedom)
    found[lags:] = constant + log_root - half * np.log1p(distance / freedom)
    return found


def emphasis(
    x: np.ndarray, weights: np.ndarray, noise: np.ndarray, lags: int, freedom: float
) -> np.ndarray:
    """Return how much a frame counts in each state, ``(time, state)``; 1 in the first ``lags``.

    That is the expected precision of its noise, as a t is a mixture of Gaussians: the farther a
    frame is from what the state foretells, the less it counts.
    """
    found = np.ones((len(x), len(weights)))
    distance, _ = _distances(x, weights, noise, lags)
    found[lags:] = (freedom + weights.shape[1]) / (freedom + distance)
    return found


def _distances(
    x: np.ndarray, weights: np.ndarray, noise: np.ndarray, lags: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return squared Mahalanobis distances ``(time - lags, state)``, and -0.5 log determinants."""
    states, channels, _ = weights.shape
    root = np.linalg.inv(np.linalg.cholesky(noise))
    # All states in one product: whitened residuals are linear in the regressors and the frame.
    whiten = np.concatenate([-root @ weights, root], axis=2).reshape(states * channels, -1)
    both = np.concatenate([autoregressors(x, lags), x[lags:]], axis=1)
    residual = (both @ whiten.T).reshape(-1, states, channels)
    log_root = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    return np.einsum("tkd,tkd->tk", residual, residual), log_root
