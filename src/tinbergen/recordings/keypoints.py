"""Tracked body parts over time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from tinbergen.errors import DataError
from tinbergen.recordings.intervals import Bins, Intervals
from tinbergen.recordings.series import frozen_copy, sample_times


@dataclass(frozen=True, eq=False)
class Keypoints:
    """Positions of body parts of one or several animals.

    Attributes
    ----------
    times
        ``(time,)`` float64, s, ascending.
    positions
        ``(time, individual, keypoint, space)`` float64, space = x, y or x, y, z; NaN = missing.
    confidence
        ``(time, individual, keypoint)`` float64, 0 to 1; NaN where none was given.
    keypoints, individuals
        Names.
    unit
        Of the positions: ``"px"`` or ``"mm"``.
    valid
        Where the animals were filmed; default: from the times.
    """

    times: np.ndarray
    positions: np.ndarray
    confidence: np.ndarray = field(default=None)  # type: ignore[assignment]
    keypoints: tuple[str, ...] = ()
    individuals: tuple[str, ...] = ("individual",)
    unit: str = "px"
    valid: Intervals = field(default=None)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        times = sample_times(self.times, "Keypoints")
        positions = frozen_copy(self.positions, np.float64)
        shape = positions.shape
        if len(shape) != 4 or shape[0] != len(times) or shape[3] not in (2, 3):
            raise DataError(
                "Keypoints: expected positions (time, individual, keypoint, 2 or 3) for "
                f"{len(times)} times, found shape {shape}."
            )
        given = np.full(shape[:3], np.nan) if self.confidence is None else self.confidence
        confidence = frozen_copy(given, np.float64)
        names = tuple(map(str, self.keypoints)) or tuple(f"keypoint{i}" for i in range(shape[2]))
        individuals = tuple(map(str, self.individuals))
        if confidence.shape != shape[:3]:
            raise DataError(
                f"Keypoints: expected confidence {shape[:3]}, found shape {confidence.shape}."
            )
        if (len(individuals), len(names)) != shape[1:3]:
            raise DataError(
                f"Keypoints: positions hold {shape[1]} individuals and {shape[2]} keypoints, but "
                f"{len(individuals)} and {len(names)} names were given."
            )
        values = (times, positions, confidence, names, individuals)
        fields = ("times", "positions", "confidence", "keypoints", "individuals")
        for name, value in zip(fields, values, strict=True):
            object.__setattr__(self, name, value)
        if self.valid is None:
            object.__setattr__(self, "valid", Intervals.of_samples(times))

    def __len__(self) -> int:
        return len(self.times)

    def of(self, keypoint: str, individual: str | None = None) -> np.ndarray:
        """Return the path of one keypoint, ``(time, space)``, in ``unit``."""
        who = self.individuals[0] if individual is None else individual
        if keypoint not in self.keypoints or who not in self.individuals:
            raise DataError(
                f"No keypoint {keypoint!r} of {who!r}; keypoints: {', '.join(self.keypoints)}; "
                f"individuals: {', '.join(self.individuals)}."
            )
        return self.positions[:, self.individuals.index(who), self.keypoints.index(keypoint)]

    def between(self, start: float, stop: float) -> Self:
        """Return the samples with ``start <= time < stop`` (s)."""
        first, last = np.searchsorted(self.times, [start, stop])
        return replace(
            self,
            times=self.times[first:last],
            positions=self.positions[first:last],
            confidence=self.confidence[first:last],
            valid=self.valid.between(start, stop),
        )

    def bin(self, bins: Bins) -> np.ndarray:
        """Return the mean position in each bin, ``(bin, individual, keypoint, space)``."""
        return bins.mean(self.times, self.positions)
