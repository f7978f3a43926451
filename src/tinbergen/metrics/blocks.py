"""Sums over long arrays, a block of rows at a time, so that memory stays flat in their length."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from tinbergen.errors import DataError

_BLOCK = 1 << 20  # numbers


def row_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Cut the first axis so that a block holds about a million numbers."""
    step = max(1, _BLOCK // max(1, int(np.prod(shape[1:], dtype=np.int64))))
    for start in range(0, shape[0], step):
        yield slice(start, start + step)


def same_shape(truth: ArrayLike, prediction: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return both as arrays whose last axis is the unit or column; a vector is one column.

    Raises
    ------
    DataError
        If the shapes differ, or there are more than three axes.
    """
    y, p = np.asarray(truth), np.asarray(prediction)
    if y.shape != p.shape or not 1 <= y.ndim <= 3:
        raise DataError(
            "expected truth and prediction of one shape, (time, column) or (trial, time, column); "
            f"found {y.shape} and {p.shape}."
        )
    return (y[:, None], p[:, None]) if y.ndim == 1 else (y, p)


def group_numbers(groups: ArrayLike | None, n_rows: int) -> tuple[np.ndarray, int]:
    """Return the number of each row's group and how many there are; without labels it is one.

    Raises
    ------
    DataError
        If there is not one label a row.
    """
    if groups is None:
        return np.zeros(n_rows, dtype=np.intp), 1
    labels = np.asarray(groups)
    if labels.shape != (n_rows,):
        raise DataError(f"expected {n_rows} group labels, one a row, found shape {labels.shape}.")
    names, index = np.unique(labels, return_inverse=True)
    return index, len(names)


def add_rows(sums: np.ndarray, groups: np.ndarray, values: np.ndarray) -> None:
    """Add ``(row, ..., column)`` to the ``(group, column)`` sums, over all axes between."""
    rows = values.reshape(len(values), -1, values.shape[-1]).sum(axis=1)
    if len(sums) == 1:
        sums[0] += rows.sum(axis=0)
    else:
        np.add.at(sums, groups, rows)
