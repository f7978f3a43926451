"""Units from the units beside them: the linear models that a population model has to beat.

Co-smoothing, intra-region and inter-region prediction (Zhang et al. 2024, arXiv 2407.14668) by
ridge regression on what a window has beyond the training PSTH, so that each bin has its own
intercept. The sum of PSTH and prediction becomes a rate by a calibration, or plainly:

    rate = max(PSTH + shrink * prediction, floor * mean)

Validation windows choose the penalty, how far the PSTH is drawn to the mean, and what makes rates;
weights and PSTH are those of the training windows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from tinbergen.encoding.design import Lagged
from tinbergen.encoding.heldout import Calibration
from tinbergen.encoding.inputs import Rows
from tinbergen.encoding.lag_functions import lag_range
from tinbergen.encoding.peer_path import ALPHAS, PeerPath, positive_penalties
from tinbergen.encoding.peer_rates import (
    PeerWindows,
    RateChoice,
    blank_calibration,
    checked_counts,
    keep_calibration,
)
from tinbergen.errors import ConfigError, DataError
from tinbergen.saving import Saved

Peers = Literal["all", "own_region", "other_regions"]
MIN_REGION = 5  # units; a smaller region is not predicted from within, or as a whole


class PeerRidge(Saved):
    """Predict each unit in each bin from other units around that bin.

    Parameters
    ----------
    peers
        ``"all"`` other units (co-smoothing); those of its ``"own_region"`` (intra-region); or of
        ``"other_regions"`` (inter-region: a whole region from all others).
    alphas
        Penalties > 0 to choose from, for each unit by itself. They add to sums of squares over
        bins.
    lags
        First and last lag, bins; lag l is the peer l bins before.
    calibrate
        Make rates by a log link, two parameters a unit, fitted to the validation windows: it also
        follows rates that drift from training to validation. Else by shrink and floor.

    Attributes
    ----------
    coef_
        ``(lag, peer, unit)``, lags ascend: what a spike more than the PSTH of a peer adds to the
        rate of a unit, shrink included. Exactly 0 for peers that a unit may not see.
    train_psth_, psth_
        ``(time, unit)`` spikes/bin: of the training windows, and drawn to the mean.
    floor_
        ``(unit,)`` spikes/bin, the lowest rate. NaN for units that are not predicted: those
        without a spike in the training windows and, by region, those of regions that have fewer
        than 5 units with spikes.
    alpha_
        ``(unit,)`` the penalties; NaN for units that are not predicted.
    calibration_
        Or None.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> shared = rng.gamma(2.0, 0.5, size=(50, 10, 1))
    >>> counts = rng.poisson(np.repeat(shared, 8, axis=2))  # (window, time, unit)
    >>> PeerRidge().fit(counts[:40]).predict(counts[40:]).shape
    (10, 10, 8)
    """

    _parts: ClassVar[Mapping[str, type[Saved]]] = {"calibration_": Calibration}
    coef_: np.ndarray
    train_psth_: np.ndarray
    psth_: np.ndarray
    floor_: np.ndarray
    alpha_: np.ndarray
    calibration_: Calibration | None

    def __init__(
        self,
        peers: Peers = "all",
        alphas: tuple[float, ...] = ALPHAS,
        lags: tuple[int, int] = (-2, 2),
        calibrate: bool = True,
    ):
        self.peers: Peers = peers
        self.alphas = alphas
        self.lags = lags
        self.calibrate = calibrate

    def fit(
        self,
        counts: ArrayLike,
        regions: ArrayLike | None = None,
        *,
        validate: ArrayLike | None = None,
    ) -> Self:
        """Fit on training windows, choose on the others.

        Parameters
        ----------
        counts
            ``(window, time, unit)``, spikes/bin, all units visible.
        regions
            ``(unit,)`` names; not needed for peers ``"all"``.
        validate
            ``(window,)`` bool: windows to choose on; by default every fifth.

        Raises
        ------
        DataError
            If shapes do not fit, counts are negative or not finite, or no unit can be predicted.
        ConfigError
            If peers, alphas or lags are none.
        """
        alphas, lags = positive_penalties(self.alphas), lag_range(self.lags)
        windows = PeerWindows(counts, validate)
        n = len(windows.mean)
        problems = self._problems(regions, windows.mean > 0)
        if not problems:
            raise DataError(
                f"No unit can be predicted from peers={self.peers!r}: no region has {MIN_REGION} "
                "units that fire in the windows to fit on, or there is no other region."
            )
        self.coef_ = np.zeros((lags[1] - lags[0] + 1, n, n))
        self.train_psth_, self.psth_ = windows.train_psth, windows.psth
        self.floor_, self.alpha_ = np.full(n, np.nan), np.full(n, np.nan)
        self.calibration_ = blank_calibration((n,)) if self.calibrate else None
        for inputs, groups in problems:
            design = Lagged(windows.residuals[:, inputs], windows.segments, lags)
            self._fit(windows, design, alphas, inputs, groups)
        return self

    def predict(self, counts: ArrayLike) -> np.ndarray:
        """Return rates ``(window, time, unit)``, spikes/bin, from the counts of the peers.

        Parameters
        ----------
        counts
            ``(window, time, unit)`` with the bins and units of ``fit``.

        Returns
        -------
        ndarray
            float64; NaN for units that cannot be predicted. What a unit may not see, its own
            counts first of all, has no influence.
        """
        self._check_fitted()
        counts = checked_counts(counts, self.psth_.shape)
        rows = Rows.of(counts - self.train_psth_)
        design = Lagged(rows.x, rows.segments, lag_range(self.lags))
        added = design.dot(np.arange(len(rows.x)), self.coef_.reshape(-1, rows.x.shape[1]))
        linear = self.psth_ + added.reshape(counts.shape)
        if self.calibration_ is not None:
            linear = self.calibration_.transform(linear)
        return np.maximum(linear, self.floor_)

    def _problems(
        self, regions: ArrayLike | None, heard: np.ndarray
    ) -> list[tuple[np.ndarray, list[np.ndarray]]]:
        """Return units to predict from, and with them groups of units (of these) to predict.

        A group chooses shrink and floor together. All are units that were ``heard`` in training.
        """
        if self.peers not in ("all", "own_region", "other_regions"):
            raise ConfigError(
                f"peers: expected 'all', 'own_region' or 'other_regions', found {self.peers!r}."
            )
        units = np.flatnonzero(heard)
        groups = [units] if self.peers == "all" else _by_region(regions, units, len(heard))
        if self.peers == "other_regions":
            groups = [group for group in groups if len(group) < len(units)]
        if self.peers == "own_region":
            return [(group, [group]) for group in groups]
        return [(units, groups)] if groups else []

    def _fit(
        self,
        windows: PeerWindows,
        design: Lagged,
        alphas: list[float],
        inputs: np.ndarray,
        groups: list[np.ndarray],
    ) -> None:
        """Fit and choose the units of ``groups`` on the design of the units ``inputs``."""
        targets = np.concatenate(groups)
        path = PeerPath.fit(design, windows.residuals[:, targets], windows.train_rows)
        blind = groups if self.peers == "other_regions" else targets[:, None]
        excluded = [
            (self._columns(inputs, units), np.flatnonzero(np.isin(targets, units)))
            for units in blind
        ]
        weights = [path.weights(alpha, excluded) for alpha in alphas]
        added = [windows.validation_of(design, one) for one in weights]
        for group in groups:
            here = np.flatnonzero(np.isin(targets, group))
            choice = RateChoice.of(
                [one[..., here] for one in added],
                windows.validation[..., group],
                windows.psth[:, group],
                windows.mean[group],
                calibrate=self.calibrate,
            )
            if self.calibration_ is not None and choice.calibration is not None:
                keep_calibration(choice.calibration, self.calibration_, group)
            self.floor_[group] = choice.floor
            self.alpha_[group] = np.array(alphas)[choice.candidate]
            for i, unit in enumerate(group):
                chosen = weights[choice.candidate[i]][:, here[i]]
                self.coef_[:, inputs, unit] = choice.shrink * chosen.reshape(-1, len(inputs))

    def _columns(self, inputs: np.ndarray, units: np.ndarray) -> np.ndarray:
        """Return the columns of ``units``, all lags, in a design of the units ``inputs``."""
        starts = len(inputs) * np.arange(len(self.coef_))
        return (starts[:, None] + np.searchsorted(inputs, units)).ravel()


def _by_region(regions: ArrayLike | None, units: np.ndarray, n: int) -> list[np.ndarray]:
    """Group ``units`` by region, small regions left out."""
    names = np.asarray([] if regions is None else regions).astype(str)
    if names.shape != (n,):
        raise DataError(f"regions: expected a name for each of {n} units, found {names.shape}.")
    groups = [units[names[units] == name] for name in np.unique(names)]
    return [group for group in groups if len(group) >= MIN_REGION]
