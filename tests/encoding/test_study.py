"""Whole studies on simulated recordings: known answers, nulls, what is left out, run folders."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import tinbergen as tb
from tinbergen.encoding import decode, encode, open_study
from tinbergen.errors import ConfigError, DataError, OutputError
from tinbergen.metrics import bits_per_spike
from tinbergen.recordings import Intervals, Recording, Series, Spikes, Trials

SMALL: dict[str, Any] = {"options": {"lags": (0, 0), "components": None}, "gap": 0.5}


def value(result):
    """The headline, which is there."""
    assert result.headline.value is not None
    return result.headline.value


def walk(rng, n, columns, memory=0.95):
    out = np.zeros((n, columns))
    for t in range(1, n):
        out[t] = memory * out[t - 1] + np.sqrt(1 - memory**2) * rng.normal(size=columns)
    return out


def session(name="day1", seed=0, n=3000, units=6, width=0.05):
    """Units that follow the wheel and nothing else; ``noise`` drives nobody."""
    rng = np.random.default_rng(seed)
    times = np.arange(n) * width
    latent = walk(rng, n, 3)
    rates = np.exp(0.8 * latent[:, :1] * np.linspace(-1, 1, units) + np.log(0.5))
    counts = rng.poisson(rates)
    start = np.arange(1, n * width - 3, 3.0)
    at = np.searchsorted(times, start)
    trials = Trials(
        pd.DataFrame(
            {
                "start": start,
                "stop": start + 2.0,
                "side": np.where(latent[at + 5, 0] > 0, "left", "right"),
                "value": latent[at + 5, 0],
            }
        )
    )
    table = pd.DataFrame({"region": ["VISp", "CA1"] * (units // 2)})
    streams = {
        "wheel": Series(times, latent[:, :1], ("speed",), "cm/s"),
        "noise": Series(times, latent[:, 1:], ("a", "b")),
        "counts": Series(times, counts, unit="spikes/bin", table=table),
        "rates": Series(times, rates, unit="Hz"),
        "trials": trials,
    }
    return Recording(name, streams)


@pytest.fixture(scope="module")
def day():
    return session()


@pytest.fixture(scope="module")
def encoded(day):
    return encode(day, features="wheel,noise", target="counts", compare=True, **SMALL)


def test_scores_are_those_of_the_predictions(encoded):
    p = encoded.predicted["day1"]
    rows = encoded.scores.query("features == 'all'")
    assert np.allclose(rows["value"], bits_per_spike(p.truth, p.models["all"], "mean"))
    assert encoded.headline.value == pytest.approx(rows["value"].mean())
    assert encoded.headline.interval is not None
    low, high = encoded.headline.interval
    assert low < encoded.headline.value < high
    assert rows["region"].tolist() == ["VISp", "CA1"] * 3
    assert (rows["low"] < rows["value"]).all()


def test_what_drives_the_units_is_told_from_what_does_not(encoded):
    mean = encoded.scores.groupby("features")["value"].mean()
    assert mean["wheel"] > 0.1
    assert mean["all"] == pytest.approx(mean["wheel"], abs=0.02)
    assert mean["noise"] < 0.02
    assert encoded.nulls["value"].max() < encoded.headline.value
    assert (encoded.scores.query("features == 'all'")["shift_p"] < 0.02).sum() >= 4


def test_comes_near_the_ceiling(day, encoded):
    p = encoded.predicted["day1"]
    best = bits_per_spike(p.truth, day["rates"].values, "mean").mean()
    assert 0.75 * best < value(encoded) < 1.02 * best


@pytest.mark.parametrize("model", ["rrr", "glm", "mean"])
def test_every_encoder_runs(day, model):
    options = {} if model == "mean" else SMALL["options"]
    result = encode(day, features="wheel", target="counts", model=model, options=options)
    assert (value(result) > 0.1) == (model != "mean")


@pytest.mark.parametrize("model", ["ridge", "bilinear", "psth"])
def test_windows_of_trials(day, model):
    result = encode(
        day, features="wheel", target="counts", model=model, align="start", after=1.0, bin=0.1,
        folds=3,
    )  # fmt: skip
    p = result.predicted["day1"]
    assert p.bins == 10
    assert "PSTH" in {b.name for b in result.headline.baselines}
    assert len(np.unique(p.trial)) * 10 == len(p.truth)
    assert value(result) > (0.05 if model != "psth" else -0.1)


def test_decoding_numbers_classes_and_trials(day):
    wheel = decode(day, features="counts", target="wheel", bin=0.1)
    assert value(wheel) > 0.2
    assert wheel.headline.null is not None
    assert wheel.headline.null < 0.01
    side = decode(day, features="counts", target="side", after=0.5, gap=0.0)
    assert side.headline.name == "balanced accuracy"
    assert value(side) > 0.65
    assert side.headline.null == 0.5
    assert side.scores.query("score == 'recall'")["name"].tolist() == ["left", "right"]
    number = decode(day, features="counts", target="value", after=0.5, gap=0.0)
    assert number.headline.name == "R2"
    assert value(number) > 0.1


def test_slow_units_drown_quick_ones_unless_all_have_one_scale():
    rng = np.random.default_rng(0)
    times = np.arange(1200) * 0.5
    signal = walk(rng, 1200, 1, 0.5)[:, 0]
    quick = rng.poisson(np.exp(0.5 * signal + 2.5))
    slow = rng.poisson(0.05, (1200, 200))
    streams = {
        "signal": Series(times, signal),
        "counts": Series(times, np.column_stack([quick, slow]), unit="spikes/bin"),
    }
    data = Recording("units", streams)
    options = {"lags": (0, 0), "alphas": (1e4,)}
    common, each = (
        decode(data, features="counts", target="signal", options={**options, "scale": scale})
        for scale in ("common", "each")
    )
    assert value(common) > value(each)
    assert value(decode(data, features="counts", target="signal")) > value(each)


def test_labels_of_few_bins_are_decoded_with_what_lies_around(day):
    """The lags of a labelled bin reach into bins without a label."""
    rng = np.random.default_rng(3)
    times = np.arange(4000) * 0.1
    state = (walk(rng, 4000, 1, 0.9)[:, 0] > 0).astype(int)
    counts = rng.poisson(0.4 + 0.8 * np.roll(state, 3)[:, None] * np.ones(4))
    codes = np.where(rng.random(4000) < 0.1, state, -1)
    streams = {
        "counts": Series(times, counts, unit="spikes/bin"),
        "state": tb.Labels.from_frames(times, codes, ("rest", "run")),
    }
    result = decode(Recording("sparse", streams), features="counts", target="state")
    p = result.predicted["sparse"]
    assert len(p.truth) == (codes >= 0).sum()
    assert value(result) > 0.8


@pytest.mark.parametrize("kind", ["numbers", "classes"])
def test_trials_that_resemble_their_neighbours_are_smoothed(kind):
    rng = np.random.default_rng(1)
    slow = walk(rng, 400, 1, 0.9)[:, 0]
    block = np.where(slow > 0, "left", "right") if kind == "classes" else slow
    drive = np.where(slow > 0, 1.0, -1.0) if kind == "classes" else slow
    start = np.arange(400) * 2.0
    trials = Trials(pd.DataFrame({"start": start, "stop": start + 1.0, "block": block}))
    counts = rng.poisson(np.exp(0.25 * drive[:, None] * [1, -1, 1] + 0.5))
    series = Series(start, counts, unit="spikes/bin", valid=Intervals(start, start + 1.0))
    series = replace(series, times=start)
    data = Recording("blocks", {"counts": series, "trials": trials})
    settings: dict[str, Any] = {"features": "counts", "target": "block", "gap": 0.0}
    with pytest.raises(ConfigError, match="one value a trial"):
        decode(session(), features="counts", target="wheel", smooth=True)
    plain, smooth = decode(data, **settings), decode(data, smooth=True, **settings)
    assert value(smooth) > value(plain) + 0.05
    alone = smooth.scores.query("features == 'each trial by itself'")["value"].iloc[0]
    assert alone == pytest.approx(value(plain))


def test_random_folds_are_marked(day):
    result = decode(day, features="counts", target="side", after=0.5, fold_kind="random")
    assert "random trials" in result.headline.split
    with pytest.raises(DataError, match="whole trials only"):
        decode(day, features="counts", target="wheel", fold_kind="random")


def test_angles_have_a_median_error():
    rng = np.random.default_rng(0)
    times = np.arange(4000) * 0.05
    angle = np.cumsum(rng.normal(0, 0.2, 4000))
    tuned = np.exp(1.5 * np.cos(angle[:, None] - np.linspace(0, 2 * np.pi, 8)) - 1)
    recording = Recording(
        "hd",
        {
            "head": Series(times, angle % (2 * np.pi), ("angle",), "rad"),
            "counts": Series(times, rng.poisson(tuned), unit="spikes/bin"),
        },
    )
    result = decode(recording, features="counts", target="head:circular")
    assert result.summary["scores"][0]["name"] == "Median angular error"
    assert 3 < result.summary["scores"][0]["value"] < 30


def test_several_recordings_and_a_bad_one(day):
    other = session("day2", seed=1)
    bad = Recording("day3", {"wheel": other["wheel"]})
    data = tb.Dataset([day, other, bad])
    with pytest.raises(DataError, match="1 of 3 recordings cannot be used(.|\n)*--skip-bad"):
        encode(data, features="wheel", target="counts", **SMALL)
    result = encode(data, features="wheel", target="counts", skip_bad=True, **SMALL)
    assert list(result.predicted) == ["day1", "day2"]
    assert list(result.lost) == ["day3"]
    assert "recordings and units" in result.headline.interval_name


def test_what_is_missing_is_left_out_and_counted(day):
    values = day["wheel"].values.copy()
    values[100:200] = np.nan
    wheel = replace(day["wheel"], values=values)
    data = Recording("holes", {**day.streams, "wheel": wheel})
    result = encode(data, features="wheel", target="counts", **SMALL)
    p = result.predicted["holes"]
    assert len(p.truth) == 2900
    assert "bins without known wheel: 100" in " ".join(result.summary["notes"])
    assert len(np.unique(p.segment)) == 2


def test_silent_units_are_counted(day):
    counts = day["counts"].values.copy()
    counts[:, 2] = 0
    data = Recording("quiet", {**day.streams, "counts": replace(day["counts"], values=counts)})
    result = encode(data, features="wheel", target="counts", **SMALL)
    assert len(result.predicted["quiet"].names) == 5
    assert "units below 0.5 Hz: 1" in " ".join(result.summary["notes"])
    with pytest.raises(DataError, match="Choose a lower min_rate"):
        encode(data, features="wheel", target="counts", min_rate=1e4)


def test_a_unit_that_is_silent_in_training_costs_no_infinity(day):
    counts = day["counts"].values.copy()
    counts[:, 2] = 0
    counts[:500, 2] = 3  # only in the first fold
    data = Recording("burst", {**day.streams, "counts": replace(day["counts"], values=counts)})
    result = encode(data, features="wheel", target="counts", **SMALL)
    assert float(np.min(result.scores["value"])) > -15


def test_two_clocks_an_hour_apart(day):
    wheel = Series(day["wheel"].times + 3600, day["wheel"].values)
    data = Recording("clocks", {**day.streams, "wheel": wheel})
    with pytest.raises(DataError, match="Are their clocks the same"):
        encode(data, features="wheel", target="counts")


def test_spike_times_and_counts_give_the_same(day):
    counts = day["counts"].values
    rows, units = np.nonzero(counts)
    rows, units = np.repeat(rows, counts[rows, units]), np.repeat(units, counts[rows, units])
    spikes = Spikes(rows * 0.05 + 0.02, units, valid=Intervals([0.0], [150.0]))
    data = Recording("spikes", {**day.streams, "spikes": spikes})
    one = encode(data, features="wheel", target="spikes", bin=0.05, **SMALL)
    two = encode(data, features="wheel", target="counts", **SMALL)
    assert one.headline.value == pytest.approx(two.headline.value, abs=1e-6)


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        ({"model": "rigde"}, ConfigError, "did you mean 'ridge'"),
        ({"model": "glm", "target": "rates"}, ConfigError, "the target has none"),
        ({"options": {"lag": 3}}, ConfigError, "did you mean 'lags'"),
        ({"features": "wheels"}, DataError, "no stream 'wheels'"),
        ({"model": "psth"}, ConfigError, "give align"),
        ({"fold": 3}, ConfigError, "did you mean 'folds'"),
        ({"bin": 0.07}, DataError, "expected a multiple"),
        ({"folds": 1}, ConfigError, "folds"),
        ({"align": "nowhere"}, DataError, "nowhere"),
    ],
)
def test_wrong_settings_are_explained(day, change, kind, says):
    with pytest.raises(kind, match=says):
        encode(day, **{"features": "wheel", "target": "counts", **change})


def test_same_seed_same_numbers(day):
    one, two = (encode(day, features="wheel", target="counts", **SMALL) for _ in range(2))
    pd.testing.assert_frame_equal(one.scores, two.scores)


# --- the run folder --------------------------------------------------------------------------


def test_the_run_folder_is_read_back_and_reported(day, encoded, tmp_path):
    out = tmp_path / "run"
    result = encode(day, features="wheel,noise", target="counts", compare=True, out=out, **SMALL)
    names = {path.name for path in out.iterdir()}
    assert {"config.yaml", "status.json", "splits.json", "scores.csv", "summary.json"} <= names
    assert {"predictions", "diagnostics", "fits.csv"} <= names
    status = json.loads((out / "status.json").read_text())
    assert status["state"] == "done"
    assert list(status["inputs"]) == ["day1"]
    back = open_study(out)
    assert back.headline.value == pytest.approx(encoded.headline.value)
    assert np.allclose(
        back.predicted["day1"].models["all"], result.predicted["day1"].models["all"], rtol=1e-6
    )
    page = tb.report.write_report(out)
    assert "bits/spike" in page.read_text()
    with pytest.raises(OutputError, match="nothing is overwritten"):
        encode(day, features="wheel", target="counts", out=out)


@pytest.mark.parametrize("target", ["wheel", "side"])
def test_decoding_runs_are_reported(day, tmp_path, target):
    result = decode(day, features="counts", target=target, out=tmp_path / "run", gap=0.0)
    assert result.path is not None
    assert tb.report.write_report(str(result.path)).is_file()


def test_a_failed_study_leaves_nothing(day, tmp_path):
    with pytest.raises(DataError):
        encode(day, features="wheel", target="counts", gap=1000.0, out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
