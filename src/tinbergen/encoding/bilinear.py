"""Reduced-rank regression whose weights follow a basis over the trial that all sessions share."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from tinbergen.encoding.bilinear_als import Factors, fit_factors
from tinbergen.encoding.bilinear_trials import (
    BilinearSession,
    Prepared,
    Trials,
    trial_length,
)
from tinbergen.encoding.heldout import FLOOR, Calibration, HeldOutScore
from tinbergen.encoding.inputs import Kind, Rows, Table, is_vector, like_target, need_held_out
from tinbergen.encoding.sessions import kind_of, listed, one_of, session_arrays, tables_of
from tinbergen.errors import ConfigError, DataError
from tinbergen.saving import Saved


class BilinearRRR(Saved):
    r"""The papers' reduced-rank encoder, by alternating least squares.

    ``prediction[k, t, n] = sum_c x[k, t, c] sum_r U[r, c, n] V[r, t] + b[t, n]``: weights vary
    within the trial along a few time courses V, and inputs act at once, without lags. Fitted on
    smoothed, z-scored targets with the penalty ``l2 |U V|^2``; the bias is not penalised. With
    several sessions V is shared, U and the bias are each session's own.

    Parameters
    ----------
    rank
        Number of time courses, or several to choose from on the validation rows.
    l2
        Penalty, or several to choose from.
    smooth
        Standard deviation of the Gaussian that smooths the targets within each trial, bins.
    per_bin
        Z-score the targets of each bin over trials; ``False``: each unit as a whole.
    calibrate
        For counts: map predictions to rates by a power law per unit, fitted on the validation
        rows. Without, rates are only kept above 0.001 spikes/bin, as in the papers.
    sweeps, tolerance
        Stop after so many alternations, or when one lowers the objective by a smaller share.
    target
        ``"auto"``: counts if all targets are whole numbers >= 0.

    Attributes
    ----------
    basis_
        V ``(rank, time)``: orthonormal rows, the strongest first.
    sessions_
        A :class:`BilinearSession` each.
    rank_, l2_
        What was chosen.
    score_
        On the validation rows, mean over units: bits/spike for counts (null: their mean), R2
        otherwise; None if nothing was chosen on them.
    objective_, sweeps_
        Of the last fit.
    n_left_out_
        Rows with NaN.

    References
    ----------
    Posani et al., "Rarely categorical, always high-dimensional", bioRxiv 2024; Zhang et al.,
    "Neural Encoding and Decoding at Scale", ICML 2025. There V and U are found by L-BFGS.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(40, 12, 3))
    >>> y = rng.poisson(np.exp(0.5 * x[..., :1] * np.linspace(0, 1, 12)[:, None]))
    >>> model = BilinearRRR(rank=1, l2=1.0).fit(x, y)
    >>> model.predict(x).shape, model.basis_.shape
    ((40, 12, 1), (1, 12))
    """

    basis_: np.ndarray
    sessions_: list[BilinearSession]
    kind_: Kind
    _parts: ClassVar[Mapping[str, type[Saved]]] = {"sessions_": BilinearSession}

    def __init__(
        self,
        rank: int | Sequence[int] = 3,
        l2: float | Sequence[float] = (10.0, 100.0, 1000.0, 10000.0),
        *,
        smooth: float = 2.0,
        per_bin: bool = True,
        calibrate: bool = True,
        sweeps: int = 20,
        tolerance: float = 1e-4,
        target: Literal["auto", "counts", "continuous"] = "auto",
    ):
        self.rank = rank
        self.l2 = l2
        self.smooth = smooth
        self.per_bin = per_bin
        self.calibrate = calibrate
        self.sweeps = sweeps
        self.tolerance = tolerance
        self.target = target

    def fit(self, X: Any, Y: Any, *, segments: Any = None, validate: Any = None) -> Self:
        """Fit one session, or several at once.

        Parameters
        ----------
        X
            ``(trial, time, feature)``, or ``(time, feature)`` with segments of equal length; a
            list of these for several sessions.
        Y
            Counts (spikes/bin) or continuous targets at the times of X, a list for a list.
        segments, validate
            As in every model; lists for several sessions.

        Raises
        ------
        DataError
            If trials differ in length, arrays do not fit, or no rows are left to choose on.
        """
        tables = tables_of(X, Y, segments, validate)
        trials = [Trials(table) for table in tables]
        lengths = [part.n_bins for part in trials]
        if len(set(lengths)) > 1:
            raise DataError(
                f"Expected trials of the same number of bins in all sessions, found {lengths}: "
                "they share one basis over the trial."
            )
        self.several_ = isinstance(X, list | tuple)
        self.vector_ = [is_vector(y, t.rows) for y, t in zip(listed(Y), tables, strict=True)]
        self.kind_ = kind_of(self.target, tables)
        self.n_left_out_ = sum(table.n_left_out for table in tables)
        candidates = list(itertools.product(*self._candidates(lengths[0])))
        self.rank_, self.l2_ = candidates[0]
        self.score_, start, calibrations = None, None, [None] * len(tables)
        if len(candidates) > 1 or self._calibrates:
            for table in tables:
                need_held_out(table, "rank, l2 and calibration")
            start, calibrations = self._choose(trials, candidates)
        parts = [self._prepare(part, part.known) for part in trials]
        factors = self._factors(parts, self.rank_, self.l2_, start)
        self.basis_, self.objective_ = factors.basis, factors.objective
        self.sweeps_ = factors.sweeps
        self.sessions_ = [
            part.session(loadings, calibration)
            for part, loadings, calibration in zip(
                parts, factors.loadings, calibrations, strict=True
            )
        ]
        return self

    def adapt(
        self, X: ArrayLike, Y: ArrayLike, *, segments: Any = None, validate: Any = None
    ) -> Self:
        """Return a model of a new session: its own loadings on the time courses found before.

        Few trials are enough, as only U is fitted, with the penalty chosen before.

        Raises
        ------
        DataError
            If its trials have another number of bins.
        """
        self._check_fitted()
        table = Table.of(X, Y, segments, validate)
        trials = Trials(table)
        if trials.n_bins != self.basis_.shape[1]:
            raise DataError(
                f"Expected trials of {self.basis_.shape[1]} bins, as the model was fitted on, "
                f"found {trials.n_bins}."
            )
        model = type(self)(**self.parameters)
        vars(model).update(self._fitted)
        model.several_, model.vector_ = False, [is_vector(Y, table.rows)]
        model.kind_, model.n_left_out_ = kind_of(self.target, [table]), table.n_left_out
        model.score_, calibration = None, None
        if model._calibrates:
            need_held_out(table, "the calibration")
            part = self._prepare(trials, trials.train)
            session = part.session(part.data.loadings(self.basis_, self.l2_))
            model.score_, calibration = model._validated(trials, session, self.basis_)
        part = self._prepare(trials, trials.known)
        model.sessions_ = [part.session(part.data.loadings(self.basis_, self.l2_), calibration)]
        return model

    def only(self, session: int) -> Self:
        """Return the model of one of several sessions alone: its own part, and the time courses.

        Raises
        ------
        DataError
            If there is no such session.
        """
        self._check_fitted()
        own = one_of(session, len(self.sessions_))
        model = type(self)(**self.parameters)
        vars(model).update(self._fitted)
        model.several_ = False
        model.sessions_, model.vector_ = self.sessions_[own], self.vector_[own]
        return model

    def predict(self, X: Any, *, segments: Any = None, session: int | None = None) -> Any:
        """Predict rates (spikes/bin) or continuous targets.

        Parameters
        ----------
        X
            As in :meth:`fit`; a list has an array for every session.
        segments
            As in :meth:`fit`.
        session
            Which session an array belongs to, where several were fitted.

        Returns
        -------
        Like Y; NaN where a feature is.
        """
        self._check_fitted()
        arrays = session_arrays(X, segments, session, len(self.sessions_), self.several_)
        predicted = [self._predict(*parts) for parts in arrays]
        return predicted if isinstance(X, list | tuple) else predicted[0]

    def _predict(self, X: Any, segments: Any, index: int) -> np.ndarray:
        own = self.sessions_[index]
        rows = Rows.of(X, segments)
        x = rows.x.reshape(-1, trial_length(rows), rows.x.shape[1])
        if x.shape[1:] != own.feature_mean_.shape:
            raise DataError(
                f"Expected trials of (time, feature) {own.feature_mean_.shape}, found "
                f"{x.shape[1:]}."
            )
        predicted = self._rates(own.linear(x, self.basis_), own.calibration_)
        predicted = predicted.reshape(len(rows.x), -1)
        return like_target(predicted, rows.shape, self.vector_[index])

    @property
    def _calibrates(self) -> bool:
        return self.calibrate and self.kind_ == "counts"

    def _candidates(self, n_bins: int) -> tuple[list[int], list[float]]:
        """Return ranks and penalties to try; strong penalties first, they start the others."""
        ranks = [int(rank) for rank in np.atleast_1d(self.rank)]
        penalties = sorted((float(l2) for l2 in np.atleast_1d(self.l2)), reverse=True)
        if not ranks or not all(1 <= rank <= n_bins for rank in ranks):
            raise ConfigError(
                f"rank: expected 1 to {n_bins}, the bins of a trial, found {self.rank}."
            )
        if not penalties or penalties[-1] <= 0:
            raise ConfigError(f"l2: expected penalties > 0, found {self.l2}.")
        return ranks, penalties

    def _choose(
        self, trials: list[Trials], candidates: list[tuple[int, float]]
    ) -> tuple[np.ndarray, list[Calibration | None]]:
        """Choose rank and l2 on the validation rows; return basis and calibrations there."""
        parts = [self._prepare(part, part.train) for part in trials]
        best, start = -np.inf, None
        kept: tuple[np.ndarray, list[Calibration | None]] = np.empty(0), []
        for rank, l2 in candidates:
            start = start if start is not None and len(start) == rank else None
            factors = self._factors(parts, rank, l2, start)
            start = factors.basis
            tried = [
                self._validated(part, own.session(loadings), start)
                for part, own, loadings in zip(trials, parts, factors.loadings, strict=True)
            ]
            score = float(np.mean([score for score, _ in tried]))
            if score > best:
                best = self.score_ = score
                self.rank_, self.l2_ = rank, l2
                kept = start, [calibration for _, calibration in tried]
        return kept

    def _validated(
        self, trials: Trials, session: BilinearSession, basis: np.ndarray
    ) -> tuple[float, Calibration | None]:
        """Return the score on the validation rows, and the calibration fitted there."""
        units = trials.table.units
        some = trials.held.any(axis=1)
        held = trials.held[some]
        predicted = session.linear(trials.x[some], basis)[held]
        truth = trials.y[some][held]
        calibration = None
        if self._calibrates:
            mean = trials.y[trials.train].mean(axis=0)
            calibration = Calibration().fit(predicted, truth, mean)
        rates = self._rates(predicted, calibration)
        return HeldOutScore(truth[:, units], self.kind_)(rates[:, units]), calibration

    def _rates(self, predicted: np.ndarray, calibration: Calibration | None) -> np.ndarray:
        if calibration is not None:
            return calibration.transform(predicted)
        return np.maximum(predicted, FLOOR) if self.kind_ == "counts" else predicted

    def _prepare(self, trials: Trials, use: np.ndarray) -> Prepared:
        return Prepared(trials, use, self.smooth, self.per_bin)

    def _factors(
        self, parts: list[Prepared], rank: int, l2: float, start: np.ndarray | None
    ) -> Factors:
        limits = {"sweeps": self.sweeps, "tolerance": self.tolerance}
        return fit_factors([part.data for part in parts], rank, l2, start=start, **limits)
