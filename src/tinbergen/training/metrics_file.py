"""``metrics.jsonl``: one JSON object a line, appended as training goes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinbergen.errors import DataError
from tinbergen.files import atomic_write, explain_os_errors


def append_line(path: Path, values: Mapping[str, Any]) -> None:
    """Append one line; NaN and infinity, which JSON lacks, become null."""
    text = json.dumps({key: _plain(value) for key, value in values.items()}, allow_nan=False)
    with explain_os_errors(path), open(path, "ab") as file:
        file.write(text.encode() + b"\n")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return all lines; a half-written last one is left out.

    Raises
    ------
    DataError
        If another line is damaged.
    """
    if not path.exists():
        return []
    lines = []
    for number, text in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        try:
            lines.append(json.loads(text))
        except ValueError as error:
            raise DataError(
                f"{path}, line {number}: expected JSON, found {text[:60]!r}. Delete the line."
            ) from error
    return lines


def rewind(path: Path, step: int) -> None:
    """Drop all lines after ``step``, so that a resumed run writes them anew."""
    kept = [line for line in read_lines(path) if line.get("step", 0) <= step]
    with atomic_write(path) as file:
        file.writelines(json.dumps(line) + "\n" for line in kept)


def sync(path: Path) -> None:
    """Bring the lines onto the disk: a checkpoint must not be newer than they are."""
    if path.exists():
        with explain_os_errors(path), open(path, "ab") as file:
            os.fsync(file.fileno())


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    number = float(value)
    return number if abs(number) < float("inf") else None
