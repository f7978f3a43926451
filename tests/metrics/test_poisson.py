"""Bits per spike and D2 against hand-computed numbers, scikit-learn, and what must not matter."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import d2_tweedie_score, mean_poisson_deviance

from tinbergen.errors import DataError
from tinbergen.metrics import (
    bits_per_spike,
    bits_per_spike_table,
    information_parts,
    null_rates,
    poisson_d2,
    poisson_nll,
)

COUNTS, RATES = [0, 1, 2, 1], [0.5, 1, 1.5, 1]


def test_the_hand_example():
    assert poisson_nll(COUNTS, RATES).sum() == pytest.approx(3.8822169643)
    assert poisson_nll(COUNTS, np.ones(4)).sum() == pytest.approx(4.6931471806)
    assert poisson_nll(COUNTS, RATES, factorial=False).sum() == pytest.approx(3.18906978, abs=1e-8)
    assert poisson_nll(COUNTS, np.ones(4), factorial=False).sum() == 4
    assert poisson_nll(COUNTS, COUNTS, factorial=False).sum() == pytest.approx(
        2.61370564, abs=1e-8
    )
    assert bits_per_spike(COUNTS, RATES, 1.0)[0] == pytest.approx(0.2924812504)
    assert bits_per_spike(COUNTS, RATES, 1.0)[0] == pytest.approx(
        2 * np.log(1.5) / (4 * np.log(2))
    )
    assert poisson_d2(COUNTS, RATES, 1.0)[0] == pytest.approx(0.5849625007)


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        (np.ones(4), 0.0),
        (np.full(4, 2.0), -0.4426950409),
        (np.full(4, 0.5), -0.2786524796),
        (np.array(COUNTS, float), 0.5),  # the zero is raised to the floor
    ],
)
def test_constant_and_perfect_rates(rates, expected):
    assert bits_per_spike(COUNTS, rates, "mean")[0] == pytest.approx(expected, abs=1e-8)


def test_twice_the_mean_in_closed_form():
    value = bits_per_spike(COUNTS, np.full(4, 2.0), "mean")[0]
    assert value == pytest.approx((np.log(2) - 1) / np.log(2)) == pytest.approx(1 - 1 / np.log(2))


def test_likelihood_of_single_counts():
    assert poisson_nll(0, 0.5) == pytest.approx(0.5)
    assert poisson_nll(2, 1.5, factorial=False) == pytest.approx(0.6890698, abs=1e-7)
    assert poisson_nll(2, 1.5) == pytest.approx(1.3822170, abs=1e-7)
    z, step = np.log(1.5), 1e-6  # the gradient over the logarithm is rate - count
    slope = (poisson_nll(2, np.exp(z + step)) - poisson_nll(2, np.exp(z - step))) / (2 * step)
    assert slope == pytest.approx(1.5 - 2, abs=1e-6)


@pytest.mark.parametrize("trials", [20, 40, 80, 160])
def test_a_null_per_test_bin_costs_what_the_formula_says(trials):
    rate = 0.3
    counts = np.random.default_rng(trials).poisson(rate, size=(trials, 100, 200))
    rates = np.full(counts.shape, rate)
    measured = bits_per_spike(counts, rates, "psth").mean()
    # The expansion of which this is the first term is short of the truth at few spikes a bin.
    assert measured == pytest.approx(-1 / (2 * trials * rate * np.log(2)), rel=0.06)
    published = {20: -0.124, 40: -0.062, 80: -0.030, 160: -0.0149}
    assert measured == pytest.approx(published[trials], rel=0.03)
    assert abs(bits_per_spike(counts, rates, "mean").mean()) < 0.0012


def test_one_neuron_by_trial_and_time_is_not_taken_for_units():
    """The trap: ``(trial, time)`` of one neuron must not become a null per time bin."""
    counts = np.random.default_rng(0).poisson(0.3, size=(40, 100))
    rates = np.full(counts.shape, 0.3)
    safe = bits_per_spike(counts[..., None], rates[..., None], "mean")
    assert safe.shape == (1,)
    assert abs(safe[0]) < 0.002
    with pytest.raises(DataError, match="trials"):
        null_rates("psth", counts)


@pytest.fixture(scope="module")
def synthetic():
    """The synthetic recording of the encoding benchmarks: 300 trials, 100 bins, 200 units."""
    r = np.random.default_rng(0)
    trials, bins, units, channels, latents = 300, 100, 200, 768, 12
    a = np.exp(-1 / np.geomspace(2, 30, latents))
    z = np.zeros((trials, bins + 40, latents))
    z[:, 0] = r.normal(size=(trials, latents))
    for t in range(1, bins + 40):
        z[:, t] = a * z[:, t - 1] + np.sqrt(1 - a**2) * r.normal(size=(trials, latents))
    z = z[:, 20 : 20 + bins + 10]
    r.normal(size=(latents, channels))
    for _ in range(trials):  # the features, which are not needed here
        r.normal(size=(bins, channels))
    lag = r.integers(-4, 5, size=units)
    w = r.normal(size=(latents, units)) * (r.random((latents, units)) < 0.3) * 0.35
    psth = 0.4 * np.cumsum(r.normal(size=(bins, units)), 0) / np.sqrt(bins)
    base = np.log(r.lognormal(np.log(10), 0.6, units).clip(2, 60) * 0.02)
    eta = np.stack([z[:, 5 + k : 5 + k + bins] @ w[:, n] for n, k in enumerate(lag)], 2)
    rate = np.exp((eta + psth + base).clip(-8, 1.5))
    counts = r.poisson(rate)
    order = np.random.default_rng(42).permutation(trials)
    return counts, rate.astype("f4"), order[:210], order[240:]


def test_all_nulls_and_floors_on_the_synthetic_recording(synthetic):
    counts, rate, train, test = synthetic
    y, r = counts[test], rate[test]
    rows = {row.null: row for row in bits_per_spike_table(y, r, counts[train], floor=1e-3)}
    for null, expected in (
        *(("mean", 0.3461), ("train-mean", 0.3484)),
        *(("psth", 0.2539), ("train-psth", 0.3486)),
    ):
        assert rows[null].mean == pytest.approx(expected, abs=2e-4)
        assert rows[null].interval.low < expected < rows[null].interval.high
    assert rows["mean"].pooled == pytest.approx(0.3917, abs=2e-4)
    hertz = counts[train].mean((0, 1)) / 0.02
    for above, expected in ((0, 0.346), (5, 0.356), (10, 0.381)):
        assert rows["mean"].values[hertz > above].mean() == pytest.approx(expected, abs=1e-3)
    noisy = r + np.random.default_rng(0).normal(size=r.shape) * 0.1
    for floor, expected in (
        (1e-9, -1.08),
        (1e-6, -0.58),
        (1e-3, -0.08),
        (1e-2, 0.09),
        (0.05, 0.19),
    ):
        value = bits_per_spike(y, noisy, "mean", floor).mean()
        assert value == pytest.approx(expected, abs=0.01)


def test_the_floor_decides():
    rng = np.random.default_rng(0)
    rates = rng.gamma(2, 0.15, size=(500, 20))
    counts = rng.poisson(rates)
    noisy = rates + rng.normal(size=rates.shape) * 0.1
    scores = [bits_per_spike(counts, noisy, "mean", floor).mean() for floor in (1e-9, 1e-3, 0.05)]
    assert scores[0] < scores[1] < scores[2]


def random_population(seed=0, shape=(6, 30, 7)):
    rng = np.random.default_rng(seed)
    rates = rng.gamma(2, 0.4, size=shape)
    return rng.poisson(rates), rates


def test_d2_is_that_of_scikit_learn():
    counts, rates = random_population()
    ours = poisson_d2(counts, rates, "mean")
    flat = counts.reshape(-1, 7), rates.reshape(-1, 7)
    for k in range(7):
        assert ours[k] == pytest.approx(d2_tweedie_score(flat[0][:, k], flat[1][:, k], power=1))
        deviance = 2 * (poisson_nll(flat[0][:, k], flat[1][:, k])
                        - poisson_nll(flat[0][:, k], flat[0][:, k])).mean()  # fmt: skip
        assert deviance == pytest.approx(mean_poisson_deviance(flat[0][:, k], flat[1][:, k]))


@given(seed=st.integers(0, 1000))
def test_terms_that_no_model_knows_cancel(seed):
    counts, rates = random_population(seed)
    null = counts.mean((0, 1))
    spikes = counts.sum((0, 1))
    for factorial in (True, False):
        likelihoods = [poisson_nll(counts, r, factorial=factorial) for r in (null, rates)]
        gain = (likelihoods[0] - likelihoods[1]).sum((0, 1))
        expected = gain / (spikes * np.log(2))
        np.testing.assert_allclose(bits_per_spike(counts, rates, "mean"), expected, atol=1e-12)


@given(
    seed=st.integers(0, 1000),
    silent=st.integers(1, 4),
    order=st.permutations(range(7)),
    kind=st.sampled_from(["mean", "psth"]),
)
def test_silent_units_and_the_order_of_units_do_not_matter(seed, silent, order, kind):
    counts, rates = random_population(seed)
    for score in (bits_per_spike, poisson_d2):
        values = score(counts, rates, kind)
        np.testing.assert_allclose(
            score(counts[..., order], rates[..., order], kind), values[order], rtol=1e-12
        )
    more = np.concatenate([counts, np.zeros((6, 30, silent), int)], axis=2)
    predicted = np.concatenate([rates, np.full((6, 30, silent), 0.1)], axis=2)
    values = bits_per_spike(counts, rates, kind)
    np.testing.assert_allclose(bits_per_spike(more, predicted, kind)[:7], values, rtol=1e-12)
    assert np.isnan(bits_per_spike(more, predicted, kind)[7:]).all()
    row, plain = bits_per_spike_table(more, predicted)[0], bits_per_spike_table(counts, rates)[0]
    assert (row.n, row.n_left_out) == (7, silent)
    assert row.mean == pytest.approx(plain.mean, rel=1e-12)
    assert row.pooled == pytest.approx(plain.pooled, rel=1e-12)
    assert row.interval == pytest.approx(plain.interval, rel=1e-12)


@given(
    arrays.arrays(np.int64, (5, 8, 3), elements=st.integers(0, 6)),
    arrays.arrays(np.bool_, (5, 8, 3)),
)
def test_nan_are_left_out_of_the_sums(counts, hidden):
    rates = np.random.default_rng(0).gamma(2, 0.5, size=counts.shape)
    with_nan = np.where(hidden, np.nan, rates)
    found = bits_per_spike(counts, with_nan, 0.7)
    for k in range(3):
        kept = ~hidden[..., k]
        expected = bits_per_spike(counts[kept, k], rates[kept, k], 0.7)[0]
        np.testing.assert_allclose(found[k], expected, equal_nan=True)
    other = bits_per_spike(np.where(hidden, np.nan, counts), rates, 0.7)
    np.testing.assert_array_equal(found, other)


def test_two_dimensions_are_three_laid_end_to_end():
    counts, rates = random_population()
    long = counts.reshape(-1, 7), rates.reshape(-1, 7)
    np.testing.assert_allclose(
        bits_per_spike(*long, "mean"), bits_per_spike(counts, rates, "mean")
    )


def test_blocks_do_not_change_the_sums(monkeypatch):
    counts, rates = random_population()
    whole = bits_per_spike(counts, rates, "psth")
    monkeypatch.setattr("tinbergen.metrics.blocks._BLOCK", 100)
    np.testing.assert_allclose(bits_per_spike(counts, rates, "psth"), whole)


def test_parts_by_group_add_up():
    counts, rates = random_population()
    gain, weight = information_parts(counts, rates, "mean", groups=list("abcabc"))
    assert gain.shape == weight.shape == (3, 7)
    expected = bits_per_spike(counts, rates, "mean")
    np.testing.assert_allclose(gain.sum(0) / weight.sum(0), expected)
    one = information_parts(counts[[0, 3]], rates[[0, 3]], counts.mean((0, 1)))
    np.testing.assert_allclose(one[0][0], gain[0])


def test_null_rates_by_condition_and_of_the_training_data():
    counts = np.arange(24.0).reshape(4, 3, 2)
    assert null_rates("mean", counts).tolist() == [11.0, 12.0]
    np.testing.assert_array_equal(null_rates("psth", counts), counts.mean(0))
    train, labels = counts[:2], ["left", "right"]
    null = null_rates(
        "train-psth", counts[2:], train, conditions=["right", "other"], train_conditions=labels
    )
    np.testing.assert_array_equal(null[0], counts[1])
    np.testing.assert_array_equal(null[1], train.mean(0))  # no trial of it in training
    np.testing.assert_array_equal(null_rates("train-mean", counts, train), train.mean((0, 1)))
    holes = counts.copy()
    holes[0] = np.nan
    np.testing.assert_array_equal(null_rates("psth", holes), counts[1:].mean(0))


def test_the_table_of_all_nulls():
    counts, rates = random_population()
    rows = bits_per_spike_table(counts[:3], rates[:3], counts[3:])
    assert [row.null for row in rows] == ["mean", "psth", "train-mean", "train-psth"]
    for row in rows:
        expected = bits_per_spike(counts[:3], rates[:3], row.null, train=counts[3:])
        np.testing.assert_allclose(row.values, expected)
        assert row.mean == pytest.approx(np.nanmean(row.values))
    flat = bits_per_spike_table(counts[0], rates[0], counts[1])
    assert [row.null for row in flat] == ["mean", "train-mean"]
    silent = bits_per_spike_table(np.zeros((5, 2)), np.ones((5, 2)))[0]
    assert (silent.n, silent.n_left_out) == (0, 2)
    assert np.isnan([silent.mean, silent.pooled, *silent.interval]).all()


@pytest.mark.parametrize(
    ("counts", "rates", "null", "message"),
    [
        (np.zeros((3, 2)), np.zeros((2, 3)), "mean", "one shape"),
        (np.array([[-1.0]]), np.ones((1, 1)), 1.0, ">= 0"),
        (np.ones((2, 1)), np.array([[1.0], [np.inf]]), 1.0, "infinite"),
        (np.ones((2, 1)), np.ones((2, 1)), "best", "train-psth"),
        (np.ones((2, 1)), np.ones((2, 1)), "train-mean", "train="),
        (np.ones((2, 1)), np.ones((2, 1)), np.ones((5, 1)), "broadcasts"),
    ],
)
def test_what_cannot_be_scored_is_refused(counts, rates, null, message):
    with pytest.raises(DataError, match=message):
        bits_per_spike(counts, rates, null)
