"""Settings of a step as arguments of its command."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tinbergen.errors import ConfigError


@dataclass(frozen=True)
class Option:
    """An option of a command, or an argument without a flag.

    Attributes
    ----------
    flag, off
        As ``--steps``; ``off`` is what says no to a switch. An empty ``flag``: the argument stands
        by itself.
    switch
        Whether it takes no value.
    path
        Whether its value is a file or folder.
    many
        Whether it can be given several times.
    """

    flag: str
    off: str = ""
    switch: bool = False
    path: bool = False
    many: bool = False


class CommandLine(Protocol):
    """What the study asks of the command line, which lies below this room."""

    def options(self, verb: tuple[str, ...]) -> Mapping[str, Option]:
        """Return the options of a command by their long names."""
        ...

    def check(self, verb: tuple[str, ...], arguments: list[str]) -> None:
        """Raise a ConfigError if the command would not take the arguments."""
        ...


def arguments_of(
    options: Mapping[str, Option],
    values: Mapping[str, Any],
    folder: Path,
    replaced: Callable[[str], str],
) -> list[str]:
    """Write settings as the command line has them.

    Parameters
    ----------
    options
        Those that may be set.
    values
        Name -> value; ``hold_out`` and ``hold-out`` are the same. What stands under ``set`` may be
        nested.
    folder
        What paths are relative to.
    replaced
        Called on every text: puts folders in the place of steps that are named.

    Raises
    ------
    ConfigError
        Naming an unknown key, with a suggestion, or a value of the wrong kind.
    """
    found: list[str] = []
    for key, value in values.items():
        name = str(key).replace("_", "-")
        if name not in options:
            close = difflib.get_close_matches(name, options, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(options)}."
            raise ConfigError(f"{key}: there is no such setting; {hint}")
        option = options[name]
        if option.switch:
            if not isinstance(value, bool):
                raise ConfigError(f"{key}: expected true or false, found {value!r}.")
            found += [flag for flag in [option.flag if value else option.off] if flag]
        elif value is None:
            continue
        else:
            for text in _texts(key, value, option):
                text = str(folder / text) if option.path else replaced(text)
                found += [option.flag, text] if option.flag else [text]
    return found


def paths_of(options: Mapping[str, Option], values: Mapping[str, Any], folder: Path) -> list[Path]:
    """Return the files and folders that settings name, which a result depends on."""
    return [
        folder / text
        for key, value in values.items()
        if (option := options[str(key).replace("_", "-")]).path and key != "cache"
        for text in _texts(key, value, option)
    ]


def _texts(key: str, value: Any, option: Option) -> Iterator[str]:
    if isinstance(value, Mapping):
        if key != "set":
            raise ConfigError(f"{key}: expected a value or a list, found {value!r}.")
        yield from _pairs(value)
    elif isinstance(value, list | tuple):
        texts = [_text(key, each) for each in value]
        yield from texts if option.many else [",".join(texts)]
    else:
        yield _text(key, value)


def _text(key: str, value: Any) -> str:
    if isinstance(value, Mapping | list | tuple) or value is None:
        raise ConfigError(f"{key}: expected numbers or texts, found {value!r}.")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _pairs(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Flatten ``{train: {steps: 3}}`` to ``train.steps=3``."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _pairs(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}={json.dumps(value)}"
