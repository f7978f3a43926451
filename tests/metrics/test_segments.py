"""Bouts and frames of behaviour: hand-counted numbers, scikit-learn, and properties."""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from tinbergen.errors import DataError
from tinbergen.metrics import (
    bout_errors,
    bout_statistics,
    bouts,
    calibration_scores,
    cohen_kappa,
    contingency,
    edit_score,
    frame_scores,
    match_states,
    segment_scores,
)

K = 3
CODES = st.lists(st.integers(-1, K - 1), min_size=1, max_size=30)


def runs(*pairs):
    return np.concatenate([np.full(n, code) for code, n in pairs])


TRUE = runs((0, 10), (1, 10), (0, 5), (2, 5))
PREDICTED = runs((0, 8), (1, 6), (0, 2), (1, 4), (0, 5), (2, 3), (1, 2))


@st.composite
def sessions(draw):
    n = draw(st.integers(1, 4))
    lengths = [draw(st.integers(1, 25)) for _ in range(n)]
    code = st.integers(-1, K - 1)
    true = [np.array(draw(st.lists(code, min_size=m, max_size=m))) for m in lengths]
    found = [np.array(draw(st.lists(code, min_size=m, max_size=m))) for m in lengths]
    true[0][0] = max(true[0][0], 0)  # something is scored
    return true, found


def test_segments_by_hand():
    scores = segment_scores([TRUE], [PREDICTED], K)
    np.testing.assert_array_equal(scores.counts[0].sum(axis=1), [[4, 3, 0], [4, 3, 0], [3, 4, 1]])
    assert np.array(scores.f1) * 100 == pytest.approx([72.727273, 72.727273, 54.545455])
    assert scores.edit * 100 == pytest.approx(57.142857)
    assert (scores.n_true, scores.n_predicted) == (4, 7)
    frames = frame_scores([TRUE], [PREDICTED], K)
    assert frames.f1 == pytest.approx([0.866667, 0.727273, 0.75], abs=1e-6)
    assert frames.macro_f1 == pytest.approx(0.781313, abs=1e-6)


def test_frames_where_background_is_not_scored():
    true = np.array([0, 1, 1, 1, 2, 2, 2, 2, 3, 3, 0, 1]) - 1
    found = np.array([2, 1, 1, 2, 2, 2, 1, 2, 3, 1, 3, 1]) - 1
    scores = frame_scores([true], [found], K)
    assert scores.f1 == pytest.approx([2 / 3, 3 / 4, 2 / 3])
    assert scores.macro_f1 == pytest.approx(0.694444, abs=1e-6)
    assert scores.accuracy == pytest.approx(0.7)
    assert scores.n == 10
    # A background that is scored counts against the classes named there.
    all_scored = frame_scores([true + 1], [found + 1], K + 1)
    assert all_scored.f1[1:] == pytest.approx([2 / 3, 2 / 3, 1 / 2])
    assert all_scored.f1[1:].mean() == pytest.approx(0.611111, abs=1e-6)


def test_run_lengths():
    codes = [1, 1, 1, 0, 0, *[4] * 6, 0, *[1] * 4]
    found = bout_statistics([codes], 5)
    assert [list(lengths) for lengths in found.lengths] == [[2, 1], [3, 4], [], [], [6]]
    expected = np.zeros((5, 5))
    for before, after in ((1, 0), (0, 4), (4, 0), (0, 1)):
        expected[before, after] += 1
    np.testing.assert_array_equal(found.transitions, expected)
    assert found.counts[0].tolist() == [2, 2, 0, 0, 1]
    assert found.frames[0].tolist() == [3, 7, 0, 0, 6]
    assert found.rates(2.0)[0, 0] == pytest.approx(2 / 16 * 2 * 60)
    assert found.durations(2.0)[[0, 1]] == pytest.approx([0.75, 1.75])
    assert np.isnan(found.durations(2.0)[2])


def test_an_unscored_frame_ends_a_bout_and_hides_predictions():
    found = bouts([0, 0, -1, 0, 1])
    assert found.starts.tolist() == [0, 3, 4]
    assert found.follows.tolist() == [False, False, True]
    scores = segment_scores([[0, 0, -1, -1, 0]], [[0, 0, 1, 2, 0]], K)
    assert scores.f1 == (1.0, 1.0, 1.0)
    assert scores.edit == 1.0


def test_onsets_and_offsets():
    errors = bout_errors([TRUE], [PREDICTED], K)
    assert errors.code.tolist() == [0, 1, 0, 2]
    assert errors.onset.tolist() == [0, 6, 0, 0]  # the longer of the two halves of bout 1
    assert errors.offset.tolist() == [-2, 0, 0, -2]
    assert errors.session.tolist() == [0] * 4


def test_hungarian_and_majority():
    table = [[5, 1, 0], [0, 2, 7], [4, 0, 1]]
    names = match_states(table)
    assert names.tolist() == [0, 2, 1]
    assert sum(table[s][c] for s, c in enumerate(names)) == 12
    assert match_states(table, "majority").tolist() == [0, 2, 0]
    assert match_states([[3, 0], [0, 0], [1, 2]], "majority").tolist() == [0, -1, 1]
    assert sorted(match_states([[3, 0], [1, 1], [0, 2]])) == [-1, 0, 1]
    counts = contingency([[0, 0, 1, 1]], [[1, -1, 0, 0]], 2, 2)
    assert counts.tolist() == [[0, 1], [2, 0]]


@given(sessions())
def test_frames_against_scikit_learn(both):
    true, found = both
    scores = frame_scores(true, found, K)
    y, p = np.concatenate(true), np.concatenate(found)
    y, p = y[y >= 0], p[y >= 0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        each: dict[str, Any] = {"labels": np.arange(K), "average": None}
        f1 = sk.f1_score(y, p, **each, zero_division=np.nan)  # type: ignore[arg-type]
        np.testing.assert_allclose(scores.f1, f1)
        each["zero_division"] = 0
        np.testing.assert_allclose(scores.recall, sk.recall_score(y, p, **each))
        np.testing.assert_allclose(scores.precision, sk.precision_score(y, p, **each))
        assert scores.balanced_accuracy == pytest.approx(sk.balanced_accuracy_score(y, p))
        assert scores.accuracy == pytest.approx(sk.accuracy_score(y, p))
        kappa = sk.cohen_kappa_score(y, p)
        assert scores.kappa == pytest.approx(kappa, nan_ok=True)


@given(sessions())
def test_order_of_sessions_does_not_matter(both):
    true, found = both
    forward = segment_scores(true, found, K)
    backward = segment_scores(true[::-1], found[::-1], K)
    assert forward.f1 == pytest.approx(backward.f1, nan_ok=True)
    assert forward.edit == pytest.approx(backward.edit)
    np.testing.assert_array_equal(forward.class_f1, backward.class_f1)
    frames = [frame_scores(*pair, K) for pair in ((true, found), (true[::-1], found[::-1]))]
    np.testing.assert_array_equal(frames[0].f1, frames[1].f1)


@given(sessions())
def test_a_perfect_prediction_scores_one(both):
    true, _ = both
    scores = segment_scores(true, true, K)
    assert scores.f1 == (1.0, 1.0, 1.0)
    assert scores.edit == 1.0
    assert frame_scores(true, true, K).macro_f1 == 1.0
    errors = bout_errors(true, true, K)
    assert not errors.onset.any() and not errors.offset.any()
    assert len(errors.onset) == scores.n_true


@given(CODES, CODES)
def test_two_raters_agree_alike_either_way_round(one, other):
    n = min(len(one), len(other))
    a, b = np.array(one[:n]), np.array(other[:n])
    both = (a >= 0) & (b >= 0)
    if not both.any():
        return
    a, b = np.where(both, a, -1), np.where(both, b, -1)
    forward, backward = segment_scores([a], [b], K), segment_scores([b], [a], K)
    assert forward.f1[2] == backward.f1[2]  # from an overlap of half on, matches are unique
    assert forward.edit == backward.edit
    assert cohen_kappa(a, b) == pytest.approx(cohen_kappa(b, a), nan_ok=True)
    np.testing.assert_array_equal(frame_scores([a], [b], K).f1, frame_scores([b], [a], K).f1)


@given(CODES)
def test_bouts_give_the_frames_back(codes):
    found = bouts(codes)
    again = np.full(len(codes), -1)
    for start, stop, code in zip(found.starts, found.stops, found.codes, strict=True):
        again[start:stop] = code
    np.testing.assert_array_equal(again, codes)
    assert (found.lengths > 0).all()


@given(CODES, CODES)
def test_edit_score_is_a_levenshtein_distance(one, other):
    def distance(a, b):
        if not a or not b:
            return len(a) + len(b)
        if a[-1] == b[-1]:
            return distance(a[:-1], b[:-1])
        return 1 + min(distance(a[:-1], b), distance(a, b[:-1]), distance(a[:-1], b[:-1]))

    one, other = one[:5], other[:5]
    expected = 1 - distance(one, other) / max(len(one), len(other))
    assert edit_score(one, other) == pytest.approx(expected)


def test_intervals_are_over_sessions():
    single = segment_scores([TRUE], [PREDICTED], K)
    assert np.isnan(single.f1_intervals[0]).all()
    several = segment_scores([TRUE] * 4, [PREDICTED, TRUE] * 2, K)
    low, high = several.f1_intervals[2]
    assert 0.545454 < low < several.f1[2] < high <= 1
    same = frame_scores([TRUE] * 5, [PREDICTED] * 5, K)
    assert same.macro_f1_interval == pytest.approx((same.macro_f1, same.macro_f1))
    assert same.kappa_interval == pytest.approx((same.kappa, same.kappa))


@pytest.mark.parametrize(
    ("true", "found", "message"),
    [
        ([[0]], [], "each of 1 sessions"),
        ([[0, 1]], [[0]], "session 0.*one shape"),
        ([[-1]], [[0]], "no frame of any session"),
        ([[0]], [[3]], "predicted codes below 3"),
        ([[0.0]], [[0]], "true codes below 3"),
    ],
)
def test_what_cannot_be_scored_is_refused(true, found, message):
    for score in (segment_scores, frame_scores):
        with pytest.raises(DataError, match=message):
            score(true, found, K)


def test_calibration_of_a_calibrated_and_of_a_bold_model():
    rng = np.random.default_rng(0)
    p = rng.dirichlet([1, 1, 1], size=20000)
    y = (p.cumsum(axis=1) > rng.random((20000, 1))).argmax(axis=1)
    good = calibration_scores(y, p)
    assert good.error < 0.01
    np.testing.assert_allclose(good.log_loss, sk.log_loss(y, p))
    bold = p**4 / (p**4).sum(axis=1, keepdims=True)
    bad = calibration_scores(y, bold)
    assert bad.error > 0.1 and bad.log_loss > good.log_loss
    assert good.counts.sum() == 20000
    assert np.isnan(good.accuracy[0])  # three classes: the highest is never below 1/3
    # Unscored frames change nothing.
    unscored = np.append(y, -1), np.vstack([p, [1.0, 0.0, 0.0]])
    assert calibration_scores(*unscored).error == good.error


@pytest.mark.parametrize(
    ("y", "p", "message"),
    [
        ([0], [[0.5, 0.6]], "do not add up"),
        ([0, 1], [[1.0, 0.0]], "time, class"),
        ([-1], [[1.0, 0.0]], "scored frames"),
        ([2], [[1.0, 0.0]], "below 2"),
    ],
)
def test_no_calibration_of_what_is_no_probability(y, p, message):
    with pytest.raises(DataError, match=message):
        calibration_scores(y, p)
