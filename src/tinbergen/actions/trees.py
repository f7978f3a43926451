"""Classifiers of single frames, which see the frames around each as columns."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import softmax
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from tinbergen.actions.forest import Forest
from tinbergen.actions.scaling import Scaler, Scaling
from tinbergen.actions.segmenter import Arrays, HeldOut, Segmenter, check_least
from tinbergen.errors import ConfigError
from tinbergen.recordings.lags import lagged, window_lags
from tinbergen.saving import Saved


class _Fitted(Segmenter):
    """Fitted attributes, which are no parameters."""

    scaler_: Scaler
    seen_: np.ndarray
    forest_: Forest
    baseline_: np.ndarray
    coefficients_: np.ndarray
    intercepts_: np.ndarray
    _parts: ClassVar[Mapping[str, type[Saved]]] = {"scaler_": Scaler, "forest_": Forest}


@dataclass(kw_only=True, eq=False, repr=False)
class FrameSegmenter(_Fitted):
    """A classifier of frames, each with those around it.

    Attributes
    ----------
    reach, lags
        Frames to each side, and how many of them are looked at (denser around the frame).
    every
        Learn from every so many labelled frames of a class: neighbours say almost the same.
    scaling
        See :class:`~tinbergen.actions.Scaler`.
    balanced
        Whether rare classes count as much as frequent ones.
    random_state
        The same seed gives the same model.
    scaler_, seen_
        Fitted; ``seen_`` ``(class,)`` are the codes that occur in the training data.
    """

    reach: int = 60
    lags: int = 5
    every: int = 5
    scaling: Scaling = "training"
    balanced: bool = True
    random_state: int = 0

    def check_parameters(self) -> None:
        """See that the parameters are of use; see :class:`Segmenter`."""
        super().check_parameters()
        check_least(self, every=1, reach=0, lags=0, rounds=1, leaves=2, trees=1, smallest=1)
        for name in ("learning_rate", "penalty"):
            if getattr(self, name, 1.0) <= 0:
                raise ConfigError(f"{name}: expected above 0, found {getattr(self, name)}.")

    def _fit(self, features: Arrays, codes: Arrays, validation: HeldOut) -> None:
        self.scaler_ = Scaler(self.scaling).fit(features)
        rows, targets = [], []
        for x, y in zip(self.scaler_.transform(features), codes, strict=True):
            # Class by class: of one with few frames some are learned.
            known = [np.flatnonzero(y == k)[:: self.every] for k in range(len(self.classes_))]
            known = np.sort(np.concatenate(known))
            rows.append(lagged(x, self._lags)[known])
            targets.append(y[known])
        target = np.concatenate(targets)
        self.seen_ = np.unique(target)
        self._learn(np.concatenate(rows), target)

    @property
    def _lags(self) -> tuple[int, ...]:
        return window_lags(self.reach, self.lags)

    def _probabilities(self, features: list[np.ndarray]) -> list[np.ndarray]:
        found = []
        for x in self.scaler_.transform(features):
            each = np.zeros((len(x), len(self.classes_)))
            if len(self.seen_) == 1:
                each[:, self.seen_] = 1.0
            elif len(x):
                each[:, self.seen_] = self._shares(lagged(x, self._lags))
            found.append(each)
        return found

    @property
    def _class_weight(self) -> str | None:
        return "balanced" if self.balanced else None

    @abstractmethod
    def _learn(self, x: np.ndarray, codes: np.ndarray) -> None:
        """Learn from ``(frame, column)`` and their codes ``(frame,)``."""

    @abstractmethod
    def _shares(self, x: np.ndarray) -> np.ndarray:
        """Return ``(frame, seen class)`` probabilities."""


@dataclass(kw_only=True, eq=False, repr=False)
class BoostedTrees(FrameSegmenter):
    """Gradient boosting of trees on binned values.

    Parameters
    ----------
    rounds, learning_rate, leaves
        Number of trees a class, their weight, and leaves of each at most.
    others
        See :class:`FrameSegmenter`.

    References
    ----------
    Ke et al. 2017, "LightGBM"; scikit-learn's ``HistGradientBoostingClassifier``.
    """

    rounds: int = 150
    learning_rate: float = 0.1
    leaves: int = 15

    def _learn(self, x: np.ndarray, codes: np.ndarray) -> None:
        if len(self.seen_) == 1:
            return
        model = HistGradientBoostingClassifier(
            max_iter=self.rounds,
            learning_rate=self.learning_rate,
            max_leaf_nodes=self.leaves,
            max_features=0.3,
            early_stopping=False,  # type: ignore[arg-type]
            class_weight=self._class_weight,
            random_state=self.random_state,
        ).fit(x, codes)
        self.forest_ = Forest.of_boosting(model)
        self.baseline_ = np.asarray(model._baseline_prediction).reshape(-1)

    def _shares(self, x: np.ndarray) -> np.ndarray:
        return _shares_of(self.forest_.sums(x) + self.baseline_)


@dataclass(kw_only=True, eq=False, repr=False)
class RandomForest(FrameSegmenter):
    """A random forest.

    Parameters
    ----------
    trees, smallest
        Number of trees; frames of a leaf at least.
    others
        See :class:`FrameSegmenter`.

    References
    ----------
    Breiman 2001, "Random forests".
    """

    trees: int = 100
    smallest: int = 5
    every: int = 10  # unlike boosting it grows its trees to the end, each on most of the frames

    def _learn(self, x: np.ndarray, codes: np.ndarray) -> None:
        model = RandomForestClassifier(
            self.trees,
            min_samples_leaf=self.smallest,
            class_weight=self._class_weight,
            random_state=self.random_state,
        ).fit(x, codes)
        self.forest_ = Forest.of_random_forest(model)

    def _shares(self, x: np.ndarray) -> np.ndarray:
        return self.forest_.sums(x) / len(self.forest_.roots_)


@dataclass(kw_only=True, eq=False, repr=False)
class LogisticFrames(FrameSegmenter):
    """Multinomial logistic regression: the plain linear baseline.

    Parameters
    ----------
    penalty
        Inverse weight of the squared coefficients, scikit-learn's ``C``.
    others
        See :class:`FrameSegmenter`.
    """

    penalty: float = 0.01

    def _learn(self, x: np.ndarray, codes: np.ndarray) -> None:
        if len(self.seen_) == 1:
            return
        model = LogisticRegression(
            C=self.penalty, max_iter=300, class_weight=self._class_weight
        ).fit(x, codes)
        self.coefficients_, self.intercepts_ = model.coef_, model.intercept_

    def _shares(self, x: np.ndarray) -> np.ndarray:
        return _shares_of(x @ self.coefficients_.T + self.intercepts_)


def _shares_of(logits: np.ndarray) -> np.ndarray:
    """Return probabilities; one logit is that of the second of two classes."""
    if logits.shape[1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    return softmax(logits, axis=1)
