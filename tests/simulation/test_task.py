import numpy as np
import pytest

from tinbergen.errors import ConfigError
from tinbergen.recordings import Dataset
from tinbergen.recordings.intervals import Bins
from tinbergen.simulation import (
    TASK_REGIONS,
    Population,
    Task,
    ceiling_bits_per_spike,
    simulate_task,
    simulate_task_study,
)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def many():
    """Many trials of one session."""
    return Task().draw(rng(1), 4000)


def test_the_psychometric_function_has_the_values_that_its_formula_gives():
    task = Task(lapse=0.1, slope=4.0, exponent=1.0, bias=1.0)
    assert task.right_probability(1, 0.0, 0.5) == pytest.approx(0.5)
    # No evidence and full bias: the prior, but for lapses.
    assert task.right_probability(1, 0.0, 0.2) == pytest.approx(0.1 + 0.8 * 0.8)
    assert task.right_probability(-1, 0.5, 0.5) == pytest.approx(0.1 + 0.8 / (1 + np.exp(2)))
    left, right = task.right_probability(-1, 0.3, 0.8), task.right_probability(1, 0.3, 0.2)
    assert left + right == pytest.approx(1)


def test_choices_sides_and_contrasts_follow_their_probabilities(many):
    table, task = many.trials.table, Task()
    expected = task.right_probability(table["side"], table["contrast"], table["prior_left"])
    cells = table.assign(right=table["choice"] > 0, expected=expected).groupby(
        ["side", "contrast", "prior_left"]
    )
    n, found, wanted = cells.size(), cells["right"].mean(), cells["expected"].mean()
    z = (found - wanted) / np.sqrt(wanted * (1 - wanted) / n)
    assert (np.abs(z[n > 20]) < 4).all() and z[n > 20].std() < 1.6
    for prior, share in (table["side"] < 0).groupby(table["prior_left"]).mean().items():
        assert share == pytest.approx(prior, abs=0.05)
    shares = table["contrast"].value_counts(normalize=True)
    assert shares[0.0] == pytest.approx(1 / 9, abs=0.02)
    np.testing.assert_array_equal(table["reward"], table["choice"] == table["side"])


def test_blocks_have_their_lengths_and_alternate(many):
    prior = many.trials.table["prior_left"].to_numpy()
    edges = np.flatnonzero(np.diff(prior)) + 1
    assert edges[0] == 90 and (prior[:90] == 0.5).all()
    lengths = np.diff(edges)
    assert lengths.min() >= 20 and lengths.max() <= 100
    kinds = prior[edges]
    assert set(kinds) == {0.2, 0.8} and (kinds[1:] != kinds[:-1]).all()


def test_times_of_a_trial_are_in_order_and_trials_do_not_overlap(many):
    table = many.trials.table
    order = ["start", "stim_on", "first_movement", "response", "stop"]
    assert (np.diff(table[order].to_numpy(), axis=1) > 0).all()
    assert (table["start"].to_numpy()[1:] > table["stop"].to_numpy()[:-1]).all()
    reaction = table["first_movement"] - table["stim_on"]
    np.testing.assert_allclose(reaction, table["reaction_time"])
    by_contrast = reaction.groupby(table["contrast"]).median()
    assert by_contrast.is_monotonic_decreasing and 0.15 < by_contrast[1.0] < 0.3
    assert table["stop"].iloc[-1] < many.duration


def test_the_wheel_turns_to_the_side_of_the_choice_and_rests_before(many):
    table, wheel = many.trials.table, many.wheel
    at = np.searchsorted(wheel.times, table[["start", "first_movement", "response"]].to_numpy())
    position = wheel.values[:, 0]
    turned = position[at[:, 2]] - position[at[:, 1]]
    np.testing.assert_array_equal(np.sign(turned), table["choice"])
    assert np.median(np.abs(turned)) == pytest.approx(0.31, abs=0.02)
    late = table["stim_on"].to_numpy() + 0.01
    velocity = wheel.values[np.searchsorted(wheel.times, late), 1]
    assert (velocity[late < table["first_movement"]] == 0).mean() > 0.99
    velocity_again = np.gradient(position, wheel.times)
    np.testing.assert_allclose(velocity_again[5:-5], wheel.values[5:-5, 1], atol=1.5)


def test_whiskers_move_with_the_wheel(many):
    speed = np.abs(np.interp(many.whisker.times, many.wheel.times, many.wheel.values[:, 1]))
    energy = many.whisker.values[:, 0]
    assert energy.min() > 0
    assert 0.2 < np.corrcoef(speed, energy)[0, 1] < 0.9


def test_drives_are_what_the_trials_say(many):
    times = np.arange(int(many.duration / 0.02)) * 0.02
    drives = many.drives(times)
    assert {name for region in TASK_REGIONS for name in region.reads} <= set(drives)
    trial = many.trials.table.query("choice > 0 and side < 0 and contrast == 1").iloc[0]
    during = (times > trial["first_movement"]) & (times < trial["response"])
    assert drives["choice_right"][during].min() > 0 and not drives["choice_left"][during].any()
    after = (times > trial["response"]) & (times < trial["response"] + 0.1)
    assert drives["error"][after].min() > 0 and not drives["reward"][after].any()
    before = (times > trial["stim_on"] - 0.1) & (times < trial["stim_on"])
    assert not drives["stim_left"][before].any()
    assert drives["stim_left"][(times > trial["stim_on"]) & (times < trial["response"])].min() > 0


def test_a_session_can_fill_a_given_time():
    played = Task().draw(rng(2), duration=60.0)
    assert played.duration == 60.0 and played.wheel.valid.stops[-1] == pytest.approx(60.0)
    assert 10 < len(played.trials) < 35 and played.trials.stop[-1] <= 60.0
    none = Task().draw(rng(2), duration=1.5)
    assert len(none.trials) == 0
    drives = none.drives(np.arange(50) * 0.02)
    assert all(np.isfinite(drive).all() for drive in drives.values())


def test_a_recording_has_its_streams_and_its_ceiling():
    recording = simulate_task(trials=60, neurons=30, seed=3)
    assert set(recording.streams) == {"spikes", "rates", "trials", "wheel", "whisker"}
    spikes, rates = recording["spikes"], recording["rates"]
    assert spikes.n_units == 30 and set(spikes.table["region"]) == {r.name for r in TASK_REGIONS}
    found = spikes.bin(Bins.inside(spikes.valid, 10.0)).sum(0) / spikes.valid.duration
    z = (found - spikes.table["rate"]) / np.sqrt(spikes.table["rate"] / spikes.valid.duration)
    assert abs(z).max() < 5
    ceiling = ceiling_bits_per_spike(rates, Bins.inside(rates.valid, 0.02))
    assert 0.02 < np.median(ceiling) < 0.5


def test_animals_have_their_own_neurons_and_sessions_of_one_share_them(tmp_path):
    data = simulate_task_study(animals=2, sessions=2, trials=20, neurons=10, seed=4)
    tables = {name: recording["spikes"].table for name, recording in data.items()}
    assert tables["animal0_session0"].equals(tables["animal0_session1"])
    assert not tables["animal0_session0"].equals(tables["animal1_session0"])
    trials = [recording["trials"].table for recording in data.values()]
    assert not trials[0].equals(trials[1])
    again = simulate_task(trials=20, neurons=10, seed=4, animal=1, session=1)
    np.testing.assert_array_equal(again["spikes"].times, data["animal1_session1"]["spikes"].times)
    data.save(tmp_path)
    read = Dataset.open(tmp_path)["animal1_session0"]
    original = data["animal1_session0"]
    np.testing.assert_array_equal(read["spikes"].times, original["spikes"].times)
    np.testing.assert_array_equal(read["rates"].values, original["rates"].values)
    assert read["spikes"].table["region"].tolist() == original["spikes"].table["region"].tolist()
    assert read["trials"].columns == original["trials"].columns


def test_the_choice_is_in_the_neurons_that_read_it():
    recording = simulate_task(trials=300, neurons=100, seed=0)
    trials, spikes = recording["trials"].table, recording["spikes"]
    bins = Bins.inside(spikes.valid, 0.1)
    counts = spikes.bin(bins)[np.searchsorted(bins.starts, trials["first_movement"])]
    choice = trials["choice"].to_numpy()
    right, left = counts[choice > 0], counts[choice < 0]
    pooled = np.sqrt(right.var(0) / len(right) + left.var(0) / len(left))
    t = np.abs(right.mean(0) - left.mean(0)) / np.maximum(pooled, 1e-9)
    population = Population.draw(100, np.random.default_rng([0, 0, 0, 1]), TASK_REGIONS)
    names = [population.drives.index(f"choice_{side}") for side in ("left", "right")]
    reads = (population.weights[:, names] != 0).any(axis=1)
    assert t[reads].mean() > 2 * t[spikes.table["region"] == "CA1"].mean()


def test_without_an_answer_the_wheel_stays_until_time_is_up():
    played = Task(no_go=0.3).draw(rng(2), 1000)
    table = {name: column.to_numpy() for name, column in played.trials.table.items()}
    missed = table["choice"] == 0
    assert missed.mean() == pytest.approx(0.3, abs=0.05)
    for name in ("first_movement", "reaction_time"):
        assert np.array_equal(np.isnan(table[name]), missed)
    assert not np.any(table["reward"][missed]) and set(table["choice"][~missed]) == {-1, 1}
    np.testing.assert_allclose((table["response"] - table["stim_on"])[missed], 2.0)
    position = played.wheel.values[:, 0]
    before, after = (
        np.interp(table[name], played.wheel.times, position) for name in ("stim_on", "response")
    )
    np.testing.assert_allclose((after - before)[missed], 0, atol=1e-9)
    assert np.abs(after - before)[~missed].min() > 0.1
    times = np.arange(int(played.duration / 0.02)) * 0.02
    drives = played.drives(times)
    assert all(np.isfinite(drive).all() for drive in drives.values())
    at = np.searchsorted(times, table["response"][missed])
    for name in ("choice_left", "choice_right"):
        assert (drives[name][at - 5] == 0).all()
    assert (drives["error"][at + 2] > 0).all()


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ConfigError, match="no_go"):
        Task(no_go=1.0)
    with pytest.raises(ConfigError, match="trial"):
        Task().draw(rng(), 0)
    with pytest.raises(ConfigError, match="duration"):
        Task().draw(rng(), duration=-1.0)
    with pytest.raises(ConfigError, match="animal"):
        simulate_task_study(animals=0)
