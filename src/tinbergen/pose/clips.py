"""Short clips of unlabelled video, read once and kept in memory, for losses that need no label."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinbergen.errors import DataError
from tinbergen.pose.config import PoseConfig
from tinbergen.pose.context import stack_context
from tinbergen.pose.viewing import view_as_labels
from tinbergen.progress import Progress
from tinbergen.recordings import FrameSource
from tinbergen.recordings.background import video_background
from tinbergen.training import numpy_generator


@dataclass(frozen=True, eq=False)
class Clips:
    """Frames in a row, at many places of the videos.

    Attributes
    ----------
    frames
        ``(clip, time, height, width, channels)`` uint8, as the network sees them, with neighbours
        (see :mod:`tinbergen.pose.context`).
    backgrounds
        ``(clip, height, width, channels)`` uint8 of their videos, where the encoder needs them.
    """

    frames: np.ndarray
    backgrounds: np.ndarray | None

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def digest(self) -> str:
        """Content hash."""
        return hashlib.sha256(self.frames.tobytes()).hexdigest()


def read_clips(
    videos: Sequence[FrameSource], config: PoseConfig, label_size: Sequence[int]
) -> Clips:
    """Read ``unlabelled.clips`` clips, spread evenly over all the videos.

    Parameters
    ----------
    label_size
        ``(height, width)`` of the labelled images, px.

    Raises
    ------
    DataError
        If a video has another aspect than the labels, or there is no sound clip.
    """
    settings, seed = config.unlabelled, config.train.seed
    views = [view_as_labels(video, config, label_size) for video in videos]
    length = settings.frames + 2 * config.context
    starts = [max(0, len(view) - length + 1) for view in views]
    total = sum(starts)
    if not total:
        raise DataError(
            f"Expected unlabelled video of at least {length} frames, found none in "
            f"{', '.join(str(video.path) for video in videos) or 'the given paths'}."
        )
    n = min(settings.clips, total)
    first = numpy_generator(seed, "clips").random()
    chosen = np.floor((np.arange(n) + first) * total / n).astype(int)
    frames, backgrounds = [], []
    ends = np.cumsum(starts)
    with Progress(n, "reading unlabelled video", "clips") as progress:
        for view, end, n_starts in zip(views, ends, starts, strict=True):
            ours = chosen[(chosen >= end - n_starts) & (chosen < end)] - (end - n_starts)
            if not len(ours):
                continue
            rows = ours[:, None] + np.arange(length)
            batch = view.frames(rows.ravel())
            sound = batch.ok.reshape(rows.shape).all(axis=1)
            shape = (*rows.shape, *config.size, config.channels or 1)
            clips = batch.frames.reshape(shape)[sound]
            frames += [stack_context(clip, config.context) for clip in clips]
            if config.residual:
                backgrounds += [_background(view)] * int(sound.sum())
            progress.advance(len(ours))
    if not frames:
        raise DataError(f"Not one of {n} clips of the unlabelled video can be decoded.")
    return Clips(np.stack(frames), np.stack(backgrounds) if backgrounds else None)


def _background(view: FrameSource) -> np.ndarray:
    background = video_background(view)
    if background is None:
        raise DataError(
            f"{view.path}: too few sound frames for the mean image that this run's backbone "
            "needs; give a longer video."
        )
    return background
