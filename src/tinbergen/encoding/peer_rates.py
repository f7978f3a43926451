"""What models of peers share: windows as residuals of a PSTH, and how residuals become rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import xlogy

from tinbergen.encoding.design import Lagged
from tinbergen.encoding.heldout import Calibration
from tinbergen.encoding.inputs import Rows
from tinbergen.errors import DataError

FLOORS = (0.02, 0.05, 0.1, 0.2, 0.4)  # of a unit's mean rate
SHRINKS = (0.0, 0.25, 0.5, 0.75, 1.0)
CALIBRATION_PARAMETERS = ("mean_", "offset_", "slope_")
_PSTH_WEIGHTS = np.linspace(0, 1, 11)


def log_likelihood(counts: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """Return the Poisson log-likelihood ``(unit,)`` of ``(..., unit)``, without the factorial."""
    return (xlogy(counts, rates) - rates).sum(axis=tuple(range(counts.ndim - 1)))


def shrunk_psth(train: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Return the PSTH ``(time, unit)`` of training windows, drawn to its mean over time.

    Parameters
    ----------
    train, held
        ``(window, time, unit)`` counts, spikes/bin; the second choose how far it is drawn, one
        weight for all units.
    """
    psth, mean = train.mean(axis=0), train.mean(axis=(0, 1))
    candidates = (
        np.maximum(mean + weight * (psth - mean), FLOORS[0] * mean) for weight in _PSTH_WEIGHTS
    )
    return max(candidates, key=lambda rates: log_likelihood(held, rates).sum())


@dataclass(frozen=True, eq=False)
class RateChoice:
    """What held-out windows chose among predictions of what comes on top of the PSTH.

    Without calibration ``rate = max(psth + shrink * prediction, floor)``; with it, shrink is 1,
    floor is 0, and the sum goes through a :class:`~tinbergen.encoding.heldout.Calibration`.

    Attributes
    ----------
    candidate
        ``(unit,)`` int: which of the predictions.
    shrink
        Common to the units.
    floor
        ``(unit,)`` spikes/bin.
    calibration
        Of these units, or None.
    """

    candidate: np.ndarray
    shrink: float
    floor: np.ndarray
    calibration: Calibration | None = None

    @classmethod
    def of(
        cls,
        predictions: Sequence[np.ndarray],
        counts: np.ndarray,
        psth: np.ndarray,
        mean: np.ndarray,
        *,
        calibrate: bool,
        shared: bool = False,
    ) -> RateChoice:
        """Choose by the likelihood of held-out windows.

        Parameters
        ----------
        predictions
            Candidates, ``(window, time, unit)`` each, spikes/bin.
        counts
            Same shape, spikes/bin.
        psth, mean
            ``(time, unit)`` and ``(unit,)`` > 0, spikes/bin.
        calibrate
            Through a log link, two parameters a unit; else with a floor.
        shared
            One candidate for all units, where each has too few held-out bins to choose by itself.
        """
        choose = cls._calibrated if calibrate else cls._floored
        return choose(predictions, counts, psth, mean, shared)

    @classmethod
    def _floored(cls, predictions, counts, psth, mean, shared) -> RateChoice:
        choices = []
        for floor in FLOORS:
            for shrink in SHRINKS:
                rates = (np.maximum(psth + shrink * one, floor * mean) for one in predictions)
                candidate, value = _best([log_likelihood(counts, one) for one in rates], shared)
                choices.append((value, cls(candidate, shrink, floor * mean)))
        return max(choices, key=lambda choice: choice[0])[1]

    @classmethod
    def _calibrated(cls, predictions, counts, psth, mean, shared) -> RateChoice:
        y, last, fitted, scores = counts.reshape(-1, len(mean)), None, [], []
        for one in predictions:
            linear = (psth + one).reshape(y.shape)
            last = Calibration().fit(linear, y, mean, last)
            fitted.append(last)
            scores.append(log_likelihood(y, last.transform(linear)))
        candidate, _ = _best(scores, shared)
        calibration, units = Calibration(), np.arange(len(mean))
        for name in CALIBRATION_PARAMETERS:
            values = np.stack([getattr(one, name) for one in fitted])
            setattr(calibration, name, values[candidate, units])
        return cls(candidate, 1.0, np.zeros(len(mean)), calibration)


def _best(scores: Sequence[np.ndarray], shared: bool) -> tuple[np.ndarray, float]:
    """Return each unit's best candidate, and the sum of their scores ``(unit,)``."""
    table = np.stack(scores)
    if shared:
        best = table.sum(axis=1).argmax()
        return np.full(table.shape[1], best), float(table[best].sum())
    return table.argmax(axis=0), float(table.max(axis=0).sum())


def blank_calibration(shape: tuple[int, ...]) -> Calibration:
    """Return a calibration of units that are not known yet."""
    calibration = Calibration()
    for name in CALIBRATION_PARAMETERS:
        setattr(calibration, name, np.zeros(shape))
    return calibration


def keep_calibration(part: Calibration, within: Calibration, at: Any) -> None:
    """Write the parameters of some units into those of all."""
    for name in CALIBRATION_PARAMETERS:
        getattr(within, name)[at] = getattr(part, name)


class PeerWindows:
    """Training and validation windows of counts, as residuals of the training PSTH.

    Attributes
    ----------
    validation
        ``(window, time, unit)`` counts that choose, spikes/bin.
    mean
        ``(unit,)`` of the training windows, spikes/bin.
    train_psth, psth
        ``(time, unit)`` of the training windows, spikes/bin: as it is, and drawn to the mean.
    residuals
        ``(row, unit)``: counts less ``train_psth``; a row is a bin of any window.
    segments, place
        ``(row,)`` int: window, and bin in it.
    train_rows, validation_rows
        Indices.
    """

    def __init__(self, counts: ArrayLike, validate: ArrayLike | None):
        values = checked_counts(counts)
        rows = Rows.of(values)
        held = rows.held_out(validate)
        self.train_rows, self.validation_rows = np.flatnonzero(~held), np.flatnonzero(held)
        chosen = held.reshape(rows.shape)[:, 0]
        train, self.validation = values[~chosen], values[chosen]
        if not len(train) or not len(self.validation):
            raise DataError(
                f"Expected windows to fit on and windows to choose on, found {len(train)} and "
                f"{len(self.validation)}. Give `validate`, or more windows."
            )
        self.mean, self.train_psth = train.mean(axis=(0, 1)), train.mean(axis=0)
        if not self.mean.any():
            raise DataError("counts: no unit fires in the windows to fit on.")
        self.psth = shrunk_psth(train, self.validation)
        self.residuals = (values - self.train_psth).reshape(rows.x.shape)
        self.segments, self.place = rows.segments, rows.place

    def validation_of(self, design: Lagged, weights: np.ndarray) -> np.ndarray:
        """Return ``(window, time, target)`` predictions of the validation windows."""
        added = design.dot(self.validation_rows, weights)
        return added.reshape(*self.validation.shape[:2], -1)


def checked_counts(counts: ArrayLike, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Return counts ``(window, time, unit)`` as float64.

    Raises
    ------
    DataError
        If they are not of that form (and of the bins and units ``shape``), or none.
    """
    values = np.asarray(counts, dtype=np.float64)
    if values.ndim != 3 or 0 in values.shape[1:] or (shape and values.shape[1:] != shape):
        expected = "(window, time, unit)" if shape is None else f"(window, {shape[0]}, {shape[1]})"
        raise DataError(f"counts: expected shape {expected}, found {values.shape}.")
    if not np.isfinite(values).all() or values.min(initial=0) < 0:
        raise DataError("counts: expected numbers >= 0, found negative ones, NaN or infinity.")
    return values
