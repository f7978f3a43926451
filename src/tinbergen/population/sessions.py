"""A session as arrays: windows of counts and behaviour on common bins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from tinbergen.errors import DataError
from tinbergen.population.config import ModalityConfig, WindowsConfig
from tinbergen.population.wide import WIDEST
from tinbergen.recordings import Recording, Series, Spikes
from tinbergen.recordings.binned_counts import is_counts, window_counts
from tinbergen.recordings.windows import Windows, sliding_windows, trial_windows

REGION_COLUMNS = ("region", "brain_area", "location")
UNKNOWN_REGION = "unknown"


@dataclass(frozen=True, eq=False)
class Session:
    """Windows of one recording.

    Attributes
    ----------
    name, subject
        Of the recording; without a subject it is its own.
    counts
        ``(window, time, unit)`` uint8, or uint16 where a count exceeds 255; spikes/bin.
    regions
        ``(unit,)`` names.
    values
        Modality -> ``(window, time, width)``, or ``(window, width)`` for a static one: float64, of
        more than 128 channels float32, NaN = not known; classes as ``(window, time)`` or
        ``(window,)`` objects, None = not known.
    starts
        ``(window,)`` s, ascending.
    table
        A row a window, as the windows have it.
    notes
        What was left out, in words and numbers.
    """

    name: str
    subject: str
    counts: np.ndarray
    regions: np.ndarray
    values: Mapping[str, np.ndarray] = field(default_factory=dict)
    starts: np.ndarray = field(default_factory=lambda: np.zeros(0))
    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def n_units(self) -> int:
        """Units of the session."""
        return self.counts.shape[2]

    @classmethod
    def of_arrays(
        cls,
        name: str,
        counts: np.ndarray,
        *,
        regions: Iterable[Any] | None = None,
        values: Mapping[str, np.ndarray] | None = None,
        subject: str | None = None,
    ) -> Session:
        """Make a session from arrays; windows are in the order in which they were recorded.

        Parameters
        ----------
        counts
            ``(window, time, unit)`` whole numbers, spikes/bin.
        regions
            ``(unit,)``; default: all unknown.
        values
            See :class:`Session`.

        Raises
        ------
        DataError
            If shapes differ or counts are none.
        """
        counts = _compact(np.asarray(counts), name)
        n, _, units = counts.shape
        names = np.full(units, UNKNOWN_REGION, dtype=object)
        if regions is not None:
            names = _region_names(pd.Series(list(regions)))
            if len(names) != units:
                raise DataError(f"{name}: {units} units, but {len(names)} regions.")
        for key, value in (values or {}).items():
            if len(value) != n:
                raise DataError(f"{name}, {key}: {n} windows, but {len(value)} values.")
        return cls(name, subject or name, counts, names, dict(values or {}), np.arange(float(n)))


def session_of(
    recording: Recording, windows: WindowsConfig, modalities: Mapping[str, ModalityConfig]
) -> Session:
    """Cut a recording into windows.

    A window is left out where spikes were not recorded during all of it; behaviour may be missing.

    Raises
    ------
    DataError
        If a stream or a column is missing or of another kind than was declared, or if no window
        is left.
    """
    where = f"Recording {recording.name!r}"
    stream = recording[windows.spikes]
    if not isinstance(stream, Spikes) and not (isinstance(stream, Series) and is_counts(stream)):
        raise DataError(
            f"{where}: expected Spikes, or a Series of counts (unit 'spikes/bin'), in "
            f"{windows.spikes!r}; found a {type(stream).__name__}."
        )
    found = cut(recording, windows)
    if not len(found):
        raise DataError(f"{where}: no window is left. {found.left_out}")
    order = np.argsort(found.starts, kind="stable")
    found = found.only(order)
    if isinstance(stream, Spikes):
        counts, table = found.of(stream), stream.table
    else:
        counts, table = window_counts(found, stream, where), stream.table
    values = {
        name: _values(recording, found, name, modality) for name, modality in modalities.items()
    }
    left_out = (str(found.left_out),) if found.left_out else ()
    return Session(
        recording.name,
        recording.subject or recording.name,
        _compact(counts, where),
        _regions(table, counts.shape[2]),
        values,
        found.starts,
        found.table,
        left_out,
    )


def cut(recording: Recording, windows: WindowsConfig) -> Windows:
    """Return the windows of a recording, during all of which its spikes were recorded."""
    stream = recording[windows.spikes]
    if windows.align is None:
        length = windows.before + windows.after
        return sliding_windows(stream.valid, length=length, width=windows.width, step=windows.step)
    return trial_windows(
        recording[windows.trials],
        windows.align,
        before=windows.before,
        after=windows.after,
        width=windows.width,
        streams={windows.spikes: stream},
    )


def _compact(counts: np.ndarray, where: str) -> np.ndarray:
    if counts.ndim != 3:
        raise DataError(f"{where}: expected counts (window, time, unit), found {counts.shape}.")
    if not counts.size:
        raise DataError(f"{where}: there is no count; found shape {counts.shape}.")
    if counts.min() < 0 or not np.array_equal(counts, np.rint(counts)):
        raise DataError(f"{where}: expected counts, found negative or broken numbers.")
    most = counts.max()
    if most > np.iinfo(np.uint16).max:
        raise DataError(f"{where}: {most:.0f} spikes of a unit in a bin. Use narrower bins.")
    return counts.astype(np.uint8 if most <= 255 else np.uint16)


def _regions(table: pd.DataFrame | None, n: int) -> np.ndarray:
    for column in REGION_COLUMNS:
        if table is not None and column in table:
            return _region_names(pd.Series(table[column]))
    return np.full(n, UNKNOWN_REGION, dtype=object)


def _region_names(column: pd.Series) -> np.ndarray:
    return column.where(column.notna(), UNKNOWN_REGION).astype(str).to_numpy(dtype=object)


def _values(
    recording: Recording, windows: Windows, name: str, modality: ModalityConfig
) -> np.ndarray:
    """Return one modality on the windows; NaN or None where nothing is known."""
    stream, _, channel = (modality.source or name).partition("/")
    where = f"Recording {recording.name!r}, {name}"
    if stream not in recording:
        return _nothing(windows, modality)
    if stream == "trials":
        return _of_trials(windows, channel, modality, where)
    values = windows.of(_channel(recording[stream], channel, where))
    if modality.kind == "categorical":
        raise DataError(f"{where}: classes come from the trials; found a stream over time.")
    values = values.reshape(*values.shape[:2], -1)
    if values.shape[2] > WIDEST:  # of embeddings, which are large
        values = values.astype(np.float32)
    return values.mean(axis=1) if modality.static else values


def _channel(stream: Any, channel: str, where: str) -> Any:
    if not channel:
        return stream
    if not isinstance(stream, Series) or channel not in stream.channels:
        raise DataError(f"{where}: there is no channel {channel!r}.")
    at = [stream.channels.index(channel)]
    return Series(stream.times, stream.values[:, at], (channel,), stream.unit, stream.valid)


def _of_trials(windows: Windows, column: str, modality: ModalityConfig, where: str) -> np.ndarray:
    if column not in windows.table:
        raise DataError(
            f"{where}: the trials have no column {column!r}; they have: "
            f"{', '.join(map(str, windows.table.columns))}."
        )
    if not modality.static:
        raise DataError(f"{where}: a column of the trials is static; declare static: true.")
    values = windows.table[column]
    if modality.kind == "categorical":
        return values.astype(object).where(values.notna(), None).to_numpy(dtype=object)
    return values.to_numpy(dtype=np.float64)[:, None]


def _nothing(windows: Windows, modality: ModalityConfig) -> np.ndarray:
    """Return a modality that a recording lacks, of the shape that it declares or of width 1."""
    shape = (len(windows),) if modality.static else (len(windows), len(windows.offsets))
    if modality.kind == "categorical":
        return np.full(shape, None, dtype=object)
    return np.full((*shape, 1), np.nan)
