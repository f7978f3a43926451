"""Which frames of a video are neighbours: a fixed step apart, with nothing broken in between."""

from __future__ import annotations

from typing import Literal

import numpy as np

from tinbergen.recordings import FrameSource, ImageFolder

OffsetUnit = Literal["frames", "seconds"]

_LONGEST_STEP = 1.5  # median frame intervals; one dropped frame is two of them


def stretches_of(video: FrameSource, status: np.ndarray) -> np.ndarray:
    """Unbroken stretches of a video, or of a folder of images by the numbers in their names."""
    numbers = video.numbers if isinstance(video, ImageFolder) else None
    return unbroken_stretches(video.times, status, numbers)


def frame_interval(times: np.ndarray) -> float:
    """Median time between two frames, s; NaN with fewer than two."""
    return float(np.median(np.diff(times))) if len(times) > 1 else float("nan")


def damaged_spans(status: np.ndarray) -> np.ndarray:
    """Return first and last frame of each stretch of damaged frames, ``(k, 2)`` int64.

    Examples
    --------
    >>> damaged_spans(np.array([0, 1, 1, 0, 2])).tolist()
    [[1, 2], [4, 4]]
    """
    edges = np.diff((np.asarray(status) != 0).astype(np.int8), prepend=0, append=0)
    return np.stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1], axis=1)


def unbroken_stretches(
    times: np.ndarray, status: np.ndarray, numbers: np.ndarray | None = None
) -> np.ndarray:
    """Count the stretches of frames that follow each other without damage or a gap in time.

    Parameters
    ----------
    times
        ``(n,)`` s, ascending.
    status
        ``(n,)``; 0 is a sound frame.
    numbers
        ``(n,)`` frame numbers in the video that images were exported from; a stretch ends where
        one is left out.

    Returns
    -------
    ``(n,)`` int32: number of the stretch, from 0 up; -1 for a damaged frame.

    Examples
    --------
    >>> times = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.7, 0.8])
    >>> unbroken_stretches(times, np.array([0, 0, 1, 0, 0, 0, 0])).tolist()
    [0, 0, -1, 1, 1, 2, 2]
    """
    sound = np.asarray(status) == 0
    if not len(sound):
        return np.zeros(0, np.int32)
    starts = np.ones(len(sound), bool)
    late = np.diff(times) > _LONGEST_STEP * frame_interval(times)
    starts[1:] = ~sound[:-1] | late
    if numbers is not None:
        starts[1:] |= np.diff(numbers) != 1
    number = np.cumsum(starts & sound, dtype=np.int32) - 1
    return np.where(sound, number, -1).astype(np.int32)


def following(
    frames: np.ndarray,
    times: np.ndarray,
    stretch: np.ndarray,
    offset: float,
    unit: OffsetUnit = "frames",
    interval: float | np.ndarray = float("nan"),
) -> np.ndarray:
    """For every row, the row that lies one offset later in the same unbroken stretch.

    No two rows have the same follower, so following it again and again never branches. An offset
    in seconds means the frame nearest to it, no further off than half a frame interval.

    Parameters
    ----------
    frames, times, stretch
        ``(n,)`` frame number, time (s) and stretch; rows in ascending order of (stretch, frame),
        but for rows of stretch -1 (damaged), which may stand anywhere and have no neighbour.
    offset, unit
        How far, in frames or in seconds; above 0.
    interval
        Frame interval (s) of each row's video; needed for an offset in seconds.

    Returns
    -------
    ``(n,)`` int64; -1 where there is none.

    Examples
    --------
    >>> n = np.arange(5)
    >>> following(n, n / 10, np.array([0, 0, 0, 1, 1]), 1).tolist()
    [1, 2, -1, 4, -1]
    """
    result = np.full(len(frames), -1, np.int64)
    rows = np.flatnonzero(np.asarray(stretch) >= 0)
    if not len(rows):
        return result
    if unit == "frames":
        place, step, near = np.asarray(frames)[rows], int(offset), 0
    else:  # whole microseconds, so that stretch and time fit one sortable integer without rounding
        place = np.round(np.asarray(times)[rows] * 1e6).astype(np.int64)
        step = round(offset * 1e6)
        half = np.broadcast_to(np.asarray(interval) / 2, np.shape(frames))[rows]
        near = np.round(np.nan_to_num(half) * 1e6).astype(np.int64) + 1
    place = place - place.min()
    stretch = np.asarray(stretch)[rows].astype(np.int64)
    key = stretch * (int(place.max()) + step + 2 * int(np.max(near)) + 2) + place
    ahead, behind = _nearest(key, key + step, near), _nearest(key, key - step, near)
    here = np.arange(len(rows))
    mutual = (ahead > here) & (behind[ahead] == here) & (stretch[ahead] == stretch)
    result[rows[mutual]] = rows[ahead[mutual]]
    return result


def preceding(after: np.ndarray) -> np.ndarray:
    """Invert :func:`following`: for every row, the row whose follower it is, or -1."""
    before = np.full(len(after), -1, np.int64)
    has = np.flatnonzero(after >= 0)
    before[after[has]] = has
    return before


def _nearest(key: np.ndarray, target: np.ndarray, tolerance: int | np.ndarray) -> np.ndarray:
    """Index into ascending ``key`` nearest to each target (the lower if two are), or -1."""
    right = np.searchsorted(key, target).clip(0, len(key) - 1)
    left = (right - 1).clip(0)
    best = np.where(np.abs(key[left] - target) <= np.abs(key[right] - target), left, right)
    return np.where(np.abs(key[best] - target) <= tolerance, best, -1)
