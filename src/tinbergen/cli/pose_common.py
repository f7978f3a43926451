"""What verbs of ``tinbergen pose`` have in common."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tinbergen.cli.common import refuse_existing

if TYPE_CHECKING:
    from tinbergen.recordings import Keypoints, Video


def clock_of(video: Path | None, fps: float | None) -> Video | None:
    """Open the video that gives a table its times; None where it is to be frames per second.

    Raises
    ------
    ConfigError
        If both are given, or neither.
    """
    from tinbergen.errors import ConfigError
    from tinbergen.recordings import Video

    if (fps is None) == (video is None):
        raise ConfigError("Tables hold no times: give either --video or --fps.")
    return None if video is None else Video(video)


def read_frames(table: Path, video: Video | None, fps: float | None = None) -> Keypoints:
    """Read a table of a video with a row for each of its frames; NaN where the table has none.

    Raises
    ------
    DataError
        If the table has frames that the video lacks.
    """
    import numpy as np

    from tinbergen.errors import DataError
    from tinbergen.recordings import Keypoints, read_keypoints

    found = read_keypoints(table, fps=1.0)
    numbers = np.rint(found.times).astype(int)
    last = int(numbers[-1]) if len(numbers) else -1
    if video is not None and last >= len(video):
        raise DataError(
            f"{table} goes up to frame {last}, but {video.path} has {len(video)} frames (numbered "
            "from 0). Is it the table of this video?"
        )
    times = np.arange(last + 1) / (fps or 1.0) if video is None else video.times
    positions = np.full((len(times), *found.positions.shape[1:]), np.nan)
    confidence = np.full((len(times), *found.confidence.shape[1:]), np.nan)
    positions[numbers], confidence[numbers] = found.positions, found.confidence
    return Keypoints(times, positions, confidence, found.keypoints, found.individuals)


def table_writer(out: Path, overwrite: bool) -> Callable[[Path, Keypoints], None]:
    """Return what writes tracks to ``out``, by its ending.

    Raises
    ------
    ConfigError
        For an ending that is not written.
    OutputError
        If ``out`` exists and is not to be replaced.
    """
    from tinbergen.errors import ConfigError
    from tinbergen.recordings import write_dlc_csv, write_dlc_h5

    writers = {".csv": write_dlc_csv, ".h5": write_dlc_h5}
    kind = out.suffix.lower()
    if kind not in writers:
        raise ConfigError(
            f"{out}: tracks are written as .csv or .h5, not as {kind or 'no ending'!r}; "
            "'tinbergen pose convert' makes other formats of them."
        )
    refuse_existing(out, overwrite)
    return writers[kind]
