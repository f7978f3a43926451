"""How far people agree who labelled the same recordings: a ceiling for models of their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from tinbergen.errors import DataError
from tinbergen.metrics.bootstrap import pooled_interval
from tinbergen.metrics.frames import class_f1, frame_scores, kappa
from tinbergen.metrics.score import Interval
from tinbergen.metrics.segments import bouts, edit_score, f1_of_counts, segment_scores


@dataclass(frozen=True)
class RaterAgreement:
    """Agreement of each two raters; see :func:`rater_agreement`.

    Attributes
    ----------
    pairs
        Names of the two raters.
    kappa, macro_f1, segment_f1, edit
        ``(pair,)``: Cohen's kappa; mean F1 of the classes; segmental F1 of their bouts; mean edit
        score of their orders.
    class_f1, class_segment_f1
        ``(pair, class)``: F1 of the frames and of the bouts of each class.
    intervals
        Name of each of the first four -> 95 % interval of its mean over pairs, over sessions.
    n_sessions, n_frames
        What was compared; of the frames the mean over pairs.
    """

    pairs: tuple[tuple[str, str], ...]
    kappa: np.ndarray
    macro_f1: np.ndarray
    segment_f1: np.ndarray
    edit: np.ndarray
    class_f1: np.ndarray
    class_segment_f1: np.ndarray
    intervals: dict[str, Interval]
    n_sessions: int
    n_frames: int


def rater_agreement(
    ratings: Mapping[str, Sequence[ArrayLike]],
    n_classes: int,
    *,
    background: int | None = None,
    overlap: float = 0.5,
    seed: int = 0,
) -> RaterAgreement:
    """Compare each rater with each other one, on the frames that both scored.

    With an ``overlap`` of a half or more it does not matter which of two is taken for the truth.

    Parameters
    ----------
    ratings
        Rater -> a session each, in one order: ``(time,)`` codes, negative where not scored.
    n_classes
        Number of classes.
    background
        The class "none of the others". It counts for kappa; it is left out of the mean F1, of the
        bouts and of their order.
    overlap
        Least intersection over union of two bouts that count as one.

    Raises
    ------
    DataError
        If there are fewer than two raters, they differ in sessions or frames, or nothing was
        scored by both.

    Examples
    --------
    >>> found = rater_agreement({"ann": [[0, 0, 1, 1]], "bob": [[0, 0, 0, 1]]}, 2)
    >>> found.pairs, found.kappa
    ((('ann', 'bob'),), array([0.5]))
    """
    lengths = {rater: len(sessions) for rater, sessions in ratings.items()}
    if len(lengths) < 2 or len(set(lengths.values())) > 1:
        raise DataError(
            f"expected two or more raters of the same sessions, found so many of each: {lengths}."
        )
    pairs = tuple(combinations(ratings, 2))
    shape = (*lengths.values(),)[0], len(pairs)
    frames = np.zeros((*shape, n_classes, n_classes + 1))
    found = np.zeros((*shape, n_classes, 3))
    orders = np.zeros((*shape, 2))  # sum of edit scores, and their number
    for pair, (one, other) in enumerate(pairs):
        for session, both in enumerate(zip(ratings[one], ratings[other], strict=True)):
            a, b = _scored_by_both(*both, f"session {session}, {one} and {other}")
            if not (a >= 0).any():
                continue
            frames[session, pair] = frame_scores([a], [b], n_classes).confusion[0]
            found[session, pair] = segment_scores([a], [b], n_classes, [overlap]).counts[0, 0]
            codes = [bouts(each).codes for each in (a, b)]
            order = edit_score(*(each[each != background] for each in codes))
            orders[session, pair] = np.nan_to_num([order, np.isfinite(order)])
    if not frames.sum():
        raise DataError("no frame was scored by two raters.")
    counted = [k for k in range(n_classes) if k != background]
    measures = {
        "kappa": (frames, kappa),
        "macro_f1": (frames, lambda c: np.nanmean(class_f1(c)[..., counted], axis=-1)),
        "segment_f1": (found, lambda c: f1_of_counts(c[..., counted, :].sum(axis=-2))),
        "edit": (orders, lambda c: c[..., 0] / np.maximum(c[..., 1], 1)),
    }
    return RaterAgreement(
        pairs=pairs,
        **{name: of(counts.sum(axis=0)) for name, (counts, of) in measures.items()},
        class_f1=class_f1(frames.sum(axis=0)),
        class_segment_f1=f1_of_counts(found.sum(axis=0)),
        intervals={
            name: pooled_interval(counts, lambda c, of=of: np.nanmean(of(c), axis=-1), seed=seed)
            for name, (counts, of) in measures.items()
        },
        n_sessions=int((frames.sum(axis=(1, 2, 3)) > 0).sum()),
        n_frames=round(frames.sum() / len(pairs)),
    )


def _scored_by_both(one: ArrayLike, other: ArrayLike, where: str) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(one), np.asarray(other)
    if a.shape != b.shape:
        raise DataError(f"{where}: expected codes of the same frames, found {a.shape}, {b.shape}.")
    both = (a >= 0) & (b >= 0)
    return np.where(both, a, -1), np.where(both, b, -1)
