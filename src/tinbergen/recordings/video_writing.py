"""Videos that any player shows: H.264 in mp4."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np

from tinbergen.errors import DataError


def write_video(path: str | os.PathLike, frames: Iterable[np.ndarray], fps: float) -> int:
    """Write frames as an ``.mp4``; a file that was there is replaced.

    Parameters
    ----------
    path
        The file.
    frames
        ``(height, width, 3)`` uint8 RGB each, of one size; an odd last row or column is left out,
        as H.264 has none.
    fps
        Frames per second of the new video.

    Returns
    -------
    Number of frames written.

    Raises
    ------
    DataError
        If there is no frame.
    """
    import av

    rest = iter(frames)
    first = next(rest, None)
    if first is None:
        raise DataError(f"Expected frames to write to {path}, found none.")
    height, width = first.shape[0] // 2 * 2, first.shape[1] // 2 * 2
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with av.open(os.fspath(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for image in chain([first], rest):
            pixels = np.ascontiguousarray(image[:height, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            count += 1
        container.mux(stream.encode())
    return count
