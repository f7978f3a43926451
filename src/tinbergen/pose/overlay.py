"""Keypoints drawn on frames, to be looked at."""

from __future__ import annotations

import colorsys
import os
from collections.abc import Iterator

import cv2
import numpy as np

from tinbergen.errors import DataError
from tinbergen.progress import track
from tinbergen.recordings import FrameSource, Keypoints, write_video

_SHIFT = 4  # OpenCV draws at 1 / 16 px


def colours(n: int) -> list[tuple[int, int, int]]:
    """Return ``n`` colours that are told apart, RGB 0 to 255."""
    found = []
    for i in range(n):
        # Neighbouring keypoints far apart on the colour wheel, and every other one darker.
        rgb = colorsys.hsv_to_rgb(i * 0.618034 % 1, 0.85, 1.0 if i % 2 else 0.8)
        found.append(tuple(round(255 * value) for value in rgb))
    return found


def draw_keypoints(
    image: np.ndarray,
    positions: np.ndarray,
    confidence: np.ndarray | None = None,
    *,
    individuals: int = 1,
    least: float = 0.1,
) -> np.ndarray:
    """Draw keypoints as dots, with sub-pixel positions.

    Parameters
    ----------
    image
        ``(height, width)`` or ``(height, width, 1 or 3)`` uint8.
    positions
        ``(keypoint, 2)`` px; NaN is not drawn.
    confidence
        ``(keypoint,)``; those below ``least`` are hollow.
    individuals
        The keypoints are those of so many animals, one after the other: a colour each, where there
        are several.

    Returns
    -------
    ``(height, width, 3)`` uint8 RGB, a copy.
    """
    gray = image.ndim == 2 or image.shape[2] == 1
    canvas = np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2) if gray else image.copy()
    canvas = np.ascontiguousarray(canvas)
    radius = max(2.0, max(image.shape[:2]) / 200)
    palette = colours(len(positions) if individuals == 1 else individuals)
    for number, (x, y) in enumerate(positions):
        if not (np.isfinite(x) and np.isfinite(y)):
            continue
        centre = (round(x * 2**_SHIFT), round(y * 2**_SHIFT))
        sure = confidence is None or not confidence[number] < least
        cv2.circle(
            canvas,
            centre,
            round(radius * 2**_SHIFT),
            palette[number * len(palette) // len(positions)],
            cv2.FILLED if sure else 1,
            cv2.LINE_AA,
            _SHIFT,
        )
    return canvas


def write_overlay(
    path: str | os.PathLike,
    video: FrameSource,
    keypoints: Keypoints,
    *,
    start: int = 0,
    stop: int | None = None,
    least: float = 0.1,
) -> None:
    """Write a video (H.264) with its keypoints drawn on it, frame by frame.

    Parameters
    ----------
    path
        The ``.mp4`` to make.
    video
        What the keypoints were predicted on.
    keypoints
        On all of its frames; several individuals have a colour each.
    start, stop
        Frames to draw; default: all.
    least
        Keypoints of less confidence are hollow.

    Raises
    ------
    DataError
        If the keypoints are not on all frames of the video.
    """
    if len(keypoints) != video.n_frames:
        raise DataError(
            f"Expected keypoints on all {video.n_frames} frames of {video.path}, found "
            f"{len(keypoints)} rows."
        )
    colour = video.view(gray=False)
    rate = colour.fps if np.isfinite(colour.fps) else 25.0
    frames = range(colour.n_frames)[start:stop]
    positions = keypoints.positions[..., :2].reshape(len(keypoints), -1, 2)
    confidence = keypoints.confidence.reshape(len(keypoints), -1)

    def drawn() -> Iterator[np.ndarray]:
        batches = colour.iterate(frames.start, frames.stop, batch_size=32)
        for batch in track(batches, f"drawing {video.name}", "batches"):
            for index, image in zip(batch.indices, batch.frames, strict=True):
                yield draw_keypoints(
                    image,
                    positions[index],
                    confidence[index],
                    individuals=len(keypoints.individuals),
                    least=least,
                )

    write_video(path, drawn(), fps=rate)
