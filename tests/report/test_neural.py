"""What the page shows of neurons: the numbers behind the figures, and files that do not fit."""

import base64
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from neural_run import write_neural_run

from tinbergen.errors import DataError
from tinbergen.report import neural_figures as figures
from tinbergen.report import write_report
from tinbergen.report.neural_traces import decoded
from tinbergen.report.ordering import spectral_order


def units_table(values):
    """Scores of units from predictors, ``{predictor: [value a unit]}``."""
    rows = [
        {"recording": "m", "unit": str(u), "region": "CA1" if u % 2 else "LP", "depth": 10.0 * u,
         "predictor": name, "score": "R2", "value": v, "null": 0.1, "low": np.nan, "high": np.nan}
        for name, column in values.items()
        for u, v in enumerate(column)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_the_same_units_are_compared():
    table = units_table({"ours": [0.5, 0.2, np.nan, 0.9], "theirs": [0.4, 0.3, 0.1, np.nan]})
    table = table.sample(frac=1, random_state=0)  # the order of rows does not matter
    drawn = figures.against_other(table, "R2", "ours", "theirs", "")
    assert dict(zip(drawn["units"], zip(drawn["x"], drawn["y"], strict=True), strict=True)) == {
        "0": (0.4, 0.5),
        "1": (0.3, 0.2),
    }
    assert drawn["said"] == "Better from ours in 50\N{NO-BREAK SPACE}% of 2; median " + (
        "difference +0.000."
    )
    assert drawn["found"] == 2
    assert figures.against_other(table.iloc[:0], "R2", "ours", "theirs", "")["found"] == 0


def test_units_of_other_recordings_stay_apart():
    table = units_table({"ours": [0.5], "theirs": [0.4]})
    both = pd.concat([table, table.assign(recording="n", value=[0.1, 0.2])])
    drawn = figures.against_other(both, "R2", "ours", "theirs", "")
    assert sorted(zip(drawn["x"], drawn["y"], strict=True)) == [(0.2, 0.1), (0.4, 0.5)]


def test_far_off_values_do_not_squeeze_the_others():
    table = units_table({"ours": [*np.linspace(0.1, 0.3, 40), -900.0]})
    drawn = figures.against_column(table, "R2", "null", "null", "title")
    assert drawn["y_range"] == [0.1, 0.3]
    assert "1 far off, drawn at the edge" in drawn["said"]
    depth = figures.against_column(table, "R2", "depth", "depth", "title")
    assert (depth["x_range"], depth["y_range"]) == ([0.1, 0.3], [0, 400])
    assert not depth["diagonal"]


def test_regions_are_ranked_by_their_median():
    table = units_table({"ours": [0.1, 0.5, 0.2, 0.6, 0.3, np.nan]})
    rows = figures.by_region(table, "R2", "")["rows"]
    assert [(row["name"], row["n"], row["quartiles"][1]) for row in rows] == [
        ("CA1", 2, 0.55),
        ("LP", 3, 0.2),
    ]


def test_histograms_hold_every_draw():
    table = pd.DataFrame({"null": ["a"] * 60 + ["b"] * 40, "value": np.r_[np.arange(60), 1:41]})
    drawn = figures.null_histogram(table, {"value": 80.0, "p": 0.0196}, {"a": 1, "b": 2})
    assert [sum(s["counts"]) for s in drawn["series"]] == [60, 40]
    assert drawn["said"] == "measured 80.0, p = 0.0196"
    assert figures.null_histogram(table, None, {"a": 1, "b": 2})["measured"] is None
    same = table.assign(value=0.5)
    assert sum(figures.null_histogram(same, None, {"a": 1, "b": 2})["series"][0]["counts"]) == 60


def levels(drawn):
    shape = (2, drawn["rows"], drawn["columns"])
    return np.frombuffer(base64.b64decode(drawn["levels"]), np.uint8).reshape(shape)


def test_both_halves_of_a_picture_have_one_scale():
    pair = np.stack([np.arange(12.0).reshape(3, 4), np.full((3, 4), 6.0)])
    pair[0, 1, 2] = np.nan
    caption = {"start": -1.0, "bin": 0.5, "align": "cue", "unit": "Hz"}
    drawn = figures.heat(
        pair, caption, ["a", "b", "c"], by_row=False, order=np.array([2, 0, 1]), y_label="units"
    )
    found = levels(drawn)
    assert drawn["names"] == ["c", "a", "b"]
    assert found[0, 2, 2] == 255
    assert (np.diff(found[0, 0].astype(int)) >= 0).all()
    values = drawn["low"][0] + found[1] / 254 * (drawn["high"][0] - drawn["low"][0])
    np.testing.assert_allclose(values, 6, atol=0.03)
    own = figures.heat(
        pair, caption, ["a", "b", "c"], by_row=True, order=np.arange(3), y_label="units"
    )
    np.testing.assert_array_equal(levels(own)[1], [[254] * 4, [171] * 4, [0] * 4])


def test_long_pictures_are_averaged_and_bands_kept():
    pair = np.ones((2, 500, 1000))
    bands = ["left"] * 250 + ["right"] * 250
    drawn = figures.heat(
        pair, {"start": 0.0, "bin": 0.02}, [str(i) for i in range(500)],
        by_row=False, order=np.arange(500), y_label="trials", bands=bands,
    )  # fmt: skip
    assert (drawn["rows"], drawn["columns"]) == (200, 200)
    assert drawn["bin"] == pytest.approx(0.1)
    assert drawn["bands"] == [{"name": "left", "row": 0}, {"name": "right", "row": 100}]


@given(st.integers(0, 30))
def test_the_order_finds_a_sequence_again(seed):
    shuffled = np.random.default_rng(seed).permutation(40)
    rows = np.exp(-(((np.arange(120) - 10 - 2.5 * shuffled[:, None]) / 9) ** 2))
    found = shuffled[spectral_order(rows)]
    assert sorted(found) == list(range(40))
    assert np.abs(found - np.arange(40)).max() <= 3


def test_the_order_of_odd_rows():
    rows = np.random.default_rng(0).normal(size=(9, 30))
    rows[2], rows[5, 4:9], rows[7] = 3.0, np.nan, np.nan
    order = spectral_order(rows)
    assert sorted(order) == list(range(9))
    assert set(order[-2:]) == {2, 7}
    assert spectral_order(np.zeros((2, 5))).tolist() == [0, 1]
    assert spectral_order(np.zeros((0, 5))).tolist() == []


def test_trials_are_ordered_within_their_condition():
    predicted = np.random.default_rng(0).normal(size=(20, 15))
    conditions = ["b", "a"] * 10
    order = figures.trial_order(predicted, conditions)
    assert [conditions[i] for i in order] == ["a"] * 10 + ["b"] * 10
    assert sorted(order) == list(range(20))


def decoded_table(starts, n=5, segment=True):
    parts = [
        pd.DataFrame({"time": start + np.arange(n) * 0.1, "truth": np.arange(n), "prediction": 0.0,
                      "segment": str(k) if segment else ""})
        for k, start in enumerate(starts)
    ]  # fmt: skip
    return pd.concat(parts)


def test_segments_far_apart_are_laid_end_to_end():
    drawn = decoded(decoded_table([10.0, 500.0]), "", "speed")
    assert [tick["text"] for tick in drawn["ticks"]] == ["10.0", "500.0"]
    assert drawn["x"][5] is None  # the pen is lifted
    assert drawn["series"][0]["y"][5] is None
    assert drawn["x"][-1] < 1
    assert drawn["at"][-1] == pytest.approx(500.4)
    near = decoded(decoded_table([10.0, 10.5]), "", "speed")
    assert near["ticks"] == []
    assert near["x"][-1] == pytest.approx(10.9)
    assert near["x"][5] is None
    assert decoded(decoded_table([1.0]), "", "speed")["band"] is None
    assert decoded(decoded_table([1.0]).iloc[:0], "", "speed")["x"] == []


def test_an_angle_is_not_joined_where_it_passes_180_degrees():
    truth = [160.0, 175.0, -170.0, -160.0, -150.0]
    guess = [170.0, 180.0, -170.0, -175.0, 175.0]
    turned = decoded_table([0.0]).assign(truth=truth, prediction=guess)
    drawn = decoded(turned, "deg", "head")
    assert drawn["x"] == [0.0, 0.1, 0.15, 0.2, 0.3, 0.35, 0.4]
    first, second = (series["y"] for series in drawn["series"])
    assert first == [160.0, 175.0, None, -170.0, -160.0, -155.0, -150.0]
    assert second == [170.0, 180.0, None, -170.0, -175.0, None, 175.0]
    assert None not in decoded(turned, "cm", "place")["series"][0]["y"]


def test_classes_keep_their_order_and_counts():
    table = pd.DataFrame({"truth": ["b", "a", "a"], "prediction": ["b", "a", "c"], "n": [3, 5, 2]})
    drawn = figures.confusion(table, ["b", "a"], "choice")
    assert drawn["names"] == ["b", "a", "c"]
    assert drawn["counts"] == [[3, 0, 0], [0, 5, 2], [0, 0, 0]]
    assert "8 of" not in drawn["alt"]
    assert "80\N{NO-BREAK SPACE}% of 10 right" in drawn["alt"]


@pytest.fixture
def folder(tmp_path):
    return write_neural_run(tmp_path / "run", units=12, trials=9)


def test_every_file_has_its_section_and_none_is_needed(folder):
    page = write_report(folder).read_text(encoding="utf-8")
    found = [name for name in ("chance", "neurons", "rates", "decoding")
             if f'<section id="{name}">' in page]  # fmt: skip
    assert found == ["chance", "neurons", "rates", "decoding"]
    assert "4 could not be scored" in page
    for path in (folder / "diagnostics").iterdir():
        path.unlink()
    page = write_report(folder).read_text(encoding="utf-8")
    assert 'id="neurons"' not in page
    assert 'id="rates"' not in page


def _shorter(key, name):
    def damage(folder):
        path = folder / "diagnostics/figures.json"
        captions = json.loads(path.read_text())
        captions[key][name] = captions[key][name][:-1]
        path.write_text(json.dumps(captions))

    return damage


def _drop(key, name):
    def damage(folder):
        path = folder / "diagnostics/figures.json"
        captions = json.loads(path.read_text())
        del captions[key][name]
        path.write_text(json.dumps(captions))

    return damage


def _array(name, values):
    return lambda folder: np.save(folder / "diagnostics" / name, values)


def _rename(name, old, new):
    def damage(folder):
        path = folder / "diagnostics" / name
        path.write_text(path.read_text().replace(old, new, 1))

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_shorter("psth", "units"), "psth.units: expected 12 entries"),
        (_shorter("psth", "scores"), "psth.scores: expected 12 entries"),
        (_shorter("psth", "conditions"), "psth.conditions: expected 2 entries"),
        (_shorter("single_trials", "conditions"), "single_trials.conditions: expected 9 entries"),
        (_shorter("raster", "units"), "raster.units: expected 12 entries"),
        (_drop("raster", "bin"), r"raster.bin: expected a number \(s\)"),
        (_array("psth.npy", np.zeros((2, 3, 4, 5))), "psth.npy: expected numbers with 4 axes"),
        (_array("raster.npy", np.zeros((2, 3), "U1")), "raster.npy: expected numbers"),
        (_rename("units.csv", "predictor", "features"), "units.csv: expected the columns"),
        (_rename("decoded.csv", "wheel speed,812.0", "wheel speed,soon"), "decoded.csv"),
    ],
)
def test_what_does_not_fit_is_named(folder, damage, message):
    damage(folder)
    with pytest.raises(DataError, match=message):
        write_report(folder)


def test_empty_tables_and_arrays_are_left_out(folder):
    for name in ("units", "nulls", "decoded", "confusion"):
        path = folder / f"diagnostics/{name}.csv"
        path.write_text(path.read_text().split("\n")[0] + "\n")
    for name in ("psth", "single_trials"):
        np.save(folder / f"diagnostics/{name}.npy", np.zeros((0, 2, 0, 5), "f4"))
    np.save(folder / "diagnostics/raster.npy", np.zeros((2, 0, 5), "f4"))
    page = write_report(folder).read_text(encoding="utf-8")
    assert not any(f'id="{name}"' in page for name in ("chance", "neurons", "rates", "decoding"))


def test_a_run_of_one_silent_neuron(folder):
    table = units_table({"ours": [np.nan]})
    table.to_csv(folder / "diagnostics/units.csv", index=False)
    np.save(folder / "diagnostics/raster.npy", np.zeros((2, 1, 1), "f4"))
    path = folder / "diagnostics/figures.json"
    captions = json.loads(path.read_text())
    captions["raster"] = {"start": 0, "bin": 0.02}
    path.write_text(json.dumps(captions))
    page = write_report(folder).read_text(encoding="utf-8")
    assert "1 neuron of 1 recording, predicted from ours. 1 could not be scored" in page


def test_the_details_draw_the_features_of_the_run(folder):
    rows = [
        {"score": "R2", "recording": "m", "kind": "unit", "name": str(u), "features": f,
         "value": 0.25 + 0.5 * (f == "other"), "null": 0.0, "low": None, "high": None, "unit": "",
         "direction": "higher", "n": 9}
        for f in ("own", "other") for u in range(3)
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "scores.csv", index=False)
    page = write_report(folder).read_text(encoding="utf-8")
    assert "All 6 rows" in page
    assert '"value":0.25' in page
    assert '"value":0.75' not in page


def test_names_of_targets_stay_as_they_are(folder):
    page = write_report(folder).read_text()
    assert "choice, balanced accuracy" in page
    assert "Choice, balanced accuracy" not in page


def test_decoded_targets_are_not_called_neurons(folder):
    path = folder / "diagnostics/figures.json"
    captions = json.loads(path.read_text())
    captions["units"]["noun"] = "target"
    path.write_text(json.dumps(captions))
    page = write_report(folder).read_text(encoding="utf-8")
    assert '<section id="targets"><h2>Target by target</h2>' in page
    units_table({"ours": [0.1, 0.2]}).to_csv(folder / "diagnostics/units.csv", index=False)
    assert 'id="targets"' not in write_report(folder).read_text(encoding="utf-8")
