"""HDF5 files opened so that damage is told as an error that names the file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tinbergen.errors import DataError, MissingFileError, TinbergenError

if TYPE_CHECKING:
    import h5py


@contextmanager
def opened_hdf5(path: str | os.PathLike, what: str, hint: str = "") -> Iterator[h5py.File]:
    """Open an HDF5 file to read; whatever the library says of damage becomes a ``DataError``.

    Parameters
    ----------
    what
        What it should be, for the message: "a SLEAP project".
    hint
        What to do if it is not.

    Raises
    ------
    MissingFileError
        If there is no such file.
    DataError
        If it is no HDF5 file, or what is asked of it within the block cannot be read.
    """
    import h5py

    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"Expected {what} at {path}, found none.")
    if not h5py.is_hdf5(path):
        raise DataError(f"{path} is not {what}: it is no HDF5 file. {hint}".rstrip())
    try:
        with h5py.File(path, "r") as file:
            yield file
    except TinbergenError as error:
        if str(path) in str(error):
            raise
        raise DataError(f"{path}: {error}") from error
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        # What h5py raises depends on where the damage lies.
        raise DataError(
            f"{path} is not {what}, or is damaged: {error}. Copy it again from where it was made. "
            f"{hint}".rstrip()
        ) from error
