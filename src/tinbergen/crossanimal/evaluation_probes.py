"""Probes of frozen representations: a discriminant in closed form, logistic regression, kNN.

The discriminant needs of each animal no more than counts, sums and squares of every class, and
these add up over animals: leaving out one of many, or learning wrong labels, costs no more than
solving once more.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tinbergen.encoding.logistic import Logistic
from tinbergen.metrics import balanced_accuracy

Probe = Literal["discriminant", "logistic", "ridge", "wide logistic"]
PROBES: tuple[Probe, ...] = ("discriminant", "logistic", "ridge", "wide logistic")
NEIGHBOURS = 15
ALPHA = 100.0  # of the logistic probe: scikit-learn's C = 0.01
SHRINKAGE = 0.1  # of the covariance within classes, towards a sphere
_ALPHAS = (1e4, 1e3, 1e2, 1e1)  # where they are chosen, the strongest first
_SHRINKAGES = (0.95, 0.8, 0.5, 0.2, 0.05)
_HELD_OUT = 5  # one training frame in five of each class, the last ones
_ROWS = 2048  # rows that are summed at once: the classes of all draws stay in the cache


@dataclass(frozen=True, eq=False)
class Moments:
    """Counts, sums and squares of features; several draws of labels of the same rows.

    Attributes
    ----------
    n, total
        ``(draw, class)`` and ``(draw, class, channel)``.
    squares
        ``(channel, channel)``, of all rows.
    """

    n: np.ndarray
    total: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray, codes: np.ndarray, n_classes: int) -> Moments:
        """Sum rows ``(row, channel)`` under the class numbers ``(draw, row)``."""
        width = features.shape[1]
        found = cls(
            np.stack([np.bincount(each, minlength=n_classes) for each in codes]).astype(float),
            np.zeros((len(codes), n_classes, width)),
            np.zeros((width, width)),
        )
        classes = np.arange(n_classes, dtype=np.int16)[:, None]
        codes = codes.astype(np.int16)[:, None]
        for start in range(0, len(features), _ROWS):
            part = features[start : start + _ROWS]
            one_hot = (codes[..., start : start + _ROWS] == classes).astype(part.dtype)
            found.total[...] += (one_hot.reshape(-1, len(part)) @ part).reshape(found.total.shape)
            found.squares[...] += part.T @ part
        return found

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.n + other.n, self.total + other.total, self.squares + other.squares)

    def scaled(self, mean: np.ndarray, size: np.ndarray) -> Moments:
        """Return the moments of ``(features - mean) / size``."""
        total = (self.total - self.n[..., None] * mean) / size
        rows = self.total[0].sum(axis=0)
        cross = np.outer(rows, mean)
        squares = self.squares - cross - cross.T + self.n[0].sum() * np.outer(mean, mean)
        return Moments(self.n, total, squares / np.outer(size, size))


def total(parts: Sequence[Moments]) -> Moments:
    """Add the moments of several animals."""
    return functools.reduce(operator.add, parts)


@dataclass(frozen=True, eq=False)
class LinearProbe:
    """Class scores that are linear in the features; classes that training lacked are never named.

    Attributes
    ----------
    classes
        ``(seen class,)`` numbers.
    weights, intercept
        ``(channel, seen class)``, ``(seen class,)``.
    """

    classes: np.ndarray
    weights: np.ndarray
    intercept: np.ndarray

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Return the class number of each row."""
        return self.classes[(features @ self.weights + self.intercept).argmax(axis=1)]


def answers(probes: Sequence[LinearProbe], features: np.ndarray) -> np.ndarray:
    """Return the class number of each row by each of some probes of the same classes.

    Returns
    -------
    ``(probe, row)``.
    """
    classes = probes[0].classes
    weights = np.concatenate([probe.weights.T for probe in probes]).astype(features.dtype)
    intercepts = np.concatenate([probe.intercept for probe in probes]).astype(features.dtype)
    told = np.empty((len(probes), len(features)), np.intp)
    for start in range(0, len(features), _ROWS):
        part = features[start : start + _ROWS]
        scores = (weights @ part.T + intercepts[:, None]).reshape(len(probes), len(classes), -1)
        best, found = scores[:, 0], np.zeros((len(probes), len(part)), np.int16)
        for number in range(1, len(classes)):  # argmax over so short an axis takes far longer
            found = np.where(scores[:, number] > best, np.int16(number), found)
            best = np.maximum(best, scores[:, number])
        told[:, start : start + _ROWS] = classes[found]
    return told


def discriminants(moments: Moments, shrinkage: float = SHRINKAGE) -> list[LinearProbe]:
    """Linear discriminants with a common, shrunken covariance, one a draw; classes count alike.

    For two classes the direction is that of ridge regression on the class (Hastie, Tibshirani &
    Friedman, The Elements of Statistical Learning, 2009, section 4.3).
    """
    found = []
    for n, sums in zip(moments.n, moments.total, strict=True):
        seen = np.flatnonzero(n > 0)
        means = sums[seen] / n[seen, None]
        within = moments.squares - (means * n[seen, None]).T @ means
        within = within / max(n.sum() - len(seen), 1)
        width = len(within)
        size = max(np.trace(within) / width, 1e-12)
        within = (1 - shrinkage) * within + shrinkage * size * np.eye(width)
        weights = np.linalg.solve(within, means.T)
        intercept = -0.5 * np.einsum("cd,dc->c", means, weights)
        found.append(LinearProbe(seen, weights, intercept))
    return found


def logistic(features: np.ndarray, codes: np.ndarray, alpha: float) -> LinearProbe | Logistic:
    """Multinomial logistic regression, every class weighted alike."""
    seen = np.unique(codes)
    if len(seen) == 1:  # one class alone: nothing to tell apart
        return LinearProbe(seen, np.zeros((features.shape[1], 1)), np.zeros(1))
    model = Logistic(alphas=(alpha,), balanced=True, tolerance=1e-3)
    return model.fit(features, codes)


def choose_alpha(features: np.ndarray, codes: np.ndarray) -> float:
    """Choose the penalty of :func:`logistic` on held-out training rows; the stronger of equals."""
    held = _held_out(codes)

    def score(alpha: float) -> float:
        fitted = logistic(features[~held], codes[~held], alpha)
        return balanced_accuracy(codes[held], fitted.predict(features[held]))

    return max(_ALPHAS, key=score) if held.any() else _ALPHAS[0]


def choose_shrinkage(features: np.ndarray, codes: np.ndarray, n_classes: int) -> float:
    """Choose that of :func:`discriminants` on held-out training rows; the stronger of equals."""
    held = _held_out(codes)
    moments = Moments.of(features[~held], codes[None, ~held], n_classes)

    def score(shrinkage: float) -> float:
        answers = discriminants(moments, shrinkage)[0].predict(features[held])
        return balanced_accuracy(codes[held], answers)

    return max(_SHRINKAGES, key=score) if held.any() else _SHRINKAGES[0]


def _held_out(codes: np.ndarray) -> np.ndarray:
    """Return ``(row,)`` bool: the last fifth of the rows of each class."""
    held = np.zeros(len(codes), dtype=bool)
    for code in np.unique(codes):
        own = np.flatnonzero(codes == code)
        held[own[len(own) - len(own) // _HELD_OUT :]] = True
    return held


def knn(
    train: np.ndarray, train_codes: np.ndarray, test: np.ndarray, neighbours: int = NEIGHBOURS
) -> np.ndarray:
    """Most frequent class among the nearest training rows by cosine; ties go to the nearest.

    Returns
    -------
    ``(test row,)`` class numbers.
    """

    def unit(x: np.ndarray) -> np.ndarray:
        return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)

    likeness = unit(test) @ unit(train).T
    k = min(neighbours, len(train))
    near = np.argpartition(-likeness, k - 1, axis=1)[:, :k]
    closeness = np.take_along_axis(likeness, near, axis=1)
    votes = np.zeros((len(test), int(train_codes.max()) + 1))
    rows = np.repeat(np.arange(len(test)), k)
    np.add.at(votes, (rows, train_codes[near].ravel()), 1 + 1e-6 * closeness.ravel())
    return votes.argmax(axis=1)


def spaced(rows: np.ndarray, n: int) -> np.ndarray:
    """Return at most ``n`` of ``rows``, evenly spaced."""
    return rows if len(rows) <= n else rows[np.linspace(0, len(rows) - 1, n).astype(int)]


def distant(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return the half of the frames ``train`` that lie farthest from any of ``test``.

    Examples
    --------
    >>> distant(np.arange(6), np.array([8, 9])).tolist()
    [0, 1, 2]
    """
    after = np.searchsorted(test, train)
    right = np.abs(test[np.minimum(after, len(test) - 1)] - train)
    left = np.abs(test[np.maximum(after - 1, 0)] - train)
    order = np.argsort(-np.minimum(left, right), kind="stable")
    return np.sort(train[order[: max(len(train) // 2, 1)]])


def told_by_neighbours(
    train: Mapping[str, np.ndarray], test: Mapping[str, np.ndarray], subjects: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """Tell whose frame it is by :func:`knn`.

    Parameters
    ----------
    train, test
        Recording -> features ``(row, channel)``, scaled alike for all.
    subjects
        Recording -> animal.

    Returns
    -------
    Recording -> animal told for each test row.
    """
    animals = np.array(sorted({subjects[name] for name in train}))
    numbers = np.searchsorted(animals, [subjects[name] for name in train])
    codes = np.repeat(numbers, [len(rows) for rows in train.values()])
    bank = np.concatenate(list(train.values()))
    return {name: animals[knn(bank, codes, rows)] for name, rows in test.items()}
