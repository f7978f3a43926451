"""Nulls: legal shifts and shuffles, honest p values, and a quick way that is the slow."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinbergen.errors import DataError
from tinbergen.metrics import (
    bits_per_spike,
    bits_per_spike_null,
    null_distribution,
    null_interval,
    r2,
    shuffled,
    time_shifts,
)


@given(
    sizes=st.lists(st.integers(6, 30), min_size=1, max_size=5),
    minimum=st.integers(1, 3),
    seed=st.integers(0, 50),
    mixed=st.booleans(),
)
def test_shifts_are_circular_far_enough_and_stay_in_their_segment(sizes, minimum, seed, mixed):
    segments = np.repeat(np.arange(len(sizes)), sizes)
    if mixed:  # segments whose bins lie between those of others
        segments = np.random.default_rng(seed).permutation(segments)
    for index in time_shifts(segments, minimum, 4, seed=seed):
        assert sorted(index) == list(range(len(segments)))
        np.testing.assert_array_equal(segments[index], segments)
        for s in range(len(sizes)):
            own = np.flatnonzero(segments == s)
            place = np.searchsorted(own, index[own])
            steps = np.unique((place - np.arange(len(own))) % len(own))
            assert len(steps) == 1
            assert minimum <= steps[0] <= len(own) - minimum


def test_all_shifts_come_up_and_segments_move_on_their_own():
    draws = np.array(list(time_shifts(np.repeat([0, 1], 10), 2, 400)))
    first, second = draws[:, 0], draws[:, 10] - 10
    assert set(first) == set(second) == set(range(2, 9))
    assert (first != second).mean() > 0.7
    again = np.array(list(time_shifts(np.repeat([0, 1], 10), 2, 400)))
    np.testing.assert_array_equal(draws, again)


def test_too_short_a_segment_is_named():
    with pytest.raises(DataError, match="segment b has 3"):
        next(time_shifts(np.array(list("aaaaaaabbb")), 2))
    with pytest.raises(DataError, match="at least 1"):
        next(time_shifts(10, 0))


@given(labels=st.lists(st.integers(0, 3), min_size=1, max_size=30), seed=st.integers(0, 9))
def test_shuffles_stay_within_their_group(labels, seed):
    for index in shuffled(labels, 3, seed=seed):
        assert sorted(index) == list(range(len(labels)))
        np.testing.assert_array_equal(np.asarray(labels)[index], labels)


def test_every_order_is_as_likely():
    draws = [tuple(index) for index in shuffled(3, 6000)]
    counts = np.unique(draws, axis=0, return_counts=True)[1]
    assert len(counts) == 6
    assert np.all(abs(counts - 1000) < 4 * np.sqrt(1000))


@pytest.mark.parametrize("null", ["mean", "psth", 0.5])
@pytest.mark.parametrize("hole", [False, True])
def test_the_quick_way_is_the_slow_way(null, hole):
    rng = np.random.default_rng(0)
    rates = rng.gamma(2, 0.4, size=(12, 20, 5))
    counts = rng.poisson(rates)
    counts[..., 4] = 0
    if hole:
        rates[0, 3, 2] = np.nan
    quick = bits_per_spike_null(counts, rates, null, shuffled(12, 5))
    slow = null_distribution(
        lambda y, p: bits_per_spike(y, p, null), counts, rates, shuffled(12, 5)
    )
    np.testing.assert_allclose(quick, slow, atol=1e-10)
    assert np.isnan(quick[:, 4]).all()
    flat = counts.reshape(-1, 5), rates.reshape(-1, 5)
    segments = np.repeat(np.arange(12), 20)
    if null != "psth":
        quick = bits_per_spike_null(*flat, null, time_shifts(segments, 5, 5))
        slow = null_distribution(
            lambda y, p: bits_per_spike(y, p, null), *flat, time_shifts(segments, 5, 5)
        )
        np.testing.assert_allclose(quick, slow, atol=1e-10)


def test_slow_signals_that_do_not_know_of_each_other_stay_within_their_null():
    """Two unrelated smooth signals correlate; shifts know how much, shuffles of bins do not."""
    rng = np.random.default_rng(3)
    n, hits = 60, {"shift": 0, "shuffle": 0}
    for _ in range(n):
        noise = rng.normal(size=(2, 1500))
        kernel = np.exp(-np.arange(300) / 60)
        y, p = (np.convolve(v, kernel)[300:1500] for v in noise)

        def score(a, b):
            return float(np.corrcoef(a, b)[0, 1])

        draws = {"shift": time_shifts(1200, 100, 99), "shuffle": shuffled(1200, 99)}
        for name, index in draws.items():
            null = null_distribution(score, y, p, index)
            hits[name] += null_interval(score(y, p), null).p <= 0.05
    assert hits["shift"] <= 8  # 3 expected
    assert hits["shuffle"] >= 15


def test_a_prediction_that_knows_beats_its_null():
    rng = np.random.default_rng(0)
    rates = np.exp(np.sin(np.arange(2000) / 9)[:, None] * rng.normal(size=8))
    counts = rng.poisson(rates)
    null = bits_per_spike_null(counts, rates, "mean", time_shifts(2000, 20, 99))
    found = null_interval(bits_per_spike(counts, rates, "mean"), null)
    assert found.p.shape == (8,)
    assert (found.mean < 0).all()
    pooled = null_interval(found.value.mean(), null.mean(axis=1))
    assert pooled.p == 0.01
    assert pooled.high < pooled.value
    assert isinstance(pooled.p, float)


def test_p_values_by_hand():
    found = null_interval(0.5, [0.1, 0.5, 0.9])
    assert found.p == 0.75
    assert null_interval(0.5, [0.1, 0.6, 0.9], direction="lower").p == 0.5
    assert found.n == 3
    assert np.isnan(null_interval(np.nan, [1.0, 2.0]).p)
    with pytest.raises(DataError, match="null scores"):
        null_interval([1.0, 2.0], [1.0, 2.0])


def test_null_distributions_have_a_row_a_draw():
    y = np.random.default_rng(0).normal(size=(50, 3))
    null = null_distribution(r2, y, y, time_shifts(50, 5, 7))
    assert null.shape == (7, 3)
    assert (null < 0.2).all()
