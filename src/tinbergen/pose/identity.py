"""Who is who: tracks that were confused in an encounter are told apart by their looks.

A track may change from one animal to another only where animals are close, or where it comes back
after a gap. Between such moments a track is one animal, and all its frames are evidence of which:
each animal has a mean embedding, and the permutations of animals over tracks that fit best are
found for the whole recording at once (Viterbi).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from tinbergen.errors import DataError
from tinbergen.metrics.instances import present
from tinbergen.pose.tracking import Scale, mean_positions
from tinbergen.recordings import Keypoints, Series

_CLOSE = 1.0  # body lengths between the middles of two animals
_CHANGE = 10.0  # cost of a change of names, nats
_FRAMES_PER_SAMPLE = 10.0  # neighbouring frames repeat each other
_MOST_ANIMALS = 5  # 120 permutations
_ROUNDS = 10


def identify(tracks: Keypoints, embeddings: np.ndarray) -> Keypoints:
    """Give each animal one track from the beginning to the end, by its looks.

    Parameters
    ----------
    tracks
        Of :func:`tinbergen.pose.track`.
    embeddings
        ``(time, individual, width)``: what each track looks like, for example BEAST embeddings of
        the videos of :func:`tinbergen.pose.write_animal_videos`. NaN where it is not known.

    Returns
    -------
    Keypoints
        The same finds; names are those of ``tracks``, each now of one animal.

    Raises
    ------
    DataError
        If the embeddings are not those of the tracks, or there are more than five animals.
    """
    n = len(tracks.individuals)
    expected = (len(tracks), n)
    if embeddings.ndim != 3 or embeddings.shape[:2] != expected:
        raise DataError(
            f"Expected embeddings (time, individual, width) of {expected[0]} frames and {n} "
            f"tracks, found shape {embeddings.shape}."
        )
    if n > _MOST_ANIMALS:
        raise DataError(f"Looks tell up to {_MOST_ANIMALS} animals apart, found {n} tracks.")
    known = np.isfinite(embeddings).all(axis=-1) & present(tracks.positions)
    if n == 1 or not known.any():
        return tracks
    if not (known.sum(axis=1) > 1).any():
        return tracks  # never two in view together: nothing says how they differ
    segments = stretches(tracks.positions[..., :2])
    orders = np.array(list(itertools.permutations(range(n))))
    chosen = _settle(np.where(known[..., None], embeddings, 0.0), known, segments, orders)
    # orders[chosen][k] is the track that animal k has.
    order = orders[chosen][segments]
    return replace(
        tracks,
        positions=np.take_along_axis(tracks.positions, order[:, :, None, None], axis=1),
        confidence=np.take_along_axis(tracks.confidence, order[:, :, None], axis=1),
    )


def looks_of(tracks: Keypoints, series: Mapping[str, Series]) -> np.ndarray:
    """Gather what :func:`identify` asks for from the embeddings of the animals' videos.

    Parameters
    ----------
    series
        Name of each video of :func:`tinbergen.pose.write_animal_videos` -> its embedding.

    Returns
    -------
    ``(time, individual, width)``

    Raises
    ------
    DataError
        If a track has no embedding, or one of another number of frames.
    """
    gathered = []
    for who in tracks.individuals:
        found = [each for name, each in series.items() if name.endswith(f"_{who}")]
        if len(found) != 1 or len(found[0].times) != len(tracks):
            raise DataError(
                f"Expected one embedding of {len(tracks)} frames whose name ends in _{who}, found "
                f"{len(found)} among {', '.join(series)}"
                f"{f', of {len(found[0].times)} frames' if len(found) == 1 else ''}. Embed the "
                "videos that 'tinbergen pose cut' writes of these tracks."
            )
        gathered.append(np.asarray(found[0].values, dtype=float))
    return np.stack(gathered, axis=1)


def stretches(positions: np.ndarray) -> np.ndarray:
    """Count the stretches in which each track is one animal.

    One ends when an encounter begins and when it ends, and where a track comes back.

    Parameters
    ----------
    positions
        ``(time, individual, keypoint, 2)`` px.

    Returns
    -------
    ``(time,)``, ascending from 0.
    """
    there, centres = present(positions), mean_positions(positions)
    apart = np.linalg.norm(centres[:, :, None] - centres[:, None], axis=-1)
    apart[:, np.eye(apart.shape[1], dtype=bool)] = np.inf
    close = (np.nan_to_num(apart, nan=np.inf) < _CLOSE * Scale.of(positions).length).any(
        axis=(1, 2)
    )
    back = there[1:] & ~there[:-1]
    breaks = (close[1:] != close[:-1]) | back.any(axis=1)
    return np.concatenate([[0], np.cumsum(breaks)])


def _settle(
    embeddings: np.ndarray, known: np.ndarray, segments: np.ndarray, orders: np.ndarray
) -> np.ndarray:
    """Choose the order of each segment, with the animals' looks learned on the way."""
    n_segments, n = int(segments[-1]) + 1, embeddings.shape[1]
    counts, totals = np.zeros((n_segments, n)), np.zeros((n_segments, n, embeddings.shape[2]))
    np.add.at(counts, segments, known)
    np.add.at(totals, segments, embeddings)
    means = totals / np.maximum(counts, 1)[..., None]
    white = _whitened(means, embeddings, known, segments)
    # The longest stretch in which all are seen shows how each of them looks.
    looks = white[np.argmax(counts.min(axis=1))]
    weight = counts / _FRAMES_PER_SAMPLE
    chosen = np.zeros(n_segments, dtype=int)
    for _ in range(_ROUNDS):
        # cost[s, track, animal]
        distance = ((white[:, :, None] - looks) ** 2).sum(axis=-1)
        cost = weight[..., None] * distance / 2
        by_order = sum(cost[:, orders[:, animal], animal] for animal in range(n))
        before, chosen = chosen, _cheapest(np.asarray(by_order))
        looks = _looks(white, weight, orders[chosen])
        if (chosen == before).all():
            break
    return chosen


def _whitened(
    means: np.ndarray, embeddings: np.ndarray, known: np.ndarray, segments: np.ndarray
) -> np.ndarray:
    """Means of the segments in the few directions that tell animals in view apart.

    Linear discriminants: what varies within a segment (posture) has unit variance, and only the
    n - 1 directions are kept along which tracks of the same segment differ most.
    """
    n, width = means.shape[1:]
    within = (embeddings - means[segments])[known]
    scatter = within.T @ within / max(len(within), 1)
    scatter += (1e-3 * np.trace(scatter) / width + 1e-12) * np.eye(width)
    values, vectors = np.linalg.eigh(scatter)
    white = means @ (vectors / np.sqrt(values))
    counts = np.zeros(means.shape[:2])
    np.add.at(counts, segments, known)
    together = counts.min(axis=1)
    between = white - white.mean(axis=1, keepdims=True)
    spread = np.einsum("s,sai,saj->ij", together, between, between)
    _, directions = np.linalg.eigh(spread)
    return white @ directions[:, -(n - 1) :]


def _looks(white: np.ndarray, weight: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Mean of each animal over the segments, ``(animal, direction)``."""
    own = np.take_along_axis(white, order[..., None], axis=1)
    own_weight = np.take_along_axis(weight, order, axis=1)
    total = np.maximum(own_weight.sum(axis=0), 1e-12)
    return (own_weight[..., None] * own).sum(axis=0) / total[:, None]


def _cheapest(cost: np.ndarray) -> np.ndarray:
    """Viterbi: the row of states through ``(segment, state)`` costs, where a change costs too."""
    n, states = cost.shape
    change = _CHANGE * (1 - np.eye(states))
    total, came_from = cost[0], np.zeros((n, states), dtype=int)
    for s in range(1, n):
        ways = total[:, None] + change
        came_from[s] = ways.argmin(axis=0)
        total = ways.min(axis=0) + cost[s]
    path = [int(total.argmin())]
    for s in range(n - 1, 0, -1):
        path.append(int(came_from[s, path[-1]]))
    return np.array(path[::-1])
