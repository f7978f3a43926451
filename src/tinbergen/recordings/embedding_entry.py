"""The entry of ``dataset.yaml`` that names features of a video, as ``tinbergen embed`` writes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tinbergen.configuration import Config
from tinbergen.errors import DataError, MissingFileError
from tinbergen.recordings.series import Series


class EmbeddingEntry(Config):
    """A folder of embeddings of one video; see :func:`read_embedding`."""

    kind: str
    file: str
    tokens: str = "cls"


def read_embedding(folder: Path, tokens: str = "cls") -> Series:
    """Read a folder of embeddings as a series on the video's own frame times.

    Parameters
    ----------
    folder
        Holds ``<tokens>.npy`` and ``index.parquet``.
    tokens
        ``cls``, ``mean``, ``grid``, ``texture`` or ``patch``, or several as ``cls+texture``, one
        beside the other, each divided by the root of its total variance; what has several
        dimensions a frame lies side by side.

    Returns
    -------
    Series
        ``(frame, channel)`` float32; NaN where a frame could not be decoded.

    Raises
    ------
    MissingFileError
        If the folder or this kind of token is not there.
    DataError
        If tokens and index differ in length.
    """
    index = folder / "index.parquet"
    if not index.is_file():
        raise MissingFileError(
            f"Expected an embedding (with index.parquet) at {folder}, found none. "
            "'tinbergen embed' writes one a video."
        )
    times = pd.read_parquet(index)["time"].to_numpy(np.float64)
    parts = {kind: _rows(folder, kind, len(times)) for kind in tokens.split("+")}
    if len(parts) > 1:
        spread = {kind: np.sqrt(np.nanvar(rows, 0).sum()) for kind, rows in parts.items()}
        parts = {kind: rows / (spread[kind] or 1.0) for kind, rows in parts.items()}
    channels = (f"{kind}{i}" for kind, rows in parts.items() for i in range(rows.shape[1]))
    return Series(times, np.concatenate(list(parts.values()), axis=1), tuple(channels))


def _rows(folder: Path, kind: str, frames: int) -> np.ndarray:
    """Return the tokens of one kind, ``(frame, channel)`` float32."""
    file = folder / f"{kind}.npy"
    if not file.is_file():
        there = ", ".join(sorted(path.stem for path in folder.glob("*.npy")))
        raise MissingFileError(f"{folder} holds no {kind!r} tokens; it has: {there}.")
    values = np.load(file, mmap_mode="r")
    if len(values) != frames:
        raise DataError(f"{file}: expected {frames} rows as index.parquet, found {len(values)}.")
    return np.asarray(values.reshape(frames, -1), np.float32)


def read_embedding_entry(entry: EmbeddingEntry, folder: Path, _: Mapping[str, Any]) -> Series:
    """Read the folder of an entry."""
    return read_embedding(folder / entry.file, entry.tokens)
