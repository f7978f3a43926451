"""Streams out of arrays that people named and shaped as they liked.

What each array is, the caller says; what can be checked (lengths, order of axes) is checked.
Wherever a key is asked for, it may also be another file beside the first (``times.npy``,
``other.npz:key``), or the array itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tinbergen.errors import DataError
from tinbergen.recordings.array_files import SUFFIXES, read_array
from tinbergen.recordings.intervals import Intervals
from tinbergen.recordings.series import Series
from tinbergen.recordings.spikes import Spikes, unit_names
from tinbergen.recordings.trial_arrays import lay_out_trials, positive
from tinbergen.recordings.trials import Trials

Key = Any  # str, or the array itself


def read_array_series(
    path: str | os.PathLike,
    values: Key | None = None,
    *,
    times: Key | None = None,
    fps: float | None = None,
    start: float = 0.0,
    rate: float = 1.0,
    axes: str | Iterable[str] | None = None,
    channels: Key | None = None,
    unit: str = "",
    table: Mapping[str, Key] | None = None,
) -> Series:
    """Read a continuous signal: counts in bins, calcium traces, behaviour.

    Parameters
    ----------
    path
        A file that :func:`read_array` takes.
    values
        Key of the values ``(time, channel)``, or of a vector ``(time,)``; may be left out where
        the file holds one array.
    times
        Key of the times ``(time,)``: for bins, their starts.
    fps
        Samples a second, instead of ``times``; the first is at ``start`` s.
    rate
        Units of ``times`` in a second: 1000 for ms, the sampling rate for samples.
    axes
        ``"time, channel"`` (default) or ``"channel, time"``. Needed where the array has fewer
        rows than columns and no times to check it with.
    channels
        Names: a key, or a list.
    unit
        For example ``"spikes/bin"`` or ``"dF/F"``.
    table
        Column -> key, a value a channel.

    Raises
    ------
    MissingFileError, DataError
        Naming the file, the key wanted, and the keys and shapes found.
    """
    where = f"{path}, {values!r}" if isinstance(values, str) else str(path)
    array = _numbers(_get(path, values), where)
    if (times is None) == (fps is None):
        raise DataError(
            f"{where}: expected either times or fps; found {'both' if fps else 'none'}."
        )
    rate = positive(rate, "rate", where)
    seconds = None if times is None else _vector(_get(path, times), f"{path}, times") / rate
    names, rows = _channels(path, channels, table)
    known = {"time": None if seconds is None else len(seconds), "channel": _n(names, rows)}
    array = _oriented(array, axes, ("time", "channel"), known, where)
    if seconds is None:
        seconds = start + np.arange(len(array)) / positive(fps, "fps", where)
    return Series(seconds, array, names, unit, table=rows)


def read_binned_trials(
    path: str | os.PathLike,
    values: Key | None = None,
    *,
    times: Key | None = None,
    width: float | None = None,
    starts: Key | None = None,
    trial: Key | None = None,
    gap: float = 1.0,
    rate: float = 1.0,
    axes: str | Iterable[str] | None = None,
    columns: Mapping[str, Key] | Iterable[str] = (),
    event: str | None = None,
    channels: Key | None = None,
    unit: str = "",
    table: Mapping[str, Key] | None = None,
) -> tuple[Series, Trials]:
    """Read an array of trials into one series with a valid interval a trial, and the trials.

    Parameters
    ----------
    path
        A file that :func:`read_array` takes.
    values
        Key of the values ``(trial, time, channel)`` or ``(trial, time)``; with ``trial``: ``(time,
        channel)``.
    axes
        Order of the axes if it is another, for example ``"trial, unit, time"``.
    times, width, starts, trial, gap, rate, event
        As in :func:`lay_out_trials`; the first four may be keys.
    columns
        Column -> key, or the keys, of what is known of each trial ``(trial,)``.
    channels, unit, table
        As in :func:`read_array_series`.

    Raises
    ------
    MissingFileError, DataError
    """
    where = f"{path}, {values!r}" if isinstance(values, str) else str(path)
    array = _numbers(_get(path, values), where)
    rate = positive(rate, "rate", where)
    given = None if times is None else _numbers(_get(path, times), f"{path}, times") / rate
    at = None if given is None else given.squeeze()
    begin = None if starts is None else _vector(_get(path, starts), f"{path}, starts") / rate
    index = None if trial is None else _vector(_get(path, trial), f"{path}, trial")
    known_of = columns if isinstance(columns, Mapping) else {name: name for name in columns}
    known_of = {name: _get(path, key).squeeze() for name, key in known_of.items()}
    names, rows = _channels(path, channels, table)
    known = {"time": None if at is None else at.shape[-1], "channel": _n(names, rows)}
    if index is None:
        lengths = [at.shape[0] if at is not None and at.ndim == 2 else None, _n(begin)]
        lengths += [np.size(column) for column in known_of.values()]
        known["trial"] = next((n for n in lengths if n is not None), None)
        standard = ("trial", "time", "channel")[: max(array.ndim, 2)]
    else:
        known["time"] = len(index)
        standard = ("time", "channel")
    array = _oriented(array, axes, standard, known, where)
    if given is not None and given.shape == array.shape[:2] and event is None and begin is None:
        at = given  # of one trial: on the clock of the session, as they would be of several
    return lay_out_trials(
        array,
        times=at,
        width=width,
        starts=begin,
        trial=index,
        gap=gap,
        columns=known_of,
        event=event,
        channels=names,
        unit=unit,
        table=rows,
        where=where,
    )


def read_array_spikes(
    path: str | os.PathLike,
    times: Key = "times",
    units: Key = "units",
    *,
    rate: float | None = None,
    start: float = 0.0,
    ids: Key | None = None,
    table: Mapping[str, Key] | None = None,
    valid: Iterable[float] | None = None,
) -> Spikes:
    """Read spikes from two arrays of equal length: when, and of which unit.

    Parameters
    ----------
    path
        A file that :func:`read_array` takes.
    times
        Key of ``(spike,)`` times in s, in any order; or in samples (ms, ...) with ``rate``.
    units
        Key of ``(spike,)`` unit of each spike.
    rate
        Units of ``times`` in a second: the sampling rate for samples, 1000 for ms. Needed where
        the times are whole numbers.
    start
        Time of sample 0, s.
    ids
        Key of ``(unit,)`` ids that ``units`` holds, silent units among them. Default: with a
        table, its rows counted from 0; else those that have a spike.
    table
        Column -> key, a value a unit.
    valid
        Start and stop of the recording, s; default: from the first spike to the last.

    Raises
    ------
    MissingFileError, DataError
        Also if a unit is missing from ``ids`` or the table.
    """
    where = f"{path}, {times!r}" if isinstance(times, str) else str(path)
    at = _vector(_get(path, times), where)
    of = unit_names(_vector(_get(path, units), f"{path}, units", text=True), f"{path}, units")
    if len(at) != len(of):
        raise DataError(f"{where}: {len(at)} times, but {len(of)} units.")
    if rate is None and at.dtype.kind in "iu" and len(at):
        raise DataError(
            f"{where}: times are whole numbers ({at[0]}, ...). Give rate: how many of them make a "
            "second (sampling rate for samples, 1000 for ms, 1 for s)."
        )
    at = start + at.astype(np.float64) / positive(1.0 if rate is None else rate, "rate", where)
    if lost := int((~np.isfinite(at)).sum()):
        raise DataError(f"{where}: {lost} of {len(at)} spikes have no time (NaN); leave them out.")
    columns = {name: _get(path, key).squeeze() for name, key in (table or {}).items()}
    frame = _frame(columns, f"{path}, table") if columns else None
    names: Any
    if ids is not None:
        names = unit_names(_vector(_get(path, ids), f"{path}, ids", text=True), f"{path}, ids")
        if len(np.unique(names)) < len(names):
            raise DataError(f"{path}, ids: {len(names)} ids, but some stand twice.")
    else:
        names = np.unique(of) if frame is None else np.arange(len(frame))
    if frame is not None and len(frame) != len(names):
        raise DataError(f"{path}: {len(names)} unit ids, but a table of {len(frame)} rows.")
    rows = pd.Index(names).get_indexer(pd.Index(of))
    if (missing := rows < 0).any():
        unknown = np.unique(of[missing])
        counted = " They seem to be counted from 1: give ids." if len(names) in unknown else ""
        raise DataError(
            f"{where}: {int(missing.sum())} spikes are of {len(unknown)} units that are not in "
            f"the table, the first {unknown[0]}; it has {len(names)}, {names[:1]} to "
            f"{names[-1:]}.{counted}"
        )
    order = np.argsort(at, kind="stable")
    frame = pd.DataFrame(index=names) if frame is None else frame.set_axis(names)
    span = None if valid is None else Intervals(*([each] for each in valid))
    return Spikes(at[order], rows[order], frame, span)  # type: ignore[arg-type]


def read_array_trials(
    path: str | os.PathLike,
    start: Key = "start",
    stop: Key | None = None,
    *,
    duration: float | None = None,
    rate: float = 1.0,
    columns: Mapping[str, Key] | Iterable[str] = (),
) -> Trials:
    """Read trials whose columns are arrays.

    Parameters
    ----------
    path
        A file that :func:`read_array` takes.
    start, stop
        Keys of ``(trial,)`` times; ``duration`` (s) instead of ``stop`` if all are equally long.
    rate
        Units of start and stop in a second.
    columns
        Column -> key, or the keys, of what else is known of each trial ``(trial,)``.

    Raises
    ------
    MissingFileError, DataError
    """
    rate = positive(rate, "rate", str(path))
    begin = _vector(_get(path, start), f"{path}, start") / rate
    if (stop is None) == (duration is None):
        raise DataError(f"{path}: expected either stop or duration of the trials.")
    end = begin + (duration or 0.0)
    if stop is not None:
        end = _vector(_get(path, stop), f"{path}, stop") / rate
    known_of = columns if isinstance(columns, Mapping) else {name: name for name in columns}
    known = {name: _get(path, key).squeeze() for name, key in known_of.items()}
    return Trials(_frame({"start": begin, "stop": end, **known}, f"{path}, trials"))


def _get(path: str | os.PathLike, key: Key | None) -> np.ndarray:
    if key is not None and not isinstance(key, str):
        return np.asarray(key)
    if isinstance(key, str):
        file, _, inside = key.partition(":")
        if Path(file).suffix.lower() in SUFFIXES and (Path(path).parent / file).is_file():
            return read_array(Path(path).parent / file, inside or None)
    return read_array(path, key)


def _numbers(array: np.ndarray, where: str) -> np.ndarray:
    if array.dtype.kind not in "biuf":
        raise DataError(f"{where}: expected numbers, found {array.dtype}.")
    return array


def _vector(array: np.ndarray, where: str, text: bool = False) -> np.ndarray:
    array = array if text else _numbers(array, where)
    if max(array.shape, default=1) != array.size:
        raise DataError(f"{where}: expected one value each, found shape {array.shape}.")
    return array.ravel()


def _n(*each: Any) -> int | None:
    return next((len(value) for value in each if value is not None and len(value)), None)


def _channels(
    path: str | os.PathLike, channels: Key | None, table: Mapping[str, Key] | None
) -> tuple[tuple[str, ...], pd.DataFrame | None]:
    names = () if channels is None else tuple(map(str, _get(path, channels).ravel()))
    columns = {name: _get(path, key).squeeze() for name, key in (table or {}).items()}
    return names, _frame(columns, f"{path}, table") if columns else None


def _frame(columns: Mapping[str, np.ndarray], where: str) -> pd.DataFrame:
    shapes = {name: np.atleast_1d(column).shape for name, column in columns.items()}
    if len(set(shapes.values())) > 1 or any(len(shape) != 1 for shape in shapes.values()):
        raise DataError(f"{where}: expected columns of one length, found {shapes}.")
    return pd.DataFrame({k: np.atleast_1d(v) for k, v in columns.items()})


def _oriented(
    array: np.ndarray,
    axes: str | Iterable[str] | None,
    standard: tuple[str, ...],
    known: Mapping[str, int | None],
    where: str,
) -> np.ndarray:
    """Bring the axes into the ``standard`` order, and hold them against the lengths known."""
    if not array.ndim:
        raise DataError(f"{where}: expected values over time, found a single one.")
    if axes is None and standard == ("time", "channel") and max(array.shape) == array.size:
        array = array.reshape(-1, 1) if known["channel"] in (None, 1) else array
    given = standard if axes is None else _axis_names(axes, standard, where)
    if array.ndim != len(given):
        raise DataError(
            f"{where}: expected {len(given)} axes ({', '.join(given)}), found shape {array.shape}."
        )
    sizes = {name: known.get(name) for name in standard}

    def fits(order: tuple[str, ...]) -> bool:
        return all(sizes[a] in (None, n) for a, n in zip(order, array.shape, strict=True))

    if not fits(given):
        others = [order for order in permutations(standard) if fits(order)]
        expected = ", ".join(f"{a} {n}" for a, n in sizes.items() if n is not None)
        hint = f" It seems to be ({', '.join(others[0])}): say so with axes." if others else ""
        raise DataError(
            f"{where}: found shape {array.shape} as ({', '.join(given)}), but the other arrays "
            f"say {expected}.{hint}"
        )
    unsure = axes is None and given == ("time", "channel") and not any(sizes.values())
    if unsure and array.shape[0] < array.shape[1]:
        raise DataError(
            f"{where}: shape {array.shape} has fewer rows than columns; it seems transposed. Say "
            "axes='channel, time', or axes='time, channel' if each row is a time."
        )
    return array.transpose([given.index(name) for name in standard])


def _axis_names(
    axes: str | Iterable[str], standard: tuple[str, ...], where: str
) -> tuple[str, ...]:
    names = axes.replace(",", " ").split() if isinstance(axes, str) else list(axes)
    given = tuple("channel" if name == "unit" else name for name in names)
    if sorted(given) != sorted(standard):
        raise DataError(
            f"{where}: expected axes {', '.join(standard)} in any order, found {axes}."
        )
    return given
