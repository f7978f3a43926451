"""Principal components of what is too wide or too long to be held: frames, and patch tokens."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.linalg import eigh

from tinbergen.encoding.grid import Grid, mean_on
from tinbergen.errors import DataError
from tinbergen.recordings import Intervals

COMPONENTS = 128
_FITTED_ON = 8192
_AT_ONCE = 1024
_NARROW = 2048  # columns; a covariance of more is dearer than a few passes over the rows
_PASSES = 4
_SPARE = 16


class WideRows:
    """A row of numbers each frame, on disk; components are fitted on training frames alone.

    Parameters
    ----------
    times
        ``(frame,)`` s.
    rows
        ``(frame, column)``, usually a memory map. Never read as a whole.
    ok
        ``(frame,)`` bool: frames of which the row is known.
    """

    def __init__(self, times: np.ndarray, rows: np.ndarray, ok: np.ndarray):
        self.times = times
        self.valid = Intervals.of_samples(times)
        self.rows = rows
        self.ok = ok

    def components(self, used: np.ndarray, n: int = COMPONENTS) -> np.ndarray:
        """Return principal components of all frames, fitted on ``used`` ones alone.

        Parameters
        ----------
        used
            ``(frame,)`` bool, frames of the training part; of many, 8192 evenly spread ones.
        n
            Number of components, at most.

        Returns
        -------
        ``(frame, component)`` float32, in the units of the rows; NaN where not known.
        """
        index = np.flatnonzero(used & self.ok)
        if len(index) < 2:
            raise DataError("Expected at least two sound frames to fit components on.")
        index = index[np.unique(np.linspace(0, len(index) - 1, _FITTED_ON).astype(int))]
        mean, axes = self._axes(index, min(n, self.rows.shape[1], len(index) - 1))
        axes *= np.sign(axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])])
        out = np.full((len(self.times), axes.shape[1]), np.nan, np.float32)
        for first in range(0, len(out), _AT_ONCE):
            part = slice(first, first + _AT_ONCE)
            out[part] = (self.rows[part].astype(np.float32) - mean) @ axes
        out[~self.ok] = np.nan
        return out

    def on(self, grid: Grid) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
        """Return which bins are known, and what turns training rows into components.

        Returns
        -------
        known
            ``(row, 1)``; NaN where no sound frame is near.
        project
            ``(row,)`` bool of the training rows -> ``(row, component)`` of all rows.
        """
        sound = np.where(self.ok, 0.0, np.nan)[:, None]
        known = mean_on(grid, self.times, sound, self.valid)

        def project(train: np.ndarray) -> np.ndarray:
            inside = Intervals(grid.starts[train], grid.stops[train])
            return mean_on(
                grid, self.times, self.components(inside.contains(self.times)), self.valid
            )

        return known, project

    def _axes(self, index: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return mean ``(column,)`` and leading axes ``(column, n)``, float32.

        Of the covariance; of many columns by subspace iteration (Halko, Martinsson & Tropp 2011,
        doi:10.1137/090771806), whose passes over the rows need no matrix of columns squared.
        """
        width = self.rows.shape[1]
        mean = sum(part.sum(axis=0, dtype=np.float64) for part in self._parts(index)) / len(index)
        mean = np.asarray(mean, np.float32)
        if width <= _NARROW:
            return mean, self._largest(index, mean, np.eye(width, dtype=np.float32), n)
        span = min(n + _SPARE, len(index), width)
        basis = np.random.default_rng(0).standard_normal((width, span)).astype(np.float32)
        for _ in range(_PASSES):
            basis = np.linalg.qr(self._times_covariance(index, mean, basis))[0]
        return mean, self._largest(index, mean, basis, n)

    def _largest(
        self, index: np.ndarray, mean: np.ndarray, basis: np.ndarray, n: int
    ) -> np.ndarray:
        """Return the ``n`` leading axes of the rows within an orthonormal ``basis``."""
        span = basis.shape[1]
        square = np.zeros((span, span))
        for part in self._parts(index):
            inside = (part - mean) @ basis
            square += inside.T @ inside
        _, turned = eigh(square, subset_by_index=[span - n, span - 1])
        return basis @ turned[:, ::-1].astype(np.float32)

    def _times_covariance(
        self, index: np.ndarray, mean: np.ndarray, basis: np.ndarray
    ) -> np.ndarray:
        total = np.zeros_like(basis)
        for part in self._parts(index):
            part = part - mean
            total += part.T @ (part @ basis)
        return total

    def _parts(self, index: np.ndarray):
        for first in range(0, len(index), _AT_ONCE):
            yield self.rows[index[first : first + _AT_ONCE]].astype(np.float32)
