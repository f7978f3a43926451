"""What commands of several rooms have in common."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinbergen.metrics import Score
    from tinbergen.recordings import Dataset


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


def names_of(text: str | None) -> list[str] | None:
    """Read names with commas between; None where nothing was said."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def settings_of(pairs: list[str] | None, steps: int | None) -> dict[str, Any]:
    """Read ``--set KEY=VALUE`` and ``--steps``."""
    from tinbergen.configuration import merge, parse_overrides

    return merge(parse_overrides(pairs or []), {"train": {"steps": steps}} if steps else {})


def chosen_recordings(
    paths: list[Path],
    recordings: str | None = None,
    only: str | None = None,
    hold_out: str | None = None,
) -> Dataset:
    """Open the data and keep the recordings that were asked for.

    Raises
    ------
    ConfigError
        If a subject to hold out does not exist.
    """
    from tinbergen.errors import ConfigError
    from tinbergen.recordings import Dataset

    data = Dataset.open(paths)
    data = data.only(names_of(recordings), animals=names_of(only))
    out = names_of(hold_out) or []
    if missing := [name for name in out if name not in data.animals.values()]:
        raise ConfigError(
            f"--hold-out: there is no subject {missing[0]!r}; there are: "
            f"{', '.join(sorted({str(s) for s in data.animals.values()}))}."
        )
    return data.only([name for name, subject in data.animals.items() if subject not in out])
