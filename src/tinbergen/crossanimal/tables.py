"""The frames of all animals in one table each, so that a batch is arithmetic on row numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from tinbergen.crossanimal.pairs import Animal, segment_bounds
from tinbergen.errors import DataError
from tinbergen.metrics.known import known_moments

_CONSTANT = 1e-6
_SAMPLE = 256  # frames that the statistics of images are taken from


@dataclass(frozen=True)
class Scaling:
    """Mean and spread that each animal is measured by.

    Attributes
    ----------
    mean, scale
        ``(animal, neuron)`` of traces, padded with 0 and 1, or ``(animal, 1)`` of images.
    pose_mean, pose_scale
        ``(animal, column)``.
    axes
        ``(column, component)``: what standardised poses are multiplied with to be whitened; no
        components, if they are not.
    """

    mean: np.ndarray
    scale: np.ndarray
    pose_mean: np.ndarray
    pose_scale: np.ndarray
    axes: np.ndarray

    @classmethod
    def of(cls, animals: Sequence[Animal], by_animal: bool = True, whiten: int = 0) -> Scaling:
        """Measure animals.

        ``by_animal``: whether poses are measured by themselves, or all together; ``whiten``: how
        many principal components, of all together, to whiten.
        """
        width = 1 if animals[0].images else max(a.neural.shape[1] for a in animals)
        mean = np.zeros((len(animals), width), np.float32)
        scale = np.ones_like(mean)
        for i, animal in enumerate(animals):
            m, s = image_moments(animal) if animal.images else _neuron_moments(animal)
            mean[i, : len(m)], scale[i, : len(m)] = m, s
        poses = [_used_pose(a) for a in animals]
        measured = poses if by_animal else [np.concatenate(poses)] * len(animals)
        moments = [_moments(pose) for pose in measured]
        standard = [(p - m) / s for p, (m, s) in zip(poses, moments, strict=True)]
        axes = _whitening(np.concatenate(standard), whiten)
        pose_mean, pose_scale = (np.stack([each[i] for each in moments]) for i in (0, 1))
        return cls(mean, scale, pose_mean, pose_scale, axes)


def _whitening(pose: np.ndarray, components: int) -> np.ndarray:
    """Return axes ``(column, component)`` along which standardised poses have unit variance."""
    known = np.nan_to_num(pose, nan=0.0, posinf=0.0, neginf=0.0).astype(np.float64)
    if not components:
        return np.zeros((pose.shape[1], 0), np.float32)
    values, vectors = np.linalg.eigh(known.T @ known / len(known))
    order = np.argsort(-values, kind="stable")[:components]
    order = order[values[order] > _CONSTANT * values.max()]
    return (vectors[:, order] / np.sqrt(values[order])).astype(np.float32)


def _neuron_moments(animal: Animal) -> tuple[np.ndarray, np.ndarray]:
    """Mean and spread; of a neuron that is never known here infinite: it is to have no say."""
    used = animal.neural[animal.segment >= 0]
    mean, scale = _moments(used)
    return mean, np.where(np.isfinite(used).any(axis=0), scale, np.inf).astype(np.float32)


def _used_pose(animal: Animal) -> np.ndarray:
    if animal.pose is None:
        raise DataError(f"Animal {animal.name!r} has no pose, so nothing can be learnt from it.")
    return animal.pose[animal.pose_segment >= 0]


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, spread = known_moments(values)
    return mean.astype(np.float32), np.where(spread > _CONSTANT, spread, 1).astype(np.float32)


def image_moments(animal: Animal) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and spread of all pixels, ``(1,)`` each, of frames spread over a recording."""
    rows = np.flatnonzero(animal.segment >= 0)
    chosen = rows[np.linspace(0, len(rows) - 1, min(len(rows), _SAMPLE)).astype(int)]
    return _moments(np.asarray(animal.neural[chosen], np.float32).reshape(-1, 1))


def standardised(values: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return traces ``(time, neuron)`` in their own units, a missing value at the mean.

    Where a part of the neurons is missing, the others count for more, so that the sum that an
    input layer takes is of one size.
    """
    x = (np.asarray(values, np.float32) - mean) / scale
    seen = np.isfinite(x)
    if seen.all():
        return x
    there = seen.sum(axis=1, keepdims=True)
    return np.where(seen, x, 0) * (x.shape[1] / np.maximum(there, 1)).astype(np.float32)


@dataclass(frozen=True)
class Tables:
    """Rows of all animals, one after another.

    Attributes
    ----------
    neural
        ``(row, neuron)`` standardised traces, padded with 0; no columns for images, which stay
        where they are.
    animal
        ``(row,)`` number of the animal.
    first, last
        ``(row,)`` of the segment that a row lies in.
    centre
        ``(row,)`` pose row; -1 = none.
    pose
        ``(pose_row, column)`` standardised, missing = 0.
    seen
        ``(pose_row, column)`` bool, what was not missing; no columns where nothing was.
    pose_used
        ``(pose_row,)`` bool, whether it lies in a segment.
    pose_first, pose_last, pose_animal
        As above, ``(pose_row,)``.
    row_of_pose
        ``(pose_row,)`` neural row at the time of a pose; -1 = none.
    rate
        ``(animal,)`` neural frames/s.
    """

    neural: Tensor
    animal: Tensor
    first: Tensor
    last: Tensor
    centre: Tensor
    pose: Tensor
    seen: Tensor
    pose_used: Tensor
    pose_animal: Tensor
    pose_first: Tensor
    pose_last: Tensor
    row_of_pose: Tensor
    rate: Tensor

    @classmethod
    def of(cls, animals: Sequence[Animal], scaling: Scaling) -> Tables:
        """Lay out animals, whose ``i``-th is measured by row ``i`` of the scaling."""
        images = animals[0].images
        n = sum(len(a) for a in animals)
        neural = np.zeros((n, 0 if images else scaling.mean.shape[1]), np.float32)
        parts: dict[str, list[np.ndarray]] = {f.name: [] for f in fields(cls)}
        row = pose_row = 0
        for i, each in enumerate(animals):
            if not images:
                width = each.neural.shape[1]
                mean, scale = scaling.mean[i, :width], scaling.scale[i, :width]
                neural[row : row + len(each), :width] = standardised(each.neural, mean, scale)
            pose = np.zeros((0, scaling.pose_mean.shape[1]), np.float32)
            if each.pose is not None:
                pose = (each.pose - scaling.pose_mean[i]) / scaling.pose_scale[i]
            lo, hi = segment_bounds(each.segment)
            pose_lo, pose_hi = segment_bounds(each.pose_segment)
            put = {
                "animal": np.full(len(each), i), "first": lo + row, "last": hi + row,
                "centre": np.where(each.centre >= 0, each.centre + pose_row, -1),
                "pose": pose, "seen": np.isfinite(pose), "pose_animal": np.full(len(pose), i),
                "pose_used": each.pose_segment >= 0, "pose_first": pose_lo + pose_row,
                "pose_last": pose_hi + pose_row,
                "row_of_pose": _rows_of_pose(each, len(pose), row),
                "rate": np.array([_rate(each)], np.float32),
            }  # fmt: skip
            for name, value in put.items():
                parts[name].append(value)
            row, pose_row = row + len(each), pose_row + len(pose)
        joined = {k: np.concatenate(v) for k, v in parts.items() if v} | {"neural": neural}
        if joined["seen"].all():
            joined["seen"] = joined["seen"][:, :0]
        joined["pose"] = np.nan_to_num(joined["pose"], nan=0.0, posinf=0.0, neginf=0.0)
        return cls(**{name: torch.from_numpy(value) for name, value in joined.items()})

    def poses(self) -> tuple[np.ndarray, np.ndarray]:
        """Return standardised poses ``(pose_row, column)`` with NaN, and their segments."""
        pose = self.pose.numpy()
        if self.seen.shape[1]:
            pose = np.where(self.seen.numpy(), pose, np.nan)
        return pose, np.where(self.pose_used.numpy(), self.pose_first.numpy(), -1)

    def to(self, device: torch.device) -> Tables:
        """Return the tables on a device."""
        return replace(self, **{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    def neural_rows(self, rows: Tensor, length: int, stride: int) -> Tensor:
        """Return the rows of windows around ``rows``, ``(..., length)``, edges repeated."""
        return _window(rows, self.first, self.last, length, stride)

    def pose_rows(self, centre: Tensor, length: int, stride: int) -> Tensor:
        """Return the pose rows of windows around pose rows, ``(..., length)``, edges repeated."""
        return _window(centre, self.pose_first, self.pose_last, length, stride)


def taken(table: Tensor, rows: Tensor) -> Tensor:
    """Return ``table[rows]``, faster than by subscripts: whole rows are copied."""
    return table.index_select(0, rows.reshape(-1)).view(*rows.shape, *table.shape[1:])


def _window(rows: Tensor, first: Tensor, last: Tensor, length: int, stride: int) -> Tensor:
    start = -(length // 2) * stride
    offsets = torch.arange(start, start + length * stride, stride, device=rows.device)
    lower, upper = taken(first, rows), taken(last, rows)
    return torch.clamp(rows[..., None] + offsets, lower[..., None], upper[..., None])


def _rows_of_pose(animal: Animal, n_pose: int, row: int) -> np.ndarray:
    """Return for each pose the neural row whose centre is nearest to it, of its segment."""
    rows = np.full(n_pose, -1)
    paired = animal.paired
    if n_pose and len(paired):
        centre = animal.centre[paired]
        after = np.clip(np.searchsorted(centre, np.arange(n_pose)), 0, len(paired) - 1)
        before = np.maximum(after - 1, 0)
        poses = np.arange(n_pose)
        closer = np.abs(centre[before] - poses) <= np.abs(centre[after] - poses)
        best = paired[np.where(closer, before, after)]
        same = animal.segment[best] == animal.pose_segment
        rows = np.where(same, best + row, -1)
    return rows


def _rate(animal: Animal) -> float:
    step = np.median(np.diff(animal.times)) if len(animal) > 1 else 0.0
    return float(1 / step) if step else 1.0
