"""Spike trains: ragged times, and a table of units."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import pandas as pd

from tinbergen.errors import DataError
from tinbergen.files import atomic_write
from tinbergen.recordings.array_files import read_npz
from tinbergen.recordings.intervals import Bins, Intervals
from tinbergen.recordings.series import frozen_copy, plain_columns, plain_values, sample_times

_BLOCK = 1 << 18  # counts at a time, which stay in the processor's cache


@dataclass(frozen=True, eq=False)
class Spikes:
    """Spikes of many units.

    Attributes
    ----------
    times
        ``(spike,)`` float64, s, ascending; may be negative, where time 0 lies within the session.
    units
        ``(spike,)`` int, row of ``table`` that each spike belongs to.
    table
        A row a unit; its index holds the unit ids, its columns what is known: region, depth (µm),
        quality, ... Units without a spike have a row too.
    valid
        Where was recorded; default: from the first spike to the last.
    """

    times: np.ndarray
    units: np.ndarray
    table: pd.DataFrame = field(default=None)  # type: ignore[assignment]
    valid: Intervals = field(default=None)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        times = sample_times(self.times, "Spikes")
        units = unit_names(np.asarray(self.units), "Spikes")
        if units.shape != times.shape:
            raise DataError(f"Spikes: {len(times)} times, but units of shape {units.shape}.")
        if len(units) and units.dtype.kind not in "iu":
            raise DataError(
                f"Spikes: units must be rows of the table, whole numbers from 0; found "
                f"{units.dtype} such as {units[0]}. Spikes.of takes trains by their ids."
            )
        units = frozen_copy(units, np.int64)
        n_units = int(units.max()) + 1 if len(units) else 0
        table = pd.DataFrame(index=range(n_units)) if self.table is None else self.table.copy()
        if len(units) and (units.min() < 0 or n_units > len(table)):
            lost = int(((units < 0) | (units >= len(table))).sum())
            raise DataError(
                f"Spikes: units must be rows of the table, 0 to {len(table) - 1}; found "
                f"{units.min()} to {units.max()}, {lost} of {len(units)} spikes outside. Give "
                "these units a row, or leave their spikes out."
            )
        if table.index.has_duplicates:
            raise DataError(
                f"Spikes: unit {table.index[table.index.duplicated()][0]} stands twice."
            )
        for name, value in (("times", times), ("units", units), ("table", table)):
            object.__setattr__(self, name, value)
        if self.valid is None:
            ends = (times[:1], np.nextafter(times[-1:], np.inf))
            object.__setattr__(self, "valid", Intervals(*ends))

    @classmethod
    def of(
        cls,
        trains: Mapping[Any, Any],
        table: pd.DataFrame | None = None,
        valid: Intervals | None = None,
    ) -> Spikes:
        """Make Spikes from unit id -> spike times (s), or from a pynapple TsGroup."""
        ids = list(trains)
        if table is not None and (missing := [i for i in ids if i not in table.index]):
            raise DataError(
                f"Spikes: {len(missing)} of {len(ids)} units are not in the table, the first is "
                f"{missing[0]!r}; it has {list(table.index[:10])}. Give each unit a row."
            )
        each = [_train(trains[i], i) for i in ids]
        times = np.concatenate([np.zeros(0), *each])
        units = np.repeat(np.arange(len(ids)), [len(train) for train in each])
        order = np.argsort(times, kind="stable")
        table = pd.DataFrame(index=ids) if table is None else table.loc[ids]
        return cls(times[order], units[order], table, valid)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.times)

    @property
    def n_units(self) -> int:
        """Number of units, silent ones included."""
        return len(self.table)

    def train(self, unit: Any) -> np.ndarray:
        """Return the spike times of one unit id, s."""
        if unit not in self.table.index:
            raise DataError(f"No unit {unit!r}; the table has {list(self.table.index[:10])} ...")
        return self.times[self.units == self.table.index.get_loc(unit)]

    def between(self, start: float, stop: float) -> Self:
        """Return the spikes with ``start <= time < stop`` (s); the units stay."""
        first, last = np.searchsorted(self.times, [start, stop])
        return replace(
            self,
            times=self.times[first:last],
            units=self.units[first:last],
            valid=self.valid.between(start, stop),
        )

    def only(self, rows: Any) -> Self:
        """Return these units alone: rows of ``table`` (int), or a mask ``(unit,)`` bool."""
        rows = np.asarray(rows)
        if rows.dtype == bool and len(rows) != self.n_units:
            raise DataError(f"Spikes: a mask of {len(rows)} for {self.n_units} units.")
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        new = np.full(self.n_units, -1)
        new[rows] = np.arange(len(rows))
        kept = new[self.units]
        inside = kept >= 0
        table = self.table.iloc[rows]
        return replace(self, times=self.times[inside], units=kept[inside], table=table)

    def bin(self, bins: Bins, dtype: Any = np.int32) -> np.ndarray:
        """Return spike counts, ``(bin, unit)``, spikes/bin.

        Bins are half-open and may overlap: a bin counts every spike with ``start <= time < stop``,
        so bins that touch count each spike once.

        Parameters
        ----------
        dtype
            Of the counts; by default int32, whose differences cannot wrap around.

        Raises
        ------
        DataError
            If a count does not fit ``dtype``.
        """
        first, last = bins.ranges(self.times)
        return count_ranges(self.units, self.n_units, first, last, dtype)

    def write(self, path: str | os.PathLike) -> None:
        """Write ``.npz``; :func:`read_spikes` reads it back."""
        with atomic_write(path, "wb") as file:
            np.savez(
                file,
                times=self.times,
                units=self.units,
                ids=plain_values(self.table.index),
                valid=np.stack([self.valid.starts, self.valid.stops], axis=1),
                **plain_columns(self.table),  # type: ignore[arg-type]
            )


def count_ranges(
    units: np.ndarray, n_units: int, first: np.ndarray, last: np.ndarray, dtype: Any
) -> np.ndarray:
    """Count each unit in ``units[first[i]:last[i]]``: ``(len(first), n_units)`` of ``dtype``."""
    dtype = np.dtype(dtype)
    counts = np.zeros((len(first), n_units), dtype)
    most = 2**53 if dtype.kind == "f" else np.iinfo(dtype).max
    rows = max(1, _BLOCK // max(n_units, 1))
    for start in range(0, len(first) if n_units else 0, rows):
        a, b = first[start : start + rows], last[start : start + rows]
        each = b - a
        flat = np.repeat(np.arange(len(a)) * n_units, each)
        if np.array_equal(a[1:], b[:-1]):
            flat += units[a[0] : b[-1]]
        else:
            before = np.cumsum(each) - each
            flat += units[np.arange(len(flat)) + np.repeat(a - before, each)]
        block = np.bincount(flat, minlength=len(a) * n_units)
        if block.max() > most:
            raise DataError(
                f"A bin holds {block.max()} spikes of one unit, more than {dtype} can count "
                f"({most}). Use a wider type or narrower bins."
            )
        counts[start : start + rows] = block.reshape(len(a), n_units)
    return counts


def _train(spikes: Any, unit: Any) -> np.ndarray:
    times = np.asarray(getattr(spikes, "t", spikes), dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(times))
    if len(bad):
        raise DataError(
            f"Spikes: unit {unit!r} has {len(bad)} spikes without a finite time, the first is "
            f"spike {bad[0] + 1} of {len(times)}. Remove them first."
        )
    return times


def unit_names(units: np.ndarray, where: str) -> np.ndarray:
    """Return the unit of each spike, whole numbers as int64.

    Raises
    ------
    DataError
        If a spike has none (NaN).
    """
    if units.dtype.kind != "f":
        return units
    if lost := int((~np.isfinite(units)).sum()):
        raise DataError(
            f"{where}: {lost} of {units.size} spikes have no unit (NaN); leave them out."
        )
    return units.astype(np.int64) if (units == np.round(units)).all() else units


def read_spikes(path: str | os.PathLike) -> Spikes:
    """Read ``.npz`` with times (s), units, and, if wanted, ids, valid and ``table/<column>``.

    Raises
    ------
    MissingFileError, DataError
    """
    arrays = read_npz(path, "a file of spikes", ("times", "units"))
    try:
        units = unit_names(arrays["units"], "units")
        ids = arrays.get("ids", np.unique(units))
        rows = units if "ids" in arrays else np.searchsorted(ids, units)
        columns = {k[6:]: array for k, array in arrays.items() if k.startswith("table/")}
        valid: Any = Intervals(*arrays["valid"].T) if "valid" in arrays else None
        return Spikes(arrays["times"], rows, pd.DataFrame(columns, index=ids), valid)
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} is not a file of spikes: {error}") from error
