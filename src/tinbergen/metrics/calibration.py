"""Whether a probability of 0.8 is right in 8 of 10 frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tinbergen.errors import DataError


@dataclass(frozen=True)
class CalibrationScores:
    """Confidence against how often it was right; see :func:`calibration_scores`.

    Attributes
    ----------
    error
        Expected calibration error: mean over frames of the distance between the confidence and
        the accuracy of its bin. 0 is best.
    edges
        ``(bin + 1,)`` of the confidence, the highest probability of a frame.
    confidence, accuracy
        ``(bin,)`` means; NaN in empty bins.
    counts
        ``(bin,)`` frames.
    log_loss
        Mean negative log probability of the true class, nats.
    """

    error: float
    edges: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    counts: np.ndarray
    log_loss: float


def calibration_scores(
    truth: ArrayLike, probabilities: ArrayLike, n_bins: int = 15
) -> CalibrationScores:
    """Compare the highest probability of each frame with how often that class was right.

    Parameters
    ----------
    truth
        ``(time,)`` codes; negative: not scored, left out.
    probabilities
        ``(time, class)``, each row adding up to 1.
    n_bins
        Bins of equal width between 0 and 1.

    Raises
    ------
    DataError
        If shapes differ, rows are no probabilities, or nothing is scored.

    References
    ----------
    Guo, Pleiss, Sun & Weinberger, "On calibration of modern neural networks", ICML 2017, eq. 3.

    Examples
    --------
    >>> found = calibration_scores([0, 0, 0, 1], [[0.75, 0.25]] * 4)
    >>> round(found.error, 6), round(found.log_loss, 6)
    (0.0, 0.562335)
    """
    y, p = np.asarray(truth), np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or y.shape != p.shape[:1]:
        raise DataError(
            f"expected codes (time,) and probabilities (time, class), found {y.shape} and "
            f"{p.shape}."
        )
    scored = y >= 0
    y, p = y[scored], p[scored]
    if not len(y) or y.max() >= p.shape[1]:
        raise DataError(
            f"expected scored frames of classes below {p.shape[1]}, found "
            f"{len(y)} with codes up to {y.max(initial=-1)}."
        )
    bad = np.flatnonzero(~(np.abs(p.sum(axis=1) - 1) < 1e-3) | (p < 0).any(axis=1))
    if len(bad):
        raise DataError(
            f"scored frame {bad[0]} has probabilities {p[bad[0]]}, which do not add up to 1 "
            f"({len(bad)} such frames)."
        )
    top = p.max(axis=1)
    right = p.argmax(axis=1) == y
    edges = np.linspace(0, 1, n_bins + 1)
    bin_of = np.clip(np.ceil(top * n_bins).astype(int) - 1, 0, n_bins - 1)
    counts = np.bincount(bin_of, minlength=n_bins)
    known = np.where(counts > 0, counts, np.nan)
    confidence = np.bincount(bin_of, top, n_bins) / known
    accuracy = np.bincount(bin_of, right, n_bins) / known
    error = np.nansum(counts * np.abs(confidence - accuracy)) / len(y)
    of_truth = p[np.arange(len(y)), y]
    log_loss = -np.log(np.maximum(of_truth, np.finfo(np.float64).tiny)).mean()
    return CalibrationScores(float(error), edges, confidence, accuracy, counts, float(log_loss))
