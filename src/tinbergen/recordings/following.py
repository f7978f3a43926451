"""A view that goes with the animal: small frames around it, without the background.

In an arena most pixels show no animal, and one posture looks different at every place. What does
not move is taken away (the median image), and a window is cut around what is left, as is usual
before behaviour is learned from freely moving animals (compare MoSeq: Wiltschko et al. 2015,
doi:10.1016/j.neuron.2015.11.031). Several animals are one to this.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from tinbergen.errors import ConfigError, VideoError
from tinbergen.progress import Progress
from tinbergen.recordings.frames import FrameSource, FrameStatus
from tinbergen.recordings.series import Series

_SAMPLED = 64
_STANDS_OUT = 8.0  # gray levels; less is noise
_FAITHFUL = 2.0  # how much stronger something else must be before the view leaves what it follows
_STEADY_S = 0.05


class AnimalView(FrameSource):
    """What surrounds the animal in each frame, as gray frames of their own.

    A pixel is 128 plus half of its difference to the median image, so that nothing is clipped;
    what lies outside the frame repeats its edge. Times and damaged frames are those of the video.
    In a ``dataset.yaml`` it is the line ``follow: 64`` below a video.

    Parameters
    ----------
    video
        Not a clip. Read once from end to end, in gray, when the first frame is asked for.
    follow
        Side of the square window, px of ``video``: about one and a half lengths of the animal.

    Raises
    ------
    ConfigError
        If ``follow`` is below 8 px, or the video is a clip.

    Examples
    --------
    >>> view = AnimalView(Video("arena.mp4"), 64)   # doctest: +SKIP
    >>> view.places.values                          # (frame, 2), x and y in px  # doctest: +SKIP
    >>> view.frame(0).shape                         # doctest: +SKIP
    (64, 64)
    """

    def __init__(self, video: FrameSource, follow: int):
        if follow < 8 or video.is_clip:
            what = f"{video.path}, a clip" if video.is_clip else f"{follow} px"
            raise ConfigError(
                f"follow: expected a window of at least 8 px of a whole video; {what}."
            )
        super().__init__(video.path, gray=True)
        self.video = video.view(gray=True)
        self.follow = follow
        self._animal = _Animal(self.video, follow)

    @property
    def places(self) -> Series:
        """``(frame, 2)``: x and y of the window's middle on the video's times, px of the video."""
        return Series(self.video.times, self._animal.places, ("x", "y"), "px")

    def _file_times(self) -> np.ndarray:
        return self.video.times

    def _source_size(self) -> tuple[int, int]:
        return self._animal.window, self._animal.window

    def _read(
        self, positions: Sequence[int] | np.ndarray, close: bool
    ) -> Iterator[tuple[Callable[[], np.ndarray] | None, FrameStatus]]:
        stream = self.video._read(positions, close)
        for position, (make, status) in zip(positions, stream, strict=True):
            yield make and functools.partial(self._crop, int(position), make), status

    def _crop(self, position: int, make: Callable[[], np.ndarray]) -> np.ndarray:
        frame = np.empty(self.video.geometry.size, np.uint8)
        self.video.geometry.apply(make(), frame)
        half = (frame - self._animal.background) / 2 + 128
        x, y = self._animal.places[position]
        crop = cv2.getRectSubPix(half, self._source_size(), (float(x), float(y)))
        crop = np.rint(crop).astype(np.uint8)
        return crop if self.gray else np.repeat(crop[..., None], 3, axis=2)


class _Animal:
    """Where the animal is; one object for all views of a video, so that it is sought once."""

    def __init__(self, video: FrameSource, window: int):
        self.video = video
        self.window = window

    @functools.cached_property
    def background(self) -> np.ndarray:
        return median_image(self.video)

    @functools.cached_property
    def places(self) -> np.ndarray:
        return follow(self.video, self.background, self.window)


def median_image(video: FrameSource) -> np.ndarray:
    """Return the median of 64 evenly spread frames, float32, shape as a frame.

    Raises
    ------
    VideoError
        If none of them can be decoded.
    """
    at = np.unique(np.linspace(0, video.n_frames - 1, _SAMPLED).astype(int))
    batch = video.frames(at)
    if not batch.ok.any():
        raise VideoError(f"{video.path}: none of {len(at)} frames can be decoded.")
    return np.median(batch.frames[batch.ok], axis=0).astype(np.float32)


def follow(video: FrameSource, background: np.ndarray, reach: float) -> np.ndarray:
    """Find the animal in every frame: the middle of what stands out from the background.

    By mean shift from where it was in the frame before, or from the strongest place of the frame
    where much more stands out. Memory does not grow with the length of the video.

    Parameters
    ----------
    video
        In gray; read once.
    background
        ``(height, width)``, its median image.
    reach
        Side of the window that is to be kept on the animal, px.

    Returns
    -------
    ``(frame, 2)`` float64: x and y, px, smoothed by 50 ms. A frame that cannot be decoded has the
    place of the one before.
    """
    found = np.empty((video.n_frames, 2))
    place = None
    with Progress(video.n_frames, f"following in {video.name}", "frames") as progress:
        for batch in video.iterate():
            for index, frame, ok in zip(batch.indices, batch.frames, batch.ok, strict=True):
                if ok or place is None:
                    place = _find(_salience(frame - background, reach), place, reach)
                found[index] = place
            progress.advance(len(batch))
    width = _STEADY_S * video.fps
    return gaussian_filter1d(found, width, axis=0) if width > 0 else found


def _salience(difference: np.ndarray, reach: float) -> np.ndarray:
    # Shadows and drifts of the light are broad; the animal is not.
    side = max(round(2 * reach / 3), 1)
    local = np.abs(difference - cv2.blur(difference, (side, side)))
    return np.square(np.maximum(local - _STANDS_OUT, 0))


def _find(
    salience: np.ndarray, before: tuple[float, float] | None, reach: float
) -> tuple[float, float]:
    near = cv2.GaussianBlur(salience, (0, 0), reach / 4)
    y, x = np.unravel_index(near.argmax(), salience.shape)
    if before is None:
        return _mean_shift(salience, (float(x), float(y)), reach)
    column, row = (round(at) for at in before)
    left = near[y, x] > _FAITHFUL * near[row, column]
    return _mean_shift(salience, (float(x), float(y)) if left else before, reach)


def _mean_shift(
    salience: np.ndarray, place: tuple[float, float], reach: float
) -> tuple[float, float]:
    """Climb to the middle of what stands out nearby; stay where nothing does."""
    x, y = (np.arange(n, dtype=np.float32) for n in salience.shape[::-1])
    for width in (reach / 2, reach / 3, reach / 3, reach / 3):
        row = np.exp(-0.5 * ((x - place[0]) / width) ** 2)
        weight = salience * row * np.exp(-0.5 * ((y - place[1]) / width) ** 2)[:, None]
        total = float(weight.sum())
        if total <= 0:
            break
        place = (float(weight.sum(axis=0) @ x) / total, float(weight.sum(axis=1) @ y) / total)
    return place
