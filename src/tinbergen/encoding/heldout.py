"""What held-out rows decide: the score of a choice, and how linear predictions become rates."""

from __future__ import annotations

import numpy as np

from tinbergen.encoding.inputs import Kind
from tinbergen.saving import Saved

FLOOR = 1e-3  # spikes/bin; a rate of zero would cost infinitely much at the first spike
_PRIOR = 30.0  # spikes: what a unit must have held out to move a calibration by itself
_LOWEST = 0.1  # of a unit's mean rate: what linear predictions below it, or negative ones, become
_NEWTON_STEPS = 25
_TOLERANCE = 1e-4


class HeldOutScore:
    """Score predictions of the same held-out targets many times.

    Mean over units of bits/spike (null: the mean of the held-out rows; floor 1e-3 spikes/bin) for
    counts, of R2 for continuous targets. Units without spikes, or without variance, do not count.

    Parameters
    ----------
    y
        ``(row, unit)`` without NaN.
    kind
        Of the targets.
    """

    def __init__(self, y: np.ndarray, kind: Kind):
        self._kind = kind
        # Rates and counts of one bin need no more digits; their sums over bins do.
        self._y = y.astype(np.float32 if kind == "counts" else np.float64)
        mean = self._y.mean(axis=0, dtype=np.float64)
        if kind == "counts":
            self._scale = self._y.sum(axis=0, dtype=np.float64) * np.log(2)
            safe = np.maximum(mean, FLOOR)
            self._null = len(y) * (safe - mean * np.log(safe))
        else:
            self._null = np.square(self._y - mean).sum(axis=0)
            self._scale = self._null
        self._counted = self._scale > 0

    def __call__(self, predicted: np.ndarray) -> float:
        """Score ``predicted`` ``(row, unit)``: spikes/bin, or in units of the targets."""
        if not self._counted.any():
            return 0.0
        if self._kind == "counts":
            rates = np.maximum(predicted.astype(np.float32, copy=False), FLOOR)
            loss = rates.sum(axis=0, dtype=np.float64)
            np.log(rates, out=rates)
            rates *= self._y
            loss -= rates.sum(axis=0, dtype=np.float64)
        else:
            loss = np.square(predicted - self._y).sum(axis=0)
        gain = (self._null - loss)[self._counted] / self._scale[self._counted]
        return float(gain.mean())


class Calibration(Saved):
    """Rates from linear predictions through a log link, two parameters a unit.

    ``rate = mean * exp(offset + slope * log(max(prediction, mean / 10) / mean))``, fitted by
    Poisson likelihood on held-out rows. A linear model is judged by a Poisson score that punishes
    rates near zero; this gives it what a GLM has from the start.

    A prior of 30 spikes' weight draws to ``offset = 0, slope = 1``, the prediction itself: the
    same rows choose the penalty, and without it short recordings would choose one too small.

    Attributes
    ----------
    mean_, offset_, slope_
        ``(unit,)``; ``mean_`` is the mean rate of the training rows, spikes/bin, or of the
        held-out rows for units that are silent in the former.
    """

    mean_: np.ndarray
    offset_: np.ndarray
    slope_: np.ndarray

    def fit(
        self,
        predicted: np.ndarray,
        counts: np.ndarray,
        mean: np.ndarray,
        start: Calibration | None = None,
    ) -> Calibration:
        """Fit all units at once by Newton steps, from ``start`` if there is one.

        Units that are silent in the training rows (``mean`` 0) keep their predictions: nothing
        was learned of them that could be calibrated, but a fit on all rows may know them.
        """
        silent = mean == 0
        self.mean_ = np.where(silent, counts.sum(axis=0) / max(len(counts), 1), mean)
        x, y = self._log_ratio(predicted), counts.astype(predicted.dtype, copy=False)
        known = np.stack([y.sum(axis=0, dtype=np.float64), np.einsum("ru,ru->u", x, y)])
        zero, one = np.zeros(len(mean)), np.ones(len(mean))
        # A copy of each: Newton's steps go in place.
        offset, slope = (zero, one) if start is None else (start.offset_ + 0, start.slope_ + 0)
        for _ in range(_NEWTON_STEPS):
            rate = self._rates(x, offset, slope)
            weighted = rate * x
            total = rate.sum(axis=0, dtype=np.float64)
            first = weighted.sum(axis=0, dtype=np.float64)
            second = np.einsum("ru,ru->u", weighted, x) + _PRIOR
            g0 = known[0] - total - _PRIOR * offset
            g1 = known[1] - first - _PRIOR * (slope - 1)
            h00 = total + _PRIOR
            determinant = h00 * second - first**2
            steps = np.stack([second * g0 - first * g1, h00 * g1 - first * g0]) / determinant
            steps = np.where(silent, 0.0, np.clip(steps, -1, 1))
            offset += steps[0]
            slope += steps[1]
            if np.abs(steps).max(initial=0) < _TOLERANCE:
                break
        self.offset_, self.slope_ = offset, slope
        return self

    def transform(self, predicted: np.ndarray) -> np.ndarray:
        """Return rates, spikes/bin, of linear predictions ``(row, unit)``; 0 of silent units."""
        return self._rates(self._log_ratio(predicted), self.offset_, self.slope_)

    def _log_ratio(self, predicted: np.ndarray) -> np.ndarray:
        kind = predicted.dtype
        safe = np.where(self.mean_ > 0, self.mean_, 1.0).astype(kind)
        return np.log(np.maximum(predicted / safe, kind.type(_LOWEST)))

    def _rates(self, x: np.ndarray, offset: np.ndarray, slope: np.ndarray) -> np.ndarray:
        power = x * slope.astype(x.dtype)
        power += offset.astype(x.dtype)
        np.clip(power, -10, 4, out=power)
        return np.exp(power, out=power) * self.mean_.astype(x.dtype)
