"""Forward-backward and Viterbi of hidden Markov chains over many sequences at once.

A scan over time is slow in numpy when a step is a few numbers, so sequences are cut into blocks
that are scanned side by side. What a block does to the message that enters it is a matrix
``(state, state)``; these are found first, then the message at each border, then all frames. The
result is exact, by the associativity of the matrix product (Sarkka & Garcia-Fernandez, "Temporal
parallelization of Bayesian smoothers", IEEE Transactions on Automatic Control 66, 2021), used on
two levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tinbergen.errors import DataError

# Seconds, of one core: a step of a scan, and a multiplication within a step of many blocks. They
# decide between blocks and one scan alone, and change no result.
_STEP, _MULTIPLY = 4e-5, 1.5e-9
# Where states have no way back, a message that underflowed once stays wrong.
_NO_WAY = 1e-100


class ChainPosterior(NamedTuple):
    """What is known of the states given all observations.

    ``states``: a ``(time, state)`` array for each sequence, rows of sum 1. ``pairs``
    ``(state, state)``: expected numbers of transitions from row to column, over all sequences.
    ``log_likelihoods`` ``(sequence,)``, nats.
    """

    states: list[np.ndarray]
    pairs: np.ndarray
    log_likelihoods: np.ndarray


def forward_backward(
    log_densities: Sequence[np.ndarray], initial: np.ndarray, transitions: np.ndarray
) -> ChainPosterior:
    """Posterior of the states of a hidden Markov model.

    Parameters
    ----------
    log_densities
        A ``(time, state)`` array for each sequence: log density of each frame in each state. Minus
        infinity rules a state out; a row of zeros is a frame of which nothing was seen.
    initial
        ``(state,)`` probabilities of the first state.
    transitions
        ``(state, state)`` probabilities, from row to column.

    Raises
    ------
    DataError
        If a sequence is empty, of another number of states, holds NaN, or is impossible.

    References
    ----------
    Rabiner, "A tutorial on hidden Markov models", Proceedings of the IEEE 77, 1989, section III,
    with messages scaled in each frame.

    Examples
    --------
    >>> stay = np.array([[0.9, 0.1], [0.1, 0.9]])
    >>> found = forward_backward([np.log([[0.8, 0.2], [0.5, 0.5]])], np.full(2, 0.5), stay)
    >>> found.states[0].round(2)
    array([[0.8 , 0.2 ],
           [0.74, 0.26]])
    """
    initial, transitions = np.asarray(initial, float), np.asarray(transitions, float)
    lengths = _checked(log_densities, len(initial))
    if (transitions < _NO_WAY).any():
        return _in_logs(log_densities, initial, transitions, lengths)
    states, longest = len(initial), int(lengths.max())
    in_blocks = np.sqrt(longest) * 6 * _STEP + lengths.sum() * states**3 * _MULTIPLY
    width = longest
    if in_blocks < 2 * longest * _STEP:
        width = max(int(np.sqrt(longest)), 1)
    blocks = -(-lengths // width)
    first = np.cumsum(blocks) - blocks  # each sequence's first block
    # (time in block, block, state); frames beyond an end say nothing, so that they change nothing.
    frames = [slice(b * width, b * width + n) for b, n in zip(first, lengths, strict=True)]
    flat = np.zeros((blocks.sum() * width, states))
    for rows, density in zip(frames, log_densities, strict=True):
        flat[rows] = density
    highest = flat.max(axis=1, keepdims=True)
    _check_possible(np.isfinite(highest[:, 0]), frames)
    flat -= highest
    np.exp(flat, out=flat)
    likely = np.ascontiguousarray(flat.reshape(-1, width, states).transpose(1, 0, 2))

    entering = np.empty((len(likely[0]), states))
    leaving = np.ones_like(entering)
    entering[first] = initial
    if blocks.max() > 1:
        _messages_at_borders(likely, transitions, blocks, first, entering, leaving)
    forward, scale = _scan_forwards(likely, entering, transitions)
    behind = _scan_backwards(likely, leaving, transitions)
    # The messages from behind each frame, before the transition to the next one is applied.
    after = np.concatenate([behind[1:], leaving[None]])
    ahead = after @ transitions.T
    ahead *= forward
    total = ahead.sum(axis=2, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        ahead /= total
        after /= total
        log_scale = np.log(scale.T).reshape(-1) + highest[:, 0]
    by_frame = np.ascontiguousarray(ahead.transpose(1, 0, 2)).reshape(-1, states)
    posteriors = [by_frame[rows] for rows in frames]
    log_likelihoods = np.array([log_scale[rows].sum() for rows in frames])
    _check_likelihoods(log_likelihoods)
    paired = np.zeros(blocks.sum() * width, bool)
    for rows in frames:
        paired[rows.start : rows.stop - 1] = True
    paired = paired.reshape(-1, width).T
    pairs = transitions * (forward[paired].T @ after[paired])
    return ChainPosterior(posteriors, pairs, log_likelihoods)


def viterbi(
    log_densities: Sequence[np.ndarray], initial: np.ndarray, transitions: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray]:
    """Most probable path of states of each sequence.

    Parameters as of :func:`forward_backward`.

    Returns
    -------
    paths
        A ``(time,)`` int array for each sequence; of equal paths, that of the lowest states.
    scores
        ``(sequence,)`` log density of each path together with its observations, nats.

    Examples
    --------
    >>> stay = np.array([[0.95, 0.05], [0.05, 0.95]])
    >>> chance = np.array([0.9, 0.8, 0.4, 0.8, 0.9, 0.2, 0.1, 0.2])
    >>> paths, _ = viterbi([np.log(np.stack([chance, 1 - chance], 1))], np.full(2, 0.5), stay)
    >>> paths[0]
    array([0, 0, 0, 0, 0, 1, 1, 1])
    """
    lengths = _checked(log_densities, len(initial))
    with np.errstate(divide="ignore"):
        log_initial, log_moves = np.log(initial), np.log(transitions)
    order = np.argsort(-lengths, kind="stable")  # sequences that go on are always the first
    going_on = (lengths[order] > np.arange(lengths.max())[:, None]).sum(axis=1)
    states, longest = len(log_initial), int(lengths.max())
    emitted = np.zeros((longest, len(lengths), states))
    for column, i in enumerate(order):
        emitted[: lengths[i], column] = log_densities[i]
    best = emitted[0] + log_initial
    came_from = np.empty((longest, len(lengths), states), np.int32)
    into = np.ascontiguousarray(log_moves.T)  # (to, from)
    for t in range(1, longest):
        n = going_on[t]
        score = best[:n, None, :] + into
        source = score.argmax(axis=2)
        came_from[t, :n] = source
        best[:n] = np.take_along_axis(score, source[..., None], 2)[..., 0] + emitted[t, :n]
    scores = np.empty(len(lengths))
    paths: list[np.ndarray] = [np.empty(0, int)] * len(lengths)
    for column, i in enumerate(order):
        path = np.empty(lengths[i], np.int64)
        state = int(best[column].argmax())
        scores[i] = best[column, state]
        back = came_from[:, column].tolist()
        for t in range(lengths[i] - 1, -1, -1):
            path[t] = state
            state = back[t][state] if t else state
        paths[i] = path
    return paths, scores


def _checked(log_densities: Sequence[np.ndarray], states: int) -> np.ndarray:
    """Return the lengths of the sequences."""
    if not len(log_densities):
        raise DataError("log_densities: expected at least one sequence, found none.")
    for i, density in enumerate(log_densities):
        if np.ndim(density) != 2 or not len(density) or density.shape[1] != states:
            raise DataError(
                f"log_densities[{i}]: expected (time, {states}), at least one frame; found shape "
                f"{np.shape(density)}."
            )
        if np.isnan(density).any() or np.isposinf(density).any():
            raise DataError(f"log_densities[{i}]: expected no NaN and no infinite density.")
    return np.array([len(density) for density in log_densities])


def _check_possible(possible: np.ndarray, frames: list[slice]) -> None:
    if possible.all():
        return
    for i, rows in enumerate(frames):
        bad = np.flatnonzero(~possible[rows])
        if len(bad):
            raise DataError(f"Sequence {i}, frame {bad[0]}: expected some state to be possible.")


def _check_likelihoods(values: np.ndarray) -> None:
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise DataError(
            f"Sequence {bad[0]} is impossible: its observations need a transition of probability "
            "zero. Give transitions a prior above zero."
        )


def _in_logs(
    log_densities: Sequence[np.ndarray],
    initial: np.ndarray,
    transitions: np.ndarray,
    lengths: np.ndarray,
) -> ChainPosterior:
    """Scan all sequences with messages in logs, which never underflow; slower than blocks."""
    shape = int(lengths.max()), len(lengths), len(initial)
    emitted = np.zeros(shape)
    for i, density in enumerate(log_densities):
        emitted[: lengths[i], i] = density
    with np.errstate(divide="ignore"):
        log_initial, log_moves = np.log(initial), np.log(transitions)
    forward, behind = emitted.copy(), np.zeros(shape)
    forward[0] += log_initial
    for t in range(1, len(emitted)):
        forward[t] += np.logaddexp.reduce(forward[t - 1][:, :, None] + log_moves, axis=1)
    log_likelihoods = np.logaddexp.reduce(forward[lengths - 1, np.arange(len(lengths))], axis=1)
    _check_likelihoods(log_likelihoods)
    pairs = np.zeros_like(transitions)
    for t in range(len(emitted) - 2, -1, -1):
        on = lengths > t + 1
        ahead = log_moves + (emitted[t + 1, on] + behind[t + 1, on])[:, None, :]
        behind[t, on] = np.logaddexp.reduce(ahead, axis=2)
        joint = forward[t, on][:, :, None] + ahead - log_likelihoods[on][:, None, None]
        pairs += np.exp(joint).sum(axis=0)
    states = np.exp(forward + behind - log_likelihoods[:, None])
    return ChainPosterior([states[:n, i] for i, n in enumerate(lengths)], pairs, log_likelihoods)


def _messages_at_borders(
    likely: np.ndarray,
    transitions: np.ndarray,
    blocks: np.ndarray,
    first: np.ndarray,
    entering: np.ndarray,
    leaving: np.ndarray,
) -> None:
    """Fill ``entering`` and ``leaving`` ``(block, state)``: what comes from before and behind."""
    count, states = entering.shape
    # Rows are scaled by themselves, so that an unlikely state to begin with does not underflow.
    transfer = np.broadcast_to(np.eye(states), (count, states, states))
    log_row = np.zeros((count, states))
    with np.errstate(divide="ignore", invalid="ignore"):
        for weight in likely:
            transfer = (transfer * weight[:, None]) @ transitions
            row = transfer.sum(axis=2)
            transfer /= np.where(row > 0, row, 1.0)[..., None]
            log_row += np.log(row)
        order = np.argsort(-blocks, kind="stable")
        for j in range(1, int(blocks.max())):
            before = first[order[: (blocks > j).sum()]] + j - 1
            log_message = np.log(entering[before]) + log_row[before]
            message = np.exp(log_message - log_message.max(axis=1, keepdims=True))
            entering[before + 1] = (message[:, None] @ transfer[before])[:, 0]
        for j in range(1, int(blocks.max())):
            some = order[: (blocks > j).sum()]
            after = first[some] + blocks[some] - j
            log_message = np.log((transfer[after] @ leaving[after][..., None])[..., 0])
            log_message += log_row[after]
            leaving[after - 1] = np.exp(log_message - log_message.max(axis=1, keepdims=True))


def _scan_forwards(
    likely: np.ndarray, entering: np.ndarray, transitions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return filtered states and the scale of each frame, ``(time in block, block)``."""
    filtered, scale = np.empty_like(likely), np.empty(likely.shape[:2])
    ahead = entering / entering.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        for t, weight in enumerate(likely):
            now = np.multiply(ahead, weight, out=filtered[t])
            scale[t] = now.sum(axis=1)
            now /= scale[t][:, None]
            ahead = now @ transitions
    return filtered, scale


def _scan_backwards(
    likely: np.ndarray, leaving: np.ndarray, transitions: np.ndarray
) -> np.ndarray:
    """Return the messages from behind that reach each frame, its own observation with them."""
    behind = np.empty_like(likely)
    message, back = leaving, np.ascontiguousarray(transitions.T)
    with np.errstate(divide="ignore", invalid="ignore"):
        for t in range(len(likely) - 1, -1, -1):
            now = np.multiply(message @ back, likely[t], out=behind[t])
            now /= now.max(axis=1, keepdims=True)
            message = now
    return behind
