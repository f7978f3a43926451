"""The header of DeepLabCut's and Lightning Pose's tables: strict, and the errors name the place.

A header has the rows ``scorer`` (optional), ``individuals`` (multi-animal only), ``bodyparts``
and ``coords``; each column below belongs to one individual, one body part and one coordinate.
"""

from __future__ import annotations

import csv
import itertools
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinbergen.errors import DataError, MissingFileError
from tinbergen.files import atomic_write

SINGLE = "individual"  # the name of the only animal in tables that name none
_FIELDS = ("x", "y", "z", "likelihood", "visible")
_LEVELS = ("scorer", "individuals", "bodyparts", "coords")


@dataclass(frozen=True)
class KeypointColumns:
    """What the columns of a table mean.

    Attributes
    ----------
    scorer
        Who or what made the table.
    individuals, keypoints
        Names in the order of the file.
    fields
        Coordinates of each keypoint in the order of the file, such as ``x y likelihood``.
    columns
        ``(individual, keypoint, field)`` int, column number from 0; -1 where there is none.
    """

    scorer: str
    individuals: tuple[str, ...]
    keypoints: tuple[str, ...]
    fields: tuple[str, ...]
    columns: np.ndarray

    def take(self, values: np.ndarray, field: str) -> np.ndarray:
        """Return ``(row, individual, keypoint)`` of one field out of ``values`` (row, column)."""
        columns = self.columns[:, :, self.fields.index(field)]
        return np.where(columns >= 0, values[:, columns], np.nan)


@dataclass(frozen=True)
class Table:
    """A keypoint table: its header, the leading cells of each row, and the numbers."""

    columns: KeypointColumns
    index: list[tuple[str, ...]]
    values: np.ndarray


def read_keypoint_table(path: str | os.PathLike) -> Table:
    """Read a table of keypoints from CSV.

    Raises
    ------
    MissingFileError
        If there is no such file.
    DataError
        Naming the line and column that is not as it should be.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"Expected a keypoint CSV at {path}, found none.")
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a CSV text file: {error}") from error
    header, n_index = _split_header(rows, path)
    columns = parse_header(
        {name: cells[n_index:] for name, cells in header.items()}, f"{path}, header"
    )
    body = rows[len(header) :]
    width = len(rows[0])
    for number, row in enumerate(body):
        if len(row) != width:
            raise DataError(
                f"{path}, line {len(header) + number + 1}: expected {width} cells as in the "
                f"header, found {len(row)}. The file may be cut off; export it again."
            )
    index = [tuple(row[:n_index]) for row in body]
    values = np.empty((len(body), width - n_index))
    extra = {c for c in range(width - n_index)} - set(columns.columns.reshape(-1).tolist())
    for number, row in enumerate(body):
        for column, cell in enumerate(row[n_index:]):
            values[number, column] = (
                np.nan if column in extra else _number(cell, path, len(header) + number + 1, row)
            )
    return Table(columns, index, values)


def _number(cell: str, path: Path, line: int, row: Sequence[str]) -> float:
    try:
        return float(cell) if cell.strip() else np.nan
    except ValueError:
        raise DataError(
            f"{path}, line {line} ({row[0]}): expected a number or nothing, found {cell!r}."
        ) from None


def _split_header(rows: list[list[str]], path: Path) -> tuple[dict[str, list[str]], int]:
    """Return the header rows by name, and how many leading cells of a row are its index."""
    header: dict[str, list[str]] = {}
    for row in rows[: len(_LEVELS)]:
        name = row[0].strip().lower()
        if name not in _LEVELS:
            break
        if name in header:
            raise DataError(f"{path}: the header row {name!r} stands twice.")
        header[name] = [cell.strip() for cell in row]
    for needed in ("bodyparts", "coords"):
        if needed not in header:
            first = rows[0][0] if rows and rows[0] else ""
            raise DataError(
                f"{path}: expected header rows scorer, [individuals,] bodyparts, coords; the row "
                f"{needed!r} is missing (line 1 starts with {first!r}). Is it a keypoint CSV of "
                "DeepLabCut or Lightning Pose?"
            )
    n_index = 1
    while n_index < len(header["coords"]) and not header["coords"][n_index]:
        n_index += 1
    widths = {name: len(cells) for name, cells in header.items()}
    if len(set(widths.values())) != 1:
        raise DataError(f"{path}: the header rows differ in length: {widths}.")
    return header, n_index


def parse_header(header: dict[str, list[str]], where: str) -> KeypointColumns:
    """Turn header rows (level -> a name a column) into columns.

    Raises
    ------
    DataError
        If a column stands twice, or a keypoint lacks x or y.
    """
    n = len(header["coords"])
    people = header.get("individuals", [SINGLE] * n)
    places: dict[tuple[str, str, str], int] = {}
    scorers = header.get("scorer", [""] * n)
    for column, key in enumerate(zip(people, header["bodyparts"], header["coords"], strict=True)):
        if "set" in (scorers[column], *key):
            continue  # Lightning Pose marks rows as train or validation in a last column
        if key[2] not in _FIELDS or not key[1]:
            raise DataError(
                f"{where}, column {column + 2}: expected a body part with x, y, z, likelihood or "
                f"visible, found {key[1]!r} with {key[2]!r}."
            )
        if key in places:
            raise DataError(
                f"{where}: {'/'.join(key)} stands twice (columns {places[key] + 2} and "
                f"{column + 2})."
            )
        places[key] = column
    individuals = tuple(dict.fromkeys(key[0] for key in places))
    keypoints = tuple(dict.fromkeys(key[1] for key in places))
    fields = tuple(dict.fromkeys(key[2] for key in places))
    for needed in ("x", "y"):
        if needed not in fields:
            raise DataError(f"{where} row coords: expected x and y columns, found {fields}.")
    columns = np.full((len(individuals), len(keypoints), len(fields)), -1)
    for (who, what, which), column in places.items():
        columns[individuals.index(who), keypoints.index(what), fields.index(which)] = column
        if (who, what, "x") not in places or (who, what, "y") not in places:
            raise DataError(f"{where}: {what} of {who} lacks x or y.")
    scorer = next((cell for cell in header.get("scorer", []) if cell), "")
    return KeypointColumns(scorer, individuals, keypoints, fields, columns)


def write_keypoint_table(
    path: str | os.PathLike,
    index: Iterable[object],
    values: np.ndarray,
    fields: Sequence[str],
    individuals: Sequence[str],
    keypoints: Sequence[str],
    scorer: str,
) -> None:
    """Write ``values`` (row, individual, keypoint, field) as CSV, atomically.

    Numbers are written so that they read back to the last bit, NaN as nothing.
    """
    columns = list(itertools.product([scorer], individuals, keypoints, fields))
    named = tuple(individuals) != (SINGLE,)
    with atomic_write(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        for level, name in enumerate(_LEVELS):
            if named or name != "individuals":
                writer.writerow([name, *(column[level] for column in columns)])
        rows = values.reshape(len(values), len(columns)).tolist()
        for first, row in zip(index, rows, strict=True):
            writer.writerow([first, *("" if v != v else repr(v) for v in row)])
