"""From counts of trials to what the bilinear model is fitted on, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from tinbergen.encoding.bilinear_als import CentredTrials
from tinbergen.encoding.heldout import Calibration
from tinbergen.encoding.inputs import Rows, Table
from tinbergen.errors import DataError
from tinbergen.recordings import smooth
from tinbergen.saving import Saved


class BilinearSession(Saved):
    """What belongs to one session of a :class:`~tinbergen.encoding.BilinearRRR`.

    Attributes
    ----------
    feature_mean_, feature_scale_
        ``(time, feature)`` and ``(feature,)``: how inputs are standardised.
    target_mean_, target_scale_
        ``(time, unit)``: how the smoothed targets are; the mean is the bias of the model.
    loadings_
        U ``(rank, feature, unit)``.
    calibration_
        From predictions to rates, or None.
    """

    feature_mean_: np.ndarray
    feature_scale_: np.ndarray
    target_mean_: np.ndarray
    target_scale_: np.ndarray
    loadings_: np.ndarray
    calibration_: Calibration | None
    _parts: ClassVar[Mapping[str, type[Saved]]] = {"calibration_": Calibration}

    def linear(self, x: np.ndarray, basis: np.ndarray) -> np.ndarray:
        """Return predictions ``(trial, time, unit)``, before any calibration."""
        out = np.empty((*x.shape[:2], self.target_mean_.shape[1]), np.float32)
        for t in range(x.shape[1]):
            weights = np.tensordot(basis[:, t], self.loadings_, axes=1)
            z = (x[:, t] - self.feature_mean_[t]) / self.feature_scale_
            out[:, t] = z @ weights * self.target_scale_[t] + self.target_mean_[t]
        return out


class Trials:
    """A session as ``(trial, time, ...)`` arrays.

    Raises
    ------
    DataError
        If its segments differ in length.
    """

    def __init__(self, table: Table):
        self.table = table
        self.n_bins = trial_length(table.rows)
        self.x = self._shaped(table.rows.x)
        self.y = self._shaped(table.y)
        self.known, self.train, self.held = map(
            self._shaped, (table.known, table.train, table.held)
        )

    def _shaped(self, values: np.ndarray) -> np.ndarray:
        return values.reshape(-1, self.n_bins, *values.shape[1:])


def trial_length(rows: Rows) -> int:
    """Return the number of bins of every segment.

    Raises
    ------
    DataError
        If segments differ in length.
    """
    lengths = np.bincount(rows.segments)
    if not len(lengths) or lengths.min() != lengths.max():
        raise DataError(
            "Expected trials of the same number of bins: arrays (trial, time, feature), or "
            f"segments of equal length; found {len(lengths)} segment(s) of "
            f"{sorted(set(lengths.tolist()))} bins."
        )
    return int(lengths[0])


class Prepared:
    """Standardised inputs and targets of the rows ``use`` ``(trial, time)`` of a session.

    Parameters
    ----------
    trials
        The session.
    use
        Rows to fit on; the others are put to zero.
    sigma
        Of the targets' smoothing within each trial, bins.
    per_bin
        Whether targets are scaled by bin and unit, or by unit.
    """

    def __init__(self, trials: Trials, use: np.ndarray, sigma: float, per_bin: bool):
        numbers = use.sum(axis=0)
        if not numbers.all():
            raise DataError(
                f"Bin {int(np.argmin(numbers))} of the trial has no row to fit on. Leave out "
                "that bin, or features and units with many NaN."
            )
        dtype = np.float32 if trials.x.dtype == np.float32 else np.float64
        x, self.feature_mean = _centred(trials.x, use, dtype)
        self.feature_scale = _scale(_deviation(x, self.feature_mean, use))
        x /= self.feature_scale
        smoothed = smooth(np.where(trials.known[..., None], trials.y, np.nan), sigma)
        y, self.target_mean = _centred(smoothed, use, dtype)
        self.target_mean[:, ~trials.table.units] = np.nan  # nothing is known of these units
        if per_bin:
            spread = np.sqrt(np.square(y, dtype=np.float64).sum(axis=1) / numbers[:, None])
        else:
            spread = np.broadcast_to(_deviation(y, self.target_mean, use), self.target_mean.shape)
        self.target_scale = _scale(spread)
        y /= self.target_scale[:, None].astype(dtype)
        self.data = CentredTrials(x, y)

    def session(
        self, loadings: np.ndarray, calibration: Calibration | None = None
    ) -> BilinearSession:
        """Return the session that loadings and calibration complete."""
        session = BilinearSession()
        session.feature_mean_, session.feature_scale_ = self.feature_mean, self.feature_scale
        session.target_mean_, session.target_scale_ = self.target_mean, self.target_scale
        session.loadings_, session.calibration_ = loadings, calibration
        return session


def _centred(values: np.ndarray, use: np.ndarray, dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """Return ``(time, trial, column)`` minus the mean of each bin, and that mean.

    What is not used is zero.
    """
    out = values.transpose(1, 0, 2).astype(dtype, order="C")
    rows = use.T
    if not np.isfinite(out).all():
        out[~np.isfinite(out)] = 0  # in rows not used, or columns never known
    out[~rows] = 0
    mean = out.sum(axis=1, dtype=np.float64) / rows.sum(axis=1)[:, None]
    out -= mean[:, None].astype(dtype)
    out[~rows] = 0
    return out, mean


def _deviation(centred: np.ndarray, mean: np.ndarray, use: np.ndarray) -> np.ndarray:
    """Return the standard deviation of each column over all rows: within and between bins."""
    numbers = use.sum(axis=0)
    overall = numbers @ mean / numbers.sum()
    within = np.einsum("tkc,tkc->c", centred, centred)
    return np.sqrt((within + numbers @ (mean - overall) ** 2) / numbers.sum())


def _scale(deviation: np.ndarray) -> np.ndarray:
    return np.where(deviation > 1e-6, deviation, 1.0)
