"""Continuous signals sampled at their own times: wheel speed, pupil, embeddings, latents."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from tinbergen.errors import DataError
from tinbergen.files import atomic_write
from tinbergen.recordings.array_files import read_npz
from tinbergen.recordings.csv_table import read_csv_table
from tinbergen.recordings.intervals import Bins, Intervals


def sample_times(times: Any, where: str) -> np.ndarray:
    """Return ``times`` as read-only ``(n,)`` float64 s, and see that they are ascending."""
    times = np.array(times, dtype=np.float64)
    if times.ndim != 1:
        raise DataError(f"{where}: expected a time for each sample, (n,); found {times.shape}.")
    if len(lost := np.flatnonzero(~np.isfinite(times))):
        raise DataError(
            f"{where}: {len(lost)} of {len(times)} samples have no finite time, the first is "
            f"sample {lost[0]}. Leave them out."
        )
    back = np.flatnonzero(np.diff(times) < 0)
    if len(back):
        i = int(back[0])
        raise DataError(
            f"{where}: times must not run backwards; sample {i} is at {times[i]:.6f} s, the next "
            f"at {times[i + 1]:.6f} s ({len(back)} such steps). Sort them, and with them what "
            "belongs to them, if each is right."
        )
    times.flags.writeable = False
    return times


def frozen_copy(values: Any, dtype: Any = None) -> np.ndarray:
    """Return a read-only copy, so that nobody's array changes under a stream."""
    values = np.array(values, dtype=dtype)
    values.flags.writeable = False
    return values


@dataclass(frozen=True, eq=False)
class Series:
    """Values over time.

    Attributes
    ----------
    times
        ``(time,)`` float64, s, ascending.
    values
        ``(time, channel)``; a vector becomes one channel. NaN = not known.
    channels
        Name of each channel.
    unit
        Of the values, for example ``"cm/s"``; empty if none.
    valid
        Where the signal was recorded; default: from the times, with gaps where a step is longer
        than 5 median steps.
    table
        A row a channel, or None: region, depth (µm), whether a cell, ... Its index holds the
        names of the channels.
    """

    times: np.ndarray
    values: np.ndarray
    channels: tuple[str, ...] = ()
    unit: str = ""
    valid: Intervals = field(default=None)  # type: ignore[assignment]
    table: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        times = sample_times(self.times, "Series")
        values = frozen_copy(self.values)
        if values.dtype.kind not in "biuf":
            raise DataError(f"Series: expected numbers, found values of type {values.dtype}.")
        values = values[:, None] if values.ndim == 1 else values
        if values.ndim != 2 or len(values) != len(times):
            raise DataError(
                f"Series: expected values (time, channel) for {len(times)} times, found shape "
                f"{values.shape}."
            )
        channels = tuple(map(str, self.channels))
        if not channels and self.table is not None and len(self.table) == values.shape[1]:
            channels = tuple(map(str, self.table.index))
        channels = channels or tuple(map(str, range(values.shape[1])))
        if len(channels) != values.shape[1]:
            raise DataError(
                f"Series: {values.shape[1]} channels of values, but {len(channels)} names."
            )
        for name, value in (("times", times), ("values", values), ("channels", channels)):
            object.__setattr__(self, name, value)
        if self.valid is None:
            object.__setattr__(self, "valid", Intervals.of_samples(times))
        if self.table is not None:
            object.__setattr__(self, "table", _channel_table(self.table, channels))

    @classmethod
    def of(cls, signal: Any, unit: str = "") -> Series:
        """Make a Series from a pandas Series/DataFrame (index in s) or a pynapple Tsd/TsdFrame."""
        if hasattr(signal, "t") and hasattr(signal, "d"):
            return cls(signal.t, signal.d, tuple(getattr(signal, "columns", ())), unit)
        if hasattr(signal, "to_numpy") and hasattr(signal, "index"):
            columns = tuple(getattr(signal, "columns", ()))
            return cls(signal.index.to_numpy(), signal.to_numpy(), columns, unit)
        raise DataError(
            f"Expected a pandas or pynapple object with times, found a {type(signal).__name__}; "
            "use Series(times, values)."
        )

    def __len__(self) -> int:
        return len(self.times)

    def between(self, start: float, stop: float) -> Self:
        """Return the samples with ``start <= time < stop`` (s)."""
        return samples_between(self, start, stop)

    def bin(self, bins: Bins) -> np.ndarray:
        """Return the mean in each bin, ``(bin, channel)``; NaN where a bin holds no sample."""
        return bins.mean(self.times, self.values)

    def write(self, path: str | os.PathLike) -> None:
        """Write ``.npz``; :func:`read_series` gives the same series back."""
        with atomic_write(path, "wb") as file:
            np.savez(
                file,
                times=self.times,
                values=self.values,
                channels=np.array(self.channels, dtype=str),
                unit=np.array(self.unit),
                valid=np.stack([self.valid.starts, self.valid.stops], axis=1),
                **plain_columns(self.table),  # type: ignore[arg-type]
            )


def samples_between(samples: Any, start: float, stop: float) -> Any:
    """Return the part of a dataclass of ``times``, ``values`` and ``valid`` in [start, stop) s."""
    first, last = np.searchsorted(samples.times, [start, stop])
    return replace(
        samples,
        times=samples.times[first:last],
        values=samples.values[first:last],
        valid=samples.valid.between(start, stop),
    )


def _channel_table(table: pd.DataFrame, channels: tuple[str, ...]) -> pd.DataFrame:
    if len(table) != len(channels):
        raise DataError(
            f"Series: {len(channels)} channels, but a table of {len(table)} rows; give a row each."
        )
    names = tuple(map(str, table.index))
    if names != channels and names != tuple(map(str, range(len(table)))):
        raise DataError(
            f"Series: the rows of the table are called {list(names[:3])}, the channels "
            f"{list(channels[:3])}; bring the rows into the order of the channels."
        )
    return table.set_axis(list(channels))


def plain_columns(table: pd.DataFrame | None) -> dict[str, np.ndarray]:
    """Return ``table/<column>`` -> numbers or text, for ``.npz``; see :func:`plain_values`."""
    columns = {} if table is None else {f"table/{name}": table[name] for name in table}
    return {name: plain_values(column) for name, column in columns.items()}


def plain_values(column: Any) -> np.ndarray:
    """Return the numbers of a pandas column or index; else text, empty where it is not known."""
    known = column.notna()
    if column.dtype.kind in "biuf":
        whole = known.all() or isinstance(column.dtype, np.dtype)
        return column.to_numpy() if whole else column.to_numpy(np.float64, na_value=np.nan)
    return np.array([str(v) if k else "" for v, k in zip(column, known, strict=True)], dtype=str)


def read_series(path: str | os.PathLike, unit: str = "") -> Series:
    """Read a series from ``.npz`` (times, values[, channels, unit, valid, table/...]) or CSV.

    The first column of a CSV is the time in s, each other one a channel named by the header.
    Arrays with names of other people's choice: :func:`read_array_series`.

    Raises
    ------
    MissingFileError, DataError
        If the file is absent, or does not hold what is named above.
    """
    path = Path(path)
    arrays = read_npz(path, "a series", ("times", "values")) if path.suffix == ".npz" else None
    try:
        if arrays is not None:
            return _of_arrays(arrays, unit)
        table = read_csv_table(path, "a series (.npz or .csv)")
        values = table.iloc[:, 1:].to_numpy(dtype=float)
        return Series(table.iloc[:, 0].to_numpy(float), values, tuple(table.columns[1:]), unit)
    except (ValueError, OSError, KeyError) as error:
        raise DataError(f"{path} is not a series: {error}") from error


def _of_arrays(arrays: dict[str, np.ndarray], unit: str) -> Series:
    valid: Any = Intervals(*arrays["valid"].T) if "valid" in arrays else None
    channels = tuple(map(str, arrays.get("channels", ())))
    unit = unit or str(arrays.get("unit", ""))
    columns = {name[6:]: array for name, array in arrays.items() if name.startswith("table/")}
    table = pd.DataFrame(columns) if columns else None
    return Series(arrays["times"], arrays["values"], channels, unit, valid, table)
