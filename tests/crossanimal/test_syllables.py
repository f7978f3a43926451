"""The autoregressive hidden Markov model that names syllables."""

import numpy as np
import pytest

from tinbergen.crossanimal.syllables import Syllables, stretches
from tinbergen.errors import DataError


def switching(n=1500, seed=0):
    """Two oscillators that take turns; which of them, and the pose."""
    rng = np.random.default_rng(seed)
    state = np.repeat(np.arange(30) % 2, n // 30)
    x = np.zeros((n, 2))
    x[0] = 1, 0
    turns = [np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) for a in (0.1, -0.5)]
    for t in range(1, n):
        x[t] = turns[state[t]] @ x[t - 1] + 0.02 * rng.standard_normal(2)
    return x @ rng.standard_normal((2, 5)) + 0.001 * rng.standard_normal((n, 5)), state


def test_finds_dynamics_that_take_turns():
    pose, state = switching()
    found = Syllables.fit(pose, np.zeros(len(pose)), 2).predict(pose, np.zeros(len(pose)))
    agreement = (found == state).mean()
    assert max(agreement, 1 - agreement) > 0.9


def test_gaps_are_of_no_state_and_nothing_crosses_them():
    pose, _ = switching()
    pose[100] = np.nan
    segment = np.zeros(len(pose), int)
    segment[500:] = 1
    segment[-3:] = -1
    parts = stretches(pose, segment)
    assert [(p[0], p[-1]) for p in parts] == [(0, 99), (101, 499), (500, 1496)]
    label = Syllables.fit(pose, segment, 3).predict(pose, segment)
    assert label[100] == -1
    assert (label[-3:] == -1).all()
    assert (label[:100] >= 0).all()


def test_needs_two_poses_in_a_row():
    with pytest.raises(DataError, match="two poses in a row"):
        Syllables.fit(np.full((10, 2), np.nan), np.zeros(10), 2)
