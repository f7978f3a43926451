"""An order of rows that puts alike rows beside each other."""

from __future__ import annotations

import numpy as np

_NEIGHBOURS = 5
_WEAK = 1e-3  # ties all rows, so that groups without a common neighbour have an order too


def spectral_order(rows: np.ndarray) -> np.ndarray:
    """Order rows by the second eigenvector of their neighbour graph.

    The graph joins each row with the five it correlates with most; its Fiedler vector is the
    smoothest way to lay it on a line, of which spectral clustering keeps the signs (von Luxburg
    2007). The end whose rows peak earlier comes first.

    Parameters
    ----------
    rows
        ``(row, time)``; NaN count as the row's mean.

    Returns
    -------
    ndarray
        ``(row,)`` indices; rows that do not vary come last.

    References
    ----------
    von Luxburg, "A tutorial on spectral clustering", Statistics and Computing 2007.
    """
    x = np.asarray(rows, dtype=np.float64)
    n_known = np.maximum(np.isfinite(x).sum(axis=1, keepdims=True), 1)
    mean = np.where(np.isfinite(x), x, 0.0).sum(axis=1, keepdims=True) / n_known
    x = np.where(np.isfinite(x), x - mean, 0.0)
    norm = np.linalg.norm(x, axis=1)
    varied = np.flatnonzero(norm > 1e-9 * max(1e-300, norm.max(initial=0.0)))
    still = np.setdiff1d(np.arange(len(x)), varied)
    if len(varied) < 3:
        return np.concatenate([varied, still])
    z = x[varied] / norm[varied, None]
    alike = z @ z.T
    np.fill_diagonal(alike, -np.inf)
    nearest = np.argsort(-alike, axis=1, kind="stable")[:, : min(_NEIGHBOURS, len(varied) - 1)]
    graph = np.full(alike.shape, _WEAK)
    chosen = np.take_along_axis(alike, nearest, axis=1)
    np.put_along_axis(graph, nearest, np.maximum(chosen, _WEAK), axis=1)
    np.fill_diagonal(graph, 0.0)
    graph = np.maximum(graph, graph.T)
    root = 1 / np.sqrt(graph.sum(axis=1))
    vectors = np.linalg.eigh(root[:, None] * graph * root)[1]
    place = vectors[:, -2] * root
    order = np.argsort(place, kind="stable")
    peaks = x[varied].argmax(axis=1)
    half = len(order) // 2
    if peaks[order[:half]].mean() > peaks[order[half:]].mean():
        order = order[::-1]
    return np.concatenate([varied[order], still])
