"""``tinbergen check``: read videos or a dataset through and say what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tinbergen.recordings import CheckRow


def check(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="Videos, folders, a dataset.yaml; NWB, Kilosort, phy or ALF as they are.",
            metavar="PATH...",
        ),
    ],
    json: Annotated[
        Path | None, typer.Option(help="Also write the rows to this file.", metavar="FILE")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes; 0 = one a core.", min=0)] = 0,
) -> None:
    """Read everything through, and say what is wrong with each file and what to do.

    Exits with 0 if all is well, 3 if some files have losses, 1 if no video can be used (or, where
    there is none, no file).
    """
    from tinbergen.files import write_json
    from tinbergen.recordings.check import check_dataset, usable

    rows = check_dataset(paths, workers=workers)
    _show(rows)
    if json is not None:
        write_json(json, {"rows": [row.to_dict() for row in rows]})
    if not usable(rows):
        raise typer.Exit(1)
    if any(row.state != "ok" for row in rows):
        raise typer.Exit(3)


def _show(rows: list[CheckRow]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    table.add_column("state")
    for name in ("frames", "ok", "corrupt", "missing", "Hz", "s", "size px"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("file", overflow="fold", min_width=20)
    colours = {"ok": "green", "losses": "yellow", "unusable": "red"}
    for row in rows:
        rate = "" if row.fps is None else f"{row.fps:.5g}" + (" VFR" if row.variable_rate else "")
        numbers = (row.n_frames, row.ok, row.corrupt, row.missing)
        table.add_row(
            Text(row.state, colours[row.state]),
            *(str(number) for number in numbers),
            rate,
            "" if row.duration is None else f"{row.duration:.2f}",
            f"{row.width} x {row.height}" if row.width else "",
            Text(f"{_label(row)}: {row.found}" if row.found else _label(row)),
        )
    console.print(table)
    for row in rows:
        for problem in row.problems:
            console.print(Text(f"{_label(row)}: {problem}"))
        if row.hint:
            console.print(Text(f"  what to do: {row.hint}"))
    states = [row.state for row in rows]
    console.print(
        f"{len(rows)} files: {states.count('ok')} ok, {states.count('losses')} with losses, "
        f"{states.count('unusable')} unusable."
    )


def _label(row: CheckRow) -> str:
    return row.recording if row.stream == "video" else f"{row.recording} [{row.stream}]"
