"""Sequences of one number a trial: what the smoothers over trials are given."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinbergen.encoding.inputs import numeric
from tinbergen.errors import DataError


def sequence(values: Any, name: str) -> np.ndarray:
    """Return ``(trial,)`` float64.

    Raises
    ------
    DataError
        If it is no vector of numbers, is empty, or holds an infinity.
    """
    array = numeric(values, name).astype(np.float64)
    if array.ndim != 1 or not len(array) or np.isinf(array).any():
        raise DataError(
            f"{name}: expected (trial,) finite numbers or NaN, at least one; found shape "
            f"{array.shape}{' with infinities' if np.isinf(array).any() else ''}."
        )
    return array


def is_several(values: Any) -> bool:
    """Whether ``values`` is a list of sequences, one a session."""
    return isinstance(values, list) and len(values) > 0 and np.ndim(values[0]) > 0


def sequences(values: Any, name: str) -> list[np.ndarray]:
    """Return the sequences of a list, one a session, or of a single array."""
    if is_several(values):
        return [sequence(item, f"{name}[{i}]") for i, item in enumerate(values)]
    return [sequence(values, name)]
