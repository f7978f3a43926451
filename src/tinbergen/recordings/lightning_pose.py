"""Lightning Pose's predictions on videos."""

from __future__ import annotations

import os

import numpy as np

from tinbergen.recordings.deeplabcut import read_dlc_csv
from tinbergen.recordings.frames import FrameSource
from tinbergen.recordings.keypoints import Keypoints


def read_lightning_pose_csv(
    path: str | os.PathLike,
    times: FrameSource | np.ndarray | str | os.PathLike | None = None,
    *,
    fps: float | None = None,
) -> Keypoints:
    """Read a Lightning Pose prediction CSV: DeepLabCut's layout, and maybe a last column ``set``.

    For parameters and errors see :func:`~tinbergen.recordings.deeplabcut.read_dlc_csv`.
    Predictions on labelled images have image names for rows; read those with
    :func:`~tinbergen.recordings.labelled_frames.read_labelled_frames`.
    """
    return read_dlc_csv(path, times, fps=fps)
