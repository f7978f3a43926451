"""R2 and variance explained against scikit-learn and small numbers done by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import r2_score

from tinbergen.errors import DataError
from tinbergen.metrics import psth_r2, r2, r2_parts, single_trial_r2, variance_explained
from tinbergen.metrics.regression import condition_means


def trials(seed=0, noise=1.0, shape=(24, 10, 5)):
    """Responses that depend on one of three conditions, on the trial, and on noise."""
    rng = np.random.default_rng(seed)
    conditions = np.arange(shape[0]) % 3
    responses = rng.normal(size=(3, *shape[1:]))[conditions]
    own = rng.normal(size=(shape[0], 1, shape[2])) * rng.normal(size=(1, *shape[1:]))
    return responses, own, noise * rng.normal(size=shape), conditions


def test_small_numbers():
    assert r2([1, 2, 3], [1, 2, 2])[0] == pytest.approx(0.5)
    assert r2([1, 2, 3], [2, 2, 2])[0] == 0
    assert np.isnan(r2([2, 2, 2], [1, 2, 3])[0])
    assert np.isnan(r2(np.full(50, 0.1), np.zeros(50))[0])
    y, p = np.array([[1, 2], [2, 4], [3, 6]]), np.array([[1, 2], [2, 4], [3, 3]])
    assert variance_explained(y, p) == pytest.approx(0.1)
    np.testing.assert_allclose(variance_explained(y, p, pooled=False), [1, -0.125])


@given(seed=st.integers(0, 1000), offset=st.sampled_from([0.0, 1e5]))
def test_r2_is_that_of_scikit_learn(seed, offset):
    rng = np.random.default_rng(seed)
    y, p = rng.normal(size=(2, 4, 6, 3))
    y, p = y + offset, p * 0.3 + offset
    expected = r2_score(y.reshape(-1, 3), p.reshape(-1, 3), multioutput="raw_values")
    np.testing.assert_allclose(r2(y, p), expected, rtol=1e-7)
    weighted = r2_score(y.reshape(-1, 3), p.reshape(-1, 3), multioutput="variance_weighted")
    assert variance_explained(y, p) == pytest.approx(weighted, rel=1e-7)


@given(seed=st.integers(0, 1000))
def test_r2_leaves_nan_out_column_by_column(seed):
    rng = np.random.default_rng(seed)
    y, p = rng.normal(size=(2, 30, 3))
    hidden = rng.random((2, 30, 3)) < 0.2
    y, p = np.where(hidden[0], np.nan, y), np.where(hidden[1], np.nan, p)
    kept = ~(hidden[0] | hidden[1])
    expected = [r2_score(y[kept[:, k], k], p[kept[:, k], k]) for k in range(3)]
    np.testing.assert_allclose(r2(y, p), expected)


def test_r2_against_the_training_mean():
    y = np.array([1.0, 2.0, 3.0])
    assert r2(y, [0, 0, 0], null=0.0)[0] == 0
    assert r2(y, [2, 2, 2], null=0.0)[0] == pytest.approx(1 - 2 / 14)


def test_parts_by_trial_add_up():
    y, p = np.random.default_rng(0).normal(size=(2, 6, 5, 3))
    gain, weight = r2_parts(y, p, groups=np.arange(6))
    assert gain.shape == (6, 3)
    np.testing.assert_allclose(gain.sum(0) / weight.sum(0), r2(y, p))


def test_blocks_do_not_change_the_sums(monkeypatch):
    y, p = np.random.default_rng(0).normal(size=(2, 6, 5, 3))
    whole = r2(y, p)
    monkeypatch.setattr("tinbergen.metrics.blocks._BLOCK", 20)
    np.testing.assert_allclose(r2(y, p), whole)


def test_the_psth_is_told_apart_from_the_single_trial():
    responses, own, noise, conditions = trials(noise=0.1)
    truth = responses + own + noise
    means, index = condition_means(truth, conditions)
    knows_conditions = means[index]
    np.testing.assert_allclose(psth_r2(truth, knows_conditions, conditions), 1)
    np.testing.assert_allclose(single_trial_r2(truth, knows_conditions, conditions), 0, atol=1e-12)
    assert (single_trial_r2(truth, own, conditions) > 0.9).all()
    assert (psth_r2(truth, own, conditions) < 0.9).all()
    np.testing.assert_allclose(single_trial_r2(truth, own), r2(truth, own))


def test_psth_r2_is_r2_of_averages():
    responses, own, noise, conditions = trials()
    truth, prediction = responses + own + noise, 0.5 * responses + own
    averages = [
        np.concatenate([v[conditions == c].mean(0) for c in range(3)]) for v in (truth, prediction)
    ]
    np.testing.assert_allclose(
        psth_r2(truth, prediction, conditions), r2_score(*averages, multioutput="raw_values")
    )
    other = conditions % 2
    more = [
        np.concatenate([a, *(v[other == c].mean(0) for c in range(2))])
        for a, v in zip(averages, (truth, prediction), strict=True)
    ]
    np.testing.assert_allclose(
        psth_r2(truth, prediction, np.stack([conditions, other], 1)),
        r2_score(*more, multioutput="raw_values"),
    )


def test_trials_alone_in_their_condition_are_left_out():
    responses, own, noise, conditions = trials()
    truth, prediction = responses + own + noise, responses + own
    expected = single_trial_r2(truth, prediction, conditions)
    lonely = np.concatenate([truth, truth[:1]]), np.concatenate([prediction, prediction[1:2]])
    np.testing.assert_allclose(single_trial_r2(*lonely, np.append(conditions, 9)), expected)
    assert np.isnan(single_trial_r2(truth[:2], prediction[:2], [0, 1])).all()


def test_averages_leave_nan_out():
    responses, own, noise, conditions = trials()
    truth, prediction = responses + own + noise, responses.copy()
    kept = np.arange(len(truth)) >= 3
    holes = truth.copy()
    holes[~kept] = np.nan
    for score in (psth_r2, single_trial_r2):
        np.testing.assert_allclose(
            score(holes, prediction, conditions),
            score(truth[kept], prediction[kept], conditions[kept]),
        )


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(DataError, match="one shape"):
        r2(np.zeros((3, 2)), np.zeros((3, 1)))
    with pytest.raises(DataError, match="condition a trial"):
        psth_r2(np.zeros((3, 2, 1)), np.zeros((3, 2, 1)), [0, 1])
    with pytest.raises(DataError, match="condition a trial"):
        psth_r2(np.zeros((3, 2)), np.zeros((3, 2)), [0, 1, 1])
