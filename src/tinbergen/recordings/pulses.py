"""Finding how two clocks belong together from pulses that both have recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinbergen.errors import DataError
from tinbergen.recordings.clocks import Clock
from tinbergen.recordings.intervals import GAP_FACTOR, Intervals, nearest
from tinbergen.recordings.series import sample_times

_MAX_DRIFT = 1e-3  # of one second; crystals are off by less than a tenth of this
_ANCHOR, _ANCHORS, _VOTES = 40, 5, 4
_DIFFERENCES = 1 << 21  # at a time
_FEWEST = 5  # pulses that tell a pattern from chance
_RIVAL = 0.8  # another offset that matches this share of the best one's pulses is as good
_FEW = 0.3  # share of pulses that match where the offset may still be right
_STEADY = 0.8  # of the share that has matched so far, if the drift goes on
_MOST_LOST = 0.05


def align_clocks(
    source: Any,
    target: Any,
    *,
    tolerance: float = 0.005,
    piece: float | None = None,
    offset: float | None = None,
    one_to_one: bool = False,
) -> Clock:
    """Find the clock that maps ``source`` pulses to the same pulses on the ``target`` clock.

    Pulses may be missing on either side, others may be extra, and the offset may be anything (two
    clocks an hour apart): the offset under which the pattern of intervals agrees is searched for,
    and followed along the drift from there. It is refused if a second one agrees all but as well,
    as with pulses at constant intervals.

    Parameters
    ----------
    source, target
        ``(pulse,)`` s, ascending: the same kind of edge of the same signal, on both clocks.
    tolerance
        How far a pulse may be from the map, s.
    piece
        If the drift changes: length of the straight pieces, s. Default: one line.
    offset
        If known to half an interval between pulses: target minus source, s. Other ones are then
        not looked at.
    one_to_one
        Whether the pulses are known to be the same ones, in order; then nothing is searched for.

    Returns
    -------
    The clock, with what was matched, its drift, residual and gaps.

    Raises
    ------
    DataError
        If too few pulses match, if more than one offset fits, or if the drift is not constant
        (nor within ``piece``); the text gives the numbers.
    """
    source, target = sample_times(source, "source pulses"), sample_times(target, "target pulses")
    fewest = 2 if one_to_one else _FEWEST
    if min(len(source), len(target)) < fewest or not tolerance > 0:
        raise DataError(
            f"Expected {fewest} or more pulses of each clock and a tolerance > 0 s, found "
            f"{len(source)} and {len(target)} pulses, tolerance {tolerance} s."
        )
    if one_to_one and len(source) != len(target):
        raise DataError(
            f"{len(source)} and {len(target)} pulses cannot be the same one by one. Leave out "
            "one_to_one, so that the missing ones are looked for."
        )
    for name, pulses in (("source", source), ("target", target)):
        if not np.all(np.diff(pulses) > 0):
            raise DataError(f"Two {name} pulses have the same time; give each pulse once.")
    if one_to_one:
        pairs = _Pairs(np.arange(len(source)), np.arange(len(source)))
    else:
        pairs = _search(source, target, tolerance, offset)
    return _checked_fit(source, target, pairs, tolerance, piece)


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Matched pulses, ascending: ``source[i]`` is ``target[j]``."""

    i: np.ndarray
    j: np.ndarray

    def __len__(self) -> int:
        return len(self.i)


def _search(
    source: np.ndarray, target: np.ndarray, tolerance: float, offset: float | None
) -> _Pairs:
    """Try the offsets that most pulses vote for; return the best match if it has no rival."""
    size = min(_ANCHOR, len(source))
    starts = np.unique(np.linspace(0, len(source) - size, _ANCHORS).astype(int))
    found: list[_Pairs] = []
    for start in starts:
        anchor = np.arange(start, start + size)
        width = float(2 * tolerance + _MAX_DRIFT / 2 * (source[anchor[-1]] - source[start]))
        for guess in _votes(source[anchor], target, width, offset):
            if any(_agrees(pairs, source, target, anchor, guess, width) for pairs in found):
                continue
            pairs = _follow(source, target, anchor, guess, width, tolerance)
            if len(pairs) > 2:
                found.append(pairs)
    found.sort(key=len, reverse=True)
    smaller = min(len(source), len(target))
    if not found or len(found[0]) < max(_FEWEST, smaller / 2):
        n = len(found[0]) if found else 0
        known = "" if offset is None else f" near an offset of {offset:g} s"
        raise DataError(
            f"The pulses of the two clocks do not match{known}: at best {n} of {len(source)} and "
            f"{len(target)}, to {tolerance * 1e3:g} ms. Check that both are the same signal and "
            "edge, and both in seconds."
        )
    if len(found) > 1 and len(found[1]) > _RIVAL * len(found[0]):
        one, two = (float(np.median(target[p.j] - source[p.i])) for p in found[:2])
        raise DataError(
            f"The offset of the two clocks is not certain: {one:.3f} s matches {len(found[0])} "
            f"pulses, {two:.3f} s matches {len(found[1])}. Pulses at constant intervals do not "
            "tell: pass offset= if it is known roughly, or one_to_one=True if no pulse is missing."
        )
    return found[0]


def _votes(
    anchor: np.ndarray, target: np.ndarray, width: float, offset: float | None
) -> list[float]:
    """Return the offsets that map most of ``anchor`` onto pulses of ``target``, best first."""
    few = anchor[: max(8, _DIFFERENCES // len(target))]
    differences = np.sort((target[None] - few[:, None]).ravel())
    if offset is not None:
        half = float(np.median(np.diff(target))) / 2
        differences = differences[np.abs(differences - offset) <= half]
    ends = np.searchsorted(differences, differences + width)
    votes = ends - np.arange(len(differences))
    best: list[float] = []
    while len(best) < _VOTES and votes.max(initial=0) >= 3:
        at = int(votes.argmax())
        best.append(float(np.median(differences[at : ends[at]])))
        votes[np.searchsorted(differences, differences[at] - width) : ends[at]] = 0
    return best


def _agrees(
    pairs: _Pairs,
    source: np.ndarray,
    target: np.ndarray,
    anchor: np.ndarray,
    guess: float,
    width: float,
) -> bool:
    """Whether these pairs have about the offset ``guess`` around ``anchor``."""
    nearby = np.abs(pairs.i - anchor[len(anchor) // 2]).argmin()
    there = target[pairs.j[nearby]] - source[pairs.i[nearby]]
    apart = abs(source[pairs.i[nearby]] - source[anchor[len(anchor) // 2]])
    return bool(abs(there - guess) <= width + _MAX_DRIFT * apart)


def _follow(
    source: np.ndarray,
    target: np.ndarray,
    anchor: np.ndarray,
    guess: float,
    width: float,
    tolerance: float,
) -> _Pairs:
    """Match around ``anchor``, then farther and farther out along the drift found so far."""
    pairs = _match(source, target, anchor, Clock.affine(guess), width)
    for _ in range(3):
        if len(pairs) < 3:
            return pairs
        pairs = _match(source, target, anchor, _line(source, target, pairs), tolerance)
    right = _extend(source, target, pairs, np.arange(anchor[-1] + 1, len(source)), tolerance)
    back = _Pairs(pairs.i[::-1], pairs.j[::-1])
    left = _extend(source, target, back, np.arange(anchor[0] - 1, -1, -1), tolerance)
    i, first = np.unique(np.concatenate([pairs.i, right.i, left.i]), return_index=True)
    return _Pairs(i, np.concatenate([pairs.j, right.j, left.j])[first])


def _extend(
    source: np.ndarray, target: np.ndarray, known: _Pairs, rest: np.ndarray, tolerance: float
) -> _Pairs:
    """Match the pulses ``rest``, in the order given, in blocks that grow while they match.

    Gives up where so few match that the offset cannot be the right one.
    """
    parts, recent, done, size, n = [_Pairs(rest[:0], rest[:0])], known, 0, _ANCHOR, 0
    share = len(known) / _ANCHOR
    while done < len(rest) and len(recent) > 2 and n >= _FEW * (done - 5 * _ANCHOR):
        block = rest[done : done + size]
        matched = _match(source, target, block, _line(source, target, recent), tolerance)
        good = len(matched) >= _STEADY * share * len(block)
        if not good and size > 8:  # the drift may have changed: shorter steps
            size //= 2
            continue
        done, n = done + len(block), n + len(matched)
        share = (len(known) + n) / (_ANCHOR + done)
        size = size * 2 if good else size
        parts.append(matched)
        away = np.argsort(np.abs(matched.i - rest[0]))  # the farthest last
        i, j = (np.append(getattr(recent, k), getattr(matched, k)[away]) for k in "ij")
        recent = _Pairs(i[-max(size, _ANCHOR) :], j[-max(size, _ANCHOR) :])
    return _Pairs(np.concatenate([p.i for p in parts]), np.concatenate([p.j for p in parts]))


def _match(
    source: np.ndarray, target: np.ndarray, rows: np.ndarray, clock: Clock, tolerance: float
) -> _Pairs:
    """Pair each of the pulses ``rows`` with the nearest target, each target once."""
    moved = clock.times(source[rows])
    j = nearest(target, moved, tolerance)
    i, apart = rows[j >= 0], np.abs(target[j] - moved)[j >= 0]
    j = j[j >= 0]
    order = np.lexsort([apart, j])
    _, first = np.unique(j[order], return_index=True)
    closest = order[first]
    return _Pairs(i[closest], j[closest])


def _line(source: np.ndarray, target: np.ndarray, pairs: _Pairs) -> Clock:
    """Fit a line whose drift is one that clocks can have."""
    x, y = source[pairs.i], target[pairs.j]
    middle = x.mean()
    spread = np.sum((x - middle) ** 2)
    drift = np.sum((x - middle) * (y - x)) / spread if spread > 0 else 0.0
    drift = float(np.clip(drift, -_MAX_DRIFT, _MAX_DRIFT))
    ends = middle + np.array([-1e3, 1e3])
    return Clock(ends, (y - x).mean() + ends + drift * (ends - middle))


def _checked_fit(
    source: np.ndarray,
    target: np.ndarray,
    pairs: _Pairs,
    tolerance: float,
    piece: float | None,
) -> Clock:
    """Fit, see that the pulses lie on the map, and fit again without the few that do not."""
    clock, residual = _fit(source, target, pairs, piece)
    for _ in range(2):  # pulses that were lost on the way
        more = _match(source, target, np.arange(len(source)), clock, tolerance)
        if len(more) > len(pairs):
            pairs = more
            clock, residual = _fit(source, target, pairs, piece)
    kept = pairs
    if np.abs(residual).max() > tolerance:
        near = np.abs(residual) <= tolerance
        lost, worst = int((~near).sum()), int(np.abs(residual).argmax())
        if lost > _MOST_LOST * len(pairs):
            span = float(source[pairs.i[-1]] - source[pairs.i[0]])
            drifts = _fit(source, target, pairs, span / 6)[0].drifts_ppm
            shape = "one straight line" if piece is None else f"straight pieces of {piece:g} s"
            raise DataError(
                f"The clocks do not fit {shape}: {lost} of {len(pairs)} matched pulses are more "
                f"than {tolerance * 1e3:g} ms off (root mean square "
                f"{np.sqrt(np.mean(residual**2)) * 1e3:.2f} ms, largest "
                f"{np.abs(residual[worst]) * 1e3:.2f} ms at {source[pairs.i[worst]]:.1f} s). The "
                f"drift goes from {drifts.min():+.1f} to {drifts.max():+.1f} ppm: pass a "
                "(shorter) piece= if it changes, a larger tolerance= if the pulses jitter."
            )
        kept = _Pairs(pairs.i[near], pairs.j[near])
        clock, residual = _fit(source, target, kept, piece)
    at = source[kept.i]
    steps = np.diff(at)
    wide = np.flatnonzero(steps > GAP_FACTOR * np.median(steps))
    return Clock(
        clock.source,
        clock.target,
        residual_ms=float(np.sqrt(np.mean(residual**2)) * 1e3),
        worst_ms=float(np.abs(residual).max() * 1e3),
        n_matched=len(kept),
        n_source=len(source),
        n_target=len(target),
        gaps=Intervals(at[wide], at[wide + 1]),
    )


def _fit(
    source: np.ndarray, target: np.ndarray, pairs: _Pairs, piece: float | None
) -> tuple[Clock, np.ndarray]:
    """Least squares over continuous straight pieces; also returns each pair's residual, s."""
    x, y = source[pairs.i], target[pairs.j]
    knots = _knots(x, piece)
    at = np.clip(np.searchsorted(knots, x, side="right") - 1, 0, len(knots) - 2)
    share = (x - knots[at]) / (knots[at + 1] - knots[at])
    n = len(knots)
    normal, right = np.zeros((n, n)), np.zeros(n)
    offset = float(np.mean(y - x))
    wanted = y - x - offset
    np.add.at(normal, (at, at), (1 - share) ** 2)
    np.add.at(normal, (at, at + 1), share * (1 - share))
    np.add.at(normal, (at + 1, at), share * (1 - share))
    np.add.at(normal, (at + 1, at + 1), share**2)
    np.add.at(right, at, (1 - share) * wanted)
    np.add.at(right, at + 1, share * wanted)
    clock = Clock(knots, knots + offset + np.linalg.solve(normal, right))
    return clock, y - clock.times(x)


def _knots(x: np.ndarray, piece: float | None) -> np.ndarray:
    """Place knots about ``piece`` s apart, with four or more pulses between each two."""
    if piece is None:
        return x[[0, -1]]
    if not piece > 0:
        raise DataError(f"Expected pieces longer than 0 s, found {piece}.")
    n = max(1, round((x[-1] - x[0]) / piece))
    knots = [x[0]]
    for knot in np.linspace(x[0], x[-1], n + 1)[1:-1]:
        between = np.searchsorted(x, [knots[-1], knot])
        if between[1] - between[0] >= 4 and len(x) - between[1] >= 4:
            knots.append(knot)
    return np.array([*knots, x[-1]])
