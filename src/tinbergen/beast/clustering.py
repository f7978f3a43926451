"""PCA and k-means of small pictures in plain numpy: a worker need not load scikit-learn."""

from __future__ import annotations

import numpy as np

_CHUNK = 1024
_POWER_ITERATIONS = 4
_OVERSAMPLING = 16


def principal_components(
    pictures: np.ndarray, n_components: int, generator: np.random.Generator
) -> np.ndarray:
    """Scores of the first principal components.

    Randomised subspace iteration (Halko, Martinsson & Tropp 2011, algorithm 4.4), in pieces, so
    that no float copy of all pictures is ever made.

    Parameters
    ----------
    pictures
        ``(n, pixels)`` uint8.
    n_components
        Number wanted; fewer come back if there are fewer pictures or pixels.

    Returns
    -------
    ``(n, n_components)`` float32.
    """
    n, pixels = pictures.shape
    n_components = min(n_components, n, pixels)
    width = min(n_components + _OVERSAMPLING, n, pixels)
    mean = pictures.mean(0, dtype=np.float64).astype(np.float32)
    pieces = [slice(start, start + _CHUNK) for start in range(0, n, _CHUNK)]

    def project(basis: np.ndarray) -> np.ndarray:
        scores = [pictures[p].astype(np.float32) @ basis for p in pieces]
        return np.concatenate(scores) - mean @ basis

    def back(scores: np.ndarray) -> np.ndarray:
        total = sum(pictures[p].astype(np.float32).T @ scores[p] for p in pieces)
        return total - np.outer(mean, scores.sum(0))

    basis = np.linalg.qr(generator.standard_normal((pixels, width), dtype=np.float32))[0]
    for _ in range(_POWER_ITERATIONS):
        basis = np.linalg.qr(back(np.linalg.qr(project(basis))[0]))[0]
    scores = project(basis)
    _, rotation = np.linalg.eigh(scores.T @ scores)
    return scores @ rotation[:, ::-1][:, :n_components]


def kmeans(
    points: np.ndarray, k: int, generator: np.random.Generator, max_iterations: int = 100
) -> tuple[np.ndarray, np.ndarray]:
    """Lloyd's algorithm from k-means++ seeds (Arthur & Vassilvitskii 2007).

    Parameters
    ----------
    points
        ``(n, dimensions)`` float32, ``n >= k``.

    Returns
    -------
    centres ``(k, dimensions)`` and the cluster of each point ``(n,)``. A cluster that runs empty
    starts again at the point that lies farthest from its centre.
    """
    centres = _seeds(points, k, generator)
    cluster = np.full(len(points), -1)
    for _ in range(max_iterations):
        previous = cluster
        cluster, distance = nearest(points, centres)
        if np.array_equal(cluster, previous):
            break
        count = np.bincount(cluster, minlength=k)
        empty = np.flatnonzero(count == 0)
        if len(empty):
            cluster[np.argsort(-distance, kind="stable")[: len(empty)]] = empty
            count = np.bincount(cluster, minlength=k)
        order = np.argsort(cluster, kind="stable")
        starts = np.r_[0, np.cumsum(count)[:-1]]
        filled = count > 0
        sums = np.add.reduceat(points[order], starts[filled], axis=0)
        centres = centres.copy()
        centres[filled] = sums / count[filled, None]
    return centres, cluster


def nearest(points: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index of, and squared distance to, the nearest of ``others`` (k, d) for each (n, d)."""
    index, distance = np.empty(len(points), np.int64), np.empty(len(points), np.float32)
    square = np.einsum("kd,kd->k", others, others)
    for start in range(0, len(points), _CHUNK):
        part = points[start : start + _CHUNK]
        apart = square - 2 * (part @ others.T)
        index[start : start + _CHUNK] = best = apart.argmin(1)
        distance[start : start + _CHUNK] = apart[np.arange(len(part)), best] + np.einsum(
            "nd,nd->n", part, part
        )
    return index, distance.clip(0)


def _seeds(points: np.ndarray, k: int, generator: np.random.Generator) -> np.ndarray:
    chosen = np.empty(k, np.int64)
    chosen[0] = generator.integers(len(points))
    square = np.einsum("nd,nd->n", points, points)
    distance = np.full(len(points), np.inf, np.float32)
    for i in range(1, k):
        last = points[chosen[i - 1]]
        distance = np.minimum(distance, (square - 2 * (points @ last) + last @ last).clip(0))
        distance[chosen[i - 1]] = 0
        total = np.cumsum(distance, dtype=np.float64)
        if total[-1] <= 0:  # all that are left equal a seed: any of them will do
            rest = np.setdiff1d(np.arange(len(points)), chosen[:i])
            chosen[i:] = rest[: k - i]
            break
        chosen[i] = np.searchsorted(total, generator.random() * total[-1], side="right")
    return points[chosen].copy()
