"""States and the classes that they stand for."""

from __future__ import annotations

from itertools import permutations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinbergen.actions.matching import contingency, hungarian, majority


def test_published_permutation():
    table = np.array([[5, 1, 0], [0, 2, 7], [4, 0, 1]])
    found = hungarian(table)
    assert found.tolist() == [0, 2, 1]
    assert table[np.arange(3), found].sum() == 12


@given(hnp.arrays(np.int64, (4, 4), elements=st.integers(0, 50)))
def test_no_permutation_agrees_in_more_frames(table):
    best = max(sum(table[s, c] for s, c in enumerate(p)) for p in permutations(range(4)))
    assert table[np.arange(4), hungarian(table)].sum() == best


def test_states_beyond_the_classes_stand_for_none():
    assert hungarian(np.array([[1, 9], [8, 0], [5, 5]])).tolist() == [1, 0, -1]
    assert majority(np.array([[1, 9], [8, 0], [0, 0]])).tolist() == [1, 0, -1]


def test_unlabelled_frames_do_not_count():
    states, codes = np.eye(2)[[0, 0, 1, 1]], np.array([0, -1, -1, 1])
    assert contingency([states[:2], states[2:]], [codes[:2], codes[2:]], 2).tolist() == [
        [1, 0],
        [0, 1],
    ]
