"""Frame times that a camera's software wrote beside the video."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from tinbergen.errors import DataError, MissingFileError

_SECONDS_PER = {
    "s": 1.0,
    "sec": 1.0,
    "seconds": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "ns": 1e-9,
}
_TIME_COLUMN = re.compile(r"time", re.IGNORECASE)
_UNIT = re.compile(r"[(\[_ ](s|sec|seconds|ms|us|µs|ns)[)\]]?\s*$", re.IGNORECASE)


def read_times(source: Any) -> np.ndarray:
    """Return frame times as ``(n,)`` float64 s.

    Parameters
    ----------
    source
        Numbers in s; or a ``.npy`` file of seconds; or a CSV with either one column of seconds or
        a header with one column whose name holds "time", the unit behind it (``Time Stamp (ms)``,
        ``time_us``, ``time``; default s). The Miniscope's ``timeStamps.csv`` is such a file.

    Raises
    ------
    MissingFileError
        If the file is absent.
    DataError
        If there is no such column, or a time is not finite or smaller than the one before.
    """
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if not path.is_file():
            raise MissingFileError(f"Expected a file of frame times at {path}, found none.")
        times, where = _read_file(path), str(path)
    else:
        times, where = np.array(source, dtype=np.float64), "times"
    if times.ndim != 1:
        raise DataError(f"{where}: expected one time for each frame, found shape {times.shape}.")
    bad = np.flatnonzero(~np.isfinite(times))
    if len(bad):
        raise DataError(
            f"{where}: the time of frame {bad[0]} is {times[bad[0]]}; expected seconds."
        )
    back = np.flatnonzero(np.diff(times) < 0)
    if len(back):
        i = int(back[0])
        raise DataError(
            f"{where}: times must not run backwards, but frame {i} is at {times[i]:.6f} s and "
            f"frame {i + 1} at {times[i + 1]:.6f} s."
        )
    return times


def _read_file(path: Path) -> np.ndarray:
    import pandas as pd

    try:
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False).astype(np.float64)
        table = pd.read_csv(path, header=None, skipinitialspace=True, dtype=str)
    except (ValueError, OSError, pd.errors.ParserError) as error:
        raise DataError(f"{path} holds no frame times: {error}") from error
    header = [str(cell) for cell in table.iloc[0]]
    try:
        if len(header) == 1 and not _TIME_COLUMN.search(header[0]):
            return table[0].astype(np.float64).to_numpy()
        columns = [i for i, name in enumerate(header) if _TIME_COLUMN.search(name)]
        if len(columns) != 1:
            raise DataError(
                f"{path}: expected one column with 'time' in its name, found columns {header}."
            )
        unit = _UNIT.search(header[columns[0]])
        scale = _SECONDS_PER[unit.group(1).lower()] if unit else 1.0
        return table[columns[0]].iloc[1:].astype(np.float64).to_numpy() * scale
    except ValueError as error:
        raise DataError(f"{path}: a time is not a number: {error}") from error
