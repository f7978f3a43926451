"""Logistic regression from features to classes: choice, block, stimulus side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import scipy.optimize
from numpy.typing import ArrayLike
from scipy.special import log_softmax

from tinbergen.encoding.design import FeatureMap, Scale
from tinbergen.encoding.inputs import Rows, Table, need_held_out
from tinbergen.encoding.ridge import LagSettings, LinearPath, penalties
from tinbergen.errors import DataError
from tinbergen.saving import Saved

ALPHAS = tuple(float(alpha) for alpha in 10.0 ** np.arange(-1, 5.01, 0.5))
_SEARCH_TOLERANCE = 1e-3


class Logistic(Saved):
    """Multinomial logistic regression with a squared penalty on the weights.

    Minimised is ``sum(-log p(label)) + alpha / 2 * |coef|^2``, which is scikit-learn's
    ``LogisticRegression(C=1 / alpha)`` on standardised features. The intercept is not penalised.
    Two classes have one weight a feature, more have one for each class.

    Parameters
    ----------
    alphas
        Penalties to choose from, by the log-likelihood of held-out rows; then all are fitted.
    lags, components, basis, scale, groups
        As for :class:`~tinbergen.encoding.ridge.Ridge`; by default the features as they are.
    balanced
        Weight rows so that every class counts the same.
    tolerance, max_steps
        The fit ends when no entry of the gradient, scaled by the root of the second derivative,
        exceeds ``tolerance * sqrt(rows)``.

    Attributes
    ----------
    classes_
        ``(class,)`` labels, sorted.
    coef_, intercept_
        ``(lag x column, class)`` and ``(class,)``; for two classes only that of the second.
    alpha_, validation_score_
        The choice, and what it tells of a held-out label beyond the classes' shares, bits; NaN
        where there was nothing to choose.
    n_left_out_
        Rows with NaN in features, or without a label.
    """

    _parts: ClassVar[Mapping[str, type[Saved]]] = {"features_": FeatureMap}
    features_: FeatureMap
    classes_: np.ndarray
    coef_: np.ndarray
    intercept_: np.ndarray
    alpha_: float
    validation_score_: float
    n_left_out_: int

    def __init__(
        self,
        alphas: tuple[float, ...] = ALPHAS,
        lags: tuple[int, int] = (0, 0),
        components: int | None = None,
        basis: int | ArrayLike | None = None,
        balanced: bool = False,
        scale: Scale = "each",
        tolerance: float = 1e-5,
        max_steps: int = 1000,
        groups: Sequence[int] | None = None,
    ):
        self.alphas = alphas
        self.lags = lags
        self.components = components
        self.basis = basis
        self.balanced = balanced
        self.scale: Scale = scale
        self.tolerance = tolerance
        self.max_steps = max_steps
        self.groups = groups

    @property
    def _settings(self) -> LagSettings:
        return LagSettings.of(self.lags, self.components, self.basis, self.scale, self.groups)

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
            ``(time,)`` or ``(trial, time)`` labels: numbers, bools or text. NaN, None and empty
            text are no label.

        Raises
        ------
        DataError
            If shapes do not fit, or there are fewer than two classes.
        """
        alphas = penalties(self.alphas)
        classes, numbers = encode_labels(Y)
        table = Table.of(X, numbers, segments, validate)
        if table.y.shape[1] != 1:
            raise DataError(f"Y: expected one label at each time, found {table.y.shape[1]}.")
        present = np.unique(table.y[table.known]).astype(int)
        if len(present) < 2:
            raise DataError(
                f"Y: expected labels of at least two classes in rows without NaN, found "
                f"{classes[present].tolist()}."
            )
        self.alpha_, self.validation_score_ = alphas[0], np.nan
        if len(alphas) > 1:
            need_held_out(table, "the penalty")
            self._choose(table, alphas)
        path = LinearPath.fit(self._settings, table, table.known)
        problem = self._problem(path, table, table.known)
        axes, intercept = problem.solve(self.alpha_, self.tolerance, self.max_steps)
        self.features_, self.n_left_out_ = path.features, table.n_left_out
        self.classes_ = classes[problem.classes]
        self.coef_ = path.spectrum.vectors @ axes
        self.intercept_ = intercept - path.spectrum.mean @ self.coef_
        return self

    def predict_proba(self, X: ArrayLike, *, segments: ArrayLike | None = None) -> np.ndarray:
        """Return probabilities ``(..., class)`` at the times of ``X``, NaN where unknown."""
        self._check_fitted()
        rows = Rows.of(X, segments)
        design, known = self._settings.design(self.features_, rows)
        scores = design.dot(np.arange(len(rows.x)), self.coef_) + self.intercept_
        probabilities = np.exp(_log_probabilities(scores.astype(np.float64)))
        probabilities[~known] = np.nan
        return probabilities.reshape(*rows.shape, -1)

    def predict(self, X: ArrayLike, *, segments: ArrayLike | None = None) -> np.ndarray:
        """Return the most probable label at each time of ``X``.

        Rows with unknown features get NaN, or empty text; numbers are floats then.
        """
        probabilities = self.predict_proba(X, segments=segments)
        known = ~np.isnan(probabilities[..., 0])
        labels = self.classes_[np.where(known[..., None], probabilities, 0).argmax(axis=-1)]
        if known.all():
            return labels
        labels = np.atleast_1d(labels)
        text = labels.dtype.kind == "U"
        labels = labels if text else labels.astype(np.float64)
        labels[~known] = "" if text else np.nan
        return labels

    def _problem(self, path: LinearPath, table: Table, rows: np.ndarray) -> _Softmax:
        index = np.flatnonzero(rows)
        axes = path.project(index).astype(np.float64)
        return _Softmax.of(axes, table.y[index, 0].astype(int), path, self.balanced)

    def _choose(self, table: Table, alphas: list[float]) -> None:
        path = LinearPath.fit(self._settings, table, table.train)
        problem = self._problem(path, table, table.train)
        held = np.flatnonzero(table.held & np.isin(table.y[:, 0], problem.classes))
        if len(problem.classes) < 2 or not len(held):
            raise DataError(
                "The rows left to fit on, and those held out, need at least two common classes; "
                "give `validate`, or a single penalty."
            )
        axes = path.project(held).astype(np.float64)
        numbers = np.searchsorted(problem.classes, table.y[held, 0])
        weights = problem.class_weights[numbers]
        at = np.arange(len(held))
        shares = problem.class_weights * np.bincount(problem.labels)
        null = -np.log(shares / shares.sum())[numbers] @ weights
        best = -np.inf
        for alpha in alphas:
            w, b = problem.solve(alpha, _SEARCH_TOLERANCE, self.max_steps)
            loss = -_log_probabilities(axes @ w + b)[at, numbers] @ weights
            value = float((null - loss) / weights.sum() / np.log(2))
            if value > best:
                best, self.alpha_, self.validation_score_ = value, alpha, value


@dataclass(eq=False)
class _Softmax:
    """Rows in principal axes, their labels by number, and where the last fit ended."""

    axes: np.ndarray  # (row, axis), centred
    values: np.ndarray  # (axis,)
    labels: np.ndarray  # (row,) into classes
    classes: np.ndarray  # numbers of the classes that occur
    class_weights: np.ndarray
    start: np.ndarray  # (axis + 1, output); the intercepts come last

    @classmethod
    def of(cls, axes: np.ndarray, numbers: np.ndarray, path: LinearPath, balanced: bool):
        classes, labels = np.unique(numbers, return_inverse=True)
        counts, n = np.bincount(labels), len(classes)
        weights = len(labels) / (n * counts) if balanced else np.ones(n)
        start = np.zeros((axes.shape[1] + 1, 1 if n == 2 else n))
        return cls(axes, path.spectrum.values, labels, classes, weights, start)

    def solve(
        self, alpha: float, tolerance: float, max_steps: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return weights ``(axis, output)`` and intercepts ``(output,)`` at ``alpha``."""
        n, outputs = len(self.labels), self.start.shape[1]
        row_weights = self.class_weights[self.labels][:, None]
        target = np.eye(len(self.classes))[self.labels]
        target = target[:, 1:] if outputs == 1 else target
        # About the second derivative at equal probabilities: in its scale the loss is round.
        bend = (1 - 1 / len(self.classes)) / len(self.classes)
        scale = 1 / np.sqrt(np.append(bend * self.values + alpha, bend * n))[:, None]

        def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
            both = flat.reshape(-1, outputs) * scale
            log_p = _log_probabilities(self.axes @ both[:-1] + both[-1])
            picked = log_p[np.arange(n), self.labels]
            value = -picked @ row_weights[:, 0] + alpha / 2 * np.sum(both[:-1] ** 2)
            residual = (np.exp(log_p[:, -outputs:]) - target) * row_weights
            slope = np.vstack([self.axes.T @ residual + alpha * both[:-1], residual.sum(axis=0)])
            return float(value), (slope * scale).ravel()

        found = scipy.optimize.minimize(
            loss,
            (self.start / scale).ravel(),
            jac=True,
            method="L-BFGS-B",
            options={
                "maxiter": max_steps,
                "maxfun": 2 * max_steps,
                "maxcor": 20,
                "ftol": 0.0,
                "gtol": tolerance * np.sqrt(n),
            },
        )
        self.start = found.x.reshape(-1, outputs) * scale
        return self.start[:-1], self.start[-1]


def _log_probabilities(scores: np.ndarray) -> np.ndarray:
    """``(row, class)`` of ``(row, output)``; one output is the log odds of the second class."""
    if scores.shape[1] == 1:
        scores = np.hstack([np.zeros_like(scores), scores])
    return log_softmax(scores, axis=1)


def encode_labels(labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted classes, and each label's number among them (float; NaN = no label).

    Raises
    ------
    DataError
        If labels are neither numbers nor text, or both.
    """
    given: Any = np.asarray(labels)
    if given.dtype.kind == "O":
        missing = np.array([v is None or v != v for v in given.ravel()]).reshape(given.shape)
        kinds = {isinstance(v, str) for v in given[~missing]}
        if len(kinds) > 1:
            raise DataError("Y: expected labels of one kind, found both text and numbers.")
        filled = np.where(missing, "" if True in kinds else np.nan, given)
        given = filled.astype(str if True in kinds else np.float64)
    if given.dtype.kind not in "biufU":
        raise DataError(f"Y: expected labels as numbers or text, found {given.dtype}.")
    known = given != "" if given.dtype.kind == "U" else np.isfinite(given)
    classes = np.unique(given[known])
    numbers = np.full(given.shape, np.nan)
    numbers[known] = np.searchsorted(classes, given[known])
    return classes, numbers
