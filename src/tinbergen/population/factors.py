"""Factor analysis of the training counts: where the linear path of a population model starts.

A few shared factors explain most of what units tell about each other, and the closed steps below
find them in a second. What the network learns is what remains.
"""

from __future__ import annotations

import numpy as np

from tinbergen.population.config import UnitsConfig
from tinbergen.population.sessions import Session
from tinbergen.population.vocabulary import LEAST_MEAN, KnownSession

_STEPS = 40
_LEAST_NOISE = 0.1
_PRIOR_SAMPLES = 200.0


def factor_tables(
    session: Session, known: KnownSession, train: np.ndarray, config: UnitsConfig
) -> dict[str, np.ndarray]:
    """Return the tables of the linear path of one session, by name.

    ``linear_in`` ``(unit, rank)``: loadings over the root of each unit's noise, ``linear_scale``
    ``(unit,)``: the inverse of that root, so that the posterior mean of the factors is ``(I + sum
    a a')^-1 sum a s x``. ``linear_out`` ``(unit, rank)``: loadings in units of relative change of
    the rate, by the slope of the square root at the mean rate.

    Parameters
    ----------
    train
        Windows to learn from.
    """
    x = roots(session.counts[train], known)
    x = average_bins(x, config.linear_bins).reshape(-1, session.n_units)
    loadings, noise = factor_analysis(x, min(config.linear_rank, session.n_units))
    padded = np.zeros((session.n_units, config.linear_rank))
    padded[:, : loadings.shape[1]] = loadings
    mean = np.array(known.rates)
    slope = 2 * np.sqrt((mean + 0.375) * (mean + LEAST_MEAN)) / mean
    return {
        "linear_in": padded / np.sqrt(noise)[:, None],
        "linear_scale": 1 / np.sqrt(noise),
        "linear_out": padded * slope[:, None],
    }


def roots(counts: np.ndarray, known: KnownSession) -> np.ndarray:
    """Return what a model reads of counts ``(window, time, unit)``: centred, scaled roots."""
    spread = np.sqrt(np.array(known.rates) + LEAST_MEAN)
    return (np.sqrt(counts + 0.375) - np.array(known.roots)) / spread


def average_bins(x: np.ndarray, bins: int) -> np.ndarray:
    """Average ``(window, time, unit)`` over the bins around each, fewer at the ends."""
    ones = np.ones((1, x.shape[1], 1))
    return _around(x, bins) / _around(ones, bins)


def _around(x: np.ndarray, bins: int) -> np.ndarray:
    padded = np.pad(x, ((0, 0), (bins // 2, bins // 2), (0, 0)))
    return sum(padded[:, k : k + x.shape[1]] for k in range(bins))  # type: ignore[return-value]


def factor_analysis(x: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Fit ``x = A z + noise`` with z standard normal, by expectation maximisation.

    Loadings have a weak normal prior, as if 200 samples had shown nothing shared (a penalty), and
    no unit has less than a tenth of its variance to itself.

    Parameters
    ----------
    x
        ``(sample, unit)``.
    rank
        Number of factors.

    Returns
    -------
    loadings
        ``(unit, rank)``.
    noise
        ``(unit,)`` variances.

    References
    ----------
    Rubin & Thayer, "EM algorithms for ML factor analysis", Psychometrika 1982.
    """
    x = x - x.mean(axis=0)
    n = len(x)
    covariance = x.T @ x / n
    variance = np.diag(covariance) + 1e-4
    values, vectors = np.linalg.eigh(covariance)
    loadings = vectors[:, -rank:] * np.sqrt(np.maximum(0.5 * values[-rank:], 1e-6))
    noise = np.maximum(variance - (loadings**2).sum(axis=1), _LEAST_NOISE * variance)
    eye = np.eye(rank)
    for _ in range(_STEPS):
        scaled = loadings / noise[:, None]
        posterior = np.linalg.inv(eye + loadings.T @ scaled)
        weights = posterior @ scaled.T
        shared = covariance @ weights.T
        moments = posterior + weights @ shared + _PRIOR_SAMPLES / n * eye
        loadings = np.linalg.solve(moments, shared.T).T
        noise = np.maximum(variance - (loadings * shared).sum(axis=1), _LEAST_NOISE * variance)
    return loadings, noise

