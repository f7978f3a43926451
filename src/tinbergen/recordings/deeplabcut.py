"""DeepLabCut's tables of tracked keypoints (CSV), read strictly and written exactly."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from tinbergen.errors import DataError
from tinbergen.recordings.frames import FrameSource
from tinbergen.recordings.keypoint_table import (
    KeypointColumns,
    read_keypoint_table,
    write_keypoint_table,
)
from tinbergen.recordings.keypoints import Keypoints
from tinbergen.recordings.sidecar import read_times


def read_dlc_csv(
    path: str | os.PathLike,
    times: FrameSource | np.ndarray | str | os.PathLike | None = None,
    *,
    fps: float | None = None,
) -> Keypoints:
    """Read tracked keypoints from a DeepLabCut CSV (2, 3 or 4 header rows; several animals).

    Predictions of Lightning Pose on videos are in the same layout, maybe with a column ``set``.

    Parameters
    ----------
    path
        The CSV; its first column is the frame number.
    times
        Time of each frame of the video, s: the video itself, numbers, or a sidecar file. Rows may
        be fewer (each is placed by its frame number).
    fps
        Instead of ``times``: frame k is at k / fps s.

    Raises
    ------
    MissingFileError, DataError
        Naming the line and column that is not as it should be.
    """
    table = read_keypoint_table(path)
    numbers = np.array(
        [_frame_number(cells, Path(path), i) for i, cells in enumerate(table.index)]
    )
    return keypoints_of_rows(table.columns, table.values, numbers, times, fps, Path(path))


def _frame_number(cells: tuple[str, ...], path: Path, row: int) -> int:
    try:
        number = float(cells[0])
        if len(cells) == 1 and number >= 0 and number == int(number):
            return int(number)
    except ValueError:
        pass
    raise DataError(
        f"{path}, row {row + 1} below the header: expected a frame number first, found "
        f"{'/'.join(cells)!r}. If the rows name images, use read_labelled_frames."
    )


def keypoints_of_rows(
    columns: KeypointColumns,
    values: np.ndarray,
    numbers: np.ndarray,
    times: Any,
    fps: float | None,
    path: Path,
) -> Keypoints:
    """Return the keypoints of a table.

    Parameters
    ----------
    columns, values
        What the columns mean, and ``(row, column)``.
    numbers, times, fps, path
        See :func:`rows_to_times`.
    """
    row_times = rows_to_times(numbers, times, fps, path)
    axes = [axis for axis in ("x", "y", "z") if axis in columns.fields]
    positions = np.stack([columns.take(values, axis) for axis in axes], axis=-1)
    unknown = np.full(positions.shape[:3], np.nan)
    has_confidence = "likelihood" in columns.fields
    return Keypoints(
        times=row_times,
        positions=positions,
        confidence=columns.take(values, "likelihood") if has_confidence else unknown,
        keypoints=columns.keypoints,
        individuals=columns.individuals,
    )


def rows_to_times(numbers: np.ndarray, times: Any, fps: float | None, path: Path) -> np.ndarray:
    """Return the time of each row, s, from the frame numbers that its file has instead.

    Parameters
    ----------
    numbers
        ``(row,)`` frame numbers, ascending.
    times, fps
        See :func:`read_dlc_csv`.

    Raises
    ------
    DataError
        If neither or both are given, or the numbers do not fit.
    """
    if (times is None) == (fps is None):
        raise DataError(
            f"{path} holds frame numbers, not times: give either times (the video, or a time for "
            "each of its frames) or fps."
        )
    back = np.flatnonzero(np.diff(numbers) <= 0)
    if len(back):
        raise DataError(
            f"{path}: frame {numbers[back[0] + 1]} follows frame {numbers[back[0]]}; expected "
            "ascending frame numbers."
        )
    if fps is not None:
        return numbers / fps
    all_times = times.times if isinstance(times, FrameSource) else read_times(times)
    if len(numbers) and numbers[-1] >= len(all_times):
        raise DataError(
            f"{path} has a row for frame {numbers[-1]}, but the video has only {len(all_times)} "
            f"frames (0 to {len(all_times) - 1}). Does the file belong to this video?"
        )
    return all_times[numbers]


def write_dlc_csv(
    path: str | os.PathLike, keypoints: Keypoints, *, scorer: str = "tinbergen"
) -> None:
    """Write keypoints as a DeepLabCut CSV: a row a sample, numbered from 0.

    Numbers are written so that they read back to the last bit; missing ones are left empty. The
    ``individuals`` row is written where there are several animals, or one with a name. Times are
    not part of this format.
    """
    values, fields = values_and_fields(keypoints)
    write_keypoint_table(
        path,
        range(len(values)),
        values,
        fields,
        keypoints.individuals,
        keypoints.keypoints,
        scorer,
    )


def values_and_fields(keypoints: Keypoints) -> tuple[np.ndarray, list[str]]:
    """Return ``(time, individual, keypoint, field)`` and the fields: x, y[, z][, likelihood]."""
    values, fields = keypoints.positions, ["x", "y", "z"][: keypoints.positions.shape[3]]
    confidence = np.asarray(keypoints.confidence)
    if np.isfinite(confidence).any():
        values = np.concatenate([values, confidence[..., None]], axis=3)
        fields.append("likelihood")
    return values, fields
