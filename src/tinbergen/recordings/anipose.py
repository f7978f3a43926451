"""Anipose's tables of triangulated keypoints."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from tinbergen.errors import DataError
from tinbergen.recordings.csv_table import read_csv_table
from tinbergen.recordings.deeplabcut import rows_to_times
from tinbergen.recordings.frames import FrameSource
from tinbergen.recordings.keypoints import Keypoints

_AXES = ("x", "y", "z")


def is_anipose(path: str | os.PathLike) -> bool:
    """Whether the header of a CSV names x, y, z and the error of a point, and the frame."""
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        header = file.readline().strip().split(",")
    return "fnum" in header and any(name.endswith("_error") for name in header)


def read_anipose(
    path: str | os.PathLike,
    times: FrameSource | np.ndarray | str | os.PathLike | None = None,
    *,
    fps: float | None = None,
    unit: str = "mm",
) -> Keypoints:
    """Read keypoints in space from a CSV of Anipose (``pose-3d``).

    Parameters
    ----------
    path
        For each point ``<name>_x``, ``_y``, ``_z`` and, where there is one, ``_score``, which
        becomes the confidence; ``fnum`` is the number of the frame.
    times, fps
        See :func:`~tinbergen.recordings.read_dlc_csv`.
    unit
        Of the calibration board.

    Raises
    ------
    MissingFileError, DataError
    """
    path = Path(path)
    table = read_csv_table(path, "a CSV of Anipose")
    points = [name[:-2] for name in table if str(name).endswith("_x")]
    if not points or "fnum" not in table:
        raise DataError(
            f"{path}: expected columns <point>_x, _y, _z and fnum, found "
            f"{', '.join(map(str, table.columns[:8]))}."
        )
    needed = [f"{point}_{axis}" for point in points for axis in _AXES]
    if missing := [name for name in needed if name not in table]:
        raise DataError(f"{path}: the column {missing[0]!r} is missing.")
    for name in [*needed, "fnum"]:
        if table[name].dtype.kind not in "iuf":
            raise DataError(f"{path}, column {name!r}: expected numbers, found text.")
    frames = table["fnum"].to_numpy(np.float64)
    if not (frames == np.floor(frames)).all():
        raise DataError(f"{path}, column 'fnum': expected whole numbers.")
    positions = table[needed].to_numpy(np.float64).reshape(len(table), 1, len(points), 3)
    scores = [f"{point}_score" for point in points]
    known = all(name in table for name in scores)
    confidence = table[scores].to_numpy(np.float64)[:, None] if known else None
    at = rows_to_times(frames.astype(int), times, fps, path)
    return Keypoints(at, positions, confidence, tuple(points), unit=unit)  # type: ignore[arg-type]
