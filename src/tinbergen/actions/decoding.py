"""From probabilities a frame to bouts: smoothing, hidden Markov and semi-Markov paths."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinbergen.errors import ConfigError

_NARROWEST = 0.3  # deviation of log durations, where bouts are few or all alike


def smoothed(probabilities: np.ndarray, window: int) -> np.ndarray:
    """Return the centred mean over ``window`` frames; at the ends over those that there are.

    Parameters
    ----------
    probabilities
        ``(time, class)``.
    window
        Frames, odd; 1 changes nothing.

    Examples
    --------
    >>> smoothed(np.array([[1.0], [0.0], [0.0], [1.0]]), 3).ravel().round(3).tolist()
    [0.5, 0.333, 0.333, 0.5]
    """
    if window < 1 or window % 2 == 0:
        raise ConfigError(f"window: expected an odd number of frames, found {window}.")
    n, half = len(probabilities), window // 2
    sums = np.zeros((n + 1, probabilities.shape[1]))
    np.cumsum(probabilities, axis=0, out=sums[1:])
    first = np.maximum(np.arange(n) - half, 0)
    last = np.minimum(np.arange(n) + half + 1, n)
    return np.maximum(sums[last] - sums[first], 0.0) / (last - first)[:, None]


def sticky_path(log_densities: np.ndarray, stay: float) -> tuple[np.ndarray, float]:
    """Return the best path ``(time,)`` of a chain that seldom changes class, and its log score.

    From frame to frame a class stays with probability ``stay``; all others follow alike; the
    first class is uniform. As all changes cost the same, only the best class before can be left
    for another: that takes time and class steps instead of time and class squared.

    Parameters
    ----------
    log_densities
        ``(time, class)``.
    stay
        At least 1 / classes.

    Examples
    --------
    >>> p = np.array([0.9, 0.8, 0.4, 0.8, 0.9, 0.2, 0.1, 0.2])
    >>> path, score = sticky_path(np.log(np.stack([p, 1 - p], axis=1)), 0.95)
    >>> path.tolist(), round(score, 6)
    ([0, 0, 0, 0, 0, 1, 1, 1], -6.121586)
    """
    n, k = log_densities.shape
    if not 1 / k <= stay < 1 and k > 1:
        raise ConfigError(f"stay: expected a probability from 1/{k} to below 1, found {stay}.")
    if not n or k == 1:
        return np.zeros(n, np.int64), float(log_densities.sum())
    keep, change = np.log(stay), np.log((1 - stay) / (k - 1))
    rows = log_densities.tolist()  # Python's numbers are quicker than arrays of so few
    score = [value - np.log(k) for value in rows[0]]
    back = []
    for row in rows[1:]:
        best = max(score)
        source, entering = score.index(best), best + change
        came, new = [], []
        for j, value in enumerate(row):
            staying = score[j] + keep
            stays = staying >= entering
            came.append(j if stays else source)
            new.append((staying if stays else entering) + value)
        back.append(came)
        score = new
    path = np.empty(n, np.int64)
    now = path[-1] = score.index(max(score))
    for t in range(n - 2, -1, -1):
        now = path[t] = back[t][now]
    return path, float(max(score))


def duration_log_probabilities(lengths: Sequence[np.ndarray], longest: int) -> np.ndarray:
    """Return log probabilities ``(duration, class)`` of bouts of 1, 2, ... ``longest`` steps.

    A log-normal through the bouts of each class; a class with fewer than three takes that of all.

    Parameters
    ----------
    lengths
        Steps of the bouts of each class.
    longest
        Steps.
    """
    everything = np.concatenate(list(lengths))
    found = np.empty((longest, len(lengths)))
    steps = np.log(np.arange(1, longest + 1))
    for k, own in enumerate(lengths):
        logs = np.log(np.maximum(own if len(own) > 2 else everything, 1.0))
        density = -0.5 * np.square((steps - logs.mean()) / max(logs.std(), _NARROWEST)) - steps
        found[:, k] = density - np.logaddexp.reduce(density)
    return found


def semi_markov_viterbi(
    log_densities: np.ndarray, durations: np.ndarray, transitions: np.ndarray | None = None
) -> tuple[np.ndarray, float]:
    """Return the best segmentation into bouts, ``(time,)``, and its log score.

    A bout scores the log probabilities of its frames, that of its duration, and that of the
    change from the class before; the first class is uniform. The last bout may end early: it
    scores that its duration is at least what is seen.

    Parameters
    ----------
    log_densities
        ``(time, class)``.
    durations
        ``(duration, class)`` log probability of 1, 2, ... frames; no bout lasts longer.
    transitions
        ``(class, class)`` probability of the next class, 0 on the diagonal; default: even.

    References
    ----------
    Yu 2010, "Hidden semi-Markov models", section 3.
    """
    n, k = log_densities.shape
    if not n:
        return np.zeros(0, np.int64), 0.0
    longest = min(len(durations), n)
    sums = np.concatenate([np.zeros((1, k)), np.cumsum(log_densities, axis=0)])
    chances = (1 - np.eye(k)) / max(k - 1, 1) if transitions is None else transitions
    with np.errstate(divide="ignore"):
        moves = np.log(chances).T.copy()  # (to, from)
    survival = np.logaddexp.accumulate(durations[::-1], axis=0)[::-1]
    # enter[t] is the best score of all before t, if a bout of the class begins at t, less the
    # sum of log probabilities up to t: so that a bout's frames are one difference.
    enter = np.full((n, k), -np.inf)
    enter[0] = -np.log(k)
    length_back = np.zeros((n + 1, k), np.int64)
    class_back = np.zeros((n + 1, k), np.int64)
    backward = durations[:longest][::-1]
    backward_end = survival[:longest][::-1]
    to = np.arange(k)
    score = np.full(k, -np.inf)
    for t in range(1, n + 1):
        m = min(t, longest)
        ends = enter[t - m : t] + (backward_end if t == n else backward)[longest - m :]
        best = ends.argmax(axis=0)
        score = ends[best, to] + sums[t]
        length_back[t] = m - best
        if t < n:
            each = score + moves
            came = each.argmax(axis=1)
            class_back[t] = came
            enter[t] = each[to, came] - sums[t]
    path = np.empty(n, np.int64)
    now, t = int(score.argmax()), n
    while t > 0:
        length = length_back[t, now]
        path[t - length : t] = now
        t -= length
        now = int(class_back[t, now])
    return path, float(score.max())


def without_short_bouts(codes: np.ndarray, shortest: int) -> np.ndarray:
    """Return codes in which every bout has at least ``shortest`` frames.

    The shortest bout goes first, half to each neighbour (all to the only one); what joins counts
    as one. Unlabelled stretches (-1) stay, and nothing grows into them.

    Examples
    --------
    >>> without_short_bouts(np.array([0, 0, 0, 1, 0, 0, 2, 2, 2]), 2).tolist()
    [0, 0, 0, 0, 0, 0, 2, 2, 2]
    """
    codes = np.array(codes)
    while True:
        edges = np.flatnonzero(np.diff(codes, prepend=-2, append=-2))
        lengths = np.diff(edges)
        values = codes[edges[:-1]]
        left = np.append(-1, values[:-1])
        right = np.append(values[1:], -1)
        short = (lengths < shortest) & (values >= 0) & ((left >= 0) | (right >= 0))
        if not short.any():
            return codes
        i = np.flatnonzero(short)[lengths[short].argmin()]
        first, last = edges[i], edges[i + 1]
        middle = (first + last + 1) // 2
        before, after = left[i], right[i]
        codes[first:middle] = before if before >= 0 else after
        codes[middle:last] = after if after >= 0 else before


def without_gaps(codes: np.ndarray, longest: int, background: int) -> np.ndarray:
    """Return codes in which gaps of background inside a behaviour are filled.

    Parameters
    ----------
    codes
        ``(time,)``.
    longest
        Frames of background that are filled, if the same behaviour is on both sides.
    background
        Its code.

    Examples
    --------
    >>> without_gaps(np.array([1, 0, 1, 0, 0, 1, 0, 2]), 1, background=0).tolist()
    [1, 1, 1, 0, 0, 1, 0, 2]
    """
    codes = np.array(codes)
    edges = np.flatnonzero(np.diff(codes, prepend=-2, append=-2))
    for first, last in zip(edges[1:-2], edges[2:-1], strict=True):
        same = codes[first - 1] == codes[last]
        if codes[first] == background and same and last - first <= longest:
            codes[first:last] = codes[last]
    return codes
