"""``tinbergen population sweep``: a search for better settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tinbergen.cli.options import Preset, Resume


def sweep(
    data: Annotated[
        Path, typer.Argument(help="A dataset.yaml, or a folder that holds one.", metavar="DATA")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the sweep to make.")],
    trials: Annotated[int, typer.Option(help="Settings to try, in all.", min=1)],
    space: Annotated[
        Path | None,
        typer.Option(help="YAML file that says what each setting may be; default: see the docs."),
    ] = None,
    preset: Preset = "tinbergen",
    workers: Annotated[int, typer.Option(help="Trials at a time.", min=1)] = 1,
    slurm: Annotated[
        str | None,
        typer.Option(
            help="Run trials as SLURM jobs: partition=gpu,time=04:00:00,gpus_per_node=1."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any setting that is not searched, as key=value."),
    ] = None,
    resume: Resume = False,
) -> None:
    """Search the settings with the least validation loss.

    Exits with 0 when done, 3 when done but trials failed, 75 when a signal stopped it and
    everything is saved (run it again with --resume).
    """
    from tinbergen.configuration import parse_overrides
    from tinbergen.population.sweeping import sweep as run_sweep
    from tinbergen.training.launchers import Submitit

    result = run_sweep(
        data,
        out,
        trials=trials,
        space=space,
        preset=preset,  # type: ignore[arg-type]  # refused with a list of presets if unknown
        overrides=parse_overrides(settings or []),
        workers=workers,
        launcher=Submitit(_parameters(slurm)) if slurm is not None else None,
        resume=resume,
    )
    print(result.text())
    print(result.path)
    if result.counts["failed"]:
        raise typer.Exit(3)


def _parameters(text: str) -> dict[str, Any]:
    """Read ``partition=gpu,gpus_per_node=1``; a time stays text."""
    from tinbergen.configuration import parse_overrides

    return parse_overrides(part for part in text.split(",") if part)
