"""``tinbergen doctor``: find out whether this machine is ready."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tinbergen.doctor import Check


def doctor(
    folder: Annotated[Path, typer.Option(help="Where results would be written.")] = Path("."),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, no table.")] = False,
) -> None:
    """Try out packages, CPU, GPU, video and disk, and say what is missing."""
    import json
    from dataclasses import asdict

    from tinbergen.doctor import examine

    checks: list[Check] = []
    for check in examine(folder):
        checks.append(check)
        if not as_json:
            _print(check)
    failed = [check.name for check in checks if check.state == "failed"]
    if as_json:
        print(json.dumps({"ok": not failed, "checks": [asdict(c) for c in checks]}, indent=2))
    elif failed:
        print(f"\nNot ready: {', '.join(failed)}.")
    else:
        print("\nReady.")
    if failed:
        raise typer.Exit(1)


def _print(check: Check) -> None:
    from rich.console import Console

    colours = {"ok": "green", "warning": "yellow", "failed": "red"}
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{check.state:8}", style=colours[check.state], end="")
    console.print(f"{check.name:26} {check.found}", markup=False)
    if check.advice:
        console.print(f"{'':34} -> {check.advice}", markup=False)
