"""``tinbergen pretrain``: videos in, a pretrained vision transformer and its report out."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from tinbergen.cli.common import AGAIN
from tinbergen.cli.options import Resume, RunOut, Settings, SkipBad, Steps, Videos


def pretrain(
    paths: Videos,
    out: RunOut,
    preset: Annotated[
        str | None,
        typer.Option(help="beast (as published), vit-m, vit-c, or tinbergen (the default)."),
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="ti, s, b or l; default: s for tinbergen, else b.")
    ] = None,
    steps: Steps = None,
    start_from: Annotated[
        Path | None,
        typer.Option("--from", help="Run folder or weights file to start from."),
    ] = None,
    resume: Resume = False,
    settings: Settings = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of the frame cache; default: beside the run.")
    ] = None,
    workers: Annotated[
        int, typer.Option(help="Processes that choose frames; 0 = one a core.", min=0)
    ] = 0,
    skip_bad: SkipBad = False,
    partial: Annotated[
        bool, typer.Option("--partial", help="Accept --from weights that fit in part.")
    ] = False,
    report: Annotated[
        bool, typer.Option(help="Score the run and write report.html at the end.")
    ] = True,
) -> None:
    """Pretrain a vision transformer on an experiment's videos (BEAST).

    Exits with 0 when done, 3 when done but videos or frames were lost, 75 when a signal stopped
    it and everything is saved (run it again with --resume).
    """
    from tinbergen.beast import pretrain as run_pretraining
    from tinbergen.configuration import parse_overrides
    from tinbergen.training.signals import preemptible

    with preemptible(AGAIN):
        run = run_pretraining(
            paths,
            out,
            preset=preset,  # type: ignore[arg-type]  # refused with a list of presets if unknown
            size=size,  # type: ignore[arg-type]
            steps=steps,
            start_from=start_from,
            overrides=parse_overrides(settings or []),
            resume=resume,
            cache=cache,
            workers=workers or os.cpu_count() or 1,
            skip_bad=skip_bad,
            partial=partial,
            evaluate=report,
        )
        print(run.path)
        if report:
            from tinbergen.report import write_report

            print(write_report(run.path))
    if losses := run.status.get("losses"):
        print("done, with losses:", *losses, sep="\n  ", file=sys.stderr)
        raise typer.Exit(3)
