"""Plain features of a video: motion energy, and principal components of its frames.

Both read the video once, from end to end, in small batches; memory does not grow with its length.
"""

from __future__ import annotations

import tempfile

import numpy as np

from tinbergen.encoding.components import WideRows
from tinbergen.errors import DataError
from tinbergen.progress import Progress
from tinbergen.recordings import Series
from tinbergen.recordings.frames import FrameSource

PIXELS = 1024


def motion_energy(video: FrameSource, roi: tuple[int, int, int, int] | None = None) -> Series:
    """Mean absolute change of the pixels from one frame to the next.

    Parameters
    ----------
    video
        Read in gray.
    roi
        Only this region, ``(x, y, width, height)`` px of the file; default: that of the video.

    Returns
    -------
    Series
        One value a frame (gray levels), at the later frame's time. NaN for the first frame and
        after a frame that cannot be decoded, or a gap.

    Examples
    --------
    >>> from tinbergen.recordings import ArrayVideo  # doctest: +SKIP
    >>> motion_energy(video).values.ravel()  # three frames of 2 x 2 px  # doctest: +SKIP
    array([nan,  3.,  1.])
    """
    source = video.view(gray=True) if roi is None else video.view(gray=True, roi=roi)
    values = np.full(source.n_frames, np.nan)
    valid = source.valid
    at = np.searchsorted(valid.starts, source.times, side="right")
    before, before_ok = None, False
    with Progress(source.n_frames, f"motion energy of {source.name}", "frames") as progress:
        for batch in source.iterate():
            for i, frame, ok in zip(batch.indices, batch.frames, batch.ok, strict=True):
                now = frame.astype(np.int16)
                if before is not None and ok and before_ok and at[i] == at[i - 1]:
                    values[i] = np.abs(now - before).mean()
                before, before_ok = now, ok
            progress.advance(len(batch))
    return Series(source.times, values, ("motion energy",), "gray levels", valid)


class FramePixels(WideRows):
    """The frames of a video, shrunk to some 1000 gray pixels and kept in a temporary file.

    Parameters
    ----------
    video
        Read once, from end to end.
    """

    def __init__(self, video: FrameSource):
        scale = min(1.0, np.sqrt(PIXELS / (video.height * video.width)))
        size = (max(1, int(video.height * scale)), max(1, int(video.width * scale)))
        small = video.view(gray=True, size=size)
        n = small.n_frames
        if not n:
            raise DataError(f"{video.path} holds no frame.")
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the map
        pixels = np.memmap(self._file, np.uint8, "w+", shape=(n, size[0] * size[1]))
        super().__init__(small.times, pixels, np.zeros(n, dtype=bool))
        with Progress(n, f"frames of {video.name}", "frames") as progress:
            for batch in small.iterate():
                pixels[batch.indices] = batch.frames.reshape(len(batch), -1)
                self.ok[batch.indices] = batch.ok
                progress.advance(len(batch))
