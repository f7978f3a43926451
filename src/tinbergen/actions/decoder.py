"""The way from probabilities to bouts, as one thing that is chosen, kept and applied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from scipy.optimize import minimize_scalar

from tinbergen.actions.decoding import (
    duration_log_probabilities,
    semi_markov_viterbi,
    smoothed,
    sticky_path,
    without_gaps,
    without_short_bouts,
)
from tinbergen.errors import ConfigError
from tinbergen.metrics import bout_statistics
from tinbergen.saving import Saved

Path = Literal["frames", "sticky", "semi_markov"]
_FLOOR = 1e-9
_STEPS = 200  # of the longest bout, in which a semi-Markov path counts time


class Decoder(Saved):
    """Bouts from probabilities: temperature, mean, path, and what is too short.

    Parameters
    ----------
    path
        ``"frames"``: the most probable class of each frame; ``"sticky"``: the best path of a
        Markov chain that changes class with probability ``1 - stay`` a frame; ``"semi_markov"``:
        the best bouts, whose durations and order are as in the labels of :meth:`fit`.
    window
        Frames, odd, of the centred mean before; 1 = none.
    stay
        Of the sticky path.
    weight
        What the log probabilities of a frame count in a semi-Markov path. Neighbouring frames say
        almost the same, so it is far below 1.
    shortest
        Frames; shorter bouts go to their neighbours.
    gap, background
        Gaps of this class of at most so many frames inside another class are filled.
    temperature
        Logits are divided by it first; above 1 = less sure.

    Attributes
    ----------
    durations_, transitions_, step_
        Of the semi-Markov path: ``(duration, class)`` log probability of 1, 2, ... steps;
        ``(class, class)`` of the next class; frames a step.
    """

    durations_: np.ndarray
    transitions_: np.ndarray
    step_: int

    def __init__(
        self,
        path: Path = "frames",
        *,
        window: int = 1,
        stay: float = 0.99,
        weight: float = 0.1,
        shortest: int = 1,
        gap: int = 0,
        background: int | None = None,
        temperature: float = 1.0,
    ):
        self.path: Path = path
        self.window = window
        self.stay = stay
        self.weight = weight
        self.shortest = shortest
        self.gap = gap
        self.background = background
        self.temperature = temperature

    def fit(self, codes: Sequence[np.ndarray], n_classes: int) -> Self:
        """Learn durations and order of bouts from labels; -1 = unlabelled."""
        if self.path not in ("frames", "sticky", "semi_markov"):
            raise ConfigError(
                f"path: expected frames, sticky or semi_markov, found {self.path!r}."
            )
        if self.gap and self.background is None:
            raise ConfigError("gap: gaps of what? Name the background class.")
        found = bout_statistics(codes, n_classes)
        longest = max((int(each.max(initial=1)) for each in found.lengths), default=1)
        self.step_ = max(1, longest // _STEPS)
        steps = [each / self.step_ for each in found.lengths]
        self.durations_ = duration_log_probabilities(steps, 2 * longest // self.step_ + 1)
        counts = (found.transitions + 1.0) * (1 - np.eye(n_classes))
        self.transitions_ = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
        return self

    def calibrated(self, probabilities: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the probabilities at the temperature, ``(time, class)`` each."""
        return [tempered(p, self.temperature) for p in probabilities]

    def decode(self, probabilities: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the class of each frame, ``(time,)`` int each."""
        self._check_fitted()
        p = [smoothed(each, self.window) for each in self.calibrated(probabilities)]
        codes = self._paths(p)
        if self.gap and self.background is not None:
            codes = [without_gaps(each, self.gap, self.background) for each in codes]
        return [without_short_bouts(each, self.shortest) for each in codes]

    def _paths(self, probabilities: list[np.ndarray]) -> list[np.ndarray]:
        if self.path == "frames":
            return [each.argmax(axis=1) for each in probabilities]
        logs = [np.log(np.maximum(each, _FLOOR)) for each in probabilities]
        if self.path == "sticky":
            return [sticky_path(each, self.stay)[0] for each in logs]
        return [self._semi_markov(each) for each in logs]

    def _semi_markov(self, logs: np.ndarray) -> np.ndarray:
        if not len(logs):
            return np.zeros(0, np.int64)
        starts = np.arange(0, len(logs), self.step_)
        sums = np.add.reduceat(logs, starts, axis=0) * self.weight
        path, _ = semi_markov_viterbi(sums, self.durations_, self.transitions_)
        return np.repeat(path, self.step_)[: len(logs)]


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return the probabilities whose logits are divided by ``temperature``.

    Examples
    --------
    >>> tempered(np.array([[0.8, 0.2]]), 2.0).round(3).tolist()
    [[0.667, 0.333]]
    """
    if temperature <= 0:
        raise ConfigError(f"temperature: expected a number above 0, found {temperature}.")
    if temperature == 1:
        return probabilities
    highest = probabilities.max(axis=1, keepdims=True)
    raised = (probabilities / highest) ** (1.0 / temperature)
    return raised / raised.sum(axis=1, keepdims=True)


def fit_temperature(probabilities: Sequence[np.ndarray], codes: Sequence[np.ndarray]) -> float:
    """Return the temperature at which labelled frames are most likely.

    References
    ----------
    Guo et al. 2017, "On calibration of modern neural networks", section 4.2.
    """
    p, y = np.concatenate(list(probabilities)), np.concatenate(list(codes))
    p, y = p[y >= 0], y[y >= 0]

    def loss(log_temperature: float) -> float:
        own = np.take_along_axis(tempered(p, float(np.exp(log_temperature))), y[:, None], axis=1)
        return float(-np.log(np.maximum(own, _FLOOR)).mean())

    found = minimize_scalar(loss, bounds=(-2.5, 2.5), method="bounded")
    return float(np.exp(found.x))  # type: ignore[attr-defined]
