"""Features brought to one scale, as the training data have it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np

from tinbergen.metrics.known import known_moments
from tinbergen.saving import Saved

Scaling = Literal["training", "session", "none"]

_LARGEST = 10.0  # deviations: what lies further out, as a jump of the tracker, counts as this


class Scaler(Saved):
    """Z-score of each channel; what is not known (NaN) becomes 0, the mean.

    Parameters
    ----------
    scaling
        ``"training"``: mean and deviation of all training sequences, kept; ``"session"``: of each
        sequence by itself, also of a new one (nothing is kept); ``"none"``: values as they are.

    Attributes
    ----------
    mean_, deviation_
        ``(channel,)`` of the training sequences (population deviation). A channel that never
        changes has deviation 1, and so is 0 after scaling.

    Examples
    --------
    >>> scaled = Scaler().fit([np.array([[1.0, 5.0], [3.0, 5.0]])])
    >>> scaled.transform([np.array([[2.0, 5.0], [np.nan, 5.0]])])[0].tolist()
    [[0.0, 0.0], [0.0, 0.0]]
    """

    mean_: np.ndarray
    deviation_: np.ndarray

    def __init__(self, scaling: Scaling = "training"):
        self.scaling: Scaling = scaling

    def fit(self, sequences: Sequence[np.ndarray]) -> Self:
        """Learn from ``sequences``, each ``(time, channel)``; NaN and rows of NaN are left out."""
        self.mean_, self.deviation_ = _moments(np.concatenate(list(sequences)))
        return self

    def transform(self, sequences: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the scaled sequences, ``(time, channel)`` float32 without NaN."""
        self._check_fitted()
        return [self._scaled(np.asarray(x)) for x in sequences]

    def _scaled(self, x: np.ndarray) -> np.ndarray:
        scaled = x.astype(np.float32)
        if self.scaling != "none":
            mean, deviation = (
                _moments(x) if self.scaling == "session" else (self.mean_, self.deviation_)
            )
            # In float64 until the mean is gone: coordinates far from 0 have few digits left.
            np.divide(np.subtract(x, mean), deviation, out=scaled, casting="same_kind")
            np.clip(scaled, -_LARGEST, _LARGEST, out=scaled)
        scaled[np.isnan(scaled)] = 0.0
        return scaled


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, deviation = known_moments(x)
    # What rounding leaves of a constant is no deviation.
    return mean, np.where(deviation <= 1e-7 * np.abs(mean), 1.0, deviation)
