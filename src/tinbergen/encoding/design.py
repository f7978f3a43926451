"""Features of every time bin for a linear model: standardised, reduced, and lagged.

The matrix of lagged features (Z below; lag x feature columns) is never in memory as a whole: rows
come in blocks, and its Gram matrix from the products of one lag with all others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import scipy.linalg

from tinbergen.encoding.inputs import blocks
from tinbergen.errors import ConfigError, DataError
from tinbergen.saving import Saved

Scale = Literal["each", "common"]
_BLOCK_VALUES = 1 << 20  # numbers in one block of Z: small enough for the cache of a core


class FeatureMap(Saved):
    """Standardise features and reduce them to principal components, on given rows.

    Parameters
    ----------
    components
        Number of principal components; None = standardise only.
    groups
        ``(group,)`` numbers of features that belong together and lie side by side; None: one
        group. Each is reduced by itself to its share of the ``components``, so that a group of
        many features does not crowd out one of few: see :func:`shares`.
    scale
        ``"each"`` feature by its own deviation, for features of different units, and so each
        component; or all by a ``"common"`` one, for spike counts and tokens of a network, whose
        components then keep their variances: what a quick unit or a strong component tells is
        surer than what a slow or weak one does, and a penalty then knows.

    Attributes
    ----------
    mean_, scale_
        ``(feature,)`` of the rows it was fitted on. ``scale_`` is 0 for features that are left
        out: constant ones and those without a value.
    projection_
        ``(feature, column)`` from standardised features to components, or None.
    """

    mean_: np.ndarray
    scale_: np.ndarray
    projection_: np.ndarray | None

    def __init__(
        self,
        components: int | None = None,
        scale: Scale = "each",
        groups: Sequence[int] | None = None,
    ):
        if components is not None and components < 1:
            raise ConfigError(f"components: expected at least 1, found {components}.")
        if scale not in ("each", "common"):
            raise ConfigError(f"scale: expected 'each' or 'common', found {scale!r}.")
        self.components = components
        self.scale = scale
        self.groups = groups

    def fit(self, x: np.ndarray, rows: np.ndarray) -> FeatureMap:
        """Fit on the ``rows`` (bool) of ``x`` ``(row, feature)``.

        Raises
        ------
        DataError
            If there is no feature, or the groups are of another number of features.
        """
        if x.shape[1] == 0:
            raise DataError("X: expected at least one feature, found none.")
        groups = [x.shape[1]] if self.groups is None else list(self.groups)
        if sum(groups) != x.shape[1]:
            raise DataError(f"groups: expected the {x.shape[1]} features of X, found {groups}.")
        index = np.flatnonzero(rows)
        self.mean_, self.scale_ = _moments(x, index)
        if self.scale == "common" and (used := self.scale_ > 0).any():
            self.scale_[used] = np.sqrt(np.mean(self.scale_[used] ** 2))
        self.projection_ = None
        if self.components is not None:
            stops = np.cumsum(groups)
            parts = [
                self._components(x, index, slice(stop - width, stop), count)
                for stop, width, count in zip(
                    stops, groups, shares(self.components, groups), strict=True
                )
            ]
            self.projection_ = np.asarray(scipy.linalg.block_diag(*parts))
        return self

    @property
    def n_features(self) -> int:
        """Features that it takes."""
        return len(self.mean_)

    @property
    def n_columns(self) -> int:
        """Columns that it returns."""
        return self.n_features if self.projection_ is None else self.projection_.shape[1]

    @property
    def columns_left_out_(self) -> np.ndarray:
        """``(feature,)`` bool: features that say nothing."""
        return self.scale_ == 0

    def transform(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return ``(row, column)`` features, and ``(row,)`` bool: which rows are known.

        A row with NaN in a feature that is used becomes zeros, the mean.

        Raises
        ------
        DataError
            If there are not as many features as it was fitted on.
        """
        if x.shape[1] != self.n_features:
            raise DataError(f"X: expected {self.n_features} features, found {x.shape[1]}.")
        out = np.empty((len(x), self.n_columns), dtype=working_type(x))
        known = np.empty(len(x), dtype=bool)
        for block in blocks(len(x)):
            z = self._standardised(x[block])
            known[block] = np.isfinite(z).all(axis=1)
            z[~known[block]] = 0
            out[block] = z if self.projection_ is None else z @ self.projection_.astype(z.dtype)
        return out, known

    def back(self, weights: np.ndarray) -> np.ndarray:
        """Turn weights ``(..., column, unit)`` into ``(..., feature, unit)`` of raw features."""
        if self.projection_ is not None:
            weights = self.projection_ @ weights
        return weights * _inverse(self.scale_)[:, None]

    def _standardised(self, x: np.ndarray, columns: slice = slice(None)) -> np.ndarray:
        kind = working_type(x)
        z = x[:, columns].astype(kind)
        z -= self.mean_[columns].astype(kind)
        z *= _inverse(self.scale_[columns]).astype(kind)
        z[:, self.scale_[columns] == 0] = 0
        return z

    def _components(
        self, x: np.ndarray, index: np.ndarray, columns: slice, count: int
    ) -> np.ndarray:
        """Return ``(column, component)`` of the standardised columns, ``count`` at most."""
        n, width = len(index), columns.stop - columns.start
        count = min(count, width, max(n - 1, 1))
        if width <= n:
            covariance = np.zeros((width, width))
            for block in blocks(n):
                z = self._standardised(x[index[block]], columns)
                covariance += z.T @ z
            values, vectors = _largest(covariance, count)
        else:
            z = self._standardised(x[index], columns)
            values, vectors = _largest((z @ z.T).astype(np.float64), count)
            vectors = z.T @ (vectors * _inverse(np.sqrt(np.maximum(values, 0))))
        kept = values > values[:1].max(initial=0) * width * np.finfo(working_type(x)).eps
        values, vectors = values[kept], vectors[:, kept]
        # An eigenvector has no sign of its own; choose one, so that results repeat.
        largest = np.abs(vectors).argmax(axis=0)
        signs = np.sign(vectors[largest, np.arange(vectors.shape[1])])
        if self.scale == "common":
            return vectors * signs
        return vectors * (signs * _inverse(np.sqrt(values / n)))


class Lagged:
    """Lagged features Z of every row, made where they are needed.

    Column (lag l, feature c) of row t is feature c of row t - l: positive lags look back. Beyond
    the ends of a segment features are zero, their mean.

    Parameters
    ----------
    features
        ``(row, feature)`` without NaN.
    segments
        ``(row,)`` ascending int; no lag reaches into another segment.
    lags
        First and last lag, bins.
    basis
        ``(lag, function)``: lags are summed to these functions of lag, None = every lag alone.
    """

    def __init__(
        self,
        features: np.ndarray,
        segments: np.ndarray,
        lags: tuple[int, int] = (0, 0),
        basis: np.ndarray | None = None,
    ):
        first, last = lags
        # Zeros between segments, as many as the longest reach, serve both neighbours.
        reach = max(last, -first, 0)
        self.position = np.arange(len(features)) + reach * (segments + 1)
        n = len(features) + reach * (int(segments[-1]) + 2 if len(segments) else 1)
        self._padded = np.zeros((n, features.shape[1]), dtype=features.dtype)
        self._padded[self.position] = features
        self._segments = segments
        self._last, self._n_lags = last, last - first + 1
        self._basis = None if basis is None else basis.astype(features.dtype)

    @property
    def n_columns(self) -> int:
        """Columns of Z."""
        functions = self._n_lags if self._basis is None else self._basis.shape[1]
        return functions * self._padded.shape[1]

    @property
    def dtype(self) -> np.dtype:
        """Type of all products."""
        return self._padded.dtype

    def rows(self, index: np.ndarray) -> np.ndarray:
        """Return the rows ``index`` of Z, ``(row, lag x feature)``, lags ascending."""
        # A descending run of positions, so that lags ascend.
        start = self.position[index] - self._last
        at = start[:, None] + np.arange(self._n_lags - 1, -1, -1)
        z = self._padded[at]
        if self._basis is not None:
            z = np.einsum("rlc,lk->rkc", z, self._basis, optimize=True)
        return np.ascontiguousarray(z).reshape(len(index), self.n_columns)

    def parts(self, index: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Walk over the rows ``index`` of Z in blocks: where they stand in ``index``, and Z."""
        size = max(_BLOCK_VALUES // max(self.n_columns, 1), 64)
        for block in blocks(len(index), size):
            yield block, self.rows(index[block])

    def sums(self, index: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the column sums ``(column,)`` of Z, and ``Z.T @ y``, over the rows ``index``."""
        total, cross = np.zeros(self.n_columns), np.zeros((self.n_columns, y.shape[1]))
        for block, z in self.parts(index):
            total += z.sum(axis=0, dtype=np.float64)
            cross += z.T @ y[block].astype(z.dtype, copy=False)
        return total, cross

    def dot(self, index: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return ``Z @ weights`` ``(row, unit)`` of the rows ``index``."""
        out = np.empty((len(index), weights.shape[1]), dtype=self.dtype)
        weights = weights.astype(self.dtype, copy=False)
        for block, z in self.parts(index):
            np.matmul(z, weights, out=out[block])
        return out

    def gram(self, index: np.ndarray) -> np.ndarray:
        """Return ``Z.T @ Z`` over the rows ``index`` (ascending), float64.

        Within a run of m neighbouring rows, the products of lags (i + 1, j + 1) are those of
        (i, j) shifted by a row: they differ by what enters and leaves at the ends of the run. So
        only the products of the first lag with all others need every row.
        """
        runs = self._runs(index)
        width, n_lags = self._padded.shape[1], self._n_lags
        if n_lags == 1 or width == 0 or self._basis is not None or 4 * len(runs) > len(index):
            return self._direct_gram(index)
        blockwise = np.zeros((n_lags, width, n_lags, width))
        for _, z in self.parts(index):
            blockwise[0] += (z[:, :width].T @ z).reshape(width, n_lags, width)
        # With lags ascending the data walk back: a row enters before a run, its last one leaves.
        before = self._span_products(runs[:, 0] - 1)
        after = self._span_products(runs[:, 1] - 1)
        entered = (before - after).reshape(n_lags - 1, width, n_lags - 1, width)
        for i in range(n_lags - 1):
            blockwise[i + 1, :, 1:] = blockwise[i, :, :-1] + entered[i]
            blockwise[i + 1, :, 0] = blockwise[0, :, i + 1].T
        return blockwise.reshape(n_lags * width, n_lags * width)

    def kernel(self, index: np.ndarray) -> np.ndarray:
        """Return ``Z @ Z.T`` ``(row, row)`` of the rows ``index``, float64."""
        product = np.zeros((len(index), len(index)))
        step = max(_BLOCK_VALUES // max(len(index), 1), 64)
        if self._basis is not None:
            for columns in blocks(self._padded.shape[1], max(step // self._n_lags, 1)):
                part = Lagged.__new__(Lagged)
                part.__dict__ = self.__dict__ | {"_padded": self._padded[:, columns]}
                z = part.rows(index)
                product += z @ z.T
            return product
        for lag in range(self._n_lags):
            rows = self.position[index] - self._last + lag
            for columns in blocks(self._padded.shape[1], step):
                z = self._padded[rows, columns]
                product += z @ z.T
        return product

    def _runs(self, index: np.ndarray) -> np.ndarray:
        """Return ``(run, 2)`` padded positions: begin and end of rows that follow one another."""
        at = self.position[index]
        breaks = np.diff(at, prepend=-2, append=-2) != 1
        return np.stack([at[breaks[:-1]], at[breaks[1:]] + 1], axis=1)

    def _span_products(self, last: np.ndarray) -> np.ndarray:
        """Gram of the first n_lags - 1 lags of the padded rows at ``last``, summed over runs."""
        start = last - self._last
        at = start[:, None] + np.arange(self._n_lags - 1, 0, -1)
        width = self._padded.shape[1] * (self._n_lags - 1)
        product = np.zeros((width, width))
        for block in blocks(len(last), max(_BLOCK_VALUES // max(width, 1), 64)):
            z = self._padded[at[block]].reshape(-1, width)
            product += z.T @ z
        return product

    def _direct_gram(self, index: np.ndarray) -> np.ndarray:
        product = np.zeros((self.n_columns, self.n_columns))
        for _, z in self.parts(index):
            product += z.T @ z
        return product


def shares(components: int, groups: Sequence[int]) -> list[int]:
    """Share components among groups of features: no group has more than it has features.

    Narrow groups keep all of theirs, what is left is shared evenly; each has one at least.

    Examples
    --------
    >>> shares(32, [2, 144, 1]), shares(32, [144, 64]), shares(32, [64])
    ([2, 29, 1], [16, 16], [32])
    """
    found, left = [0] * len(groups), components
    order = sorted(range(len(groups)), key=lambda group: groups[group])
    for waiting, group in zip(range(len(groups), 0, -1), order, strict=True):
        found[group] = min(groups[group], max(1, left // waiting))
        left -= found[group]
    return found


def working_type(x: np.ndarray) -> np.dtype:
    """Type of the products: float64 for float64 features, else float32."""
    return np.dtype(np.float64 if x.dtype == np.float64 else np.float32)


def _moments(x: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the columns; deviation 0 where there is no value."""
    width, n = x.shape[1], max(len(index), 1)
    mean, square = np.zeros(width), np.zeros(width)
    with np.errstate(invalid="ignore"):
        for block in blocks(len(index)):
            mean += x[index[block]].sum(axis=0, dtype=np.float64) / n
        mean[~np.isfinite(mean)] = 0
        for block in blocks(len(index)):
            part = x[index[block]] - mean
            square += np.einsum("rc,rc->c", part, part) / n
    deviation = np.sqrt(square)
    # Rounding leaves a constant column a deviation of some units in the last place.
    flat = ~(deviation > 8 * np.finfo(working_type(x)).eps * np.abs(mean))
    deviation[flat] = 0
    return mean, deviation


def _largest(symmetric: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Largest eigenvalues, descending, and their vectors."""
    n = len(symmetric)
    values, vectors = scipy.linalg.eigh(
        symmetric, subset_by_index=(n - count, n - 1), check_finite=False
    )
    return values[::-1], vectors[:, ::-1]


def _inverse(values: np.ndarray) -> np.ndarray:
    """1 / value, and 0 for 0."""
    return np.divide(1.0, values, out=np.zeros(len(values)), where=values > 0)
