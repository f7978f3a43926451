"""Poisson regression (GLM) of spike counts on lagged features, all units at once."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from tinbergen.encoding.design import Scale
from tinbergen.encoding.heldout import HeldOutScore
from tinbergen.encoding.inputs import Table, is_vector, like_target, need_held_out
from tinbergen.encoding.poisson_fit import PoissonFit
from tinbergen.encoding.ridge import LinearModel, LinearPath, penalties
from tinbergen.errors import DataError

ALPHAS = tuple(float(alpha) for alpha in 10.0 ** np.arange(0, 5.51, 0.5))
_SEARCH_TOLERANCE = 0.05  # the order of penalties shows long before the last digits of a fit


class PoissonGLM(LinearModel):
    """Poisson regression with a log link and a squared penalty on the weights.

    ``counts ~ Poisson(exp(intercept + lagged features @ coef))``. Minimised for each unit is
    ``sum(rate - count * log(rate)) + alpha / 2 * |coef|^2``, a sum over rows; the intercept is not
    penalised, so predicted rates sum to the counts on the rows fitted on.

    Parameters
    ----------
    alphas
        Penalties to choose from, by bits/spike of held-out rows; then all rows are fitted.
    lags, components, basis, groups, scale
        As for :class:`~tinbergen.encoding.ridge.Ridge`.
    tolerance
        Units are fitted until the gradient has shrunk to this share of that of a constant rate.
    max_steps
        Of one fit; a warning tells when they did not suffice.

    Attributes
    ----------
    alpha_, validation_score_
        The choice and its bits/spike; NaN where there was nothing to choose.
    ceiling_
        ``(unit,)`` spikes/bin: the highest rate of the rows fitted on; predictions stay below.
    gradient_norm_
        ``(unit,)`` relative gradient where the fit ended.
    deviance_
        ``(unit,)`` Poisson deviance on the rows fitted on: twice the nats by which the rates are
        less likely than rates that equal the counts.

    Notes
    -----
    A unit without spikes is predicted to have the rate 0.
    """

    alpha_: float
    validation_score_: float
    ceiling_: np.ndarray
    gradient_norm_: np.ndarray
    deviance_: np.ndarray

    def __init__(
        self,
        alphas: tuple[float, ...] = ALPHAS,
        lags: tuple[int, int] = (-5, 5),
        components: int | None = 32,
        basis: int | ArrayLike | None = None,
        tolerance: float = 1e-3,
        max_steps: int = 200,
        groups: Sequence[int] | None = None,
        scale: Scale = "each",
    ):
        self.alphas = alphas
        self.lags = lags
        self.components = components
        self.basis = basis
        self.tolerance = tolerance
        self.max_steps = max_steps
        self.groups = groups
        self.scale = scale

    def fit(
        self,
        X: ArrayLike,
        Y: ArrayLike,
        *,
        segments: ArrayLike | None = None,
        validate: ArrayLike | None = None,
    ) -> Self:
        """Choose the penalty on held-out rows and fit on all.

        Parameters
        ----------
        X, segments, validate
            As for :meth:`Ridge.fit <tinbergen.encoding.ridge.Ridge.fit>`.
        Y
            Counts at the times of X, spikes/bin, >= 0; need not be whole.

        Raises
        ------
        DataError
            If shapes do not fit, no row is known, or a count is negative.
        """
        alphas = penalties(self.alphas)
        table = Table.of(X, Y, segments, validate)
        if (table.values(table.known) < 0).any():
            raise DataError("Y: expected counts >= 0, found a negative one; use Ridge for those.")
        self.alpha_, self.validation_score_ = alphas[0], np.nan
        if len(alphas) > 1:
            need_held_out(table, "the penalty")
            self._choose(table, alphas)
        path, fit, spiking = self._prepare(table, table.known)
        if not fit.run(self.alpha_, self.tolerance, self.max_steps):
            warnings.warn(
                f"PoissonGLM: {int((fit.gradient_norm > self.tolerance).sum())} units did not "
                f"converge in {self.max_steps} steps; raise alphas or max_steps.",
                stacklevel=2,
            )
        self.features_, self.n_left_out_ = path.features, table.n_left_out
        self.vector_ = is_vector(Y, table.rows)
        n = len(spiking)
        weights, intercept = np.zeros((path.design.n_columns, n)), np.full(n, -np.inf)
        weights[:, spiking], intercept[spiking] = fit.column_weights(), fit.log_scale
        self._set_weights(table, weights, intercept)
        self.ceiling_, self.gradient_norm_, self.deviance_ = np.full((3, len(table.units)), np.nan)
        known = np.flatnonzero(table.units)
        self.ceiling_[known] = self.deviance_[known] = 0
        self.ceiling_[known[spiking]] = np.exp(fit.highest)
        self.gradient_norm_[known[spiking]] = fit.gradient_norm
        self.deviance_[known[spiking]] = fit.deviance
        return self

    def predict(self, X: ArrayLike, *, segments: ArrayLike | None = None) -> np.ndarray:
        """Predict rates, spikes/bin, at the times of ``X``.

        Returns
        -------
        ndarray
            Leading shape of ``X``, then units if the target of ``fit`` had them. NaN in rows
            whose own features are not known.
        """
        log_rates, rows = self._linear(X, segments)
        highest = np.log(
            self.ceiling_, out=np.full(len(self.ceiling_), -np.inf), where=~(self.ceiling_ == 0)
        )
        np.minimum(log_rates, highest.astype(log_rates.dtype), out=log_rates)
        return like_target(np.exp(log_rates, out=log_rates), rows.shape, self.vector_)

    def _prepare(
        self, table: Table, rows: np.ndarray
    ) -> tuple[LinearPath, PoissonFit, np.ndarray]:
        path = LinearPath.fit(self._settings, table, rows)
        y = table.values(rows)
        spiking = path.mean > 0
        return path, PoissonFit(path, np.flatnonzero(rows), y[:, spiking]), spiking

    def _choose(self, table: Table, alphas: list[float]) -> None:
        """Go from the strongest penalty to weaker ones until the score falls twice."""
        path, fit, spiking = self._prepare(table, table.train)
        index = np.flatnonzero(table.held)
        score = HeldOutScore(table.values(index), "counts")
        best, falls = -np.inf, 0
        rates = np.zeros((len(index), len(spiking)), dtype=path.design.dtype)
        for alpha in alphas:
            fit.run(alpha, _SEARCH_TOLERANCE, self.max_steps)
            log_rates = path.design.dot(index, fit.column_weights()) + fit.log_scale
            rates[:, spiking] = np.exp(np.minimum(log_rates, fit.highest))
            value = score(rates)
            falls = falls + 1 if value <= best else 0
            if value > best:
                best, self.alpha_, self.validation_score_ = value, alpha, value
            if falls == 2:
                break
