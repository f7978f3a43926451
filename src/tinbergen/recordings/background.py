"""What of a video stands still: its mean image."""

from __future__ import annotations

import numpy as np

from tinbergen.recordings.frames import FrameSource

_BACKGROUND_FRAMES = 64
_ENOUGH_FRAMES = 16


def video_background(video: FrameSource) -> np.ndarray | None:
    """Mean of up to 64 evenly spaced sound frames, ``(H, W, C)`` uint8.

    None for a source of fewer than 16 sound frames (a few stills): its mean is no background.
    """
    if video.n_frames < _ENOUGH_FRAMES:
        return None
    wanted = np.unique(np.linspace(0, video.n_frames - 1, _BACKGROUND_FRAMES).round().astype(int))
    total, n = 0.0, 0
    for start in range(0, len(wanted), 8):
        batch = video.frames(wanted[start : start + 8])
        sound = batch.frames[batch.status == 0].astype(np.float32)
        total, n = total + sound.sum(axis=0), n + len(sound)
    if n < _ENOUGH_FRAMES:
        return None
    mean = np.rint(np.asarray(total, np.float32) / n).astype(np.uint8)
    return mean if mean.ndim == 3 else mean[..., None]
