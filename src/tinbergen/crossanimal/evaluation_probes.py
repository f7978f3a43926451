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
_KNN_TRAIN, _KNN_TEST = 500, 250  # frames an animal, evenly spaced: neighbours say the same


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
        one_hot = (codes[:, None, :] == np.arange(n_classes)[:, None]).astype(features.dtype)
        return cls(one_hot.sum(axis=2), one_hot @ features, features.T @ features)

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


def identity_predictions(
    features: Mapping[str, np.ndarray],
    train: Mapping[str, np.ndarray],
    test: Mapping[str, np.ndarray],
    subjects: Mapping[str, str],
    probe: Probe | Literal["knn"],
) -> dict[str, np.ndarray]:
    """Tell whose frame it is.

    Parameters
    ----------
    features
        Recording -> ``(time, channel)``, scaled alike for all.
    train, test
        Recording -> indices of its training and its test frames.
    subjects
        Recording -> animal.

    Returns
    -------
    Recording -> animal told for each test frame; for kNN, of at most 250 frames a recording,
    evenly spaced, out of at most 500 of each.
    """
    names = list(features)
    animals = np.array(sorted({subjects[name] for name in names}))
    numbers = np.searchsorted(animals, [subjects[name] for name in names])
    if probe == "knn":
        chosen = {name: spaced(train[name], _KNN_TRAIN) for name in names}
        codes = np.repeat(numbers, [len(chosen[name]) for name in names])
        bank = np.concatenate([features[name][chosen[name]] for name in names])
        return {
            name: animals[knn(bank, codes, features[name][spaced(test[name], _KNN_TEST)])]
            for name in names
        }
    codes = np.repeat(numbers, [len(train[name]) for name in names])
    rows = np.concatenate([features[name][train[name]] for name in names])
    if probe in ("logistic", "wide logistic"):
        fitted = logistic(rows, codes, ALPHA)
    else:
        fitted = discriminants(Moments.of(rows, codes[None], len(animals)))[0]
    return {name: animals[fitted.predict(features[name][test[name]])] for name in names}
