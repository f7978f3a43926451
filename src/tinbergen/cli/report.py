"""``tinbergen report``: one HTML page for a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[
        Path, typer.Argument(help="A run folder, as given to --out.", show_default=False)
    ],
    open_it: Annotated[bool, typer.Option("--open", help="Show the page in the browser.")] = False,
) -> None:
    """Write RUN/report.html: is it good, scores and baselines, embedding map, clip, curves.

    The page is one file that needs no network: copy it, mail it, open it anywhere.
    """
    from tinbergen.report import write_report

    page = write_report(run)
    print(page)
    if open_it:
        typer.launch(page.resolve().as_uri())
