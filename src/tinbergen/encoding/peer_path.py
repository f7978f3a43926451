"""Ridge regression of units on other units, some of which they may not see.

With Z the lagged peers, y a unit, and S the columns that it may not see, the weights w minimise
``|y - Z w|^2 + alpha |w|^2`` under ``w[S] = 0``. With Lagrange multipliers c,

    w = P (Z'y - E c),   P = (Z'Z + alpha I)^-1,   P[S, S] c = (P Z'y)[S],

where E are the columns S of the identity: one decomposition of Z'Z serves all units, all S and all
penalties.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike

from tinbergen.encoding.design import Lagged
from tinbergen.encoding.ridge import Spectrum, penalties
from tinbergen.errors import ConfigError

ALPHAS = (30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0, 30000.0)
Excluded = Sequence[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, eq=False)
class PeerPath:
    """Ridge regression of many targets on one design, for any penalty.

    Attributes
    ----------
    design
        Lagged residuals of the peers, of all rows.
    spectrum
        Of the training rows.
    cross
        ``(axis, target)``: products of the axes with the targets.
    """

    design: Lagged
    spectrum: Spectrum
    cross: np.ndarray

    @classmethod
    def fit(cls, design: Lagged, targets: np.ndarray, index: np.ndarray) -> PeerPath:
        """Fit ``targets`` ``(row, target)`` on the rows ``index``."""
        sums, products = design.sums(index, targets[index])
        spectrum = Spectrum.of(design, index, sums)
        return cls(design, spectrum, spectrum.vectors.T @ products)

    def weights(self, alpha: float, excluded: Excluded = ()) -> np.ndarray:
        """Return weights ``(column, target)``; 0 where ``excluded`` (columns, targets) says so."""
        vectors = self.spectrum.vectors
        inverse = 1 / (self.spectrum.values + alpha)
        # P = I / alpha + V beyond V': columns beyond the span of the rows are in the first part.
        beyond = inverse - 1 / alpha
        axes = self.cross * inverse[:, None]
        for columns, targets in excluded:
            rows = vectors[columns]
            block = (rows * beyond) @ rows.T
            block[np.diag_indices(len(columns))] += 1 / alpha
            moved = scipy.linalg.solve(block, rows @ axes[:, targets], assume_a="pos")
            axes[:, targets] -= beyond[:, None] * (rows.T @ moved)
        weights = vectors @ axes
        for columns, targets in excluded:
            weights[np.ix_(columns, targets)] = 0.0
        return weights


def positive_penalties(alphas: ArrayLike) -> list[float]:
    """Return penalties > 0, from the strongest to the weakest.

    Raises
    ------
    ConfigError
        If there is none, or one that is not positive: peers may be more than bins.
    """
    values = penalties(alphas)
    if values[-1] == 0:
        raise ConfigError(f"alphas: expected penalties > 0, found {alphas!r}.")
    return values
