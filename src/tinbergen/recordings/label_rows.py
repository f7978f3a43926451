"""From bouts or frames as they stand in a file to :class:`Labels`, checked row by row."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from tinbergen.errors import DataError
from tinbergen.recordings.intervals import Intervals
from tinbergen.recordings.labels import UNLABELLED, Labels, frame_stops

Observed = Literal["labelled", "all"]
Unit = Literal["s", "frames"]
_ROUNDING = 1e-9  # s
_FEW = 6  # names in a message
_SAME_RATE = 0.01  # share by which two frame rates may differ


@dataclass(frozen=True)
class Reading:
    """What :func:`~tinbergen.recordings.open_labels` was asked for; see there."""

    path: Path
    classes: tuple[str, ...] = ()
    times: np.ndarray | None = None
    fps: float | None = None
    where: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    observed: Observed | None = None
    unscored: tuple[str, ...] | None = None
    overlaps: bool = False
    individual: str = ""
    unit: Unit | None = None
    first_frame: int = 0
    stop_included: bool = False
    tolerance: float = 1.0

    def __post_init__(self) -> None:
        if self.fps is not None and not 0 < self.fps < np.inf:
            raise DataError(f"{self.path}: expected fps above 0, found {self.fps:g}.")
        if self.times is not None and not len(self.times):
            raise DataError(f"{self.path}: the times that its labels belong to hold no frame.")

    def choice(self, key: str) -> str | None:
        """Return the one value that ``where`` has for a key; None if it has none.

        Raises
        ------
        DataError
            If there are several.
        """
        value = self.where.get(key)
        if value is None or isinstance(value, str):
            return value
        if len(value) != 1:
            raise DataError(f"{self.path}: expected one {key} (where), found {names(value)}.")
        return value[0]

    @property
    def rate(self) -> float | None:
        """Frames per second of the clock that was given."""
        if self.fps is not None or self.times is None or len(self.times) < 2:
            return self.fps
        return 1 / float(np.median(np.diff(self.times)))

    def edges(self, frames: np.ndarray, end: bool = False) -> np.ndarray:
        """Return the times (s) at which frames begin or, for ``end``, at which they stop."""
        if self.times is not None:
            return (frame_stops(self.times) if end else self.times)[frames]
        if self.fps is None:
            raise DataError(
                f"{self.path} holds frames, not seconds: give times (of the video or the "
                "features) or fps."
            )
        return (frames + end) / self.fps


@dataclass
class Bout:
    """One row of a file: seconds, or frames counted from 0 with the stop left out."""

    start: float
    stop: float
    label: str
    individual: str
    line: int
    cells: Mapping[str, str] = field(default_factory=dict)  # of its other columns


@dataclass
class Found:
    """What a parser found in a file.

    Attributes
    ----------
    bouts
        Its rows.
    unit
        Of their starts and stops.
    fps, duration
        Frame rate (Hz) and length (s) that the file itself names.
    unscored
        Names that say that nobody scored.
    exclusive
        Whether two of its bouts can never hold at once.
    overlaps
        Whether overlapping bouts are meant, in whatever file of this kind.
    notes
        What is to be said.
    """

    bouts: list[Bout]
    unit: Unit = "s"
    fps: float | None = None
    duration: float | None = None
    unscored: tuple[str, ...] = ()
    exclusive: bool = False
    overlaps: bool = False
    notes: list[str] = field(default_factory=list)


def labels_of_bouts(found: Found, how: Reading) -> tuple[Labels, list[str]]:
    """Check bouts, put them on the clock, and return what is to be said.

    Raises
    ------
    DataError
        Naming file and line: no class, an unknown class, a stop before its start, overlapping
        bouts, bouts beyond the frames.
    """
    notes = list(found.notes)
    bouts = found.bouts
    _check_rate(found, how, notes)
    for bout in bouts:
        _check_bout(bout, found.unit, how)
    unscored = found.unscored if how.unscored is None else how.unscored
    known = [bout for bout in bouts if bout.label not in unscored]
    _check_classes(known, how)
    if not found.overlaps and (found.exclusive or not how.overlaps):
        _check_overlaps(bouts, found.unit, how)
    known, quiet = (_on_clock(part, found, how, notes) for part in (known, _rest(bouts, unscored)))
    labelled = [bout for bout in known if bout.label]
    table = pd.DataFrame(
        [(b.start, b.stop, b.label, b.individual) for b in labelled],
        columns=["start", "stop", "label", "individual"],
    )
    observed = Intervals([b.start for b in known], [b.stop for b in known])
    if how.observed == "all":
        observed = (_whole(found, how, [*known, *quiet]) - _span(quiet)) | observed
    return Labels(table, how.classes, observed), notes


def labels_of_frames(
    matrix: np.ndarray, classes: Sequence[str], how: Reading, notes: list[str]
) -> Labels:
    """Put per-frame labels on the clock.

    Parameters
    ----------
    matrix
        ``(time, class)`` int8: 1, 0, or -1 where nobody scored.
    classes
        Name of each column.

    Raises
    ------
    DataError
        If the file is longer or shorter than the frames by more than the tolerance.
    """
    n = len(matrix)
    if how.times is None:
        times = how.edges(np.arange(n))
        return Labels.from_frames(times, matrix, classes, how.individual)
    off = n - len(how.times)
    spare = round(how.tolerance * (how.rate or 0))
    if abs(off) > spare:
        raise DataError(
            f"{how.path} has {n} rows, but there are {len(how.times)} frames: "
            f"{abs(off)} {'more' if off > 0 else 'fewer'}, {spare} are tolerated."
            + _rate_hint(n / max(len(how.times), 1))
        )
    if off > 0:
        notes.append(f"{off} rows beyond the last frame were cut")
    elif off < 0:
        notes.append(f"the last {-off} frames have no row and stay unlabelled")
        rest = np.full((-off, matrix.shape[1]), UNLABELLED, dtype=matrix.dtype)
        matrix = np.concatenate([matrix, rest])
    return Labels.from_frames(how.times, matrix[: len(how.times)], classes, how.individual)


def select(
    rows: list[tuple[int, dict[str, str]]], how: Reading
) -> list[tuple[int, dict[str, str]]]:
    """Keep the rows whose cells are those of ``where``.

    Raises
    ------
    DataError
        If there is no such column, or no such row.
    """
    for column, wanted in how.where.items():
        values = [wanted] if isinstance(wanted, str) else [str(value) for value in wanted]
        if rows and column not in rows[0][1]:
            raise DataError(
                f"{how.path} has no column {column!r} (where); it has "
                f"{', '.join(filter(None, rows[0][1]))}."
            )
        kept = [row for row in rows if row[1][column] in values]
        if rows and not kept:
            found = sorted({cells[column] for _, cells in rows})
            raise DataError(
                f"{how.path}: no row whose {column!r} is {' or '.join(values)}; found "
                f"{names(found)}."
            )
        rows = kept
    return rows


def number(text: str, column: str, line: int, path: Path) -> float:
    """Return a cell as a finite number.

    Raises
    ------
    DataError
        Naming file, line and column.
    """
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        comma = " Write decimals with a point." if "," in text else ""
        raise DataError(f"{path}, line {line}, column {column!r}: {text!r} is no number.{comma}")
    return value


def names(values: Sequence[str]) -> str:
    """Return some of many names, for a message."""
    shown = ", ".join(values[:_FEW])
    return f"{shown}, ... ({len(values)} in all)" if len(values) > _FEW else shown


def _rest(bouts: list[Bout], unscored: tuple[str, ...]) -> list[Bout]:
    return [bout for bout in bouts if bout.label in unscored]


def _span(bouts: list[Bout]) -> Intervals:
    return Intervals([bout.start for bout in bouts], [bout.stop for bout in bouts])


def _check_rate(found: Found, how: Reading, notes: list[str]) -> None:
    rate = how.rate
    if found.fps is None or rate is None or abs(found.fps / rate - 1) <= _SAME_RATE:
        return
    text = f"the file was made at {found.fps:g} frames/s, the clock given here runs at {rate:g}"
    if found.unit == "frames":
        raise DataError(f"{how.path}: {text}. Give the times or fps that its frames belong to.")
    notes.append(f"{text}; its seconds are taken as they are")


def _check_bout(bout: Bout, unit: Unit, how: Reading) -> None:
    if not bout.start < bout.stop:
        raise DataError(
            f"{how.path}, line {bout.line}: {bout.label or 'a bout'} must start before it stops, "
            f"found {_shown(bout, unit)}."
        )


def _check_classes(bouts: list[Bout], how: Reading) -> None:
    for bout in bouts:
        if how.classes and bout.label and bout.label not in how.classes:
            near = difflib.get_close_matches(bout.label, how.classes, 1)
            raise DataError(
                f"{how.path}, line {bout.line}: {bout.label!r} is not among the classes "
                f"{', '.join(how.classes)}." + (f" Is it {near[0]!r}?" if near else "")
            )


def _check_overlaps(bouts: list[Bout], unit: Unit, how: Reading) -> None:
    spare = _ROUNDING if unit == "s" else 0
    for individual in {bout.individual for bout in bouts}:
        own = [bout for bout in bouts if bout.individual == individual]
        own.sort(key=lambda bout: (bout.start, bout.stop))
        last: Bout | None = None
        for bout in own:
            if last is not None and bout.start < last.stop - spare and bout.label != last.label:
                differs = [c for c in bout.cells if bout.cells[c] != last.cells.get(c)]
                raise DataError(
                    f"{how.path}: line {last.line} ({last.label}, {_shown(last, unit)}) and line "
                    f"{bout.line} ({bout.label}, {_shown(bout, unit)}) overlap. If several labels "
                    "may hold at once, say overlaps; if the file holds several raters, animals or "
                    "videos, choose with where" + (f" ({names(differs)})." if differs else ".")
                )
            last = bout if last is None or bout.stop > last.stop else last


def _shown(bout: Bout, unit: Unit) -> str:
    if unit == "frames":
        return f"frames {bout.start:g} to {bout.stop:g}"
    return f"{bout.start:.3f} to {bout.stop:.3f} s"


def _on_clock(bouts: list[Bout], found: Found, how: Reading, notes: list[str]) -> list[Bout]:
    """Turn frames into seconds, and cut what lies beyond the last frame."""
    if not bouts:
        return []
    starts = np.array([bout.start for bout in bouts])
    stops = np.array([bout.stop for bout in bouts])
    if found.unit == "frames":
        starts, stops = _seconds(starts.astype(int), stops.astype(int), bouts, how, notes)
    elif how.times is not None:
        begin, end = float(how.times[0]), float(frame_stops(how.times)[-1])
        beyond = float(stops.max() - end)
        _check_end(beyond, bouts[int(stops.argmax())], f"{end:.3f} s", how)
        if beyond > _ROUNDING:
            notes.append(f"labels up to {beyond:.3f} s beyond the last frame were cut")
            stops = np.minimum(stops, end)
        early = float(begin - starts.min())
        _check_begin(early, bouts[int(starts.argmin())], begin, how)
        if early > _ROUNDING:
            notes.append(f"labels up to {early:.3f} s before the first frame were cut")
            starts = np.maximum(starts, begin)
    inside = starts < stops
    if not inside.all():
        notes.append(f"{np.sum(~inside)} bouts outside the frames were left out")
    filmed = None
    if found.unit == "frames" and how.times is not None:
        filmed = Intervals.of_samples(how.times)
    kept = []
    for i in np.flatnonzero(inside):
        bout, start, stop = bouts[i], float(starts[i]), float(stops[i])
        # Frames before and after a gap in the film are of one bout no longer.
        pieces = Intervals([start], [stop]) if filmed is None else filmed.between(start, stop)
        kept += [
            Bout(a, b, bout.label, bout.individual, bout.line)
            for a, b in zip(pieces.starts.tolist(), pieces.stops.tolist(), strict=True)
        ]
    return kept


def _seconds(
    starts: np.ndarray, stops: np.ndarray, bouts: list[Bout], how: Reading, notes: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    early = np.flatnonzero(starts < 0)
    if len(early):
        raise DataError(
            f"{how.path}, line {bouts[early[0]].line}: begins before the first frame. Are frames "
            "counted from 0 (first_frame)?"
        )
    if how.times is None:
        return how.edges(starts), how.edges(stops - 1, end=True)
    n = len(how.times)
    beyond = int(stops.max()) - n
    rate = how.rate or 1.0
    _check_end(beyond / rate, bouts[int(stops.argmax())], f"frame {n - 1}", how)
    if beyond > 0:
        notes.append(f"{beyond} frames beyond the last one ({n - 1}) were cut")
    inside = starts < n
    first = how.edges(np.minimum(starts, n - 1))
    last = how.edges(np.minimum(stops, n) - 1, end=True)
    return np.where(inside, first, np.inf), last


def _check_end(beyond: float, bout: Bout, end: str, how: Reading) -> None:
    if beyond > how.tolerance:
        raise DataError(
            f"{how.path}, line {bout.line}: labels go on for {beyond:.3f} s after the last frame "
            f"({end}); {how.tolerance:g} s are tolerated. Do they belong to this recording, and "
            "to this frame rate?"
        )


def _check_begin(early: float, bout: Bout, begin: float, how: Reading) -> None:
    if early > how.tolerance:
        raise DataError(
            f"{how.path}, line {bout.line}: labels begin {early:.3f} s before the first frame "
            f"({begin:.3f} s); {how.tolerance:g} s are tolerated. Do they belong to this "
            "recording, and to its clock?"
        )


def _whole(found: Found, how: Reading, bouts: list[Bout]) -> Intervals:
    if how.times is not None:
        return Intervals.of_samples(how.times)
    duration = found.duration or max((bout.stop for bout in bouts), default=0.0)
    return Intervals([0.0], [duration])


def _rate_hint(ratio: float) -> str:
    for ours, theirs in ((1, 2), (2, 1), (1, 3), (3, 1), (1, 4), (4, 1), (5, 6), (6, 5), (1, 5)):
        if abs(ratio * ours / theirs - 1) < 0.02:
            return f" They are {ratio:.3g} times as many: labels of another frame rate?"
    return " Do they belong to this recording?"
