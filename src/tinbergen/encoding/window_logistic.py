"""A class of every window from its counts: choice, block, reward, by logistic regression."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from tinbergen.encoding.inputs import Rows
from tinbergen.encoding.logistic import Logistic
from tinbergen.encoding.peer_rates import checked_counts
from tinbergen.errors import DataError
from tinbergen.metrics import balanced_accuracy
from tinbergen.saving import Saved

PARTS = (1, 4)  # of a window
ALPHAS = (1e5, 1e4, 1e3, 1e2, 1e1)
_LEAST_DEVIATION = 0.1  # square root of spikes: added, so that rare units are not blown up


class WindowLogistic(Saved):
    """Decode one class a window: multinomial, every class counting the same.

    Features are the square roots of the counts of each unit in the whole window or in each of
    4 parts, z-scored. Validation windows choose parts and penalty by balanced accuracy and,
    where that is equal, by likelihood; the training windows alone are fitted.

    Attributes
    ----------
    parts_
        1 or 4.
    mean_, deviation_
        ``(part x unit,)`` of the training features.
    logistic_
        The fitted :class:`~tinbergen.encoding.logistic.Logistic`.
    validation_score_
        Balanced accuracy, which the choice makes flattering.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> side = np.repeat(["left", "right"], 40)
    >>> rates = np.where(side == "left", 0.5, 1.5)[:, None, None]
    >>> counts = rng.poisson(rates, size=(80, 8, 6))  # (window, time, unit)
    >>> model = WindowLogistic().fit(counts[::2], side[::2])
    >>> model.predict_proba(counts[1::2]).shape
    (40, 2)
    """

    _parts: ClassVar[Mapping[str, type[Saved]]] = {"logistic_": Logistic}
    parts_: int
    mean_: np.ndarray
    deviation_: np.ndarray
    logistic_: Logistic
    validation_score_: float

    def fit(
        self, counts: ArrayLike, labels: ArrayLike, *, validate: ArrayLike | None = None
    ) -> Self:
        """Fit on training windows, choose on the others.

        Parameters
        ----------
        counts
            ``(window, time, unit)``, spikes/bin.
        labels
            ``(window,)`` numbers, bools or text, all known.
        validate
            ``(window,)`` bool: windows to choose on; by default every fifth.

        Raises
        ------
        DataError
            If shapes do not fit, or the training windows hold fewer than two classes.
        """
        counts, labels = checked_counts(counts), np.asarray(labels)
        if labels.shape != counts.shape[:1]:
            raise DataError(
                f"labels: expected one for each of {len(counts)} windows, found {labels.shape}."
            )
        held = Rows.of(counts).held_out(validate).reshape(counts.shape[:2])[:, 0]
        if not held.any():
            raise DataError("No window is held out to choose on; give `validate`.")
        best = (-np.inf, -np.inf)
        for parts in PARTS:
            features = _features(counts, parts)
            mean = features[~held].mean(axis=0)
            deviation = features[~held].std(axis=0) + _LEAST_DEVIATION
            features = (features - mean) / deviation
            variance = features[~held].var(axis=0)
            if not (variance > 0).any():
                raise DataError("counts: no unit varies over the training windows.")
            # The model divides by the common deviation: so that penalties are of our features.
            power = variance[variance > 0].mean()
            for alpha in ALPHAS:
                model = Logistic(alphas=(alpha / power,), balanced=True, scale="common")
                model.fit(features[~held], labels[~held])
                score = _score(model, features[held], labels[held])
                if score > best:
                    best, self.parts_, self.mean_, self.deviation_ = score, parts, mean, deviation
                    self.logistic_, self.validation_score_ = model, score[0]
        return self

    @property
    def classes_(self) -> np.ndarray:
        """``(class,)`` labels, sorted."""
        return self.logistic_.classes_

    def predict_proba(self, counts: ArrayLike) -> np.ndarray:
        """Return probabilities ``(window, class)``, in the order of ``classes_``."""
        features = self._z_scored(counts)
        return self.logistic_.predict_proba(features)

    def predict(self, counts: ArrayLike) -> np.ndarray:
        """Return the most probable label ``(window,)``."""
        features = self._z_scored(counts)
        return self.logistic_.predict(features)

    def _z_scored(self, counts: ArrayLike) -> np.ndarray:
        self._check_fitted()
        features = _features(checked_counts(counts), self.parts_)
        if features.shape[1] != len(self.mean_):
            raise DataError(
                f"counts: expected {len(self.mean_) // self.parts_} units, found "
                f"{np.shape(counts)[2]}."
            )
        return (features - self.mean_) / self.deviation_


def _score(model: Logistic, features: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Return balanced accuracy, and the log-likelihood of labels that training had."""
    p = model.predict_proba(features)[labels[:, None] == model.classes_]
    return balanced_accuracy(labels, model.predict(features)), float(
        np.log(np.maximum(p, 1e-12)).sum()
    )


def _features(counts: np.ndarray, parts: int) -> np.ndarray:
    """Return square roots ``(window, part x unit)`` of the counts in equal parts of a window."""
    cuts = np.array_split(counts, parts, axis=1)
    return np.sqrt(np.concatenate([cut.sum(axis=1) for cut in cuts], axis=1))
