"""Scores of tracks against proofread ones, on the frames that were proofread."""

from __future__ import annotations

import numpy as np

from tinbergen.errors import DataError
from tinbergen.metrics import Score, score_tracks
from tinbergen.metrics.instances import present
from tinbergen.recordings import Keypoints, nearest


def evaluate_tracks(tracks: Keypoints, truth: Keypoints, unlinked: Keypoints) -> list[Score]:
    """Say how well animals keep their names.

    Parameters
    ----------
    tracks
        Of :func:`tinbergen.pose.track`.
    truth
        Proofread tracks of the same video, on all or some of its frames; rows without any animal
        were not proofread, and do not count.
    unlinked
        What ``tracks`` were made from: the null.

    Raises
    ------
    DataError
        If the truth has no frame or no keypoint in common with the tracks.
    """
    names = [name for name in truth.keypoints if name in tracks.keypoints]
    step = float(np.median(np.diff(tracks.times)))
    rows = nearest(tracks.times, truth.times, step / 2)
    kept = (rows >= 0) & present(truth.positions).any(axis=1)
    if not names or not kept.any():
        raise DataError(
            "The proofread tracks have no "
            f"{'frame' if names else 'keypoint'} in common with those to score. Are they of the "
            "same video?"
        )

    def positions(of: Keypoints, frames: np.ndarray) -> np.ndarray:
        columns = [of.keypoints.index(name) for name in names]
        return of.positions[frames][:, :, columns, :2]

    true = positions(truth, np.flatnonzero(kept))
    seen = truth.times[kept]
    minutes = float(seen[-1] - seen[0] + step) / 60
    pair = tracks, unlinked
    found, null = (score_tracks(positions(of, rows[kept]), true, minutes) for of in pair)
    common = {"null_name": "unlinked", "n": found.n_true, "n_name": "animals in frames"}
    method = "an animal is found where the OKS (sigma 0.1) is at least 0.5"
    switches = f"{found.switches} in {minutes:.2f} min, all animals together; {method}"
    return [
        Score(
            "identity switches per minute",
            found.switches_per_minute,
            direction="lower",
            null=null.switches_per_minute,
            method=switches,
            **common,
        ),
        Score("MOTA", found.mota, null=null.mota, method=method, **common),
        Score("IDF1", found.idf1, null=null.idf1, method=method, **common),
    ]
