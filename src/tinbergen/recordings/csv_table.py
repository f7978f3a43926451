"""Tables of separated text, read strictly: rows as long as the header, each name once."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import pandas as pd

from tinbergen.errors import DataError, MissingFileError


def read_csv_table(path: str | os.PathLike, what: str, separator: str = ",") -> pd.DataFrame:
    """Read a table with one header row.

    pandas fills up rows that are cut off and renames columns that come twice, so both are looked
    for first.

    Parameters
    ----------
    what
        What it should be, for the message: "a CSV of trials".

    Raises
    ------
    MissingFileError
        If there is no such file.
    DataError
        Naming the line or the column that is not as it should be.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"Expected {what} at {path}, found none.")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            _check(csv.reader(file, delimiter=separator, strict=True), path)
        return pd.read_csv(path, sep=separator)
    except (ValueError, csv.Error) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is not {what}: {error}") from error


def _check(rows: Any, path: Path) -> None:
    header = next((cells for cells in rows if cells), [])
    names = [name.strip() for name in header]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"{path} has several columns {twice!r}; rename or delete one.")
    for cells in rows:
        if cells and len(cells) != len(header):
            raise DataError(
                f"{path}, line {rows.line_num}: {len(cells)} cells, but the header has "
                f"{len(header)} columns. Was the file cut off?"
            )
