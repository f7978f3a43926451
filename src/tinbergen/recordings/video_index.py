"""The frames of a video file by presentation time, read without decoding anything."""

from __future__ import annotations

import itertools
import os
import re
import shlex
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.container
import av.error
import numpy as np

from tinbergen.errors import MissingFileError, VideoError

_MISSING_FRAMES = 5  # of the longest kind that a header may be wrong by


@dataclass(frozen=True, eq=False)
class VideoIndex:
    """What the container says about its frames.

    Attributes
    ----------
    pts
        ``(n,)`` int64, presentation times in units of ``time_base``, ascending.
    keyframes
        ``(k,)`` int64, presentation times of the frames at which decoding can start, ascending.
    closed
        ``(k,)`` bool, whether all that is stored from this keyframe on can be decoded without
        what is stored before it. If not (open groups of pictures, intra refresh), decoding can
        start there as well, but the first frames may be damaged.
    reliable
        Whether frames can be told apart by their times. Not so in AVI with reordered frames,
        which stores no presentation times; such a file is decoded in order, from its start.
    time_base
        Seconds per unit.
    width, height
        Of the stored images, px.
    codec
        FFmpeg's name.
    declared
        Number of frames that the header promises (edit list applied); 0 if it says nothing.
    problems
        What is wrong with the file, as far as can be told without decoding.
    """

    pts: np.ndarray
    keyframes: np.ndarray
    closed: np.ndarray
    reliable: bool
    time_base: Fraction
    width: int
    height: int
    codec: str
    declared: int
    problems: tuple[str, ...]

    @property
    def times(self) -> np.ndarray:
        """``(n,)`` float64, s from the first frame."""
        ticks = self.pts - self.pts[0] if len(self.pts) else self.pts
        return ticks * self.time_base.numerator / self.time_base.denominator


@contextmanager
def open_container(path: Path) -> Iterator[av.container.InputContainer]:
    """Open a video file; whatever goes wrong is said with its name and what to do.

    Raises
    ------
    MissingFileError, VideoError
    """
    if not path.is_file():
        raise MissingFileError(f"Expected a video file at {path}, found none.")
    if path.stat().st_size == 0:
        raise VideoError(f"{path} is empty (0 bytes); copy it again from where it was recorded.")
    if not os.access(path, os.R_OK):
        raise VideoError(f"{path} cannot be read: no permission; run chmod u+r on it.")
    try:
        container = av.open(str(path), metadata_errors="replace")
    except (av.error.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VideoError(
            f"{path} is not a readable video ({reason}). Either it is another kind of file, or "
            "its header was never written because the recording was cut short; copy it again, or "
            "repair it with a tool such as untrunc."
        ) from error
    with container:
        if not container.streams.video:
            kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
            raise VideoError(f"{path} holds no video stream, only: {kinds}. Leave it out.")
        yield container


def read_index(path: Path) -> VideoIndex:
    """Read the index of the first video stream; costs about as much as reading the file.

    Frames that an edit list cuts away are left out, as players do.

    Raises
    ------
    MissingFileError, VideoError
        If the file is absent or no video, or holds no frame.
    """
    pts = array("q")
    keyframes: list[int] = []
    open_ones: set[int] = set()
    hidden = 0  # frames that an edit list cuts away
    problems: list[str] = []
    with open_container(path) as container:
        stream = container.streams.video[0]
        try:
            for packet in container.demux(stream):
                time = shown_at(packet)
                if packet.is_discard:
                    hidden += 1
                if not packet.size or packet.is_discard or time is None:
                    continue
                pts.append(time)
                if packet.is_keyframe:
                    keyframes.append(time)
                    if not _refreshes_all(packet, stream.codec_context):
                        open_ones.add(time)
                elif keyframes and time < keyframes[-1]:
                    open_ones.add(keyframes[-1])
        except av.error.FFmpegError as error:
            problems.append(f"the container breaks off after {len(pts)} frames ({error.strerror})")
        context = stream.codec_context
        if context is None:
            raise VideoError(f"{path}: no decoder for its video. Re-encode it: {repair(path)}")
        in_order = all(a < b for a, b in itertools.pairwise(pts))
        if not pts:
            raise VideoError(f"{path} holds a video stream without a single frame. Leave it out.")
        reliable = not (container.format.name == "avi" and context.has_b_frames and in_order)
        shown = np.sort(np.asarray(pts, dtype=np.int64))
        promised = stream.duration
        if hidden and stream.time_base:  # an edit list: what the whole file is said to last
            promised = int((container.duration or 0) / av.time_base / stream.time_base)
        problems += _missing_end(stream, promised, shown)
        keys = np.unique(np.asarray(keyframes if reliable else pts[:1], dtype=np.int64))
        index = VideoIndex(
            reliable=reliable,
            pts=shown,
            keyframes=keys,
            closed=~np.isin(keys, list(open_ones)),
            time_base=stream.time_base or Fraction(1, 1),
            width=context.width,
            height=context.height,
            codec=context.name,
            declared=max(stream.frames - hidden, 0),
            problems=tuple(problems),
        )
    if not index.width or not index.height:
        raise VideoError(
            f"{path}: its image size cannot be told; the file is damaged. Try: {repair(path)}"
        )
    return index


def _missing_end(stream: av.VideoStream, promised: int | None, pts: np.ndarray) -> list[str]:
    """Tell if the header promises a longer video than its frames make.

    Its table of frames may be damaged together with their number.
    """
    if promised is None or stream.time_base is None or len(pts) < 2:
        return []
    longest = int(np.diff(pts).max())
    lacking = (stream.start_time or 0) + promised - int(pts[-1]) - longest
    if lacking <= _MISSING_FRAMES * longest:
        return []
    seconds = float(lacking * stream.time_base)
    return [f"the header says that the video lasts {seconds:.2f} s longer than its frames do"]


def shown_at(unit: av.Packet | av.VideoFrame) -> int | None:
    """Presentation time of a packet or frame, in units of its stream's time base."""
    return unit.dts if unit.pts is None else unit.pts


def _refreshes_all(packet: av.Packet, context: av.VideoCodecContext) -> bool:
    """Whether a keyframe makes the decoder forget all that came before (H.264, HEVC: IDR)."""
    if context.name not in ("h264", "hevc"):
        return True
    data = bytes(packet)
    kinds = [data[i] for i in _unit_starts(data, bytes(context.extradata or b"")) if i < len(data)]
    if context.name == "h264":
        return any(kind & 0x1F == 5 for kind in kinds)
    return any(kind >> 1 & 0x3F in (19, 20) for kind in kinds)


def _unit_starts(data: bytes, extradata: bytes) -> Iterator[int]:
    """Yield where the units of an H.264 or HEVC packet start (ITU-T H.264, 7.3.1 and annex B)."""
    if extradata[:1] == b"\1":  # as in MP4 and Matroska: each unit behind its length
        at = 4
        while at < len(data):
            yield at
            at += 4 + int.from_bytes(data[at - 4 : at], "big")
    else:
        yield from (match.end() for match in re.finditer(b"\0\0\1", data))


def repair(path: Path) -> str:
    """Command line that re-encodes ``path``, to be pasted as it is."""
    new = path.with_name(f"{path.stem}_reencoded.mp4")
    names = (shlex.quote(str(each)) for each in (path, new))
    return "ffmpeg -i {} -c:v libx264 -crf 17 -pix_fmt yuv420p {}".format(*names)
