"""Named behaviours: who did what from when to when, and where nobody looked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
import pandas as pd

from tinbergen.errors import DataError
from tinbergen.files import write_csv
from tinbergen.recordings.intervals import Bins, Intervals

UNLABELLED = -1
_COLUMNS = ["start", "stop", "label", "individual"]


class LabelRow(NamedTuple):
    """One row of :class:`Labels`: start and stop (s), the class, and whose it is."""

    start: float
    stop: float
    label: str
    individual: str


@dataclass(frozen=True, eq=False)
class Labels:
    """Behaviours as intervals, with per-frame views.

    Unlabelled is not background: only inside ``observed`` does the absence of a behaviour mean
    that it did not happen.

    Attributes
    ----------
    table
        A row an interval: ``start``, ``stop`` (s, half-open), ``label`` (class name),
        ``individual`` (empty if not said). Intervals may overlap (several labels at once).
    classes
        All class names, also those that never occur; default: those in the table, sorted.
    observed
        Where somebody looked; default: wherever there is a label.
    """

    table: pd.DataFrame
    classes: tuple[str, ...] = ()
    observed: Intervals = field(default=None)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        table = _clean(self.table)
        found = set(table["label"])
        classes = tuple(self.classes) or tuple(sorted(found))
        if unknown := sorted(found - set(classes)):
            raise DataError(f"Labels: {unknown} are not among the classes {list(classes)}.")
        labelled = Intervals(table["start"], table["stop"])
        observed = labelled if self.observed is None else self.observed
        if len(outside := labelled - observed):
            raise DataError(f"Labels: labelled but not observed: {outside}.")
        for name, value in (("table", table), ("classes", classes), ("observed", observed)):
            object.__setattr__(self, name, value)

    @classmethod
    def from_frames(
        cls,
        times: np.ndarray,
        codes: np.ndarray,
        classes: Sequence[str],
        individual: str = "",
    ) -> Labels:
        """Join equal neighbouring frames to intervals (run-length encoding).

        Parameters
        ----------
        times
            ``(time,)`` s, strictly ascending. Each frame lasts until the next one, the last (and
            one before a gap) for the median step.
        codes
            ``(time,)`` int, index into ``classes``, -1 = unlabelled; or ``(time, class)``: 1, 0,
            or -1 where not known.
        """
        times, codes = np.asarray(times, dtype=np.float64), np.asarray(codes)
        if len(codes) != len(times):
            raise DataError(f"Labels: {len(times)} times, but {len(codes)} frames of labels.")
        if codes.ndim == 1:
            bad = np.flatnonzero((codes < UNLABELLED) | (codes >= len(classes)))
            if len(bad):
                raise DataError(
                    f"Labels: frame {bad[0]} has class {codes[bad[0]]} of {len(classes)}."
                )
            known = codes != UNLABELLED
            codes = (codes[:, None] == np.arange(len(classes))).astype(int)
        else:
            known = (codes != UNLABELLED).all(axis=1)
        stops = frame_stops(times)
        rows = [
            (start, stop, classes[k], individual)
            for k in range(len(classes))
            for start, stop in _runs(times, stops, codes[:, k] == 1)
        ]
        observed = (
            Intervals(*zip(*_runs(times, stops, known), strict=True)) if known.any() else None
        )
        return cls(pd.DataFrame(rows, columns=_COLUMNS), tuple(classes), observed or Intervals())

    @property
    def individuals(self) -> tuple[str, ...]:
        """Names of the animals that labels are given for."""
        return tuple(sorted(set(self.table["individual"])))

    @property
    def rows(self) -> list[LabelRow]:
        """The table, a tuple a row."""
        columns = (self.table[name].tolist() for name in _COLUMNS)
        return [LabelRow(*row) for row in zip(*columns, strict=True)]

    def multi(self, times: np.ndarray, individual: str | None = None) -> np.ndarray:
        """Return ``(time, class)`` int8: 1 = does it, 0 = does not, -1 = nobody looked.

        Of an ``individual``: see :meth:`observed_of`.
        """
        times = np.asarray(times, dtype=np.float64)
        result = np.full((len(times), len(self.classes)), UNLABELLED, dtype=np.int8)
        result[self.observed_of(individual).contains(times)] = 0
        for k, name in enumerate(self.classes):
            result[self.intervals(name, individual).contains(times), k] = 1
        return result

    def codes(
        self, times: np.ndarray, individual: str | None = None, background: str | None = None
    ) -> np.ndarray:
        """Return ``(time,)`` int64, the class of each frame; -1 = unlabelled.

        Parameters
        ----------
        times
            ``(time,)`` s.
        individual
            Only this animal's labels; default: all.
        background
            Class that stands for "observed, and none of the others".

        Raises
        ------
        DataError
            If two classes hold at one time (use :meth:`multi`).
        """
        multi = self.multi(times, individual)
        active = multi == 1
        many = np.flatnonzero(active.sum(axis=1) > 1)
        if len(many):
            both = [c for c, on in zip(self.classes, active[many[0]], strict=True) if on]
            raise DataError(
                f"Labels: at {np.asarray(times)[many[0]]:.3f} s {' and '.join(both)} hold at once."
            )
        codes = np.where(active.any(axis=1), active.argmax(axis=1), UNLABELLED)
        if background is not None:
            if background not in self.classes:
                raise DataError(f"Labels: no class {background!r} among {list(self.classes)}.")
            nothing = (multi != UNLABELLED).all(axis=1) & ~active.any(axis=1)
            codes[nothing] = self.classes.index(background)
        return codes

    def observed_of(self, individual: str | None = None) -> Intervals:
        """Return where somebody looked at an animal; default: at any.

        ``observed`` is of the recording. Where it says no more than the labels themselves, a label
        of one animal does not mean that another one was looked at.
        """
        labelled = Intervals(self.table["start"], self.table["stop"])
        if individual is None or len(self.observed - labelled):
            return self.observed
        own = self.table[self.table["individual"].isin((individual, ""))]
        return Intervals(own["start"], own["stop"])

    def intervals(self, label: str, individual: str | None = None) -> Intervals:
        """Return when ``label`` holds."""
        rows = self.table[self.table["label"] == label]
        if individual is not None:
            rows = rows[rows["individual"] == individual]
        return Intervals(rows["start"], rows["stop"])

    def between(self, start: float, stop: float) -> Self:
        """Return the labels inside ``[start, stop)`` s, cut at its ends."""
        table = self.table.assign(
            start=self.table["start"].clip(lower=start), stop=self.table["stop"].clip(upper=stop)
        )
        table = table.loc[table["start"] < table["stop"]]
        return type(self)(table, self.classes, self.observed.between(start, stop))

    def bin(self, bins: Bins) -> np.ndarray:
        """Return the share of each bin's observed time that each class fills, ``(bin, class)``.

        NaN where nobody looked.
        """
        looked = _overlap(self.observed, bins)
        filled = np.stack([_overlap(self.intervals(c), bins) for c in self.classes], axis=1)
        shares = np.full((len(bins), len(self.classes)), np.nan)
        return np.divide(filled, looked[:, None], out=shares, where=looked[:, None] > 0)

    def write(self, path: str | os.PathLike) -> None:
        """Write a CSV ``start,stop,label,individual``, which ``read_labels`` gives back.

        Observed time without a label is written as rows with an empty label.
        """
        quiet = self.observed - Intervals(self.table["start"], self.table["stop"])
        empty = pd.DataFrame({"start": quiet.starts, "stop": quiet.stops})
        empty = empty.assign(label="", individual="")
        rows = [frame for frame in (self.table, empty) if len(frame)]
        table = pd.concat(rows).sort_values("start") if rows else self.table
        write_csv(path, table)


def _clean(table: pd.DataFrame) -> pd.DataFrame:
    if missing := [name for name in _COLUMNS[:3] if name not in table]:
        raise DataError(
            f"Labels: expected the columns start, stop, label; {missing} missing, found "
            f"{list(table.columns)}."
        )
    table = table if "individual" in table else table.assign(individual="")
    nameless = table["label"].isna().to_numpy()
    try:
        table = table.loc[:, _COLUMNS].astype(
            {"start": np.float64, "stop": np.float64, "label": str, "individual": str}
        )
    except ValueError as error:
        raise DataError(f"Labels: start and stop must be seconds: {error}") from error
    unnamed = np.flatnonzero(nameless | (table["label"] == "").to_numpy())
    if len(unnamed):
        raise DataError(f"Labels: row {unnamed[0] + 1} has no label; say none by observed.")
    bad = np.flatnonzero(~(table["start"].to_numpy() < table["stop"].to_numpy()))
    if len(bad):
        row = table.iloc[bad[0]]
        raise DataError(
            f"Labels: row {bad[0] + 1} ({row['label']}) must start before it stops, found "
            f"{row['start']} to {row['stop']} s."
        )
    return table.sort_values(["start", "stop"], kind="stable").reset_index(drop=True)


def frame_stops(times: np.ndarray) -> np.ndarray:
    """Return when each frame ends: when the next one begins; the last, after the median step."""
    covered = Intervals.of_samples(times)
    stops = np.append(times[1:], np.inf)
    at = np.searchsorted(covered.starts, times, side="right") - 1
    return np.minimum(stops, covered.stops[at]) if len(times) else stops[:0]


def _runs(times: np.ndarray, stops: np.ndarray, on: np.ndarray) -> list[tuple[float, float]]:
    joined = Intervals(times[on], stops[on])
    return list(zip(joined.starts.tolist(), joined.stops.tolist(), strict=True))


def _overlap(intervals: Intervals, bins: Bins) -> np.ndarray:
    """Seconds of each bin that ``intervals`` fill."""

    def filled_before(times: np.ndarray) -> np.ndarray:
        edges = np.stack([intervals.starts, intervals.stops], axis=1).reshape(-1)
        lengths = np.stack([np.zeros(len(intervals)), intervals.stops - intervals.starts], axis=1)
        return np.interp(times, edges, np.cumsum(lengths.reshape(-1)))

    if not len(intervals):
        return np.zeros(len(bins))
    return filled_before(bins.stops) - filled_before(bins.starts)
