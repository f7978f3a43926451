"""Annotations of Bento and MARS: channels of bouts, in seconds or in frames."""

from __future__ import annotations

from tinbergen.errors import DataError
from tinbergen.recordings.label_rows import Bout, Found, Reading, number
from tinbergen.recordings.label_tables import read_text

TITLE = "bento annotation file"
_CHANNEL = "-" * 10


def is_bento(text: str) -> bool:
    """Whether text begins as these files do."""
    return text.lstrip().lower().startswith(TITLE)


def read_bento(how: Reading) -> tuple[Found, tuple[str, ...]]:
    """Read one channel (``where: {channel: Ch1}``; default: the first) and the list of classes.

    Numbers with a decimal point are seconds; whole ones are frames, both ends included, counted
    from the annotation's start frame.

    Raises
    ------
    DataError
        Naming file and line.
    """
    lines = read_text(how.path).split("\n")
    classes = _list(lines, "list of annotations")
    channels: dict[str, list[Bout]] = {}
    current, label = None, ""
    for line, text in enumerate(lines, 1):
        text = text.strip()
        if text.endswith(_CHANNEL):
            current, label = channels.setdefault(text.rstrip("-"), []), ""
        elif text.startswith(">"):
            label = text[1:]
        elif current is not None and text and not text.lower().startswith("start"):
            cells = text.split()
            if not label:
                raise DataError(f"{how.path}, line {line}: a bout before any class ('>name').")
            if len(cells) < 2:
                raise DataError(
                    f"{how.path}, line {line}: expected a start and a stop, found {text!r}."
                )
            start, stop = (
                number(cell, name, line, how.path)
                for cell, name in zip(cells, ("Start", "Stop"), strict=False)
            )
            current.append(Bout(start, stop, label, how.individual, line))
    if not channels:
        raise DataError(f"{how.path}: found no channel: a line such as 'Ch1{_CHANNEL}'.")
    if unknown := [key for key in how.where if key != "channel"]:
        raise DataError(f"{how.path}: only a channel can be chosen, found {unknown[0]!r}.")
    channel = how.choice("channel") or next(iter(channels))
    if channel not in channels:
        raise DataError(f"{how.path}: no channel {channel!r}; it has {', '.join(channels)}.")
    found = Found(channels[channel], fps=_number(lines, "annotation framerate"))
    last = lines[next(i for i, t in enumerate(lines) if t.strip().endswith(_CHANNEL)) :]
    if not any("." in text for text in last if not text.startswith(">")):
        first = int(_number(lines, "annotation start frame") or 1)
        found.unit = "frames"
        for bout in found.bouts:
            bout.start, bout.stop = bout.start - first, bout.stop - first + 1
    if len(channels) > 1 and "channel" not in how.where:
        found.notes.append(f"of the channels {', '.join(channels)} the first was read")
    return found, classes


def _list(lines: list[str], title: str) -> tuple[str, ...]:
    lower = [text.strip().lower().rstrip(":") for text in lines]
    if title not in lower:
        return ()
    start = lower.index(title) + 1
    stop = next((i for i in range(start, len(lines)) if not lower[i]), len(lines))
    return tuple(text.strip() for text in lines[start:stop])


def _number(lines: list[str], title: str) -> float | None:
    for text in lines:
        name, _, value = text.partition(":")
        if name.strip().lower() == title:
            try:
                return float(value)
            except ValueError:
                return None
    return None
