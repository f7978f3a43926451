"""Labels by rules without their flicker: a hidden Markov model of what the rules said."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinbergen.errors import DataError
from tinbergen.statespace.chains import forward_backward, viterbi

_STAY, _RIGHT = 0.95, 0.8  # to begin with: chance to go on, and that a rule is right
_SEEN = 1.0  # frames of each kind that are credited beforehand: nothing becomes impossible
_LEAST = 0.5  # chance that a rule is right, at least: else a state could come to mean another one


def smooth_codes(
    codes: Sequence[np.ndarray], n_classes: int, *, iterations: int = 150, tolerance: float = 1e-2
) -> list[np.ndarray]:
    """Return the most probable behaviours behind what rules said.

    A chain of states, one a class and one for frames in which no rule holds; rules name the wrong
    one at times, but not in more than half of a state's frames. How often, and how long states
    last, is learned from the codes themselves, by expectation maximisation.

    Parameters
    ----------
    codes
        ``(time,)`` int of each recording, -1 = no rule holds.
    n_classes
        Number of classes.
    iterations, tolerance
        At most so many, until one gains less than ``tolerance`` nats in all.

    Returns
    -------
    list of ndarray
        ``(time,)`` int each, -1 = most probably none of the classes.

    Raises
    ------
    DataError
        If a code has no class.

    References
    ----------
    Rabiner 1989, section III; used so for labels by rules by Blau et al. 2024 (arXiv 2407.16727).

    Examples
    --------
    >>> said = np.repeat([0, 1, 0, 1], 50)
    >>> said[[20, 70, 71]] = 1, 0, -1
    >>> np.flatnonzero(smooth_codes([said], 2)[0] != np.repeat([0, 1, 0, 1], 50)).tolist()
    []
    """
    said = [np.asarray(each, dtype=np.int64) for each in codes]
    for i, each in enumerate(said):
        if len(each) and not (each.min() >= -1 and each.max() < n_classes):
            raise DataError(f"recording {i}: expected codes from -1 to {n_classes - 1}.")
    some = [np.where(each < 0, n_classes, each) for each in said if len(each)]
    if not some:
        return said
    n = n_classes + 1
    emission = _mostly(_RIGHT, n)
    initial, transitions = np.full(n, 1 / n), _mostly(_STAY, n)
    best = -np.inf
    for _ in range(iterations):
        found = forward_backward([np.log(emission.T)[each] for each in some], initial, transitions)
        gain, best = found.log_likelihoods.sum() - best, found.log_likelihoods.sum()
        if gain < tolerance:
            break
        counts = np.zeros((n, n))  # (symbol, state)
        for each, states in zip(some, found.states, strict=True):
            np.add.at(counts, each, states)
        emission = _mostly_right(_shares(counts.T + _SEEN * _mostly(_RIGHT, n)))
        transitions = _shares(found.pairs + _SEEN * _mostly(_STAY, n))
        firsts = np.sum([states[0] for states in found.states], axis=0)
        initial = _shares(firsts + _SEEN / n)
    paths = iter(viterbi([np.log(emission.T)[each] for each in some], initial, transitions)[0])
    smooth = [next(paths) if len(each) else each for each in said]
    return [np.where(each == n_classes, -1, each) for each in smooth]


def _mostly(share: float, n: int) -> np.ndarray:
    """Return ``(n, n)`` with ``share`` on the diagonal, the rest spread evenly; rows sum to 1."""
    rest = (1 - share) / max(n - 1, 1)
    return np.full((n, n), rest) + np.eye(n) * (share - rest)


def _mostly_right(emission: np.ndarray) -> np.ndarray:
    """Return what is most likely of emissions whose diagonal is at least ``_LEAST``."""
    right = np.maximum(np.diagonal(emission), _LEAST)
    wrong = emission * (1 - np.eye(len(emission)))
    wrong *= ((1 - right) / np.maximum(wrong.sum(axis=1), 1e-300))[:, None]
    return wrong + np.diag(right)


def _shares(counts: np.ndarray) -> np.ndarray:
    return counts / counts.sum(axis=-1, keepdims=True)
