"""Write simulated videos: real H.264 files whose presentation times are the ground truth."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.error import FFmpegError

from tinbergen.errors import ConfigError, MissingFileError, OutputError, VideoError
from tinbergen.files import explain_os_errors

TICKS_PER_S = 90_000
"""Resolution of presentation times (1/s)."""

_CODECS = {
    "libx264": {"preset": "veryfast", "crf": "21", "g": "60"},
    "mpeg4": {"qscale": "3", "g": "60"},
}


def write_video(
    path: str | os.PathLike,
    images: Iterable[np.ndarray],
    times: np.ndarray,
    size: tuple[int, int],
) -> None:
    """Encode ``images`` one by one, so that memory does not grow with the length of the video.

    Parameters
    ----------
    path
        File to write; its suffix names the container.
    images
        uint8, each of shape (height, width) or (height, width, 3).
    times
        Presentation time of each image (s), ascending, shape (time,).
    size
        Height and width (px), both even.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    path = Path(path)
    ticks = np.rint(np.asarray(times) * TICKS_PER_S).astype(np.int64)
    rate = Fraction(1 / float(np.median(np.diff(times))) if len(times) > 1 else 25.0)
    with explain_os_errors(path), av.open(str(path), "w") as container:
        codec = next(name for name in _CODECS if name in av.codecs_available)
        stream = container.add_stream(codec, rate=rate.limit_denominator(1000))
        stream = cast(av.VideoStream, stream)
        context = stream.codec_context
        context.height, context.width = size
        context.options = _CODECS[codec]
        context.pix_fmt = "yuv420p"
        context.time_base = stream.time_base = Fraction(1, TICKS_PER_S)
        # A fixed number, because the bytes of H.264 depend on it.
        context.thread_count = 2
        for image, tick in zip(images, ticks.tolist(), strict=True):
            frame = av.VideoFrame.from_ndarray(
                image, format="rgb24" if image.ndim == 3 else "gray"
            )
            frame.pts, frame.time_base = tick, context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def loop_video(source: str | os.PathLike, path: str | os.PathLike, repeats: int) -> None:
    """Write ``source`` ``repeats`` times in a row to ``path`` without encoding anything again.

    A cheap way to a long video, for example to test that memory stays flat.

    Parameters
    ----------
    source
        A video of constant frame rate whose first frame is a keyframe.
    path
        File to write.
    repeats
        How often the video runs.
    """
    if repeats < 1:
        raise ConfigError(f"Expected repeats >= 1, found {repeats}.")
    if not Path(source).is_file():
        raise MissingFileError(f"Expected a video at {source}, found none.")
    if Path(path).exists():
        raise OutputError(f"{path} is already there; choose another name.")
    try:
        with av.open(str(source)) as reader:
            template = reader.streams.video[0]
            with explain_os_errors(path), av.open(str(path), "w") as container:
                stream = container.add_stream_from_template(template)
                offset = 0
                for _ in range(repeats):
                    offset += _copy_packets(reader, container, stream, offset)
                    reader.seek(0, stream=template)
    except (FFmpegError, IndexError) as error:
        Path(path).unlink(missing_ok=True)
        raise VideoError(
            f"Expected a video in {source}, found none that opens: {error}"
        ) from error


def _copy_packets(reader, container, stream, offset: int) -> int:
    """Copy all packets ``offset`` ticks later; return the length of the video in ticks."""
    length = 0
    for packet in reader.demux(video=0):
        if packet.pts is None or packet.dts is None:  # the empty packet at the end
            continue
        length = max(length, packet.pts + (packet.duration or 0))
        packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
        packet.stream = stream
        container.mux(packet)
    return length
