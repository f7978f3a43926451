"""Bringing the latent spaces of sessions onto each other: canonical correlation and Procrustes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from tinbergen.encoding.inputs import numeric
from tinbergen.errors import ConfigError, DataError
from tinbergen.saving import Saved


class CCA(Saved):
    r"""Canonical correlation analysis in closed form.

    Finds directions of two sets of variables, measured together, that correlate most; each
    direction gives scores of unit variance, uncorrelated with those of the others.

    Parameters
    ----------
    components
        Number of directions; None = as many as the smaller set has dimensions.
    l2
        Added to the variances before whitening, as a share of their mean: keeps directions that
        hardly vary from correlating by chance.

    Attributes
    ----------
    correlations_
        ``(component,)``, descending; of the regularised problem.
    x_mean_, y_mean_
        ``(column,)``.
    x_weights_, y_weights_
        ``(column, component)``.
    y_loadings_
        ``(component, column)``: covariance of the scores of Y with Y.

    References
    ----------
    Hotelling, Biometrika 28, 1936; Gallego et al., "Long-term stability of cortical population
    dynamics", Nature Neuroscience 23, 2020, for latents of different days.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> latent = rng.normal(size=(500, 2))
    >>> x, y = (latent @ rng.normal(size=(2, n)) + 0.1 * rng.normal(size=(500, n)) for n in (5, 4))
    >>> (CCA().fit(x, y).correlations_ > 0.9).tolist()
    [True, True, False, False]
    """

    correlations_: np.ndarray
    x_mean_: np.ndarray
    y_mean_: np.ndarray
    x_weights_: np.ndarray
    y_weights_: np.ndarray
    y_loadings_: np.ndarray

    def __init__(self, components: int | None = None, l2: float = 0.0):
        self.components = components
        self.l2 = l2

    def fit(self, X: ArrayLike, Y: ArrayLike) -> Self:
        """Fit to rows of two sets: ``(..., column)`` each, the same times or conditions in both.

        Rows with NaN are left out.

        Raises
        ------
        DataError
            If the rows do not match, or fewer than two are known.
        """
        if self.l2 < 0 or (self.components is not None and self.components < 1):
            raise ConfigError(
                f"Expected components >= 1 and l2 >= 0, found {self.components} and {self.l2}."
            )
        x, y = _matched([X, Y])
        self.x_mean_, self.y_mean_ = x.mean(axis=0), y.mean(axis=0)
        x, y = x - self.x_mean_, y - self.y_mean_
        whiten_x, whiten_y = _whitening(x, self.l2), _whitening(y, self.l2)
        u, s, vt = np.linalg.svd(whiten_x.T @ (x.T @ y / len(x)) @ whiten_y, full_matrices=False)
        count = min(self.components or len(s), len(s))
        sign = _signs(u[:, :count])
        self.correlations_ = s[:count]
        self.x_weights_ = whiten_x @ u[:, :count] * sign
        self.y_weights_ = whiten_y @ vt[:count].T * sign
        self.y_loadings_ = self.y_weights_.T @ (y.T @ y / len(y))
        return self

    def transform(self, X: ArrayLike | None = None, Y: ArrayLike | None = None) -> Any:
        """Return the scores ``(..., component)`` of X, of Y, or of both."""
        self._check_fitted()
        scores = [
            (numeric(values, name) - mean) @ weights
            for values, name, mean, weights in (
                (X, "X", self.x_mean_, self.x_weights_),
                (Y, "Y", self.y_mean_, self.y_weights_),
            )
            if values is not None
        ]
        return scores[0] if len(scores) == 1 else tuple(scores)

    def to_y(self, X: ArrayLike) -> np.ndarray:
        """Predict Y ``(..., column)`` from X through the scores, as far as they correlate."""
        return (self.transform(X) * self.correlations_) @ self.y_loadings_ + self.y_mean_


class Procrustes(Saved):
    """Latent spaces of several sessions, turned onto a common one by matched conditions.

    Each session gives the same conditions (such as condition averages over time) in a space of its
    own. Generalised Procrustes analysis finds a rotation for each, and the mean shape; sessions of
    fewer dimensions are filled up with zeros.

    Parameters
    ----------
    scale
        Whether sessions may also be scaled.
    iterations, tolerance
        Rotations and mean are alternated until the squared distance to the mean falls by a
        smaller share.

    Attributes
    ----------
    mean_
        ``(row, dimension)``: the mean shape, in the axes of the first session.
    offsets_
        ``(session, dimension)``: mean of each session.
    rotations_
        ``(session, dimension, dimension)``: orthogonal, from a session's axes to the common ones.
    scales_
        ``(session,)``.
    disparity_
        Squared distance to the mean shape, as a share of its squared size; over all sessions.

    References
    ----------
    Gower, "Generalized Procrustes analysis", Psychometrika 40, 1975.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> shape, turn = rng.normal(size=(30, 3)), np.linalg.qr(rng.normal(size=(3, 3)))[0]
    >>> both = Procrustes().fit([shape, shape @ turn + 1])
    >>> bool(np.allclose(both.transform(shape @ turn + 1, 1), both.transform(shape, 0)))
    True
    """

    mean_: np.ndarray
    offsets_: np.ndarray
    rotations_: np.ndarray
    scales_: np.ndarray
    disparity_: float

    def __init__(self, scale: bool = False, iterations: int = 100, tolerance: float = 1e-9):
        self.scale = scale
        self.iterations = iterations
        self.tolerance = tolerance

    def fit(self, sessions: Sequence[ArrayLike]) -> Self:
        """Fit to matched rows ``(..., dimension)`` of each session; rows with NaN are left out.

        Raises
        ------
        DataError
            If rows do not match, or there are fewer than two sessions.
        """
        if len(sessions) < 2:
            raise DataError(f"Expected two sessions or more, found {len(sessions)}.")
        matched = _matched(sessions)
        width = max(x.shape[1] for x in matched)
        padded = [_padded(x, width) for x in matched]
        self.offsets_ = np.stack([x.mean(axis=0) for x in padded])
        centred = [x - offset for x, offset in zip(padded, self.offsets_, strict=True)]
        if not all(np.any(x) for x in centred):
            raise DataError("Expected rows that differ in every session, found a constant one.")
        mean, before = centred[0], np.inf
        for _ in range(max(self.iterations, 1)):
            found = [self._onto(x, mean) for x in centred]
            turned = np.stack([k * x @ r for x, (r, k) in zip(centred, found, strict=True)])
            mean = turned.mean(axis=0)
            if self.scale:  # else all would shrink to nothing
                mean *= np.linalg.norm(centred[0]) / np.linalg.norm(mean)
            distance = float(((turned - mean) ** 2).sum())
            if before - distance <= self.tolerance * (mean**2).sum():
                break
            before = distance
        self.rotations_ = np.stack([rotation for rotation, _ in found])
        self.scales_ = np.array([scale for _, scale in found])
        self.mean_ = mean
        self.disparity_ = distance / (len(turned) * float((mean**2).sum()))
        return self

    def transform(self, X: ArrayLike, session: int) -> np.ndarray:
        """Return ``X`` ``(..., dimension)`` of a session in the common axes."""
        self._check_fitted()
        x = _padded(numeric(X, "X"), self.offsets_.shape[1]) - self.offsets_[session]
        return self.scales_[session] * x @ self.rotations_[session]

    def between(self, X: ArrayLike, source: int, target: int) -> np.ndarray:
        """Return ``X`` of session ``source`` in the axes of session ``target``."""
        common = self.transform(X, source)
        turned = common @ self.rotations_[target].T / self.scales_[target]
        return turned + self.offsets_[target]

    def _onto(self, x: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the rotation (or reflection) and scale that bring ``x`` closest to ``target``."""
        u, s, vt = np.linalg.svd(x.T @ target)
        return u @ vt, float(s.sum() / (x**2).sum()) if self.scale else 1.0


def _matched(sets: Sequence[ArrayLike]) -> list[np.ndarray]:
    """Return ``(row, column)`` of each set, rows that are known in all."""
    arrays = [numeric(values, f"set {i}") for i, values in enumerate(sets)]
    shapes = [array.shape[:-1] for array in arrays]
    if not all(array.ndim >= 2 for array in arrays) or len(set(shapes)) > 1:
        raise DataError(
            "Expected arrays (..., column) with the same conditions and times in each, found "
            f"shapes {[array.shape for array in arrays]}."
        )
    rows = [array.reshape(-1, array.shape[-1]).astype(np.float64) for array in arrays]
    known = np.all([np.isfinite(array).all(axis=1) for array in rows], axis=0)
    if known.sum() < 2:
        raise DataError(f"Expected at least two rows without NaN, found {known.sum()}.")
    return [array[known] for array in rows]


def _padded(x: np.ndarray, width: int) -> np.ndarray:
    missing = width - x.shape[-1]
    if missing < 0:
        raise DataError(f"Expected at most {width} dimensions, found {x.shape[-1]}.")
    return np.concatenate([x, np.zeros((*x.shape[:-1], missing))], axis=-1)


def _whitening(x: np.ndarray, l2: float) -> np.ndarray:
    """Return ``(column, dimension)``: to uncorrelated columns of unit variance."""
    values, vectors = np.linalg.eigh(x.T @ x / len(x))
    values, vectors = values[::-1], vectors[:, ::-1]
    kept = values > max(values[0], 0) * len(values) * np.finfo(np.float64).eps
    values = values + l2 * values.mean()
    return vectors[:, kept] / np.sqrt(values[kept])


def _signs(vectors: np.ndarray) -> np.ndarray:
    """Return the sign that makes the largest entry of each column positive."""
    peaks = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None], axis=0)[0]
    return np.where(peaks < 0, -1.0, 1.0)
