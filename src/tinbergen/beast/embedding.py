"""Embeddings that were written to disk, and what they can be turned into."""

from __future__ import annotations

import functools
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tinbergen.errors import DataError, MissingFileError
from tinbergen.recordings import nwb_file
from tinbergen.recordings.series import Series


@dataclass(frozen=True)
class Embedding:
    """One video's tokens, frame by frame, as memory maps.

    Attributes
    ----------
    path
        Its folder, see :mod:`tinbergen.beast.embed_io`.

    Examples
    --------
    >>> embedding = open_embeddings("embeddings")["mouse1"]       # doctest: +SKIP
    >>> embedding.values("cls")[embedding.status == 0].shape      # doctest: +SKIP
    (994, 384)
    """

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))
        if not (self.path / "meta.json").is_file():
            raise MissingFileError(f"Expected an embedding at {self.path}, found no meta.json.")

    def __repr__(self) -> str:
        return f"Embedding({str(self.path)!r}, {len(self)} frames, {', '.join(self.kinds)})"

    def __len__(self) -> int:
        return self.meta["n_frames"]

    @functools.cached_property
    def meta(self) -> dict[str, Any]:
        """What ``meta.json`` holds: kinds, source, number of damaged frames."""
        return json.loads((self.path / "meta.json").read_text(encoding="utf-8"))

    @property
    def kinds(self) -> list[str]:
        """Kinds of tokens, for example ``["cls", "mean", "patch"]``."""
        return list(self.meta["kinds"])

    @functools.cached_property
    def index(self) -> pd.DataFrame:
        """Columns frame, time (s), status; one row per frame of the video."""
        return pd.read_parquet(self.path / "index.parquet")

    @property
    def times(self) -> np.ndarray:
        """``(T,)`` float64 s, the video's own frame times."""
        return self.index["time"].to_numpy()

    @property
    def status(self) -> np.ndarray:
        """``(T,)`` uint8: 0 ok, 1 corrupt, 2 missing."""
        return self.index["status"].to_numpy()

    def values(self, kind: str = "cls") -> np.ndarray:
        """Return the tokens of a kind, ``(T, ...)``, read-only memory map; damaged rows are NaN.

        Raises
        ------
        DataError
            If there is no such kind.
        """
        if kind not in self.meta["kinds"]:
            raise DataError(f"{self.path} holds {', '.join(self.kinds)}; found no {kind!r}.")
        return np.load(self.path / f"{kind}.npy", mmap_mode="r")

    def series(self, kind: str = "cls") -> Series:
        """Return the tokens of a kind as a float32 :class:`Series`; patches lie side by side."""
        values = self.values(kind)
        flat = values.reshape(len(values), -1).astype(np.float32)
        return Series(self.times, flat, [f"{kind}{i}" for i in range(flat.shape[1])])  # type: ignore


def open_embeddings(folder: str | os.PathLike) -> dict[str, Embedding]:
    """Open all embeddings below ``folder``: relative path -> :class:`Embedding`.

    Raises
    ------
    MissingFileError
        If there is none.
    """
    folder = Path(folder)
    found = {
        path.parent.relative_to(folder).as_posix(): Embedding(path.parent)
        for path in sorted(folder.rglob("meta.json"))
        if (path.parent / "index.parquet").is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and "kinds" in json.loads(path.read_text(encoding="utf-8"))
    }
    if not found:
        raise MissingFileError(f"Expected embeddings below {folder}, found none.")
    return found


def write_nwb(
    embedding: Embedding,
    path: str | os.PathLike,
    *,
    kinds: tuple[str, ...] | None = None,
    session_start: Any = None,
    overwrite: bool = False,
) -> None:
    """Write an embedding as an NWB file: a TimeSeries per kind in the module ``behavior``.

    Parameters
    ----------
    kinds
        Which ones; default: all.
    session_start
        ``datetime`` with a time zone that time 0 s stands for; default: 1970-01-01 UTC.

    Raises
    ------
    DataError
        If pynwb is not installed.
    OutputError
        If ``path`` exists.
    """
    path = Path(path)
    nwb_file.refuse_existing(path, overwrite)
    description = f"Embedding of the video {embedding.path.name}"
    file = nwb_file.new_file(description, str(embedding.path.resolve()), session_start)
    module = file.create_processing_module("behavior", "Features of the video, frame by frame")
    kinds = kinds or tuple(embedding.kinds)
    for kind in kinds:
        text = f"{kind} tokens of a vision transformer; NaN: frame not decoded"
        values = embedding.values(kind)
        module.add(
            nwb_file.time_series(f"embedding_{kind}", values, embedding.times, "a.u.", text)
        )
    text = "0 ok, 1 corrupt, 2 missing"
    module.add(
        nwb_file.time_series("frame_status", embedding.status, embedding.times, "code", text)
    )
    need = sum(embedding.values(kind).nbytes for kind in kinds) + 16 * len(embedding)
    nwb_file.save(file, path, need)
