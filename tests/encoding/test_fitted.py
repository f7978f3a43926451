"""The model of a run, loaded again: the same numbers as the estimator by hand, and on new data."""

import json

import numpy as np
import pytest
from test_study import SMALL, session, value

import tinbergen as tb
from tinbergen.encoding import decode, encode, open_model
from tinbergen.encoding.planning import plan
from tinbergen.encoding.problem import make_problem
from tinbergen.errors import ConfigError, DataError, MissingFileError, WeightsError
from tinbergen.metrics import bits_per_spike, r2
from tinbergen.recordings import Recording, Series


@pytest.fixture(scope="module")
def day():
    return session()


@pytest.fixture(scope="module")
def next_day():
    return session("day2", seed=1, n=2000)


@pytest.fixture(scope="module")
def run(day, tmp_path_factory):
    out = tmp_path_factory.mktemp("fitted") / "run"
    encode(day, features="wheel,noise", target="counts", out=out, **SMALL)
    return out


def test_is_the_estimator_fitted_on_all_of_the_recording(day, run):
    fitted = open_model(run, "day1")
    problem = make_problem(plan(day, {"wheel": "wheel", "noise": "noise"}, "counts"), gap=0.5)
    whole = problem.whole
    x = np.concatenate([day["wheel"].values, day["noise"].values], axis=1)
    y = day["counts"].values
    by_hand = tb.encoding.Ridge(**SMALL["options"], target="counts").fit(
        x[whole.train], y[whole.train], segments=problem.runs(whole.train),
        validate=whole.validate[whole.train],
    )  # fmt: skip
    assert fitted.model.alpha_ == by_hand.alpha_
    rates = fitted.predict(day)
    assert rates.shape == y.shape
    assert fitted.limits is not None
    low, high = fitted.limits
    assert np.allclose(rates, np.clip(by_hand.predict(x), low, high), rtol=1e-5)
    assert np.allclose(rates.index.get_level_values("start"), day["wheel"].times)
    assert high.tolist() == y.max(axis=0).tolist()


def test_predicts_a_recording_that_it_has_not_seen(run, next_day):
    unseen = Recording("day2", {k: next_day[k] for k in ("wheel", "noise")})
    rates = open_model(run, "day1").predict(unseen)
    gain = bits_per_spike(next_day["counts"].values, rates.to_numpy(), "mean")
    best = bits_per_spike(next_day["counts"].values, next_day["rates"].values, "mean")
    assert 0.75 * best.mean() < gain.mean() < 1.02 * best.mean()


@pytest.mark.parametrize("model", ["rrr", "bilinear"])
def test_windows_of_trials(day, next_day, tmp_path, model):
    result = encode(
        day, features="wheel", target="counts", model=model, folds=3, align="start", after=1.0,
        bin=0.1, out=tmp_path / "run",
    )  # fmt: skip
    fitted = open_model(tmp_path / "run", "day1")
    seen = fitted.predict(day)
    assert len(seen) == len(result.predicted["day1"].truth)
    assert (seen.index.get_level_values("trial") == result.predicted["day1"].trial).all()
    rates = fitted.predict(next_day)
    problem = make_problem(
        plan(next_day, {"wheel": "wheel"}, "counts", width=0.1, align="start", after=1.0)
    )
    gain = bits_per_spike(problem.truth(), rates.to_numpy(), "mean").mean()
    assert gain == pytest.approx(value(result), abs=0.05)


@pytest.mark.parametrize("window", [{}, {"align": "start", "after": 0.5}])
def test_one_value_a_trial(day, next_day, tmp_path, window):
    for target in ("side", "value"):
        out = tmp_path / target
        result = decode(day, features="counts", target=target, gap=0.0, out=out, **window)
        guess = open_model(out, "day1").predict(next_day)[target]
        truth = next_day["trials"].table[target][guess.index.get_level_values("trial")].to_numpy()
        score = (guess == truth).mean() if target == "side" else r2(truth, guess.to_numpy())
        assert len(guess) > 30
        assert score == pytest.approx(value(result), abs=0.2)


def test_bumps_lie_where_they_lay(tmp_path):
    rng = np.random.default_rng(0)
    times = np.arange(0, 300, 0.1)
    place = 50 + 50 * np.sin(times / 3)
    counts = rng.poisson(np.exp(-((place[:, None] - [30.0, 70.0]) ** 2) / 150))
    track = Recording(
        "track",
        {"place": Series(times, place), "counts": Series(times, counts, unit="spikes/bin")},
    )
    encode(track, features="place:tuned", target="counts", bin=0.1, out=tmp_path / "run", **SMALL)
    half = Recording("half", {"place": Series(times[:900], place[:900] * 0.5)})
    there = open_model(tmp_path / "run", "track").predict(half).to_numpy()
    first, second = place[:900][there.argmax(axis=0)] * 0.5
    assert abs(first - 30) < 6
    assert second == pytest.approx(50, abs=1)  # the end of the half that was walked


def test_features_that_were_no_selectors_are_asked_for(day, next_day, tmp_path):
    encode(day, features=day["wheel"], target="counts", bin=0.05, out=tmp_path / "run", **SMALL)
    fitted = open_model(tmp_path / "run", "day1")
    with pytest.raises(ConfigError, match="say what"):
        fitted.predict(next_day)
    with pytest.raises(ConfigError, match="no set 'other'"):
        fitted.predict(next_day, {"other": "wheel"})
    assert len(fitted.predict(next_day, {"set0": "wheel"})) == 2000


def test_frames_and_other_columns_are_refused(day, run, tmp_path):
    data = tb.simulate(tmp_path / "study", animals=1, duration=20.0, neurons=5, seed=0)
    encode(
        data, features="video", target="spikes", min_rate=0, bin=0.1, folds=2,
        out=tmp_path / "run", **SMALL,
    )  # fmt: skip
    name = next(iter(data))
    with pytest.raises(ConfigError, match="components of frames or of tokens"):
        open_model(tmp_path / "run", name).predict(data[name])
    other = Series(day["wheel"].times, day["noise"].values, ("a", "c"))
    with pytest.raises(DataError, match="'b' is missing"):
        open_model(run, "day1").predict(Recording("x", {**day.streams, "noise": other}))


def test_what_is_not_there_or_broken_is_told(day, run, tmp_path):
    with pytest.raises(MissingFileError, match="those of: day1"):
        open_model(run, "day9")
    encode(day, features="wheel", target="counts", model="mean", out=tmp_path / "mean")
    with pytest.raises(MissingFileError, match="'mean' and 'psth'"):
        open_model(tmp_path / "mean", "day1")
    path = run / "models" / "day1" / "inputs.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"schema_version": 9}))
    with pytest.raises(WeightsError, match="version 9"):
        open_model(run, "day1")
    path.write_text(json.dumps({k: v for k, v in record.items() if k != "columns"}))
    with pytest.raises(WeightsError, match="does not describe a model"):
        open_model(run, "day1")
    path.write_text(json.dumps(record))


def test_names_that_are_one_as_a_file(day, tmp_path):
    other = session("a_b", seed=5)
    data = tb.Dataset([Recording("a/b", day.streams), other])
    encode(data, features="wheel", target="counts", out=tmp_path / "run", **SMALL)
    for name in data:
        assert open_model(tmp_path / "run", name).recording == name
