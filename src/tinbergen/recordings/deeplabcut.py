"""DeepLabCut's files of tracked keypoints, CSV and HDF5, read strictly and written exactly."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from tinbergen.errors import DataError, MissingFileError
from tinbergen.recordings.frames import FrameSource
from tinbergen.recordings.keypoint_table import (
    KeypointColumns,
    parse_header,
    read_keypoint_table,
    write_keypoint_table,
)
from tinbergen.recordings.keypoints import Keypoints
from tinbergen.recordings.plain_pickle import read_plain_pickle
from tinbergen.recordings.sidecar import read_times


def read_dlc_csv(
    path: str | os.PathLike,
    times: FrameSource | np.ndarray | str | os.PathLike | None = None,
    *,
    fps: float | None = None,
) -> Keypoints:
    """Read tracked keypoints from a DeepLabCut CSV (2, 3 or 4 header rows; several animals).

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
    return _keypoints(table.columns, table.values, numbers, times, fps, Path(path))


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


def _keypoints(
    columns: KeypointColumns,
    values: np.ndarray,
    numbers: np.ndarray,
    times: Any,
    fps: float | None,
    path: Path,
) -> Keypoints:
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
    values, fields = keypoints.positions, ["x", "y", "z"][: keypoints.positions.shape[3]]
    confidence = np.asarray(keypoints.confidence)
    if np.isfinite(confidence).any():
        values = np.concatenate([values, confidence[..., None]], axis=3)
        fields.append("likelihood")
    write_keypoint_table(
        path,
        range(len(values)),
        values,
        fields,
        keypoints.individuals,
        keypoints.keypoints,
        scorer,
    )


def read_dlc_h5(
    path: str | os.PathLike,
    times: FrameSource | np.ndarray | str | os.PathLike | None = None,
    *,
    fps: float | None = None,
) -> Keypoints:
    """Read tracked keypoints from DeepLabCut's HDF5 (pandas ``table`` format).

    Rows that name images (``.../0050.png``) are taken in their order, the first at frame 0. For
    ``times`` and ``fps`` see :func:`read_dlc_csv`. Pandas stores column names as pickles; they are
    read by a parser that knows plain values only and never runs anything.

    Raises
    ------
    MissingFileError, DataError
    """
    import h5py

    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"Expected a DeepLabCut .h5 at {path}, found none.")
    try:
        with h5py.File(path, "r") as file:
            groups: list[Any] = list(file.values())
            tables = [group["table"] for group in groups if "table" in group]
            if len(tables) != 1:
                raise DataError(f"{path}: expected one pandas table, found {len(tables)}.")
            rows = tables[0][:]
            blocks = [name for name in rows.dtype.names if name.startswith("values_block")]
            columns = [
                column
                for name in blocks
                for column in read_plain_pickle(tables[0].attrs[f"{name}_kind"])
            ]
    except (OSError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{path} is not a DeepLabCut .h5 (pandas table): {error}. Use the .csv beside it."
        ) from error
    values = np.concatenate([rows[name].reshape(len(rows), -1) for name in blocks], axis=1)
    names = ["scorer", "individuals", "bodyparts", "coords"]
    if len(columns[0]) == 3:
        names.remove("individuals")
    header = {name: [str(c[level]) for c in columns] for level, name in enumerate(names)}
    index = rows["index"]
    is_number = np.issubdtype(index.dtype, np.integer)
    numbers = index if is_number else np.arange(len(rows))
    return _keypoints(parse_header(header, str(path)), values, numbers, times, fps, path)
