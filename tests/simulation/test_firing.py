import numpy as np
import pandas as pd
import pytest
from scipy.stats import nbinom, poisson

from tinbergen.errors import ConfigError, DataError
from tinbergen.recordings import Intervals, Series
from tinbergen.recordings.intervals import Bins
from tinbergen.simulation import ceiling_bits_per_spike, draw_spikes, expected_counts

DT = 0.02


def rng(seed=0):
    return np.random.default_rng(seed)


def steady(rates, n=40_000):
    values = np.tile(np.asarray(rates, float), (n, 1))
    times = np.arange(n) * DT
    return Series(times, values, unit="Hz", valid=Intervals([0.0], [n * DT]))


def varying(n=3000, units=6, seed=1):
    values = np.exp(2.0 + 0.8 * rng(seed).standard_normal((n, units)))
    return Series(np.arange(n) * DT, values, unit="Hz", valid=Intervals([0.0], [n * DT]))


def counts(spikes, width):
    return spikes.bin(Bins.inside(spikes.valid, width))


def test_poisson_counts_have_the_mean_the_variance_and_the_distribution():
    rates = np.array([2.0, 15.0, 50.0])
    found = counts(draw_spikes(steady(rates), rng()), DT)
    n = len(found)
    expected = rates * DT
    np.testing.assert_allclose(found.mean(0), expected, atol=5 * np.sqrt(expected.max() / n))
    np.testing.assert_allclose(found.var(0) / found.mean(0), 1, atol=6 * np.sqrt(2 / n))
    for k in range(4):
        share = poisson.pmf(k, expected)
        np.testing.assert_allclose((found == k).mean(0), share, atol=0.01)


@pytest.mark.parametrize("fano", [1.5, 3.0])
def test_overdispersed_counts_keep_the_rate_and_have_one_fano_factor_at_every_width(fano):
    rates = np.array([5.0, 30.0])
    spikes = draw_spikes(steady(rates), rng(2), fano=fano)
    for steps in (1, 5, 25):
        found = counts(spikes, steps * DT)
        np.testing.assert_allclose(found.mean(0), rates * steps * DT, rtol=0.05)
        np.testing.assert_allclose(found.var(0) / found.mean(0), fano, rtol=0.12)
    single = counts(spikes, DT)[:, 1]
    mean = 30.0 * DT
    for k in range(4):
        share = nbinom.pmf(k, mean / (fano - 1), 1 / fano)
        assert (single == k).mean() == pytest.approx(share, abs=0.01)


def test_refractory_units_keep_their_rate_and_vary_less():
    rates, dead = np.array([5.0, 80.0]), 0.003
    spikes = draw_spikes(steady(rates), rng(3), refractory=dead)
    for unit, rate in enumerate(rates):
        times = spikes.train(spikes.table.index[unit])
        assert np.diff(times).min() >= dead
        assert len(times) / spikes.valid.duration == pytest.approx(rate, rel=0.03)
    wide = counts(spikes, 1.0)[:, 1]
    # A renewal process with a dead time: Fano factor (1 - rate * dead)^2 in long bins.
    assert wide.var() / wide.mean() == pytest.approx((1 - 80 * dead) ** 2, rel=0.2)


def test_silencing_equals_going_through_the_spikes_one_by_one():
    spikes = draw_spikes(steady([200.0, 120.0], 3000), rng(4), refractory=0.004)
    from tinbergen.simulation.firing import _outside_refractory

    raw = np.sort(rng(5).uniform(0, 2.0, 1500))
    units = rng(6).integers(0, 2, 1500)
    last, kept = {0: -np.inf, 1: -np.inf}, []
    for time, unit in zip(raw, units, strict=True):
        kept.append(time - last[unit] >= 0.004)
        if kept[-1]:
            last[unit] = time
    np.testing.assert_array_equal(_outside_refractory(raw, units, 0.004), kept)
    assert len(spikes)


def test_spikes_follow_a_changing_rate():
    rates = varying()
    total = sum(counts(draw_spikes(rates, rng(i)), DT) for i in range(200))
    z = (total / 200 - rates.values * DT) / np.sqrt(rates.values * DT / 200)
    assert abs(z.mean()) < 0.05 and z.std() == pytest.approx(1, abs=0.03)


def test_units_keep_their_table_and_the_valid_intervals():
    table = pd.DataFrame({"region": ["a", "b"]}, index=pd.Index(["u7", "u9"]))
    valid = Intervals([0.0, 10.0], [1.0, 11.0])
    times = np.concatenate([np.arange(50) * DT, 10 + np.arange(50) * DT])
    rates = Series(times, np.full((100, 2), 100.0), ("u7", "u9"), "Hz", valid, table=table)
    spikes = draw_spikes(rates, rng())
    assert list(spikes.table["region"]) == ["a", "b"] and list(spikes.table.index) == ["u7", "u9"]
    assert spikes.valid == valid and valid.contains(spikes.times).all()
    assert len(spikes) == pytest.approx(400, abs=100)


def test_expected_counts_equal_brute_force_for_any_edges():
    rates = varying(200, 3)
    fine = np.repeat(rates.values, 1000, axis=0) * DT / 1000
    middle = (np.arange(len(fine)) + 0.5) * DT / 1000
    bins = Bins.inside(Intervals([0.013, 1.5], [1.1037, 3.9]), 0.0337)
    at = bins.of(middle)
    expected = np.stack([fine[at == i].sum(0) for i in range(len(bins))])
    np.testing.assert_allclose(expected_counts(rates, bins), expected, rtol=2e-3)
    whole = Bins.inside(rates.valid, DT)
    np.testing.assert_allclose(expected_counts(rates, whole), rates.values * DT, rtol=1e-9)


def test_expected_counts_are_nothing_in_gaps():
    valid = Intervals([0.0, 5.0], [1.0, 6.0])
    rates = Series(np.array([0.0, 0.5, 5.0]), np.array([[2.0], [4.0], [8.0]]), valid=valid)
    bins = Bins.inside(Intervals([0.0], [6.0]), 1.0)
    np.testing.assert_allclose(expected_counts(rates, bins)[:, 0], [3, 0, 0, 0, 0, 8])


@pytest.mark.parametrize("fano", [1.0, 2.0])
def test_the_ceiling_is_the_mean_score_of_the_true_rates(fano):
    rates = varying(4000, 3, seed=8)
    bins = Bins.inside(rates.valid, 2 * DT)
    expected = expected_counts(rates, bins)
    scores = []
    for seed in range(60):
        n = draw_spikes(rates, rng(seed), fano=fano).bin(bins)
        gain = n * np.log(expected / n.mean(0)) - (expected - n.mean(0))
        scores.append(gain.sum(0) / (n.sum(0) * np.log(2)))
    scatter = np.std(scores, axis=0) / np.sqrt(60)
    difference = np.mean(scores, axis=0) - ceiling_bits_per_spike(rates, bins)
    # The mean of few counts favours the null by 1 / (2 n ln 2) bits per spike.
    assert (np.abs(difference) < 4 * scatter + 1e-3).all()
    flat = steady([10.0, 0.0], 50)
    ceiling = ceiling_bits_per_spike(flat, Bins.inside(flat.valid, DT))
    assert ceiling[0] == pytest.approx(0, abs=1e-12) and np.isnan(ceiling[1])


def test_same_generator_same_spikes():
    a, b, c = (draw_spikes(varying(), rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a.times, b.times)
    np.testing.assert_array_equal(a.units, b.units)
    assert len(a) != len(c) or (a.times != c.times).any()


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ConfigError, match="fano"):
        draw_spikes(varying(), rng(), fano=0.8)
    with pytest.raises(ConfigError, match="refractory"):
        draw_spikes(varying(), rng(), fano=2.0, refractory=0.002)
    with pytest.raises(ConfigError, match="no room"):
        draw_spikes(steady([500.0], 10), rng(), refractory=0.002)
    for bad in (-1.0, np.nan):
        with pytest.raises(DataError, match="finite"):
            draw_spikes(steady([bad], 10), rng())
    outside = Series(np.array([0.0, 1.0]), np.ones((2, 1)), valid=Intervals([0.0], [0.5]))
    with pytest.raises(DataError, match="inside"):
        draw_spikes(outside, rng())
