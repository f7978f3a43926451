"""Which poses of other animals are like a pose: searched once, for all of training."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from scipy.spatial import KDTree

from tinbergen.errors import DataError
from tinbergen.files import write_json

_CHUNK = 512  # rows that exact distances are computed of at once: they stay in the cache
_LEAF = 32  # poses a leaf of a tree; half the time of SciPy's 10 on large banks
_SAMPLE = 1000  # rows an animal that the diagnostics look at
_SPREAD = 20000  # rows that principal components are found from
FAR = 2.0
"""Ratio of nearest distances from which on :meth:`Neighbours.warn_if_far` warns; a rule of thumb.

Of the few sets that were tried, swapping did not help worms at 1.5, and helped simulated animals
at 9 whose poses differ by an offset alone.
"""


@dataclass(frozen=True)
class Neighbours:
    """Candidates of every pose in every other animal, and how near they are.

    Attributes
    ----------
    rows
        ``(pose_row, donor, candidate)`` int32, nearest first; -1 where a pose has none, because a
        column is missing or it lies in no segment.
    log_weights
        ``(pose_row, donor, candidate)`` float16: of the candidate against the nearest.
    donors
        ``(animal,)`` int64: number of donors, which are the animals of other subjects in order.
    donor_ids
        ``(animal, donor)`` int64: which these are; -1 = none.
    bandwidth
        That distances were divided by.
    cross, within
        ``(animal,)`` median distance from a pose to the nearest of another animal, mean over
        these, and to the nearest of its own in another part of the recording. Both banks are as
        large.
    """

    rows: np.ndarray
    log_weights: np.ndarray
    donors: np.ndarray
    donor_ids: np.ndarray
    bandwidth: float
    cross: np.ndarray
    within: np.ndarray

    @property
    def ratio(self) -> float:
        """Nearest distance across animals over that within an animal, median over animals."""
        ratios = self.cross / np.maximum(self.within, 1e-12)
        return float(np.nanmedian(ratios)) if np.isfinite(ratios).any() else float("nan")

    def warn_if_far(self) -> None:
        """Warn where poses of other animals may be too far away to stand for an animal's own."""
        if self.ratio > FAR:
            warnings.warn(
                f"The nearest pose of another animal is {self.ratio:.1f} times as far away as the "
                "nearest of the same animal. A swapped pose may show another action, or who it is "
                "from. The ratio alone does not tell whether swapping helps: compare with "
                "swap.pose and swap.neural set to 0. Longer recordings, and poses in the animal's "
                "own frame and units, bring animals nearer.",
                stacklevel=2,
            )


def find_neighbours(
    pose: np.ndarray,
    animal: np.ndarray,
    subjects: Sequence[str],
    *,
    segment: np.ndarray | None = None,
    neighbours: int = 128,
    half_width: int = 0,
    bandwidth: float | None = None,
    components: int = 8,
    cache: str | os.PathLike | None = None,
) -> Neighbours:
    """Search the poses of other animals that are like each pose.

    Candidates come from a k-d tree in the first principal components, O(T log T); their order and
    weights from the distances in all columns. No more than ``pose_row * max(neighbours, donors)``
    entries of 6 bytes are held.

    Parameters
    ----------
    pose
        ``(pose_row, column)`` standardised poses of all animals; NaN = missing.
    animal
        ``(pose_row,)`` number of the animal, ascending.
    subjects
        Subject of each animal; a donor is an animal of another subject.
    segment
        ``(pose_row,)``; -1 = not used. Windows end at its borders.
    neighbours
        Candidates a pose, shared out evenly among the donors.
    half_width
        Frames to each side that are compared along.
    bandwidth
        Divides distances; default: the median distance to the nearest candidate.
    components
        To search in.
    cache
        Folder that tables are kept in, by their content.

    Raises
    ------
    DataError
        If there is only one subject, or one without a whole pose.
    """
    pose = np.asarray(pose, np.float32)
    animal = np.asarray(animal)
    segment = animal if segment is None else np.asarray(segment)
    if len(set(subjects)) < 2:
        raise DataError("Swapping needs at least two animals; set swap.pose and swap.neural to 0.")
    settings = [list(subjects), neighbours, half_width, bandwidth, components]
    key = _key(pose, animal, segment, settings)
    folder = None if cache is None else Path(cache) / f"neighbours-{key[:24]}"
    if folder is not None and folder.is_dir():
        return _read(folder)
    found = _search(pose, animal, subjects, segment, neighbours, half_width, bandwidth, components)
    if folder is not None:
        _write(folder, found)
    return found


def _search(
    pose: np.ndarray,
    animal: np.ndarray,
    subjects: Sequence[str],
    segment: np.ndarray,
    neighbours: int,
    half_width: int,
    bandwidth: float | None,
    components: int,
) -> Neighbours:
    whole = _windows(pose, animal, segment, half_width)
    usable = np.isfinite(whole).all(axis=1) & (segment >= 0)
    own = [np.flatnonzero(usable & (animal == i)) for i in range(len(subjects))]
    if empty := [subjects[i] for i, rows in enumerate(own) if not len(rows)]:
        raise DataError(f"Animal {empty[0]!r} has no frame in which the whole pose is known.")
    low = _principal(whole, np.concatenate(own), components)
    trees = [KDTree(low[rows], leafsize=_LEAF) for rows in own]
    donors_of = [[j for j, s in enumerate(subjects) if s != subjects[i]] for i in range(len(own))]
    n_donors = max(map(len, donors_of))
    each = min(max(neighbours // n_donors, 1), min(map(len, own)))
    rows = np.full((len(pose), n_donors, each), -1, np.int32)
    distances = np.zeros(rows.shape, np.float16)
    nearest, ranks = [], cast(Any, range(1, each + 1))  # also with one, a table
    for i, mine in enumerate(own):
        for d, j in enumerate(donors_of[i]):
            for start in range(0, len(mine), _CHUNK):
                part = mine[start : start + _CHUNK]
                candidates = own[j][np.asarray(trees[j].query(low[part], k=ranks)[1])]
                gaps = whole[candidates]
                gaps -= whole[part][:, None]
                distance = np.sqrt(np.square(gaps, out=gaps).sum(axis=2))
                order = np.argsort(distance, axis=1, kind="stable")
                rows[part, d] = np.take_along_axis(candidates, order, axis=1)
                distance = np.take_along_axis(distance, order, axis=1)
                nearest.append(distance[:, 0])
                distances[part, d] = distance - distance[:, :1]
    width = bandwidth or float(np.median(np.concatenate(nearest))) or 1.0
    cross, within = _near_and_far(whole, low, own, donors_of)
    log_weights = distances
    for start in range(0, len(pose), _CHUNK):  # a narrow width would be 0 as float16
        part = log_weights[start : start + _CHUNK]
        part[:] = np.maximum(part.astype(np.float32) / -width, np.finfo(np.float16).min)
    donors = np.array([len(each) for each in donors_of])
    donor_ids = np.array([each + [-1] * (n_donors - len(each)) for each in donors_of])
    return Neighbours(rows, log_weights, donors, donor_ids, width, cross, within)


def _windows(
    pose: np.ndarray, animal: np.ndarray, segment: np.ndarray, half_width: int
) -> np.ndarray:
    """Return poses with those around them, ``(pose_row, columns)``."""
    if not half_width:
        return pose
    edge = np.flatnonzero((np.diff(segment) != 0) | (np.diff(animal) != 0)) + 1
    starts, stops = np.append(0, edge), np.append(edge, len(pose))
    first, last = (np.repeat(x, stops - starts) for x in (starts, stops - 1))
    around = np.arange(len(pose))[:, None] + np.arange(-half_width, half_width + 1)
    return pose[np.clip(around, first[:, None], last[:, None])].reshape(len(pose), -1)


def _principal(whole: np.ndarray, rows: np.ndarray, components: int) -> np.ndarray:
    """Return the first principal components of all rows; found from some that are whole."""
    some = whole[rows[np.linspace(0, len(rows) - 1, min(len(rows), _SPREAD)).astype(int)]]
    mean = some.mean(axis=0)
    _, axes = np.linalg.eigh(np.cov(some - mean, rowvar=False).reshape(2 * (some.shape[1],)))
    return (whole - mean) @ axes[:, ::-1][:, :components].astype(np.float32)


def _near_and_far(
    whole: np.ndarray, low: np.ndarray, own: list[np.ndarray], donors_of: list[list[int]]
) -> tuple[np.ndarray, np.ndarray]:
    """Distances from the later half of each animal to the earlier halves, its own and others'."""
    halves = [np.array_split(rows, 2) for rows in own]
    size = min(len(early) for early, _ in halves)
    banks = [early[np.linspace(0, len(early) - 1, size).astype(int)] for early, _ in halves]
    trees = [KDTree(low[bank], leafsize=_LEAF) for bank in banks]

    def median(i: int, j: int) -> float:
        late = halves[i][1]
        asked = late[np.linspace(0, len(late) - 1, min(len(late), _SAMPLE)).astype(int)]
        near = np.atleast_1d(trees[j].query(low[asked])[1])
        gaps = whole[asked] - whole[banks[j][near]]
        return float(np.median(np.sqrt(np.square(gaps).sum(axis=1))))

    if not size or not all(len(late) for _, late in halves):
        return np.full(len(own), np.nan), np.full(len(own), np.nan)
    within = np.array([median(i, i) for i in range(len(own))])
    cross = np.array([np.mean([median(i, j) for j in js]) for i, js in enumerate(donors_of)])
    return cross, within


def _key(pose: np.ndarray, animal: np.ndarray, segment: np.ndarray, settings: list) -> str:
    digest = hashlib.sha256(json.dumps(settings).encode())
    for array in (pose, animal.astype(np.int64), segment.astype(np.int64)):
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


_ARRAYS = ("rows", "log_weights", "donors", "donor_ids", "cross", "within")


def _write(folder: Path, found: Neighbours) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        for name in _ARRAYS:
            np.save(building / f"{name}.npy", getattr(found, name))
        write_json(building / "bandwidth.json", {"bandwidth": found.bandwidth})
        os.replace(building, folder)
    except OSError:  # another process was first, with the same table
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _read(folder: Path) -> Neighbours:
    arrays = {name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in _ARRAYS}
    bandwidth = json.loads((folder / "bandwidth.json").read_text(encoding="utf-8"))["bandwidth"]
    return Neighbours(**arrays, bandwidth=bandwidth)
