"""One session or several: what models that share something between sessions are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinbergen.encoding.inputs import Kind, Table
from tinbergen.errors import DataError


def listed(values: Any) -> list[Any]:
    """Return the items of a list or tuple, or a single array as the one item."""
    return list(values) if isinstance(values, list | tuple) else [values]


def tables_of(X: Any, Y: Any, segments: Any, validate: Any) -> list[Table]:
    """Return a table for each session of what ``fit`` was given: arrays, or lists of arrays.

    Raises
    ------
    DataError
        If the lists differ in length, or a session's arrays do not fit.
    """
    if not isinstance(X, list | tuple):
        return [Table.of(X, Y, segments, validate)]
    lists = {"Y": Y, "segments": segments, "validate": validate}
    for name, value in lists.items():
        if value is None and name != "Y":
            lists[name] = [None] * len(X)
        elif not isinstance(value, list | tuple) or len(value) != len(X) or not len(X):
            raise DataError(
                f"{name}: expected a list with an item for each of the {len(X)} sessions."
            )
    return [Table.of(*items) for items in zip(X, *lists.values(), strict=True)]


def session_arrays(X: Any, segments: Any, session: int | None, n: int, several: bool) -> list:
    """Return ``(x, segments, session)`` of each array that ``predict`` was given.

    Raises
    ------
    DataError
        If a list is not of all ``n`` sessions, or it is not said which one an array belongs to.
    """
    if isinstance(X, list | tuple):
        if len(X) != n:
            raise DataError(f"Expected an array for each of {n} sessions, found {len(X)}.")
        each = [None] * n if segments is None else segments
        return list(zip(X, each, range(n), strict=True))
    if session is None and several:
        raise DataError("Several sessions were fitted: say which one with `session`.")
    return [(X, segments, one_of(session or 0, n).start)]


def one_of(session: int, n: int) -> slice:
    """Return where one of ``n`` sessions stands, as a slice.

    Raises
    ------
    DataError
        If there is no such session.
    """
    if not 0 <= session < n:
        raise DataError(f"session: expected 0 to {n - 1}, found {session}.")
    return slice(session, session + 1)


def kind_of(target: str, tables: Sequence[Table]) -> Kind:
    """Return what the targets are: as given, or counts if those of all sessions look like it."""
    counts = all(table.kind == "counts" for table in tables)
    if target == "counts" or (target == "auto" and counts):
        return "counts"
    return "continuous"
