"""How far predicted keypoints are from labels: distances in px, read in several ways."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tinbergen.metrics.bootstrap import bootstrap_interval
from tinbergen.metrics.score import Baseline, Interval, Score


def keypoint_distances(predicted: ArrayLike, true: ArrayLike) -> np.ndarray:
    """Euclidean distances, ``(..., keypoint)`` px; NaN where either side is missing.

    Parameters
    ----------
    predicted, true
        ``(..., keypoint, 2)`` px.

    Examples
    --------
    >>> keypoint_distances([[3.0, 4.0], [0.0, 0.0]], [[0.0, 0.0], [6.0, 8.0]])
    array([ 5., 10.])
    """
    difference = np.asarray(predicted, dtype=float) - np.asarray(true, dtype=float)
    return np.linalg.norm(difference, axis=-1)


class PixelErrors(NamedTuple):
    """Three readings of the same distances; tools differ in which one they call the error.

    Attributes
    ----------
    mean
        Mean Euclidean distance: what is meant by pixel error here and in Lightning Pose's files.
    rmse
        Root of the mean squared distance: DeepLabCut's RMSE.
    coordinate_rmse
        Root of the mean squared difference of a coordinate: ``rmse / sqrt(2)``, which Lightning
        Pose logs as rmse in training.
    """

    mean: float
    rmse: float
    coordinate_rmse: float


def pixel_errors(distances: ArrayLike) -> PixelErrors:
    """Reduce distances to the readings of :class:`PixelErrors`; NaN are left out.

    Examples
    --------
    >>> [round(value, 5) for value in pixel_errors([5.0, 0.0, 10.0])]
    [5.0, 6.45497, 4.56435]
    """
    distances = np.asarray(distances, dtype=float)
    d = distances[np.isfinite(distances)]
    if not d.size:
        return PixelErrors(np.nan, np.nan, np.nan)
    square = float((d**2).mean())
    return PixelErrors(float(d.mean()), square**0.5, (square / 2) ** 0.5)


def pixel_error_score(
    distances: ArrayLike,
    groups: ArrayLike,
    *,
    null: ArrayLike | None = None,
    baselines: dict[str, np.ndarray] | None = None,
    name: str = "pixel error",
    split: str = "",
    seed: int = 0,
) -> Score:
    """Mean distance with its interval over sessions, and over frames where there is one session.

    Parameters
    ----------
    distances
        ``(frame, keypoint)`` px; NaN are left out.
    groups
        ``(frame,)`` session of each frame; whole sessions are resampled.
    null
        ``(frame, keypoint)`` distances of what needs no image: the mean pose of training.
    baselines
        Distances of other methods on the same frames.
    """
    distances, groups = np.asarray(distances, dtype=float), np.asarray(groups)
    sessions = len(np.unique(groups))
    over = "sessions" if sessions > 1 else "frames of one session"
    units = groups if sessions > 1 else np.arange(len(groups))
    others = {name: np.asarray(d, dtype=float) for name, d in (baselines or {}).items()}
    return Score(
        name=name,
        value=pixel_errors(distances).mean,
        unit="px",
        direction="lower",
        null=None if null is None else pixel_errors(null).mean,
        null_name="mean pose of training",
        interval=_interval(distances, units, seed),
        interval_name=f"95 % bootstrap over {over}",
        baselines=tuple(
            Baseline(other, pixel_errors(d).mean, _interval(d, units, seed))
            for other, d in others.items()
        ),
        n=int(np.isfinite(distances).sum()),
        n_name="labels",
        split=split,
        method="mean Euclidean distance to the label",
    )


def _interval(distances: np.ndarray, units: np.ndarray, seed: int) -> Interval:
    return bootstrap_interval(distances, np.repeat(units, distances.shape[1]), seed=seed)


def pck(distances: ArrayLike, thresholds: ArrayLike, *, strict: bool = False) -> np.ndarray:
    """Percentage of correct keypoints, as a share: those nearer than each threshold.

    Parameters
    ----------
    distances
        Any shape, px; NaN are left out.
    thresholds
        ``(k,)`` px.
    strict
        Count ``distance < threshold`` instead of ``distance <= threshold``. Tools differ; at whole
        pixels so do the numbers.

    Returns
    -------
    ``(k,)``

    Examples
    --------
    >>> pck([0, 3, 6, 9, 12], [5, 10])
    array([0.4, 0.8])
    """
    distances = np.asarray(distances, dtype=float)
    d = distances[np.isfinite(distances)][:, None]
    limits = np.atleast_1d(np.asarray(thresholds, dtype=float))
    if not d.size:
        return np.full(len(limits), np.nan)
    return (d < limits if strict else d <= limits).mean(axis=0)


class DifficultyCurve(NamedTuple):
    """Error of the keypoints that are at least so hard; see :func:`error_by_difficulty`.

    Attributes
    ----------
    threshold
        ``(k,)`` px of disagreement.
    error
        ``(k,)`` mean distance of keypoints whose disagreement is at least the threshold, px.
    n
        ``(k,)`` how many these are.
    """

    threshold: np.ndarray
    error: np.ndarray
    n: np.ndarray


def error_by_difficulty(
    distances: ArrayLike, disagreement: ArrayLike, thresholds: ArrayLike
) -> DifficultyCurve:
    """Pixel error of ever harder keypoints.

    Averages hide where models differ: most keypoints are easy for all. Difficulty is the standard
    deviation between the members of an ensemble (Biderman et al., Nature Methods 2024, Fig. 3).

    Parameters
    ----------
    distances, disagreement
        Of the same shape, px; NaN on either side are left out. Use one ensemble's disagreement
        for all methods that are compared.
    thresholds
        ``(k,)`` px.
    """
    d, hard = np.asarray(distances, dtype=float), np.asarray(disagreement, dtype=float)
    known = np.isfinite(d) & np.isfinite(hard)
    d, hard = d[known], hard[known]
    limits = np.atleast_1d(np.asarray(thresholds, dtype=float))
    chosen = hard >= limits[:, None]
    n = chosen.sum(axis=1)
    total = (chosen * d).sum(axis=1)
    return DifficultyCurve(limits, np.where(n > 0, total / np.maximum(n, 1), np.nan), n)


def temporal_norm(positions: ArrayLike) -> np.ndarray:
    """Distance of each keypoint from where it was a frame before.

    Parameters
    ----------
    positions
        ``(time, ..., 2)`` px.

    Returns
    -------
    ``(time, ...)`` px; NaN in the first row and beside missing positions.
    """
    positions = np.asarray(positions, dtype=float)
    first = np.full(positions[:1].shape[:-1], np.nan)
    return np.concatenate([first, np.linalg.norm(np.diff(positions, axis=0), axis=-1)])


class SigmaCalibration(NamedTuple):
    """Whether stated uncertainty is right; see :func:`sigma_calibration`.

    Attributes
    ----------
    sigma, error
        ``(bin,)`` root mean stated variance and root mean squared distance of equal shares of the
        keypoints, px; equal where the uncertainty is right.
    n
        ``(bin,)``.
    """

    sigma: np.ndarray
    error: np.ndarray
    n: np.ndarray


def sigma_calibration(distances: ArrayLike, sigma: ArrayLike, bins: int = 5) -> SigmaCalibration:
    """Compare distances with the standard deviation that was stated for them.

    Parameters
    ----------
    distances
        px, any shape.
    sigma
        Root of the summed variances of x and y, px, the same shape.
    bins
        Equal shares of the keypoints, from the most to the least certain.
    """
    d, stated = np.asarray(distances, dtype=float), np.asarray(sigma, dtype=float)
    known = np.isfinite(d) & np.isfinite(stated)
    order = np.argsort(stated[known], kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    d, stated = d[known], stated[known]

    def root(values: np.ndarray) -> np.ndarray:
        return np.array([np.sqrt((values[part] ** 2).mean()) for part in parts])

    return SigmaCalibration(root(stated), root(d), np.array([len(part) for part in parts]))
