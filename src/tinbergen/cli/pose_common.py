"""What verbs of ``tinbergen pose`` have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tinbergen.metrics import Score

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Make finished files again.")]


def say(scores: list[Score]) -> None:
    """Print a line for each score."""
    from tinbergen.report.scores import sentence

    for score in scores:
        print(f"{score.name}: {sentence(score)}")
