"""Object keypoint similarity, and mean average precision of animals in frames.

Two definitions are common and their numbers do not compare: with the area of the keypoints'
bounding box as scale, DeepLabCut takes sigma 0.1 for every keypoint (at 100 x 100 px a distance
of 23.5 px still gives a similarity of 0.5), SLEAP takes 0.025 (5.9 px); COCO takes one a keypoint,
and the area of the annotated mask. A prediction that fits no animal counts against the precision
in all of them here; some tools leave it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment

from tinbergen.errors import DataError

Definition = Literal["dlc", "sleap", "coco"]
_SIGMAS = {"dlc": 0.1, "sleap": 0.025}
THRESHOLDS = np.arange(0.5, 1.0, 0.05).round(2)
_RECALLS = np.linspace(0, 1, 101)


def present(positions: ArrayLike) -> np.ndarray:
    """Whether any keypoint of an animal is there, ``(...)`` bool.

    Parameters
    ----------
    positions
        ``(..., keypoint, 2)`` px; NaN = missing.
    """
    known = np.isfinite(np.asarray(positions, dtype=float)).all(axis=-1)
    return np.asarray(np.any(known, axis=-1))


def box_area(positions: ArrayLike) -> np.ndarray:
    """Area of the bounding box of the keypoints that are there.

    Parameters
    ----------
    positions
        ``(..., keypoint, 2)`` px; NaN = missing.

    Returns
    -------
    ``(...)`` px^2; NaN where fewer than one keypoint is there.
    """
    positions = np.asarray(positions, dtype=float)
    known = np.isfinite(positions).all(axis=-1, keepdims=True)
    low = np.where(known, positions, np.inf).min(axis=-2)
    high = np.where(known, positions, -np.inf).max(axis=-2)
    side = np.where(np.isfinite(low), high - low, np.nan)
    return side.prod(axis=-1)


def oks(
    predicted: ArrayLike,
    true: ArrayLike,
    sigmas: ArrayLike,
    area: ArrayLike | None = None,
) -> np.ndarray:
    """Object keypoint similarity: mean of ``exp(-d^2 / (2 area (2 sigma)^2))`` over the labels.

    A labelled keypoint that is not predicted counts 0; one that is not labelled does not count.

    Parameters
    ----------
    predicted, true
        ``(..., keypoint, 2)`` px; NaN = missing.
    sigmas
        One for all, or ``(keypoint,)``.
    area
        ``(...)`` px^2; default: the bounding box of the labels.

    Returns
    -------
    ``(...)``, 0 to 1; NaN where nothing is labelled or the area is 0.

    Examples
    --------
    >>> true = np.zeros((4, 2))
    >>> off = np.array([[0.0, 0.0], [10.0, 0.0], [20.0, 0.0], [40.0, 0.0]])
    >>> round(float(oks(off, true, 0.1, area=1e4)), 6)
    0.656091
    """
    predicted, true = np.asarray(predicted, dtype=float), np.asarray(true, dtype=float)
    area = box_area(true) if area is None else np.asarray(area, dtype=float)
    labelled = np.isfinite(true).all(axis=-1)
    square = ((predicted - true) ** 2).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 2 * area[..., None] * (2 * np.asarray(sigmas, dtype=float)) ** 2
        each = np.where(np.isfinite(square), np.exp(-square / scale), 0.0)
        value = np.where(labelled, each, 0.0).sum(axis=-1) / labelled.sum(axis=-1)
    return np.where(area > 0, value, np.nan)


def average_precision(hits: ArrayLike, n_true: int) -> float:
    """Precision averaged over 101 recalls (COCO), of predictions from the surest on.

    Parameters
    ----------
    hits
        ``(prediction,)`` bool, ordered by score, highest first: whether each found an animal that
        none before it had found.
    n_true
        Animals that were there to be found.

    Examples
    --------
    >>> round(average_precision([True, False, True], 3), 6)
    0.554455
    """
    hits = np.asarray(hits, dtype=bool)
    if not n_true:
        return float("nan")
    if not len(hits):
        return 0.0
    found = np.cumsum(hits)
    precision = found / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]  # best at this recall or beyond
    at = np.searchsorted(found / n_true, _RECALLS, side="left")
    return float(np.where(at < len(hits), precision[np.minimum(at, len(hits) - 1)], 0.0).mean())


@dataclass(frozen=True, eq=False)
class MeanPrecision:
    """Result of :func:`mean_average_precision`.

    Attributes
    ----------
    mean
        Over the thresholds 0.5, 0.55, ..., 0.95.
    by_threshold
        ``(10,)`` average precision at each.
    recall
        ``(10,)`` share of the animals that were found at each.
    n_true, n_predicted
        Animals.
    """

    mean: float
    by_threshold: np.ndarray
    recall: np.ndarray
    n_true: int
    n_predicted: int


def mean_average_precision(
    predicted: Sequence[ArrayLike],
    scores: Sequence[ArrayLike],
    true: Sequence[ArrayLike],
    *,
    definition: Definition,
    sigmas: ArrayLike | None = None,
    areas: Sequence[ArrayLike] | None = None,
) -> MeanPrecision:
    """Mean average precision of the animals in several frames.

    In every frame predictions are matched from the surest on, each with the animal it resembles
    most among those not yet found. Predictions without a match count as false.

    Parameters
    ----------
    predicted, scores
        Per frame ``(n, keypoint, 2)`` px and ``(n,)``.
    true
        Per frame ``(m, keypoint, 2)`` px; animals without a label do not count.
    definition
        ``dlc`` (sigma 0.1), ``sleap`` (0.025), both on bounding boxes; ``coco``: ``sigmas`` and
        ``areas`` of your own.
    sigmas
        ``(keypoint,)``, for ``coco``.
    areas
        Per frame ``(m,)`` px^2, for ``coco``.

    Raises
    ------
    DataError
        If the frames do not agree in number, or ``coco`` lacks its sigmas or areas.
    """
    if not len(predicted) == len(scores) == len(true):
        raise DataError(
            f"Expected predictions, scores and labels of the same frames, found {len(predicted)}, "
            f"{len(scores)} and {len(true)}."
        )
    if definition == "coco" and (sigmas is None or areas is None):
        raise DataError("definition='coco' needs sigmas (per keypoint) and areas (per animal).")
    if definition != "coco" and not (sigmas is None and areas is None):
        raise DataError(f"definition={definition!r} has its own sigmas and areas; leave them out.")
    widths = _SIGMAS.get(definition, sigmas)
    all_scores: list[float] = []
    hits: list[np.ndarray] = []
    n_true = 0
    for frame, (guess, score, label) in enumerate(zip(predicted, scores, true, strict=True)):
        guess, label = np.asarray(guess, dtype=float), np.asarray(label, dtype=float)
        area = box_area(label) if areas is None else np.asarray(areas[frame], dtype=float)
        similarity = _similarities(guess, label, np.asarray(widths), area)
        n_true += similarity.shape[1]
        order = np.argsort(-np.asarray(score, dtype=float), kind="stable")
        hits += _match(similarity[order])
        all_scores += np.asarray(score, dtype=float)[order].tolist()
    rank = np.argsort(-np.asarray(all_scores), kind="stable")
    ranked = np.array(hits, dtype=bool).reshape(-1, len(THRESHOLDS))[rank]
    by_threshold = np.array([average_precision(column, n_true) for column in ranked.T])
    recall = ranked.sum(axis=0) / n_true if n_true else np.full(len(THRESHOLDS), np.nan)
    return MeanPrecision(float(by_threshold.mean()), by_threshold, recall, n_true, len(ranked))


def _similarities(
    guess: np.ndarray, label: np.ndarray, sigmas: np.ndarray, area: np.ndarray
) -> np.ndarray:
    """OKS of every prediction with every animal that has a label and an area, ``(n, m)``."""
    if not label.size:
        return np.zeros((len(guess), 0))
    kept = np.isfinite(label).all(axis=-1).any(axis=-1) & (area > 0)
    label, area = label[kept], area[kept]
    if not len(guess):
        return np.zeros((0, len(label)))
    return oks(guess[:, None], label[None], sigmas, np.broadcast_to(area, (len(guess), len(area))))


def _match(similarity: np.ndarray) -> list[np.ndarray]:
    """For each prediction, surest first: whether it hits at each threshold, ``(10,)`` bool."""
    n, m = similarity.shape
    hits = np.zeros((n, len(THRESHOLDS)), dtype=bool)
    for column, threshold in enumerate(THRESHOLDS):
        free = np.ones(m, dtype=bool)
        for row in range(n):
            open_to = np.where(free, similarity[row], -1.0)
            best = int(open_to.argmax()) if m else -1
            if best >= 0 and open_to[best] >= threshold:
                free[best], hits[row, column] = False, True
    return list(hits)


def similarities(predicted: ArrayLike, true: ArrayLike, sigma: float = 0.1) -> np.ndarray:
    """OKS of every prediction with every animal; 0 where nothing is labelled.

    Keypoints on a line span no area: the box is taken as at least a tenth as wide as it is long.
    A lone keypoint has no size, and takes that of the prediction.

    Parameters
    ----------
    predicted, true
        ``(n, keypoint, 2)`` and ``(m, keypoint, 2)`` px; NaN = missing.

    Returns
    -------
    ``(n, m)``, 0 to 1.
    """
    predicted, true = np.asarray(predicted, dtype=float), np.asarray(true, dtype=float)
    if not len(predicted) or not len(true):
        return np.zeros((len(predicted), len(true)))
    area = np.where(_area(true) > 0, _area(true), _area(predicted)[:, None])
    area = np.where(present(true), np.maximum(np.nan_to_num(area), 1.0), np.nan)
    return np.nan_to_num(oks(predicted[:, None], true[None], sigma, area))


def _area(positions: np.ndarray) -> np.ndarray:
    """Area of the box, of which no side is less than a tenth of the other, ``(n,)`` px^2."""
    known = np.isfinite(positions).all(axis=-1, keepdims=True)
    low = np.where(known, positions, np.inf).min(axis=-2)
    high = np.where(known, positions, -np.inf).max(axis=-2)
    side = np.where(np.isfinite(low), high - low, np.nan)
    return np.maximum(side, side.max(axis=-1, keepdims=True) / 10).prod(axis=-1)


def matched(similarity: ArrayLike, least: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Pair predictions with animals so that the sum of similarities is largest.

    Parameters
    ----------
    similarity
        ``(n, m)``.
    least
        Pairs must exceed it.

    Returns
    -------
    rows, columns : of the pairs.

    Examples
    --------
    >>> matched([[0.9, 0.8], [0.85, 0.1]])
    (array([0, 1]), array([1, 0]))
    """
    similarity = np.asarray(similarity, dtype=float)
    rows, columns = linear_sum_assignment(-similarity)
    kept = similarity[rows, columns] > least
    return rows[kept], columns[kept]
