"""Gaussian chains against dense linear algebra."""

from __future__ import annotations

import numpy as np

from tinbergen.statespace.gaussian import smooth


def chain(rng: np.random.Generator, frames: int, d: int):
    """Return a chain, and the precision matrix of all its latents together."""
    root = rng.normal(size=(frames, d, d))
    J = root @ root.swapaxes(1, 2) + 3 * d * np.eye(d)
    B = rng.normal(size=(frames - 1, d, d))
    dense = np.zeros((frames, d, frames, d))
    for t in range(frames):
        dense[t, :, t] = J[t]
        if t:
            dense[t, :, t - 1] = B[t - 1]
            dense[t - 1, :, t] = B[t - 1].T
    return J, B, rng.normal(size=(frames, d)), dense.reshape(frames * d, -1)


def test_sequences_of_unequal_length_are_smoothed_exactly():
    rng = np.random.default_rng(0)
    chains = [chain(rng, frames, 2) for frames in (5, 1, 3)]
    found = smooth(*([each[i] for each in chains] for i in range(3)))
    for (_, _, h, dense), one in zip(chains, found, strict=True):
        frames = len(h)
        covariance = np.linalg.inv(dense)
        blocks = covariance.reshape(frames, 2, frames, 2)
        np.testing.assert_allclose(one.mean.ravel(), covariance @ h.ravel(), atol=1e-12)
        for t in range(frames):
            np.testing.assert_allclose(one.covariance[t], blocks[t, :, t], atol=1e-12)
        for t in range(1, frames):
            np.testing.assert_allclose(one.lagged[t - 1], blocks[t, :, t - 1], atol=1e-12)
        entropy = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * covariance)[1]
        np.testing.assert_allclose(one.entropy, entropy, atol=1e-12)
