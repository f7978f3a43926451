"""Annotations of the Caltech Behavior Annotator: one or more streams that cover every frame."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tinbergen.errors import DataError
from tinbergen.files import atomic_write
from tinbergen.recordings.label_rows import Bout, Found, Reading, names
from tinbergen.recordings.label_tables import read_text

TITLE = "Caltech Behavior Annotator"
BASE = "base"
"""The type of frames that nobody scored."""

_STREAM = re.compile(r"^(S\d+):")
_KEYS = "zsenaxdcvfgtrbhyjuikmlopqw"


def is_caltech(text: str) -> bool:
    """Whether text begins as these files do."""
    return text.lstrip().startswith(TITLE)


def read_caltech(how: Reading) -> Found:
    """Read one stream (``where: {stream: S2}``; default: the first), frames from 1, both ends in.

    ``base`` means that nobody scored.

    Raises
    ------
    DataError
        Naming file and line.
    """
    streams, current = {}, None
    for line, text in enumerate(read_text(how.path).split("\n"), 1):
        if match := _STREAM.match(text):
            current = streams.setdefault(match[1], [])
            continue
        if current is None or not text.strip() or set(text.strip()) == {"-"}:
            continue
        cells = text.split()
        if len(cells) != 3 or not (cells[0].isdecimal() and cells[1].isdecimal()):
            raise DataError(
                f"{how.path}, line {line}: expected a first frame, a last frame and a type, found "
                f"{text.strip()!r}."
            )
        start, stop, label = int(cells[0]) - 1, int(cells[1]), cells[2]
        current.append(Bout(start, stop, label, how.individual, line))
    if not streams:
        raise DataError(f"{how.path}: found no stream: a line that begins with 'S1:'.")
    if unknown := [key for key in how.where if key != "stream"]:
        raise DataError(f"{how.path}: only a stream can be chosen (where), found {unknown[0]!r}.")
    stream = how.choice("stream") or next(iter(streams))
    if stream not in streams:
        raise DataError(f"{how.path}: no stream {stream!r}; it has {', '.join(streams)}.")
    found = Found(streams[stream], "frames", unscored=(BASE,), exclusive=True)
    if len(streams) > 1 and "stream" not in how.where:
        found.notes.append(f"of the streams {', '.join(streams)} the first was read")
    return found


def write_caltech(
    path: str | os.PathLike, streams: Sequence[np.ndarray], classes: Sequence[Sequence[str]]
) -> None:
    """Write streams of ``(time,)`` codes, -1 = nobody scored; each has classes of its own.

    Raises
    ------
    DataError
        If a class has a space in its name, or there are more classes than keys.
    """
    every = list(dict.fromkeys(name for each in classes for name in each))
    if BASE in every:
        raise DataError(f"The class {BASE!r} cannot be written: it means that nobody scored.")
    if bad := [name for name in every if name != "".join(name.split()) or not name]:
        raise DataError(f"The class {bad[0]!r} cannot be written: names must not hold spaces.")
    if len(every) >= len(_KEYS):
        raise DataError(f"{len(every)} classes, but {len(_KEYS) - 1} keys: {names(every)}.")
    lines = [f"{TITLE} - Annotation File", "", "Configuration file:"]
    lines += [f"{name}\t{key}" for name, key in zip([BASE, *every], _KEYS, strict=False)]
    for number, (frames, known) in enumerate(zip(streams, classes, strict=True), 1):
        codes = np.asarray(frames).tolist()
        lines += ["", f"S{number}:\tstart\tend\ttype", "-" * 29]
        edges = [0, *np.flatnonzero(np.diff(codes)) + 1, len(codes)]
        for start, stop in zip(edges[:-1], edges[1:], strict=True) if len(codes) else ():
            name = BASE if codes[start] < 0 else known[codes[start]]
            lines.append(f"   \t{start + 1}\t{stop}\t{name}")
    with atomic_write(Path(path), "wb") as file:
        file.write("\r\n".join([*lines, ""]).encode())
