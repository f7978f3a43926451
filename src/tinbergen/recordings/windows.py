"""Windows on common bins: around an event of each trial, or sliding over a recording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import pandas as pd

from tinbergen.errors import DataError
from tinbergen.recordings.intervals import Bins, Intervals
from tinbergen.recordings.keypoints import Keypoints
from tinbergen.recordings.left_out import LeftOut, apply_rules
from tinbergen.recordings.recording import Recording
from tinbergen.recordings.series import Series
from tinbergen.recordings.spikes import Spikes
from tinbergen.recordings.trials import Trials

_ROUNDING = 1e-6  # s; windows and the ends of what was recorded are no better known than this


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of one length, cut into the same bins.

    Attributes
    ----------
    edges
        ``(window, time + 1)`` float64, s: the edges of the half-open bins of each window.
    offsets
        ``(time,)`` float64, s: middle of each bin, from the event (or from the window's start).
    table
        A row a window. Of trials: their columns, and ``trial``, the row in the trials. Sliding:
        ``start``, ``stop`` (s), ``interval``.
    left_out
        What got no window, and why.
    """

    edges: np.ndarray
    offsets: np.ndarray
    table: pd.DataFrame
    left_out: LeftOut

    def __len__(self) -> int:
        return len(self.edges)

    @property
    def width(self) -> float:
        """Length of a bin, s."""
        return float(self.edges[0, 1] - self.edges[0, 0]) if self.edges.size else float("nan")

    @property
    def starts(self) -> np.ndarray:
        """``(window,)`` float64, s."""
        return self.edges[:, 0]

    @property
    def stops(self) -> np.ndarray:
        """``(window,)`` float64, s."""
        return self.edges[:, -1]

    @property
    def bins(self) -> Bins:
        """All bins, window after window; ``interval`` is the number of the window."""
        window = np.repeat(np.arange(len(self)), len(self.offsets))
        return Bins(self.edges[:, :-1].ravel(), self.edges[:, 1:].ravel(), self.width, window)

    def only(self, rows: Any) -> Self:
        """Return these windows alone: numbers (int), or a mask ``(window,)`` bool."""
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        table = self.table.iloc[rows].reset_index(drop=True)
        return replace(self, edges=self.edges[rows], table=table)

    def of(self, stream: Any, dtype: Any = np.int32) -> np.ndarray:
        """Return a stream on the bins, ``(window, time, ...)``.

        Spike counts ``(window, time, unit)`` of ``dtype``; of Series and Keypoints the mean of the
        samples in a bin, float64: where a bin holds none, as in a signal slower than the bins, the
        value at its middle between the two neighbouring samples, and NaN in a gap. Other streams
        as their ``bin`` says.

        Raises
        ------
        DataError
            If spikes were not recorded during a whole window, whose counts would be too low.
        """
        bins = self.bins
        if isinstance(stream, Spikes):
            bad = np.flatnonzero(~_covered(stream.valid, self.starts, self.stops))
            if len(bad):
                raise DataError(
                    f"{len(bad)} of {len(self)} windows reach outside of where spikes were "
                    f"recorded; the first is {self.starts[bad[0]]:.3f} to "
                    f"{self.stops[bad[0]]:.3f} s. Name the spikes in streams=, so that such "
                    "trials are left out, or say in Spikes(valid=...) where was recorded."
                )
            values = stream.bin(bins, dtype)
        else:
            values = stream.bin(bins)
            if isinstance(stream, Series | Keypoints):
                _fill_between_samples(values, bins, stream)
        return values.reshape(len(self), len(self.offsets), *values.shape[1:])


def trial_windows(
    trials: Trials,
    align: str,
    *,
    before: float,
    after: float,
    width: float,
    streams: Recording | Mapping[str, Any] | None = None,
    overlap: Literal["leave out", "keep"] = "leave out",
) -> Windows:
    """Make a window around one event of each trial, ``[event - before, event + after)``.

    A trial gets no window, and is named in ``left_out`` with the first reason that holds, if it
    has no event, if a stream was not recorded during all of the window, or if the window begins
    before the last one has ended: both would hold the same data, one perhaps in training and one
    in the test.

    Parameters
    ----------
    align
        Column of ``trials`` with the time of the event, s; ``"start"`` and ``"stop"`` as well.
    before, after
        s; negative values move the window beyond the event.
    width
        Of the bins, s; ``before + after`` must be a multiple.
    streams
        Name -> stream: those that must have been recorded. Labels and trials are never asked.
    overlap
        Whether windows may share time.

    Raises
    ------
    DataError
        If there is no such column of times, or the bins do not fill the window.
    """
    column = trials.column(align)
    try:
        events = column.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"Column {align!r} of the trials must hold times in s: {error}") from error
    relative = _bin_edges(before, after, width)
    starts, stops = events + relative[0], events + relative[-1]
    rules = {f"no time in {align!r}": ~np.isfinite(events)}
    for name, stream in _sampled(streams).items():
        covered, has_ends = _covered(stream.valid, starts, stops), _ends(stream, starts, stops)
        rules[f"a gap in {name!r}"] = ~covered & has_ends
        rules[f"not covered by {name!r}"] = ~covered
    if overlap == "leave out":
        out = np.any([*rules.values()], axis=0)
        rules["begins in the window before"] = _begin_too_early(starts, stops, ~out)
    kept, left_out = apply_rules("trials", np.arange(len(trials)), rules)
    table = trials.table.assign(trial=np.arange(len(trials))).loc[kept].reset_index(drop=True)
    edges = events[kept, None] + relative
    return Windows(edges, (relative[1:] + relative[:-1]) / 2, table, left_out)


def sliding_windows(
    source: Recording | Intervals,
    *,
    length: float,
    width: float,
    step: float | None = None,
) -> Windows:
    """Make windows of ``length`` s, one every ``step`` s, that no event aligns.

    None crosses a gap. Time at the end of an interval that fills no window is left out, as are
    intervals shorter than a window; ``left_out`` says how much.

    Parameters
    ----------
    source
        Where to: intervals, or the ``valid`` time of a recording.
    length, width
        Of the windows and of their bins, s; ``length`` must be a multiple of ``width``.
    step
        s; default: ``length``. If a multiple of ``width``, all windows share one grid of bins.
    """
    valid = source if isinstance(source, Intervals) else source.valid
    step = length if step is None else step
    if not step > 0:
        raise DataError(f"Expected step > 0 s, found {step}.")
    relative = _bin_edges(0.0, length, width)
    bins, each = np.arange(len(relative)), round(step / width)
    on_grid = each >= 1 and abs(each * width - step) < _ROUNDING
    lengths = valid.stops - valid.starts
    counts = np.floor((lengths - length + _ROUNDING) / step).astype(int).clip(-1) + 1
    edges = [np.zeros((0, len(relative)))]
    for start, n in zip(valid.starts, counts, strict=True):
        k = np.arange(n)[:, None]
        edges.append(start + ((k * each + bins) * width if on_grid else k * step + relative))
    joined = np.concatenate(edges)
    intervals = np.repeat(np.arange(len(valid)), counts)
    table = pd.DataFrame({"start": joined[:, 0], "stop": joined[:, -1], "interval": intervals})
    short = {f"shorter than {length:g} s": counts == 0}
    _, left_out = apply_rules("intervals", np.arange(len(valid)), short)
    unused = valid.duration - Intervals(joined[:, 0], joined[:, -1]).duration
    note = f"{unused:.3f} s lie in no window" if unused > _ROUNDING else ""
    offsets = (relative[1:] + relative[:-1]) / 2
    return Windows(joined, offsets, table, replace(left_out, note=note))


def _bin_edges(before: float, after: float, width: float) -> np.ndarray:
    """Return edges from the event, itself one of them to the last bit where the bins allow it."""
    n = round((before + after) / width) if width > 0 else 0
    if n < 1 or abs(n * width - (before + after)) > _ROUNDING:
        raise DataError(
            f"A window of {before + after:g} s must be a whole number of bins of {width:g} s."
        )
    first = round(before / width)
    if abs(first * width - before) <= _ROUNDING:
        return (np.arange(n + 1) - first) * width
    return np.arange(n + 1) * width - before


def _sampled(streams: Recording | Mapping[str, Any] | None) -> dict[str, Any]:
    """Find the streams that say by themselves where they were recorded."""
    named = streams.streams if isinstance(streams, Recording) else streams or {}
    return {name: stream for name, stream in named.items() if hasattr(stream, "valid")}


def _covered(valid: Intervals, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Whether each window lies in one interval."""
    if not len(valid):
        return np.zeros(len(starts), dtype=bool)
    at = np.searchsorted(valid.starts, starts + _ROUNDING, side="right") - 1
    return (at >= 0) & (stops <= valid.stops[np.maximum(at, 0)] + _ROUNDING)


def _ends(stream: Any, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Whether both ends of each window were recorded."""
    valid = stream.valid
    return valid.contains(starts + _ROUNDING) & valid.contains(stops - _ROUNDING)


def _begin_too_early(starts: np.ndarray, stops: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Which windows begin before the last one that stays has ended."""
    early = np.zeros(len(starts), dtype=bool)
    end = -np.inf
    for i in np.flatnonzero(wanted)[np.argsort(starts[wanted], kind="stable")]:
        early[i] = starts[i] < end - _ROUNDING
        end = end if early[i] else stops[i]
    return early


def _fill_between_samples(values: np.ndarray, bins: Bins, stream: Series | Keypoints) -> None:
    """Give bins without a sample, in recorded time, the value between their neighbours."""
    first, last = bins.ranges(stream.times)
    empty = np.flatnonzero((first == last) & stream.valid.contains(bins.centers))
    if len(empty):
        some = Bins(bins.starts[empty], bins.stops[empty], bins.width, bins.interval[empty])
        samples = stream.values if isinstance(stream, Series) else stream.positions
        values[empty] = some.interpolate(stream.times, samples)
