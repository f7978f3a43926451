"""``.npy`` files written piece by piece, where a full disk is an error rather than a crash."""

from __future__ import annotations

import io
from typing import Any

import numpy as np


def npy_header(dtype: Any, shape: tuple[int, ...]) -> bytes:
    """First bytes of a ``.npy`` file that holds ``shape`` values row by row."""
    buffer = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": descr, "fortran_order": False, "shape": shape}
    )
    return buffer.getvalue()


def write_all(file: io.RawIOBase, data: memoryview) -> None:
    """Write all of ``data`` to an unbuffered file, which may take it in pieces."""
    while len(data):
        data = data[file.write(data) :]
