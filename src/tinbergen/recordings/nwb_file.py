"""Making NWB files with pynwb: one object at a time, and the file whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tinbergen.errors import DataError, OutputError
from tinbergen.files import ensure_output_folder, explain_os_errors, fsync_folder
from tinbergen.recordings.series import Series

_ROWS = 1024  # written at a time
_OVERHEAD = 1_000_000  # bytes of the schema that every file carries, and of padding


def pynwb() -> Any:
    """Return the package, or say how to get it.

    Its classes are made at run time; type checkers know little of them.
    """
    try:
        import pynwb
    except ImportError as error:
        raise DataError(
            "Writing NWB files needs pynwb, which is not installed: pip install 'tinbergen[nwb]'."
        ) from error
    return pynwb


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raise an OutputError if ``path`` exists and is not to be replaced."""
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already. Choose another file, or pass overwrite.")


def new_file(
    description: str,
    identifier: str,
    start: datetime | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Any:
    """Return an empty ``NWBFile``; ``start`` is what time 0 s stands for.

    Raises
    ------
    DataError
        If ``start`` has no time zone, or NWB has no field of a name in ``metadata``.
    """
    start = datetime.fromtimestamp(0, UTC) if start is None else start
    if start.tzinfo is None:
        raise DataError(
            f"session_start {start} has no time zone; use start.replace(tzinfo=...) or "
            "start.astimezone()."
        )
    try:
        return pynwb().NWBFile(
            session_description=description,
            identifier=identifier,
            session_start_time=start,
            **(metadata or {}),
        )
    except TypeError as error:
        raise DataError(f"The metadata is not what NWB knows: {error}") from error


def time_series(
    name: str, data: Any, timestamps: np.ndarray, unit: str, description: str, rois: Any = None
) -> Any:
    """Return a TimeSeries, or a RoiResponseSeries where ``rois`` are given.

    ``data`` ``(time, ...)`` may be a memory map, and is read in parts.
    """
    if len(data):
        from hdmf.data_utils import DataChunkIterator

        chunks: Any = DataChunkIterator
        data = chunks(data, buffer_size=_ROWS)
    make = pynwb().TimeSeries if rois is None else pynwb().ophys.RoiResponseSeries
    return make(
        **({} if rois is None else {"rois": rois}),
        name=name,
        data=data,
        timestamps=np.asarray(timestamps),
        unit=unit or "n.a.",
        description=description,
    )


def table_columns(table: pd.DataFrame, reserved: tuple[str, ...]) -> tuple[list, dict[str, Any]]:
    """Return a table's columns for a dynamic table, and what is needed to get them back.

    Cells that are tuples become ragged columns. Unknown text is written as empty text. What comes
    second has ``columns`` (names in the file -> names in the table), ``order`` and ``dtypes``.
    """
    from hdmf.common import VectorData, VectorIndex

    make: Any = VectorData
    index: Any = VectorIndex
    columns, names, dtypes = [], {}, {}
    for given in table.columns:
        name = object_name(str(given), [*reserved, *(column.name for column in columns)])
        values, dtype = _plain(table.loc[:, given], given)
        column = make(name=name, description=f"{given}", data=values)
        columns.append(column)
        if isinstance(dtype, list):
            columns.append(index(name=f"{name}_index", target=column, data=dtype))
        elif dtype:
            dtypes[str(given)] = dtype
        if name != given:
            names[name] = str(given)
    order = [str(name) for name in table.columns]
    return columns, {"columns": names, "order": order, "dtypes": dtypes}


def channel_columns(series: Series) -> tuple[list, dict[str, Any]]:
    """Return names and table of a series' channels as :func:`table_columns` does."""
    from hdmf.common import VectorData

    make: Any = VectorData
    names = np.array(series.channels, dtype=object)
    table = pd.DataFrame(index=series.channels) if series.table is None else series.table
    masks = ("image_mask", "pixel_mask", "voxel_mask")  # NWB means something else by these
    columns, facts = table_columns(
        table.reset_index(drop=True), ("id", "channel", "table", *masks)
    )
    return [make(name="channel", description="Name", data=names), *columns], facts


def _plain(column: pd.Series, name: Any) -> tuple[np.ndarray, Any]:
    """Return what HDF5 can hold of a column, and its dtype, or the ends of its ragged rows."""
    kind = column.dtype.kind
    if kind in "iufb" and isinstance(column.dtype, np.dtype):
        values = column.to_numpy()
        # pynwb has no half precision; an empty column would lose its type
        values = values.astype(np.float32) if values.dtype == np.float16 else values
        return values, str(column.dtype)
    if kind in "iufb":  # of pandas, with missing values
        return column.to_numpy(np.float64, na_value=np.nan), None
    cells = column.tolist()
    if any(isinstance(cell, tuple | list | np.ndarray) for cell in cells):
        rows = [np.ravel(cell) if cell is not None else np.zeros(0) for cell in cells]
        values = np.concatenate(rows)
        values = values if values.dtype.kind in "iufb" else values.astype(str).astype(object)
        return values, np.cumsum([len(row) for row in rows]).tolist()
    if all(isinstance(cell, bool | np.bool_) for cell in cells) and cells:
        return np.array(cells), None
    words = ["" if pd.isna(cell) else str(cell) for cell in cells]
    if any("\0" in word for word in words):
        raise DataError(f"Column {name!r} holds text with a NUL character, which HDF5 cannot.")
    return np.array(words, dtype=object), None


def object_name(name: str, taken: list[str]) -> str:
    """Return a name that NWB allows and that is not ``taken`` yet."""
    base = "".join("_" if c in "/:" or ord(c) < 32 else c for c in name).strip(" .") or "_"
    result, number = base, 2
    while result in taken or f"{result}_index" in taken:
        result, number = f"{base}_{number}", number + 1
    return result


def save(file: Any, path: str | os.PathLike, need_bytes: int) -> None:
    """Write an ``NWBFile``, complete or not at all.

    Raises
    ------
    OutputError
        If the folder cannot be written, or the disk is too small.
    """
    path = Path(path)
    # HDF5 breaks down where the disk becomes full, so make sure of the space before.
    ensure_output_folder(path.parent, need_bytes + _OVERHEAD)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.partial.nwb")
    try:
        with explain_os_errors(path), pynwb().NWBHDF5IO(temporary, "w") as out:
            out.write(file)
        with open(temporary, "rb") as done:
            os.fsync(done.fileno())
        temporary.replace(path)
        fsync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
