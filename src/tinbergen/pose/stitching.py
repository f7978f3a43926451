"""Tracks: tracklets joined over the whole recording, as many as there are animals.

The cheapest way through all tracklets for a fixed number of animals is a minimum cost flow (Zhang,
Li & Nevatia, CVPR 2008). Every tracklet carries one animal, so the flow is an assignment: each end
of a tracklet is given the start of the next. A long recording is decided in overlapping stretches
of as many tracklets as fit in memory at once; the tracks that have come so far begin each stretch,
however long ago their animals were seen.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from tinbergen.pose.tracking import Scale, Tracklet, link, mean_positions
from tinbergen.recordings import Keypoints

_NEVER = 1e9
_DROPPED = 20.0  # cost of leaving out a find, nats: only where there is no room for it
_BEGUN = 0.99 * _DROPPED  # of a track, so that none is split while others are empty
_AT_ONCE = 1000
"""Tracklets that are decided on together; the later half of them is decided on again."""


def track(keypoints: Keypoints, *, animals: int | None = None) -> Keypoints:
    """Link the animals of single frames into tracks, one for each animal.

    Tracklets first (see :mod:`tinbergen.pose.tracking`), then what joins them.

    Parameters
    ----------
    keypoints
        Individuals in any order in each frame, as :func:`tinbergen.pose.predict` finds
        look-alikes.
    animals
        How many there are; default: the individuals of ``keypoints``.

    Returns
    -------
    Keypoints
        Individuals ``track0``, ``track1``, ...; NaN where an animal was not found.

    Raises
    ------
    DataError
        If no animal was found with two keypoints, whose distance tells its size.
    """
    n = len(keypoints.individuals) if animals is None else animals
    positions = keypoints.positions[..., :2]
    scale = Scale.of(positions)
    tracklets = link(keypoints.times, positions, scale)
    placed = np.full((len(keypoints), n, *positions.shape[2:]), np.nan)
    confidence = np.zeros(placed.shape[:-1])
    for number, path in enumerate(stitched(keypoints.times, positions, tracklets, n)):
        for i in path:
            frames, rows = tracklets[i].frames, tracklets[i].rows
            placed[frames, number] = positions[frames, rows]
            confidence[frames, number] = keypoints.confidence[frames, rows]
    return Keypoints(
        times=keypoints.times,
        positions=placed,
        confidence=confidence,
        keypoints=keypoints.keypoints,
        individuals=tuple(f"track{i}" for i in range(n)),
        valid=keypoints.valid,
    )


def stitched(
    times: np.ndarray,
    positions: np.ndarray,
    tracklets: list[Tracklet],
    n: int,
    at_once: int = _AT_ONCE,
) -> list[list[int]]:
    """Join tracklets to the tracks of ``n`` animals.

    Parameters
    ----------
    times, positions
        As for :func:`tinbergen.pose.tracking.link`.
    at_once
        Tracklets that are decided on together, in the order in which they start. Of each such
        stretch the first half is kept; memory grows with its square, not with the recording.

    Returns
    -------
    list of list of int
        The tracklets of each track, in order.
    """
    order = sorted(range(len(tracklets)), key=lambda i: tracklets[i].frames[0])
    paths: list[list[int]] = [[] for _ in range(n)]
    first = 0
    while first < len(order):
        begun = [path for path in paths if path]
        ahead = order[first : first + at_once]
        whole = first + at_once >= len(order)
        kept = set(ahead if whole else ahead[: (at_once + 1) // 2])
        chosen = [path[-1] for path in begun] + ahead
        links, dropped = link_costs(times, positions, [tracklets[i] for i in chosen])
        # What a track has so far is not given up, nor is it anyone's successor.
        links[:, : len(begun)] = _NEVER
        dropped[: len(begun)] = _NEVER
        fresh = [path for path in paths if not path]
        for found in cheapest_paths(links, dropped, n, _BEGUN):
            if not found:
                continue
            path = begun[found[0]] if found[0] < len(begun) else fresh.pop(0)
            path += [chosen[i] for i in found if chosen[i] in kept]
        first += len(kept)
    return paths


def link_costs(
    times: np.ndarray, positions: np.ndarray, tracklets: list[Tracklet]
) -> tuple[np.ndarray, np.ndarray]:
    """Return what it costs to go from one tracklet on to another, and to leave one out.

    The cost is minus the log density, under the filter of the first, of where the second starts,
    relative to that of a perfect measurement: ``d^2 / (2 s) + log(s / r)``, with d^2 the mean over
    the keypoints, s the variance that is expected and r that of a measurement.

    Returns
    -------
    links : ``(tracklet, tracklet)`` nats; very large where the second does not start later.
    dropped : ``(tracklet,)`` nats.
    """
    n = len(tracklets)
    first = np.array([t.frames[0] for t in tracklets])
    starts = np.stack([positions[t.frames[0], t.rows[0]] for t in tracklets])
    links = np.full((n, n), _NEVER)
    middles = mean_positions(starts)
    for i, tracklet in enumerate(tracklets):
        last = tracklet.frames[-1]
        later = np.flatnonzero(first > last)
        middle, variance = tracklet.motion.places_ahead(times[first[later]] - times[last])
        variance = variance + tracklet.motion.measured
        pose = tracklet.pose + (middle - tracklet.motion.mean[0])[:, None]
        square = ((starts[later] - pose) ** 2).sum(axis=-1)
        known = np.isfinite(square)
        mean_square = np.where(known, square, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        # Without a keypoint in common, the middles have to do.
        rough = ((middles[later] - middle) ** 2).sum(axis=-1)
        mean_square = np.where(known.any(axis=1), mean_square, rough)
        links[i, later] = mean_square / (2 * variance) + np.log(
            variance / tracklet.motion.measured
        )
    return links, np.array([_DROPPED * len(t.frames) for t in tracklets])


def cheapest_paths(
    links: np.ndarray, dropped: np.ndarray, n: int, begun: float = 0.0
) -> list[list[int]]:
    """Find ``n`` paths that share no tracklet, with the least total cost.

    One assignment of ends (rows) to starts (columns): a tracklet that is given itself is left out;
    n more rows begin a path, n more columns end one.

    Parameters
    ----------
    links, dropped
        See :func:`link_costs`.
    n
        Paths; those that need no tracklet stay empty.
    begun
        What it costs to begin a path.

    Returns
    -------
    list of list of int
        The tracklets of each path, in order.
    """
    m = len(links)
    cost = np.zeros((m + n, m + n))
    cost[:m, :m] = links
    cost[m:, :m] = begun
    cost[np.arange(m), np.arange(m)] = dropped
    _, following = linear_sum_assignment(cost)
    paths = []
    for start in following[m:]:
        path, at = [], int(start)
        while at < m:
            path.append(at)
            at = int(following[at])
        paths.append(path)
    return paths
