"""Data that once made a study's numbers wrong, or its messages: they must not do so again."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_study import SMALL, session, value, walk

import tinbergen as tb
from tinbergen.encoding import decode, encode, open_study
from tinbergen.encoding.choices import fit_predict, settings_for
from tinbergen.encoding.planning import plan
from tinbergen.encoding.problem import make_problem
from tinbergen.encoding.scoring import Predicted, shift_null
from tinbergen.errors import ConfigError, DataError, NonFiniteError
from tinbergen.metrics import null_interval, r2
from tinbergen.recordings import Recording, Trials


@pytest.fixture(scope="module")
def day():
    return session()


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        ({"align": "side"}, DataError, "'side' of its trials holds no times"),
        ({"target": "rates", "align": "stop"}, DataError, "give before and after"),
        ({"target": "side"}, ConfigError, "use decode"),
        ({"model": "bilinear"}, ConfigError, "lay windows around the trials with align"),
        ({"features": {"all": "noise", "own": "wheel"}}, ConfigError, "choose another name"),
    ],
)
def test_what_cannot_be_is_explained(day, change, kind, says):
    with pytest.raises(kind, match=says):
        encode(day, **{"features": "wheel", "target": "counts", **change})


def test_kinds_of_targets_are_named_by_recording(day):
    table = day["trials"].table.assign(side=np.arange(len(day["trials"].table)) * 0.5)
    other = Recording("day2", {**day.streams, "trials": Trials(table)})
    with pytest.raises(DataError, match="day1: classes; day2: continuous"):
        decode(tb.Dataset([day, other]), features="counts", target="side")


def test_angles_are_drawn_with_their_own_scores(tmp_path):
    rng = np.random.default_rng(0)
    angle = np.cumsum(rng.normal(0, 0.2, 2000))
    tuned = np.exp(1.5 * np.cos(angle[:, None] - np.linspace(0, 2 * np.pi, 8)) - 1)
    times = np.arange(2000) * 0.05
    streams = {
        "head": tb.Series(times, angle % (2 * np.pi), ("angle",), "rad"),
        "counts": tb.Series(times, rng.poisson(tuned), unit="spikes/bin"),
    }
    decode(
        Recording("day1", streams), features="counts", target="head:circular",
        out=tmp_path / "run", **SMALL,
    )  # fmt: skip
    captions = json.loads((tmp_path / "run" / "diagnostics" / "figures.json").read_text())
    assert captions["decoded"]["units"] == {"angle": "deg"}
    said = captions["decoded"]["scores"]["angle"]
    assert said.startswith("cos R2 0.") and "; sin R2 0." in said


def test_a_unit_table_never_replaces_a_score(day):
    table = pd.DataFrame({"region": ["CA1"] * 6, "value": np.arange(6) * 100.0, "unit": range(6)})
    data = Recording("day1", {**day.streams, "counts": replace(day["counts"], table=table)})
    result = encode(data, features="wheel,noise", target="counts", **SMALL)
    plain = encode(day, features="wheel,noise", target="counts", **SMALL)
    assert value(result) == pytest.approx(value(plain))
    assert set(result.scores["unit"]) == {"bits/spike"}
    assert result.scores["table_value"].tolist()[:6] == table["value"].tolist()


def test_predictions_of_trials_are_shifted_and_not_shuffled(day):
    result = decode(day, features="counts", target="value", **SMALL)
    p = result.predicted["day1"]
    assert set(result.nulls["null"]) == {"shifted by trials"}
    # A fold's own number as its prediction: any order of its trials scores the same.
    same = replace(p, models={"m": p.fold[:, None].astype(float)})
    drawn = shift_null(same, "m")
    assert drawn is not None
    assert np.allclose(drawn, drawn[0])
    # The order of a fold stays what it was, up to where it begins.
    place = np.arange(len(p.fold), dtype=float)[:, None]
    in_order = replace(p, truth=place, models={"m": place})
    drawn = shift_null(in_order, "m")
    assert drawn is not None
    size = int((p.fold == 0).sum())
    least = 1 - 2 * size**2 / 4 / place.var() / 2  # half a turn in every fold
    assert drawn.min() > least


def test_chance_drifts_of_trials_are_seldom_a_finding():
    hits = 0
    for seed in range(40):
        y, guess = walk(np.random.default_rng(seed), 150, 2, memory=0.97).T[..., None]
        fold = np.arange(150) * 5 // 150
        time = np.arange(150.0)
        p = Predicted(
            "day1", "continuous", ("x",), (), y, {"m": 0.3 * guess}, fold, fold, time, time + 1,
            np.arange(150), fold, per_trial=True,
        )  # fmt: skip
        drawn = shift_null(p, "m")
        assert drawn is not None
        hits += int(null_interval(r2(y, p.models["m"]), drawn).p[0] <= 0.05)
    assert hits <= 9  # 14 by shuffled trials


def test_a_target_that_does_not_vary_has_no_score(day):
    flat = replace(day["wheel"], values=np.ones_like(day["wheel"].values))
    result = decode(
        Recording("flat", {**day.streams, "flat": flat}), features="counts", target="flat", **SMALL
    )
    assert result.headline.value is None
    assert "1 units or channels have no score" in " ".join(result.summary["notes"])


def test_a_unit_with_all_spikes_in_one_block_is_scored(day):
    counts = np.zeros((3000, 1))
    counts[1210:1240] = 5
    data = Recording("burst", {**day.streams, "counts": replace(
        day["counts"], values=counts, channels=("0",), table=None)})  # fmt: skip
    result = encode(data, features="wheel", target="counts", **SMALL)
    assert np.isfinite(value(result))
    assert result.headline.interval is not None


def test_predictions_must_be_numbers(day):
    class Broken:
        def fit(self, X, Y, **_):
            return self

        def predict(self, X, **_):
            return np.full((len(X), 6), np.nan)

    problem = make_problem(plan(day, {"wheel": "wheel"}, "counts"), gap=0.5)
    y = problem.truth()
    fold = problem.folds[0]
    x = problem.inputs(fold.train)["wheel"]
    with pytest.raises(NonFiniteError, match="day1"):
        fit_predict(Broken, problem, fold, x, y)


def test_recordings_may_have_different_classes(day, tmp_path):
    table = day["trials"].table.copy()
    table["side"] = np.array(["left", "right", "none"])[np.arange(len(table)) % 3]
    other = Recording("007", {**day.streams, "trials": Trials(table)})
    result = decode(
        tb.Dataset([day, other]), features="counts", target="side", out=tmp_path / "run", **SMALL
    )
    captions = json.loads((tmp_path / "run" / "diagnostics" / "figures.json").read_text())
    assert set(captions["confusion"]["classes"]["side"]) == {"left", "none", "right"}
    assert captions["units"]["noun"] == "target"
    assert result.headline.null == pytest.approx((1 / 2 + 1 / 3) / 2)
    back = open_study(tmp_path / "run")
    assert set(back.predicted) == {"day1", "007"} == set(back.scores["recording"])


def test_names_that_are_one_as_a_file_are_kept_apart(day, tmp_path):
    data = tb.Dataset([Recording("a/b", day.streams), Recording("a_b", day.streams)])
    encode(data, features="wheel", target="counts", out=tmp_path / "run", **SMALL)
    assert set(open_study(tmp_path / "run").predicted) == {"a/b", "a_b"}


def test_a_linear_study_needs_no_torch(tmp_path):
    code = f"""
import sys
from test_study import SMALL, session
from tinbergen.encoding import encode
encode(session(n=600), features="wheel", target="counts", out={str(tmp_path / "run")!r}, **SMALL)
sys.exit("torch" in sys.modules)
"""
    room = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", code], cwd=room, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_samples_between_which_test_bins_are_drawn_do_not_teach(day):
    slow = tb.Series(np.arange(0, 150, 5.0), np.arange(30.0), ("x",), "cm")
    data = Recording("slow", {**day.streams, "slow": slow})
    problem = make_problem(plan(data, {"counts": "counts"}, "slow"), n_folds=2, gap=0.5)
    for fold in problem.folds:
        apart = np.abs(problem.starts[fold.train][:, None] - problem.starts[fold.test])
        assert apart.min() >= 5.0


@pytest.mark.parametrize(
    "model",
    [
        tb.encoding.TCN(epochs=1, target="continuous"),
        tb.encoding.BilinearRRR(rank=1, l2=1.0, target="continuous"),
    ],
)
def test_whole_numbers_need_not_be_counts(model):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 20, 2))
    model.fit(x, rng.integers(0, 9, size=(30, 20, 1)))
    assert model.kind_ == "continuous"


def test_a_study_tells_its_models_what_the_target_is(day):
    whole = Recording("day", dict(day.streams))
    position = tb.Series(day["wheel"].times, np.rint(5 + 4 * np.sin(day["wheel"].times)))
    problem = make_problem(
        plan(
            Recording("day", {**whole.streams, "position": position}),
            {"wheel": "wheel"},
            "position",
        )
    )
    for name in ("ridge", "rrr", "tcn"):
        assert settings_for(name, problem, "all", [1], {}, 0)["target"] == "continuous"
