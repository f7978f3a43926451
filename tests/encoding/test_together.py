"""One model for several recordings: the scores are those of the estimator by hand, paired."""

import numpy as np
import pytest
from test_study import session, value

import tinbergen as tb
from tinbergen.encoding import BilinearRRR, decode, encode, open_model
from tinbergen.encoding.planning import plan
from tinbergen.encoding.problem import make_problem
from tinbergen.errors import ConfigError, DataError
from tinbergen.recordings import Recording

WINDOW = {"align": "start", "after": 1.0, "bin": 0.1}
BILINEAR = {"model": "bilinear", "options": {"rank": 1, "l2": 10.0}, "folds": 3, **WINDOW}


@pytest.fixture(scope="module")
def days():
    """Recordings of 4 and of 8 units, one of them short."""
    return tb.Dataset([session("day1", units=4), session("day2", seed=1, n=1500, units=8)])


@pytest.fixture(scope="module")
def run(days, tmp_path_factory):
    out = tmp_path_factory.mktemp("together") / "run"
    return encode(days, features="wheel", target="counts", together=True, out=out, **BILINEAR)


def by_hand(days, mask):
    """The arrays (trial, bin, ...) of a fold of each recording."""
    parts = []
    for day in days.values():
        problem = make_problem(
            plan(day, {"w": "wheel"}, "counts", width=0.1, align="start", after=1.0), n_folds=3
        )
        rows = mask(problem)
        x = problem.features.sets["w"].values[rows].reshape(-1, 10, 1)
        y = problem.truth()[rows]
        parts.append((x, y.reshape(len(x), 10, -1), problem))
    return parts


def test_predictions_are_those_of_one_shared_model(days, run):
    train = by_hand(days, lambda p: p.folds[0].train)
    test = by_hand(days, lambda p: p.folds[0].test)
    model = BilinearRRR(**BILINEAR["options"], target="counts").fit(
        [x for x, _, _ in train],
        [y for _, y, _ in train],
        validate=[p.folds[0].validate[p.folds[0].train][::10] for _, _, p in train],
    )
    predicted = model.predict([x for x, _, _ in test])
    for (name, p), rates in zip(run.predicted.items(), predicted, strict=True):
        found = p.models["wheel"][p.fold == 0]
        inside = (found > found.min()) & (found < found.max())  # not at the limits of the rates
        assert np.allclose(found[inside], rates.reshape(found.shape)[inside], rtol=1e-4), name


def test_each_by_itself_is_what_a_study_of_it_alone_finds(days, run):
    alone = encode(days["day2"], features="wheel", target="counts", **BILINEAR)
    mine = run.scores.query("features == 'each recording by itself' and recording == 'day2'")
    expected = alone.scores.query("features == 'wheel'")["value"]
    assert np.allclose(mine["value"], expected, rtol=1e-6)


def test_the_gain_is_paired_over_units(run):
    wide = run.scores.pivot_table("value", ["recording", "name"], "features")
    gain = wide["wheel"] - wide["each recording by itself"]
    score = next(s for s in run.summary["scores"] if s["name"].startswith("Gain over"))
    assert score["value"] == pytest.approx(gain.mean())
    assert score["n"] == len(gain) == 12
    low, high = score["interval"]
    assert low <= score["value"] <= high
    assert "day2: " in " ".join(run.summary["notes"])
    assert f"of {len(gain['day1'])}." in run.summary["notes"][0]


@pytest.mark.parametrize("model", ["bilinear", "tcn"])
def test_each_recording_keeps_its_part_of_the_shared_model(days, model, tmp_path, run):
    out = run.path
    if model == "tcn":
        out = tmp_path / "run"
        encode(days, features="wheel", target="counts", together=True, out=out, model="tcn",
               folds=2, options={"epochs": 1})  # fmt: skip
    kept = [open_model(out, name) for name in days]
    if model == "tcn":
        one, two = (k.model.network_.shared.weight for k in kept)
        assert (one == two).all()
    else:
        assert np.array_equal(kept[0].model.basis_, kept[1].model.basis_)
    for name, fitted in zip(days, kept, strict=True):
        rates = fitted.predict(days[name])
        assert rates.shape[1] == len(days[name]["counts"].channels)
        assert np.isfinite(rates.to_numpy()).all()


@pytest.mark.parametrize("preset", ["tinbergen", "facemap"])
def test_one_session_of_a_network_predicts_what_all_do(preset):
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(400, 3)) for _ in range(2)]
    y = [rng.poisson(1.0, (400, n)) for n in (4, 2)]
    model = tb.encoding.TCN(preset, epochs=1, filter_length=5).fit(x, y)
    for session_number in (0, 1):
        alone = model.only(session_number)
        assert np.array_equal(
            alone.predict(x[session_number]), model.predict(x[session_number],
                                                            session=session_number)
        )  # fmt: skip
    with pytest.raises(DataError, match="expected 0 to 1"):
        model.only(2)


def test_decoding_together(days):
    result = decode(
        days, features="counts", target="wheel", model="tcn", together=True, bin=0.1, folds=2,
        options={"epochs": 5},
    )  # fmt: skip
    assert value(result) > 0.1
    assert result.summary["scores"][0]["n_name"] == "channels"


def test_what_cannot_be_joined_is_told(days):
    call = {"features": "wheel", "target": "counts", "together": True}
    with pytest.raises(ConfigError, match="tcn and bilinear, found 'ridge'"):
        encode(days, **call)
    with pytest.raises(ConfigError, match="two recordings or more, found 1"):
        encode(days["day1"], model="tcn", **call)
    with pytest.raises(ConfigError, match="smooth"):
        decode(days, features="counts", target="value", together=True, smooth=True, model="tcn")
    other = Recording("day2", {k: v for k, v in days["day2"].streams.items() if k != "wheel"})
    with pytest.raises(DataError, match="no stream 'wheel'"):
        encode(tb.Dataset([days["day1"], other]), model="tcn", **call)
