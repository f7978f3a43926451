"""How few labels do: training labels thinned to a number of frames a class, in short pieces.

The protocol of Blau et al. 2024 (arXiv 2407.16727), as their code has it: what a person does who
labels some seconds here and there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tinbergen.errors import DataError
from tinbergen.metrics import bouts

GOALS = (50, 100, 250, 500, 1000, 2000, 3000)
"""Labelled frames a class."""

SEEDS = (1, 1001, 2001, 3001, 4001)
"""Of the five draws at each goal."""

CHUNK = 50
"""Frames that are labelled in one go, all inside one bout."""

_FAILURES = 100


@dataclass(frozen=True)
class ThinLabels:
    """Result of :func:`thin_labels`.

    Attributes
    ----------
    codes
        A session each: ``(time,)`` codes, -1 where the label was taken away.
    counts
        ``(class,)`` frames that are left; fewer than the goal where a class has no more pieces.
    """

    codes: tuple[np.ndarray, ...]
    counts: np.ndarray


def thin_labels(
    codes: Sequence[ArrayLike],
    n_classes: int,
    goal: int,
    *,
    seed: int = SEEDS[0],
    chunk: int = CHUNK,
) -> ThinLabels:
    """Keep about ``goal`` labelled frames of each class.

    Again and again a session is drawn, and in it a start such that a chunk lies inside one bout;
    the chunk is labelled and leaves the pool. A class that fails more than 100 times stays short
    of its goal.

    Parameters
    ----------
    codes
        A training session each: ``(time,)``, -1 = unlabelled. They are not changed.
    n_classes
        Number of classes.
    goal
        Frames of each class; met by whole chunks.
    seed
        Of the draw; see ``SEEDS``.

    Raises
    ------
    DataError
        If there is no session, or the goal is smaller than a chunk.
    """
    sessions = [np.asarray(each) for each in codes]
    if not sessions or goal < chunk:
        raise DataError(
            f"expected sessions and a goal of at least a chunk of {chunk} frames, found "
            f"{len(sessions)} sessions and a goal of {goal}."
        )
    rng = np.random.default_rng(seed)
    thin = [np.full(len(each), -1) for each in sessions]
    counts = np.zeros(n_classes, dtype=np.int64)
    for k in range(n_classes):
        pools = [np.where(each == k, each, -1) for each in sessions]
        failures = 0
        while counts[k] + chunk <= goal and failures <= _FAILURES:
            s = int(rng.integers(len(pools)))
            starts = _starts(pools[s], chunk)
            if not len(starts):
                failures += 1
                continue
            start = int(rng.choice(starts))
            piece = slice(start, start + chunk)
            thin[s][piece], pools[s][piece] = k, -1
            counts[k] += chunk
    return ThinLabels(tuple(thin), counts)


def _starts(pool: np.ndarray, chunk: int) -> np.ndarray:
    """Return every start of a chunk that lies in one run of what is left."""
    runs = bouts(pool)
    each = [
        np.arange(start, stop - chunk + 1)
        for start, stop in zip(runs.starts, runs.stops, strict=True)
        if stop - start >= chunk
    ]
    return np.concatenate(each) if each else np.zeros(0, dtype=int)
