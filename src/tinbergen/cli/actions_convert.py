"""``tinbergen actions convert``: labels of behaviour from one file format to another."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tinbergen.cli.common import names_of, refuse_existing
from tinbergen.cli.options import LabelFps, Overwrite


class _Format(StrEnum):
    bouts = "bouts"
    one_hot = "one-hot"
    integer = "integer"
    boris = "boris-tabular"
    boris_aggregated = "boris-aggregated"
    simba = "simba"
    caltech = "caltech"
    nwb = "nwb"


def convert(
    source: Annotated[
        Path,
        typer.Argument(help="Labels of BORIS, SimBA, Caltech, daart, NWB, or a table of bouts."),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File to write; without it, say what was found."),
    ] = None,
    to: Annotated[
        _Format, typer.Option(help="Its format; bouts: a CSV start,stop,label,individual (s).")
    ] = _Format.bouts,
    fps: LabelFps = None,
    times: Annotated[
        Path | None, typer.Option(help="Instead: a video or a file with the times of its frames.")
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="Names, comma-separated and in order; others are refused.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(help="Only rows with column=value[,value] (stream=S2 of Caltech); again."),
    ] = None,
    watched: Annotated[
        bool,
        typer.Option("--watched", help="All was watched: what has no label was not done."),
    ] = False,
    unscored: Annotated[
        str | None,
        typer.Option(help="Classes that mean that nobody scored; default: background, base."),
    ] = None,
    overlaps: Annotated[
        bool, typer.Option("--overlaps", help="Several labels may hold at once.")
    ] = False,
    frames: Annotated[
        bool, typer.Option("--frames", help="A table of bouts counts frames, not seconds.")
    ] = False,
    first_frame: Annotated[int, typer.Option(help="What its first frame is called.")] = 0,
    stop_included: Annotated[
        bool, typer.Option("--stop-included", help="Its stop is the last frame of a bout.")
    ] = False,
    individual: Annotated[
        str | None, typer.Option(help="Animal to write, where the format holds one alone.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Read labels in whatever format, say what was found, and write them in another.

    Exits with 3 when the new format could not hold all of it.
    """
    import sys

    from tinbergen.errors import ConfigError
    from tinbergen.recordings import Video, open_labels, write_labels
    from tinbergen.recordings.video import VIDEO_SUFFIXES

    if fps is not None and times is not None:
        raise ConfigError("Give --fps or --times, not both.")
    if out is not None:
        refuse_existing(out, overwrite)
    clock = Video(times) if times is not None and times.suffix.lower() in VIDEO_SUFFIXES else times
    found = open_labels(
        source,
        names_of(classes) or [],
        times=clock,
        fps=fps,
        where=dict(map(_choice, where or [])),
        observed="all" if watched else None,
        unscored=names_of(unscored),
        overlaps=overlaps,
        unit="frames" if frames else None,
        first_frame=first_frame,
        stop_included=stop_included,
    )
    print(found)
    print(*found.labels.classes, sep=", ")
    for note in found.notes:
        print(f"note: {note}")
    if out is None:
        return
    format: str = to.value.replace("boris-", "boris ")
    lost = write_labels(
        out,
        found.labels,
        format,  # type: ignore[arg-type]
        times=clock,
        fps=fps,
        individual=individual,
    )
    print(out)
    for each in lost:
        print(f"lost: {each}", file=sys.stderr)
    if lost:
        raise typer.Exit(3)


def _choice(text: str) -> tuple[str, list[str]]:
    from tinbergen.errors import ConfigError

    column, equals, values = text.partition("=")
    if not equals:
        raise ConfigError(f"--where: expected column=value, found {text!r}.")
    return column.strip(), names_of(values) or []
