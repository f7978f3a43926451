"""The end of a window from its beginning, linearly: what a forward prediction has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from tinbergen.encoding.design import Lagged
from tinbergen.encoding.heldout import Calibration
from tinbergen.encoding.inputs import Rows
from tinbergen.encoding.peer_path import ALPHAS, PeerPath, positive_penalties
from tinbergen.encoding.peer_rates import (
    PeerWindows,
    RateChoice,
    blank_calibration,
    checked_counts,
    keep_calibration,
)
from tinbergen.errors import ConfigError
from tinbergen.saving import Saved

_RECENT, _EARLIER = 3, 5  # bins of the two sums


class ForwardRidge(Saved):
    """Predict the last bins of a window, all units, from the bins before.

    A regression for each horizon, on the sums of every unit over the last 3 bins seen and over
    the 5 before them, trained at every place of a window that has these 8 (or where the window
    leaves fewer, as many as it leaves).

    Parameters
    ----------
    n_bins
        How many bins at the end are predicted.
    alphas
        Penalties > 0 to choose from, one for each horizon. They add to sums of squares over bins.
    calibrate
        Make rates by a log link, two parameters a unit, fitted to the validation windows: it also
        follows rates that drift from training to validation. Else by shrink and floor.

    Attributes
    ----------
    coef_
        ``(horizon, sum, peer, unit)``; the sum over the last bins comes first. Shrink included.
    train_psth_
        ``(time, unit)`` of the training windows, spikes/bin.
    psth_
        ``(n_bins, unit)`` of the predicted bins, drawn to the mean, spikes/bin.
    floor_
        ``(n_bins, unit)`` spikes/bin, the lowest rates. NaN for units without a spike in the
        training windows, which are not predicted.
    alpha_
        ``(n_bins,)`` the penalties.
    calibration_
        Parameters ``(n_bins, unit)``, or None.

    Examples
    --------
    >>> counts = np.random.default_rng(0).poisson(1.0, size=(50, 10, 8))  # (window, time, unit)
    >>> ForwardRidge(n_bins=3).fit(counts[:40]).predict(counts[40:]).shape
    (10, 3, 8)
    """

    _parts: ClassVar[Mapping[str, type[Saved]]] = {"calibration_": Calibration}
    coef_: np.ndarray
    train_psth_: np.ndarray
    psth_: np.ndarray
    floor_: np.ndarray
    alpha_: np.ndarray
    calibration_: Calibration | None

    def __init__(
        self, n_bins: int = 2, alphas: tuple[float, ...] = ALPHAS, calibrate: bool = True
    ):
        self.n_bins = n_bins
        self.alphas = alphas
        self.calibrate = calibrate

    def fit(self, counts: ArrayLike, *, validate: ArrayLike | None = None) -> Self:
        """Fit on training windows, choose on the others.

        Parameters
        ----------
        counts
            ``(window, time, unit)``, spikes/bin.
        validate
            ``(window,)`` bool: windows to choose on; by default every fifth.

        Raises
        ------
        DataError
            If shapes do not fit, or counts are negative or not finite.
        ConfigError
            If alphas are none, or the window is no longer than ``n_bins``.
        """
        alphas, windows = positive_penalties(self.alphas), PeerWindows(counts, validate)
        n_time, n = windows.psth.shape
        if not 0 < self.n_bins < n_time:
            raise ConfigError(
                f"n_bins: expected 1 to {n_time - 1} of a window's {n_time} bins, found "
                f"{self.n_bins}."
            )
        self.train_psth_, self.psth_ = windows.train_psth, windows.psth[-self.n_bins :]
        self.coef_ = np.zeros((self.n_bins, 2, n, n))
        self.floor_, self.alpha_ = np.full((self.n_bins, n), np.nan), np.zeros(self.n_bins)
        self.calibration_ = blank_calibration((self.n_bins, n)) if self.calibrate else None
        units = np.flatnonzero(windows.mean > 0)
        for horizon in range(self.n_bins):
            self._fit(windows, alphas, horizon, units)
        return self

    def predict(self, counts: ArrayLike) -> np.ndarray:
        """Return rates ``(window, n_bins, unit)`` of the last bins, spikes/bin.

        Parameters
        ----------
        counts
            ``(window, time, unit)`` with the bins and units of ``fit``; what the last ``n_bins``
            hold has no influence.

        Returns
        -------
        ndarray
            float64; NaN for units without a spike in the training windows.
        """
        self._check_fitted()
        seen = np.array(counts, dtype=np.float64)
        if seen.ndim == 3:
            seen[:, -self.n_bins :] = 0.0
        rows = Rows.of(checked_counts(seen, self.train_psth_.shape) - self.train_psth_)
        index = np.arange(len(rows.x)).reshape(rows.shape)[:, -self.n_bins :]
        added = np.stack(
            [
                _sums(rows.x, rows.segments, horizon).dot(
                    index[:, horizon], coef.reshape(-1, len(coef[0]))
                )
                for horizon, coef in enumerate(self.coef_)
            ],
            axis=1,
        )
        linear = self.psth_ + added
        if self.calibration_ is not None:
            linear = self.calibration_.transform(linear)
        return np.maximum(linear, self.floor_)

    def _fit(
        self, windows: PeerWindows, alphas: list[float], horizon: int, units: np.ndarray
    ) -> None:
        n_time = len(windows.psth)
        bin = n_time - self.n_bins + horizon
        design = _sums(windows.residuals[:, units], windows.segments, horizon)
        enough = min(_RECENT + _EARLIER, n_time - self.n_bins) + horizon
        index = windows.train_rows[windows.place[windows.train_rows] >= enough]
        path = PeerPath.fit(design, windows.residuals[:, units], index)
        weights = [path.weights(alpha) for alpha in alphas]
        # One bin a window is too little for two parameters a unit: calibrate on all places.
        scored = slice(enough if self.calibrate else bin, None if self.calibrate else bin + 1)
        choice = RateChoice.of(
            [windows.validation_of(design, one)[:, scored] for one in weights],
            windows.validation[:, scored, units],
            windows.psth[scored, units],
            windows.mean[units],
            calibrate=self.calibrate,
            shared=True,
        )
        if self.calibration_ is not None and choice.calibration is not None:
            keep_calibration(choice.calibration, self.calibration_, (horizon, units))
        best = choice.candidate[0]
        self.alpha_[horizon] = alphas[best]
        self.floor_[horizon, units] = choice.floor
        found = choice.shrink * weights[best].reshape(2, len(units), len(units))
        self.coef_[horizon][np.ix_(np.arange(2), units, units)] = found


def _sums(values: np.ndarray, segments: np.ndarray, horizon: int) -> Lagged:
    """Return the sums over the last bins before, and the earlier ones, ``horizon`` bins ago."""
    basis = np.zeros((_RECENT + _EARLIER, 2))
    basis[:_RECENT, 0] = basis[_RECENT:, 1] = 1.0
    return Lagged(values, segments, (horizon + 1, horizon + len(basis)), basis)
