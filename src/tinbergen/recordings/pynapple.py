"""Streams as pynapple objects, and pynapple objects as streams. pynapple itself is optional."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tinbergen.errors import DataError
from tinbergen.recordings.intervals import Intervals
from tinbergen.recordings.keypoints import Keypoints
from tinbergen.recordings.labels import Labels
from tinbergen.recordings.series import Series
from tinbergen.recordings.spikes import Spikes
from tinbergen.recordings.trials import Trials

_UNIT_ID = "unit_id"  # ids that pynapple, which counts units, could not take
_TOUCH = 1e-6  # s that pynapple wants between two intervals, for its own are closed


def to_pynapple(stream: Any) -> Any:
    """Return a stream as an object of pynapple; its time support is where the stream is valid.

    ==========================  ==================================================================
    Stream                      pynapple
    ==========================  ==================================================================
    :class:`Series`             TsdFrame, also of one channel; the channel table as metadata
    :class:`Keypoints`          TsdTensor ``(time, individual, keypoint, space)``, without names
    :class:`Spikes`             TsGroup with the unit table; ids that are no whole numbers become
                                the column ``unit_id``
    :class:`Trials`             IntervalSet with the columns as metadata
    :class:`Labels`             dict class -> IntervalSet
    :class:`Intervals`          IntervalSet
    ==========================  ==================================================================

    pynapple rounds times to 1 ns, sorts units by id, and its intervals are closed: where one ends
    as the next begins, it ends 1 µs earlier. A column that bears a name of pynapple's own
    (``rate``) becomes ``table_rate``.

    Raises
    ------
    DataError
        If pynapple is not installed, the stream is none of these or has no valid time, or trials
        overlap or have no duration, which pynapple would join or drop.
    """
    nap = _pynapple()
    if isinstance(stream, Intervals):
        return _interval_set(nap, stream.starts, stream.stops)
    if isinstance(stream, Trials):
        return _of_trials(nap, stream)
    if isinstance(stream, Labels):
        each = {name: stream.intervals(name) for name in stream.classes}
        return {name: _interval_set(nap, one.starts, one.stops) for name, one in each.items()}
    if not isinstance(stream, Series | Keypoints | Spikes):
        raise DataError(f"pynapple has nothing like a {type(stream).__name__}.")
    if not len(stream.valid):
        raise DataError("pynapple cannot hold a stream without any valid time.")
    support = _interval_set(nap, stream.valid.starts, stream.valid.stops)
    if isinstance(stream, Keypoints):
        return nap.TsdTensor(t=stream.times, d=stream.positions, time_support=support)
    if isinstance(stream, Series):
        return nap.TsdFrame(
            t=stream.times,
            d=stream.values,
            columns=list(stream.channels),
            time_support=support,
            metadata=None if stream.table is None else _metadata(stream.table, stream.channels),
        )
    ids = stream.table.index
    table = stream.table
    if ids.dtype.kind not in "iu":
        table = table.assign(**{_UNIT_ID: ids.astype(str)}).set_axis(range(len(ids)))
    trains = {
        i: nap.Ts(stream.times[stream.units == k], time_support=support)
        for k, i in enumerate(table.index)
    }
    return nap.TsGroup(trains, time_support=support, metadata=_metadata(table, ("rate",)))


def from_pynapple(obj: Any) -> Any:
    """Return a pynapple object as a stream; anything else is returned as it is.

    Tsd, TsdFrame and TsdTensor become :class:`Series` (a tensor's columns lie side by side), a
    TsGroup or Ts :class:`Spikes`, an IntervalSet :class:`Trials`; metadata become the table. The
    time support becomes ``valid``, but for signals whose support merely reaches from the first
    sample to the last: there gaps are found as in any :class:`Series`.
    """
    kinds = {kind.__name__ for kind in type(obj).__mro__ if kind.__module__.startswith("pynapple")}
    if "IntervalSet" in kinds:
        table = pd.DataFrame({"start": np.asarray(obj.start), "stop": np.asarray(obj.end)})
        return Trials(table.assign(**_table(obj)))
    if "TsGroup" in kinds:
        return _spikes(obj)
    if kinds & {"Tsd", "TsdFrame", "TsdTensor"}:
        return _series(obj)
    if "Ts" in kinds:
        return Spikes(obj.t, np.zeros(len(obj.t), int), valid=_valid(obj, obj.t))
    return obj


def _pynapple() -> Any:
    try:
        import pynapple
    except ImportError as error:
        raise DataError("pynapple is not installed: pip install pynapple.") from error
    return pynapple


def _interval_set(nap: Any, starts: np.ndarray, stops: np.ndarray, table: Any = None) -> Any:
    stops = np.array(stops)
    touching = np.flatnonzero(starts[1:] - stops[:-1] < _TOUCH)
    stops[touching] = starts[touching + 1] - _TOUCH
    return nap.IntervalSet(start=np.array(starts), end=stops, metadata=table)


def _of_trials(nap: Any, trials: Trials) -> Any:
    short = trials.stop - trials.start < 2 * _TOUCH
    if short.any():
        raise DataError(f"{short.sum()} trials have no duration; pynapple would drop them.")
    overlapping = np.flatnonzero(trials.start[1:] < np.maximum.accumulate(trials.stop)[:-1])
    if len(overlapping):
        raise DataError(
            f"{len(overlapping)} trials begin before the one before has ended, first row "
            f"{overlapping[0] + 2}; pynapple would join them."
        )
    rest = trials.table.loc[:, list(trials.columns)]
    table = _metadata(rest, ("start", "end")) if len(trials.columns) else None
    return _interval_set(nap, trials.start, trials.stop, table)


def _metadata(table: pd.DataFrame, taken: Any) -> pd.DataFrame:
    names = {name: f"table_{name}" for name in table if name in taken}
    return table.rename(columns=names).rename(columns=str)


def _table(obj: Any) -> dict[str, np.ndarray]:
    metadata = getattr(obj, "metadata", None)
    if metadata is None:
        return {}
    return {str(k): np.asarray(metadata[k]) for k in metadata if k not in ("rate", "start")}


def _spikes(group: Any) -> Spikes:
    ids = [int(i) for i in group.index]
    table = pd.DataFrame(_table(group), index=ids)
    if _UNIT_ID in table and table[_UNIT_ID].is_unique:
        table = table.set_index(_UNIT_ID).rename_axis(None)
    trains = [np.asarray(group[i].t, np.float64) for i in ids]
    times = np.concatenate([np.zeros(0), *trains])
    units = np.repeat(np.arange(len(ids)), [len(train) for train in trains])
    order = np.argsort(times, kind="stable")
    return Spikes(times[order], units[order], table, _valid(group, times))


def _series(tsd: Any) -> Series:
    times, values = np.asarray(tsd.t, np.float64), np.asarray(tsd.d)
    channels: tuple[str, ...] = tuple(map(str, getattr(tsd, "columns", ())))
    if values.ndim > 2:
        channels = tuple("_".join(map(str, at)) for at in np.ndindex(values.shape[1:]))
        values = values.reshape(len(values), -1)
    table = pd.DataFrame(_table(tsd))
    whole = len(tsd.time_support) == 1 and len(times) > 0
    whole &= bool(whole and tsd.time_support.start[0] == times[0])
    whole &= bool(whole and tsd.time_support.end[0] == times[-1])
    valid: Any = None if whole else _valid(tsd, times)
    return Series(
        times, values, channels, valid=valid, table=table if len(table.columns) else None
    )


def _valid(obj: Any, times: np.ndarray) -> Intervals:
    """Return the time support, half-open: an end at which there is a sample comes just after."""
    starts, ends = np.asarray(obj.time_support.start), np.asarray(obj.time_support.end)
    return Intervals(starts, np.where(np.isin(ends, times), np.nextafter(ends, np.inf), ends))
