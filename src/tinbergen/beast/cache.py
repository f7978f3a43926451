"""A frame cache: resized uint8 frames of many videos in one array, with an index.

A cache is a folder::

    frames.npy      (N, height, width, channels) uint8
    index.parquet   row -> recording, stream, video, frame, time (s), status, anchor, stretch,
                    before, after
    mean.npy        (videos, height, width, channels) float32, mean of each video's cached frames
    std.npy         the same, standard deviation
    meta.json       key, settings, one entry per video, what was left out

``meta.json`` is written last, so a folder without it is unfinished. Damaged frames that the cache
holds are zeros with a status other than 0; with ``all`` frames they keep their rows.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinbergen.beast.selection import Selection
from tinbergen.configuration import Config
from tinbergen.errors import DataError, MissingFileError

if TYPE_CHECKING:
    import pandas as pd

    from tinbergen.recordings import FrameSource

FORMAT = 1
LEFT_OUT = "left out: "  # how the line of a video that is not used begins
_WHOLE_FILE = 4 << 20
_BLOCK, _BLOCKS = 64 << 10, 64


class CacheConfig(Config):
    """What a frame cache holds.

    Attributes
    ----------
    selection
        Which frames.
    size
        ``(height, width)`` of the cached frames, px.
    gray
        One channel instead of RGB.
    keep_aspect
        Letterbox instead of stretching to ``size``.
    """

    selection: Selection = Selection()
    size: tuple[int, int] = (224, 224)
    gray: bool = False
    keep_aspect: bool = False


@dataclass(frozen=True)
class CachedVideo:
    """One video of a cache.

    Attributes
    ----------
    recording, stream
        Its name in the dataset.
    path
        Where it lay.
    start, stop
        Its rows.
    n_frames, n_bad, damaged
        Frames in the video, how many cannot be decoded (of those that were looked at), and first
        and last of each stretch of these.
    interval
        Median time between frames, s.
    n_missing
        How many of ``n_bad`` are not in the file at all; earlier versions did not count them.
    """

    recording: str
    stream: str
    path: str
    start: int
    stop: int
    n_frames: int
    n_bad: int
    damaged: list[list[int]]
    interval: float
    n_missing: int = 0


def _entry(stored: dict[str, Any]) -> CachedVideo:
    """Read the entry of a video; of damage, caches of earlier versions know the first frame."""
    entry = dict(stored)
    first = entry.pop("first_bad", -1)
    entry.setdefault("damaged", [[first, first]] if first >= 0 else [])
    return CachedVideo(**entry)


class FrameCache:
    """A finished frame cache on disk. Holds a path only until it is used; may be pickled.

    Raises
    ------
    MissingFileError
        If the folder does not exist.
    DataError
        If it holds no finished cache.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        if not self.path.is_dir():
            raise MissingFileError(f"Expected a frame cache at {self.path}, found no folder.")
        if not (self.path / "meta.json").is_file():
            raise DataError(
                f"{self.path} holds no finished frame cache (no meta.json). Build it again: what "
                "is done already is kept."
            )

    @classmethod
    def open(cls, path: str | os.PathLike) -> FrameCache:
        """Open the cache at ``path``."""
        return cls(path)

    def __getstate__(self) -> dict:
        return {"path": self.path}

    def __repr__(self) -> str:
        return f"FrameCache({str(self.path)!r}, {len(self)} frames of {len(self.videos)} videos)"

    def __len__(self) -> int:
        return self.frames.shape[0]

    @functools.cached_property
    def meta(self) -> dict[str, Any]:
        """What ``meta.json`` holds."""
        meta = json.loads((self.path / "meta.json").read_text(encoding="utf-8"))
        if meta["format"] != FORMAT:
            raise DataError(
                f"{self.path} has cache format {meta['format']}, this version reads {FORMAT}. "
                "Build it again in another folder."
            )
        return meta

    @property
    def key(self) -> str:
        """Hash of the videos' content and of all settings."""
        return self.meta["key"]

    @property
    def config(self) -> CacheConfig:
        """The settings it was built with."""
        return CacheConfig.model_validate(self.meta["config"])

    @functools.cached_property
    def videos(self) -> list[CachedVideo]:
        """The videos; the index column ``video`` is a position in this list."""
        return [_entry(stored) for stored in self.meta["videos"]]

    @property
    def losses(self) -> list[str]:
        """A line for each video that was left out or has damaged frames; empty if all is well."""
        lines = [f"{LEFT_OUT}{e['reason']}" for e in self.meta["left_out"]]
        return lines + [
            f"{v.path}: {v.n_bad} of {v.n_frames} frames cannot be decoded, "
            f"the first is frame {v.damaged[0][0]}"
            for v in self.videos
            if v.n_bad
        ]

    @functools.cached_property
    def frames(self) -> np.ndarray:
        """``(N, height, width, channels)`` uint8 memory map, read-only."""
        return np.load(self.path / "frames.npy", mmap_mode="r")

    @functools.cached_property
    def mean(self) -> np.ndarray:
        """``(videos, height, width, channels)`` float32 in 0-255: mean image of each video."""
        return np.load(self.path / "mean.npy", mmap_mode="r")

    @functools.cached_property
    def std(self) -> np.ndarray:
        """``(videos, height, width, channels)`` float32: standard deviation over its frames."""
        return np.load(self.path / "std.npy", mmap_mode="r")

    @functools.cached_property
    def index(self) -> pd.DataFrame:
        """One row per cached frame; ``before`` and ``after`` are rows of this table, or -1."""
        import pandas as pd

        return pd.read_parquet(self.path / "index.parquet")

    @functools.cached_property
    def usable(self) -> np.ndarray:
        """Rows of the frames that could be decoded."""
        return np.flatnonzero(self.index["status"].to_numpy() == 0)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return ``(len(rows), height, width, channels)`` uint8.

        Reads the file rather than the memory map: quicker for scattered rows, and the pages do
        not count as this process's memory. Threads may read at once.
        """
        if not hasattr(os, "preadv"):
            return self.frames[rows]
        out = np.empty((len(rows), *self.frames.shape[1:]), np.uint8)
        header, each = self.frames.offset, out[:1].nbytes  # type: ignore[attr-defined]
        for row, target in zip(np.asarray(rows).tolist(), out, strict=True):
            if os.preadv(self._file.fileno(), [target.data], header + row * each) != each:
                raise DataError(f"{self._file.name} ends before row {row}; build it again.")
        return out

    @functools.cached_property
    def _file(self) -> Any:
        return open(self.path / "frames.npy", "rb", buffering=0)  # noqa: SIM115


def fingerprint(path: str | os.PathLike) -> str:
    """Hash that tells two videos, or two folders of images, apart without reading all of them.

    SHA-256 of the size and of 64 blocks of 64 KiB spread evenly over the file (the whole file up
    to 4 MiB), the first and the last bytes among them; for a folder, of the names and sizes of its
    files and of their first blocks. Not of path or time, so that a moved or touched file keeps
    its cache.
    """
    path = Path(path)
    digest = hashlib.sha256()
    if path.is_dir():
        for file in sorted(f for f in path.rglob("*") if f.is_file()):
            digest.update(f"{file.relative_to(path)} {file.stat().st_size}\n".encode())
            with open(file, "rb") as stream:
                digest.update(stream.read(_BLOCK))
        return digest.hexdigest()
    size = path.stat().st_size
    digest.update(str(size).encode())
    with open(path, "rb") as stream:
        if size <= _WHOLE_FILE:
            digest.update(stream.read())
        else:
            for block in range(_BLOCKS):
                stream.seek((size - _BLOCK) * block // (_BLOCKS - 1))
                digest.update(stream.read(_BLOCK))
    return digest.hexdigest()


def cache_key(videos: Mapping[tuple[str, str], FrameSource], config: CacheConfig) -> str:
    """Hash of everything that decides a cache's bytes: names, content, times and settings."""
    entries = [
        {
            "name": name,
            "content": fingerprint(video.path),
            "times": hashlib.sha256(video.times.tobytes()).hexdigest(),
            "roi": video.roi,
            **({"follow": video.follow} if video.follow else {}),
        }
        for name, video in videos.items()
    ]
    text = json.dumps([FORMAT, config.model_dump(mode="json"), entries])
    return hashlib.sha256(text.encode()).hexdigest()
