"""A cache of binned spikes: the windows of many recordings in one array of bytes.

A cache is a folder::

    counts.npy        (byte,) uint8: recording after recording, window after window, (time, unit)
    units.parquet     a row a unit: recording, unit, and the columns of the unit tables
    windows.parquet   a row a window: recording, and what Windows.table says of it
    meta.json         key, settings, and a line for each recording: where its counts lie, their
                      shape and type, what was left out

Nothing is padded: each recording has its own number of units. It appears at once when all of it is
written.
"""

from __future__ import annotations

import bisect
import functools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from tinbergen.configuration import Config
from tinbergen.errors import DataError, MissingFileError
from tinbergen.recordings.left_out import LeftOut
from tinbergen.recordings.recording import Recording
from tinbergen.recordings.spikes import Spikes
from tinbergen.recordings.windows import Windows, sliding_windows, trial_windows

FORMAT = 1


class CountsConfig(Config):
    """What a cache of counts holds.

    Attributes
    ----------
    width
        Of the bins, s.
    align, before, after
        Windows around the event in this column of the trials, s; see :func:`trial_windows`.
    length, step
        Without ``align``: sliding windows, s; see :func:`sliding_windows`.
    spikes, trials
        Names of the streams.
    cover
        Other streams that must have been recorded during the whole of a window.
    overlap
        Whether windows around events may share time.
    overflow
        What to do with a recording that has more than 255 spikes of one unit in a bin: store it
        in two bytes a count (``widen``), or raise an error.
    """

    width: float
    align: str | None = None
    before: float = 0.0
    after: float = 1.0
    length: float = 1.0
    step: float | None = None
    spikes: str = "spikes"
    trials: str = "trials"
    cover: tuple[str, ...] = ()
    overlap: Literal["leave out", "keep"] = "leave out"
    overflow: Literal["widen", "refuse"] = "widen"

    def windows(self, recording: Recording) -> tuple[Spikes, Windows]:
        """Return the spikes of a recording, and the windows to count them in."""
        spikes = recording[self.spikes]
        if not isinstance(spikes, Spikes):
            raise DataError(
                f"Recording {recording.name!r}: expected Spikes in {self.spikes!r}, found a "
                f"{type(spikes).__name__}."
            )
        streams = {name: recording[name] for name in (self.spikes, *self.cover)}
        if self.align is None:
            valid = spikes.valid
            for name in self.cover:
                valid = valid & streams[name].valid
            sliding = {"length": self.length, "width": self.width, "step": self.step}
            return spikes, sliding_windows(valid, **sliding)
        return spikes, trial_windows(
            recording[self.trials],
            self.align,
            before=self.before,
            after=self.after,
            width=self.width,
            streams=streams,
            overlap=self.overlap,
        )


@dataclass(frozen=True)
class CachedCounts:
    """Where the counts of one recording lie.

    Attributes
    ----------
    name, subject
        Of the recording.
    offset
        First of its bytes in ``counts.npy``.
    shape
        ``(window, time, unit)``.
    dtype
        ``"|u1"``, or ``"<u2"`` where a count exceeds 255.
    largest
        Largest count, spikes/bin.
    hash
        SHA-256 of what it was made from.
    left_out
        Which trials have no window, and why.
    """

    name: str
    subject: str | None
    offset: int
    shape: tuple[int, int, int]
    dtype: str
    largest: int
    hash: str
    left_out: dict[str, Any]

    @property
    def n_bytes(self) -> int:
        """Length of its counts."""
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize


class CountsCache:
    """A finished cache of counts on disk; may be pickled, and read by many processes at once.

    Raises
    ------
    MissingFileError
        If the folder does not exist.
    DataError
        If it holds no finished cache, or one of another format.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        if not self.path.is_dir():
            raise MissingFileError(f"Expected a cache of counts at {self.path}, found no folder.")
        if not (self.path / "meta.json").is_file():
            raise DataError(f"{self.path} holds no cache of counts (no meta.json).")
        with _rebuild(self.path / "meta.json"):
            self.meta = json.loads((self.path / "meta.json").read_text(encoding="utf-8"))
        if self.meta.get("format") != FORMAT or "recordings" not in self.meta:
            raise DataError(
                f"{self.path} has cache format {self.meta.get('format')}, this version reads "
                f"{FORMAT}. Build it again in another folder."
            )

    @classmethod
    def open(cls, path: str | os.PathLike) -> CountsCache:
        """Open the cache at ``path``."""
        return cls(path)

    def __reduce__(self) -> tuple:
        return type(self), (self.path,)

    def __repr__(self) -> str:
        return (
            f"CountsCache({str(self.path)!r}, {len(self)} windows, {len(self.recordings)} "
            "recordings)"
        )

    def __len__(self) -> int:
        return self._first[-1]

    @property
    def key(self) -> str:
        """Hash of the content of all recordings and of the settings."""
        return self.meta["key"]

    @property
    def config(self) -> CountsConfig:
        """The settings it was built with."""
        return CountsConfig.model_validate(self.meta["config"])

    @functools.cached_property
    def recordings(self) -> dict[str, CachedCounts]:
        """Name -> where its counts lie, in order."""
        entries = [e | {"shape": tuple(e["shape"])} for e in self.meta["recordings"]]
        return {e["name"]: CachedCounts(**e) for e in entries}

    @property
    def notes(self) -> list[str]:
        """A line for each recording whose counts did not fit one byte."""
        return [
            f"{e.name}: up to {e.largest} spikes of a unit in a bin, stored in two bytes a count"
            for e in self.recordings.values()
            if e.dtype != "|u1"
        ]

    def left_out(self, name: str) -> LeftOut:
        """Return which trials of a recording have no window, and why."""
        found = self._entry(name).left_out
        reasons = {reason: tuple(rows) for reason, rows in found["reasons"].items()}
        return LeftOut(found["what"], found["total"], reasons, found["note"])

    @functools.cached_property
    def units(self) -> pd.DataFrame:
        """A row a unit of all recordings: ``recording``, ``unit``, and what is known of it."""
        with _rebuild(self.path / "units.parquet"):
            return pd.read_parquet(self.path / "units.parquet")

    @functools.cached_property
    def windows(self) -> pd.DataFrame:
        """A row a window of all recordings: ``recording``, ``window_start`` (s), its trial."""
        with _rebuild(self.path / "windows.parquet"):
            return pd.read_parquet(self.path / "windows.parquet")

    def __getitem__(self, name: str) -> np.ndarray:
        """Return all windows of a recording, ``(window, time, unit)`` uint8 or uint16.

        Read-only, and read from the disk when it is looked at.
        """
        self._entry(name)
        return self._views[name]

    def read(self, name: str, rows: Any) -> np.ndarray:
        """Read some windows of a recording into memory, ``(window, time, unit)``."""
        return self[name].take(np.asarray(rows), axis=0)

    def window(self, row: int) -> np.ndarray:
        """Return the window in one row of :attr:`windows`, ``(time, unit)``; read-only."""
        if not 0 <= row < len(self):
            raise IndexError(f"The cache has windows 0 to {len(self) - 1}; asked for {row}.")
        k = bisect.bisect_right(self._first, row) - 1
        return self._views[self._names[k]][row - self._first[k]]

    def _entry(self, name: str) -> CachedCounts:
        if name not in self.recordings:
            shown = ", ".join(list(self.recordings)[:8])
            raise KeyError(f"No recording {name!r} among {len(self.recordings)}: {shown} ...")
        return self.recordings[name]

    @functools.cached_property
    def _first(self) -> list[int]:
        """First row of each recording, and the number of rows."""
        return np.cumsum([0, *(entry.shape[0] for entry in self.recordings.values())]).tolist()

    @functools.cached_property
    def _names(self) -> list[str]:
        return list(self.recordings)

    @functools.cached_property
    def _views(self) -> dict[str, np.ndarray]:
        path = self.path / "counts.npy"
        with _rebuild(path):
            data = np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)
            return {
                name: data[e.offset : e.offset + e.n_bytes].view(e.dtype).reshape(e.shape)
                for name, e in self.recordings.items()
            }


@contextmanager
def _rebuild(path: Path) -> Iterator[None]:
    """Say that a file which cannot be read has to be made again."""
    try:
        yield
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path} is damaged: {error}. Build the cache again.") from error
