"""Spike trains: ragged times, and a table of units."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from tinbergen.errors import DataError, MissingFileError
from tinbergen.files import atomic_write
from tinbergen.recordings.intervals import Bins, Intervals
from tinbergen.recordings.series import frozen_copy, sample_times


@dataclass(frozen=True, eq=False)
class Spikes:
    """Spikes of many units.

    Attributes
    ----------
    times
        ``(spike,)`` float64, s, ascending.
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
        units = frozen_copy(self.units, np.int64)
        if units.shape != times.shape:
            raise DataError(f"Spikes: {len(times)} times, but units of shape {units.shape}.")
        n_units = int(units.max()) + 1 if len(units) else 0
        table = pd.DataFrame(index=range(n_units)) if self.table is None else self.table.copy()
        if len(units) and (units.min() < 0 or n_units > len(table)):
            raise DataError(
                f"Spikes: units must be rows of the table, 0 to {len(table) - 1}; found "
                f"{units.min()} to {units.max()}."
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
        each = [np.asarray(getattr(trains[i], "t", trains[i]), dtype=np.float64) for i in ids]
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

    def bin(self, bins: Bins) -> np.ndarray:
        """Return spike counts, ``(bin, unit)`` int64, spikes/bin."""
        at = bins.of(self.times)
        flat = at[at >= 0] * self.n_units + self.units[at >= 0]
        counts = np.bincount(flat, minlength=len(bins) * self.n_units)
        return counts.reshape(len(bins), self.n_units)

    def write(self, path: str | os.PathLike) -> None:
        """Write ``.npz``; :func:`read_spikes` reads it back."""
        columns = {f"table/{name}": _plain(self.table[name]) for name in self.table}
        with atomic_write(path, "wb") as file:
            np.savez(
                file,
                times=self.times,
                units=self.units,
                ids=_plain(self.table.index),
                valid=np.stack([self.valid.starts, self.valid.stops], axis=1),
                **columns,  # type: ignore[arg-type]
            )


def _plain(column: Any) -> np.ndarray:
    values = column.to_numpy()
    return values if values.dtype.kind in "biuf" else values.astype(str)


def read_spikes(path: str | os.PathLike) -> Spikes:
    """Read ``.npz`` with times (s), units, and, if wanted, ids, valid and ``table/<column>``.

    Raises
    ------
    MissingFileError, DataError
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"Expected spikes (.npz) at {path}, found none.")
    try:
        with np.load(path, allow_pickle=False) as file:
            if missing := {"times", "units"} - set(file):
                raise DataError(
                    f"the arrays {sorted(missing)} are missing; it has {sorted(file)}."
                )
            units = file["units"]
            ids = file["ids"] if "ids" in file else np.unique(units)
            rows = units if "ids" in file else np.searchsorted(ids, units)
            columns = {k[6:]: file[k] for k in file if k.startswith("table/")}
            valid = Intervals(*file["valid"].T) if "valid" in file else None
            return Spikes(file["times"], rows, pd.DataFrame(columns, index=ids), valid)  # type: ignore[arg-type]
    except (ValueError, OSError) as error:
        raise DataError(f"{path} is not a file of spikes: {error}") from error
