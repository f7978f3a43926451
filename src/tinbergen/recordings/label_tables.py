"""Tables of bouts, a row each, with whatever delimiter and names of columns; and BORIS's own."""

from __future__ import annotations

import codecs
import csv
import io
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinbergen.errors import DataError
from tinbergen.files import atomic_write
from tinbergen.recordings.intervals import Intervals
from tinbergen.recordings.label_rows import Bout, Found, Reading, names, number, select
from tinbergen.recordings.labels import Labels

_START = ("start", "start_time", "start (s)", "starttime", "from", "onset", "begin", "start_s")
_STOP = ("stop", "stop_time", "stop (s)", "end", "end_time", "to", "offset", "end (s)", "stop_s")
_START_FRAME = ("start_frame", "start frame", "startframe", "frame_start", "first_frame")
_STOP_FRAME = ("stop_frame", "end_frame", "stop frame", "end frame", "frame_stop", "frame_end")
_LABEL = ("label", "behavior", "behaviour", "type", "class", "event", "name", "action")
_INDIVIDUAL = ("individual", "subject", "animal", "id_animal")
_NOBODY = ("", "no focal subject")
_OBSERVATION = "Observation id"
_BORIS_FPS = ("FPS (frame/s)", "FPS")
_BORIS_LENGTH = ("Media duration (s)", "Total length", "Total duration")
_BORIS_TYPE = ("Behavior type", "Status")
_DIGITS = 6e-4  # s; BORIS rounds its times to 3 digits
HEAD = 64 * 1024
"""Bytes that tell the format."""


class Table:
    """Delimited text: a header, and rows that know their line.

    Attributes
    ----------
    header
        Names of the columns.
    rows
        ``(line, cells)`` of each row; cells by column, missing ones empty.
    short
        Lines of rows that have fewer cells than the header.
    delimiter
        Found in the header.
    """

    def __init__(self, path: Path, header_holds: Sequence[str] = ()):
        text = read_text(path)
        self.delimiter = delimiter_of(text)
        self.path = path
        self.header: list[str] = []
        self.rows: list[tuple[int, dict[str, str]]] = []
        self.short: set[int] = set()
        for line, cells in _lines(text, self.delimiter, path):
            cells = [cell.strip() for cell in cells]
            if not self.header:
                if any(cells) and set(header_holds) <= set(cells):
                    self.header = cells
            elif any(cells):
                padded = cells + [""] * (len(self.header) - len(cells))
                if len(padded) > len(self.header) and any(padded[len(self.header) :]):
                    raise DataError(
                        f"{path}, line {line}: {len(padded)} cells, but the header has "
                        f"{len(self.header)} columns."
                    )
                row = dict(zip(self.header, padded, strict=False))
                self.rows.append((line, row))
                if len(cells) < len(self.header):
                    self.short.add(line)

    def first(self, candidates: Iterable[str]) -> str | None:
        """Return the first column that has one of these names, in whatever letter case."""
        lower = [name.lower() for name in self.header]
        found = next((c.lower() for c in candidates if c.lower() in lower), None)
        if found is None:
            return None
        if lower.count(found) > 1:
            raise DataError(f"{self.path} has several columns {found!r}; rename or delete one.")
        return self.header[lower.index(found)]


def _lines(text: str, delimiter: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    # Strict: else a quote that is never closed would swallow all rows behind it.
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as error:
        raise DataError(
            f"{path}, up to line {reader.line_num}: {error}. Is a quote not closed?"
        ) from error


def read_text(path: Path, n_bytes: int = -1) -> str:
    """Return a text file, or its beginning, in whatever encoding and with any line ending."""
    with open(path, "rb") as file:
        data = file.read(n_bytes)
    text = data.decode(encoding_of(data), errors="ignore")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def encoding_of(data: bytes) -> str:
    """Return UTF-16 where the bytes say so (Excel's Unicode text), UTF-8, else Latin-1."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    try:  # a character may be cut off at the end
        codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8-sig"


def head(path: Path) -> list[list[str]]:
    """Return the cells of a file's first lines."""
    text = read_text(path, HEAD)
    rows = csv.reader(io.StringIO(text), delimiter=delimiter_of(text))
    return [[cell.strip() for cell in cells] for cells in rows]


def delimiter_of(text: str) -> str:
    """Return what separates cells: the most frequent of tab, semicolon and comma."""
    lines = [line for line in text.split("\n")[:200] if line.strip()]
    counts = {d: sum(line.count(d) for line in lines) for d in ("\t", ";", ",")}
    return max(counts, key=lambda d: counts[d])


def is_bout_table(cells: Sequence[str]) -> bool:
    """Whether a header names a start, a stop and a label."""
    lower = {cell.lower() for cell in cells}
    seconds = lower & set(_START) and lower & set(_STOP)
    frames = lower & set(_START_FRAME) and lower & set(_STOP_FRAME)
    return bool((seconds or frames) and lower & set(_LABEL))


def read_bout_table(how: Reading) -> Found:
    """Read a table with a start, a stop and a label in each row; see ``open_labels``."""
    table = Table(how.path)
    start, stop, in_frames = table.first(_START), table.first(_STOP), False
    if start is None or stop is None or (how.unit == "frames" and table.first(_START_FRAME)):
        start, stop, in_frames = table.first(_START_FRAME), table.first(_STOP_FRAME), True
    label, individual = table.first(_LABEL), table.first(_INDIVIDUAL)
    if start is None or stop is None or label is None:
        raise DataError(
            f"{how.path}: expected columns of a start, a stop and a label, found "
            f"{names(table.header)}."
        )
    own = table.header[:3] == ["start", "stop", "label"] and table.header[3:] in (
        [],
        ["individual"],
    )
    bouts = []
    for line, cells in select(table.rows, how):
        who = how.individual if individual is None else cells[individual]
        if line in table.short and (own or not cells[label]):
            raise DataError(
                f"{how.path}, line {line}: the row has fewer cells than the header. Was the file "
                "cut off?"
            )
        begin, end = (number(cells[c], c, line, how.path) for c in (start, stop))
        others = {c: v for c, v in cells.items() if c not in (start, stop, label)}
        bouts.append(Bout(begin, end, cells[label], who, line, others))
    in_frames = how.unit == "frames" or (how.unit is None and in_frames)
    found = Found(bouts, "frames" if in_frames else "s", overlaps=own)
    return _from_zero(found, how) if in_frames else found


def _from_zero(found: Found, how: Reading) -> Found:
    for bout in found.bouts:
        if not all(edge.is_integer() and abs(edge) < 2**53 for edge in (bout.start, bout.stop)):
            raise DataError(
                f"{how.path}, line {bout.line}: expected whole frames, found {bout.start:g} to "
                f"{bout.stop:g}. Is the unit s?"
            )
        bout.start -= how.first_frame
        bout.stop += how.stop_included - how.first_frame
    return found


def boris_kind(rows: list[list[str]]) -> tuple[str, list[str]] | None:
    """Return which table of BORIS begins with these cells, and the names that its header has."""
    for cells in rows:
        held = set(cells)
        if {"Behavior", "Start (s)", "Stop (s)"} <= held:
            return "aggregated", ["Behavior", "Start (s)", "Stop (s)"]
        for kind in _BORIS_TYPE:
            if {"Behavior", "Time", kind} <= held:
                return "tabular", ["Behavior", "Time", kind]
    return None


def read_boris(how: Reading, kind: str, header: list[str]) -> Found:
    """Read tabular or aggregated events of BORIS, of version 7 and before or of version 8."""
    table = Table(how.path, header)
    rows = select(table.rows, how)
    ids = sorted({cells.get(_OBSERVATION, "") for _, cells in rows})
    if len(ids) > 1:
        raise DataError(
            f"{how.path} holds {len(ids)} observations, each on its own clock: {names(ids)}. "
            f"Choose one: where {{{_OBSERVATION}: {ids[0]}}}."
        )
    found = Found(
        [], fps=_said(table, rows, _BORIS_FPS), duration=_said(table, rows, _BORIS_LENGTH)
    )
    offset = _said(table, rows, ("Time offset (s)",)) or _said_above(table, how)
    if offset:
        found.notes.append(f"BORIS names a time offset of {offset:g} s; its times are kept")
    read = _aggregated if kind == "aggregated" else _tabular
    points = read(table, rows, how, found)
    _add_points(points, found, how)
    found.bouts.sort(key=lambda bout: bout.line)
    return found


def _aggregated(
    table: Table, rows: list[tuple[int, dict[str, str]]], how: Reading, found: Found
) -> list[Bout]:
    points = []
    for line, cells in rows:
        start, stop = (number(cells[c], c, line, how.path) for c in ("Start (s)", "Stop (s)"))
        bout = Bout(start, stop, cells["Behavior"], _who(cells), line, cells)
        kind = cells.get("Behavior type", "STATE").upper()
        (points if kind == "POINT" else found.bouts).append(bout)
    return points


def _tabular(
    table: Table, rows: list[tuple[int, dict[str, str]]], how: Reading, found: Found
) -> list[Bout]:
    kind = table.first(_BORIS_TYPE) or ""
    modifiers = [name for name in table.header if name.lower().startswith("modifier")]
    points: list[Bout] = []
    open_: dict[tuple, Bout] = {}
    for line, cells in rows:
        time = number(cells["Time"], "Time", line, how.path)
        bout = Bout(time, time, cells["Behavior"], _who(cells), line, cells)
        key = (bout.individual, bout.label, *(cells[name] for name in modifiers))
        what = cells[kind].upper()
        if what == "POINT":
            points.append(bout)
        elif what == "START":
            if key in open_:
                _unpaired(how.path, open_[key], "START", "STOP before the next START")
            open_[key] = bout
        elif what == "STOP":
            begun = open_.pop(key, None)
            if begun is None:
                _unpaired(how.path, bout, "STOP", "START before it")
            else:
                begun.stop = time
                found.bouts.append(begun)
        else:
            raise DataError(
                f"{how.path}, line {line}, column {kind!r}: expected START, STOP or POINT, found "
                f"{cells[kind]!r}."
            )
    if open_:
        _unpaired(how.path, next(iter(open_.values())), "START", "STOP")
    return points


def _unpaired(path: Path, bout: Bout, what: str, lacks: str) -> None:
    who = f" of {bout.individual}" if bout.individual else ""
    raise DataError(
        f"{path}, line {bout.line}: the {what} of {bout.label!r}{who} at {bout.start:.3f} s has "
        f"no {lacks}. Correct it in BORIS (Observations > Check state events), and export again."
    )


def _add_points(points: list[Bout], found: Found, how: Reading) -> None:
    """Give each point event the frame that it falls into."""
    rate = how.rate or found.fps
    if not points:
        return
    if not rate:
        found.notes.append(
            f"{len(points)} point events were left out: give times or fps, so that each is a frame"
        )
        return
    spare = min(_DIGITS, 0.25 / rate)  # 0.033 s is meant to be frame 1 of 30 a second
    frames = None if how.times is None else Intervals.of_samples(how.times)
    for point in points:
        if frames is None or how.times is None:
            at = math.floor((point.start + spare) * rate)
            point.start, point.stop = at / rate, (at + 1) / rate
        elif point.start in frames:
            at = np.asarray(np.searchsorted(how.times, point.start + spare, side="right") - 1)
            point.start, point.stop = (float(how.edges(at, end=end)) for end in (False, True))
        else:  # as far from the frames as it is, to be told like a bout
            point.stop = point.start + 1 / rate
        found.bouts.append(point)
    found.notes.append(f"{len(points)} point events were given the length of one frame")


def _who(cells: dict[str, str]) -> str:
    subject = cells.get("Subject", "")
    return "" if subject.lower() in _NOBODY else subject


def _said(table: Table, rows: list, candidates: Sequence[str]) -> float | None:
    """Return a number that a column repeats in every row; of several media, the first one's."""
    column = table.first(candidates)
    if column is None or not rows:
        return None
    try:
        return float(rows[0][1][column].split(";")[0])
    except ValueError:
        return None


def _said_above(table: Table, how: Reading) -> float | None:
    for cells in head(how.path):
        if cells and cells[0] == "Time offset (s)" and len(cells) > 1:
            try:
                return float(cells[1])
            except ValueError:
                return None
    return None


def write_boris(
    path: str | os.PathLike, labels: Labels, fps: float | None, aggregated: bool = False
) -> None:
    """Write the tabular or the aggregated events of BORIS 8, as one observation."""
    path = Path(path)
    end = max([*labels.table["stop"], *labels.observed.stops, 0.0])
    about: dict[str, Any] = {
        _OBSERVATION: path.stem,
        "Observation type": "Media file",
        "Time offset (s)": 0.0,
        "Media duration (s)": end,
        "FPS (frame/s)": "" if fps is None else fps,
    }
    rows: list[tuple[float, int, dict[str, Any]]] = []
    for row in labels.rows:
        who = {"Subject": row.individual or "No focal subject", "Behavior": row.label}
        if aggregated:
            times = {"Start (s)": row.start, "Stop (s)": row.stop}
            spent = {"Duration (s)": row.stop - row.start}
            rows.append((row.start, 1, about | who | {"Behavior type": "STATE"} | times | spent))
            continue
        for order, what, time in ((1, "START", row.start), (0, "STOP", row.stop)):
            rows.append((time, order, about | who | {"Behavior type": what, "Time": time}))
    rows.sort(key=lambda item: item[:2])  # a bout ends before the next one of its kind begins
    last = ["Start (s)", "Stop (s)", "Duration (s)"] if aggregated else ["Time"]
    write_rows(
        path,
        [*about, "Subject", "Behavior", "Behavior type", *last],
        [[*cells.values()] for *_, cells in rows],
    )


def write_rows(
    path: Path, header: list[str], rows: Iterable[Sequence[Any]], delimiter: str = ","
) -> None:
    """Write delimited text; numbers with all their digits."""
    with atomic_write(path) as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
