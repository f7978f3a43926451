"""What needs no network: raw windows of traces, and linear alignment of animals by their pose.

Their rows stand in every evaluation: a representation is worth what it has beyond these. No
label is used here.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import eigh, orthogonal_procrustes
from scipy.spatial import KDTree

from tinbergen.crossanimal.evaluation import Method
from tinbergen.crossanimal.evaluation_probes import Probe
from tinbergen.crossanimal.evaluation_split import FrameSplit, check_lengths
from tinbergen.errors import DataError
from tinbergen.recordings.lags import lagged

_RIDGE = 0.1  # of the mean variance of the neural components
_WIDE, _LATENTS, _POSE = 128, 30, 20  # principal components, at most


def baseline_methods(
    neural: Mapping[str, ArrayLike],
    pose: Mapping[str, ArrayLike],
    splits: Mapping[str, FrameSplit],
    *,
    reach: int = 2,
    components: int = 8,
) -> list[Method]:
    """Return the mandatory rows of an evaluation.

    Raw traces within ``reach`` frames, by logistic regression and by a discriminant, both with a
    chosen penalty; and the same windows of all animals aligned by :func:`shared_cca` and by
    :func:`procrustes`.

    Parameters
    ----------
    neural
        Animal -> ``(time, neuron)``; images ``(time, height, width)`` are taken as pixels.
        Neurons that are never known, or never vary, are left out; gaps become the mean.
    pose
        Animal -> ``(time, feature)``, at the times of ``neural``.
    splits
        Only their training frames are learnt from.
    reach
        Frames before and after.
    components
        Channels of the aligned animals.

    Raises
    ------
    DataError
        Naming the animal of which nothing can be used.
    """
    windows = {name: _windows(neural[name], splits[name], name, reach) for name in splits}
    raw = {name: window for name, (window, _) in windows.items()}
    width = 2 * reach + 1
    probes: tuple[tuple[str, Probe], ...] = (("logistic", "wide logistic"), ("ridge", "ridge"))
    methods = [
        Method(f"raw, {name}, ±{reach} frames", [raw], matched=False, probe=probe, window=width)
        for name, probe in probes
    ]
    if len(splits) < 2:
        return methods
    latents = {name: latent for name, (_, latent) in windows.items()}
    moves = {name: _pose(pose[name], splits[name], name, reach) for name in splits}
    aligned = {
        "CCA by pose": shared_cca(latents, moves, splits, components),
        "Procrustes by pose": procrustes(latents, moves, splits, components),
    }
    return [*methods, *(Method(name, [run], window=width) for name, run in aligned.items())]


def shared_cca(
    latents: Mapping[str, np.ndarray],
    pose: Mapping[str, np.ndarray],
    splits: Mapping[str, FrameSplit],
    components: int,
) -> dict[str, np.ndarray]:
    """Canonical correlation of every animal's own neurons with one common reading of the pose.

    Sought are pose directions V, common to all animals, that the neurons of each animal predict
    best: of largest ``V' sum_s C_yx (C_xx + ridge)^-1 C_xy V`` at ``V' sum_s C_yy V = 1``. It is
    the linear relative of a pose-neural contrast with an input layer an animal.

    Parameters
    ----------
    latents
        Animal -> ``(time, k)`` principal components of its neurons.
    pose
        Animal -> ``(time, p)``, the same channels in all.
    splits
        Their training frames are fitted to.
    components
        Directions, at most p.

    Returns
    -------
    Animal -> ``(time, components)``, the pose directions as its neurons tell them.
    """
    common = _common_axes(pose, splits)
    maps, n = {}, common.shape[1]
    explained, total = np.zeros((n, n)), np.zeros((n, n))
    for name, split in splits.items():
        x, y = latents[name][split.train], pose[name][split.train] @ common
        covariance = x.T @ x / len(x)
        ridge = _RIDGE * np.trace(covariance) / len(covariance)
        cross = x.T @ y / len(x)
        maps[name] = np.linalg.solve(covariance + ridge * np.eye(len(covariance)), cross)
        explained = explained + cross.T @ maps[name]
        total = total + y.T @ y / len(x)
    floor = 1e-6 * np.trace(total) / len(total)
    _, vectors = eigh(explained, total + floor * np.eye(len(total)))
    best = vectors[:, ::-1][:, :components]
    return {name: latents[name] @ maps[name] @ best for name in splits}


def procrustes(
    latents: Mapping[str, np.ndarray],
    pose: Mapping[str, np.ndarray],
    splits: Mapping[str, FrameSplit],
    components: int,
) -> dict[str, np.ndarray]:
    """Rotate the whitened principal components of every animal onto those of one of them.

    Frames of two animals correspond if their poses are nearest. The animal with the most training
    frames is the reference.

    Returns
    -------
    Animal -> ``(time, components)``.
    """
    k = min(components, *(each.shape[1] for each in latents.values()))
    white = {name: each[:, :k] for name, each in latents.items()}
    common = _common_axes(pose, splits)
    reference = max(splits, key=lambda name: int(splits[name].train.sum()))
    train = splits[reference].train
    tree, target = KDTree(pose[reference][train] @ common), white[reference][train]
    aligned = {}
    for name, split in splits.items():
        _, nearest = tree.query(pose[name][split.train] @ common)
        rotation, _ = orthogonal_procrustes(white[name][split.train], target[nearest])
        aligned[name] = white[name] if name == reference else white[name] @ rotation
    return aligned


def _windows(
    values: ArrayLike, split: FrameSplit, name: str, reach: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the z-scored window of traces, and whitened principal components of it."""
    x = np.asarray(values, dtype=np.float64)
    x = x.reshape(len(x), -1)
    check_lengths({name: split}, {name: x}, "neural")
    z = _z_scored(x, split, f"neural, animal {name!r}")
    # Components of a window of so many leading components of a frame are those of the window of
    # all columns, but for what is small; of hundreds of neurons or of pixels they cost far less.
    leading, _ = _components(z, split, _WIDE)
    around = range(-reach, reach + 1)
    latents, deviation = _components(lagged(leading, around), split, _LATENTS)
    return lagged(z, around), latents / deviation


def _components(x: np.ndarray, split: FrameSplit, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return principal components and their deviations over the training frames."""
    centred = x - x[split.train].mean(axis=0)
    fit = centred[split.train]
    values, axes = np.linalg.eigh(fit.T @ fit / len(fit))
    kept = min(most, int((values > 1e-9 * values[-1]).sum()))
    return centred @ axes[:, ::-1][:, :kept], np.sqrt(values[::-1][:kept])


def _pose(values: ArrayLike, split: FrameSplit, name: str, reach: int) -> np.ndarray:
    y = np.asarray(values, dtype=np.float64)
    y = y.reshape(len(y), -1)
    check_lengths({name: split}, {name: y}, "pose")
    z = _z_scored(y, split, f"pose, animal {name!r}", keep=True)
    return lagged(z, range(-reach, reach + 1))


def _z_scored(x: np.ndarray, split: FrameSplit, what: str, keep: bool = False) -> np.ndarray:
    """Scale by the training frames; gaps become the mean. ``keep``: also columns without life."""
    known = np.isfinite(x)
    train = np.where(known & split.train[:, None], x, 0.0)
    n = np.maximum((known & split.train[:, None]).sum(axis=0), 1)
    mean = train.sum(axis=0) / n
    deviation = np.sqrt((np.where(known & split.train[:, None], x - mean, 0.0) ** 2).sum(0) / n)
    alive = deviation > 1e-9 * (1 + np.abs(mean))
    if not alive.any():
        raise DataError(f"{what}: no column is known and varies over the training frames.")
    z = np.where(known, x - mean, 0.0) / np.where(alive, deviation, np.inf)
    return z if keep else z[:, alive]


def _common_axes(pose: Mapping[str, np.ndarray], splits: Mapping[str, FrameSplit]) -> np.ndarray:
    """Return ``(channel, axis)``: principal axes of the pose of all animals together."""
    widths = {name: each.shape[1] for name, each in pose.items()}
    if len(set(widths.values())) > 1:
        raise DataError(f"pose: expected the same features in all animals, found {widths}.")
    square = sum(pose[name][s.train].T @ pose[name][s.train] for name, s in splits.items())
    values, axes = np.linalg.eigh(square)
    return axes[:, ::-1][:, : min(_POSE, int((values > 1e-9 * values[-1]).sum()))]
