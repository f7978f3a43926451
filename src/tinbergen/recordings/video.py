"""Video files: lazy, exact random access by presentation time, honest about damage."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import av
import cv2
import numpy as np

from tinbergen.errors import MissingFileError
from tinbergen.recordings.decoder import Decoder, kept_decoder
from tinbergen.recordings.frames import FrameSource, FrameStatus
from tinbergen.recordings.video_index import VideoIndex, read_index

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".avi", ".mov", ".mkv", ".m4v", ".webm", ".mpg", ".mpeg", ".wmv", ".ts", ".flv"}
)

# Pixel formats whose first plane is 8-bit luma: gray costs no conversion.
_LUMA_FIRST = re.compile(r"gray|yuvj?4\d\dp|nv12|nv21")
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG
# Video luma runs from 16 to 235; the images handed out from 0 to 255.
_TO_FULL_RANGE = np.clip(np.round((np.arange(256) - 16) * 255 / 219), 0, 255).astype(np.uint8)


class Video(FrameSource):
    """Frames of a video file on their own presentation times.

    Nothing is read before the first question; then the container's index is read (no decoding).
    Constant and variable frame rates are treated alike. For the parameters see
    :class:`~tinbergen.recordings.frames.FrameSource`; default times are the container's, and
    start at 0.

    Raises
    ------
    MissingFileError
        At the first question, if the file is absent.
    VideoError
        At the first question, if it is no video or holds no frame.

    Examples
    --------
    >>> video = Video("mouse.mp4", gray=True, size=(224, 224))   # doctest: +SKIP
    >>> video.frames([10, 3, 10]).frames.shape                   # doctest: +SKIP
    (3, 224, 224)
    """

    @functools.cached_property
    def index(self) -> VideoIndex:
        """The container's index."""
        return read_index(self.path)

    def _file_times(self) -> np.ndarray:
        return self.index.times

    def _file_problems(self) -> list[str]:
        problems = list(self.index.problems)
        lacking = self.index.declared - len(self.index.pts)
        if lacking > 0:
            problems.append(
                f"the header promises {self.index.declared} frames, {lacking} are not there"
            )
        return problems

    def _source_size(self) -> tuple[int, int]:
        return self.index.height, self.index.width

    def _read(
        self, positions: Sequence[int] | np.ndarray, close: bool
    ) -> Iterator[tuple[Callable[[], np.ndarray] | None, FrameStatus]]:
        decoder = Decoder(self.path, self.index) if close else kept_decoder(self.path, self.index)
        to_array = _gray if self.gray else _rgb
        try:
            for position in positions:
                frame, status = decoder.get(int(position))
                if frame is None or status != FrameStatus.OK:
                    yield None, status
                else:
                    yield functools.partial(to_array, frame), status
        finally:
            if close:
                decoder.close()


def _gray(frame: av.VideoFrame) -> np.ndarray:
    if not _LUMA_FIRST.fullmatch(frame.format.name):
        return frame.to_ndarray(format="gray")
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)  # type: ignore[arg-type]
    luma = rows[: frame.height, : frame.width]
    full = frame.format.name.startswith(("gray", "yuvj")) or frame.color_range == _FULL_RANGE
    return luma if full else cv2.LUT(luma, _TO_FULL_RANGE)


def _rgb(frame: av.VideoFrame) -> np.ndarray:
    return frame.to_ndarray(format="rgb24")


def find_videos(paths: str | os.PathLike | Iterable[str | os.PathLike]) -> list[Path]:
    """List the video files among ``paths``: files as they are, folders searched to the bottom.

    Hidden files (``._clip.mp4``) are left out; the list is sorted and without duplicates.

    Raises
    ------
    MissingFileError
        If a path does not exist.
    """
    single = isinstance(paths, str | os.PathLike)
    found: set[Path] = set()
    for path in map(Path, [paths] if single else paths):  # type: ignore[arg-type]
        if path.is_dir():
            found |= {
                file
                for file in path.rglob("*")
                if file.suffix.lower() in VIDEO_SUFFIXES
                and not file.name.startswith(".")
                and file.is_file()
            }
        elif path.exists():
            found.add(path)
        else:
            raise MissingFileError(f"Expected a video or a folder at {path}, found nothing.")
    return sorted(found)
