"""Common bins of features and targets: over the whole recording, or a window around each trial."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from tinbergen.errors import DataError
from tinbergen.recordings.intervals import GAP_FACTOR, Bins, Intervals
from tinbergen.recordings.trials import Trials
from tinbergen.recordings.windows import trial_windows

_ROUNDING = 1e-6  # s; times that went through a file differ by less
_VALUES_AT_ONCE = 1 << 24


@dataclass(frozen=True, eq=False)
class Grid:
    """Bins that every stream is brought onto, one row each.

    Attributes
    ----------
    starts, stops
        ``(row,)`` float64, s, half-open.
    width
        s.
    segment
        ``(row,)`` int; rows of different segments are not neighbours in time.
    trial
        ``(row,)`` int, row of the trial in the recording's table; -1 where there is none.
    per_trial
        Number of bins of each trial where every segment is a trial's window, else None.
    left_out
        Reason -> number of trials (or of seconds) that have no bins.
    """

    starts: np.ndarray
    stops: np.ndarray
    width: float
    segment: np.ndarray
    trial: np.ndarray
    per_trial: int | None
    left_out: dict[str, float]

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def centers(self) -> np.ndarray:
        """``(row,)`` float64, s."""
        return (self.starts + self.stops) / 2

    @classmethod
    def over(cls, valid: Intervals, width: float) -> Self:
        """Cut ``valid`` into bins of ``width`` s; shorter rests at its ends are left out."""
        windows = valid.windows(width, tail="drop")
        segment = np.searchsorted(valid.starts, windows[:, 0] + _ROUNDING, side="right") - 1
        rest = valid.duration - len(windows) * width
        left_out = {"seconds at the ends": rest} if rest > _ROUNDING else {}
        return cls._continuous(windows[:, 0], windows[:, 1], width, segment, left_out)

    @classmethod
    def of_samples(cls, times: np.ndarray, width: float, valid: Intervals, join: int = 1) -> Self:
        """Take the bins that counts came in, or ``join`` neighbouring ones as one.

        Parameters
        ----------
        times
            ``(bin,)`` s, where each bin starts.
        width
            s, of each.
        """
        inside = valid.contains(times + _ROUNDING) & valid.contains(times + width / 2)
        starts = times[inside]
        steps = np.diff(starts)
        if (overlap := steps < width * (1 - 1e-3)).any():
            i = int(np.flatnonzero(overlap)[0])
            raise DataError(
                f"Counts in bins of {width:g} s overlap: one begins at {starts[i]:.6f} s, the "
                f"next at {starts[i + 1]:.6f} s. Say the width of the bins with bin=."
            )
        run = np.cumsum(np.append(True, steps > width * 1.5)[: len(starts)]) - 1
        place = np.arange(len(starts)) - np.searchsorted(run, run)
        length = np.bincount(run)[run] if len(run) else run
        first = np.flatnonzero((place % join == 0) & (place + join <= length))
        stops = np.minimum(starts + width, np.append(starts[1:], np.inf))
        rest = len(starts) - join * len(first)
        left_out = {"seconds at the ends": rest * width} if rest else {}
        return cls._continuous(
            starts[first], stops[first + join - 1], width * join, run[first], left_out
        )

    @classmethod
    def _continuous(cls, starts, stops, width, segment, left_out) -> Self:
        nowhere = np.full(len(starts), -1)
        return cls(starts, stops, float(width), segment, nowhere, None, left_out)

    @classmethod
    def around(
        cls,
        trials: Trials,
        align: str,
        before: float,
        after: float,
        width: float,
        streams: Mapping[str, Any],
    ) -> Self:
        """Cut a window around each trial's event into bins; see :func:`trial_windows`."""
        windows = trial_windows(
            trials, align, before=before, after=after, width=width, streams=streams
        )
        n = len(windows.offsets)
        return cls(
            windows.edges[:, :-1].ravel(),
            windows.edges[:, 1:].ravel(),
            float(width),
            np.repeat(np.arange(len(windows)), n),
            np.repeat(windows.table["trial"].to_numpy(np.int64), n),
            n,
            {f"trials: {why}": float(len(who)) for why, who in windows.left_out.reasons.items()},
        )

    @classmethod
    def whole_trials(cls, trials: Trials, valid: Intervals) -> Self:
        """Make one bin of each trial, from its start to its stop; ``width`` is their median.

        Trials that ``valid`` does not wholly hold are left out.
        """
        start, stop = trials.start, trials.stop
        at = np.searchsorted(valid.starts, start + _ROUNDING, side="right") - 1
        ends = valid.stops[np.maximum(at, 0)] if len(valid) else np.full(len(start), -np.inf)
        rows = np.flatnonzero((at >= 0) & (stop <= ends + _ROUNDING) & (stop - start > _ROUNDING))
        lost = len(start) - len(rows)
        width = float(np.median((stop - start)[rows])) if len(rows) else 0.0
        left_out = {"trials not covered by every stream": float(lost)} if lost else {}
        return cls(start[rows], stop[rows], width, np.arange(len(rows)), rows, 1, left_out)

    @property
    def scale(self) -> np.ndarray:
        """``(row, 1)``: what makes counts of bins of unequal length those of ``width``."""
        lengths = self.stops - self.starts
        equal = np.abs(lengths - self.width) <= 1e-3 * self.width
        return np.where(equal, 1.0, self.width / np.maximum(lengths, _ROUNDING))[:, None]

    def in_trials(self, trials: Trials) -> Self:
        """Return the same bins, each said to lie in the trial at its middle."""
        return replace(
            self, trial=trials.bin(Bins(self.starts, self.stops, self.width, self.segment))
        )

    def take(self, rows: np.ndarray) -> Self:
        """Return some rows (bool); neighbours of a row that is left out are none any more."""
        at = np.flatnonzero(rows)
        return replace(
            self,
            starts=self.starts[at],
            stops=self.stops[at],
            segment=runs(at, self.segment),
            trial=self.trial[at],
        )

    def pieces(self) -> Iterator[tuple[slice, Bins]]:
        """Yield runs of rows with their bins; within a run they ascend and do not overlap."""
        back = np.flatnonzero(self.starts[1:] < self.stops[:-1] - _ROUNDING) + 1
        edges = np.concatenate([[0], back, [len(self)]])
        for first, last in zip(edges[:-1], edges[1:], strict=True):
            rows = slice(int(first), int(last))
            if last > first:
                yield (
                    rows,
                    Bins(self.starts[rows], self.stops[rows], self.width, self.segment[rows]),
                )


def runs(at: np.ndarray, segment: np.ndarray) -> np.ndarray:
    """Return numbers of the stretches of consecutive rows ``at`` (indices) of one segment."""
    if not len(at):
        return at
    new = (np.diff(at) != 1) | (np.diff(segment[at]) != 0)
    return np.concatenate([[0], np.cumsum(new)])


def mean_on(grid: Grid, times: np.ndarray, values: np.ndarray, valid: Intervals) -> np.ndarray:
    """Bring samples onto a grid: their mean in each bin, NaN ignored.

    A bin without a sample takes the value between its two neighbours at its middle, if they lie
    in one valid interval and no more than 5 median steps apart; so a slow signal can be brought
    onto quick bins. ``values`` may be a memory map: it is read piece by piece.

    Returns
    -------
    ``(row, channel)``, float32 if the values fit into it, else float64; NaN where nothing is
    known.
    """
    kind = np.result_type(values.dtype, np.float32)
    out = np.full((len(grid), values.shape[1]), np.nan, kind)
    if len(times) == 0:
        return out
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    at_once = max(1, _VALUES_AT_ONCE // (8 * values.shape[1]))
    for rows, bins in grid.pieces():
        first = np.searchsorted(times, bins.starts - _ROUNDING)
        last = np.searchsorted(times, bins.stops - _ROUNDING)
        for begin in range(0, len(bins), at_once):
            part = slice(begin, min(begin + at_once, len(bins)))
            out[rows][part] = _means(values, first[part], last[part])
        empty = np.flatnonzero(first == last)
        out[rows.start + empty] = _between(
            bins.centers[empty], times, values, valid, max(GAP_FACTOR * step, _ROUNDING)
        )
    return out


def _means(values: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    out = np.full((len(first), values.shape[1]), np.nan)
    full = np.flatnonzero(last > first)
    if not len(full):
        return out
    low = int(first[full[0]])
    block = np.asarray(values[low : int(last[full[-1]])], dtype=np.float64)
    known = np.isfinite(block)
    padded = np.vstack([np.where(known, block, 0.0), np.zeros((1, block.shape[1]))])
    numbers = np.vstack([known, np.zeros((1, block.shape[1]), bool)]).astype(np.float64)
    # reduceat sums from each index to the next: every other one is what lies between two bins
    cuts = np.stack([first[full], last[full]], axis=1).ravel() - low
    total = np.add.reduceat(padded, cuts, axis=0)[::2]
    count = np.add.reduceat(numbers, cuts, axis=0)[::2]
    out[full] = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    return out


def _between(
    targets: np.ndarray, times: np.ndarray, values: np.ndarray, valid: Intervals, reach: float
) -> np.ndarray:
    out = np.full((len(targets), values.shape[1]), np.nan)
    right = np.searchsorted(times, targets)
    inside = (right > 0) & (right < len(times))
    left = np.where(inside, right - 1, 0)
    right = np.where(inside, right, 0)
    same = np.searchsorted(valid.starts, times[left], side="right") == np.searchsorted(
        valid.starts, times[right], side="right"
    )
    good = np.flatnonzero(inside & same & (times[right] - times[left] <= reach))
    if len(good):
        a, b = times[left[good]], times[right[good]]
        weight = ((targets[good] - a) / np.maximum(b - a, 1e-12))[:, None]
        out[good] = (1 - weight) * values[left[good]] + weight * values[right[good]]
    return out


def counts_on(grid: Grid, times: np.ndarray, counts: np.ndarray, width: float) -> np.ndarray:
    """Bring counts in bins of ``width`` s onto a grid by adding them up.

    Returns
    -------
    ``(row, unit)`` float64, spikes/bin; NaN where a bin of the grid is not wholly covered. Whole
    trials of unequal length have counts per ``grid.width``.
    """
    lengths = grid.stops - grid.starts
    expected = np.maximum(np.rint(lengths / width), 1).astype(int)
    equal = np.ptp(lengths) <= 1e-3 * grid.width if len(grid) else True
    if equal and abs(round(grid.width / width) * width - grid.width) > 1e-3 * grid.width:
        raise DataError(
            f"Counts in bins of {width:g} s cannot be brought onto bins of {grid.width:g} s: "
            f"choose a multiple, for example {max(round(grid.width / width), 1) * width:g}."
        )
    out = np.full((len(grid), counts.shape[1]), np.nan)
    for rows, bins in grid.pieces():
        first = np.searchsorted(times, bins.starts - width / 2)
        last = np.searchsorted(times, bins.stops - width / 2)
        number = expected[rows]
        full = last - first == number
        total = np.zeros((int(full.sum()), counts.shape[1]))
        for shift in range(int(number.max(initial=0))):
            there = number[full] > shift
            total[there] += counts[first[full][there] + shift]
        out[rows][full] = total
    return out if equal else out * grid.width / (expected * width)[:, None]
