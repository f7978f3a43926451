"""Files of behaviour labels: one reader that knows the format by its content, and one writer."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import h5py
import numpy as np

from tinbergen.errors import DataError, MissingFileError
from tinbergen.recordings.bento import is_bento, read_bento
from tinbergen.recordings.caltech import is_caltech, read_caltech, write_caltech
from tinbergen.recordings.frames import FrameSource
from tinbergen.recordings.intervals import Intervals
from tinbergen.recordings.label_frames import (
    frame_kind,
    read_codes,
    read_one_hot,
    read_simba,
    write_frames,
)
from tinbergen.recordings.label_rows import Found, Observed, Reading, Unit, labels_of_bouts
from tinbergen.recordings.label_tables import (
    boris_kind,
    head,
    is_bout_table,
    read_boris,
    read_bout_table,
    read_text,
    write_boris,
)
from tinbergen.recordings.labels import Labels
from tinbergen.recordings.nwb_labels import read_nwb_labels, write_nwb_labels
from tinbergen.recordings.sidecar import read_times

Format = Literal[
    "bouts",
    "one-hot",
    "integer",
    "names",
    "boris tabular",
    "boris aggregated",
    "simba",
    "caltech",
    "bento",
    "nwb",
]
FORMATS: tuple[str, ...] = get_args(Format)
WRITABLE = tuple(name for name in FORMATS if name not in ("names", "bento"))
_SHOWN = 80  # characters of a line, in a message
_PER_FRAME = ("one-hot", "integer", "names", "simba")
_IN_FRAMES = (*_PER_FRAME, "caltech")


@dataclass(frozen=True)
class LabelFile:
    """What a file of labels held.

    Attributes
    ----------
    path, format
        Which file, and what it was recognised as.
    labels
        Its labels, s.
    notes
        What was cut, left out or taken for granted, in words and numbers.
    """

    path: Path
    format: str
    labels: Labels
    notes: tuple[str, ...]

    def __str__(self) -> str:
        labels = self.labels
        who = f" of {', '.join(labels.individuals)}" if any(labels.individuals) else ""
        return (
            f"{self.path}: {self.format}, {len(labels.table)} bouts{who} of "
            f"{len(labels.classes)} classes, {labels.observed.duration:.1f} s observed"
        )


def open_labels(
    path: str | os.PathLike,
    classes: Sequence[str] = (),
    *,
    times: FrameSource | np.ndarray | str | os.PathLike | None = None,
    fps: float | None = None,
    format: Format | None = None,
    where: Mapping[str, str | Sequence[str]] | None = None,
    observed: Observed | None = None,
    unscored: Sequence[str] | None = None,
    overlaps: bool = False,
    individual: str = "",
    unit: Unit | None = None,
    first_frame: int = 0,
    stop_included: bool = False,
    tolerance: float = 1.0,
) -> LabelFile:
    """Read labels from any file that is known, and say what was found.

    ======================  ====================================================================
    ``bouts``               a start, a stop (s or frames) and a label in each row, any delimiter;
                            Tinbergen's own ``start,stop,label,individual``
    ``one-hot``             a column a class, a row a frame (daart, lightning-action);
                            ``background`` = unscored
    ``integer``, ``names``  a column ``label``, a row a frame
    ``boris tabular``       START, STOP and POINT events of BORIS, any version
    ``boris aggregated``    state and point events of BORIS with start and stop
    ``simba``               0/1 columns after those of pose and features
    ``caltech``             streams S1, S2, ... of the Caltech Behavior Annotator; ``base`` =
                            unscored
    ``bento``               channels of Bento and MARS
    ``nwb``                 a table of bouts (ndx-ethogram, or any TimeIntervals with a label)
    ======================  ====================================================================

    Parameters
    ----------
    path
        The file.
    classes
        Names of the classes, in order; others are refused. Default: those that the file names.
    times, fps
        When frames are (s): a video, an array, a sidecar file; or frames per second. Needed where
        the file counts frames.
    format
        Default: recognised by the content.
    where
        Column -> value or values: only such rows. For files of several raters or videos, and for
        the stream of a Caltech file, ``{"stream": "S2"}``, or the channel of a Bento file.
    observed
        ``labelled``: only what has a label was observed; ``all``: the whole recording was, but
        for what is marked as unscored. Default: as the format has it; bouts say nothing of what
        lies between them.
    unscored
        Names that mean that nobody scored. Default: ``background`` of per-frame files, ``base``
        of Caltech files.
    overlaps
        Several labels may hold at once. Else overlapping bouts of one individual are refused (but
        in Tinbergen's own files and NWB).
    individual
        Whose labels they are, where the file does not say.
    unit, first_frame, stop_included
        Of a table of bouts: seconds or frames; what the first frame is called; whether the stop
        is the last frame of the bout or the one after it.
    tolerance
        By how many s labels may be longer than the frames (the rest is cut), or per-frame labels
        shorter (the rest is unlabelled).

    Raises
    ------
    MissingFileError
        If there is no such file.
    DataError
        If the format is not known, or naming file, line and column of what is wrong.

    Examples
    --------
    >>> found = open_labels("day1_boris.tsv", fps=30)            # doctest: +SKIP
    >>> print(found, *found.notes, sep=chr(10))                  # doctest: +SKIP
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"Expected a file of labels at {path}, found none.")
    if format is not None and format not in FORMATS:
        raise DataError(f"Formats of labels are {', '.join(FORMATS)}; found {format!r}.")
    times = times.times if isinstance(times, FrameSource) else times
    how = Reading(
        path,
        tuple(classes),
        None if times is None else read_times(times),
        fps,
        where or {},
        observed,
        None if unscored is None else tuple(unscored),
        overlaps,
        individual,
        unit,
        first_frame,
        stop_included,
        tolerance,
    )
    known, header = recognise(path) if format is None else (format, _header(path, format))
    notes: list[str] = []
    if known in _PER_FRAME:
        if how.where:
            raise DataError(f"{path}: rows of a {known} file are frames; where chooses none.")
        read = {"one-hot": read_one_hot, "simba": read_simba}.get(known, read_codes)
        return LabelFile(path, known, read(how, notes), tuple(notes))
    if known == "nwb":
        found, nwb_classes, looked = read_nwb_labels(how)
        labels, notes = labels_of_bouts(found, how)
        labels = Labels(labels.table, how.classes or nwb_classes, looked or labels.observed)
        return LabelFile(path, known, labels, tuple(notes))
    if known == "bento":
        found, named = read_bento(how)
        how = how if how.classes else replace(how, classes=named)
    else:
        found = _read_bouts(known, how, header)
    labels, notes = labels_of_bouts(found, how)
    if quiet := _unlabelled(labels, found, how):
        notes.append(
            f"{quiet:.1f} s without a label count as unlabelled; if somebody watched all of it, "
            "say observed: all (--watched)"
        )
    return LabelFile(path, known, labels, tuple(notes))


def read_labels(path: str | os.PathLike, classes: Sequence[str] = (), **options: Any) -> Labels:
    """Read labels from any file that is known; parameters and errors of :func:`open_labels`."""
    return open_labels(path, classes, **options).labels


def recognise(path: Path) -> tuple[str, list[str]]:
    """Return the format of a file by its content, and what BORIS's header holds.

    Raises
    ------
    DataError
        If it is none that is known.
    """
    if h5py.is_hdf5(path):
        return "nwb", []
    beginning = read_text(path, 256)
    if is_caltech(beginning) or is_bento(beginning):
        return "bento" if is_bento(beginning) else "caltech", []
    rows = head(path)
    if boris := boris_kind(rows):
        return f"boris {boris[0]}", boris[1]
    filled = [cells for cells in rows if any(cells)]
    if filled and is_bout_table(filled[0]):
        return "bouts", []
    if len(filled) > 1 and (kind := frame_kind(filled[0], filled[1])):
        return kind, []
    shown = ", ".join(filled[0][:8])[:_SHOWN] if filled else "nothing"
    shown = shown if shown.isprintable() else "no text"
    raise DataError(
        f"{path} is no file of labels that is known; its first line holds: {shown}. Expected "
        "columns of a start, a stop and a label; or 0/1 columns, a row a frame; or a file of "
        "BORIS, SimBA, the Caltech annotator or NWB. A table with other names of columns: rename "
        "them."
    )


def write_labels(
    path: str | os.PathLike,
    labels: Labels,
    format: Format,
    *,
    times: FrameSource | np.ndarray | str | os.PathLike | None = None,
    fps: float | None = None,
    individual: str | None = None,
) -> tuple[str, ...]:
    """Write labels in a format of :func:`open_labels`.

    Parameters
    ----------
    path, labels
        Where, and what.
    format
        One of ``WRITABLE``.
    times, fps
        Frames of one-hot, integer, SimBA and Caltech files: their times (s); or their rate, from
        0 to where the labels end. BORIS notes the rate.
    individual
        Whose labels, for files that cannot tell animals apart.

    Returns
    -------
    What the format could not hold, in words.

    Raises
    ------
    DataError
        If the format cannot say what the labels say without turning it into something else.
    """
    path = Path(path)
    times = times.times if isinstance(times, FrameSource) else times
    if format not in WRITABLE:
        raise DataError(f"Labels can be written as {', '.join(WRITABLE)}; found {format!r}.")
    if format in _IN_FRAMES:
        return _write_frames(path, labels, format, times, fps, individual)
    if individual is not None:
        labels = _only(labels, individual)
    quiet = (labels.observed - Intervals(labels.table["start"], labels.table["stop"])).duration
    if format == "bouts":
        labels.write(path)
        return ()
    if format == "nwb":
        write_nwb_labels(path, labels)
        return ()
    write_boris(path, labels, fps, aggregated=format == "boris aggregated")
    lost = f"{quiet:.1f} s that were watched and have no label; BORIS has no word for them"
    return (lost,) if quiet > 1e-9 else ()


def _write_frames(
    path: Path,
    labels: Labels,
    format: str,
    times: Any,
    fps: float | None,
    individual: str | None,
) -> tuple[str, ...]:
    several = labels.individuals
    if individual is None and len(several) > 1:
        raise DataError(
            f"A {format} file holds one animal, the labels are of {', '.join(several)}; name one."
        )
    if times is not None:
        frames = read_times(times)
    elif fps is not None:
        end = max([*labels.table["stop"], *labels.observed.stops, 0.0])
        frames = np.arange(round(end * fps)) / fps
    else:
        raise DataError(f"A {format} file counts frames: give times or fps.")
    matrix = labels.multi(frames, individual)
    if format != "caltech":
        write_frames(path, matrix, labels.classes, format)
        return _lost_time(labels, frames)
    codes = labels.codes(frames, individual)
    nothing = int(((matrix == 0).all(axis=1)).sum())
    write_caltech(path, [codes], [labels.classes])
    lost = (f"{nothing} frames that were watched and have no label became base (unscored)",)
    return lost * bool(nothing) + _lost_time(labels, frames)


def _lost_time(labels: Labels, frames: np.ndarray) -> tuple[str, ...]:
    """Say how many bouts no frame lies in."""
    edges = (labels.table[name].to_numpy() for name in ("start", "stop"))
    first, last = (np.searchsorted(frames, each) for each in edges)
    gone = int((first == last).sum())
    return (f"{gone} bouts between two frames, or beyond the last one",) if gone else ()


def _only(labels: Labels, individual: str) -> Labels:
    table = labels.table.loc[labels.table["individual"] == individual]
    return Labels(table, labels.classes, labels.observed)


def _header(path: Path, format: str) -> list[str]:
    if not format.startswith("boris"):
        return []
    found = boris_kind(head(path))
    if found is None or f"boris {found[0]}" != format:
        raise DataError(f"{path}: expected {format} events, found no such header.")
    return found[1]


def _read_bouts(known: str, how: Reading, header: list[str]) -> Found:
    if known == "caltech":
        return read_caltech(how)
    if known == "bouts":
        return read_bout_table(how)
    return read_boris(how, known.removeprefix("boris "), header)


def _unlabelled(labels: Labels, found: Found, how: Reading) -> float:
    """Return the length of what lies between and around bouts, s, where that was not said."""
    if how.observed is not None or found.overlaps or found.exclusive:
        return 0.0
    if how.times is not None:
        whole = Intervals.of_samples(how.times)
    else:
        end = found.duration or max([0.0, *labels.observed.stops])
        whole = Intervals([0.0], [end])
    return (whole - labels.observed).duration
