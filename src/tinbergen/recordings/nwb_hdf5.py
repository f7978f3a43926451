"""NWB files as HDF5: types, text, columns of dynamic tables."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from tinbergen.errors import DataError

SCRATCH = "scratch/tinbergen"  # JSON: what NWB has no field for, see nwb_export

_NO_COLUMNS = ("VectorIndex", "ElementIdentifiers", "")


@dataclass
class Source:
    """An open NWB file and what was noted while reading it.

    Attributes
    ----------
    path, file
        The file, and the same opened.
    notes
        What was left out or corrected.
    own
        Stream name -> what :func:`~tinbergen.recordings.nwb_export.write_nwb` noted of it; empty
        in files of other programs.
    """

    path: Path
    file: Any
    notes: list[str] = field(default_factory=list)
    own: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path, file: h5py.File) -> Source:
        """Read the file's own notes, if Tinbergen wrote it."""
        if SCRATCH not in file:
            return cls(path, file)
        dataset: Any = file[SCRATCH]
        own = json.loads(text(dataset[()]))
        return cls(path, file, own.get("notes", []), own["streams"])

    def note(self, where: Any, what: str) -> None:
        """Remember ``what`` about the object ``where``."""
        note = f"{str(where.name).lstrip('/')}: {what}"
        if note not in self.notes:
            self.notes.append(note)


def text(value: Any) -> str:
    """Return HDF5 text, or a cell of it, as str."""
    if isinstance(value, np.ndarray):
        value = value.reshape(-1)[0] if value.size else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def type_of(group: Any) -> str:
    """Return the ``neurodata_type`` of a group; empty if it has none."""
    return text(group.attrs.get("neurodata_type", ""))


def is_table(group: Any) -> bool:
    """Whether a group is a dynamic table."""
    return isinstance(group, h5py.Group) and "colnames" in group.attrs


def plain(dataset: Any) -> np.ndarray | None:
    """Return a dataset's numbers, or its text as str objects; None for references and records."""
    if h5py.check_ref_dtype(dataset.dtype) is not None or dataset.dtype.kind == "V":
        return None
    if dataset.dtype.kind in "OS":
        cells = np.atleast_1d(dataset[()])
        words = np.array([text(cell) for cell in cells.reshape(-1)], dtype=object)
        return words.reshape(cells.shape)
    return np.atleast_1d(dataset[()])


def column_names(group: Any) -> list[str]:
    """Names of a dynamic table's columns, without its ids and indices."""
    listed = [text(name) for name in group.attrs["colnames"]]
    if not listed:  # hdmf lists none where there is no row
        listed = [name for name in group if type_of(group[name]) not in _NO_COLUMNS]
    return [name for name in listed if name in group]


def n_rows(group: Any) -> int:
    """Return the number of rows of a dynamic table."""
    if "id" in group:
        return len(group["id"])
    names = column_names(group)
    first = f"{names[0]}_index" if names and f"{names[0]}_index" in group else names[:1]
    return len(group[first if isinstance(first, str) else first[0]]) if first else 0


def row_ends(group: Any, name: str) -> np.ndarray | None:
    """Return where each row of a ragged column ends, ``(row,)`` int; None if it is not ragged.

    Raises
    ------
    DataError
        If the index runs backwards, or beyond the column.
    """
    if f"{name}_index" not in group:
        return None
    ends = group[f"{name}_index"][()].astype(np.int64)
    total = len(group[name])
    bad = np.flatnonzero((np.diff(ends, prepend=0) < 0) | (ends > total))
    if len(bad) or len(ends) != n_rows(group):
        row = f"row {bad[0]} ends at {ends[bad[0]]}" if len(bad) else f"it has {len(ends)} rows"
        raise DataError(
            f"the index of the column {name!r} does not fit: {row}; expected {n_rows(group)} "
            f"ascending ends up to {total}."
        )
    return ends


def read_column(group: Any, name: str) -> np.ndarray | None:
    """Return one column: ``(row,)``, ragged and wide ones as tuples; None if it cannot be told.

    Left out are references, records, and columns that are ragged twice.

    Raises
    ------
    DataError
        If its length is not that of the table.
    """
    dataset = group[name]
    if not isinstance(dataset, h5py.Dataset) or f"{name}_index_index" in group:
        return None
    if dataset.ndim > (1 if f"{name}_index" in group else 2):
        return None
    values = plain(dataset)
    if values is None:
        return None
    if type_of(dataset) == "EnumData" and "elements" in dataset.attrs:
        values = plain(group.file[dataset.attrs["elements"]])[values.astype(int)]  # type: ignore
    ends = row_ends(group, name)
    rows = n_rows(group)
    if ends is None and len(values) != rows:
        raise DataError(f"the column {name!r} has {len(values)} rows, the table {rows}.")
    if ends is None and values.ndim == 1:
        return values
    cells = np.empty(rows, dtype=object)
    parts = values if ends is None else np.split(values, ends)[:rows]
    for row, part in enumerate(parts):
        cells[row] = tuple(part.tolist())
    return cells


def read_frame(
    group: Any, source: Source, skip: tuple[str, ...] = (), single: bool = False
) -> pd.DataFrame:
    """Read a dynamic table but for the columns ``skip``; its index is a range, not the ids.

    ``single``: only columns of a single value a row.
    """
    columns, lost = {}, []
    for name in column_names(group):
        if name in skip:
            continue
        many = f"{name}_index" in group or len(getattr(group[name], "shape", ())) > 1
        values = None if single and many else read_column(group, name)
        if values is None:
            lost.append(name)
        else:
            columns[name] = pd.Series(_text_or_not(values))
    if lost:
        source.note(group, f"columns left out, not one value a row: {', '.join(lost)}")
    return pd.DataFrame(columns, index=range(n_rows(group)))


def own_columns(table: pd.DataFrame, own: dict[str, Any]) -> pd.DataFrame:
    """Give columns the names and types back that NWB could not hold."""
    table = table.rename(columns=own.get("columns", {}))
    table = table.loc[:, own.get("order", list(table))]
    return table.astype({k: v for k, v in own.get("dtypes", {}).items() if k in table})


def _text_or_not(values: np.ndarray) -> Any:
    is_text = values.dtype == object and all(isinstance(value, str) for value in values)
    return pd.array(list(values), dtype="str") if is_text and len(values) else values
