"""Tracked keypoints of any format that is known, by the ending and the content of the file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from tinbergen.errors import DataError
from tinbergen.recordings.anipose import is_anipose, read_anipose
from tinbergen.recordings.deeplabcut import read_dlc_csv
from tinbergen.recordings.deeplabcut_h5 import read_dlc_h5
from tinbergen.recordings.frames import FrameSource
from tinbergen.recordings.hdf5 import opened_hdf5
from tinbergen.recordings.keypoints import Keypoints
from tinbergen.recordings.sleap import read_sleap, read_sleap_analysis


def read_keypoints(
    path: str | os.PathLike,
    times: FrameSource | np.ndarray | str | os.PathLike | None = None,
    *,
    fps: float | None = None,
) -> Keypoints:
    """Read tracked keypoints from DeepLabCut, Lightning Pose, SLEAP or Anipose.

    Parameters
    ----------
    path
        ``.csv`` and ``.h5`` of DeepLabCut (several animals too), ``.csv`` of Lightning Pose,
        ``.slp`` of SLEAP and its analysis ``.h5``, ``.csv`` of Anipose (in space).
    times, fps
        See :func:`~tinbergen.recordings.read_dlc_csv`.

    Raises
    ------
    MissingFileError, DataError
        Naming what is not as it should be.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind == ".slp":
        return read_sleap(path, times, fps=fps)
    if kind in (".h5", ".hdf5"):
        read = read_sleap_analysis if _is_analysis(path) else read_dlc_h5
        return read(path, times, fps=fps)
    if kind == ".csv":
        if path.is_file() and is_anipose(path):
            return read_anipose(path, times, fps=fps)
        return read_dlc_csv(path, times, fps=fps)
    raise DataError(
        f"{path}: expected keypoints as .csv, .h5 or .slp, found {kind or 'no ending'!r}."
    )


def _is_analysis(path: Path) -> bool:
    with opened_hdf5(path, "keypoints of DeepLabCut or SLEAP") as file:
        return "tracks" in file and "node_names" in file
