"""Arrays of numbers or text out of ``.npy``, ``.npz``, HDF5, MATLAB and text files, by key.

Nothing here unpickles: what is stored as Python objects is refused.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from tinbergen.errors import DataError, MissingFileError, TinbergenError

_HDF5 = (".h5", ".hdf5", ".hdf")
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_TEXT = (".txt", ".csv", ".tsv", ".dat")
SUFFIXES = (".npy", ".npz", ".mat", *_HDF5, *_TEXT)
_NO_OBJECTS = (
    "holds Python objects or cells, which are not read: they may run code, and their lengths may "
    "differ. Save plain arrays instead: for spikes one array with all times and one, as long, "
    "with the unit of each (numpy: np.concatenate(trains) and np.repeat(np.arange(len(trains)), "
    "[len(train) for train in trains]); MATLAB: vertcat and repelem)."
)


def list_arrays(path: str | os.PathLike) -> dict[str, str]:
    """Return key -> type and shape, for example ``"uint8 (114, 734, 40)"``.

    ``.npy`` and text files without names of columns hold one array without a name, ``""``.

    Raises
    ------
    MissingFileError, DataError
    """
    return _with_file(path, lambda file: file.list(Path(path)))


def read_array(path: str | os.PathLike, key: str | None = None) -> np.ndarray:
    """Read one array of numbers or text.

    Parameters
    ----------
    path
        ``.npy``, ``.npz``, ``.mat`` (version 5 or 7.3), ``.h5``/``.hdf5``, numbers as text
        (``.txt``, ``.csv``, ``.tsv``; lines that begin with ``#`` are left out), or a ``.csv`` or
        ``.tsv`` whose first line names its columns, which are the arrays.
    key
        Name of the array; inside groups (HDF5) and structs (MATLAB) as ``group/name``. Not needed
        where the file holds just one.

    Returns
    -------
    In the shape that the program which wrote it shows: an array of a MATLAB 7.3 file is turned
    back, so that it has the shape it has in MATLAB, as in version 5. Sparse arrays become full,
    cells of text an array of text.

    Raises
    ------
    MissingFileError
        If there is no such file.
    DataError
        If it cannot be read, has no such key (the text lists those there are), or the array holds
        objects.

    Examples
    --------
    >>> read_array("session01.npz", "counts").shape  # doctest: +SKIP
    (114, 734, 40)
    """

    def read(file: _Format) -> np.ndarray:
        wanted = key
        if wanted is None:
            found = file.list(Path(path))
            if len(found) != 1:
                raise DataError(f"{path} holds several arrays; name one of: {_shown(found)}.")
            wanted = next(iter(found))
        value = file.read(Path(path), wanted)
        if value is None:
            raise DataError(
                f"{path}: expected an array {wanted!r}; it holds: {_shown(file.list(Path(path)))}."
            )
        return _plain(value, f"{path}, {wanted!r}" if wanted else str(path))

    return _with_file(path, read)


def read_npz(path: str | os.PathLike, what: str, needed: Collection[str]) -> dict[str, np.ndarray]:
    """Read all arrays of an ``.npz``.

    Parameters
    ----------
    what
        It should be: ``"a series"``; for errors.
    needed
        Keys that it must have.

    Raises
    ------
    MissingFileError, DataError
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"Expected {what} (.npz) at {path}, found none.")
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path} is not {what}: it is no archive (.npz), or cut off.")
    try:
        with np.load(path, allow_pickle=False) as file:
            if missing := sorted(set(needed) - set(file)):
                raise DataError(
                    f"{path} is not {what}: the arrays {', '.join(missing)} are missing; "
                    f"it has {', '.join(file) or 'none'}."
                )
            return dict(file.items())
    except TinbergenError:
        raise
    except Exception as error:  # the parsers raise whatever comes when a file is damaged
        if "allow_pickle" in str(error):
            raise DataError(f"{path} {_NO_OBJECTS}") from error
        raise DataError(f"{path} is damaged: {error}. Write or copy it anew.") from error


def _shown(found: dict[str, str]) -> str:
    shown = [f"{key} {about}".strip() for key, about in found.items()]
    more = f", and {len(shown) - 12} more" if len(shown) > 12 else ""
    return (", ".join(shown[:12]) + more) or "nothing"


def _plain(value: Any, where: str) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8")
    if array.dtype.kind == "O" and array.size and all(isinstance(v, str) for v in array.flat):
        array = array.astype(str)
    if array.dtype.kind not in "biufU":
        raise DataError(f"{where} {_NO_OBJECTS}")
    return array


def _with_file(path: str | os.PathLike, job: Callable[[_Format], Any]) -> Any:
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"Expected arrays at {path}, found no file.")
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path}: expected one of {', '.join(SUFFIXES)}; found {suffix!r}.")
    try:
        return job(_format(path, suffix))
    except TinbergenError:
        raise
    except Exception as error:  # the parsers raise whatever comes when a file is cut off
        reason = str(error) or type(error).__name__
        if "allow_pickle" in reason:
            raise DataError(f"{path} {_NO_OBJECTS}") from error
        raise DataError(f"{path} cannot be read as {suffix}: {reason}") from error


class _Format(NamedTuple):
    """How to list the arrays of a file, and how to read one; None where there is none."""

    list: Callable[[Path], dict[str, str]]
    read: Callable[[Path, str], Any]


def _format(path: Path, suffix: str) -> _Format:
    if suffix == ".npy":
        return _Format(_list_npy, _read_npy)
    if suffix == ".npz":
        return _Format(_list_npz, _read_npz)
    if suffix in _TEXT:
        return _Format(_list_text, _read_text)
    import h5py

    if suffix in _HDF5 or h5py.is_hdf5(path):
        return _Format(_list_hdf5, _read_hdf5)
    return _Format(_list_mat, _read_mat)


def _about(array: Any) -> str:
    return f"{array.dtype} {tuple(array.shape)}"


def _header(file: Any) -> str:
    """Return type and shape of the ``.npy`` that begins here; nothing of the array is read."""
    first = np.lib.format.read_magic(file) == (1, 0)
    header = np.lib.format
    read = header.read_array_header_1_0 if first else header.read_array_header_2_0
    shape, _, dtype = read(file)
    return f"{dtype} {shape}"


def _list_npy(path: Path) -> dict[str, str]:
    with open(path, "rb") as file:
        return {"": _header(file)}


def _read_npy(path: Path, key: str) -> np.ndarray | None:
    return None if key else np.load(path, allow_pickle=False)


def _list_text(path: Path) -> dict[str, str]:
    table = _named_columns(path)
    if table is None:
        return {"": _about(_read_text(path, ""))}
    return {str(name): _about(table[name]) for name in table}


def _read_text(path: Path, key: str) -> np.ndarray | None:
    table = _named_columns(path)
    if table is not None:
        return table[key].to_numpy() if key in table else None
    separator = _SEPARATORS.get(path.suffix.lower())
    return None if key else np.loadtxt(path, delimiter=separator, encoding="utf-8")


def _named_columns(path: Path) -> pd.DataFrame | None:
    """Return a table whose first line has names; None if it has numbers, or is a comment."""
    separator = _SEPARATORS.get(path.suffix.lower())
    with open(path, encoding="utf-8-sig") as file:
        first = file.readline().strip()
    if separator is None or not first or first.startswith("#"):
        return None
    try:
        np.array(first.split(separator), np.float64)
    except ValueError:
        table = pd.read_csv(path, sep=separator, encoding="utf-8-sig", skipinitialspace=True)
        return table.fillna(dict.fromkeys(table.select_dtypes(exclude=["number", "bool"]), ""))
    return None


def _list_npz(path: Path) -> dict[str, str]:
    found = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            with archive.open(name) as file:
                found[name.removesuffix(".npy")] = _header(file)
    return found


def _read_npz(path: Path, key: str) -> np.ndarray | None:
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path} cannot be read as .npz: it is no archive, or cut off.")
    with np.load(path, allow_pickle=False) as file:
        try:
            return file.get(key)
        except ValueError as error:
            if "allow_pickle" not in str(error):
                raise
            raise DataError(f"{path}, {key!r} {_NO_OBJECTS}") from error


def _list_hdf5(path: Path) -> dict[str, str]:
    import h5py

    found = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and not name.startswith("#"):
            found[name] = _about(item)

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return found


def _read_hdf5(path: Path, key: str) -> Any:
    import h5py

    with h5py.File(path, "r") as file:
        item = file.get(key.strip("/"))
        if isinstance(item, h5py.Group) and "MATLAB_sparse" in item.attrs:
            return _matlab_sparse(item)
        if not isinstance(item, h5py.Dataset):
            return None
        if "MATLAB_class" in item.attrs:
            return _matlab(file, item)
        return item.asstr()[()] if h5py.check_string_dtype(item.dtype) else item[()]


def _matlab(file: Any, item: Any) -> Any:
    """Return an array of a MATLAB 7.3 file as MATLAB shows it; cells only if they hold text."""
    kind = item.attrs["MATLAB_class"]
    if item.attrs.get("MATLAB_empty", 0):
        return np.zeros(tuple(int(n) for n in item[()]))
    if kind == b"cell":
        cells = [_matlab(file, file[reference]) for reference in item[()].T.ravel()]
        return np.array(cells, dtype=object)
    value = item[()].T
    if kind == b"char":
        rows = ["".join(map(chr, row)) for row in np.atleast_2d(value)]
        return rows[0] if len(rows) == 1 else np.array(rows)
    return value


def _matlab_sparse(item: Any) -> np.ndarray:
    from scipy.sparse import csc_matrix

    starts = item["jc"][()]
    shape = (int(item.attrs["MATLAB_sparse"]), len(starts) - 1)
    if "data" not in item:
        return np.zeros(shape)
    return csc_matrix((item["data"][()], item["ir"][()], starts), shape=shape).toarray()


def _list_mat(path: Path) -> dict[str, str]:
    import scipy.io

    return {name: f"{kind} {shape}" for name, shape, kind in scipy.io.whosmat(str(path))}


def _read_mat(path: Path, key: str) -> Any:
    import scipy.io
    import scipy.sparse

    name, *fields = key.split("/")
    value = scipy.io.loadmat(str(path), variable_names=[name], chars_as_strings=True).get(name)
    for i, field in enumerate(fields):
        if value is None or value.dtype.names is None or value.size != 1:
            return None
        if field not in value.dtype.names:
            inside = "/".join([name, *fields[:i]])
            raise DataError(
                f"{path}: expected an array {key!r}; {inside} holds: "
                f"{', '.join(value.dtype.names)}."
            )
        value = value[field].item()
    if scipy.sparse.issparse(value):
        return value.toarray()  # type: ignore[union-attr]
    if value is not None and value.dtype.names:
        names = ", ".join(f"{key}/{field}" for field in value.dtype.names)
        raise DataError(f"{path}: {key!r} is a struct; name one of: {names}.")
    if value is not None and value.dtype == object:
        return _cell_of_text(value)
    return value


def _cell_of_text(cell: np.ndarray) -> np.ndarray:
    texts = [str(v.item()) if v.dtype.kind == "U" and v.size == 1 else None for v in cell.flat]
    return np.array(texts, dtype=object)
