"""Arrays and tables of numbers out of pickles, without running them.

What numpy and pandas wrote is put together from the plain values inside; whatever else a pickle
would call is refused.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tinbergen.errors import DataError, MissingFileError
from tinbergen.recordings.plain_pickle import Unread, plain_bytes, plain_number, read_plain_pickle

_KINDS = "biufSU"


def read_array_pickle(path: str | os.PathLike) -> Any:
    """Return what a pickle of numpy arrays, alone or in dictionaries, lists and tuples, holds.

    Raises
    ------
    MissingFileError
        If there is no such file.
    DataError
        If it is damaged, or holds anything but plain values and arrays of these.
    """
    path = Path(path)
    return _read(path, lambda tree: _plain(tree, path))


def read_frame_pickle(path: str | os.PathLike) -> pd.DataFrame:
    """Return a pandas table (``to_pickle`` of pandas 1 and 2); its index becomes columns.

    Raises
    ------
    MissingFileError, DataError
        As :func:`read_array_pickle`.
    """
    path = Path(path)
    return _read(path, lambda tree: _frame(tree, path))


def _read(path: Path, job: Callable[[Any], Any]) -> Any:
    if not path.is_file():
        raise MissingFileError(f"Expected a pickle of arrays at {path}, found no file.")
    try:
        return job(read_plain_pickle(path.read_bytes(), unread=True))
    except DataError as error:
        raise DataError(f"{path}: {error}".replace(f"{path}: {path}: ", f"{path}: ")) from error
    except (
        *(AttributeError, LookupError, TypeError, ValueError),
        *(RecursionError, MemoryError, OverflowError),
    ) as error:
        raise DataError(
            f"{path}: its arrays are stored in a way that is not known here ({error}). Open it "
            "where it was made and save plain arrays (numpy.savez)."
        ) from error


def _plain(value: Any, path: Path) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each, path) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each, path) for each in value]
    if not isinstance(value, Unread):
        return value
    array = _array(value)
    return _item(value) if array is None else array


def _item(value: Any) -> Any:
    """Return a plain value of an array of objects."""
    if not isinstance(value, Unread):
        return value
    number = plain_number(value)
    if number is None:
        raise _other(value)
    return number


def _other(value: Unread) -> DataError:
    return DataError(
        f"holds {value.name.replace(' ', '.')}, which is no array of numbers; not read, as it "
        "could run code"
    )


def _array(value: Unread) -> np.ndarray | None:
    """Return an array of numbers or text; None if ``value`` is anything else."""
    module, _, name = value.name.partition(" ")
    if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
        _, shape, dtype, fortran, data = value.state
        kind = _dtype(dtype)
        if kind == "O":
            flat = np.empty(len(data), dtype=object)
            flat[:] = [_item(each) for each in data]
            return flat.reshape(shape, order="F" if fortran else "C")
        return _of_bytes(plain_bytes(data), kind, shape, "F" if fortran else "C")
    if module in ("numpy.core.numeric", "numpy._core.numeric") and name == "_frombuffer":
        data, dtype, shape, order = value.arguments
        return _of_bytes(plain_bytes(data), _dtype(dtype), shape, order)
    return None


def _of_bytes(data: bytes, kind: str, shape: tuple, order: str) -> np.ndarray:
    dtype = np.dtype(kind)
    if dtype.kind not in _KINDS:
        raise DataError(f"holds an array of {dtype}; expected numbers or text")
    if len(data) != dtype.itemsize * int(np.prod(shape, dtype=np.int64)):
        raise DataError(f"{len(data)} bytes are no array of {dtype} and shape {shape}; cut off?")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if order == "F" else "C").copy()


def _dtype(value: Any) -> str:
    code = str(value.arguments[0])
    if code.startswith("O"):
        return "O"
    order = str(value.state[1]).replace("|", "") if value.state else ""
    return order + code


# ---- pandas


def _frame(tree: Any, path: Path) -> pd.DataFrame:
    if not isinstance(tree, Unread) or not tree.name.endswith(" DataFrame"):
        raise DataError("expected a pandas table")
    state = tree.state
    manager = state.get("_mgr", state.get("_data")) if isinstance(state, dict) else state
    if not isinstance(manager, Unread):
        raise DataError("expected the blocks of a pandas table")
    axes, blocks = _blocks(manager)
    columns, rows = _index(axes[0])[0], _index(axes[1])
    table: dict[str, np.ndarray] = {f"{name}": np.empty(0) for name in columns[1]}
    for values, places in blocks:
        for place, row in zip(places, values, strict=True):
            table[str(columns[1][place])] = row
    index = {name: values for name, values in rows if name is not None}
    return pd.DataFrame({**index, **table})


def _blocks(manager: Unread) -> tuple[list, list[tuple[np.ndarray, np.ndarray]]]:
    """Return the axes, and values with the numbers of their columns."""
    if manager.arguments:  # pandas from 1.3 on
        blocks, axes = manager.arguments
        n = len(_index(axes[0])[0][1])
        return axes, [(_values(b.arguments[0]), _places(b.arguments[1], n)) for b in blocks]
    written = manager.state[3]["0.14.1"]
    n = len(_index(written["axes"][0])[0][1])
    found = [(_values(b["values"]), _places(b["mgr_locs"], n)) for b in written["blocks"]]
    return written["axes"], found


def _values(value: Any) -> np.ndarray:
    array = _array(value)
    if array is None:
        raise DataError(f"a column is stored as {value.name.replace(' ', '.')}; not read")
    return array


def _places(value: Any, n: int) -> np.ndarray:
    if isinstance(value, Unread) and value.name.endswith(" slice"):
        return np.arange(n)[slice(*value.arguments)]
    return _values(value)


def _index(value: Unread) -> list[tuple[str | None, np.ndarray]]:
    """Return name and values of each level."""
    kind, about = value.arguments
    if kind.name.endswith(" RangeIndex"):
        return [(about["name"], np.arange(about["start"], about["stop"], about["step"]))]
    if kind.name.endswith(" MultiIndex"):
        levels = [_index(level)[0][1] for level in about["levels"]]
        codes = [_values(code) for code in about.get("codes", about.get("labels"))]
        pairs = zip(about["names"], levels, codes, strict=True)
        return [(name, level[code]) for name, level, code in pairs]
    return [(about["name"], _values(about["data"]))]
