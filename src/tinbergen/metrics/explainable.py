"""How much of a population could be explained at all: peer prediction.

What the other neurons of a recording tell of a neuron is not its own noise. Facemap (Syeda et al.,
Nature Neuroscience 2024; after Stringer et al., Science 2019) splits the neurons into the squares
of a checkerboard, predicts each half from the other, and measures models by the share of that
variance which they explain. It is a lower bound of what is explainable, and no bound for a model
that knows more than the peers do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tinbergen.errors import DataError
from tinbergen.metrics.regression import r2_parts

_ALPHAS = 10.0 ** np.arange(-6, 3.01, 0.5)  # times the mean variance of a component


def checkerboard(positions: ArrayLike, size: float = 200.0) -> np.ndarray:
    """Give each unit to one of two halves, by the squares of a checkerboard.

    Neighbours, whose signals may be mixed (neuropil, spike sorting), mostly share a half, so that
    a unit is not predicted from its own leak.

    Parameters
    ----------
    positions
        ``(unit, 2)`` um; ``(unit,)`` depths along a probe make stripes.
    size
        Side of a square, um.

    Returns
    -------
    ndarray
        ``(unit,)`` bool.

    Examples
    --------
    >>> checkerboard([[0, 0], [0, 250], [250, 250]])
    array([False,  True, False])
    """
    where = np.asarray(positions, dtype=np.float64)
    where = where[:, None] if where.ndim == 1 else where
    if not np.isfinite(where).all():
        raise DataError(
            f"{int((~np.isfinite(where)).any(axis=1).sum())} of {len(where)} units have no "
            "position: leave them out, or split the units by another rule (halves=)."
        )
    return np.floor(where / size).astype(int).sum(axis=1) % 2 == 1


@dataclass(frozen=True)
class PeerPrediction:
    """What units tell of each other.

    Attributes
    ----------
    explainable
        ``(unit,)`` R2 on the test rows, predicted from the other half; NaN for silent units.
    pooled
        Variance explained over all units together.
    halves
        ``(unit,)`` bool.
    """

    explainable: np.ndarray
    pooled: float
    halves: np.ndarray

    def normalised(self, explained: ArrayLike, least: float = 0.01) -> np.ndarray:
        """Return ``(unit,)`` explained variance over explainable; NaN where that is < ``least``.

        A ratio to almost nothing says nothing; ``least`` is that limit.
        """
        own = np.asarray(explained, dtype=np.float64)
        enough = np.nan_to_num(self.explainable, nan=-np.inf) >= least
        return np.where(enough, own / np.where(enough, self.explainable, 1.0), np.nan)


def peer_prediction(
    activity: ArrayLike,
    train: ArrayLike,
    test: ArrayLike,
    *,
    halves: ArrayLike | None = None,
    positions: ArrayLike | None = None,
    components: int = 128,
    seed: int = 0,
) -> PeerPrediction:
    """Predict each half of the units from the principal components of the other.

    Ridge regression; its penalty is chosen on the last fifth of the training rows.

    Parameters
    ----------
    activity
        ``(time, unit)``, best z-scored or square roots of counts, in bins as wide as those of the
        model that is measured by it. No NaN.
    train, test
        Rows: indices or masks.
    halves
        ``(unit,)`` bool; by default from ``positions`` (um) by :func:`checkerboard`, or, without
        those, at random.
    components
        Of the predicting half.
    seed
        Of the random halves.

    Raises
    ------
    DataError
        For NaN, an empty half, or too few training rows.
    """
    x = np.asarray(activity, dtype=np.float64)
    if x.ndim != 2 or not np.isfinite(x).all():
        raise DataError(
            f"expected activity (time, unit) without NaN, found shape {x.shape} with "
            f"{int((~np.isfinite(x)).sum())} missing values; leave these rows out."
        )
    rows = np.arange(len(x))
    train, test = rows[np.asarray(train)], rows[np.asarray(test)]
    if halves is None and positions is not None:
        halves = checkerboard(positions)
    if halves is None:
        halves = np.random.default_rng(seed).permutation(x.shape[1]) % 2 == 1
    first = np.asarray(halves, dtype=bool)
    if first.shape != (x.shape[1],) or first.all() or not first.any() or len(train) < 10:
        raise DataError(
            f"expected two halves of {x.shape[1]} units and at least 10 training rows, found "
            f"{int(first.sum())} units in one half, {int((~first).sum())} in the other and "
            f"{len(train)} rows."
        )
    predicted = np.empty((len(test), x.shape[1]))
    for half in (first, ~first):
        predicted[:, half] = _predict(x[:, ~half], x[:, half], train, test, components)
    gain, weight = (part.sum(axis=0) for part in r2_parts(x[test], predicted))
    known = weight > 0
    return PeerPrediction(
        explainable=np.where(known, gain / np.where(known, weight, 1.0), np.nan),
        pooled=float(gain.sum() / weight.sum()) if known.any() else float("nan"),
        halves=first,
    )


def _predict(
    peers: np.ndarray, units: np.ndarray, train: np.ndarray, test: np.ndarray, components: int
) -> np.ndarray:
    """Ridge from the leading components of the peers, all penalties from one diagonal Gram."""
    fit = train[: len(train) - len(train) // 5]
    validation = train[len(fit) :]
    scores = []
    basis, mean, scale = _components(peers[fit], components)
    z, target = (peers - mean) @ basis, units - units[fit].mean(axis=0)
    cross = z[fit].T @ target[fit]
    for alpha in _ALPHAS:
        weights = cross / (scale + alpha * scale.mean())[:, None]
        scores.append(((target[validation] - z[validation] @ weights) ** 2).sum())
    alpha = _ALPHAS[int(np.argmin(scores))]
    basis, mean, scale = _components(peers[train], components)
    z, target = (peers - mean) @ basis, units - units[train].mean(axis=0)
    weights = (z[train].T @ target[train]) / (scale + alpha * scale.mean())[:, None]
    return z[test] @ weights + units[train].mean(axis=0)


def _components(x: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Leading principal axes ``(unit, component)``, mean, and sums of squares along them."""
    mean = x.mean(axis=0)
    values, vectors = np.linalg.eigh((x - mean).T @ (x - mean))
    order = np.argsort(values)[::-1][:n]
    order = order[values[order] > 1e-10 * values.max(initial=1e-300)]
    return vectors[:, order], mean, values[order]
