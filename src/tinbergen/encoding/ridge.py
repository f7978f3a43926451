"""Ridge regression on lagged features: every penalty from one eigendecomposition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike

from tinbergen.encoding.design import FeatureMap, Lagged, Scale
from tinbergen.encoding.heldout import Calibration, HeldOutScore
from tinbergen.encoding.inputs import Kind, Rows, Table, is_vector, like_target, need_held_out
from tinbergen.encoding.lag_functions import lag_basis, lag_range
from tinbergen.errors import ConfigError
from tinbergen.saving import Saved

ALPHAS = tuple(float(alpha) for alpha in 10.0 ** np.arange(0, 6.01, 0.5))


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Principal axes of a centred design on some rows; ridge is diagonal in them.

    Attributes
    ----------
    mean
        ``(column,)`` of the design.
    values
        ``(axis,)`` > 0, descending: sums of squares along the axes.
    vectors
        ``(column, axis)``, orthonormal.
    """

    mean: np.ndarray
    values: np.ndarray
    vectors: np.ndarray

    @classmethod
    def of(cls, design: Lagged, index: np.ndarray, sums: np.ndarray) -> Spectrum:
        """Decompose the rows ``index`` of ``design``, whose column sums are ``sums``.

        By the Gram matrix, or where columns outnumber rows by that of the rows (dual form).
        """
        n, mean = len(index), sums / len(index)
        if design.n_columns <= n:
            gram = design.gram(index)
            gram -= n * np.outer(mean, mean)
            values, vectors = scipy.linalg.eigh(gram, overwrite_a=True, check_finite=False)
            return cls(mean, *_positive(values, vectors, design))
        kernel = design.kernel(index)
        kernel -= kernel.mean(axis=0)
        kernel -= kernel.mean(axis=1, keepdims=True)
        values, rows = scipy.linalg.eigh(kernel, overwrite_a=True, check_finite=False)
        values, rows = _positive(values, rows, design)
        rows -= rows.mean(axis=0)
        vectors = design.sums(index, rows)[1] / np.sqrt(values)
        return cls(mean, values, vectors)


def _positive(
    values: np.ndarray, vectors: np.ndarray, design: Lagged
) -> tuple[np.ndarray, np.ndarray]:
    """Keep the axes along which there is more than rounding, largest first."""
    values, vectors = values[::-1], vectors[:, ::-1]
    least = values[:1].max(initial=0) * len(values) * np.finfo(design.dtype).eps
    kept = values > least
    return values[kept], vectors[:, kept]


@dataclass(frozen=True, eq=False)
class LinearPath:
    """Ridge regression on given rows, for any penalty.

    Attributes
    ----------
    features
        Fitted on the same rows.
    design
        Lagged features of all rows of the table.
    spectrum
        Of the lagged features.
    cross
        ``(axis, unit)``: products of the axes with the centred targets.
    mean
        ``(unit,)`` of the targets.
    """

    features: FeatureMap
    design: Lagged
    spectrum: Spectrum
    cross: np.ndarray
    mean: np.ndarray

    @classmethod
    def fit(cls, settings: LagSettings, table: Table, rows: np.ndarray) -> LinearPath:
        """Fit on the ``rows`` (bool) of ``table``."""
        index = np.flatnonzero(rows)
        features = FeatureMap(settings.components, settings.scale, settings.groups).fit(
            table.rows.x, rows
        )
        design = settings.design(features, table.rows)[0]
        y = table.values(index)
        mean = y.mean(axis=0, dtype=np.float64)
        sums, products = design.sums(index, y - mean.astype(design.dtype))
        spectrum = Spectrum.of(design, index, sums)
        return cls(features, design, spectrum, spectrum.vectors.T @ products, mean)

    def axes(self, alpha: float) -> np.ndarray:
        """Return weights ``(axis, unit)`` of the axes."""
        return self.cross / (self.spectrum.values + alpha)[:, None]

    def project(self, index: np.ndarray) -> np.ndarray:
        """Return the axes ``(row, axis)`` at the rows ``index``."""
        projected = self.design.dot(index, self.spectrum.vectors)
        projected -= (self.spectrum.mean @ self.spectrum.vectors).astype(projected.dtype)
        return projected


@dataclass(frozen=True, eq=False)
class LagSettings:
    """How a model lags and reduces features; checked."""

    lags: tuple[int, int]
    components: int | None
    basis: np.ndarray | None
    scale: Scale
    groups: Sequence[int] | None

    @classmethod
    def of(
        cls,
        lags: tuple[int, int],
        components: int | None,
        basis: int | ArrayLike | None,
        scale: Scale = "each",
        groups: Sequence[int] | None = None,
    ) -> LagSettings:
        """Check what a model's constructor was given."""
        lags = lag_range(lags)
        return cls(lags, components, lag_basis(basis, lags), scale, groups)

    def design(self, features: FeatureMap, rows: Rows) -> tuple[Lagged, np.ndarray]:
        """Return the lagged features of ``rows``, and ``(row,)`` bool: which are known."""
        values, known = features.transform(rows.x)
        return Lagged(values, rows.segments, self.lags, self.basis), known

    def split(self, weights: np.ndarray) -> np.ndarray:
        """Turn ``(column, unit)`` into ``(lag, component, unit)``, a basis spelt out."""
        n = self.lags[1] - self.lags[0] + 1 if self.basis is None else self.basis.shape[1]
        split = weights.reshape(n, -1, weights.shape[-1])
        return split if self.basis is None else np.einsum("lk,kcu->lcu", self.basis, split)


class LinearModel(Saved):
    """What models share whose predictions are a linear function of lagged features.

    Attributes
    ----------
    features_
        The fitted :class:`~tinbergen.encoding.design.FeatureMap`.
    coef_
        ``(lag x column, unit)``; see :meth:`kernels` for weights of the raw features.
    intercept_
        ``(unit,)``; NaN for units without a known value.
    n_left_out_
        Rows with NaN that were not fitted on.
    """

    _parts: ClassVar[Mapping[str, type[Saved]]] = {
        "features_": FeatureMap,
        "calibration_": Calibration,
    }
    lags: tuple[int, int]
    components: int | None
    basis: int | ArrayLike | None
    scale: Scale = "each"
    groups: Sequence[int] | None
    features_: FeatureMap
    coef_: np.ndarray
    intercept_: np.ndarray
    n_left_out_: int
    vector_: bool

    @property
    def _settings(self) -> LagSettings:
        return LagSettings.of(self.lags, self.components, self.basis, self.scale, self.groups)

    def _set_weights(self, table: Table, weights: np.ndarray, intercept: np.ndarray) -> None:
        """Keep the weights of the known units; the others predict NaN."""
        self.coef_ = np.zeros((len(weights), len(table.units)))
        self.coef_[:, table.units] = weights
        self.intercept_ = np.full(len(table.units), np.nan)
        self.intercept_[table.units] = intercept

    def _linear(self, X: ArrayLike, segments: ArrayLike | None) -> tuple[np.ndarray, Rows]:
        """Return ``(row, unit)`` linear predictions; NaN in rows whose features are not known."""
        self._check_fitted()
        rows = Rows.of(X, segments)
        design, known = self._settings.design(self.features_, rows)
        linear = design.dot(np.arange(len(rows.x)), self.coef_)
        linear += self.intercept_.astype(linear.dtype)
        linear[~known] = np.nan
        return linear, rows

    def kernels(self) -> np.ndarray:
        """Return weights ``(lag, feature, unit)`` of the raw features; lags ascend.

        A prediction is the intercept plus the sum over lags l of the weights times the features
        (less their mean) l bins before.
        """
        self._check_fitted()
        return self.features_.back(self._settings.split(self.coef_))


class Ridge(LinearModel):
    """Ridge regression on standardised, reduced and lagged features, all targets at once.

    The penalty is chosen on held-out rows, then the weights are refitted on all rows. For counts
    the choice is by bits/spike, and a :class:`~tinbergen.encoding.heldout.Calibration` makes
    rates of the linear predictions; for continuous targets it is by R2.

    Parameters
    ----------
    alphas
        Penalties to choose from. They add to sums of squares over rows.
    lags
        First and last lag, bins: lag l is the feature l bins before the target.
    components
        Principal components of the features; None keeps the features.
    basis
        Number of raised cosines that stand for the lags, or an array ``(lag, function)``.
    calibrate
        Make rates of predictions of counts; else they stay linear and may be negative.
    target
        ``"auto"``: counts if all targets are whole numbers >= 0.
    scale, groups
        Of the features, see :class:`~tinbergen.encoding.design.FeatureMap`.

    Attributes
    ----------
    alpha_, validation_score_
        The choice and its score; NaN where there was nothing to choose. The calibration is fitted
        to the rows that score it, so the score flatters by two parameters a unit.
    calibration_
        Or None.

    Examples
    --------
    >>> model = Ridge(alphas=(1.0,), lags=(0, 0), components=None).fit(
    ...     [[1.0], [2.0], [3.0]], [2.5, 4.0, 7.0]
    ... )
    >>> model.predict([[2.0]]).round(2)
    array([4.5])
    """

    target: Literal["auto", "counts", "continuous"]
    alpha_: float
    validation_score_: float
    calibration_: Calibration | None

    def __init__(
        self,
        alphas: tuple[float, ...] = ALPHAS,
        lags: tuple[int, int] = (-5, 5),
        components: int | None = 32,
        basis: int | ArrayLike | None = None,
        calibrate: bool = True,
        target: Literal["auto", "counts", "continuous"] = "auto",
        scale: Scale = "each",
        groups: Sequence[int] | None = None,
    ):
        self.alphas = alphas
        self.lags = lags
        self.components = components
        self.basis = basis
        self.calibrate = calibrate
        self.target = target
        self.scale = scale
        self.groups = groups

    def fit(
        self,
        X: ArrayLike,
        Y: ArrayLike,
        *,
        segments: ArrayLike | None = None,
        validate: ArrayLike | None = None,
    ) -> Self:
        """Choose on held-out rows and fit on all.

        Parameters
        ----------
        X
            ``(time, feature)`` or ``(trial, time, feature)``.
        Y
            Same times, ``(..., unit)``: counts, spikes/bin, or continuous values. A row with NaN
            is left out, and counted in ``n_left_out_``.
        segments
            ``(time,)``: bins of different segments are not neighbours; each trial is a segment.
        validate
            ``(time,)`` or ``(trial,)`` bool: the rows to choose on; by default every fifth
            segment, or the last fifth of each where there are fewer than five.

        Raises
        ------
        DataError
            If shapes do not fit, or no row is known.
        """
        alphas = penalties(self.alphas)
        table = Table.of(X, Y, segments, validate)
        kind = table.kind if self.target == "auto" else self.target
        self._choose(table, kind, alphas)
        path = LinearPath.fit(self._settings, table, table.known)
        weights = path.spectrum.vectors @ self._axes(path)
        self.features_, self.n_left_out_ = path.features, table.n_left_out
        self.vector_ = is_vector(Y, table.rows)
        self._set_weights(table, weights, path.mean - path.spectrum.mean @ weights)
        return self

    def predict(self, X: ArrayLike, *, segments: ArrayLike | None = None) -> np.ndarray:
        """Predict targets at the times of ``X``: rates (spikes/bin) of counts, else values.

        Returns
        -------
        ndarray
            Leading shape of ``X``, then units if the target of ``fit`` had them. NaN in rows
            whose own features are not known.
        """
        predicted, rows = self._linear(X, segments)
        if self.calibration_ is not None:
            units = np.isfinite(self.intercept_)
            predicted[:, units] = self.calibration_.transform(predicted[:, units])
        return like_target(predicted, rows.shape, self.vector_)

    def _axes(self, path: LinearPath) -> np.ndarray:
        return path.axes(self.alpha_)

    def _candidates(
        self, path: LinearPath, alphas: list[float]
    ) -> Iterator[tuple[dict[str, float], Callable[[np.ndarray], np.ndarray]]]:
        """Yield what to set, and how to predict with it from the axes."""
        for alpha in alphas:
            weights = path.axes(alpha)
            yield {"alpha_": alpha}, lambda axes, w=weights: axes @ w.astype(axes.dtype)

    def _n_candidates(self, alphas: list[float]) -> int:
        return len(alphas)

    def _choose(self, table: Table, kind: Kind, alphas: list[float]) -> None:
        calibrate = self.calibrate and kind == "counts"
        self.alpha_, self.validation_score_, self.calibration_ = alphas[0], np.nan, None
        if self._n_candidates(alphas) == 1 and not calibrate:
            return
        need_held_out(table, "the penalty")
        path = LinearPath.fit(self._settings, table, table.train)
        index = np.flatnonzero(table.held)
        axes = path.project(index)
        axes = axes if kind == "counts" else axes.astype(np.float64)
        y = table.values(index)
        score, best, last = HeldOutScore(y, kind), -np.inf, None
        for found, predict in self._candidates(path, alphas):
            predicted = predict(axes) + path.mean.astype(axes.dtype)
            if calibrate:
                last = Calibration().fit(predicted, y, path.mean, last)
                predicted = last.transform(predicted)
            value = score(predicted)
            if value > best:
                best, self.validation_score_, self.calibration_ = value, value, last
                for name, chosen in found.items():
                    setattr(self, name, chosen)


def penalties(alphas: ArrayLike) -> list[float]:
    """Return the penalties from the strongest to the weakest.

    Raises
    ------
    ConfigError
        If there is none, or a negative or infinite one.
    """
    values = np.unique(np.asarray(alphas, dtype=np.float64).ravel())[::-1]
    if not len(values) or not np.isfinite(values).all() or values[-1] < 0:
        raise ConfigError(f"alphas: expected finite penalties >= 0, found {alphas!r}.")
    return values.tolist()
