"""Spike counts that came in bins: a :class:`Series` whose unit says so."""

from __future__ import annotations

import numpy as np

from tinbergen.errors import DataError
from tinbergen.recordings.series import Series
from tinbergen.recordings.windows import Windows

_COUNTS = ("spikes/bin", "counts", "counts/bin", "spikes")


def is_counts(series: Series) -> bool:
    """Whether a series holds spike counts in bins (its unit says so)."""
    return series.unit.replace(" ", "").lower() in _COUNTS


def bin_width(series: Series) -> float | None:
    """Width of the bins that counts came in, s: their step, or of lonely ones what is valid."""
    owner = np.searchsorted(series.valid.starts, series.times + 1e-9, side="right")
    steps = np.diff(series.times)[np.diff(owner) == 0]
    if not len(steps):
        steps = series.valid.stops - series.valid.starts
    return float(np.median(steps)) if len(steps) else None


def window_counts(windows: Windows, series: Series, where: str = "Counts") -> np.ndarray:
    """Add counts in bins up to those of windows, ``(window, time, unit)`` int64.

    Raises
    ------
    DataError
        If the bins of the windows are no multiple of those of the counts, if a bin of a window is
        not wholly covered, or if the values are no counts.
    """
    own = bin_width(series)
    times = round(windows.width / own) if own else 0
    if own is None or times < 1 or abs(times * own - windows.width) > 1e-3 * windows.width:
        raise DataError(
            f"{where}: counts in bins of {own} s cannot be brought onto bins of "
            f"{windows.width:g} s: choose a multiple."
        )
    first = np.searchsorted(series.times, windows.edges[:, :-1] - own / 2)
    last = np.searchsorted(series.times, windows.edges[:, 1:] - own / 2)
    if len(bad := np.flatnonzero((last - first != times).any(axis=1))):
        raise DataError(
            f"{where}: {len(bad)} of {len(windows)} windows are not wholly covered; the first "
            f"begins at {windows.starts[bad[0]]:.3f} s."
        )
    values = np.asarray(series.values)
    if values.size and not (np.isfinite(values).all() and (values >= 0).all()):
        raise DataError(f"{where}: expected counts, found NaN or negative values.")
    return sum(values[first + k].astype(np.int64) for k in range(times))  # type: ignore[return-value]
