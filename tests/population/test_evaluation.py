"""A whole evaluation of a small run: what is written, what is refused, what leaks."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from small import MODALITIES, SMALL, make_config, make_corpus, make_model, make_session

from tinbergen.configuration import merge
from tinbergen.errors import ConfigError, DataError, NotFittedError, OutputError, WeightsError
from tinbergen.metrics import bits_per_spike
from tinbergen.population import Population, PopulationRun, adapt, evaluate, predict, pretrain
from tinbergen.population.asking import Asker
from tinbergen.population.sessions import Session
from tinbergen.report import write_report
from tinbergen.training import RunFolder

SETTINGS = merge(
    merge(SMALL, {"train": {"steps": 3, "validate_every": 2}}),
    {"modalities": {name: MODALITIES[name] for name in ("wheel", "choice")}},
)


@pytest.fixture(scope="module")
def data():
    return [make_session("a1", 24, windows=40), make_session("b1", 66, windows=30)]


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    return pretrain(data, tmp_path_factory.mktemp("run") / "run", overrides=SETTINGS)


@pytest.fixture(scope="module")
def found(run, data):
    return evaluate(run, data, folds=3)


def test_every_question_has_every_method(found):
    methods = found.tasks.groupby("task", sort=False)["method"].agg(set)
    nulls = {"network", "mean rate", "PSTH", "ridge"}
    for task in ("co_smoothing", "forward", "intra_region", "inter_region"):
        assert methods[task] == nulls, task
    assert methods["encoding"] == nulls | {"reduced rank", "conditional PSTH"}
    assert methods["decoding"] == {
        *("network", "training mean", "majority", "ridge", "logistic", "probe of states")
    }
    assert methods["region_probe"] == {"network", "firing statistics", "shuffled regions"}
    null = found.tasks[found.tasks["method"] == "mean rate"]
    np.testing.assert_allclose(null["mean"], 0.0, atol=1e-12)


def test_scores_are_those_of_the_networks_rates(found, run, data):
    """Recomputed here from the definition, for one session."""
    session = data[0]
    model = PopulationRun(run, data)
    rows = np.arange(32, 40)
    rates = model.predict("a1", ["spikes"], windows=rows, folds=3)
    null = session.counts[:24].mean(axis=(0, 1))
    counts = session.counts[rows].astype(float)
    gain = (counts * np.log(rates / null) - (rates - null)).sum(axis=(0, 1)) / np.log(2)
    spikes = counts.sum(axis=(0, 1))
    wanted = np.where(spikes >= 20, gain / spikes, np.nan)
    table = found.scores.query("score == 'Co-smoothing' and features == 'network'")
    mine = table[table["recording"] == "a1"]
    np.testing.assert_allclose(mine["value"], wanted, rtol=1e-5)
    assert mine["region"].tolist() == session.regions.tolist()


def test_transfer_has_every_pair_of_large_regions(found, data):
    for session in data:
        mine = found.transfer[found.transfer["recording"] == session.name]
        names, number = np.unique(session.regions.astype(str), return_counts=True)
        large = set(names[number >= 5])
        assert set(zip(mine["source"], mine["target"], strict=True)) == {
            (a, b) for a in large for b in large
        }


def test_lines_of_scores_with_a_unit_and_without(found):
    said = found.text()
    assert " bits/spike; " in said and " ;" not in said


def test_files_and_page(found, run):
    summary = json.loads((run.path / "summary.json").read_text())
    assert summary["headline"]["name"] == "Co-smoothing"
    assert {b["name"] for b in summary["headline"]["baselines"]} == {"PSTH", "ridge"}
    scores = pd.read_csv(run.path / "scores.csv")
    assert len(scores) == len(found.scores)
    assert scores["features"].iloc[0] == "network"
    page = write_report(run.path).read_text()
    for title in ("All questions and methods", "Region by region", "Neuron by neuron",
                  "Rates and predictions", "Decoded behaviour", "Embedding map"):  # fmt: skip
        assert title in page, title
    assert not [p for p in run.path.iterdir() if p.name.startswith(".run.")]


def test_an_evaluation_elsewhere_is_whole(run, data, tmp_path):
    out = tmp_path / "validation"
    found = evaluate(run, data, out=out, tasks=["co_smoothing"], part="validation", folds=2,
                     baselines=False)  # fmt: skip
    assert found.path == out
    assert set(found.tasks["method"]) == {"network", "mean rate"}
    assert write_report(out).is_file()
    with pytest.raises(OutputError, match="nothing is overwritten"):
        evaluate(run, data, out=out)


# ---- refused before anything is computed


def test_runs_beside_are_methods_of_the_same_windows(run, data, tmp_path):
    """A run beside itself scores the same; one adapted from it says what it has seen before."""
    again = adapt(run, data[:1], tmp_path / "adapted", overrides={"train": {"steps": 2}})
    beside = {"same": run, "after": again}
    out, tasks = tmp_path / "found", ["co_smoothing", "decoding"]
    found = evaluate(run, data[:1], out=out, tasks=tasks, folds=3, baselines=False, beside=beside)
    table: Any = found.tasks.set_index(["score", "method"])["mean"]
    for title in found.questions:
        assert table[title, "same"] == table[title, "network"]
    rates = PopulationRun(again, data).predict(
        "a1", ["spikes"], windows=np.arange(32, 40), folds=3
    )
    rows: Any = found.scores[
        (found.scores["features"] == "after") & (found.scores["kind"] == "unit")
    ]
    model = PopulationRun(run, data)
    own = np.array(model.vocabulary.sessions[0].rates)
    expected = bits_per_spike(data[0].counts[32:40], rates, own)
    known = rows["value"].notna().to_numpy()
    np.testing.assert_allclose(rows["value"][known], expected[known])
    assert found.lineage.values.tolist() == [["network", 0, 0], ["same", 0, 0], ["after", 2, 2]]
    assert found.path is not None
    page = write_report(found.path).read_text("utf-8")
    assert "After how many animals" in page and "2 animals, 2 sessions" in page


def test_runs_that_cannot_stand_beside(run, data, tmp_path):
    with pytest.raises(ConfigError, match="cannot be called 'ridge'"):
        evaluate(run, data, out=tmp_path / "a", beside={"ridge": run})
    parts = {"train": {"a1": np.arange(30)}, "validation": {"a1": np.arange(30, 36)},
             "test": {"a1": np.arange(36, 40)}}  # fmt: skip
    seen = pretrain(data[:1], tmp_path / "seen", overrides=SETTINGS, parts=parts)
    with pytest.raises(DataError, match="4 test windows of 'a1' are in its part 'validation'"):
        evaluate(run, data[:1], out=tmp_path / "b", beside={"seen": seen})
    fewer = merge(SETTINGS, {"modalities": {"choice": MODALITIES["choice"]}})
    fewer["modalities"].pop("wheel", None)
    plain = pretrain(data, tmp_path / "plain", overrides=fewer)
    with pytest.raises(ConfigError, match="expected the modalities of"):
        evaluate(run, data, out=tmp_path / "c", beside={"plain": plain})
    assert not (tmp_path / "c").exists()


def test_a_session_with_other_units(run, data):
    other = replace(data[0], counts=data[0].counts[..., :-1], regions=data[0].regions[:-1])
    with pytest.raises(DataError, match="'a1': expected 24 units, found 23"):
        evaluate(run, [other])


def test_a_session_with_fewer_windows(run, data):
    short = Session.of_arrays("a1", data[0].counts[:35], regions=data[0].regions)
    with pytest.raises(DataError, match="windows up to number 39, found 35"):
        evaluate(run, [short])


def test_a_session_with_other_bins(run, data):
    short = Session.of_arrays("a1", data[0].counts[:, :-1], regions=data[0].regions)
    with pytest.raises(DataError, match="expected windows of 10 bins.*found 9"):
        evaluate(run, [short])


def test_tasks_that_no_session_can_be_asked(data, tmp_path):
    alone = Session.of_arrays("a1", data[0].counts)
    run = pretrain([alone], tmp_path / "run", overrides=merge(SMALL, {"train": {"steps": 1}}))
    with pytest.raises(DataError, match="Nothing of inter_region, decoding can be asked"):
        evaluate(run, [alone], tasks=["decoding", "inter_region"])
    found = evaluate(run, [alone], folds=2)
    assert found.tasks["score"].unique().tolist() == ["Co-smoothing", "Forward prediction"]
    assert write_report(run.path).is_file()


def test_a_session_that_is_not_known(run):
    with pytest.raises(DataError, match="knows none of c1; it knows a1, b1"):
        evaluate(run, [make_session("c1", 10)])


def test_a_split_without_test_windows(data, tmp_path):
    rows = {s.name: np.arange(20) for s in data}
    run = pretrain(data, tmp_path / "run", overrides=SETTINGS, parts={"train": rows})
    with pytest.raises(DataError, match="expected a part 'test'.*found train"):
        evaluate(run, data)


def test_a_run_that_is_not_finished(run, data, tmp_path):
    unfinished = RunFolder.create(tmp_path / "run", make_config(), seed=0)
    with pytest.raises(FileNotFoundError, match="has no weights: it is created"):
        evaluate(unfinished, data)


# ---- predictions on disk


def test_a_run_of_another_version(run, data, monkeypatch):
    weights = run.load_weights()
    weights["linear.linear_in"] = weights["linear.linear_in"][..., :1]
    monkeypatch.setattr(type(run), "load_weights", lambda self: weights)
    with pytest.raises(WeightsError, match="another version of Tinbergen"):
        PopulationRun(run, data)


def test_predictions_are_whole_or_absent(run, data, tmp_path):
    paths = predict(run, data, tmp_path, given=["spikes", "wheel"], target="choice")
    model = PopulationRun(run, data)
    for name, path in paths.items():
        wanted = model.predict(name, ["spikes", "wheel"], "choice")
        np.testing.assert_allclose(np.load(path / "prediction.npy"), wanted, rtol=1e-6)
        index: Any = pd.read_csv(path / "index.csv")
        assert len(index) == len(wanted)
        assert index["part"].value_counts()["test"] == len(wanted) / 5
        assert pd.read_csv(path / "columns.csv")["name"].tolist() == ["left", "right"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a1", "b1"]
    with pytest.raises(OutputError, match="exists already"):
        predict(run, data, tmp_path, given=["spikes"])


@pytest.mark.parametrize(
    ("given", "target", "text"),
    [
        (["whel"], "choice", "knows no 'whel'; it knows spikes, wheel, choice"),
        (["choice"], "choice", "both given and asked for"),
        ([], "choice", "Nothing is given"),
    ],
)
def test_names_that_do_not_fit(run, data, tmp_path, given, target, text):
    with pytest.raises(ConfigError, match=text):
        predict(run, data, tmp_path / "out", given=given, target=target)
    assert not (tmp_path / "out").exists()


# ---- the estimator


def test_estimator_fits_adapts_saves_and_loads(data, tmp_path):
    brain = Population(
        modalities=SETTINGS["modalities"], settings=SMALL | {"train": SETTINGS["train"]}
    )
    with pytest.raises(NotFittedError):
        brain.predict(data[0], ["spikes"])
    brain.fit(data[0])
    new = brain.adapt(data[1], strategy="frozen")
    rates = new.predict(data[1], ["wheel"])
    assert rates.shape == data[1].counts.shape
    assert brain.predict(data[0], ["spikes"], "choice").shape == (40, 2)
    again = Population.load(new.save(tmp_path / "saved"))
    np.testing.assert_array_equal(again.predict(data[1], ["wheel"]), rates)
    assert again.modalities == new.run_.config["modalities"]
    with pytest.raises(OutputError, match="exists already"):
        new.save(tmp_path / "saved")


# ---- regions from regions


def test_units_that_are_not_visible_do_not_matter():
    session = make_session("a1", 70)
    config = make_config()
    corpus = make_corpus([session], config)
    model = make_model(corpus)
    visible = session.regions == "CA1"
    rates = Asker(model, corpus).from_units("a1", np.arange(12), visible)
    counts = session.counts.copy()
    counts[..., ~visible] += 3
    other = make_corpus([replace(session, counts=counts)], config)
    other.vocabulary = corpus.vocabulary
    changed = Asker(model, other).from_units("a1", np.arange(12), visible)
    np.testing.assert_allclose(changed, rates, rtol=1e-5)
    counts[..., visible] += 3
    third = make_corpus([replace(session, counts=counts)], config)
    assert not np.allclose(Asker(model, third).from_units("a1", np.arange(12), visible), rates)


def test_two_regions_from_each_other_are_inter_region():
    session = make_session("a1", 70)
    names = np.where(session.regions == "CA1", "CA1", "LP").astype(object)
    corpus = make_corpus([replace(session, regions=names)], make_config())
    asker = Asker(make_model(corpus), corpus)
    whole = asker.spikes("a1", np.arange(12), "inter_region")
    part = asker.from_units("a1", np.arange(12), names == "CA1")
    np.testing.assert_allclose(part[..., names == "LP"], whole[..., names == "LP"], rtol=1e-6)
