"""What every model does first: arrays of trials or of one long time become rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from tinbergen.errors import DataError

Kind = Literal["counts", "continuous"]
_HELD_OUT = 5  # one part in five chooses hyper-parameters


@dataclass(frozen=True, eq=False)
class Rows:
    """Features as rows, and which rows are neighbours in time.

    Attributes
    ----------
    x
        ``(row, feature)``.
    segments
        ``(row,)`` int, from 0 and ascending: rows of different segments are no neighbours.
    shape
        Leading dimensions of the array that was given: ``(time,)`` or ``(trial, time)``.
    """

    x: np.ndarray
    segments: np.ndarray
    shape: tuple[int, ...]

    @classmethod
    def of(cls, X: ArrayLike, segments: ArrayLike | None = None) -> Rows:
        """Flatten ``(time, feature)`` or ``(trial, time, feature)``; each trial is a segment.

        Raises
        ------
        DataError
            If the shapes do not fit, or the values are no numbers.
        """
        x = numeric(X, "X")
        if x.ndim not in (2, 3):
            raise DataError(
                f"X: expected (time, feature) or (trial, time, feature), found shape {x.shape}."
            )
        shape = x.shape[:-1]
        if x.ndim == 3:
            if segments is not None:
                raise DataError("segments: only for X (time, feature); each trial is a segment.")
            index = np.repeat(np.arange(shape[0]), shape[1])
        else:
            index = consecutive(segments, shape[0])
        return cls(x.reshape(len(index), x.shape[-1]), index, shape)

    @property
    def n_segments(self) -> int:
        """Number of segments; of trials where there are trials."""
        return int(self.segments[-1]) + 1 if len(self.segments) else 0

    @property
    def place(self) -> np.ndarray:
        """``(row,)`` int: bins since the segment began."""
        sizes = np.bincount(self.segments, minlength=self.n_segments)
        return np.arange(len(self.segments)) - (np.cumsum(sizes) - sizes)[self.segments]

    def target(self, Y: ArrayLike) -> np.ndarray:
        """Flatten ``Y``, which has the times of X, to ``(row, unit)``.

        Raises
        ------
        DataError
            If it has other times than X.
        """
        y = numeric(Y, "Y")
        if y.shape[: len(self.shape)] != self.shape or y.ndim > len(self.shape) + 1:
            raise DataError(
                f"Y: expected the times of X, shape {self.shape} + (unit,), found {y.shape}."
            )
        return y.reshape(len(self.x), 1 if y.ndim == len(self.shape) else y.shape[-1])

    def held_out(self, validate: ArrayLike | None) -> np.ndarray:
        """Return ``(row,)`` bool: the rows that choose hyper-parameters.

        By default every fifth segment; of fewer than five segments, the last fifth of each.

        Raises
        ------
        DataError
            If ``validate`` is not bool of shape ``(time,)`` or ``(trial,)``, or picks all rows.
        """
        if validate is None:
            n = self.n_segments
            if n >= _HELD_OUT:
                return self.segments % _HELD_OUT == _HELD_OUT - 1
            sizes = np.bincount(self.segments, minlength=n)
            return self.place >= np.ceil(sizes * (1 - 1 / _HELD_OUT))[self.segments]
        mask = np.asarray(validate)
        if mask.dtype != bool or mask.shape != self.shape[:1]:
            raise DataError(
                f"validate: expected bool of shape {self.shape[:1]}, found {mask.dtype} of shape "
                f"{mask.shape}."
            )
        if mask.all() and mask.size:
            raise DataError("validate: it picks all rows; none is left to fit on.")
        return np.repeat(mask, len(self.x) // max(len(mask), 1))


@dataclass(frozen=True, eq=False)
class Table:
    """Rows to fit on: features, targets, and the part that is held out for choices.

    Attributes
    ----------
    rows
        Features and segments.
    y
        ``(row, unit)``.
    known
        ``(row,)`` bool: rows without NaN in features or targets.
    held
        ``(row,)`` bool: known rows that choose hyper-parameters.
    units
        ``(unit,)`` bool: units with at least one known value.
    """

    rows: Rows
    y: np.ndarray
    known: np.ndarray
    held: np.ndarray
    units: np.ndarray

    @classmethod
    def of(
        cls,
        X: ArrayLike,
        Y: ArrayLike,
        segments: ArrayLike | None = None,
        validate: ArrayLike | None = None,
    ) -> Table:
        """Flatten and check the arguments of ``fit``.

        Raises
        ------
        DataError
            If shapes do not fit, or no row is without NaN.
        """
        rows = Rows.of(X, segments)
        y = rows.target(Y)
        units = columns_known(y)
        known = rows_known(rows.x, columns_known(rows.x)) & rows_known(y, units)
        if not known.any() or not units.any():
            raise DataError(
                f"Expected rows without NaN in X and Y, found none among {len(known)}. Leave out "
                "the columns that are rarely known, or fill their gaps."
            )
        held = rows.held_out(validate) & known
        return cls(rows, y, known, held, units)

    @property
    def train(self) -> np.ndarray:
        """``(row,)`` bool: known rows that are not held out."""
        return self.known & ~self.held

    @property
    def n_left_out(self) -> int:
        """Number of rows with NaN."""
        return int((~self.known).sum())

    def values(self, index: np.ndarray) -> np.ndarray:
        """Return the targets ``(row, known unit)`` of some rows, by number or bool."""
        return self.y[index] if self.units.all() else self.y[index][:, self.units]

    @property
    def kind(self) -> Kind:
        """Counts if all known targets are whole numbers >= 0."""
        return kind_of(self.y[self.known])


def need_held_out(table: Table, what: str) -> None:
    """Refuse to choose ``what`` without rows to choose it on, or to fit on."""
    for name, mask in (("held out", table.held), ("left to fit on", table.train)):
        if not mask.any():
            raise DataError(
                f"No known row is {name}, so {what} cannot be chosen; give `validate`, or more "
                "rows."
            )


def numeric(values: ArrayLike, name: str) -> np.ndarray:
    """Return an array of real numbers or bools.

    Raises
    ------
    DataError
        If it holds anything else.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise DataError(f"{name}: expected an array of numbers, found {array.dtype}.")
    return array


def consecutive(segments: ArrayLike | None, n: int) -> np.ndarray:
    """Return the number of each run of equal ``segments`` ``(n,)``, from 0; None = one segment."""
    if segments is None:
        return np.zeros(n, dtype=np.int64)
    labels = np.asarray(segments)
    if labels.shape != (n,):
        raise DataError(f"segments: expected shape ({n},), found {labels.shape}.")
    return np.cumsum(np.append(False, labels[1:] != labels[:-1])[:n]).astype(np.int64)


def kind_of(values: np.ndarray) -> Kind:
    """Tell spike counts (whole numbers >= 0) from other targets; NaN says nothing."""
    if values.dtype.kind in "bu":
        return "counts"
    finite = values[np.isfinite(values)]
    whole = (finite >= 0).all() and (finite == np.floor(finite)).all()
    return "counts" if bool(whole) else "continuous"


def columns_known(values: np.ndarray) -> np.ndarray:
    """Return ``(column,)`` bool: which columns have a finite value at all."""
    if values.dtype.kind != "f":
        return np.full(values.shape[1], len(values) > 0)
    seen = np.zeros(values.shape[1], dtype=bool)
    for block in blocks(len(values)):
        seen |= np.isfinite(values[block]).any(axis=0)
        if seen.all():
            break
    return seen


def rows_known(values: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return ``(row,)`` bool: which rows are finite in all of ``columns`` (bool)."""
    known = np.ones(len(values), dtype=bool)
    if values.dtype.kind == "f":
        for block in blocks(len(values)):
            known[block] = (np.isfinite(values[block]) | ~columns).all(axis=1)
    return known


def blocks(n: int, size: int = 4096) -> list[slice]:
    """Cut ``n`` rows into slices of at most ``size``."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def like_target(values: np.ndarray, shape: tuple[int, ...], vector: bool) -> np.ndarray:
    """Give ``(row, unit)`` the leading ``shape`` again; a vector if the target was one."""
    return values.reshape(shape) if vector else values.reshape(*shape, values.shape[-1])


def is_vector(Y: Any, rows: Rows) -> bool:
    """Whether the target has no unit axis of its own."""
    return np.ndim(Y) == len(rows.shape)
