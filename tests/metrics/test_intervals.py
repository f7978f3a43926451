"""Bootstrap over trials and sessions, and the sign-flip test, against brute force and coverage."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinbergen.metrics import (
    bits_per_spike,
    bootstrap_interval,
    hierarchical_interval,
    information_parts,
    paired_test,
    r2,
    r2_parts,
    ratio_intervals,
)


def sessions_and_units(rng, n_sessions=8, n_units=30, between=1.0):
    sessions = np.repeat(np.arange(n_sessions), n_units)
    values = between * rng.normal(size=n_sessions)[sessions] + rng.normal(size=len(sessions))
    return values, sessions


def test_sessions_make_the_interval_honest():
    hits = {"hierarchical": 0, "units": 0}
    rng = np.random.default_rng(0)
    for k in range(100):
        values, sessions = sessions_and_units(rng)
        low, high = hierarchical_interval(values, sessions, seed=k)
        hits["hierarchical"] += low <= 0 <= high
        low, high = bootstrap_interval(values, seed=k)
        hits["units"] += low <= 0 <= high
    assert hits["hierarchical"] >= 86
    assert hits["units"] <= 60


def test_one_session_is_the_bootstrap_over_its_units():
    values = np.random.default_rng(0).normal(size=400)
    both = [hierarchical_interval(values, np.zeros(400)), bootstrap_interval(values)]
    np.testing.assert_allclose(both[0], both[1], atol=0.01)
    assert np.isnan(hierarchical_interval([1.0, np.nan], [0, 0])).all()


def test_means_of_sessions_weigh_alike():
    values = np.concatenate([np.zeros(99), [1.0]])
    sessions = np.repeat([0, 1], [99, 1])
    by_units = hierarchical_interval(values, sessions)
    by_sessions = hierarchical_interval(values, sessions, average="sessions")
    assert by_units == (0, 1)
    assert by_sessions == (0, 1)
    many = np.repeat([0.0, 1.0], [990, 10])
    labels = np.repeat(np.arange(20), 50)
    low, high = hierarchical_interval(many, labels)
    assert low == 0
    assert 0 < high < 0.05


def test_trials_are_resampled_for_all_units_alike():
    rng = np.random.default_rng(0)
    rates = rng.gamma(2, 0.5, size=(40, 25, 6))
    counts = rng.poisson(rates)
    counts[..., 5] = 0
    gain, weight = information_parts(counts, rates, "mean", groups=np.arange(40))
    found = ratio_intervals(gain, weight)
    values = bits_per_spike(counts, rates, "mean")
    assert (found.units[:5, 0] < values[:5]).all()
    assert (values[:5] < found.units[:5, 1]).all()
    assert np.isnan(found.units[5]).all()
    assert found.mean.low < np.nanmean(values) < found.mean.high
    null, draws = counts.mean((0, 1)), []
    for _ in range(300):  # brute force
        rows = rng.integers(40, size=40)
        draws.append(bits_per_spike(counts[rows], rates[rows], null)[0])
    np.testing.assert_allclose(found.units[0], np.quantile(draws, [0.025, 0.975]), atol=0.03)


def test_intervals_of_r2_over_trials():
    rng = np.random.default_rng(0)
    y = rng.normal(size=(50, 20, 3))
    p = 0.5 * y + 0.3 * rng.normal(size=y.shape)
    found = ratio_intervals(*r2_parts(y, p, groups=np.arange(50)))
    value = r2(y, p)
    assert (found.units[:, 0] < value).all()
    assert (value < found.units[:, 1]).all()
    alone = ratio_intervals(*r2_parts(y, p))
    assert np.isnan(alone.units).all()
    assert np.isnan(alone.mean).all()


@given(st.lists(st.integers(-5, 5), min_size=2, max_size=9))
def test_p_of_all_sign_flips(differences):
    d = np.array(differences, float)
    sums = [abs(np.dot(signs, d)) for signs in product([1, -1], repeat=len(d))]
    expected = np.mean(np.array(sums) >= abs(d.sum()))
    assert paired_test(d, np.zeros(len(d))).p == pytest.approx(expected)


def test_drawn_flips_come_near_all_flips():
    d = np.random.default_rng(0).normal(0.4, 1, size=13)
    exact = paired_test(d, np.zeros(13)).p
    drawn = paired_test(d, np.zeros(13), n=8000).p
    assert exact == pytest.approx(drawn, abs=0.015)


def test_p_is_uniform_where_nothing_differs():
    rng = np.random.default_rng(0)
    p = [paired_test(*rng.normal(size=(2, 30)), n=499, seed=k).p for k in range(300)]
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.035)
    assert np.mean(p) == pytest.approx(0.5, abs=0.06)


def test_groups_are_flipped_whole():
    rng = np.random.default_rng(1)
    values, sessions = sessions_and_units(rng, n_sessions=6, n_units=50)
    units = paired_test(values, np.zeros(300))
    groups = paired_test(values, np.zeros(300), sessions)
    assert (units.n_groups, groups.n_groups, groups.n) == (300, 6, 300)
    assert groups.p > units.p
    assert groups.interval.high - groups.interval.low > units.interval.high - units.interval.low
    np.testing.assert_allclose(units.mean, values.mean())
    assert paired_test(np.full(6, 1.0), np.zeros(6), np.arange(6)).p == 2 / 2**6


def test_pairs_with_nan_are_left_out_and_counted():
    found = paired_test([1.0, np.nan, 3.0, 2.0], [0.0, 1.0, np.nan, 3.0])
    assert (found.n, found.n_left_out, found.better) == (2, 2, 0.5)
    nothing = paired_test([np.nan], [1.0])
    assert nothing.n == 0
    assert np.isnan([nothing.mean, nothing.p, *nothing.interval]).all()


def test_units_tested_on_the_same_trials_share_their_luck():
    rng = np.random.default_rng(0)
    shared = rng.normal(1, 1, size=(40, 1))  # what a trial does to all units
    gain = shared + rng.normal(0, 0.1, size=(40, 300))
    found = ratio_intervals(gain, np.ones_like(gain))
    over_units = bootstrap_interval(gain.mean(axis=0))
    expected = 2 * 1.96 * shared.std() / np.sqrt(40)
    assert over_units.high - over_units.low < 0.05 * expected
    assert found.population.high - found.population.low == pytest.approx(expected, rel=0.1)


def test_units_that_differ_widen_the_interval_of_the_population():
    gain = np.repeat(np.random.default_rng(0).normal(size=(1, 50)), 40, axis=0)
    found = ratio_intervals(gain, np.ones_like(gain))
    over_units = bootstrap_interval(gain[0])
    assert found.mean.high - found.mean.low < 1e-9
    assert np.allclose(found.population, over_units, atol=0.05)


def test_a_unit_with_all_its_weight_in_one_trial():
    gain, weight = np.zeros((5, 1)), np.zeros((5, 1))
    gain[2], weight[2] = 0.5, 2.0
    found = ratio_intervals(gain, weight)
    assert found.mean == found.pooled == found.population == (0.25, 0.25)
