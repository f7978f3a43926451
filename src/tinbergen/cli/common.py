"""What commands of several rooms have in common."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from tinbergen.metrics import Score
    from tinbergen.recordings import Dataset

Number = TypeVar("Number", int, float)
AGAIN = "Run the same command with --resume to go on."  # after a signal


def say(scores: list[Score]) -> None:
    """Print a line for each score."""
    from tinbergen.report.scores import sentence

    for score in scores:
        print(f"{score.name}: {sentence(score)}")


def show(result: Any, report: bool) -> None:
    """Say what came out, and where it lies: the page, or the folder."""
    from tinbergen.report import write_report

    print(result.text())
    print(write_report(str(result.path)) if report else result.path)


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


def numbers_of(text: str, option: str, kind: type[Number], example: str) -> list[Number]:
    """Read numbers with commas between.

    Raises
    ------
    ConfigError
        If one is none; the message names the option, and an example.
    """
    from tinbergen.errors import ConfigError

    try:
        return [kind(part) for part in names_of(text) or []]
    except ValueError:
        raise ConfigError(f"{option}: expected numbers as {example}, found {text!r}.") from None


def runs_of(texts: list[str] | None) -> list[tuple[str, str]]:
    """Read ``--beside NAME=RUN``.

    Raises
    ------
    ConfigError
        For another form.
    """
    from tinbergen.errors import ConfigError

    found = []
    for text in texts or []:
        name, _, path = text.partition("=")
        if not name or not path:
            raise ConfigError(f"--beside: expected NAME=RUN, found {text!r}.")
        found.append((name, path))
    return found


def settings_of(
    pairs: list[str] | None, steps: int | None = None, config: Path | None = None, **named: object
) -> dict[str, Any]:
    """Merge a YAML file, ``--set KEY=VALUE`` and options of their own; later ones win."""
    from tinbergen.configuration import merge, parse_overrides, read_yaml

    layers = {} if config is None else read_yaml(config)
    layers.pop("schema_version", None)
    own = {name: value for name, value in named.items() if value is not None}
    own |= {} if steps is None else {"train": {"steps": steps}}
    return merge(merge(layers, parse_overrides(pairs or [])), own)


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
