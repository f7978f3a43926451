"""Building a frame cache: choose, make room, write video by video, finish."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

from tinbergen.beast.cache import FORMAT, CacheConfig, FrameCache, cache_key
from tinbergen.beast.cache_index import entry_of, linked, table_of
from tinbergen.beast.neighbours import damaged_spans
from tinbergen.beast.npy import npy_header, write_all
from tinbergen.beast.pool import map_videos
from tinbergen.beast.selection import SelectedFrames, select_many
from tinbergen.errors import DataError, OutputError, TinbergenError
from tinbergen.files import atomic_write, ensure_output_folder, explain_os_errors, write_json
from tinbergen.nn.backgrounds import BACKGROUNDS
from tinbergen.recordings import Dataset, FrameSource
from tinbergen.recordings.usable import refuse, usable

_PARTS = ("building.json", "building.lock", "selected", "written")
_RESULTS = ("frames.npy", "index.parquet", "mean.npy", "std.npy", BACKGROUNDS, "meta.json")
_BATCH = 32

Name = tuple[str, str]


def build_cache(
    data: Dataset | str | os.PathLike | list,
    out: str | os.PathLike,
    config: CacheConfig | None = None,
    *,
    workers: int = 1,
    skip_bad: bool = False,
    overwrite: bool = False,
) -> FrameCache:
    """Build the frame cache of a dataset, or reuse the one at ``out`` if nothing has changed.

    Killed in the middle, it goes on with the next video when called again; if another process is
    building it, it is waited for. Memory does not grow with the length of a video.

    Parameters
    ----------
    data
        A dataset, or whatever :meth:`Dataset.open` takes: videos, folders, ``dataset.yaml``.
    out
        Folder of the cache.
    config
        What to cache.
    workers
        Videos worked on at once, a process each.
    skip_bad
        Go on without videos that cannot be read (and say so) instead of refusing to start.
    overwrite
        Replace a cache of other videos or settings.

    Raises
    ------
    DataError
        If videos cannot be read (all of them are named), or none is left.
    OutputError
        If ``out`` cannot be written, is too small, or holds something else.
    """
    config = config or CacheConfig()
    dataset = data if isinstance(data, Dataset) else Dataset.open(data)
    videos, left_out = readable_videos(dataset, config, skip_bad)
    key = cache_key(videos, config)
    build = _Build(Path(out), config, videos)
    if build.holds(key, overwrite):
        return FrameCache(build.out)
    build.begin(key)
    with _alone(build.out):
        if build.there(key):  # another process made it while this one waited
            build.clear(_PARTS)
            return FrameCache(build.out)
        selected, unusable = build.select(workers)
        refuse(unusable, len(videos), "videos", skip_bad)
        refuse(build.write(selected, workers), len(videos), "videos", skip_bad)
        build.finish(key, selected, left_out | unusable)
    cache = FrameCache(build.out)
    for line in cache.losses:
        print(line, file=sys.stderr)
    return cache


@dataclass(frozen=True)
class _Build:
    """One build: where, what, from which videos."""

    out: Path
    config: CacheConfig
    videos: dict[Name, FrameSource]

    def there(self, key: str) -> bool:
        """Whether the cache is there, whole."""
        return (self.out / "meta.json").is_file() and FrameCache(self.out).meta["key"] == key

    def holds(self, key: str, overwrite: bool) -> bool:
        """Whether the cache is there already; clears away, or refuses to, what is in the way."""
        if self.there(key):
            return True
        if (self.out / "meta.json").is_file():
            if not overwrite:
                raise OutputError(
                    f"{self.out} holds a frame cache of other videos or settings. Choose another "
                    "folder, or pass overwrite to replace it."
                )
            self.clear()
        begun = self.out / "building.json"
        if begun.is_file() and json.loads(begun.read_text(encoding="utf-8"))["key"] != key:
            self.clear()
        elif self.out.is_dir() and not begun.is_file() and any(self.out.iterdir()):
            raise OutputError(f"{self.out} holds something else. Choose another folder.")
        return False

    def begin(self, key: str) -> None:
        ensure_output_folder(self.out, self._bytes(self._most_rows()) - self._bytes_there())
        write_json(self.out / "building.json", {"key": key})

    def select(self, workers: int) -> tuple[dict[Name, SelectedFrames], dict[str, str]]:
        """Choose frames; also returns what cannot be used (path -> reason)."""
        selected: dict[Name, SelectedFrames] = {}
        for i, (name, video) in enumerate(self.videos.items()):
            if self.config.selection.method == "all":
                selected[name] = _all_frames(video)
            elif (mark := self._mark("selected", i)).is_file():
                selected[name] = SelectedFrames(**_load(mark))
        todo = {str(i): v for i, (n, v) in enumerate(self.videos.items()) if n not in selected}
        names, unusable = list(self.videos), {}
        for i, result in select_many(todo, self.config.selection, workers=workers):
            if isinstance(result, TinbergenError):
                unusable[str(todo[i].path)] = str(result)
            else:
                _save(self._mark("selected", int(i)), _as_arrays(result))
                selected[names[int(i)]] = result
        return {name: selected[name] for name in names if name in selected}, unusable

    def write(self, selected: Mapping[Name, SelectedFrames], workers: int) -> dict[str, str]:
        """Write the videos not marked as written; returns those without a sound frame."""
        starts = _starts(selected)
        total = sum(len(s.frames) for s in selected.values())
        header = self._reserve(total)
        tasks = {}
        for i, name in enumerate(self.videos):
            mark = self._mark("written", i)
            if name in selected and not mark.is_file():
                tasks[str(i)] = _Writing(
                    self.videos[name],
                    selected[name].frames,
                    self.out / "frames.npy",
                    header + starts[name] * self._row_bytes,
                    mark,
                )
        for _, result in map_videos(_write_video, tasks, workers, "caching frames"):
            if isinstance(result, TinbergenError):
                raise result
        marks = {name: self._mark("written", i) for i, name in enumerate(self.videos)}
        return {
            str(self.videos[name].path): f"{self.videos[name].path}: no frame can be decoded."
            for name in selected
            if _load(marks[name])["status"].all()
        }

    def finish(
        self, key: str, selected: dict[Name, SelectedFrames], left_out: dict[str, str]
    ) -> None:
        """Write index, mean images and, last, ``meta.json``."""
        import pandas as pd

        starts, tables, entries = _starts(selected), [], []
        marks = {name: self._mark("written", i) for i, name in enumerate(self.videos)}
        for kind in ("mean", "std"):
            with atomic_write(self.out / f"{kind}.npy", "wb") as file:
                file.write(npy_header("<f4", (len(selected), *self._frame_shape)))
                for name in selected:
                    file.write(_load(marks[name])[kind].tobytes())
        first_stretch = 0
        for v, (name, chosen) in enumerate(selected.items()):
            video, status = self.videos[name], _load(marks[name])["status"]
            if self.config.selection.method == "all":
                chosen = linked(chosen, video, status, self.config.selection)
            table = table_of(v, chosen, video, status, starts[name], first_stretch)
            first_stretch = max(first_stretch, int(table["stretch"].to_numpy().max()) + 1)
            tables.append(table)
            entries.append(entry_of(name, video, chosen, starts[name]))
        index = pd.concat(tables, ignore_index=True)
        for column, part in (("stream", 1), ("recording", 0)):
            names = np.array([name[part] for name in selected])
            index.insert(0, column, pd.Categorical(names[index["video"]]))
        with atomic_write(self.out / "index.parquet", "wb") as file:
            index.to_parquet(file, index=False)
        write_json(
            self.out / "meta.json",
            {
                "format": FORMAT,
                "key": key,
                "config": self.config.model_dump(mode="json"),
                "videos": [asdict(entry) for entry in entries],
                "left_out": [{"path": p, "reason": r} for p, r in left_out.items()],
            },
        )
        self.clear(_PARTS)

    @property
    def _frame_shape(self) -> tuple[int, int, int]:
        return (*self.config.size, 1 if self.config.gray else 3)

    @property
    def _row_bytes(self) -> int:
        return int(np.prod(self._frame_shape))

    def _bytes(self, rows: int) -> int:
        return self._row_bytes * (rows + 16 * len(self.videos))  # mean and std, twice as float32

    def _bytes_there(self) -> int:
        return sum(f.stat().st_blocks * 512 for f in self.out.rglob("*") if f.is_file())

    def _most_rows(self) -> int:
        choice = self.config.selection
        each = choice.frames_per_video * (3 if choice.offset else 1)
        return sum(
            v.n_frames if choice.method == "all" else min(v.n_frames, each)
            for v in self.videos.values()
        )

    def _reserve(self, rows: int) -> int:
        """Make ``frames.npy`` of its full size, or keep it; return the length of its header."""
        header, path = npy_header("|u1", (rows, *self._frame_shape)), self.out / "frames.npy"
        if path.is_file() and path.stat().st_size == len(header) + rows * self._row_bytes:
            return len(header)
        for mark in (self.out / "written").glob("*.npz"):
            mark.unlink()
        with explain_os_errors(path), open(path, "wb") as file:
            file.write(header)
            file.truncate(len(header) + rows * self._row_bytes)
        return len(header)

    def _mark(self, stage: str, i: int) -> Path:
        return self.out / stage / f"{i}.npz"

    def clear(self, names: tuple[str, ...] = (*_RESULTS[::-1], *_PARTS)) -> None:
        """Remove parts of a cache; ``meta.json`` first, so that what is left is unfinished."""
        with explain_os_errors(self.out):
            for name in names:
                path = self.out / name
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Writing:
    """The frames of one video on their way into the cache."""

    video: FrameSource
    frames: np.ndarray
    path: Path
    position: int
    mark: Path


def _write_video(task: _Writing) -> None:
    """Decode, write and sum up; the mark that appears at the end holds what was found."""
    shape = (task.video.height, task.video.width, task.video.channels)
    total, squares = np.zeros(shape), np.zeros(shape)
    status = []
    with explain_os_errors(task.path), open(task.path, "r+b", buffering=0) as file:
        file.seek(task.position)
        for start in range(0, len(task.frames), _BATCH):
            batch = task.video.frames(task.frames[start : start + _BATCH])
            write_all(file, batch.frames.data.cast("B"))
            status.append(batch.status)
            for frame in batch.frames[batch.ok].reshape(-1, *shape):
                cv2.accumulate(frame, total)
                cv2.accumulateSquare(frame, squares)
        os.fsync(file.fileno())
    found = np.concatenate(status)
    n = max(int((found == 0).sum()), 1)
    mean = total / n
    std = np.sqrt((squares / n - mean**2).clip(0))
    _save(
        task.mark,
        {"status": found, "mean": mean.astype(np.float32), "std": std.astype(np.float32)},
    )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Build alone in ``folder``, after whoever does now; locks end with their process."""
    if fcntl is None:
        yield
        return
    with open(folder / "building.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Waiting for another process that builds {folder}.", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def readable_videos(
    dataset: Dataset, config: CacheConfig, skip_bad: bool
) -> tuple[dict[Name, FrameSource], dict[str, str]]:
    """Look into every video before anything starts: those to use, and what to leave out."""

    def look(source: FrameSource) -> FrameSource:
        view = source.view(gray=config.gray, size=config.size, keep_aspect=config.keep_aspect)
        if not view.n_frames or not view.geometry:
            raise DataError(f"{source.path} holds no frame.")
        return view

    sources = {(recording, stream): source for recording, stream, source in dataset.videos()}
    videos, bad = usable(sources, look, "videos", skip_bad)
    return videos, {str(sources[name].path): reason for name, reason in bad.items()}


def _all_frames(video: FrameSource) -> SelectedFrames:
    """Every frame, before it is known which of them are sound."""
    n = video.n_frames
    none = np.full(n, -1, np.int64)
    return SelectedFrames(
        np.arange(n),
        np.ones(n, bool),
        none,
        none,
        np.zeros(n, np.int32),
        n,
        0,
        damaged_spans(none[:0]),
    )


def _starts(selected: Mapping[Name, SelectedFrames]) -> dict[Name, int]:
    counts = [len(s.frames) for s in selected.values()]
    return dict(zip(selected, np.cumsum([0, *counts]).tolist(), strict=False))


def _as_arrays(selected: SelectedFrames) -> dict[str, Any]:
    return {field.name: getattr(selected, field.name) for field in fields(selected)}


def _save(path: Path, arrays: dict[str, Any]) -> None:
    with atomic_write(path, "wb") as file:
        np.savez(file, **arrays)


def _load(path: Path) -> dict[str, Any]:
    with np.load(path) as stored:
        return {key: value if value.ndim else value.item() for key, value in stored.items()}
