"""Whether animals keep their names over time: identity switches, MOTA, IDF1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment

from tinbergen.errors import DataError
from tinbergen.metrics.instances import matched, present, similarities

LEAST_OKS = 0.5


@dataclass(frozen=True)
class TrackScores:
    """Result of :func:`score_tracks`.

    Attributes
    ----------
    switches
        How often a true animal, found again, has another track than when it was last found.
    switches_per_minute
        Of the recording, as it is usual to quote; all animals together.
    mota
        Multiple object tracking accuracy, ``1 - (missed + false + switches) / true`` (Bernardin &
        Stiefelhagen 2008): 1 is best; below 0 where errors outnumber the animals.
    idf1
        F1 of the detections under the best one-to-one naming of all tracks (Ristani et al. 2016).
    missed, false, n_true
        Detections: animals not found, finds that are no animal, animals in all frames.
    """

    switches: int
    switches_per_minute: float
    mota: float
    idf1: float
    missed: int
    false: int
    n_true: int


def score_tracks(
    predicted: ArrayLike, true: ArrayLike, minutes: float, *, sigma: float = 0.1
) -> TrackScores:
    """Compare tracks with true ones on the same frames.

    An animal and a track match in a frame where their object keypoint similarity is at least 0.5.
    A match lasts as long as that holds; what is left is matched anew (CLEAR MOT).

    Parameters
    ----------
    predicted, true
        ``(time, track, keypoint, 2)`` and ``(time, animal, keypoint, 2)`` px; NaN = not there.
    minutes
        Length of the recording.
    sigma
        Of the similarity; see :mod:`tinbergen.metrics.instances`.

    Raises
    ------
    DataError
        If the two do not have the same frames, or nothing is labelled.
    """
    predicted, true = np.asarray(predicted, dtype=float), np.asarray(true, dtype=float)
    if len(predicted) != len(true):
        raise DataError(
            f"Expected tracks of the same frames, found {len(predicted)} and {len(true)}."
        )
    here, there = present(predicted), present(true)
    if not there.any():
        raise DataError("No animal is labelled in any frame.")
    last: dict[int, int] = {}  # animal -> track it was last found in
    together = np.zeros((true.shape[1], predicted.shape[1]))
    switches = n_matched = 0
    for frame in range(len(true)):
        tracks, animals = np.flatnonzero(here[frame]), np.flatnonzero(there[frame])
        similar = similarities(predicted[frame, tracks], true[frame, animals], sigma)
        together[np.ix_(animals, tracks)] += (similar >= LEAST_OKS).T
        pairs = _frame_pairs(similar, tracks, animals, last)
        n_matched += len(pairs)
        switches += sum(last.get(animal, track) != track for animal, track in pairs.items())
        last |= pairs
    n_true, n_predicted = int(there.sum()), int(here.sum())
    missed, false = n_true - n_matched, n_predicted - n_matched
    named = together[linear_sum_assignment(-together)].sum()
    return TrackScores(
        switches=switches,
        switches_per_minute=switches / minutes,
        mota=1 - (missed + false + switches) / n_true,
        idf1=float(2 * named / (n_true + n_predicted)),
        missed=missed,
        false=false,
        n_true=n_true,
    )


def _frame_pairs(
    similar: np.ndarray, tracks: np.ndarray, animals: np.ndarray, last: dict[int, int]
) -> dict[int, int]:
    """Animal -> track: the pairs of before where they still hold, then the best of the rest."""
    similar = np.where(similar >= LEAST_OKS, similar, 0.0)
    # A kept pair outweighs any other choice, so that one assignment does both.
    kept = np.array([[last.get(int(a)) == t for a in animals] for t in tracks], dtype=bool)
    kept = kept.reshape(similar.shape) & (similar > 0)
    rows, columns = matched(similar + len(tracks) * kept)
    return {int(animals[c]): int(tracks[r]) for r, c in zip(rows, columns, strict=True)}
