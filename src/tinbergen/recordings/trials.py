"""Trials: intervals with columns."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from tinbergen.errors import DataError
from tinbergen.files import write_csv
from tinbergen.recordings.csv_table import read_csv_table
from tinbergen.recordings.intervals import Bins


@dataclass(frozen=True, eq=False)
class Trials:
    """Trials of a task.

    Attributes
    ----------
    table
        A row a trial: ``start``, ``stop`` (s, half-open), and what else is known (stimulus,
        choice, outcome; event times in s).
    """

    table: pd.DataFrame

    def __post_init__(self) -> None:
        if missing := [name for name in ("start", "stop") if name not in self.table]:
            raise DataError(
                f"Trials: expected the columns start and stop (s); {missing} missing, found "
                f"{list(self.table.columns)}. In a dataset.yaml others can be named: start: NAME, "
                "stop: NAME, columns: [NAME, ...]."
            )
        try:
            table = self.table.astype({"start": np.float64, "stop": np.float64})
        except ValueError as error:
            raise DataError(f"Trials: start and stop must be seconds: {error}") from error
        times = table[["start", "stop"]].to_numpy()
        bad = np.flatnonzero(~(np.isfinite(times).all(axis=1) & (times[:, 0] <= times[:, 1])))
        if len(bad):
            start, stop = times[bad[0]]
            what = "stops before it starts" if stop < start else "has no start or no stop"
            raise DataError(
                f"Trials: row {bad[0] + 1} of {len(table)} {what}: {start} to {stop} s "
                f"({len(bad)} such rows). Mend or remove them first."
            )
        table = table.sort_values("start", kind="stable").reset_index(drop=True)
        object.__setattr__(self, "table", table)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def start(self) -> np.ndarray:
        """``(trial,)`` float64, s."""
        return self.table["start"].to_numpy()

    @property
    def stop(self) -> np.ndarray:
        """``(trial,)`` float64, s."""
        return self.table["stop"].to_numpy()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of what is known of each trial besides its times."""
        return tuple(name for name in self.table if name not in ("start", "stop"))

    def between(self, start: float, stop: float) -> Self:
        """Return the trials that lie wholly inside ``[start, stop)`` s: none is cut."""
        inside = (self.start >= start) & (self.stop <= stop)
        return type(self)(self.table.loc[inside])

    def bin(self, bins: Bins) -> np.ndarray:
        """Return the row of the trial at the middle of each bin, ``(bin,)`` int; -1 outside.

        Where trials overlap, the one that began last.
        """
        order = np.argsort(bins.centers, kind="stable")
        first, last = np.searchsorted(bins.centers[order], [self.start, self.stop])
        rows = np.full(len(bins), -1)
        for trial, (a, b) in enumerate(zip(first, last, strict=True)):
            rows[order[a:b]] = trial
        return rows

    @property
    def overlapping(self) -> np.ndarray:
        """``(trial,)`` bool: which trials share time with another one."""
        shares = np.zeros(len(self), dtype=bool)
        rows = np.flatnonzero(self.stop > self.start)
        start, stop = self.start[rows], self.stop[rows]
        # Sorted by start: one overlaps an earlier one that has not ended, or the next one.
        inside = start[1:] < np.maximum.accumulate(stop)[:-1]
        shares[rows[1:][inside]] = True
        shares[rows[:-1][start[1:] < stop[:-1]]] = True
        return shares

    def column(self, name: str) -> np.ndarray:
        """Return one column, ``(trial,)``.

        Raises
        ------
        DataError
            If there is none of that name; the text lists those there are.
        """
        if name not in self.table:
            raise DataError(
                f"The trials have no column {name!r}; they have {', '.join(map(str, self.table))}."
            )
        return self.table[name].to_numpy()

    def codes(self, column: str) -> tuple[np.ndarray, list]:
        """Return the values of a column as codes ``(trial,)`` int, and the value of each code.

        Values in ascending order, whatever they are: ``{-1, 1}`` becomes ``{0, 1}``, ``{0.2, 0.5,
        0.8}`` becomes ``{0, 1, 2}``. Trials without a value get -1, which is no class.
        """
        codes, values = pd.factorize(self.column(column), sort=True)
        return codes, list(values)

    def write(self, path: str | os.PathLike) -> None:
        """Write a CSV; :func:`read_trials` reads it back."""
        write_csv(path, self.table)


def read_trials(path: str | os.PathLike) -> Trials:
    """Read a CSV with the columns start, stop (s) and any others.

    Raises
    ------
    MissingFileError, DataError
    """
    path = Path(path)
    try:
        return Trials(read_csv_table(path, "a CSV of trials"))
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: {error}") from error
