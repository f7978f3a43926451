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

_AT_ONCE = 16  # clips
_OTHERWISE = "Train on videos like the labelled images only: leave it out of --videos (videos)."


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
        return hashlib.sha256(np.ascontiguousarray(self.frames).data).hexdigest()


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
    views = [view_as_labels(video, config, label_size, otherwise=_OTHERWISE) for video in videos]
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
    channels = (2 * config.context + 1) * (config.channels or 1)
    frames = np.empty((n, settings.frames, *config.size, channels), np.uint8)
    filled, backgrounds = 0, []
    ends = np.cumsum(starts)
    with Progress(n, "reading unlabelled video", "clips") as progress:
        for view, end, n_starts in zip(views, ends, starts, strict=True):
            ours = chosen[(chosen >= end - n_starts) & (chosen < end)] - (end - n_starts)
            if not len(ours):
                continue
            background = _background(view) if config.residual else None
            for first in range(0, len(ours), _AT_ONCE):
                rows = ours[first : first + _AT_ONCE, None] + np.arange(length)
                batch = view.frames(rows.ravel())
                sound = batch.ok.reshape(rows.shape).all(axis=1)
                clips = batch.frames.reshape(*rows.shape, *config.size, config.channels or 1)
                for clip in clips[sound]:
                    frames[filled] = stack_context(clip, config.context)
                    filled += 1
                    backgrounds.append(background)
                progress.advance(len(rows))
    if not filled:
        raise DataError(f"Not one of {n} clips of the unlabelled video can be decoded.")
    return Clips(frames[:filled], np.stack(backgrounds) if config.residual else None)


def _background(view: FrameSource) -> np.ndarray:
    background = video_background(view)
    if background is None:
        raise DataError(
            f"{view.path}: too few sound frames for the mean image that this run's backbone "
            "needs; give a longer video."
        )
    return background
