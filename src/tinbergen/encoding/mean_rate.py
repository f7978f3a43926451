"""Models without features: what any encoding model has to beat."""

from __future__ import annotations

from typing import Self

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike
from scipy.ndimage import gaussian_filter1d

from tinbergen.encoding.heldout import HeldOutScore
from tinbergen.encoding.inputs import Rows, is_vector, kind_of, like_target, rows_known
from tinbergen.errors import ConfigError, DataError
from tinbergen.metrics.known import known_mean
from tinbergen.saving import Saved

SIGMAS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)
_PRIOR_BINS = 1.0  # of the mean rate, added to each bin, so that no PSTH promises zero spikes


class MeanRate(Saved):
    """Predict the mean of each target over the training rows at all times.

    Attributes
    ----------
    mean_
        ``(unit,)``: spikes/bin, or in units of the target; NaN for units without a known value.
    n_left_out_
        Rows with a NaN target; each unit's mean is over its known rows.
    """

    mean_: np.ndarray
    n_left_out_: int
    vector_: bool

    def __init__(self) -> None:
        pass

    def fit(
        self,
        X: ArrayLike,
        Y: ArrayLike,
        *,
        segments: ArrayLike | None = None,
        validate: ArrayLike | None = None,
    ) -> Self:
        """Take means of ``Y`` ``(..., unit)``; of ``X`` only the times count."""
        rows = Rows.of(X, segments)
        rows.held_out(validate)
        y = rows.target(Y)
        self.vector_ = is_vector(Y, rows)
        self.mean_ = known_mean(y.astype(np.float64, copy=False))
        self.n_left_out_ = int((~rows_known(y, np.isfinite(self.mean_))).sum())
        return self

    def predict(self, X: ArrayLike, *, segments: ArrayLike | None = None) -> np.ndarray:
        """Return the means at each time of ``X``."""
        self._check_fitted()
        rows = Rows.of(X, segments)
        means = np.broadcast_to(self.mean_, (len(rows.x), len(self.mean_))).copy()
        return like_target(means, rows.shape, self.vector_)


class PSTH(Saved):
    """Predict the average over training trials of each bin of a trial, by condition if given.

    The average (peri-stimulus time histogram) is smoothed over the bins of a trial as far as
    held-out trials profit from it, and each bin holds a trace of the mean over all bins, so that
    no rate is zero.

    Parameters
    ----------
    sigmas
        Widths of the Gaussian to choose from, bins; 0 = not smoothed.

    Attributes
    ----------
    rates_
        ``(condition, bin, unit)``. Without conditions there is one.
    conditions_
        ``(condition,)`` labels. Trials of a condition that was not seen get the average over all.
    mean_
        ``(unit,)`` mean over trials and bins; what bins have beyond those of the training.
    sigma_, n_left_out_
        The choice; rows with NaN targets.
    """

    rates_: np.ndarray
    conditions_: np.ndarray
    mean_: np.ndarray
    sigma_: float
    n_left_out_: int
    vector_: bool

    def __init__(self, sigmas: tuple[float, ...] = SIGMAS):
        self.sigmas = sigmas

    def fit(
        self,
        X: ArrayLike,
        Y: ArrayLike,
        *,
        segments: ArrayLike | None = None,
        validate: ArrayLike | None = None,
        conditions: ArrayLike | None = None,
    ) -> Self:
        """Average ``Y`` ``(trial, time, unit)``, or ``(time, unit)`` with a segment a trial.

        Parameters
        ----------
        X
            Only its times count.
        Y
            Targets; NaN are left out.
        segments, validate
            As for :meth:`Ridge.fit <tinbergen.encoding.ridge.Ridge.fit>`.
        conditions
            ``(trial,)`` labels, a PSTH each.

        Raises
        ------
        DataError
            If shapes do not fit, or no target is known.
        ConfigError
            If there is no width to choose from.
        """
        sigmas = sorted({float(sigma) for sigma in self.sigmas})
        if not sigmas or sigmas[0] < 0:
            raise ConfigError(f"sigmas: expected widths >= 0 bins, found {self.sigmas!r}.")
        rows = Rows.of(X, segments)
        y = rows.target(Y).astype(np.float64, copy=False)
        self.vector_ = is_vector(Y, rows)
        self.mean_ = known_mean(y)
        units = np.isfinite(self.mean_)
        known = rows_known(y, units)
        if not known.any() or not units.any():
            raise DataError("Y: expected known targets, found only NaN.")
        self.n_left_out_ = int((~known).sum())
        labels, self.conditions_ = _condition_numbers(conditions, rows)
        held = rows.held_out(validate) & known
        self.sigma_ = sigmas[0]
        if len(sigmas) > 1 and held.any() and (known & ~held).any():
            self._choose(rows, y, labels, known & ~held, held, sigmas)
        self.rates_ = self._averages(rows, y, labels, known, self.sigma_)
        return self

    def predict(
        self,
        X: ArrayLike,
        *,
        segments: ArrayLike | None = None,
        conditions: ArrayLike | None = None,
    ) -> np.ndarray:
        """Return the averages at each time of ``X``; ``conditions`` ``(trial,)`` as in ``fit``.

        Raises
        ------
        DataError
            If conditions were given to ``fit`` and not here, or there are not as many as trials.
        """
        self._check_fitted()
        rows = Rows.of(X, segments)
        if conditions is None and len(self.conditions_):
            raise DataError("This PSTH was fitted by condition: predict needs conditions too.")
        labels = np.full(len(rows.x), -1)
        if conditions is not None and len(self.conditions_):
            wanted = _trial_labels(conditions, rows)
            at = np.clip(np.searchsorted(self.conditions_, wanted), 0, len(self.conditions_) - 1)
            found = np.where(self.conditions_[at] == wanted, at, -1)
            labels = found[rows.segments]
        return like_target(self._look_up(self.rates_, rows, labels), rows.shape, self.vector_)

    def _choose(
        self,
        rows: Rows,
        y: np.ndarray,
        labels: np.ndarray,
        train: np.ndarray,
        held: np.ndarray,
        sigmas: list[float],
    ) -> None:
        units = np.isfinite(self.mean_)
        score = HeldOutScore(y[held][:, units], kind_of(y[:, units]))
        best = -np.inf
        for sigma in sigmas:
            rates = self._averages(rows, y, labels, train, sigma)
            value = score(self._look_up(rates, rows, labels)[held][:, units])
            if value > best:
                best, self.sigma_ = value, sigma

    def _averages(
        self, rows: Rows, y: np.ndarray, labels: np.ndarray, use: np.ndarray, sigma: float
    ) -> np.ndarray:
        """Return ``(condition, bin, unit)``; the last condition is that of all trials."""
        place = rows.place
        shape = (len(self.conditions_) + 1, place.max(initial=0) + 1, y.shape[1])
        finite = np.isfinite(y) & use[:, None]
        # Sums over trials as one sparse product: which rows belong to which bin.
        cells = np.where(labels < 0, shape[0] - 1, labels) * shape[1] + place
        belongs = scipy.sparse.csr_array(
            (np.ones(len(y)), (cells, np.arange(len(y)))), shape=(shape[0] * shape[1], len(y))
        )
        total = (belongs @ np.where(finite, y, 0.0)).reshape(shape)
        count = (belongs @ finite.astype(np.float64)).reshape(shape)
        if len(self.conditions_):
            total[-1], count[-1] = total[:-1].sum(axis=0), count[:-1].sum(axis=0)
        if sigma > 0:
            total = gaussian_filter1d(total, sigma, axis=1, mode="nearest")
            count = gaussian_filter1d(count, sigma, axis=1, mode="nearest")
        return (total + _PRIOR_BINS * self.mean_) / (count + _PRIOR_BINS)

    def _look_up(self, rates: np.ndarray, rows: Rows, labels: np.ndarray) -> np.ndarray:
        place = rows.place
        inside = place < rates.shape[1]
        found = rates[labels, np.minimum(place, rates.shape[1] - 1)]
        return np.where(inside[:, None], found, self.mean_)


def _trial_labels(conditions: ArrayLike, rows: Rows) -> np.ndarray:
    labels = np.asarray(conditions)
    if labels.shape != (rows.n_segments,):
        raise DataError(
            f"conditions: expected one for each of {rows.n_segments} trials, found {labels.shape}."
        )
    return labels


def _condition_numbers(conditions: ArrayLike | None, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's condition by number (-1: all in one), and the labels, sorted."""
    if conditions is None:
        return np.full(len(rows.x), -1), np.empty(0)
    labels, numbers = np.unique(_trial_labels(conditions, rows), return_inverse=True)
    return numbers[rows.segments], labels
