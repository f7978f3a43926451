"""Rows and tables of an evaluation, against numbers that follow from their definitions."""

import numpy as np
import pandas as pd
import pytest
from small import make_config, make_session

from tinbergen.errors import ConfigError
from tinbergen.population.answer_scores import class_rows, spike_rows, value_rows
from tinbergen.population.evaluation_tables import OWN, score_of, task_table
from tinbergen.population.questions import Question, checked_tasks, large_regions, questions_of
from tinbergen.population.sessions import Session

CO = Question("co_smoothing", "spikes", ("spikes",))
DECODE = Question("decoding", "choice", ("spikes",))


def spikes_of(counts, methods, rates):
    regions = np.array(["CA1"] * counts.shape[2], dtype=object)
    total = counts.sum(axis=(0, 1))
    return spike_rows(CO, "a", counts, methods, np.asarray(rates, float), regions, total)


def test_bits_per_spike_of_both_nulls():
    """The worked example of the specification: 0.292481 bits/spike against a null of 1."""
    counts = np.tile([0, 1, 2, 1], (10, 1))[:, :, None]
    rates = np.tile([0.5, 1.0, 1.5, 1.0], (10, 1))[:, :, None]
    rows = spikes_of(counts, {OWN: rates, "mean rate": np.full(counts.shape, 2.0)}, [2.0])
    own, null = rows.iloc[0], rows.iloc[1]
    assert own["against_test_mean"] == pytest.approx(0.2924812504)
    # The null of 2 spikes/bin loses 1/ln 2 - 1 bits against the true mean of 1.
    assert own["value"] == pytest.approx(0.2924812504 + 1 / np.log(2) - 1)
    assert null["value"] == 0.0
    assert null["against_test_mean"] == pytest.approx(-0.4426950409)
    assert own["bits"] / own["n"] == pytest.approx(own["value"])
    assert own["low"] == pytest.approx(own["high"])  # all windows are alike
    assert np.isnan(null["low"])


def test_units_with_few_spikes_count_in_pooled_scores_alone():
    counts = np.zeros((30, 2, 3), int)
    counts[:, 0, 0], counts[:19, 0, 1] = 1, 1  # 30, 19 and no spikes
    rows = spikes_of(counts, {OWN: np.full(counts.shape, 0.4)}, [0.5, 0.5, 0.5])
    assert np.isfinite(rows["value"]).tolist() == [True, False, False]
    assert rows["n"].tolist() == [30, 19, 0]
    table = task_table(rows)
    assert table["n"].item() == 1
    assert table["pooled"].item() == pytest.approx(rows["bits"].sum() / 49)


def test_bins_without_an_answer_are_not_scored():
    counts = np.ones((30, 4, 2), int)
    rates = np.full(counts.shape, np.nan)
    rates[..., 0] = 1.0
    rows = spikes_of(counts, {OWN: rates}, [1.0, 1.0])
    assert rows["value"].tolist()[0] == 0.0
    assert np.isnan(rows["value"].tolist()[1])
    assert rows["n"].tolist() == [120, 0]


def test_classes():
    truth = np.array([0, 0, 0, 1, -1])
    methods = {OWN: np.array([0, 0, 0, 0, 1]), "majority": np.zeros(5, int)}
    rows = class_rows(DECODE, "a", truth, methods, ("left", "right"))
    own = rows[(rows["kind"] == "target") & (rows["features"] == OWN)].iloc[0]
    assert (own["value"], own["null"], own["accuracy"], own["n"]) == (0.5, 0.5, 0.75, 4)
    assert own["macro_f1"] == pytest.approx(3 / 7)
    recalls = rows[rows["kind"] == "class"].set_index("name")["value"]
    assert recalls.to_dict() == {"left": 1.0, "right": 0.0}


def test_a_class_method_without_an_answer_has_no_value():
    methods = {OWN: np.array([0, 1]), "majority": np.zeros(2, int), "logistic": np.full(2, np.nan)}
    rows = class_rows(DECODE, "a", np.array([0, 1]), methods, ("left", "right"))
    assert np.isnan(rows[rows["features"] == "logistic"]["value"].item())


def test_continuous_values():
    truth = np.array([[1.0], [2.0], [3.0], [np.nan]])
    methods = {OWN: np.array([[1.0], [2.0], [2.0], [9.0]]), "training mean": np.zeros((4, 1))}
    rows = value_rows(Question("decoding", "wheel", ("spikes",)), "a", truth, methods)
    assert rows["value"].tolist() == [0.5, -6.0]
    assert rows["null"].tolist() == [-6.0, -6.0]
    assert rows["n"].tolist() == [3, 3]


def unit_table(own, other, recordings):
    parts = [
        pd.DataFrame(
            {
                "score": "Co-smoothing", "recording": recordings, "kind": "unit",
                "name": [str(i) for i in range(len(values))], "value": values, "null": 0.0,
                "unit": "bits/spike", "n": 10, "features": method, "task": "co_smoothing",
                "against_test_mean": np.array(values) - 1, "bits": 10 * np.array(values),
            }
        )
        for method, values in ((OWN, own), ("ridge", other))
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def test_table_pairs_units_and_flips_their_signs():
    scores = unit_table([2.0, 3.0, 4.0], [1.0, 2.0, 3.0], ["a"] * 3)
    own, ridge = task_table(scores).to_dict("records")
    assert (own["mean"], own["pooled"], own["against_test_mean"]) == (3.0, 3.0, 2.0)
    assert (ridge["mean"], ridge["difference"], ridge["p"]) == (2.0, 1.0, 0.25)
    assert (ridge["flipped"], ridge["better"], ridge["difference_low"]) == ("units", 1.0, 1.0)
    assert np.isnan(own["difference"])


def test_six_recordings_are_flipped_as_wholes():
    recordings = np.repeat(list("abcdef"), 4)
    scores = unit_table(np.arange(24.0) + 1, np.arange(24.0), recordings)
    ridge = task_table(scores).iloc[1]
    assert ridge["flipped"] == "recordings"
    assert ridge["p"] == pytest.approx(2 / 2**6)


def test_headline_states_null_interval_and_baselines():
    scores = unit_table([2.0, 3.0, 4.0], [1.0, 2.0, 3.0], ["a"] * 3)
    score = score_of("Co-smoothing", task_table(scores), scores, "each unit from all others")
    assert (score.value, score.null, score.n, score.n_name) == (3.0, 0.0, 3, "units")
    assert [(b.name, b.value) for b in score.baselines] == [("ridge", 2.0)]
    assert score.interval is not None
    assert score.interval.low <= 3.0 <= score.interval.high


# ---- what is asked


WINDOWS = [np.arange(8), np.arange(8, 12)]


def test_only_what_a_session_has_is_asked():
    session = make_session("a1", 21)
    config = make_config()
    asked = questions_of(session, config.modalities, checked_tasks(None), WINDOWS)
    encodings = [q.given for q in asked if q.task == "encoding"]
    assert encodings == [*((name,) for name in config.modalities), tuple(config.modalities)]
    assert {q.target for q in asked if q.task == "imputation"} == set(config.modalities)
    alone = Session.of_arrays("b", session.counts, values={"wheel": session.values["wheel"]})
    asked = questions_of(alone, config.modalities, checked_tasks(None), WINDOWS)
    assert [(q.task, q.target) for q in asked] == [
        ("co_smoothing", "spikes"),
        ("forward", "spikes"),
        ("encoding", "spikes"),
        ("decoding", "wheel"),
    ]


def test_regions_need_five_units():
    assert large_regions(np.array(["a"] * 5 + ["b"] * 4)) == ["a"]


def test_an_unknown_task_is_refused():
    with pytest.raises(ConfigError, match="co_smoothing, forward.*found 'smoothing'"):
        checked_tasks(["smoothing"])
