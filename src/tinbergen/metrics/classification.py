"""How well classes are told, beside chance and the majority class.

Labels are anything that compares equal: numbers, names, booleans. Filter what has no label before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tinbergen.errors import DataError


@dataclass(frozen=True)
class ClassScores:
    """All scores of one classification, with what ignorance would score.

    Attributes
    ----------
    accuracy, balanced_accuracy, macro_f1
        See the functions of these names.
    chance
        Balanced accuracy of any guess that looks at nothing: 1 / number of classes in the truth.
    majority
        Accuracy of always naming the most frequent class (of the training labels, if they were
        given): what accuracy has to beat.
    classes
        Sorted classes of truth and prediction.
    confusion
        ``(class, class)`` counts: rows the truth, columns the prediction.
    n
        Items.
    """

    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    chance: float
    majority: float
    classes: np.ndarray
    confusion: np.ndarray
    n: int


def class_scores(
    truth: ArrayLike, prediction: ArrayLike, train: ArrayLike | None = None
) -> ClassScores:
    """Score a classification.

    Parameters
    ----------
    truth, prediction
        ``(n,)`` labels.
    train
        ``(m,)`` training labels, whose most frequent class is the majority baseline; by default
        the truth's own.

    Examples
    --------
    >>> scores = class_scores([0, 0, 0, 1], [0, 0, 0, 0])
    >>> scores.accuracy, scores.balanced_accuracy, scores.chance, scores.majority
    (0.75, 0.5, 0.5, 0.75)
    """
    y, p = _labels(truth, prediction)
    classes, index = np.unique(np.concatenate([y, p]), return_inverse=True)
    k, n = len(classes), len(y)
    confusion = np.bincount(index[:n] * k + index[n:], minlength=k * k).reshape(k, k)
    seen, named, hits = confusion.sum(axis=1), confusion.sum(axis=0), confusion.diagonal()
    names, frequency = np.unique(y if train is None else np.asarray(train), return_counts=True)
    guess = names[frequency.argmax()]
    return ClassScores(
        accuracy=float(hits.sum() / n),
        balanced_accuracy=float(np.mean(hits[seen > 0] / seen[seen > 0])),
        macro_f1=float(np.mean(2 * hits / (seen + named))),
        chance=1 / int((seen > 0).sum()),
        majority=float(np.mean(y == guess)),
        classes=classes,
        confusion=confusion,
        n=n,
    )


def accuracy(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Share of labels that are right.

    Examples
    --------
    >>> accuracy(["left", "right"], ["left", "left"])
    0.5
    """
    return class_scores(truth, prediction).accuracy


def balanced_accuracy(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Mean recall of the classes that occur in the truth: each counts alike, however rare.

    Examples
    --------
    >>> balanced_accuracy([0, 0, 0, 1], [0, 0, 0, 0])
    0.5
    """
    return class_scores(truth, prediction).balanced_accuracy


def macro_f1(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Mean F1 of all classes in truth or prediction.

    A class that is never told right counts 0, as in scikit-learn with ``zero_division=0``.

    Examples
    --------
    >>> round(macro_f1([0, 0, 0, 1], [0, 0, 0, 0]), 6)
    0.428571
    """
    return class_scores(truth, prediction).macro_f1


def _labels(truth: ArrayLike, prediction: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    y, p = np.asarray(truth), np.asarray(prediction)
    if y.shape != p.shape or y.ndim != 1 or not len(y):
        raise DataError(
            f"expected true and predicted labels of one shape (n,), found {y.shape} and {p.shape}."
        )
    for name, labels in (("true", y), ("predicted", p)):
        missing = sum(v is None or v != v for v in labels) if labels.dtype.kind in "fO" else 0
        if missing:
            raise DataError(
                f"{missing} of {len(labels)} {name} labels are missing; leave these "
                "items out first."
            )
    return y, p
