"""Scores of several animals: which of those found is which, and how many are found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinbergen.metrics import (
    Score,
    keypoint_distances,
    matched,
    mean_average_precision,
    similarities,
)
from tinbergen.metrics.instances import Definition, present

_FOUND = 0.1  # similarity (sigma 0.1) from which an animal counts as found, if badly
_DEFINITIONS: tuple[tuple[Definition, float], ...] = (("dlc", 0.1), ("sleap", 0.025))


@dataclass(frozen=True, eq=False)
class Animals:
    """What was found in some frames, and what was labelled.

    Attributes
    ----------
    predicted, confidence
        ``(frame, n, keypoint, 2)`` px, NaN = not found, and ``(frame, n, keypoint)``.
    true
        ``(frame, m, keypoint, 2)`` px; NaN = not labelled.
    mean_pose
        ``(n, keypoint, 2)`` px, of training; rows without a label there are of no animal.
    """

    predicted: np.ndarray
    confidence: np.ndarray
    true: np.ndarray
    mean_pose: np.ndarray

    def aligned(self) -> tuple[np.ndarray, np.ndarray]:
        """Give each labelled animal what was found of it: the likest, one to one.

        Returns
        -------
        positions : as ``true``; NaN for animals that were not found.
        confidence : as its first three axes; 0 for those.
        """
        positions = np.full(self.true.shape, np.nan)
        confidence = np.zeros(self.true.shape[:3])
        for frame, (guess, label) in enumerate(zip(self.predicted, self.true, strict=True)):
            rows, columns = matched(similarities(guess, label), _FOUND)
            positions[frame, columns] = guess[rows]
            confidence[frame, columns] = self.confidence[frame, rows]
        return positions, confidence

    def found_score(self, aligned: np.ndarray, split: str = "") -> Score:
        """Share of the labelled animals that were found; ``aligned`` as :meth:`aligned` has it."""
        labelled = present(self.true)
        found = present(aligned.reshape(self.true.shape)) & labelled
        n = int(labelled.sum())
        return Score(
            "animals found",
            float(found.sum() / n),
            n=n,
            n_name="animals",
            split=split,
            method="share of labelled animals that a find resembles; pixel errors are of these",
        )

    def null_distances(self) -> np.ndarray:
        """Distance of each labelled keypoint from the nearest of the mean animals, px.

        Returns
        -------
        ``(frame, m, keypoint)``; NaN where not labelled.
        """
        each = keypoint_distances(self.mean_pose[:, None], self.true[:, None])
        nearest = np.where(np.isfinite(each), each, np.inf).min(axis=1)
        return np.where(np.isfinite(nearest), nearest, np.nan)

    def precision_scores(self, split: str = "") -> list[Score]:
        """Mean average precision in both usual definitions; ``split`` says what was scored."""
        scores = []
        guess = self._instances()
        n = len(self.true)
        blank = self.mean_pose[present(self.mean_pose)]
        mean_pose = [blank] * n, [np.ones(len(blank))] * n
        for definition, sigma in _DEFINITIONS:
            found = mean_average_precision(*guess, list(self.true), definition=definition)
            blind = mean_average_precision(*mean_pose, list(self.true), definition=definition)
            scores.append(
                Score(
                    f"mAP, OKS with sigma {sigma}",
                    found.mean,
                    null=blind.mean,
                    null_name="mean pose of training",
                    n=found.n_true,
                    n_name="animals",
                    split=split,
                    method=f"similarity as in {definition.upper()}; false positives count; "
                    f"{found.recall[0]:.1%} of the animals found at OKS 0.5, "
                    f"{found.n_predicted} finds",
                )
            )
        return scores

    def _instances(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Animals that were found, and their mean confidence, frame by frame."""
        there = present(self.predicted)
        frames = zip(self.predicted, self.confidence, there, strict=True)
        pairs = [(guess[kept], sure[kept].mean(axis=-1)) for guess, sure, kept in frames]
        return [guess for guess, _ in pairs], [sure for _, sure in pairs]
