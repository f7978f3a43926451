"""Read the plain files of a run folder, and name the file that does not hold what it should."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinbergen.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Names = tuple[str, ...]


def read_text(path: Path) -> str:
    """Read UTF-8 text; empty where there is no file."""
    if not path.is_file():
        return ""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected UTF-8 text, found {error}.") from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; empty where there is no file."""
    text = read_text(path)
    if not text:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: expected JSON, found {error}. Write it again.") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: expected an object, found a {type(value).__name__}.")
    return value


def read_tables(
    folder: Path, columns: Mapping[str, tuple[Names, Names]], prefix: str = ""
) -> dict[str, pd.DataFrame | None]:
    """Read ``<prefix><name>.csv`` of each name, see :func:`read_table`."""
    return {name: read_table(folder / f"{prefix}{name}.csv", *of) for name, of in columns.items()}


def read_table(path: Path, texts: Names, numbers: Names) -> pd.DataFrame | None:
    """Read a CSV in which these columns must be there; texts stay texts (``001``, ``NA``)."""
    import pandas as pd

    if not path.is_file():
        return None
    columns = (*texts, *numbers)
    try:
        table = pd.read_csv(
            path, dtype=dict.fromkeys(texts, str), keep_default_na=False, na_values=[""]
        )
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: expected a table in CSV, found {error}.") from error
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise DataError(
            f"{path}: expected the columns {', '.join(columns)}; {', '.join(missing)} missing."
        )
    for name in texts:
        table[name] = table[name].fillna("")
    for name in numbers:
        if len(table) and not pd.api.types.is_numeric_dtype(table[name]):
            raise DataError(f"{path}: expected numbers in the column {name!r}, found text.")
    return table


def read_images(path: Path, dimensions: int) -> np.ndarray | None:
    """Map uint8 images: ``dimensions`` axes if grey, one more if RGB."""
    images = _mapped(path)
    if images is None:
        return None
    colour = images.ndim == dimensions + 1 and images.shape[-1] == 3
    if images.dtype != np.uint8 or not (images.ndim == dimensions or colour):
        raise DataError(
            f"{path}: expected uint8 images with {dimensions} axes, or {dimensions + 1} where the "
            f"last is RGB; found {images.dtype} of shape {images.shape}."
        )
    return images if images.size else None


def read_rates(path: Path, dimensions: int) -> np.ndarray | None:
    """Read numbers with ``dimensions`` axes, of which one of length 2 is recorded, predicted."""
    values = _mapped(path)
    if values is None:
        return None
    pair = max(0, dimensions - 3)  # the axis of recorded and predicted
    wrong = values.dtype.kind not in "fiu" or values.ndim != dimensions
    if wrong or values.shape[pair] != 2:
        raise DataError(
            f"{path}: expected numbers with {dimensions} axes, of which axis {pair} holds "
            f"recorded and predicted; found {values.dtype} of shape {values.shape}."
        )
    return values if values.size else None


def _mapped(path: Path) -> np.ndarray | None:
    if not path.is_file():
        return None
    try:
        return np.load(path, allow_pickle=False, mmap_mode="r")
    except (ValueError, EOFError, OSError) as error:
        raise DataError(f"{path}: expected an array in .npy format, found {error}.") from error
