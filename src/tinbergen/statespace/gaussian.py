"""Means and covariances of chains of Gaussian latents, from their precisions, many at once.

A Gaussian chain has a density proportional to ``exp(sum_t(h_t' z_t - z_t' J_t z_t / 2) -
sum_t z_t' B_t z_{t-1})``. Posteriors of linear dynamics are of this form, and so are those where
the dynamics themselves are uncertain, for which a Kalman filter has no place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class GaussianChain(NamedTuple):
    """What is known of the latents of one sequence.

    ``mean`` ``(time, latent)``; ``covariance`` ``(time, latent, latent)``; ``lagged``
    ``(time - 1, latent, latent)``: covariance of each frame (rows) with the one before (columns);
    ``entropy``, nats, of the whole chain.
    """

    mean: np.ndarray
    covariance: np.ndarray
    lagged: np.ndarray
    entropy: float


def smooth(
    precision: Sequence[np.ndarray], coupling: Sequence[np.ndarray], vector: Sequence[np.ndarray]
) -> list[GaussianChain]:
    """Smooth all sequences side by side, by block elimination forwards and backwards.

    Parameters
    ----------
    precision
        J of each sequence, ``(time, latent, latent)``.
    coupling
        B of each, ``(time - 1, latent, latent)``: the first is that of frame 1 with frame 0.
    vector
        h of each, ``(time, latent)``.

    Examples
    --------
    >>> J, B = np.array([[[2.0]], [[2.0]]]), np.array([[[-1.0]]])
    >>> found = smooth([J], [B], [np.array([[1.0], [0.0]])])[0]
    >>> found.mean.round(3).tolist(), found.lagged.round(3).tolist()
    ([[0.667], [0.333]], [[[0.333]]])
    """
    lengths = np.array([len(h) for h in vector])
    longest, count, d = int(lengths.max()), len(lengths), vector[0].shape[1]
    # Behind its end a sequence goes on with latents that know nothing of it.
    J = np.empty((longest, count, d, d))
    J[:] = np.eye(d)
    B, h = np.zeros((longest, count, d, d)), np.zeros((longest, count, d, 1))
    for s, n in enumerate(lengths):
        J[:n, s], B[1:n, s], h[:n, s, :, 0] = precision[s], coupling[s], vector[s]
    across = np.ascontiguousarray(B.swapaxes(-1, -2))
    inverse = np.empty_like(J)
    for t in range(longest):
        if t:
            gain = B[t] @ inverse[t - 1]
            J[t] -= gain @ across[t]
            h[t] -= gain @ h[t - 1]
        inverse[t] = np.linalg.inv(J[t])
    log_det = np.linalg.slogdet(J)[1]
    mean, covariance = inverse @ h, inverse.copy()
    back = -inverse[:-1] @ across[1:]
    turned = np.ascontiguousarray(back.swapaxes(-1, -2))
    lagged = np.empty_like(back)
    for t in range(longest - 2, -1, -1):
        mean[t] += back[t] @ mean[t + 1]
        lagged[t] = covariance[t + 1] @ turned[t]
        covariance[t] += back[t] @ lagged[t]
    constant = d * (1 + np.log(2 * np.pi))
    return [
        GaussianChain(
            mean[:n, s, :, 0],
            covariance[:n, s],
            lagged[: n - 1, s],
            float(0.5 * (n * constant - log_det[:n, s].sum())),
        )
        for s, n in enumerate(lengths)
    ]
