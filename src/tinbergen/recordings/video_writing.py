"""Videos that any player shows: H.264 in mp4, with the presentation times that are asked for."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fractions import Fraction
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from tinbergen.errors import DataError
from tinbergen.files import explain_os_errors

if TYPE_CHECKING:
    import av

TICKS_PER_S = 90_000
"""Resolution of presentation times (1/s)."""

_CODECS = {
    "libx264": {"preset": "veryfast", "crf": "21", "g": "60"},
    "mpeg4": {"qscale": "3", "g": "60"},
}


def write_video(
    path: str | os.PathLike,
    frames: Iterable[np.ndarray],
    times: np.ndarray | None = None,
    *,
    fps: float = 25.0,
) -> int:
    """Write frames one by one, so that memory does not grow with their number.

    Parameters
    ----------
    path
        The file, which is replaced if it is there; its suffix names the container.
    frames
        ``(height, width)`` or ``(height, width, 3)`` uint8 RGB each, of one size; an odd last row
        or column is left out, as H.264 has none.
    times
        ``(time,)`` s, ascending: when each frame is shown.
    fps
        Frames per second, where no times are given.

    Returns
    -------
    Number of frames written.

    Raises
    ------
    DataError
        If there is no frame, or not one for each of the times.
    OutputError
        If the file cannot be written.
    """
    import av

    rest = iter(frames)
    first = next(rest, None)
    if first is None:
        raise DataError(f"Expected frames to write to {path}, found none.")
    height, width = first.shape[0] // 2 * 2, first.shape[1] // 2 * 2
    if times is not None and len(times) > 1:
        fps = 1 / float(np.median(np.diff(times)))
    rate = Fraction(fps).limit_denominator(1000)
    ticks = None if times is None else np.rint(np.asarray(times) * TICKS_PER_S).astype(np.int64)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with explain_os_errors(path), av.open(os.fspath(path), "w") as container:
        codec = next(name for name in _CODECS if name in av.codecs_available)
        stream = cast("av.VideoStream", container.add_stream(codec, rate=rate))
        context = stream.codec_context
        context.height, context.width = height, width
        context.options = _CODECS[codec]
        context.pix_fmt = "yuv420p"
        context.time_base = 1 / rate if ticks is None else Fraction(1, TICKS_PER_S)
        stream.time_base = context.time_base
        # A fixed number, because the bytes of H.264 depend on it.
        context.thread_count = 2
        places = count() if ticks is None else iter(ticks.tolist())
        for tick, image in zip(places, chain([first], rest), strict=False):
            pixels = np.ascontiguousarray(image[:height, :width])
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24" if image.ndim == 3 else "gray")
            frame.pts, frame.time_base = tick, context.time_base
            container.mux(stream.encode(frame))
            written += 1
        container.mux(stream.encode(None))
    if ticks is not None and (written < len(ticks) or next(rest, None) is not None):
        raise DataError(f"{path}: expected a frame for each of {len(ticks)} times, found others.")
    return written
