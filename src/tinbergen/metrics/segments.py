"""How well bouts of behaviour are found: segmental F1, edit score, rates, onsets, transitions.

A frame score does not see that one long bout was cut into twenty. Sessions are lists of
``(time,)`` integer codes; frames whose true code is negative were scored by nobody and are left
out. They also end a bout: nobody knows whether it went on.

References
----------
Lea, Flynn, Vidal, Reiter & Hager, "Temporal convolutional networks for action segmentation and
detection", CVPR 2017, section 4: the segmental F1 and edit scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tinbergen.errors import DataError
from tinbergen.metrics.bootstrap import bootstrap_interval, pooled_interval
from tinbergen.metrics.score import Interval

OVERLAPS = (0.1, 0.25, 0.5)


class Bouts(NamedTuple):
    """Runs of one class."""

    starts: np.ndarray
    """``(bout,)`` first frame."""
    stops: np.ndarray
    """``(bout,)`` frame after the last."""
    codes: np.ndarray
    """``(bout,)`` class of each."""
    follows: np.ndarray
    """``(bout,)`` bool: whether it begins where the one before ends."""

    @property
    def lengths(self) -> np.ndarray:
        """``(bout,)`` frames."""
        return self.stops - self.starts


def bouts(codes: ArrayLike, scored: ArrayLike | None = None) -> Bouts:
    """Return the runs of equal codes; negative codes belong to none.

    Parameters
    ----------
    codes
        ``(time,)`` int.
    scored
        ``(time,)`` bool: other frames are no part of any bout.

    Examples
    --------
    >>> found = bouts([0, 0, -1, 0, 2, 2])
    >>> found.codes, found.lengths
    (array([0, 0, 2]), array([2, 1, 2]))
    """
    codes = np.asarray(codes)
    if scored is not None:
        codes = np.where(np.asarray(scored, dtype=bool), codes, -1)
    if not len(codes):
        none = np.zeros(0, dtype=np.intp)
        return Bouts(none, none, none, none.astype(bool))
    starts = np.flatnonzero(np.append(True, codes[1:] != codes[:-1]))
    stops = np.append(starts[1:], len(codes))
    kept = codes[starts] >= 0
    follows = np.append(False, kept[:-1])[kept]
    return Bouts(starts[kept], stops[kept], codes[starts][kept], follows)


@dataclass(frozen=True)
class SegmentScores:
    """How well bouts are found; shares between 0 and 1.

    Attributes
    ----------
    overlaps
        Least intersection over union of a true and a predicted bout that count as one.
    f1, f1_intervals
        An overlap each: segmental F1 of the counts pooled over sessions and classes; 95 %
        intervals over sessions.
    class_f1
        ``(overlap, class)``: the same of each class; NaN where neither has a bout.
    edit, edit_interval
        Mean over sessions of the edit score, and its interval over sessions.
    counts
        ``(session, overlap, class, 3)``: bouts found, false and missed.
    n_true, n_predicted
        Bouts.
    """

    overlaps: tuple[float, ...]
    f1: tuple[float, ...]
    f1_intervals: tuple[Interval, ...]
    class_f1: np.ndarray
    edit: float
    edit_interval: Interval
    counts: np.ndarray
    n_true: int
    n_predicted: int


def segment_scores(
    truth: Sequence[ArrayLike],
    prediction: Sequence[ArrayLike],
    n_classes: int,
    overlaps: Sequence[float] = OVERLAPS,
    *,
    seed: int = 0,
) -> SegmentScores:
    """Compare predicted bouts with true ones.

    A predicted bout finds the true one of its class that it overlaps best, if by at least
    ``overlap`` (intersection over union) and if no other found it before; else it is false.

    Parameters
    ----------
    truth, prediction
        A session each: ``(time,)`` codes below ``n_classes``; negative: not scored, not predicted.
    n_classes
        Number of classes.
    overlaps
        Thresholds.

    Raises
    ------
    DataError
        If the two differ in sessions or frames, or nothing is scored.

    Examples
    --------
    >>> scores = segment_scores([[0, 0, 1, 1]], [[0, 0, 0, 1]], 2)
    >>> scores.f1, scores.edit
    ((1.0, 1.0, 1.0), 1.0)
    """
    pairs = scored_pairs(truth, prediction, n_classes)
    counts = np.zeros((len(pairs), len(overlaps), n_classes, 3), dtype=np.int64)
    edits = np.full(len(pairs), np.nan)
    for session, (true, predicted) in enumerate(_both_bouts(pairs)):
        counts[session] = _counts(true, predicted, n_classes, overlaps)
        edits[session] = edit_score(true.codes, predicted.codes)
    total = counts.sum(axis=0)
    return SegmentScores(
        overlaps=tuple(overlaps),
        f1=tuple(map(float, f1_of_counts(total.sum(axis=1)))),
        f1_intervals=tuple(
            pooled_interval(counts[:, o].sum(axis=1), f1_of_counts, seed=seed)
            for o in range(len(overlaps))
        ),
        class_f1=f1_of_counts(total),
        edit=float(np.nanmean(edits)),
        edit_interval=bootstrap_interval(edits, seed=seed),
        counts=counts,
        n_true=int(total[0, :, [0, 2]].sum()),
        n_predicted=int(total[0, :, [0, 1]].sum()),
    )


def edit_score(truth: ArrayLike, prediction: ArrayLike) -> float:
    """1 - Levenshtein distance of two orders of bouts, divided by the longer one's length.

    It asks for the right bouts in the right order, however long they are.

    Parameters
    ----------
    truth, prediction
        ``(bout,)`` codes.

    Examples
    --------
    >>> edit_score([1, 2, 1, 3], [1, 2, 3])
    0.75
    """
    true, predicted = np.asarray(truth), np.asarray(prediction)
    longest = max(len(true), len(predicted))
    if not longest:
        return float("nan")
    steps = np.arange(len(predicted) + 1)
    row = steps.copy()
    for code in true:
        best = np.append(row[0] + 1, np.minimum(row[:-1] + (predicted != code), row[1:] + 1))
        row = np.minimum.accumulate(best - steps) + steps  # what is left: insertions
    return float(1 - row[-1] / longest)


@dataclass(frozen=True)
class BoutErrors:
    """Where matched bouts begin and end; see :func:`bout_errors`.

    Attributes
    ----------
    session, code
        ``(match,)`` where each matched bout is, and its class.
    onset, offset
        ``(match,)`` frames, predicted minus true: negative = too early.
    """

    session: np.ndarray
    code: np.ndarray
    onset: np.ndarray
    offset: np.ndarray


def bout_errors(
    truth: Sequence[ArrayLike],
    prediction: Sequence[ArrayLike],
    n_classes: int,
    overlap: float = 0.1,
) -> BoutErrors:
    """Return how early or late bouts begin and end, of those that were found.

    Matches are those of :func:`segment_scores` at ``overlap``; a true bout that several predicted
    ones overlap best is compared with the best of them.
    """
    rows = []
    pairs = scored_pairs(truth, prediction, n_classes)
    for session, (true, predicted) in enumerate(_both_bouts(pairs)):
        best, share = _best(true, predicted)
        for t in np.unique(best[share >= overlap]):
            p = int(np.argmax(np.where(best == t, share, -1.0)))
            onset, offset = (
                predicted.starts[p] - true.starts[t],
                predicted.stops[p] - true.stops[t],
            )
            rows.append((session, true.codes[t], onset, offset))
    columns = np.array(rows, dtype=np.int64).reshape(-1, 4).T
    return BoutErrors(*columns)


@dataclass(frozen=True)
class BoutStatistics:
    """How often and how long each class is done; see :func:`bout_statistics`.

    Attributes
    ----------
    counts, frames
        ``(session, class)``: bouts, and frames in them.
    scored
        ``(session,)`` frames that were scored.
    lengths
        A class each: ``(bout,)`` frames, all sessions.
    transitions
        ``(class, class)``: how often the column's class follows the row's at once.
    """

    counts: np.ndarray
    frames: np.ndarray
    scored: np.ndarray
    lengths: tuple[np.ndarray, ...]
    transitions: np.ndarray

    def rates(self, fps: float) -> np.ndarray:
        """``(session, class)`` bouts per minute of scored time."""
        return self.counts / np.maximum(self.scored, 1)[:, None] * fps * 60

    def durations(self, fps: float) -> np.ndarray:
        """``(class,)`` median s of a bout; NaN where there is none."""
        return np.array([np.median(n) / fps if len(n) else np.nan for n in self.lengths])


def bout_statistics(
    codes: Sequence[ArrayLike], n_classes: int, scored: Sequence[ArrayLike] | None = None
) -> BoutStatistics:
    """Count bouts, their lengths and what follows what.

    Parameters
    ----------
    codes
        A session each: ``(time,)`` true or predicted codes.
    n_classes
        Number of classes.
    scored
        ``(time,)`` bool a session: which frames count (for predictions: where the truth is
        known). Default: those whose code is not negative.
    """
    sessions = [np.asarray(c) for c in codes]
    masks = [c >= 0 for c in sessions] if scored is None else [np.asarray(s, bool) for s in scored]
    found = [bouts(c, mask) for c, mask in zip(sessions, masks, strict=True)]
    transitions = np.zeros((n_classes, n_classes), dtype=np.int64)
    for each in found:
        after = np.flatnonzero(each.follows)
        np.add.at(transitions, (each.codes[after - 1], each.codes[after]), 1)
    return BoutStatistics(
        counts=np.array([np.bincount(b.codes, minlength=n_classes) for b in found]),
        frames=np.array([np.bincount(b.codes, b.lengths, n_classes) for b in found], dtype=int),
        scored=np.array([mask.sum() for mask in masks]),
        lengths=tuple(
            np.concatenate([np.zeros(0, int), *(b.lengths[b.codes == k] for b in found)])
            for k in range(n_classes)
        ),
        transitions=transitions,
    )


def scored_pairs(
    truth: Sequence[ArrayLike], prediction: Sequence[ArrayLike], n_classes: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the two codes of each session, checked; sessions without a scored frame stay out.

    Raises
    ------
    DataError
        If the two differ in sessions or frames, a code is no class, or nothing is scored.
    """
    if len(truth) != len(prediction):
        raise DataError(
            f"expected a prediction for each of {len(truth)} sessions, found {len(prediction)}."
        )
    pairs = []
    for session, both in enumerate(zip(truth, prediction, strict=True)):
        y, p = map(np.asarray, both)
        if y.shape != p.shape or y.ndim != 1:
            raise DataError(
                f"session {session}: expected true and predicted codes of one shape (time,), "
                f"found {y.shape} and {p.shape}."
            )
        for name, codes in (("true", y), ("predicted", p)):
            if codes.dtype.kind not in "iu" or codes.max(initial=-1) >= n_classes:
                raise DataError(
                    f"session {session}: expected {name} codes below {n_classes} (integers; "
                    f"negative where there is none), found {codes.dtype}, at most "
                    f"{codes.max(initial=-1)}."
                )
        if (y >= 0).any():
            pairs.append((y, p))
    if not pairs:
        raise DataError("no frame of any session is scored: all true codes are negative.")
    return pairs


def _both_bouts(pairs: list[tuple[np.ndarray, np.ndarray]]) -> list[tuple[Bouts, Bouts]]:
    return [(bouts(y), bouts(p, y >= 0)) for y, p in pairs]


def _best(true: Bouts, predicted: Bouts) -> tuple[np.ndarray, np.ndarray]:
    """For each predicted bout the true one of its class that it overlaps best, and how much."""
    if not len(true.codes) or not len(predicted.codes):
        return np.full(len(predicted.codes), -1), np.zeros(len(predicted.codes))
    begin = np.maximum.outer(predicted.starts, true.starts)
    end = np.minimum.outer(predicted.stops, true.stops)
    shared = np.maximum(end - begin, 0)
    union = np.add.outer(predicted.lengths, true.lengths) - shared
    overlap = np.where(np.equal.outer(predicted.codes, true.codes), shared / union, 0.0)
    best = overlap.argmax(axis=1)
    return best, overlap[np.arange(len(best)), best]


def _counts(
    true: Bouts, predicted: Bouts, n_classes: int, overlaps: Sequence[float]
) -> np.ndarray:
    best, share = _best(true, predicted)
    n_true = np.bincount(true.codes, minlength=n_classes)
    n_predicted = np.bincount(predicted.codes, minlength=n_classes)
    counts = np.zeros((len(overlaps), n_classes, 3), dtype=np.int64)
    for o, least in enumerate(overlaps):
        found = np.unique(best[(share >= least) & (share > 0)])
        hits = np.bincount(true.codes[found], minlength=n_classes)
        counts[o] = np.stack([hits, n_predicted - hits, n_true - hits], axis=1)
    return counts


def f1_of_counts(counts: np.ndarray) -> np.ndarray:
    """F1 of ``(..., 3)`` counts found, false, missed; NaN where there is nothing."""
    hits, false, missed = np.moveaxis(np.asarray(counts, dtype=np.float64), -1, 0)
    total = 2 * hits + false + missed
    return np.divide(2 * hits, total, out=np.full(total.shape, np.nan), where=total > 0)
