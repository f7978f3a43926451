"""Factors that units share, found in closed steps: what the network starts from.

A few factors that change smoothly in time explain most of what units tell about each other, and
about the next moments. They are fitted to the training windows in a second or two, and stay as
they are; what the network learns is what remains.

The model is Gaussian-process factor analysis (Yu et al., J. Neurophysiol. 2009,
doi:10.1152/jn.90941.2008) of square-root counts, ``x_n(t) = A_n . z(t) + noise_n``, with one
temporal covariance K for all factors of a session, read off the lagged covariances instead of
being optimised. One K for all makes the posterior exact and cheap: in the eigenvectors of K every
mode of time is a factor analysis of its own.
"""

from __future__ import annotations

import numpy as np

from tinbergen.population.config import UnitsConfig
from tinbergen.population.sessions import Session
from tinbergen.population.vocabulary import LEAST_MEAN, KnownSession

_STEPS, _STEPS_IN_TIME = 40, 2
_LEAST_NOISE = 0.1
_PARTS, _FOLDS = (1, 2, 4, 8), 5
_PRIOR_SAMPLES = 200.0
_LEAST_EIGENVALUE = 1e-3
_SHORT = (0.25, 0.5, 0.25)


def factor_tables(
    session: Session,
    known: KnownSession,
    train: np.ndarray,
    validation: np.ndarray,
    config: UnitsConfig,
    rank: int | None = None,
) -> dict[str, np.ndarray]:
    """Return the tables of the linear path of one session, by name.

    ``linear_in`` ``(unit, rank)``: loadings over the root of each unit's noise, ``linear_scale``
    ``(unit,)``: the inverse of that root. ``linear_out`` ``(unit, rank)``: loadings in units of
    relative change of the rate, by the slope of the square root at the mean rate.
    ``linear_kernel`` ``(time, time)``: covariance of a factor.

    Parameters
    ----------
    train, validation
        Windows to learn from, and to choose the number of factors on: the most there may be, a
        half, a quarter or an eighth of it. The most, if there are none.
    rank
        The number of factors, where it is known.
    """
    x = roots(session.counts[train], known)
    most = min(config.linear_rank, session.n_units)
    ranks = [most if rank is None else max(1, rank)]
    if rank is None and len(validation):
        ranks = sorted({max(1, most // part) for part in _PARTS})
    fits = [smooth_factor_analysis(x, rank) for rank in ranks]
    if len(fits) > 1:
        held = roots(session.counts[validation], known)
        fits = [min(fits, key=lambda fit: _left_unexplained(held, *fit))]
    loadings, noise, kernel = fits[0]
    padded = np.zeros((session.n_units, config.linear_rank))
    padded[:, : loadings.shape[1]] = loadings
    return {
        "linear_in": padded / np.sqrt(noise)[:, None],
        "linear_scale": 1 / np.sqrt(noise),
        "linear_out": padded * relative_slope(np.array(known.rates))[:, None],
        "linear_kernel": kernel,
    }


def relative_slope(mean: np.ndarray) -> np.ndarray:
    """Return the relative change of a rate for a change of what is read of its counts."""
    return 2 * np.sqrt((mean + 0.375) * (mean + LEAST_MEAN)) / mean


def roots(counts: np.ndarray, known: KnownSession) -> np.ndarray:
    """Return what a model reads of counts ``(window, time, unit)``: centred, scaled roots."""
    spread = np.sqrt(np.array(known.rates) + LEAST_MEAN)
    return (np.sqrt(counts + 0.375) - np.array(known.roots)) / spread


def smooth_factor_analysis(x: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit factors that are smooth in time to ``(window, time, unit)`` of zero mean.

    Factor analysis of slightly smoothed data gives loadings, and these the temporal covariance;
    a few more steps of expectation maximisation then take time into account.

    Returns
    -------
    loadings
        ``(unit, rank)``.
    noise
        ``(unit,)`` variances in one bin.
    kernel
        ``(time, time)``, with ones on its diagonal but for rounding.
    """
    units = x.shape[2]
    loadings, _ = factor_analysis(_average(x).reshape(-1, units), rank)
    kernel = temporal_kernel(x, loadings)
    variance = (x**2).mean(axis=(0, 1)) + 1e-4
    noise = np.maximum(variance - (loadings**2).sum(axis=1), _LEAST_NOISE * variance)
    scales, modes = np.linalg.eigh(kernel)
    in_modes = np.einsum("wtn,ts->swn", x, modes, optimize=True)
    n, eye = x.shape[0] * x.shape[1], np.eye(rank)
    for _ in range(_STEPS_IN_TIME):
        scaled = loadings / noise[:, None]
        gram = loadings.T @ scaled
        shared, moments = np.zeros((units, rank)), _PRIOR_SAMPLES * eye
        for scale, mode in zip(scales, in_modes, strict=True):
            posterior = np.linalg.inv(eye / scale + gram)
            z = mode @ scaled @ posterior
            shared += mode.T @ z
            # The factors are of unit variance: a mode has that of its eigenvalue.
            moments = moments + z.T @ z + len(mode) * posterior
        loadings = np.linalg.solve(moments, shared.T).T
        left = variance - (loadings * shared).sum(axis=1) / n
        noise = np.maximum(left, _LEAST_NOISE * variance)
    return loadings, noise, kernel


def _left_unexplained(
    x: np.ndarray, loadings: np.ndarray, noise: np.ndarray, kernel: np.ndarray
) -> float:
    """Return the mean squared error of units that are told from others, in parts of them."""
    scales, modes = np.linalg.eigh(kernel)
    in_modes = np.einsum("wtn,ts->swn", x, modes, optimize=True)
    eye, error = np.eye(loadings.shape[1]), 0.0
    for fold in range(_FOLDS):
        hidden = np.arange(len(loadings)) % _FOLDS == fold
        scaled = (loadings / noise[:, None])[~hidden]
        gram = loadings[~hidden].T @ scaled
        for scale, mode in zip(scales, in_modes, strict=True):
            z = mode[:, ~hidden] @ scaled @ np.linalg.inv(eye / scale + gram)
            error += float(((mode[:, hidden] - z @ loadings[hidden].T) ** 2).sum())
    return error / x.size


def temporal_kernel(x: np.ndarray, loadings: np.ndarray) -> np.ndarray:
    """Return the covariance in time of the factors of ``(window, time, unit)``.

    The noise of units is independent between bins, so the lagged covariances are those of the
    factors alone; that of lag 0 is extrapolated from lags 1 and 2, geometrically. The average over
    windows, factors and times is one function of the lag; negative eigenvalues are lifted.
    """
    time = x.shape[1]
    z = x @ np.linalg.pinv(loadings).T
    lagged = np.array([(z[:, : time - lag] * z[:, lag:]).mean() for lag in range(time)])
    if time < 3 or not lagged[1] > 0:
        return np.eye(time)
    first = lagged[1] ** 2 / lagged[2] if lagged[2] > 0 else lagged[1]
    found = lagged / max(first, lagged[1])
    found[0] = 1.0
    kernel = found[np.abs(np.subtract.outer(np.arange(time), np.arange(time)))]
    values, vectors = np.linalg.eigh(kernel)
    return (vectors * np.maximum(values, _LEAST_EIGENVALUE)) @ vectors.T


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
    rest = values[:-rank].mean() if rank < len(values) else 0.0
    loadings = vectors[:, -rank:] * np.sqrt(np.maximum(values[-rank:] - rest, 1e-6))
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


def _average(x: np.ndarray) -> np.ndarray:
    """Average over the bins beside each, fewer at the ends."""
    return _around(x) / _around(np.ones((1, x.shape[1], 1)))


def _around(x: np.ndarray) -> np.ndarray:
    padded = np.pad(x, ((0, 0), (1, 1), (0, 0)))
    return np.sum([w * padded[:, k : k + x.shape[1]] for k, w in enumerate(_SHORT)], axis=0)
