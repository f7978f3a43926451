"""Which class a state stands for, learned on labelled training frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from tinbergen.actions.segmenter import UNLABELLED


def contingency(
    states: Sequence[np.ndarray], codes: Sequence[np.ndarray], n_classes: int
) -> np.ndarray:
    """Return how many labelled frames of each class fall to each state, ``(state, class)``.

    Parameters
    ----------
    states
        ``(time, state)`` probabilities of each sequence.
    codes
        ``(time,)`` int of each, -1 = unlabelled.

    Examples
    --------
    >>> contingency([np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])], [np.array([0, 1, -1])], 2)
    array([[1. , 0.5],
           [0. , 0.5]])
    """
    weight, code = np.concatenate(list(states)), np.concatenate(list(codes))
    known = code != UNLABELLED
    return weight[known].T @ np.eye(n_classes)[code[known]]


def hungarian(table: np.ndarray) -> np.ndarray:
    """Return the class of each state ``(state,)``, no class twice, that agree in most frames.

    States beyond the number of classes stand for none, -1. The permutation is found in polynomial
    time (Kuhn 1955), not by trying all.

    Examples
    --------
    >>> hungarian(np.array([[5, 1, 0], [0, 2, 7], [4, 0, 1]]))
    array([0, 2, 1])
    """
    found = np.full(len(table), UNLABELLED)
    rows, columns = linear_sum_assignment(table, maximize=True)
    found[rows] = columns
    return found


def majority(table: np.ndarray) -> np.ndarray:
    """Return the most frequent class of each state ``(state,)``; -1 for one without a label.

    Examples
    --------
    >>> majority(np.array([[5, 1], [4, 0], [1, 2], [0, 0]]))
    array([ 0,  0,  1, -1])
    """
    return np.where(table.sum(axis=1) > 0, table.argmax(axis=1), UNLABELLED)
