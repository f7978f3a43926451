"""Thinned labels, rules that label, and how far they agree with a hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinbergen.actions import Rule, label_by_rules, normalise, thin_labels
from tinbergen.actions.thinning import GOALS, SEEDS
from tinbergen.errors import DataError
from tinbergen.metrics import bouts, frame_scores
from tinbergen.recordings import Series, read_labels

K = 3


def sessions(seed, n=4, length=3000):
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        codes = rng.integers(-1, K, size=60)
        made.append(np.repeat(codes, rng.integers(20, 200, size=60))[:length])
    return made


@settings(max_examples=30)
@given(st.integers(0, 1000), st.sampled_from(GOALS[:5]), st.sampled_from(SEEDS))
def test_thinned_labels_are_true_chunks_of_single_bouts(seed, goal, draw):
    full = sessions(seed)
    before = [each.copy() for each in full]
    thin = thin_labels(full, K, goal, seed=draw)
    left = np.zeros(K, int)
    for codes, true, original in zip(thin.codes, full, before, strict=True):
        np.testing.assert_array_equal(true, original)
        kept = codes >= 0
        np.testing.assert_array_equal(codes[kept], true[kept])
        for length in bouts(codes).lengths:
            assert length % 50 == 0  # neighbouring chunks join
        left += np.bincount(codes[kept], minlength=K)
    np.testing.assert_array_equal(left, thin.counts)
    assert (thin.counts <= goal).all()
    possible = np.zeros(K, int)
    for codes in full:
        found = bouts(codes)
        np.add.at(possible, found.codes, found.lengths // 50 * 50)
    # A chunk in the middle of a bout may leave less than a chunk on either side.
    assert (thin.counts >= np.minimum(goal, possible // 3 // 50 * 50)).all()
    again = thin_labels(full, K, goal, seed=draw)
    for one, other in zip(thin.codes, again.codes, strict=True):
        np.testing.assert_array_equal(one, other)


def test_draws_differ_and_a_rare_class_stays_short():
    full = [np.concatenate([np.zeros(2000, int), np.ones(60, int), np.full(40, 2)])]
    draws = [thin_labels(full, K, 500, seed=seed) for seed in SEEDS]
    assert all(draw.counts.tolist() == [500, 50, 0] for draw in draws)
    assert len({draw.codes[0].tobytes() for draw in draws}) == len(SEEDS)
    with pytest.raises(DataError, match="a goal of at least a chunk of 50 frames"):
        thin_labels(full, K, 20)


def test_rules():
    speed = np.array([0, 0, 0, 1, 1, 0, 0.5, np.nan, 0, 0])
    wheel = np.array([0, 9, 9, 9, 0, 0, 0, 0, 9, 9.0])
    traces = Series(np.arange(10) / 10, np.stack([speed, wheel], 1), ("speed", "wheel"))
    rules = [
        Rule("turn", {"wheel": (5, None)}, shortest=3),
        Rule("still", {"speed": (None, 0.05)}),
        Rule("move", {"speed": (0.6, None)}),
    ]
    codes = label_by_rules(traces, rules).codes(traces.times)
    assert codes.tolist() == [1, 0, 0, 0, 2, 1, -1, -1, 1, 1]
    with pytest.raises(DataError, match="needs the channel 'paw'; there are speed, wheel"):
        label_by_rules(traces, [Rule("groom", {"paw": (1, None)})])
    with pytest.raises(DataError, match="at least one rule"):
        label_by_rules(traces, [])


def test_normalised_traces_have_one_size():
    rng = np.random.default_rng(0)
    values = np.column_stack([rng.normal(size=500), 7 * rng.normal(size=500), np.zeros(500)])
    scaled = normalise(Series(np.arange(500) / 10, values)).values
    np.testing.assert_allclose(np.quantile(np.abs(scaled), 0.99, axis=0), [1, 1, 0])


def test_rules_of_others_against_a_hand(real_data):
    """Published heuristics of a fly: good for four behaviours, poor for the fifth."""
    folder = real_data / "actions" / "fly-labels"
    classes = ("still", "walk", "front_groom", "back_groom", "abdomen-move")
    hand, rules = [], []
    for path in sorted((folder / "hand").glob("*.csv")):
        both = [
            read_labels(folder / kind / path.name, classes, fps=70.0)
            for kind in ("hand", "heuristic")
        ]
        times = np.arange(sum(1 for _ in path.open()) - 1) / 70.0
        hand.append(both[0].codes(times))
        rules.append(both[1].codes(times))
    scores = frame_scores(hand, rules, len(classes))
    assert scores.f1 == pytest.approx([0.817, 0.969, 0.916, 0.804, 0.230], abs=6e-4)
    assert scores.macro_f1 == pytest.approx(0.747, abs=6e-4)
    assert scores.n == 1956 + 1591
