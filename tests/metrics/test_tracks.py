"""Scores of tracks on cases small enough to count by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinbergen.errors import DataError
from tinbergen.metrics import score_tracks

SHAPE = np.array([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0]])
FAR = np.array([[0.0, 0.0], [500.0, 0.0]])


def two_animals(n=10):
    """``(time, animal, keypoint, 2)``: two animals that stay apart."""
    return np.tile((FAR[:, None] + SHAPE)[None], (n, 1, 1, 1))


def test_perfect_tracks_under_other_names():
    true = two_animals()
    found = score_tracks(true[:, ::-1], true, 1.0)
    assert (found.switches, found.mota, found.idf1) == (0, 1.0, 1.0)


def test_a_swap_in_the_middle_is_two_switches():
    true = two_animals()
    swapped = true.copy()
    swapped[6:] = swapped[6:, ::-1]
    found = score_tracks(swapped, true, 0.5)
    assert (found.switches, found.switches_per_minute) == (2, 4.0)
    assert found.mota == pytest.approx(1 - 2 / 20)
    assert found.idf1 == pytest.approx(12 / 20)  # 6 of 10 frames under the best naming


def test_missed_and_false_are_counted():
    true = two_animals()
    found = true.copy()
    found[:4, 0] = np.nan
    found[8:, 1] += 200  # nowhere near an animal
    scores = score_tracks(found, true, 1.0)
    assert (scores.missed, scores.false, scores.switches, scores.n_true) == (6, 2, 0, 20)
    assert scores.mota == pytest.approx(1 - 8 / 20)
    assert scores.idf1 == pytest.approx(2 * 14 / (20 + 16))


def test_a_track_that_goes_on_after_a_gap_is_no_switch_but_another_one_is():
    true = two_animals()
    gap = true.copy()
    gap[3:6, 0] = np.nan
    assert score_tracks(gap, true, 1.0).switches == 0
    third = np.concatenate([gap, np.full_like(gap[:, :1], np.nan)], axis=1)
    third[6:, 2], third[6:, 0] = third[6:, 0], np.nan
    assert score_tracks(third, true, 1.0).switches == 1


def test_a_match_lasts_while_it_holds_even_where_another_is_closer():
    true = two_animals(2)[:, :1]
    found = np.concatenate([true, true + 1.0], axis=1)
    found[0, 1] = np.nan
    found[1, 0] += 2.0  # still the animal, but the newcomer is closer
    assert score_tracks(found, true, 1.0).switches == 0


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_idf1_is_that_of_the_best_naming(seed):
    rng = np.random.default_rng(seed)
    true = two_animals(8)
    found = np.stack([true[t, rng.permutation(2)] for t in range(8)])
    found[rng.random((8, 2)) < 0.3] = np.nan
    here = np.isfinite(found).all(axis=(2, 3))
    best = max(
        sum(
            np.allclose(found[t, a], true[t, who]) for t in range(8) for a, who in enumerate(names)
        )
        for names in itertools.permutations(range(2))
    )
    expected = 2 * best / (16 + here.sum())
    assert score_tracks(found, true, 1.0).idf1 == pytest.approx(expected)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(DataError, match="found 3 and 4"):
        score_tracks(two_animals(3), two_animals(4), 1.0)
    with pytest.raises(DataError, match="No animal"):
        score_tracks(two_animals(3), np.full((3, 2, 3, 2), np.nan), 1.0)
