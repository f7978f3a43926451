"""DeepLabCut's HDF5 of tracked keypoints: a pandas ``table``, without pandas' HDF5 library.

The layout is that of pandas 0.15.2 and later (``HDFStore``, format "table") on PyTables 2.7.
"""

from __future__ import annotations

import itertools
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from tinbergen.errors import DataError
from tinbergen.files import atomic_write
from tinbergen.recordings.deeplabcut import keypoints_of_rows, values_and_fields
from tinbergen.recordings.frames import FrameSource
from tinbergen.recordings.hdf5 import opened_hdf5
from tinbergen.recordings.keypoint_table import SINGLE, parse_header
from tinbergen.recordings.keypoints import Keypoints
from tinbergen.recordings.plain_pickle import read_plain_pickle

_KEY = "df_with_missing"
_LONGEST_ATTRIBUTE = 64_000


def read_dlc_h5(
    path: str | os.PathLike,
    times: FrameSource | np.ndarray | str | os.PathLike | None = None,
    *,
    fps: float | None = None,
) -> Keypoints:
    """Read tracked keypoints from DeepLabCut's HDF5 (pandas ``table`` format).

    Rows that name images (``.../0050.png``) are taken in their order, the first at frame 0. For
    ``times`` and ``fps`` see :func:`read_dlc_csv`. Pandas stores column names as pickles; they are
    read by a parser that knows plain values only and never runs anything.

    Raises
    ------
    MissingFileError, DataError
    """
    path = Path(path)
    what, hint = "a DeepLabCut .h5 (pandas table)", "Use the .csv beside it."
    with opened_hdf5(path, what, hint) as file:
        groups: list[Any] = list(file.values())
        tables = [group["table"] for group in groups if "table" in group]
        if len(tables) != 1:
            raise DataError(f"{path}: expected one pandas table, found {len(tables)}.")
        rows = tables[0][:]
        blocks = [name for name in rows.dtype.names if name.startswith("values_block")]
        columns = [
            tuple(column)
            for name in blocks
            for column in read_plain_pickle(tables[0].attrs[f"{name}_kind"])
        ]
        index = rows["index"]
    if not columns or {len(column) for column in columns} not in ({3}, {4}):
        raise DataError(
            f"{path}: expected columns of keypoints (values_block_0, named by scorer, bodyparts "
            f"and coords), found {', '.join(rows.dtype.names)}. Use the .csv beside it."
        )
    values = np.concatenate([rows[name].reshape(len(rows), -1) for name in blocks], axis=1)
    names = ["scorer", "individuals", "bodyparts", "coords"]
    if len(columns[0]) == 3:
        names.remove("individuals")
    header = {name: [str(c[level]) for c in columns] for level, name in enumerate(names)}
    is_number = np.issubdtype(index.dtype, np.integer)
    numbers = index if is_number else np.arange(len(rows))
    return keypoints_of_rows(parse_header(header, str(path)), values, numbers, times, fps, path)


def write_dlc_h5(
    path: str | os.PathLike, keypoints: Keypoints, *, scorer: str = "tinbergen"
) -> None:
    """Write keypoints as DeepLabCut's HDF5, which ``pandas.read_hdf`` reads: a row a sample.

    Rows are numbered from 0; times are not part of this format. Positions and confidences read
    back to the last bit. The level ``individuals`` is written where there are several animals, or
    one with a name.

    Raises
    ------
    DataError
        If there are more columns than this format can name.
    """
    import h5py

    values, fields = values_and_fields(keypoints)
    levels = ["scorer", "individuals", "bodyparts", "coords"]
    columns = list(itertools.product([scorer], keypoints.individuals, keypoints.keypoints, fields))
    if tuple(keypoints.individuals) == (SINGLE,):
        levels.remove("individuals")
        columns = [(who, *rest) for who, _, *rest in columns]
    names = _pickled(columns)
    if len(names) > _LONGEST_ATTRIBUTE:
        raise DataError(
            f"{path}: {len(columns)} columns are more than DeepLabCut's HDF5 can name; write a "
            ".csv instead."
        )
    kind = [("index", "<i8"), ("values_block_0", "<f8", (len(columns),))]
    rows = np.empty(len(values), kind)
    rows["index"] = np.arange(len(values))
    rows["values_block_0"] = values.reshape(len(values), -1)
    with atomic_write(path, "w+b") as out, h5py.File(out, "w") as file:
        _describe(file, CLASS="GROUP", TITLE=None, VERSION="1.0", PYTABLES_FORMAT_VERSION="2.1")
        group = file.create_group(_KEY)
        _describe(
            group,
            **{"CLASS": "GROUP", "TITLE": None, "VERSION": "1.0"},
            **{"pandas_type": "frame_table", "pandas_version": "0.15.2"},
            **{"table_type": "appendable_frame", "encoding": "UTF-8", "errors": "strict"},
            **{"data_columns": _pickled([]), "metadata": _pickled([]), "nan_rep": "nan"},
            index_cols=_pickled([(0, "index")]),
            values_cols=_pickled(["values_block_0"]),
            non_index_axes=_pickled([(1, columns)]),
            info=_pickled({1: {"names": levels, "type": "MultiIndex"}, "index": {}}),
            levels=np.int64(1),
        )
        table = group.create_dataset("table", data=rows, maxshape=(None,), chunks=(256,))
        _describe(
            table,
            **{"CLASS": "TABLE", "TITLE": None, "VERSION": "2.7", "NROWS": np.int64(len(rows))},
            **{"FIELD_0_NAME": "index", "FIELD_0_FILL": np.int64(0)},
            **{"FIELD_1_NAME": "values_block_0", "FIELD_1_FILL": np.float64(0)},
            **{"index_kind": "integer", "values_block_0_dtype": "float64"},
            **{"values_block_0_kind": names, "values_block_0_meta": _pickled(None)},
        )


def _pickled(value: Any) -> bytes:
    # The format has names as pickles; these hold lists, tuples, texts and whole numbers only.
    return pickle.dumps(value, protocol=0)


def _describe(item: Any, **attributes: Any) -> None:
    """Write attributes as PyTables has them: texts of a fixed length, pickles as plain bytes."""
    import h5py

    for name, value in attributes.items():
        if value is None:
            item.attrs[name] = h5py.Empty(h5py.string_dtype("utf-8", 1))
        elif isinstance(value, str):
            item.attrs.create(name, value.encode(), dtype=h5py.string_dtype("utf-8", len(value)))
        else:
            item.attrs[name] = np.bytes_(value) if isinstance(value, bytes) else value
