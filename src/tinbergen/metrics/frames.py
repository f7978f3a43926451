"""How well each frame's class is told, over sessions, where somebody scored it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment

from tinbergen.errors import DataError
from tinbergen.metrics.bootstrap import pooled_interval
from tinbergen.metrics.score import Interval
from tinbergen.metrics.segments import scored_pairs


@dataclass(frozen=True)
class FrameScores:
    """Frame scores, pooled over sessions; shares between 0 and 1.

    Attributes
    ----------
    precision, recall, f1
        ``(class,)``; F1 is NaN for a class that is neither true nor predicted anywhere.
    macro_f1, macro_f1_interval
        Mean F1 of the classes that are true or predicted somewhere, and its 95 % interval over
        sessions.
    accuracy, balanced_accuracy
        Share of right frames; mean recall of the classes that occur.
    kappa, kappa_interval
        Cohen's kappa: agreement beyond what the frequencies alone would give.
    chance, majority
        Balanced accuracy of any guess that looks at nothing; accuracy of always naming the most
        frequent true class.
    confusion
        ``(session, class, class + 1)`` counts: truth, prediction; the last column: none predicted.
    n
        Scored frames.
    """

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    macro_f1: float
    macro_f1_interval: Interval
    accuracy: float
    balanced_accuracy: float
    kappa: float
    kappa_interval: Interval
    chance: float
    majority: float
    confusion: np.ndarray
    n: int


def frame_scores(
    truth: Sequence[ArrayLike],
    prediction: Sequence[ArrayLike],
    n_classes: int,
    *,
    seed: int = 0,
) -> FrameScores:
    """Score the frames of sessions whose true code is not negative.

    Parameters
    ----------
    truth, prediction
        A session each: ``(time,)`` codes below ``n_classes``. A negative true code: not scored,
        left out. A negative prediction: none of the classes, which costs recall.
    n_classes
        Number of classes.

    Raises
    ------
    DataError
        If the two differ in sessions or frames, or nothing is scored.

    Examples
    --------
    >>> scores = frame_scores([[-1, 0, 0, 1, 1]], [[0, 0, 0, 1, 0]], 2)
    >>> scores.f1.round(3), scores.accuracy
    (array([0.8  , 0.667]), 0.75)
    """
    pairs = scored_pairs(truth, prediction, n_classes)
    confusion = np.stack([_confusion(y, p, n_classes) for y, p in pairs])
    total = confusion.sum(axis=0)
    seen, named, hits = total.sum(axis=1), total[:, :-1].sum(axis=0), total.diagonal()
    f1 = class_f1(total)
    return FrameScores(
        precision=hits / np.maximum(named, 1),
        recall=hits / np.maximum(seen, 1),
        f1=f1,
        macro_f1=float(np.nanmean(f1)),
        macro_f1_interval=pooled_interval(
            confusion, lambda c: np.nanmean(class_f1(c), axis=-1), seed=seed
        ),
        accuracy=float(hits.sum() / seen.sum()),
        balanced_accuracy=float(np.mean(hits[seen > 0] / seen[seen > 0])),
        kappa=float(kappa(total)),
        kappa_interval=pooled_interval(confusion, kappa, seed=seed),
        chance=1 / int((seen > 0).sum()),
        majority=float(seen.max() / seen.sum()),
        confusion=confusion,
        n=int(seen.sum()),
    )


def cohen_kappa(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Agreement of two raters beyond chance: 1 = full, 0 = as by chance.

    NaN where both name one and the same class throughout.

    Parameters
    ----------
    truth, prediction
        ``(n,)`` codes; items whose true code is negative are left out.

    References
    ----------
    Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological
    Measurement 1960.

    Examples
    --------
    >>> cohen_kappa([0, 0, 1, 1], [0, 0, 1, 0])
    0.5
    """
    n_classes = int(max(np.max(truth, initial=0), np.max(prediction, initial=0))) + 1
    ((y, p),) = scored_pairs([truth], [prediction], n_classes)
    return float(kappa(_confusion(y, p, n_classes)))


def match_states(
    contingency: ArrayLike, how: Literal["one to one", "majority"] = "one to one"
) -> np.ndarray:
    """Name the states of a model that saw no label by the classes they coincide with.

    Parameters
    ----------
    contingency
        ``(state, class)`` frames that each state shares with each class.
    how
        ``one to one``: each class once, the most shared frames in all (Kuhn 1955); states beyond
        the classes get -1. ``majority``: each state the class it shares most with; -1 for a state
        that shares none.

    Returns
    -------
    ``(state,)`` class of each state.

    Examples
    --------
    >>> match_states([[5, 1, 0], [0, 2, 7], [4, 0, 1]])
    array([0, 2, 1])
    """
    counts = np.asarray(contingency)
    if counts.ndim != 2 or counts.size == 0:
        raise DataError(f"expected counts (state, class), found an array of {counts.shape}.")
    if how == "majority":
        return np.where(counts.max(axis=1) > 0, counts.argmax(axis=1), -1)
    names = np.full(len(counts), -1)
    states, classes = linear_sum_assignment(counts, maximize=True)
    names[states] = classes
    return names


def contingency(
    states: Sequence[ArrayLike], truth: Sequence[ArrayLike], n_states: int, n_classes: int
) -> np.ndarray:
    """Return ``(state, class)`` counts of the frames whose true code is not negative."""
    counts = np.zeros((n_states, n_classes), dtype=np.int64)
    for each, codes in zip(states, truth, strict=True):
        z, y = np.asarray(each), np.asarray(codes)
        known = (y >= 0) & (z >= 0)
        np.add.at(counts, (z[known], y[known]), 1)
    return counts


def _confusion(y: np.ndarray, p: np.ndarray, n_classes: int) -> np.ndarray:
    """``(class, class + 1)`` counts of the scored frames; the last column: none predicted."""
    scored = y >= 0
    named = np.where(p >= 0, p, n_classes)[scored]
    wide = n_classes + 1
    flat = np.bincount(y[scored] * wide + named, minlength=n_classes * wide)
    return flat.reshape(n_classes, wide)


def class_f1(confusion: np.ndarray) -> np.ndarray:
    """F1 of ``(..., class, class + 1)`` counts; NaN for classes in neither."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).astype(np.float64)
    total = confusion.sum(axis=-1) + confusion[..., :-1].sum(axis=-2)
    return np.divide(2 * hits, total, out=np.full(hits.shape, np.nan), where=total > 0)


def kappa(confusion: np.ndarray) -> np.ndarray:
    """Kappa of ``(..., class, class + 1)`` counts; NaN where chance agrees always."""
    n = confusion.sum(axis=(-2, -1))
    right = np.diagonal(confusion, axis1=-2, axis2=-1).sum(axis=-1) / n
    by_chance = (confusion.sum(axis=-1) * confusion[..., :-1].sum(axis=-2)).sum(axis=-1) / n**2
    apart = 1 - by_chance
    return np.divide(right - by_chance, apart, out=np.full(n.shape, np.nan), where=apart > 1e-12)
