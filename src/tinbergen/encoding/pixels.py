"""Plain features of a video: motion energy, and principal components of its frames.

Both read the video once, from end to end, in small batches; memory does not grow with its length.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable

import numpy as np

from tinbergen.encoding.grid import Grid, mean_on
from tinbergen.errors import DataError
from tinbergen.progress import Progress
from tinbergen.recordings import Intervals, Series
from tinbergen.recordings.frames import FrameSource

PIXELS = 1024
COMPONENTS = 64
_FITTED_ON = 8192
_AT_ONCE = 4096


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


class FramePixels:
    """The frames of a video, shrunk to some 1000 gray pixels and kept in a temporary file.

    Parameters
    ----------
    video
        Read once, from end to end.

    Attributes
    ----------
    times
        ``(frame,)`` s.
    ok
        ``(frame,)`` bool: which frames could be decoded.
    """

    def __init__(self, video: FrameSource):
        scale = min(1.0, np.sqrt(PIXELS / (video.height * video.width)))
        size = (max(1, int(video.height * scale)), max(1, int(video.width * scale)))
        small = video.view(gray=True, size=size)
        self.times = small.times
        self.valid = small.valid
        self.ok = np.zeros(small.n_frames, dtype=bool)
        if not small.n_frames:
            raise DataError(f"{video.path} holds no frame.")
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the map
        shape = (small.n_frames, size[0] * size[1])
        self._pixels = np.memmap(self._file, np.uint8, "w+", shape=shape)
        with Progress(small.n_frames, f"frames of {video.name}", "frames") as progress:
            for batch in small.iterate():
                self._pixels[batch.indices] = batch.frames.reshape(len(batch), -1)
                self.ok[batch.indices] = batch.ok
                progress.advance(len(batch))

    def components(self, used: np.ndarray, n: int = COMPONENTS) -> np.ndarray:
        """Return principal components of all frames, fitted on ``used`` ones alone.

        Parameters
        ----------
        used
            ``(frame,)`` bool, frames of the training part; of many, 8192 evenly spread ones.
        n
            Number of components, at most.

        Returns
        -------
        ``(frame, component)`` float32, in units of gray levels; NaN where not decoded.
        """
        from scipy.linalg import eigh

        rows = np.flatnonzero(used & self.ok)
        if len(rows) < 2:
            raise DataError("Expected at least two sound frames to fit components on.")
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, _FITTED_ON).astype(int))]
        width = self._pixels.shape[1]
        total, square = np.zeros(width), np.zeros((width, width))
        for first in range(0, len(rows), _AT_ONCE):
            part = self._pixels[rows[first : first + _AT_ONCE]].astype(np.float32)
            total += part.sum(axis=0, dtype=np.float64)
            square += part.T @ part
        mean = total / len(rows)
        covariance = square / len(rows) - np.outer(mean, mean)
        n = min(n, width, len(rows) - 1)
        _, axes = eigh(covariance, subset_by_index=[width - n, width - 1])
        axes = axes[:, ::-1] * np.sign(axes[np.abs(axes).argmax(axis=0), range(n)])[::-1]
        out = np.full((len(self.times), n), np.nan, np.float32)
        for first in range(0, len(out), _AT_ONCE):
            part = slice(first, first + _AT_ONCE)
            out[part] = (self._pixels[part] - mean) @ axes
        out[~self.ok] = np.nan
        return out

    def on(self, grid: Grid) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
        """Return which bins are known, and what turns training rows into components.

        Returns
        -------
        known
            ``(row, 1)``; NaN where no sound frame is near.
        project
            ``(row,)`` bool of the training rows -> ``(row, component)`` of all rows.
        """
        sound = np.where(self.ok, 0.0, np.nan)[:, None]
        known = mean_on(grid, self.times, sound, self.valid)

        def project(train: np.ndarray) -> np.ndarray:
            inside = Intervals(grid.starts[train], grid.stops[train])
            return mean_on(
                grid, self.times, self.components(inside.contains(self.times)), self.valid
            )

        return known, project
