"""Reduced-rank regression: all targets through a few shared dimensions, in closed form."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, Self

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike

from tinbergen.encoding.design import Scale
from tinbergen.encoding.ridge import ALPHAS, LinearPath, Ridge
from tinbergen.errors import ConfigError

RANKS = (1, 2, 3, 5, 8, 12, 16, 20, 30, 40, 60, 80)


class ReducedRank(Ridge):
    """Ridge regression whose weights have a low rank over targets.

    The best approximation of rank k of the ridge solution ``B`` is ``B V V'`` with ``V`` the first
    k right singular vectors of its *fitted values* (those of the penalty's rows included), not of
    ``B`` itself; so one decomposition gives every rank. At full rank it is :class:`Ridge`.

    Penalty and rank are chosen on held-out rows in turn: penalty at full rank, rank, penalty.

    Parameters
    ----------
    ranks
        To choose from; those beyond the full rank stand for it.
    alphas, lags, components, basis, calibrate, target, scale, groups
        As for :class:`Ridge`.

    Attributes
    ----------
    rank_
        The choice.
    loadings_
        ``(dimension, unit)``, orthonormal: what each shared dimension adds to each known target.

    References
    ----------
    Izenman, "Reduced-rank regression for the multivariate linear model", J. Multivariate Analysis
    1975; with a penalty: Mukherjee & Zhu, "Reduced rank ridge regression", 2011.
    """

    rank_: int
    loadings_: np.ndarray

    def __init__(
        self,
        ranks: tuple[int, ...] = RANKS,
        alphas: tuple[float, ...] = ALPHAS,
        lags: tuple[int, int] = (-5, 5),
        components: int | None = 32,
        basis: int | ArrayLike | None = None,
        calibrate: bool = True,
        target: Literal["auto", "counts", "continuous"] = "auto",
        scale: Scale = "each",
        groups: Sequence[int] | None = None,
    ):
        super().__init__(alphas, lags, components, basis, calibrate, target, scale, groups)
        self.ranks = ranks

    def fit(
        self,
        X: ArrayLike,
        Y: ArrayLike,
        *,
        segments: ArrayLike | None = None,
        validate: ArrayLike | None = None,
    ) -> Self:
        """Choose on held-out rows and fit on all; see :meth:`Ridge.fit`."""
        self.rank_ = self._ranks()[-1]
        return super().fit(X, Y, segments=segments, validate=validate)

    def _ranks(self) -> list[int]:
        ranks = sorted(set(self.ranks))
        if not ranks or any(rank < 1 or rank != int(rank) for rank in ranks):
            raise ConfigError(f"ranks: expected whole numbers from 1 on, found {self.ranks!r}.")
        return [int(rank) for rank in ranks]

    def _axes(self, path: LinearPath) -> np.ndarray:
        loadings = shared_dimensions(path, self.alpha_)[: self.rank_]
        self.rank_, self.loadings_ = len(loadings), loadings
        return (path.axes(self.alpha_) @ loadings.T) @ loadings

    def _n_candidates(self, alphas: list[float]) -> int:
        return len(alphas) * len(self._ranks())

    def _candidates(
        self, path: LinearPath, alphas: list[float]
    ) -> Iterator[tuple[dict[str, float], Callable[[np.ndarray], np.ndarray]]]:
        # The best so far is in alpha_ and rank_ when the next round begins.
        ranks = self._ranks()
        for alpha in alphas:
            yield from self._of_ranks(path, alpha, ranks[-1:])
        yield from self._of_ranks(path, self.alpha_, ranks[:-1])
        best = self.alpha_
        if self.rank_ != ranks[-1]:
            for alpha in alphas:
                if alpha != best:
                    yield from self._of_ranks(path, alpha, [self.rank_])

    def _of_ranks(
        self, path: LinearPath, alpha: float, ranks: list[int]
    ) -> Iterator[tuple[dict[str, float], Callable[[np.ndarray], np.ndarray]]]:
        loadings = shared_dimensions(path, alpha)
        weights = path.axes(alpha) @ loadings.T

        def predict(axes: np.ndarray, rank: int) -> np.ndarray:
            return (axes @ weights[:, :rank].astype(axes.dtype)) @ loadings[:rank].astype(
                axes.dtype
            )

        for rank in reversed(ranks):
            yield (
                {"alpha_": alpha, "rank_": rank},
                lambda axes, rank=rank: predict(axes, rank),
            )


def shared_dimensions(path: LinearPath, alpha: float) -> np.ndarray:
    """Return ``(dimension, unit)``: right singular vectors of the fitted values, strongest first.

    In the axes of the design, fitted values and the penalty's rows together have the Gram matrix
    ``C' (L + alpha)^-1 C`` with ``C`` the cross-products and ``L`` the axes' sums of squares.
    """
    scaled = path.cross / np.sqrt(path.spectrum.values + alpha)[:, None]
    return scipy.linalg.svd(scaled, full_matrices=False, check_finite=False)[2]
