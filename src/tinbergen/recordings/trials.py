"""Trials: intervals with columns."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from tinbergen.errors import DataError, MissingFileError
from tinbergen.files import atomic_write
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
                f"{list(self.table.columns)}."
            )
        try:
            table = self.table.astype({"start": np.float64, "stop": np.float64})
        except ValueError as error:
            raise DataError(f"Trials: start and stop must be seconds: {error}") from error
        bad = np.flatnonzero(~(table["start"].to_numpy() <= table["stop"].to_numpy()))
        if len(bad):
            raise DataError(f"Trials: row {bad[0] + 1} stops before it starts.")
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
        at = np.searchsorted(self.start, bins.centers, side="right") - 1
        inside = (at >= 0) & (bins.centers < np.append(self.stop, -np.inf)[at])
        return np.where(inside, at, -1)

    def write(self, path: str | os.PathLike) -> None:
        """Write a CSV; :func:`read_trials` reads it back."""
        with atomic_write(path) as file:
            self.table.to_csv(file, index=False, lineterminator="\n")


def read_trials(path: str | os.PathLike) -> Trials:
    """Read a CSV with the columns start, stop (s) and any others.

    Raises
    ------
    MissingFileError, DataError
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"Expected a CSV of trials at {path}, found none.")
    try:
        return Trials(pd.read_csv(path))
    except (ValueError, pd.errors.ParserError) as error:
        raise DataError(f"{path}: {error}") from error
