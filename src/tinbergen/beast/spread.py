"""Batches whose frames of one video keep a distance in time."""

from __future__ import annotations

from typing import Any

import numpy as np


def too_close(
    video: Any, time: Any, exclusion: float, other_video: Any = None, other_time: Any = None
) -> Any:
    """Pairs of rows that must not count as negatives of each other.

    Parameters
    ----------
    video, time
        ``(n,)`` video number and time (s) of each row of a batch; numpy or torch.
    exclusion
        Window, s.
    other_video, other_time
        ``(m,)``, of the rows to compare with; default: the same rows, then ``m = n``.

    Returns
    -------
    ``(n, m)`` booleans: same video and less than ``exclusion`` apart (the same frame always is).
    """
    other_video = video if other_video is None else other_video
    other_time = time if other_time is None else other_time
    apart = abs(time[:, None] - other_time[None])
    return (video[:, None] == other_video[None]) & ((apart < exclusion) | (apart == 0))


def spread(
    video: np.ndarray,
    time: np.ndarray,
    batch: int,
    exclusion: float,
    head: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """Order groups so that those of one batch and video lie at least ``exclusion`` s apart.

    Sorted by (video, time), the groups are cut into as many blocks as a batch has places, and
    each batch takes one of each block, at random among those far enough from what it took last.
    The order fails only where taking every n-th group, the sparsest way there is, fails as well;
    there the batch that has waited longest takes the group, and :func:`too_close` tells the loss.

    Parameters
    ----------
    video, time
        ``(n,)`` of the anchors.
    batch, exclusion
        Groups in a batch, and the window in s.
    head
        The first ``head`` groups complete a batch of the epoch before, and the last ones that fill
        no batch begin one of the next: they are evenly spaced, but only the mask knows of what
        the other epoch puts beside them.

    Returns
    -------
    ``(n,)`` int64, a permutation.
    """
    n = len(video)
    head = min(head, n)
    order = np.lexsort((time, generator.permutation(int(video.max()) + 1)[video]))
    n_batches = (n - head) // batch
    loose = n - n_batches * batch
    aside = np.zeros(n, bool)
    aside[((np.arange(loose) + generator.random()) * (n / max(loose, 1))).astype(int)] = True
    edges, inner = generator.permutation(order[aside]), order[~aside]
    # The blocks begin elsewhere in each epoch, so that all frames meet; if too tight, at 0.
    shift = int(generator.integers(max(n_batches, 1)))
    filled, conflicts = _fill(inner, video, time, n_batches, batch, exclusion, shift, generator)
    if conflicts and shift:
        filled, _ = _fill(inner, video, time, n_batches, batch, exclusion, 0, generator)
    inside = generator.permutation(filled).reshape(-1)
    return np.concatenate([edges[:head], inside, edges[head:]])


def _fill(
    inner: np.ndarray,
    video: np.ndarray,
    time: np.ndarray,
    n_batches: int,
    batch: int,
    exclusion: float,
    shift: int,
    generator: np.random.Generator,
) -> tuple[np.ndarray, int]:
    """Batches ``(n_batches, batch)`` of the sorted groups ``inner``; number that lie too close.

    With a shift the first and the last block are incomplete and share the first place.
    """
    filled = np.full((n_batches, batch), -1, np.int64)
    last_video, last_time = np.full(n_batches, -1), np.zeros(n_batches)
    conflicts = 0
    for column, block in enumerate(np.split(inner, range(shift, len(inner), max(n_batches, 1)))):
        if not len(block):
            continue
        place = (column if shift else column - 1) % batch
        free = np.flatnonzero(filled[:, place] < 0)
        near = last_video[free] == video[block[0]]
        free_from = np.where(near, last_time[free] + exclusion, -np.inf)
        limit = np.where(video[block] == video[block[0]], time[block] + 1e-9, np.inf)
        taker, tight = _takers(free_from, limit, generator)
        conflicts += tight
        taker = free[taker]
        filled[taker, place] = block
        last_video[taker], last_time[taker] = video[block], time[block]
    return filled, conflicts


def _takers(
    free_from: np.ndarray, limit: np.ndarray, generator: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Give each group a batch of its own with ``free_from <= limit``; ``limit`` ascends.

    Whatever suits a group suits all later ones, so any choice leaves them as many as any other.
    """
    waiting = np.argsort(free_from, kind="stable")
    n_free = np.searchsorted(free_from[waiting], limit, side="right")
    least = np.arange(1, len(limit) + 1)
    stops, queue = np.maximum(n_free, least).tolist(), waiting.tolist()
    picks = generator.random(len(limit)).tolist()
    taker, pool, joined = [], [], 0
    for stop, pick in zip(stops, picks, strict=True):
        pool.extend(queue[joined:stop])
        joined = max(joined, stop)
        j = int(pick * len(pool))
        pool[j], pool[-1] = pool[-1], pool[j]
        taker.append(pool.pop())
    return np.array(taker), int((n_free < least).sum())
