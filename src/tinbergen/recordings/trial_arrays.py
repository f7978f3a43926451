"""Arrays of trials on one clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from tinbergen.errors import DataError
from tinbergen.recordings.intervals import Intervals
from tinbergen.recordings.series import Series
from tinbergen.recordings.trials import Trials

_MISSING = 1.5  # widths from one bin to the next from which on one is missing
_TOUCHING = 1e-3  # share of a bin by which trials may overlap from rounding


def lay_out_trials(
    values: np.ndarray,
    *,
    times: np.ndarray | None = None,
    width: float | None = None,
    starts: np.ndarray | None = None,
    trial: np.ndarray | None = None,
    gap: float = 1.0,
    columns: Mapping[str, Any] | None = None,
    event: str | None = None,
    channels: Iterable[str] = (),
    unit: str = "",
    table: pd.DataFrame | None = None,
    where: str = "Trials",
) -> tuple[Series, Trials]:
    """Put trials on one clock: a series with a valid interval a trial, and the trials.

    Parameters
    ----------
    values
        ``(trial, time, channel)`` or ``(trial, time)``; or ``(time, channel)`` with ``trial``.
    times
        Starts of the bins, s: ``(trial, time)`` on the clock of the session; or ``(time,)`` within
        a trial, the same for all (with ``trial``: on the clock of the session).
    width
        Of a bin, s; default: the median step of ``times``.
    starts
        ``(trial,)`` s on the clock of the session: where time 0 of each trial lies. Without these
        and without times of the session, the trials are put one after another with ``gap`` s
        between them; these times then mean nothing beyond the order.
    trial
        ``(time,)`` number of the trial that each row belongs to, rows of one trial together.
    gap
        s.
    columns
        Column -> ``(trial,)``, what is known of each trial; with ``trial`` a row a number.
    event
        Name of a column to be made of the time 0 of each trial on the clock, s.
    channels, unit, table
        Of the series.
    where
        What errors call the array.

    Returns
    -------
    The series (times = starts of the bins), and the trials in order of time. Where bins are
    missing within a trial, its valid time is interrupted. Bins of trials that touch are
    neighbours in time, so that such trials share an interval.

    Raises
    ------
    DataError
        If trials overlap, lack a time, or lengths differ.
    """
    values = np.asarray(values)
    if trial is None:
        values = values[..., None] if values.ndim == 2 else values
        numbers, lengths = np.arange(len(values)), np.full(len(values), values.shape[1])
    else:
        numbers, lengths = _runs(np.asarray(trial), where)
    if not len(numbers) or not lengths.all():
        raise DataError(f"{where}: no trial, or no bin; found shape {values.shape}.")
    firsts = np.cumsum(lengths) - lengths
    inside, width = _times_inside(times, width, lengths, trial is not None, where)
    on_clock = times is not None and (np.ndim(times) == 2 or trial is not None)
    if on_clock and (starts is not None or event is not None):
        raise DataError(
            f"{where}: the times are those of the session already; give no "
            f"{'event' if starts is None else 'starts'}, or times within a trial."
        )
    if starts is not None:
        origin = _origins(starts, len(numbers), where)
    elif on_clock:
        origin = np.zeros(len(numbers))
    else:
        spans = lengths * width + positive(gap, "gap", where)
        origin = np.cumsum(spans) - spans - inside[firsts]
    at = inside + np.repeat(origin, lengths)
    begin = at[firsts]
    order = np.argsort(begin, kind="stable")
    stop = _ends((at[firsts + lengths - 1] + width)[order], begin[order], width, order, where)
    known = {
        name: _of_trials(column, numbers, name, trial is not None, where)[order]
        for name, column in (columns or {}).items()
    }
    if event is not None:
        known[event] = origin[order]
    pieces = np.split(np.arange(len(at)), firsts[1:])
    rows = np.concatenate([pieces[k] for k in order])
    flat = values.reshape(-1, values.shape[-1])[rows]
    lasts = np.cumsum(lengths[order]) - 1
    series = Series(
        at[rows], flat, tuple(channels), unit, _pieces(at[rows], lasts, stop, width), table
    )
    return series, Trials(pd.DataFrame({"start": begin[order], "stop": stop, **known}))


def positive(value: float | None, name: str, where: str) -> float:
    """Return ``value`` if it is a number above 0."""
    if value is None or not 0 < value < np.inf:
        raise DataError(f"{where}: expected {name} > 0, found {value}.")
    return value


def _runs(trial: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the number and the length of each trial."""
    edges = np.flatnonzero(np.append(True, trial[1:] != trial[:-1])) if len(trial) else []
    numbers = trial[edges]
    names, counts = np.unique(numbers, return_counts=True)
    if (counts > 1).any():
        raise DataError(f"{where}: the rows of trial {names[counts > 1][0]} are not together.")
    return numbers, np.diff(np.append(edges, len(trial))).astype(int)


def _times_inside(
    times: np.ndarray | None, width: float | None, lengths: np.ndarray, ragged: bool, where: str
) -> tuple[np.ndarray, float]:
    """Return the start of each bin ``(all bins,)`` within its trial or session, and the width."""
    if times is None:
        width = positive(width, "times or width", where)
        return np.concatenate([np.arange(n) * width for n in lengths]), width
    times = np.asarray(times, float)
    full = (lengths.sum(),) if ragged else (len(lengths), lengths[0])
    if times.shape not in (full, full[-1:]):
        raise DataError(f"{where}: times of shape {times.shape} do not fit shape {full}.")
    flat = times.ravel() if times.shape == full else np.tile(times, len(lengths))
    steps = np.delete(np.diff(flat), np.cumsum(lengths)[:-1] - 1)
    if not np.isfinite(flat).all() or (steps <= 0).any():
        raise DataError(f"{where}: times must rise within each trial, and none may be missing.")
    if width is None:
        width = float(np.median(steps)) if len(steps) else None
    return flat, positive(width, "width", where)


def _origins(starts: np.ndarray, n_trials: int, where: str) -> np.ndarray:
    origin = np.asarray(starts, float)
    if origin.shape != (n_trials,):
        raise DataError(f"{where}: {n_trials} trials, but starts of shape {origin.shape}.")
    if lost := int((~np.isfinite(origin)).sum()):
        raise DataError(f"{where}: {lost} of {n_trials} trials have no start time.")
    return origin


def _ends(
    stop: np.ndarray, begin: np.ndarray, width: float, order: np.ndarray, where: str
) -> np.ndarray:
    """Return ``stop`` without what rounding makes it reach into the next trial."""
    over = stop[:-1] - begin[1:]
    bad = np.flatnonzero(over > _TOUCHING * width)
    if len(bad):
        i = bad[0]
        raise DataError(
            f"{where}: trials {order[i]} and {order[i + 1]} share {over[i]:.6g} s ({len(bad)} "
            "such pairs); a series holds each time once. Cut them, or leave their times out: "
            "they are then put one after another."
        )
    return np.append(np.minimum(stop[:-1], begin[1:]), stop[-1])


def _pieces(times: np.ndarray, lasts: np.ndarray, stop: np.ndarray, width: float) -> Intervals:
    """Return where there are bins: to the end of a trial, or to a bin that is missing."""
    ends = times + width
    ends[lasts] = stop
    at = np.union1d(np.flatnonzero(np.diff(times) > _MISSING * width), lasts)
    return Intervals(times[np.append(0, at[:-1] + 1)], ends[at])


def _of_trials(
    column: Any, numbers: np.ndarray, name: str, numbered: bool, where: str
) -> np.ndarray:
    column = np.atleast_1d(np.asarray(column))
    counted = numbered and numbers.dtype.kind in "iu" and numbers.min() >= 0
    if counted and column.ndim == 1 and numbers.max() < len(column):
        return column[numbers]
    if column.shape == (len(numbers),):
        return column
    raise DataError(
        f"{where}: {len(numbers)} trials, but column {name!r} of shape {column.shape}."
    )
