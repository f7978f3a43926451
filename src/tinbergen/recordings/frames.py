"""What every source of frames offers: a video file, a folder of images, an array in HDF5."""

from __future__ import annotations

import abc
import copy
import functools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Self

import numpy as np

from tinbergen.errors import DataError, VideoError
from tinbergen.recordings.geometry import Geometry
from tinbergen.recordings.intervals import Bins, Intervals
from tinbergen.recordings.sidecar import read_times


class FrameStatus(IntEnum):
    """Whether a frame can be used."""

    OK = 0
    CORRUPT = 1  # it came out of the decoder, which says that it is damaged
    MISSING = 2  # the file lists it, but it never came out


@dataclass(frozen=True)
class FrameBatch:
    """Some frames of one source.

    Attributes
    ----------
    indices
        ``(n,)`` int64, position of each frame in its source.
    times
        ``(n,)`` float64, s.
    frames
        ``(n, height, width)`` or ``(n, height, width, 3)`` uint8; zeros where status is not OK.
    status
        ``(n,)`` uint8, a :class:`FrameStatus` each.
    """

    indices: np.ndarray
    times: np.ndarray
    frames: np.ndarray
    status: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def ok(self) -> np.ndarray:
        """``(n,)`` bool: which frames can be used."""
        return self.status == FrameStatus.OK


@dataclass(frozen=True)
class VideoCheck:
    """What reading a source from end to end found.

    Attributes
    ----------
    n_frames, ok, corrupt, missing
        Numbers of frames; the last three add up to the first.
    damaged
        First and last frame of each stretch of frames that are not ok.
    problems
        What is wrong, one sentence each; empty for a sound file.
    """

    n_frames: int
    ok: int
    corrupt: int
    missing: int
    damaged: tuple[tuple[int, int], ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def first_bad(self) -> int | None:
        """Index of the first frame that is not ok, or None."""
        return self.damaged[0][0] if self.damaged else None


def joined(spans: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Join stretches of frames, each its first and last one and ascending, that touch.

    Examples
    --------
    >>> joined([(3, 3), (4, 6), (9, 9)])
    ((3, 6), (9, 9))
    """
    result: list[tuple[int, int]] = []
    for first, last in spans:
        if result and result[-1][1] == first - 1:
            result[-1] = (result[-1][0], last)
        else:
            result.append((first, last))
    return tuple(result)


class FrameSource(abc.ABC):
    """Frames with times. Lazy: a file is opened at the first question about its content.

    A source may be a clip (see :meth:`between`) of a longer one; then index 0 is the clip's first
    frame. Sources are not changed once made, may be pickled, and may be used by several threads
    and processes at once.

    Parameters
    ----------
    path
        The file or folder.
    times
        ``(n_frames,)`` float64 s, ascending, or a sidecar file that holds them (see
        :func:`~tinbergen.recordings.sidecar.read_times`); default: the file's own.
    offset
        Seconds added to the times.
    gray
        One channel (the luma, full range 0-255) instead of RGB.
    roi
        Region of interest ``(x, y, width, height)``, px of the source.
    size
        ``(height, width)``, px, of the frames handed out; default: that of the region.
    keep_aspect
        Keep the aspect ratio and fill up with black (letterbox) instead of stretching.
    """

    follow: int | None = None
    """Side of the window that goes with the animal, px; None where it does not (most sources)."""

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        times: Any = None,
        offset: float = 0.0,
        gray: bool = False,
        roi: tuple[int, int, int, int] | None = None,
        size: tuple[int, int] | None = None,
        keep_aspect: bool = False,
    ):
        self.path = Path(path)
        self.offset = float(offset)
        self.gray = bool(gray)
        self.roi = roi
        self.size = size
        self.keep_aspect = bool(keep_aspect)
        self.sidecar = times
        self._span: tuple[int, int] | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    # What a kind of source has to say -----------------------------------------------------------

    @abc.abstractmethod
    def _file_times(self) -> np.ndarray:
        """Return the times of all frames as the file has them, s."""

    @abc.abstractmethod
    def _source_size(self) -> tuple[int, int]:
        """(height, width) of the file's images, px."""

    @abc.abstractmethod
    def _read(
        self, positions: Sequence[int] | np.ndarray, close: bool
    ) -> Iterator[tuple[Callable[[], np.ndarray] | None, FrameStatus]]:
        """Yield, for each of the ascending ``positions``, what makes its pixels (None if bad)."""

    def _file_problems(self) -> list[str]:
        return []

    # What all of them offer ---------------------------------------------------------------------

    @property
    def name(self) -> str:
        """File name without its suffix."""
        return self.path.stem

    @functools.cached_property
    def geometry(self) -> Geometry:
        """How source pixels become output pixels; maps keypoints both ways."""
        height, width = self._source_size()
        return Geometry.plan(width, height, self.roi, self.size, self.keep_aspect)

    @property
    def height(self) -> int:
        """Height of the frames handed out, px."""
        return self.geometry.size[0]

    @property
    def width(self) -> int:
        """Width of the frames handed out, px."""
        return self.geometry.size[1]

    @property
    def channels(self) -> int:
        """1 (gray) or 3 (RGB)."""
        return 1 if self.gray else 3

    @functools.cached_property
    def times(self) -> np.ndarray:
        """``(n_frames,)`` float64, presentation time of each frame, s."""
        times = self._file_times()
        if self.sidecar is not None:
            given = read_times(self.sidecar)
            if len(given) != len(times):
                raise VideoError(
                    f"{self.path} has {len(times)} frames, but {len(given)} times were given for "
                    "it. Check that the time stamps belong to this file; 'tinbergen check' counts "
                    "its frames."
                )
            times = given
        times = times + self.offset
        times = times if self._span is None else times[self._span[0] : self._span[1]]
        times.flags.writeable = False
        return times

    @property
    def n_frames(self) -> int:
        """Number of frames that the file lists (decodable or not)."""
        return len(self.times)

    def __len__(self) -> int:
        return self.n_frames

    @property
    def fps(self) -> float:
        """Frames per second: 1 / median interval; NaN with fewer than two frames."""
        if self.n_frames < 2:
            return float("nan")
        return 1.0 / float(np.median(np.diff(self.times)) or np.nan)

    @property
    def duration(self) -> float:
        """From the first frame to the end of the last one, s (its length: the median)."""
        if self.n_frames < 2:
            return 0.0
        return float(self.times[-1] - self.times[0] + np.median(np.diff(self.times)))

    def view(self, **changes: Any) -> Self:
        """Return the same frames with another ``gray``, ``roi``, ``size`` or ``keep_aspect``."""
        options = {name: getattr(self, name) for name in ("gray", "roi", "size", "keep_aspect")}
        if unknown := sorted(set(changes) - set(options)):
            raise TypeError(f"view() takes {', '.join(options)}; found {', '.join(unknown)}.")
        return self._copy(**(options | changes))

    def between(self, start: float, stop: float) -> Self:
        """Return the clip of the frames with ``start <= time < stop`` (s)."""
        first, last = np.searchsorted(self.times, [start, stop], side="left")
        clip = self._copy()
        clip._span = (self._offset + int(first), self._offset + int(max(first, last)))
        vars(clip).pop("times", None)
        return clip

    def retimed(self, clock: Callable[[np.ndarray], np.ndarray]) -> Self:
        """Return the same frames at ``clock(times)`` s."""
        whole = self._copy()
        whole._span = None
        vars(whole).pop("times", None)
        new = self._copy(sidecar=clock(whole.times), offset=0.0)
        vars(new).pop("times", None)
        return new

    @property
    def valid(self) -> Intervals:
        """Where frames follow each other; a step of more than 5 median steps is a gap."""
        return Intervals.of_samples(self.times)

    def bin(self, bins: Bins) -> np.ndarray:
        """Return the index of the frame shown at the middle of each bin, ``(bin,)``; -1 = none."""
        at = np.searchsorted(self.times, bins.centers, side="right") - 1
        return np.where(self.valid.contains(bins.centers), at, -1)

    def _copy(self, **changes: Any) -> Self:
        new = copy.copy(self)
        vars(new).pop("geometry", None)
        for name, value in changes.items():
            setattr(new, name, value)
        return new

    def frame(self, index: int) -> np.ndarray:
        """Return one frame, ``(height, width)`` or ``(height, width, 3)`` uint8.

        Raises
        ------
        VideoError
            If it cannot be decoded.
        """
        batch = self.frames([index])
        if not batch.ok[0]:
            status = FrameStatus(batch.status[0]).name.lower()
            raise VideoError(
                f"{self.path}: frame {index} is {status}; run 'tinbergen check' on the file, or "
                "use frames(), which marks such frames instead."
            )
        return batch.frames[0]

    def frames(self, indices: Sequence[int] | np.ndarray) -> FrameBatch:
        """Return the frames at ``indices`` (any order, duplicates allowed).

        The bytes of a frame do not depend on how it was reached.

        Raises
        ------
        IndexError
            If an index is outside ``0 .. n_frames - 1``.
        """
        indices = np.asarray(indices)
        if indices.size and not np.issubdtype(indices.dtype, np.integer):
            raise DataError(f"Expected integer frame indices, found {indices.dtype}.")
        indices = indices.astype(np.int64).reshape(-1)
        if indices.size and (indices.min() < 0 or indices.max() >= self.n_frames):
            raise IndexError(
                f"{self.path} has frames 0 to {self.n_frames - 1}; asked for "
                f"{indices.min()} to {indices.max()}."
            )
        unique, inverse = np.unique(indices, return_inverse=True)
        if len(unique) == len(indices) and np.array_equal(unique, indices):
            return self._batch(unique, self._read(unique + self._offset, close=False))
        batch = self._batch(unique, self._read(unique + self._offset, close=False))
        return FrameBatch(
            indices, self.times[indices], batch.frames[inverse], batch.status[inverse]
        )

    def iterate(
        self, start: int = 0, stop: int | None = None, *, batch_size: int = 32, step: int = 1
    ) -> Iterator[FrameBatch]:
        """Yield the frames ``start, start + step, ... < stop`` in order, in batches.

        Memory does not grow with the length of the video.
        """
        if step < 1 or batch_size < 1:
            raise DataError(f"Expected step and batch_size >= 1, found {step} and {batch_size}.")
        positions = range(self.n_frames)[start:stop:step]
        stream = self._read(np.asarray(positions) + self._offset, close=True)
        try:
            for first in range(0, len(positions), batch_size):
                yield self._batch(np.asarray(positions[first : first + batch_size]), stream)
        finally:
            stream.close()  # type: ignore[attr-defined]

    def check(self, start: int = 0, stop: int | None = None) -> VideoCheck:
        """Decode the frames from ``start`` to ``stop`` (default: all) and count what came out."""
        counts = np.zeros(3, dtype=int)
        bad = []
        positions = np.arange(self.n_frames)[start:stop] + self._offset
        for index, (_, status) in enumerate(self._read(positions, close=True)):
            counts[status] += 1
            if status != FrameStatus.OK:
                bad.append((index, index))
        ok, corrupt, missing = (int(c) for c in counts)
        return VideoCheck(
            len(positions), ok, corrupt, missing, joined(bad), tuple(self._file_problems())
        )

    @property
    def is_clip(self) -> bool:
        """Whether this is a part (see :meth:`between`) of what the file holds."""
        return self._span is not None

    @property
    def _offset(self) -> int:
        return 0 if self._span is None else self._span[0]

    def _batch(self, indices: np.ndarray, stream: Iterator) -> FrameBatch:
        shape = (len(indices), *self.geometry.size) + (() if self.gray else (3,))
        frames = np.empty(shape, dtype=np.uint8)
        status = np.zeros(len(indices), dtype=np.uint8)
        for row in range(len(indices)):
            make, status[row] = next(stream)
            if make is None:
                frames[row] = 0
            else:
                self.geometry.apply(make(), frames[row])
        return FrameBatch(indices, self.times[indices], frames, status)
