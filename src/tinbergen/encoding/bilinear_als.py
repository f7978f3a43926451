"""Alternating least squares for the encoder ``y[k,t,n] = sum_r,c x[k,t,c] U[r,c,n] V[r,t]``.

Given V (orthonormal rows) the loadings U of all units of a session are one ridge solve; given U
each bin of V is an R x R solve, to which all sessions add. Both steps are exact, so the objective
never rises, nothing has to be tuned, and the result is deterministic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

_BINS_AT_ONCE = 10


class CentredTrials:
    """Inputs and targets of one session, their mean over trials taken out in each bin.

    Parameters
    ----------
    x, y
        ``(time, trial, feature)`` and ``(time, trial, unit)``; rows to be left out are zero.

    Notes
    -----
    The mean of each bin stands for a bias per unit and bin that is not penalised.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray):
        self.x, self.y = x, y
        self.cross = x.transpose(0, 2, 1) @ y  # (time, feature, unit)
        self.power = float(np.square(y, dtype=np.float64).sum())

    def loadings(self, basis: np.ndarray, l2: float) -> np.ndarray:
        """Return the best U ``(rank, feature, unit)`` for a V ``(rank, time)``, rows orthonormal.

        The Gram matrix is summed over blocks of bins, so that the products of inputs and V are
        never held.
        """
        rank, n_bins = basis.shape
        n_features, n_units = self.cross.shape[1:]
        basis = basis.astype(self.x.dtype)
        rows, columns = np.triu_indices(rank)
        weights = basis[rows] * basis[columns]
        total = np.zeros((len(rows), n_features**2), self.x.dtype)
        for start in range(0, n_bins, _BINS_AT_ONCE):
            block = slice(start, start + _BINS_AT_ONCE)
            gram = self.x[block].transpose(0, 2, 1) @ self.x[block]
            total += weights[:, block] @ gram.reshape(len(gram), -1)
        gram = np.empty((rank, n_features, rank, n_features))
        for row, column, part in zip(rows, columns, total, strict=True):
            gram[row, :, column] = part.reshape(n_features, n_features)
            gram[column, :, row] = gram[row, :, column].T
        gram = gram.reshape(rank * n_features, rank * n_features)
        gram[np.diag_indices_from(gram)] += l2
        right = (basis @ self.cross.reshape(n_bins, -1)).reshape(rank * n_features, n_units)
        factor = cho_factor(gram, overwrite_a=True, check_finite=False)
        solved = cho_solve(factor, right.astype(np.float64), check_finite=False)
        return solved.reshape(rank, n_features, n_units)

    def normal_equations(self, loadings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return, for each bin of V, the matrix ``(time, rank, rank)`` and right-hand side."""
        rank, n_features, n_units = loadings.shape
        n_bins = len(self.x)
        flat = loadings.astype(self.x.dtype).transpose(1, 0, 2).reshape(n_features, -1)
        matrix, right = np.empty((n_bins, rank, rank)), np.empty((n_bins, rank))
        for t in range(n_bins):
            driven = (self.x[t] @ flat).reshape(-1, rank, n_units)
            driven = driven.transpose(1, 0, 2).reshape(rank, -1)
            matrix[t], right[t] = driven @ driven.T, driven @ self.y[t].ravel()
        return matrix, right


@dataclass(frozen=True)
class Factors:
    """A fitted bilinear model.

    Attributes
    ----------
    basis
        V ``(rank, time)``, rows orthonormal, the strongest first.
    loadings
        U ``(rank, feature, unit)`` of each session.
    objective
        Sum of squares plus ``l2`` times the squared norm of ``U V``, over all sessions.
    sweeps
        How many were taken.
    """

    basis: np.ndarray
    loadings: list[np.ndarray]
    objective: float
    sweeps: int


def fit_factors(
    sessions: Sequence[CentredTrials],
    rank: int,
    l2: float,
    *,
    sweeps: int,
    tolerance: float,
    start: np.ndarray | None = None,
) -> Factors:
    """Alternate from ``start`` until a sweep lowers the objective by less than ``tolerance``.

    Without a start two are tried for a sweep, slow cosines and the main time courses of one ridge
    per bin, and the better one is kept.
    """
    if start is not None:
        best = _sweep(sessions, start, l2)
    else:
        n_bins = len(sessions[0].x)
        starts = (_cosines(rank, n_bins), _main_time_courses(sessions, rank, l2))
        best = min((_sweep(sessions, s, l2) for s in starts), key=lambda found: found[2])
    taken = 1
    while taken < sweeps:
        found = _sweep(sessions, best[0], l2)
        taken += 1
        gain = best[2] - found[2]
        best = found
        if gain <= tolerance * abs(found[2]):
            break
    basis, loadings, objective = best
    basis, loadings = _strongest_first(basis, loadings)
    return Factors(basis, loadings, objective, taken)


def _sweep(
    sessions: Sequence[CentredTrials], basis: np.ndarray, l2: float
) -> tuple[np.ndarray, list[np.ndarray], float]:
    """Solve for all U, then for V; return V with orthonormal rows, U to match, the objective."""
    loadings = [session.loadings(basis, l2) for session in sessions]
    matrix, right, norms = 0.0, 0.0, 0.0
    for session, u in zip(sessions, loadings, strict=True):
        a, b = session.normal_equations(u)
        flat = u.reshape(len(u), -1)
        matrix, right, norms = matrix + a, right + b, norms + flat @ flat.T
    matrix = np.asarray(matrix + l2 * np.asarray(norms))
    right = np.asarray(right)
    solved = (np.linalg.pinv(matrix, hermitian=True) @ right[..., None])[..., 0]  # (time, rank)
    fitted = 2 * (solved * right).sum() - np.einsum("tr,trs,ts->", solved, matrix, solved)
    objective = sum(session.power for session in sessions) - float(fitted)
    q, r = np.linalg.qr(solved)
    return q.T, [np.tensordot(r, u, axes=1) for u in loadings], objective


def _cosines(rank: int, n_bins: int) -> np.ndarray:
    phase = np.pi * (np.arange(n_bins) + 0.5) / n_bins
    return np.linalg.qr(np.cos(np.arange(rank)[:, None] * phase).T)[0].T


def _main_time_courses(sessions: Sequence[CentredTrials], rank: int, l2: float) -> np.ndarray:
    """Return the first ``rank`` time courses of the weights of one strong ridge per bin."""
    between = 0.0
    for session in sessions:
        bins = zip(session.x, session.y, strict=True)
        weights = np.stack([_ridge(x, y, l2).ravel() for x, y in bins])
        between = between + (weights @ weights.T).astype(np.float64)
    return np.linalg.eigh(np.asarray(between))[1][:, ::-1][:, :rank].T


def _ridge(x: np.ndarray, y: np.ndarray, l2: float) -> np.ndarray:
    small = x if x.shape[0] >= x.shape[1] else x.T  # solve on the shorter side
    gram = small.T @ small
    gram[np.diag_indices_from(gram)] += l2 + np.trace(gram) / len(gram)
    return np.linalg.solve(gram, x.T @ y) if small is x else x.T @ np.linalg.solve(gram, y)


def _strongest_first(
    basis: np.ndarray, loadings: list[np.ndarray]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Rotate to components with orthogonal loadings, in descending order, peak upwards."""
    norms = np.sum([u.reshape(len(u), -1) @ u.reshape(len(u), -1).T for u in loadings], axis=0)
    turn = np.linalg.eigh(norms)[1][:, ::-1]
    basis = turn.T @ basis
    peaks = np.take_along_axis(basis, np.abs(basis).argmax(axis=1)[:, None], axis=1)
    sign = np.where(peaks < 0, -1.0, 1.0)
    turn = turn * sign.T
    return sign * basis, [np.tensordot(turn.T, u, axes=1) for u in loadings]
