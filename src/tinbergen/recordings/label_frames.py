"""Labels with a row a frame: one-hot and integer CSV, names, and SimBA's targets."""

from __future__ import annotations

import csv
import difflib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tinbergen.errors import DataError
from tinbergen.files import atomic_write
from tinbergen.recordings.label_rows import Reading, labels_of_frames, names
from tinbergen.recordings.label_tables import HEAD, delimiter_of, encoding_of, head, read_text
from tinbergen.recordings.labels import UNLABELLED, Labels

BACKGROUND = "background"
"""The class of daart and lightning-action that means: nobody scored this frame."""

_INDEX = ("", "frame", "frames", "index", "unnamed: 0", "scorer", "frame_number")
_LABEL = ("label", "labels", "behavior", "behaviour", "class", "state", "action", "code")
_POSE = ("_x", "_y", "_p")
_INTEGER = r"-?\d+(\.0)?"
_FLAGS = ("0", "1", "0.0", "1.0", "-1", "-1.0")
_EMPTY = ("", "NA", "NaN", "nan")  # of pandas' list: None and null may be names of classes


def frame_kind(header: Sequence[str], cells: Sequence[str]) -> str | None:
    """Return which per-frame format begins with this header and this first row, if any."""
    lower = [cell.lower() for cell in header]
    if all(any(name.endswith(end) for name in lower) for end in _POSE):
        return "simba"
    rest = lower[1:] if lower[0] in _INDEX else lower
    values = cells[1:] if lower[0] in _INDEX else cells
    if len(rest) == 1 and rest[0] in _LABEL:
        return "integer" if values and re.fullmatch(_INTEGER, values[0]) else "names"
    return "one-hot" if rest and values and all(v in _FLAGS for v in values) else None


def read_one_hot(how: Reading, notes: list[str]) -> Labels:
    """Read a column a class, 1 where it holds; ``background``, or -1 throughout: unscored."""
    table = _read(how.path)
    columns = [name for name in table if name not in _index(table)]
    return _of_columns(table, columns, how, notes)


def read_simba(how: Reading, notes: list[str]) -> Labels:
    """Read SimBA's targets: after pose and features, a 0/1 column each behaviour.

    Without classes, these are the last columns that hold nothing but 0 and 1.
    """
    header = list(_read(how.path, nrows=0).columns)
    if how.classes:
        columns = _asked(header, how)
    else:
        table = _read(how.path)
        columns = []
        for name in reversed(header):
            if name.lower().endswith(_POSE) or name in _index(table):
                break
            if not np.isin(table[name].to_numpy(), [0, 1]).all():
                break
            columns.insert(0, str(name))
        if not columns:
            raise DataError(
                f"{how.path}: found no behaviour: the last column, {header[-1]!r}, does not hold "
                "0 and 1 alone. Name the classes."
            )
        notes.append(f"the last {len(columns)} columns were taken as behaviours: {names(columns)}")
    table = _read(how.path, usecols=columns)
    return _of_columns(table, columns, how, notes)


def read_codes(how: Reading, notes: list[str]) -> Labels:
    """Read one column: numbers that count through the classes, or names; empty = unscored."""
    table = _read(how.path)
    index = _index(table)
    columns = [name for name in table if name not in index]
    if len(columns) != 1:
        raise DataError(f"{how.path}: expected one column of labels, found {names(columns)}.")
    column = columns[0]
    values = table[column]
    _check_all_numbers(values, column, how.path)
    if values.dtype.kind in "iuf":
        classes = how.classes or _listed(how.path)
        if not classes:
            raise DataError(
                f"{how.path} holds numbers; give the names of the classes that they count, or "
                f"write them, a line each, to {_class_list(how.path).name} beside it."
            )
        codes = values.fillna(UNLABELLED).to_numpy()
        bad = np.flatnonzero(~np.isin(codes, np.arange(-1, len(classes))))
        if len(bad):
            raise DataError(
                f"{how.path}, line {bad[0] + 2}, column {column!r}: {values.iloc[bad[0]]} is no "
                f"class: expected 0 to {len(classes) - 1}, or -1 where nobody scored."
            )
        codes = codes.astype(int)
    else:
        said = values.fillna("").astype(str).str.strip()
        if empty := int((said == "").sum()):
            notes.append(f"{empty} of {len(said)} rows are empty and count as unscored")
        classes = how.classes or tuple(sorted(set(said) - {""}))
        places = {name: k for k, name in enumerate(classes)} | {"": UNLABELLED}
        unknown = [i for i, name in enumerate(said) if name not in places]
        if unknown:
            _refuse(said.iloc[unknown[0]], classes, how.path, f"line {unknown[0] + 2}")
        codes = said.map(places).to_numpy(int)
    matrix = np.where(
        codes[:, None] < 0, UNLABELLED, codes[:, None] == np.arange(len(classes))
    ).astype(np.int8)
    return _scored(matrix, list(classes), how, notes)


def _of_columns(table: pd.DataFrame, columns: list[str], how: Reading, notes: list[str]) -> Labels:
    if how.classes:
        asked = _asked(columns, how)
        left_out = [c for c in columns if c not in asked and c not in _unscored(how)]
        if left_out:
            notes.append(f"columns left out, not among the classes: {names(left_out)}")
        columns = [*(c for c in columns if c in _unscored(how) and c not in asked), *asked]
    matrix = np.zeros((len(table), len(columns)), dtype=np.int8)
    for k, name in enumerate(columns):
        values = _numbers(table[name])
        bad = np.flatnonzero(~np.isin(values, [UNLABELLED, 0, 1]))
        if len(bad):
            cell = table[name].iloc[bad[0]]
            raise DataError(
                f"{how.path}, line {bad[0] + 2}, column {name!r}: expected 0 or 1, found "
                f"{'nothing' if pd.isna(cell) else cell}."
            )
        matrix[:, k] = values
    unscored = (matrix == UNLABELLED).any(axis=1)
    part = np.flatnonzero(unscored & (matrix != UNLABELLED).any(axis=1))
    if len(part):
        raise DataError(
            f"{how.path}, line {part[0] + 2}: -1 means that nobody scored; expected it in all "
            "columns of the row, or in none."
        )
    if unscored.any():
        notes.append(f"{unscored.sum()} of {len(matrix)} rows are -1: unscored")
    many = np.flatnonzero((matrix == 1).sum(axis=1) > 1)
    if len(many) and not how.overlaps and not len(_pose(how.path)):
        both = [name for name, on in zip(columns, matrix[many[0]], strict=True) if on]
        raise DataError(
            f"{how.path}, line {many[0] + 2}: {' and '.join(both)} hold at once ({len(many)} such "
            "rows). If several labels may, say overlaps."
        )
    return _scored(matrix, columns, how, notes)


def _scored(matrix: np.ndarray, columns: list[str], how: Reading, notes: list[str]) -> Labels:
    """Take the classes out that mean unscored, and what they cover."""
    quiet = [k for k, name in enumerate(columns) if name in _unscored(how)]
    classes = [name for k, name in enumerate(columns) if k not in quiet]
    if quiet:
        unscored = (matrix[:, quiet] == 1).any(axis=1)
        matrix = np.delete(matrix, quiet, axis=1)
        unscored &= ~(matrix == 1).any(axis=1)
        if how.observed != "all":
            matrix[unscored] = UNLABELLED
            notes.append(
                f"{columns[quiet[0]]!r} counts as unscored: {unscored.sum()} of {len(matrix)} rows"
            )
    if how.observed == "labelled":
        matrix = np.where((matrix == 1).any(axis=1)[:, None], matrix, np.int8(UNLABELLED))
    return labels_of_frames(matrix, classes, how, notes)


def _unscored(how: Reading) -> tuple[str, ...]:
    return (BACKGROUND,) if how.unscored is None else how.unscored


def _asked(columns: list[str], how: Reading) -> list[str]:
    for name in how.classes:
        if name not in columns and name not in _unscored(how):
            _refuse(name, columns, how.path, "the header")
    return [name for name in how.classes if name in columns]


def _refuse(name: str, known: Sequence[str], path: Path, where: str) -> None:
    near = difflib.get_close_matches(name, known, 1)
    raise DataError(
        f"{path}, {where}: there is no {name!r} among {names(list(known))}."
        + (f" Is it {near[0]!r}?" if near else "")
    )


def _read(path: Path, **options: Any) -> pd.DataFrame:
    with path.open("rb") as file:
        encoding = encoding_of(file.read(HEAD))
    rows = head(path)
    first = next((i for i, cells in enumerate(rows) if any(cells)), 0)
    named = [name for name in rows[first] if name] if rows else []
    if twice := [name for name in named if named.count(name) > 1]:
        raise DataError(f"{path} has several columns {twice[0]!r}; rename or delete one.")
    try:
        table: pd.DataFrame = pd.read_csv(
            path,
            sep=delimiter_of(read_text(path, HEAD)),
            encoding=encoding,
            encoding_errors="replace",
            skiprows=first,
            skip_blank_lines=len(named) > 1,  # in one column, a frame without a label
            keep_default_na=False,
            na_values=list(_EMPTY),
            **options,
        )  # type: ignore
    except (ValueError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"{path} is no table with a row a frame: {error}".strip()) from error
    table.columns = [str(name).strip() for name in table.columns]
    for name in _index(table):
        _check_index(table[name], path)
    return table


def _index(table: pd.DataFrame) -> list[str]:
    first = str(table.columns[0])
    named = first.lower() in _INDEX or first.lower().startswith("unnamed:")
    return [first] if named and len(table.columns) > 1 else []


def _check_all_numbers(values: Any, column: str, path: Path) -> None:
    """Refuse a column of numbers in which some cells are none."""
    filled = values.notna().to_numpy()
    numbers = np.isfinite(_numbers(values))
    odd = np.flatnonzero(filled & ~numbers)
    if len(odd) and numbers.any():
        raise DataError(
            f"{path}, line {odd[0] + 2}, column {column!r}: {values.iloc[odd[0]]!r} among "
            "numbers; expected numbers alone, or names alone."
        )


def _numbers(values: Any) -> np.ndarray:
    """Return a column as float64; NaN where it is no number."""
    return np.asarray(pd.to_numeric(values, errors="coerce"), dtype=np.float64)


def _check_index(values: Any, path: Path) -> None:
    frames = _numbers(values)
    bad = np.flatnonzero(np.diff(frames) != 1)
    if len(bad):
        i = int(bad[0])
        raise DataError(
            f"{path}, line {i + 3}, column 1: frame {values.iloc[i + 1]} follows "
            f"{values.iloc[i]}; expected a row for every frame, in order."
        )


def _pose(path: Path) -> list[str]:
    header = _read(path, nrows=0).columns
    return [name for name in header if str(name).lower().endswith("_p")]


def _class_list(path: Path) -> Path:
    return path.with_name(f"{path.name}.classes.txt")


def _listed(path: Path) -> tuple[str, ...]:
    file = _class_list(path)
    lines = read_text(file).split("\n") if file.is_file() else []
    return tuple(line.strip() for line in lines if line.strip())


def write_frames(
    path: str | os.PathLike, matrix: np.ndarray, classes: Sequence[str], kind: str
) -> None:
    """Write a row a frame: ``one-hot``, ``integer`` (with a list of the classes) or ``simba``.

    Parameters
    ----------
    matrix
        ``(time, class)``: 1, 0, or -1 where nobody looked.
    """
    path = Path(path)
    unscored = (matrix == UNLABELLED).all(axis=1)
    if kind == "integer":
        many = np.flatnonzero((matrix == 1).sum(axis=1) > 1)
        if len(many):
            raise DataError(f"Several labels hold in frame {many[0]}; write one-hot instead.")
        nothing = ~unscored & ~(matrix == 1).any(axis=1)
        if nothing.any():
            raise DataError(
                f"{nothing.sum()} frames were watched and have no label, which integers cannot "
                "say; write one-hot, or name a class for them (background)."
            )
        columns = np.where(unscored, UNLABELLED, matrix.argmax(axis=1))[:, None]
        header = ["frame", "label"]
        with atomic_write(_class_list(path)) as file:
            file.writelines(f"{name}\n" for name in classes)
    elif kind == "simba":
        if unscored.any():
            raise DataError(
                f"{unscored.sum()} of {len(matrix)} frames are unlabelled, which SimBA cannot "
                "say: 0 there means that the behaviour was not done. Write one-hot instead, or "
                "only the part that was watched."
            )
        columns, header = matrix, ["", *classes]
    else:
        if BACKGROUND in classes:
            raise DataError(
                f"The class {BACKGROUND!r} cannot be written: in these files it means that nobody "
                "scored. Rename it, or read the labels so that it is unscored."
            )
        columns = np.concatenate([unscored[:, None], np.maximum(matrix, 0)], axis=1)
        header = ["", BACKGROUND, *classes]
    rows = np.concatenate([np.arange(len(matrix))[:, None], columns], axis=1).astype(int)
    with atomic_write(path) as file:
        csv.writer(file, lineterminator="\n").writerow(header)
        np.savetxt(file, rows, fmt="%d", delimiter=",")
