import numpy as np
import pandas as pd
import pytest

from tinbergen.errors import ConfigError, DataError
from tinbergen.recordings import Intervals, Series, Spikes
from tinbergen.simulation import Indicator, draw_spikes, simulate_calcium


def rng(seed=0):
    return np.random.default_rng(seed)


def steady(rate, duration, units=3):
    values = np.full((int(duration * 50), units), float(rate))
    times = np.arange(len(values)) / 50
    return Series(times, values, unit="Hz", valid=Intervals([0.0], [duration]))


def integrals(indicator):
    """Closed forms of the integrals of the kernel and of its square."""
    rise, decay = indicator.rise, indicator.decay
    fine = np.arange(0, 5, 1e-5)
    peak = (np.exp(-fine / decay) - np.exp(-fine / rise)).max()
    square = decay / 2 + rise / 2 - 2 * decay * rise / (decay + rise)
    return (decay - rise) / peak, square / peak**2


def test_one_spike_gives_the_kernel_at_any_frame_times():
    indicator = Indicator(rise=0.04, decay=0.5)
    spikes = Spikes(np.array([0.25, 0.9]), np.array([1, 0]), pd.DataFrame(index=["a", "b"]))
    times = np.sort(rng().uniform(0, 3, 200))
    found = indicator.response(spikes, times)
    np.testing.assert_allclose(found[:, 1], indicator.kernel(times - 0.25), atol=1e-12)
    np.testing.assert_allclose(found[:, 0], indicator.kernel(times - 0.9), atol=1e-12)
    fine = indicator.kernel(np.arange(-1, 3, 1e-4))
    assert fine.max() == pytest.approx(1, abs=1e-6) and (fine[:10_000] == 0).all()


def test_poisson_spikes_give_mean_and_variance_of_campbells_theorem():
    indicator, rate, duration = Indicator(rise=0.03, decay=0.3), 4.0, 4000.0
    spikes = draw_spikes(steady(rate, duration), rng(1))
    found = indicator.response(spikes, np.arange(5, duration, 0.1))
    area, square = integrals(indicator)
    np.testing.assert_allclose(found.mean(0), rate * area, rtol=0.03)
    np.testing.assert_allclose(found.var(0), rate * square, rtol=0.1)


def test_rates_give_the_expected_response():
    indicator = Indicator()
    rates = Series(
        np.arange(500) / 50,
        10 * rng(2).gamma(1.0, 1.0, (500, 2)),
        valid=Intervals([0.0], [10.0]),
    )
    times = np.arange(0, 10, 1 / 30)
    expected = indicator.response(rates, times)
    mean = np.mean(
        [indicator.response(draw_spikes(rates, rng(i)), times) for i in range(300)], axis=0
    )
    assert np.abs(mean - expected).max() < 5 * np.sqrt(expected.max() / 300)
    assert np.corrcoef(mean.ravel(), expected.ravel())[0, 1] > 0.99
    flat = indicator.response(steady(3.0, 20.0), np.array([19.9]))
    np.testing.assert_allclose(flat, 3.0 * integrals(indicator)[0], rtol=1e-3)


def test_traces_have_their_amplitude_noise_and_table():
    spikes = draw_spikes(steady(2.0, 200.0, 8), rng(3))
    trace = simulate_calcium(spikes, rng(4), fps=20.0, noise=0.05)
    assert trace.unit == "dF/F" and trace.table is not None
    assert trace.valid == spikes.valid and trace.values.dtype == np.float32
    np.testing.assert_allclose(np.diff(trace.times), 0.05)
    response = Indicator().response(spikes, trace.times)
    rest = trace.values - response * trace.table["amplitude"].to_numpy()
    np.testing.assert_allclose(rest.std(0), trace.table["noise"], rtol=0.05)
    np.testing.assert_allclose(rest.mean(0), 0, atol=0.01)
    again = simulate_calcium(spikes, rng(4), fps=20.0, noise=0.05)
    np.testing.assert_array_equal(trace.values, again.values)


def test_saturation_bends_the_trace_below_its_limit():
    spikes = draw_spikes(steady(20.0, 50.0, 2), rng(5))
    linear = simulate_calcium(spikes, rng(6), noise=0.0).values
    bent = simulate_calcium(spikes, rng(6), indicator=Indicator(saturation=2.0), noise=0.0).values
    np.testing.assert_allclose(bent, linear / (1 + linear / 2.0), rtol=1e-5, atol=1e-6)
    assert bent.max() < 2.0 < linear.max()


def test_gaps_hold_no_frames():
    valid = Intervals([0.0, 10.0], [1.0, 11.0])
    spikes = Spikes(np.array([0.5, 10.5]), np.array([0, 0]), valid=valid)
    trace = simulate_calcium(spikes, rng(), fps=10.0)
    assert len(trace) == 18 and valid.contains(trace.times).all()


def test_what_makes_no_sense_is_refused():
    spikes = Spikes(np.array([0.5]), np.array([0]))
    with pytest.raises(ConfigError, match="rise < decay"):
        Indicator(rise=1.0, decay=0.5)
    with pytest.raises(ConfigError, match="fps"):
        simulate_calcium(spikes, rng(), fps=0.0)
    with pytest.raises(DataError, match="ascending"):
        Indicator().response(spikes, np.array([1.0, 0.5]))
