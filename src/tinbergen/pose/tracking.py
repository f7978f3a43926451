"""Tracklets: the same animal from frame to frame, as far as that is beyond doubt.

Each tracklet predicts where its animal will be: a Kalman filter with constant velocity moves its
last pose along. Predictions and finds are paired by object keypoint similarity (Hungarian method).
Where two animals lie on top of each other, tracklets end rather than guess; what follows is
decided on the whole recording (:mod:`tinbergen.pose.stitching`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tinbergen.errors import DataError
from tinbergen.metrics.instances import matched, oks, present

_SIGMA = 0.2  # of the similarity: animals move between frames
_LEAST = 0.1  # similarity
_DOUBT = 0.5  # of the similarity of a pair: another one as good as this leaves doubt
_ACCELERATION = 10.0  # body lengths / s^2, standard deviation
_MEASURED = 0.05  # body lengths, of where a pose is
_COASTING_S = 0.2


class Motion:
    """Kalman filter of where an animal is, with constant velocity.

    White acceleration noise of density q; x and y are alike and share their covariance.

    Parameters
    ----------
    position
        ``(2,)`` px.
    acceleration
        q, px^2 / s^3.
    measured
        Variance of a measurement, px^2.

    Attributes
    ----------
    mean
        ``(2, 2)``: position (px) and velocity (px / s), of x and y.
    covariance
        ``(2, 2)`` of position and velocity.
    """

    def __init__(self, position: np.ndarray, acceleration: float, measured: float):
        self.acceleration, self.measured = acceleration, measured
        self.mean = np.stack([position, np.zeros(2)])
        # As fast as it gets within a second.
        self.covariance = np.diag([measured, acceleration])

    def ahead(self, seconds: float) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and covariance ``seconds`` later."""
        step = np.array([[1.0, seconds], [0.0, 1.0]])
        t = np.array([[seconds**3 / 3, seconds**2 / 2], [seconds**2 / 2, seconds]])
        return step @ self.mean, step @ self.covariance @ step.T + self.acceleration * t

    def places_ahead(self, seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the animal is at several later times.

        Returns
        -------
        mean : ``(n, 2)`` px.
        variance : ``(n,)`` px^2, of each coordinate.
        """
        (position, both), (_, velocity) = self.covariance
        variance = position + 2 * seconds * both + seconds**2 * velocity
        mean = self.mean[0] + seconds[:, None] * self.mean[1]
        return mean, variance + self.acceleration * seconds**3 / 3

    def update(self, seconds: float, position: np.ndarray) -> None:
        """Take in where the animal is ``seconds`` after the last time."""
        mean, covariance = self.ahead(seconds)
        gain = covariance[:, 0] / (covariance[0, 0] + self.measured)
        self.mean = mean + gain[:, None] * (position - mean[0])
        self.covariance = covariance - np.outer(gain, covariance[0])


@dataclass(eq=False)
class Tracklet:
    """Finds of one animal.

    Attributes
    ----------
    frames, rows
        Frame numbers, and which of the frame's individuals it is.
    motion
        At the last of them.
    pose
        ``(keypoint, 2)`` px, the last that is known of each keypoint.
    """

    motion: Motion
    pose: np.ndarray
    frames: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)

    def predicted(self, seconds: float) -> np.ndarray:
        """Pose ``seconds`` after the last find, ``(keypoint, 2)`` px."""
        return self.pose + self.motion.ahead(seconds)[0][0] - self.motion.mean[0]


@dataclass(frozen=True)
class Scale:
    """What is large and what is fast, for these animals.

    Attributes
    ----------
    length, area
        Of an animal: the longer side of the box around it (px), and that box (px^2); medians.
    """

    length: float
    area: float

    @classmethod
    def of(cls, positions: np.ndarray) -> Scale:
        """Measure ``(time, individual, keypoint, 2)`` px.

        Raises
        ------
        DataError
            If there is no animal, or it has only one keypoint.
        """
        flat = positions.reshape(-1, *positions.shape[2:])
        flat = flat[np.isfinite(flat).all(axis=-1).sum(axis=-1) >= 2]
        if not len(flat):
            raise DataError(
                "Tracking takes the size of the animals from their keypoints: expected frames "
                "with two keypoints of an animal, found none."
            )
        sides = np.nanmax(flat, axis=1) - np.nanmin(flat, axis=1)
        area = float(np.median(sides.prod(axis=-1)))
        return cls(max(float(np.median(sides.max(axis=-1))), 1.0), max(area, 1.0))

    def motion(self, position: np.ndarray) -> Motion:
        """Return a filter that starts at ``position``."""
        acceleration, measured = _ACCELERATION * self.length, _MEASURED * self.length
        return Motion(position, acceleration**2, measured**2)


def link(times: np.ndarray, positions: np.ndarray, scale: Scale) -> list[Tracklet]:
    """Link finds to tracklets.

    Parameters
    ----------
    times
        ``(time,)`` s.
    positions
        ``(time, individual, keypoint, 2)`` px, in any order of the individuals; NaN = missing.

    Returns
    -------
    list of Tracklet
        Every find belongs to one.
    """
    coasting = max(_COASTING_S, 2.5 * float(np.median(np.diff(times)))) if len(times) > 1 else 0.0
    there = present(positions)
    centres = mean_positions(positions)
    active: list[Tracklet] = []
    done: list[Tracklet] = []
    for frame in range(len(times)):
        rows = np.flatnonzero(there[frame])
        old = [t for t in active if times[frame] - times[t.frames[-1]] > coasting]
        done += old
        active = [t for t in active if t not in old]
        since = [times[frame] - times[t.frames[-1]] for t in active]
        poses = [t.predicted(s) for t, s in zip(active, since, strict=True)]
        similar = _similarity(positions[frame, rows], poses, scale.area)
        pairs = dict(zip(*matched(similar, _LEAST), strict=True))
        ended = []
        for find, row in enumerate(rows):
            place = pairs.get(find)
            if place is None or _doubtful(similar, find, place):
                ended += [] if place is None else [active[place]]
                tracklet = Tracklet(scale.motion(centres[frame, row]), positions[frame, row])
                active.append(tracklet)
            else:
                tracklet = active[place]
                tracklet.motion.update(since[place], centres[frame, row])
                known = np.isfinite(positions[frame, row])
                tracklet.pose = np.where(known, positions[frame, row], poses[place])
            tracklet.frames.append(frame)
            tracklet.rows.append(int(row))
        done += ended
        active = [t for t in active if t not in ended]
    return done + active


def mean_positions(positions: np.ndarray) -> np.ndarray:
    """Mean of the keypoints that are there, ``(..., 2)`` px; NaN where none is."""
    known = np.isfinite(positions).all(axis=-1, keepdims=True)
    count = known.sum(axis=-2)
    total = np.where(known, positions, 0.0).sum(axis=-2)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _similarity(finds: np.ndarray, poses: list[np.ndarray], area: float) -> np.ndarray:
    """OKS of each find with each predicted pose, over the keypoints of the find."""
    if not len(finds) or not poses:
        return np.zeros((len(finds), len(poses)))
    expected = np.where(np.isfinite(finds)[:, None], np.stack(poses)[None], np.nan)
    areas = np.full(expected.shape[:2], area)
    return np.nan_to_num(oks(finds[:, None], expected, _SIGMA, areas))


def _doubtful(similar: np.ndarray, find: int, place: int) -> bool:
    """Whether the find, or the tracklet, would go about as well with another one."""
    rivals = np.concatenate([np.delete(similar[find], place), np.delete(similar[:, place], find)])
    return bool((rivals > _DOUBT * similar[find, place]).any())
