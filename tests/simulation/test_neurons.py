import numpy as np
import pytest

from tinbergen.errors import ConfigError
from tinbergen.recordings.intervals import Bins
from tinbergen.simulation import (
    ARENA_REGIONS,
    Population,
    Region,
    Rig,
    Session,
    Subject,
    ceiling_bits_per_spike,
    frame_times,
    latency_basis,
    latent_drives,
)
from tinbergen.simulation.neurons import LATENCIES

DURATION = 60.0


@pytest.fixture(scope="module")
def session():
    times = frame_times(DURATION, 30.0)
    return Session.draw("s", "m", [Subject()], Rig(), times, DURATION, (0, 1))


@pytest.fixture(scope="module")
def drives(session):
    return latent_drives(session.latents[0], session.bouts[0])


def rng(seed=0):
    return np.random.default_rng(seed)


def test_every_drive_of_the_regions_is_there_and_of_order_one(drives, session):
    named = {name for region in ARENA_REGIONS for name in (*region.reads, *region.states)}
    assert named <= set(drives)
    for name, drive in drives.items():
        assert drive.shape == session.latents[0].times.shape
        assert 0.1 < drive.std() < 3, name


def test_mean_rates_lie_between_1_and_30_hz_and_are_those_of_the_table(session, drives):
    population = Population.draw(60, rng())
    rates = population.rates(session.latents[0].times, drives, rng(1))
    mean = rates.values.mean(axis=0)
    np.testing.assert_allclose(mean, population.table["rate"], rtol=1e-3)
    assert mean.min() >= 0.99 and mean.max() <= 30.01
    assert rates.values.min() >= 0 and rates.values.max() < 200
    assert rates.unit == "Hz" and rates.table is not None
    assert list(rates.table["region"].unique()) == [region.name for region in ARENA_REGIONS]
    assert set(rates.table["quality"]) == {"good", "mua"}
    for _, units in rates.table.groupby("region"):
        assert np.ptp(units["depth"].to_numpy()) < 400
    ceiling = ceiling_bits_per_spike(rates, Bins.inside(rates.valid, 0.02))
    assert 0.1 < np.median(ceiling) < 1


def test_same_seed_same_neurons_and_another_animal_has_its_own(session, drives):
    times = session.latents[0].times
    a, b, c = (Population.draw(10, rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a.weights, b.weights)
    assert (a.weights != c.weights).any() and (a.latencies != c.latencies).any()
    one, two, three = (a.rates(times, drives, rng(seed)).values for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, two)
    assert (one != three).any()  # the drift of another session


def test_a_unit_answers_to_what_its_region_reads_and_to_nothing_else(session, drives):
    times = session.latents[0].times
    population = Population.draw(50, rng())
    before = population.rates(times, drives, rng(1)).values
    changed = drives | {"speed": drives["speed"][::-1]}
    after = population.rates(times, changed, rng(1)).values
    readers = population.weights[:, population.drives.index("speed")] != 0
    assert readers.any() and not readers.all()
    assert (np.abs(after - before).max(0) > 1e-6).tolist() == readers.tolist()
    allowed = {region.name: region.reads for region in ARENA_REGIONS}
    for unit, region in enumerate(population.table["region"]):
        read = {n for n, w in zip(population.drives, population.weights[unit], strict=True) if w}
        assert 1 <= len(read) <= 3 and read <= set(allowed[region])


def test_the_basis_has_unit_sums_and_its_middles_at_the_latencies():
    lags, basis = latency_basis(0.02)
    np.testing.assert_allclose(basis.sum(axis=0), 1)
    np.testing.assert_allclose(lags @ basis, LATENCIES, atol=0.002)


@pytest.mark.parametrize("latency", [-0.15, 0.0, 0.3])
def test_units_follow_or_lead_by_the_latency_of_their_region(latency):
    times = np.arange(3000) * 0.02
    drive = np.zeros(3000)
    drive[500::1000] = 20.0
    region = Region("one", ("event",), latency, bumps=0.0)
    population = Population.draw(40, rng(1), [region])
    rates = population.rates(times, {"event": drive}, rng(2), drift=0.0).values
    change = np.abs(rates - np.median(rates, axis=0))
    centre = (change[450:551].T @ (times[450:551] - times[500])) / change[450:551].sum(0)
    assert centre.mean() == pytest.approx(latency, abs=0.03)
    assert 0.01 < centre.std() < 0.08


def test_states_scale_the_rate_and_drift_is_slow():
    times = np.arange(6000) * 0.02
    state = (times > 60).astype(float)
    region = Region("one", ("flat",), states=("state",), bumps=0.0)
    population = Population.draw(30, rng(3), [region])
    drives = {"flat": np.zeros(6000), "state": state}
    rates = population.rates(times, drives, rng(4), drift=0.0).values
    good = (population.table["quality"] == "good").to_numpy()
    ratio = np.log(rates[-1] / rates[0])[good]
    np.testing.assert_allclose(ratio, population.gains[good, 0], rtol=0.15, atol=0.02)
    drifting = population.rates(times, drives, rng(4), drift=0.3).values / rates
    steps = np.diff(np.log(drifting[:, good]), axis=0)
    assert 0.05 < np.log(drifting[:, good]).std() < 0.6 and np.abs(steps).max() < 0.03


def test_what_makes_no_sense_is_refused(drives, session):
    times = session.latents[0].times
    with pytest.raises(ConfigError, match="at least 1 neuron"):
        Population.draw(0, rng())
    with pytest.raises(ConfigError, match="latency"):
        Region("far", ("speed",), 2.0)
    population = Population.draw(5, rng())
    with pytest.raises(ConfigError, match="arousal"):
        population.rates(times, {k: v for k, v in drives.items() if k != "arousal"}, rng())
    with pytest.raises(ConfigError, match="even grid"):
        population.rates(np.append(times[:-1], 1e4), drives, rng())
