"""Paired neural and pose recordings of an animal, as every objective takes them; no torch here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

import numpy as np

from tinbergen.errors import DataError
from tinbergen.recordings import Dataset, ImageSeries, Keypoints, Recording, Series, Spikes
from tinbergen.recordings.intervals import Bins, Intervals, nearest

_SLACK = 1.01  # of a frame interval; times are rounded somewhere


@dataclass(frozen=True, eq=False)
class Animal:
    """Neural frames and poses of one animal on one clock.

    Attributes
    ----------
    name
        Of the recording; an input layer of its own belongs to it.
    neural
        Traces ``(time, neuron)``, or images ``(time, height, width)``, which may be a memory map
        and is never loaded whole. NaN = not known.
    times
        ``(time,)`` float64, s, of the neural frames.
    pose
        ``(pose_time, column)`` float32, NaN = not known; or None, where only the neural side is.
    pose_times
        ``(pose_time,)`` float64, s.
    space
        2 or 3 where the columns of the pose are x, y(, z) of one keypoint after another; 0 for
        anything else, such as joint angles.
    subject
        The animal; default: ``name``. Several recordings of one animal are no strangers to each
        other: poses are only swapped between subjects.
    segment, pose_segment
        ``(time,)`` and ``(pose_time,)`` int: number of the trial or the unbroken stretch that a
        frame belongs to, on both sides the same; -1 = of none, never used. No window reaches from
        one into another. Default: from the gaps in the times.
    columns
        Names of the columns of the pose, which have to be the same in all animals; default: none.
    centre
        ``(time,)`` int: pose frame at the time of each neural frame; -1 = none within a frame
        interval, or of another segment. Default: the nearest in time.

    Raises
    ------
    DataError
        If lengths do not fit, or times run backwards.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> fly = Animal("fly1", rng.random((16, 40)), np.arange(16) / 16, rng.random((100, 6)),
    ...              np.arange(100) / 100)
    >>> fly.centre[:4].tolist()
    [0, 6, 12, 19]
    """

    name: str
    neural: np.ndarray
    times: np.ndarray
    pose: np.ndarray | None = None
    pose_times: np.ndarray | None = None
    space: int = 0
    subject: str = ""
    segment: np.ndarray = field(default=None)  # type: ignore[assignment]
    pose_segment: np.ndarray = field(default=None)  # type: ignore[assignment]
    centre: np.ndarray = field(default=None)  # type: ignore[assignment]
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        where = f"Animal {self.name!r}"
        if not hasattr(self.neural, "ndim"):
            object.__setattr__(self, "neural", np.asarray(self.neural))
        if self.neural.ndim not in (2, 3):
            raise DataError(
                f"{where}: expected traces (time, neuron) or images (time, height, width), found "
                f"shape {self.neural.shape}."
            )
        times = _times(self.times, len(self.neural), f"{where}, neural")
        put = {"times": times, "subject": self.subject or self.name}
        paired = self.pose is not None
        pose_times = np.zeros(0)
        if paired:
            pose = np.asarray(self.pose, np.float32)
            if pose.ndim != 2:
                raise DataError(f"{where}: expected pose (time, column), found {pose.shape}.")
            if self.space not in (0, 2, 3) or (self.space and pose.shape[1] % self.space):
                raise DataError(
                    f"{where}: {pose.shape[1]} columns are no keypoints of {self.space} numbers."
                )
            if self.columns and len(self.columns) != pose.shape[1]:
                raise DataError(
                    f"{where}: {pose.shape[1]} columns of the pose, {len(self.columns)} names."
                )
            given = times if self.pose_times is None else self.pose_times
            pose_times = _times(given, len(pose), f"{where}, pose")
            put |= {"pose": pose, "pose_times": pose_times}
        segment = self.segment
        if segment is None:
            valid = Intervals.of_samples(times)
            if paired:
                valid = valid & Intervals.of_samples(pose_times)
            segment = interval_of(valid, times)
            put["pose_segment"] = interval_of(valid, pose_times) if paired else np.zeros(0, int)
        elif self.pose_segment is None:
            put["pose_segment"] = _carried(np.asarray(segment), times, pose_times)
        put["segment"] = np.asarray(segment, np.int64)
        pose_segment = put.get("pose_segment", self.pose_segment)
        put["pose_segment"] = np.asarray(pose_segment, np.int64)
        if len(put["segment"]) != len(times) or len(put["pose_segment"]) != len(pose_times):
            raise DataError(f"{where}: expected a segment for each frame.")
        if self.centre is None:
            centre = nearest(pose_times, times, _SLACK * max(_step(times), _step(pose_times)))
        else:
            centre = np.asarray(self.centre, np.int64)
            if len(centre) != len(times) or (len(centre) and centre.max() >= len(pose_times)):
                raise DataError(
                    f"{where}: expected the pose frame of each of {len(times)} neural frames, "
                    f"below {len(pose_times)}; found {len(centre)} up to {centre.max(initial=-1)}."
                )
        if paired and not len(pose_times):
            centre = np.full(len(times), -1)
        elif paired:
            same = put["pose_segment"][np.maximum(centre, 0)] == put["segment"]
            centre = np.where(same & (put["segment"] >= 0), centre, -1)
        put["centre"] = centre
        for name, value in put.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.times)

    @property
    def images(self) -> bool:
        """Whether the neural side is images."""
        return self.neural.ndim == 3

    @cached_property
    def used(self) -> np.ndarray:
        """``(time,)`` bool: neural frames of a segment of which at least one neuron is known."""
        inside = self.segment >= 0
        return inside if self.images else inside & np.isfinite(self.neural).any(axis=1)

    @property
    def paired(self) -> np.ndarray:
        """``(n,)`` int: neural frames in use that have a pose."""
        return np.flatnonzero((self.centre >= 0) & self.used)

    def between(self, first: int, last: int) -> Self:
        """Return neural frames ``first <= frame < last`` and the poses of that time.

        Nothing outside is left in what is returned, so a model fitted to it cannot have seen it.
        """
        keep = slice(first, last)
        if not len(self.times[keep]):
            raise DataError(
                f"Animal {self.name!r}: no frame from {first} to {last}; it has {len(self)}."
            )
        if self.pose is None or self.pose_times is None:
            return replace(
                self, neural=self.neural[keep], times=self.times[keep],
                segment=self.segment[keep], centre=self.centre[keep],
            )  # fmt: skip
        half = _step(self.times) / 2
        start, stop = self.times[keep][[0, -1]] + (-half, half)
        a, b = np.searchsorted(self.pose_times, [start, stop])
        inside = self.centre[keep][self.centre[keep] >= 0]
        if len(inside):  # each frame keeps its own pose
            a, b = min(a, inside.min()), max(b, inside.max() + 1)
        centre = np.where(self.centre[keep] >= 0, self.centre[keep] - a, -1)
        return replace(
            self, neural=self.neural[keep], times=self.times[keep], segment=self.segment[keep],
            pose=self.pose[a:b], pose_times=self.pose_times[a:b],
            pose_segment=self.pose_segment[a:b], centre=centre,
        )  # fmt: skip

    def fingerprint(self) -> str:
        """SHA-256 of the content; of images, of frames spread over the recording."""
        digest = hashlib.sha256(self.name.encode())
        neural = self.neural
        if self.images:
            digest.update(str(neural.shape).encode())
            neural = neural[np.linspace(0, len(neural) - 1, min(len(neural), 64)).astype(int)]
        parts = [neural, self.times, self.segment, self.centre]
        parts += [] if self.pose is None else [self.pose, self.pose_times, self.pose_segment]
        for part in parts:
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()


def animals_of(
    data: Dataset | Mapping[str, Recording] | Iterable[Recording] | Recording,
    neural: str,
    pose: str | Sequence[str],
    *,
    bin_width: float | None = None,
    trials: str | None = None,
) -> list[Animal]:
    """Return the pairs of each recording, in the order of the dataset.

    Parameters
    ----------
    neural
        Stream of traces (Series), of images (ImageSeries), or of Spikes, which are counted in
        bins and square-rooted.
    pose
        Stream of Keypoints (the first individual), or of a Series; or several that share their
        times, whose columns are put side by side.
    bin_width
        Of spikes, s.
    trials
        Stream of trials, each of which is a segment; what lies outside is not used. Default: the
        unbroken stretches in which both streams were recorded.

    Raises
    ------
    DataError
        If a stream is missing or of a kind that is not named here.
    """
    if isinstance(data, Recording):
        data = [data]
    recordings = data.values() if isinstance(data, Mapping) else data
    return [_animal(r, neural, pose, bin_width, trials) for r in recordings]


def _animal(
    recording: Recording,
    neural: str,
    pose: str | Sequence[str],
    bin_width: float | None,
    trials: str | None,
) -> Animal:
    where = f"Recording {recording.name!r}"
    stream = recording[neural]
    if isinstance(stream, Spikes):
        if bin_width is None:
            raise DataError(f"{where}, {neural!r}: spikes need a bin_width in s.")
        bins = Bins.inside(stream.valid, bin_width)
        # The square root makes the variance of a count one for all rates.
        values, times = np.sqrt(stream.bin(bins)).astype(np.float32), bins.centers
    elif isinstance(stream, Series | ImageSeries):
        values, times = stream.values, stream.times
    else:
        raise DataError(
            f"{where}, {neural!r}: expected a Series, an ImageSeries or Spikes, found "
            f"{type(stream).__name__}."
        )
    names = [pose] if isinstance(pose, str) else list(pose)
    poses, columns, valid, space = [], [], stream.valid, set()
    pose_times = recording[names[0]].times
    for name in names:
        each = recording[name]
        if not isinstance(each, Keypoints | Series):
            raise DataError(
                f"{where}, {name!r}: expected Keypoints or a Series, found {type(each).__name__}."
            )
        if not np.array_equal(each.times, pose_times):
            raise DataError(f"{where}: {names[0]!r} and {name!r} have times of their own.")
        if isinstance(each, Keypoints):
            poses.append(each.positions[:, 0].reshape(len(each), -1))
            space.add(each.positions.shape[3])
            axes = "xyz"[: each.positions.shape[3]]
            columns += [f"{point} {axis}" for point in each.keypoints for axis in axes]
        else:
            poses.append(each.values)
            space.add(0)
            columns += each.channels
        valid = valid & each.valid
    if trials is not None:
        table = recording[trials].table
        spans = list(zip(table["start"], table["stop"], strict=True))
        segment, pose_segment = (_trial_of(spans, t, valid) for t in (times, pose_times))
    else:
        segment, pose_segment = interval_of(valid, times), interval_of(valid, pose_times)
    return Animal(
        recording.name, values, times, np.concatenate(poses, axis=1), pose_times,
        space.pop() if len(space) == 1 else 0, recording.subject or recording.name,
        segment, pose_segment, columns=tuple(columns),
    )  # fmt: skip


def check_same_pose(animals: Sequence[Animal]) -> None:
    """Refuse poses that are not of the same columns in the same order.

    Raises
    ------
    DataError
        Naming two animals and what differs.
    """
    kinds = {0: "no keypoints", 2: "keypoints of x and y", 3: "keypoints of x, y and z"}
    given = [(each, each.pose) for each in animals if each.pose is not None]
    for each, pose in given[1:]:
        first, theirs = given[0]
        if each.space != first.space:
            raise DataError(
                f"Animal {each.name!r}: its pose is {kinds[each.space]}, that of {first.name!r} "
                f"{kinds[first.space]}. Choose the same streams in all animals."
            )
        if pose.shape[1] != theirs.shape[1]:
            raise DataError(
                f"Animal {each.name!r}: its pose has {pose.shape[1]} columns, that of "
                f"{first.name!r} {theirs.shape[1]}. Choose keypoints or channels that all have."
            )
        check_columns(each.name, each.columns, repr(first.name), first.columns)


def check_columns(animal: str, columns: Sequence[str], other: str, theirs: Sequence[str]) -> None:
    """Refuse names of pose columns that differ, where both are known.

    Raises
    ------
    DataError
    """
    for i, (mine, name) in enumerate(zip(columns, theirs, strict=False)):
        if mine != name:
            raise DataError(
                f"Animal {animal!r}: column {i} of its pose is {mine!r}, that of {other} "
                f"{name!r}. Bring the same keypoints or channels into one order in all animals."
            )


def interval_of(valid: Intervals, times: np.ndarray) -> np.ndarray:
    """Return the number of the interval that each of ``times`` (s) lies in; -1 for none."""
    if not len(valid):
        return np.full(len(times), -1)
    at = np.searchsorted(valid.starts, times, side="right") - 1
    return np.where(valid.contains(times), at, -1)


def segment_bounds(segment: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and the last frame of the segment that each frame lies in, ``(n,)`` each.

    >>> first, last = segment_bounds(np.array([0, 0, 1, 1, 1]))
    >>> first.tolist(), last.tolist()
    ([0, 0, 2, 2, 2], [1, 1, 4, 4, 4])
    """
    edge = np.flatnonzero(np.diff(segment)) + 1
    starts, stops = np.append(0, edge), np.append(edge, len(segment))
    lengths = stops - starts
    return np.repeat(starts, lengths), np.repeat(stops - 1, lengths)


def window(centre: np.ndarray, length: int, stride: int = 1) -> np.ndarray:
    """Return the frames of windows around ``centre``, ``(..., length)``; not yet inside anything.

    >>> window(np.array(100), 8, 3).tolist()
    [88, 91, 94, 97, 100, 103, 106, 109]
    >>> window(np.array(100), 3, 3).tolist()
    [97, 100, 103]
    """
    return np.asarray(centre)[..., None] + (np.arange(length) - length // 2) * stride


def _trial_of(spans: list[tuple[float, float]], times: np.ndarray, valid: Intervals) -> np.ndarray:
    """Return the trial of each time, where trials may touch."""
    number = np.full(len(times), -1)
    for i, (start, stop) in enumerate(spans):
        a, b = np.searchsorted(times, [start, stop])
        number[a:b] = i
    # A trial that was interrupted is as many segments as it has unbroken stretches.
    stretch = interval_of(valid, times)
    return np.where((number >= 0) & (stretch >= 0), number * max(len(valid), 1) + stretch, -1)


def _carried(segment: np.ndarray, times: np.ndarray, pose_times: np.ndarray) -> np.ndarray:
    """Return the segments of poses from those of the neural frames nearest to them."""
    at = nearest(times, pose_times, _SLACK * max(_step(times), _step(pose_times)))
    return np.where(at >= 0, segment[np.maximum(at, 0)], -1)


def _times(times: Any, n: int, where: str) -> np.ndarray:
    times = np.asarray(times, np.float64)
    if times.shape != (n,):
        raise DataError(f"{where}: {n} frames, but times of shape {times.shape}.")
    if not np.isfinite(times).all() or (np.diff(times) < 0).any():
        raise DataError(f"{where}: times must be finite and ascending (s).")
    return times


def _step(times: np.ndarray) -> float:
    return float(np.median(np.diff(times))) if len(times) > 1 else 0.0
