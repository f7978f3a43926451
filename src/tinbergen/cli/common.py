"""What commands of several rooms have in common."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinbergen.metrics import Score


def say(scores: list[Score]) -> None:
    """Print a line for each score."""
    from tinbergen.report.scores import sentence

    for score in scores:
        print(f"{score.name}: {sentence(score)}")


def refuse_existing(out: Path, overwrite: bool) -> None:
    """Refuse a file that is there, unless it is to be replaced.

    Raises
    ------
    OutputError
    """
    from tinbergen.errors import OutputError

    if out.exists() and not overwrite:
        raise OutputError(f"{out} already exists; choose another name, or --overwrite.")
