"""Syllables of the pose: states of an autoregressive hidden Markov model, found without labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.cluster.vq import kmeans2
from scipy.linalg import solve_triangular

from tinbergen.errors import DataError
from tinbergen.statespace import forward_backward, viterbi

_COMPONENTS = 8
_ITERATIONS = 30
_RIDGE = 1e-2  # of the regression of a frame on the one before, in frames
_STAY = 0.9  # at the start
_BLOCK = 12  # frames that start in one state


@dataclass(frozen=True)
class Syllables:
    """A fitted model: ``x_t = A_k x_{t-1} + b_k + noise_k`` in principal components of the pose.

    Wiltschko et al., "Mapping sub-second structure in mouse behavior", Neuron 88, 2015, with a
    fixed number of states and expectation-maximisation; the target of the decoder of BehaveNet
    (Batty et al., NeurIPS 2019).

    Attributes
    ----------
    mean, axes
        ``(column,)`` and ``(column, component)``.
    dynamics
        ``(state, component + 1, component)``, the last row b.
    factors
        ``(state, component, component)``: lower Cholesky factor of the covariance of the noise.
    initial, transitions
        ``(state,)`` and ``(state, state)``.
    """

    mean: np.ndarray
    axes: np.ndarray
    dynamics: np.ndarray
    factors: np.ndarray
    initial: np.ndarray
    transitions: np.ndarray

    @classmethod
    def fit(cls, pose: np.ndarray, segment: np.ndarray, states: int, seed: int = 0) -> Syllables:
        """Fit to poses ``(time, column)`` in segments ``(time,)``; see :func:`stretches`."""
        poses = [pose[rows].astype(float) for rows in stretches(pose, segment)]
        if not poses:
            raise DataError(
                "There are no two poses in a row that are whole, to find syllables in."
            )
        pooled = np.concatenate(poses)
        mean = pooled.mean(axis=0)
        _, axes = np.linalg.eigh(np.cov(pooled - mean, rowvar=False).reshape(2 * (len(mean),)))
        axes = axes[:, ::-1][:, : component_count(len(mean))]
        x = [(p - mean) @ axes for p in poses]
        before = np.concatenate([_with_one(s[:-1]) for s in x])
        after = np.concatenate([s[1:] for s in x])
        lengths = [len(s) - 1 for s in x]
        stay = np.full((states, states), (1 - _STAY) / (states - 1))
        np.fill_diagonal(stay, _STAY)
        label = _first_labels(before[:, :-1], after, lengths, states, seed)
        model = cls(mean, axes, *_dynamics(before, after, np.eye(states)[label]),
                    np.full(states, 1 / states), stay)  # fmt: skip
        for _ in range(_ITERATIONS):
            densities = np.split(model._densities(before, after), np.cumsum(lengths)[:-1])
            found = forward_backward(densities, model.initial, model.transitions)
            weights = np.concatenate(found.states)
            first = np.sum([s[0] for s in found.states], axis=0) + 1.0
            moves = found.pairs + 1.0
            model = cls(mean, axes, *_dynamics(before, after, weights), first / first.sum(),
                        moves / moves.sum(axis=1, keepdims=True))  # fmt: skip
        return model

    def predict(self, pose: np.ndarray, segment: np.ndarray) -> np.ndarray:
        """Return the most probable state of each frame, ``(time,)`` int; -1 = in no stretch.

        The first frame of a stretch has the state of the second, as nothing comes before it.
        """
        label = np.full(len(pose), -1)
        for rows in stretches(pose, segment):
            x = (pose[rows].astype(float) - self.mean) @ self.axes
            density = self._densities(_with_one(x[:-1]), x[1:])
            path = viterbi([density], self.initial, self.transitions)[0][0]
            label[rows] = np.append(path[:1], path)
        return label

    def _densities(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Log density of each frame in each state, ``(time, state)``."""
        found = []
        for dynamics, factor in zip(self.dynamics, self.factors, strict=True):
            white = solve_triangular(factor, (after - before @ dynamics).T, lower=True)
            log_volume = np.log(np.diag(factor)).sum() + len(factor) * np.log(2 * np.pi) / 2
            found.append(-0.5 * (white**2).sum(axis=0) - log_volume)
        return np.stack(found, axis=1)


def component_count(columns: int) -> int:
    """Return how many principal components of so many pose columns syllables are found in."""
    return min(columns, _COMPONENTS)


def _dynamics(
    before: np.ndarray, after: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted regressions of each frame on the one before, and factors of what is left."""
    size = before.shape[1]
    prior = np.cov(after, rowvar=False).reshape(2 * (after.shape[1],)) * 1e-2
    dynamics, factors = [], []
    for weight in weights.T:
        square = before.T @ (weight[:, None] * before) + _RIDGE * np.eye(size)
        solution = np.linalg.solve(square, before.T @ (weight[:, None] * after))
        left = after - before @ solution
        scatter = left.T @ (weight[:, None] * left) + prior * (1 + size)
        dynamics.append(solution)
        factors.append(np.linalg.cholesky(scatter / (weight.sum() + 1 + size)))
    return np.stack(dynamics), np.stack(factors)


def _first_labels(
    before: np.ndarray, after: np.ndarray, lengths: list[int], states: int, seed: int
) -> np.ndarray:
    """Cluster short blocks by where they are and how they change there."""
    change = after - before
    moments = (change[:, :, None] * before[:, None, :]).reshape(len(before), -1)
    features = np.concatenate([before, change, moments], axis=1)
    within = np.concatenate([np.arange(n) // _BLOCK for n in lengths])
    sequence = np.repeat(np.arange(len(lengths)), lengths)
    _, block = np.unique(np.stack([sequence, within]), axis=1, return_inverse=True)
    block = block.ravel()
    sums = np.zeros((block.max() + 1, features.shape[1]))
    np.add.at(sums, block, features)
    means = sums / np.bincount(block)[:, None]
    scaled = means / (means.std(axis=0) + 1e-9)
    _, label = kmeans2(scaled, states, minit="++", seed=seed)  # pyright: ignore[reportCallIssue]
    return label[block]


def _with_one(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x, np.ones((len(x), 1))], axis=1)


def stretches(pose: np.ndarray, segment: np.ndarray) -> list[np.ndarray]:
    """Return the rows of stretches of two or more whole poses that follow each other.

    Parameters
    ----------
    pose
        ``(time, column)``; NaN = missing, which ends a stretch.
    segment
        ``(time,)``, another number where a frame does not follow the one before; -1 = unused.
    """
    whole = np.isfinite(pose).all(axis=1) & (segment >= 0)
    edge = np.flatnonzero((np.diff(segment) != 0) | (np.diff(whole.astype(int)) != 0)) + 1
    parts = np.split(np.arange(len(pose)), edge)
    return [rows for rows in parts if len(rows) > 1 and whole[rows[0]]]
