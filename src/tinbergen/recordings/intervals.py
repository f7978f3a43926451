"""Sets of half-open time intervals, and the windows and bins inside them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tinbergen.errors import DataError

GAP_FACTOR = 5.0
_ROUNDING = 1e-9  # s; shorter pieces come from rounding, not from data


@dataclass(frozen=True, eq=False)
class Intervals:
    """Disjoint half-open intervals ``[start, stop)`` in ascending order, s.

    Touching or overlapping intervals are joined; empty ones vanish.

    Attributes
    ----------
    starts, stops
        ``(n,)`` float64, s.

    Examples
    --------
    >>> Intervals([0, 2], [3, 5]) - Intervals([1], [2])
    Intervals([0, 1) [2, 5))
    """

    starts: np.ndarray
    stops: np.ndarray

    def __init__(self, starts: Iterable[float] = (), stops: Iterable[float] = ()):
        first = np.atleast_1d(np.array(starts, dtype=np.float64))
        last = np.atleast_1d(np.array(stops, dtype=np.float64))
        if first.shape != last.shape or first.ndim != 1:
            raise DataError(
                f"Expected as many starts as stops, found shapes {first.shape} and {last.shape}."
            )
        bad = np.flatnonzero(~(first <= last))
        if len(bad):
            i = bad[0]
            raise DataError(
                f"Interval {i} must not end before it starts: {first[i]} to {last[i]}."
            )
        first, last = _joined(first[first < last], last[first < last])
        for name, value in (("starts", first), ("stops", last)):
            value.flags.writeable = False
            object.__setattr__(self, name, value)

    @classmethod
    def of_samples(cls, times: np.ndarray, max_gap: float | None = None) -> Intervals:
        """Return the intervals that samples at ``times`` (s, ascending) cover.

        Each sample stands for the time to the next one, the last for the median step. A step of
        more than ``max_gap`` s (default: 5 median steps) is a gap, in which nothing is known.
        """
        if len(times) == 0:
            return cls()
        steps = np.diff(times)
        step = float(np.median(steps)) if len(steps) else 0.0
        step = step or _ROUNDING
        last = np.append(steps > (GAP_FACTOR * step if max_gap is None else max_gap), True)
        ends = np.flatnonzero(last)
        begins = np.concatenate([[0], ends[:-1] + 1])
        return cls(times[begins], times[ends] + step)

    def __len__(self) -> int:
        return len(self.starts)

    def __repr__(self) -> str:
        shown = [f"[{a:g}, {b:g})" for a, b in zip(self.starts, self.stops, strict=True)]
        if len(shown) > 6:
            shown = [*shown[:5], f"... {len(shown) - 5} more"]
        return f"Intervals({' '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Intervals)
            and np.array_equal(self.starts, other.starts)
            and np.array_equal(self.stops, other.stops)
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def duration(self) -> float:
        """Sum of all lengths, s."""
        return float(np.sum(self.stops - self.starts))

    def __contains__(self, time: float) -> bool:
        return bool(self.contains(np.array([time]))[0])

    def contains(self, times: np.ndarray) -> np.ndarray:
        """Return ``(n,)`` bool: which of ``times`` (s) lie inside."""
        times = np.asarray(times, dtype=np.float64)
        if not len(self):
            return np.zeros(times.shape, dtype=bool)
        at = np.searchsorted(self.starts, times, side="right") - 1
        return (at >= 0) & (times < self.stops[np.maximum(at, 0)])

    def __or__(self, other: Intervals) -> Intervals:
        return Intervals(
            np.concatenate([self.starts, other.starts]), np.concatenate([self.stops, other.stops])
        )

    def __and__(self, other: Intervals) -> Intervals:
        starts, stops = [], []
        for a, b in zip(self.starts, self.stops, strict=True):
            first = np.searchsorted(other.stops, a, side="right")
            last = np.searchsorted(other.starts, b, side="left")
            starts.append(np.maximum(other.starts[first:last], a))
            stops.append(np.minimum(other.stops[first:last], b))
        return Intervals(_concatenate(starts), _concatenate(stops))

    def __sub__(self, other: Intervals) -> Intervals:
        edges = np.concatenate([[-np.inf], other.stops]), np.concatenate([other.starts, [np.inf]])
        return self & Intervals(*edges)

    def between(self, start: float, stop: float) -> Intervals:
        """Return the part inside ``[start, stop)`` s."""
        return self & Intervals([start], [max(start, stop)])

    def shifted(self, seconds: float) -> Intervals:
        """Return the same intervals later by ``seconds``."""
        return Intervals(self.starts + seconds, self.stops + seconds)

    def windows(
        self,
        length: float,
        step: float | None = None,
        tail: Literal["short", "drop", "overlap"] = "short",
    ) -> np.ndarray:
        """Cut into windows of ``length`` s, one every ``step`` s (default: ``length``).

        No window crosses a gap. What is left at the end of an interval becomes a shorter window
        (``short``), one of full length that reaches back (``overlap``; short where the interval
        itself is), or is left out (``drop``).

        Returns
        -------
        ``(n, 2)`` float64, start and stop of each window, s.
        """
        step = length if step is None else step
        if not (length > 0 and step > 0):
            raise DataError(f"Expected length and step > 0 s, found {length} and {step}.")
        pieces = [
            _cut(a, b, length, step, tail) for a, b in zip(self.starts, self.stops, strict=True)
        ]
        return np.concatenate([np.empty((0, 2)), *pieces])


def _cut(start: float, stop: float, length: float, step: float, tail: str) -> np.ndarray:
    full = max(0, int(np.floor((stop - start - length) / step + 1e-6)) + 1)
    k = np.arange(full + 1)
    begins = start + k * step
    # Adjoining windows share their edge to the last bit, so that no sample falls between them.
    ends = np.append(begins[1:], start + (full + 1) * step) if step == length else begins + length
    windows = np.stack([begins, ends], axis=1)[:full]
    windows[:, 1] = np.where(windows[:, 1] > stop - _ROUNDING, stop, windows[:, 1])
    reached = windows[-1, 1] if full else start
    if stop - reached > _ROUNDING and tail != "drop":
        begin = max(start, stop - length) if tail == "overlap" else begins[full]
        windows = np.concatenate([windows, [[begin, stop]]])
    return windows


def _joined(starts: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(starts, kind="stable")
    starts, stops = starts[order], np.maximum.accumulate(stops[order])
    if not len(starts):
        return starts, stops
    new = np.append(True, starts[1:] > stops[:-1])
    return starts[new], stops[np.append(new[1:], True)]


def _concatenate(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0)


def nearest(times: np.ndarray, targets: np.ndarray, tolerance: float) -> np.ndarray:
    """For each target time, the index of the closest of ``times``; -1 beyond ``tolerance`` s.

    Both in s; ``times`` ascending. Of two equally close ones the earlier is taken.
    """
    times, targets = np.asarray(times), np.asarray(targets)
    if not len(times):
        return np.full(len(targets), -1)
    after = np.clip(np.searchsorted(times, targets), 0, len(times) - 1)
    before = np.maximum(after - 1, 0)
    closer = np.abs(times[before] - targets) <= np.abs(times[after] - targets)
    best = np.where(closer, before, after)
    return np.where(np.abs(times[best] - targets) <= tolerance, best, -1)


@dataclass(frozen=True, eq=False)
class Bins:
    """Bins of one width inside valid intervals; a bin never crosses a gap.

    Attributes
    ----------
    starts, stops
        ``(n,)`` float64, s. The last bin of an interval may be shorter than ``width``.
    width
        s.
    interval
        ``(n,)`` int, the valid interval that each bin belongs to: neighbours in this list with
        different numbers are not neighbours in time.
    """

    starts: np.ndarray
    stops: np.ndarray
    width: float
    interval: np.ndarray

    @classmethod
    def inside(cls, valid: Intervals, width: float) -> Bins:
        """Cut ``valid`` into bins of ``width`` s."""
        windows = valid.windows(width)
        interval = np.searchsorted(valid.starts, windows[:, 0], side="right") - 1
        return cls(windows[:, 0], windows[:, 1], width, interval)

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def centers(self) -> np.ndarray:
        """``(n,)`` float64, s."""
        return (self.starts + self.stops) / 2

    @property
    def coverage(self) -> np.ndarray:
        """``(n,)`` share of ``width`` that each bin covers; 1 but at the end of an interval."""
        return (self.stops - self.starts) / self.width

    def of(self, times: np.ndarray) -> np.ndarray:
        """Return the bin that each of ``times`` (s) falls into; -1 for none.

        Only for bins that do not overlap.
        """
        if not len(self):
            return np.full(len(times), -1)
        at = np.searchsorted(self.starts, times, side="right") - 1
        return np.where((at >= 0) & (times < self.stops[np.maximum(at, 0)]), at, -1)

    def ranges(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return ``first, last``: bin ``i`` holds ``times[first[i]:last[i]]`` (s, ascending)."""
        return np.searchsorted(times, self.starts), np.searchsorted(times, self.stops)

    def mean(self, times: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Average ``values`` (time, ...) within each bin, NaN ignored; NaN in empty bins.

        ``times`` ascending, s. Returns float64.
        """
        flat = values.reshape(len(values), int(np.prod(values.shape[1:])))
        first, last = self.ranges(times)
        finite = np.isfinite(flat)
        if finite.all():
            total, count = _range_sums(flat, first, last), (last - first)[:, None]
        else:
            total = _range_sums(np.where(finite, flat, 0), first, last)
            count = _range_sums(finite, first, last)
        means = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
        return means.reshape(len(self), *values.shape[1:])

    def interpolate(self, times: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Return ``values`` (time, ...) at the middle of each bin, linearly between two samples.

        NaN before the first sample, after the last, and where either neighbour is NaN. For signals
        slower than the bins; gaps are for the caller to leave out. ``times`` ascending, s.
        """
        middle = self.centers
        if not len(times):
            return np.full((len(self), *values.shape[1:]), np.nan)
        after = np.clip(np.searchsorted(times, middle), 0, len(times) - 1)
        before = np.maximum(after - (times[after] > middle), 0)
        step = times[after] - times[before]
        share = np.divide(middle - times[before], step, out=np.zeros(len(self)), where=step > 0)
        share[(middle < times[0]) | (middle > times[-1])] = np.nan
        share = share.reshape(-1, *[1] * (values.ndim - 1))
        return values[before] * (1 - share) + values[after] * share


def _range_sums(rows: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Sum each ``rows[first:last]``: (range, column) float64, in few passes."""
    sums = np.zeros((len(first), rows.shape[1]))
    counts = last - first
    most = int(counts.max(initial=0))
    if most > len(first):
        for i in np.flatnonzero(counts > 0):
            rows[first[i] : last[i]].sum(axis=0, dtype=np.float64, out=sums[i])
        return sums
    for k in range(most):
        some = np.flatnonzero(counts > k)
        sums[some] += rows[first[some] + k]
    return sums
