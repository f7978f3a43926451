import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from tinbergen.report import figures
from tinbergen.report.images import shrink, sprite


@given(st.integers(1, 3000), st.integers(2, 500))
def test_thinning_keeps_both_ends_and_the_order(n, most):
    kept = figures.thin(n, most)
    assert len(kept) == min(n, most)
    assert kept[0] == 0
    assert kept[-1] == n - 1
    assert np.all(np.diff(kept) > 0)


def test_curves_are_sorted_into_panels():
    rows = [
        {"step": i, "loss": 2.0 - i, "loss_infonce": 1.0, "lr": 1e-3, "items_per_s": 90.0}
        | {"data_s": 0.01, "compute_s": 0.09, "elapsed_s": i, "validation/loss": 2.1 - i}
        for i in range(2)
    ]
    panels = figures.curve_panels(rows)
    titles = [panel["title"] for panel in panels]
    assert titles == ["Loss", "Loss InfoNCE", "Learning rate", "Items per second"]
    assert [series["name"] for series in panels[0]["series"]] == ["training", "validation"]
    shares = figures.step_time_shares(rows)
    assert shares is not None
    np.testing.assert_allclose([part["value"] for part in shares["parts"]], [10, 90])  # ms


def test_chance_lies_beside_what_it_is_the_chance_of():
    rows = [{"step": i, "infonce_top1": 0.5, "infonce_chance": 0.1, "loss": 1.0} for i in range(3)]
    loss, top1 = figures.curve_panels(rows)
    assert [series["name"] for series in top1["series"]] == ["training", "chance, training"]
    assert [series["name"] for series in loss["series"]] == ["training"]


def test_missing_and_infinite_metrics_are_left_out():
    rows = [{"step": 0, "loss": None}, {"step": 1, "loss": float("inf")}, {"step": 2, "loss": 3.0}]
    (panel,) = figures.curve_panels(rows)
    assert panel["series"][0]["x"] == [2.0]
    assert figures.curve_panels([{"step": 0, "note": "text", "flag": True}]) == []
    assert figures.step_time_shares(rows) is None


def test_long_curves_are_averaged_not_cut():
    rows = [{"step": i, "loss": float(i)} for i in range(5000)]
    (series,) = figures.curve_panels(rows)[0]["series"]
    assert len(series["x"]) == 600
    assert series["y"] == series["x"]
    assert series["y"][0] == 4.0  # the mean of the first bin, steps 0 to 8


def test_dots_put_the_best_first_and_pool_over_recordings():
    table = pd.DataFrame(
        {
            "score": "error",
            "recording": ["", "m1", "", "m1"],
            "kind": "keypoint",
            "name": ["paw", "paw", "nose", "nose"],
            "value": [9.0, 8.0, 3.0, 4.0],
            "null": [20.0, 20.0, 10.0, 10.0],
            "low": np.nan,
            "high": np.nan,
            "unit": "px",
            "direction": "lower",
        }
    )
    rows = figures.dots(table, "error")["rows"]
    assert [row["name"] for row in rows] == ["nose", "paw"]
    assert [point["pooled"] for point in rows[0]["points"]] == [True, False]
    assert rows[0]["null"] == 10.0
    best = figures.dots(table.assign(direction="higher"), "accuracy")["rows"][0]
    assert best["name"] == "paw"


def test_units_of_different_recordings_are_different_neurons():
    table = pd.DataFrame(
        {"score": "R2", "recording": ["m1", "m2"], "kind": "unit", "name": "3", "null": 0.0,
         "value": [0.1, 0.4], "low": np.nan, "high": np.nan, "unit": "", "direction": "higher"}
    )  # fmt: skip
    rows = figures.dots(table, "R2")["rows"]
    assert [row["name"] for row in rows] == ["3, m2", "3, m1"]
    assert [row["name"] for row in figures.dots(table[:1], "R2")["rows"]] == ["3"]


def test_map_thins_and_leaves_out_what_has_no_place():
    n = 9001
    table = pd.DataFrame(
        {"x": np.arange(n), "y": 0.0, "recording": "m", "time": np.arange(n) / 30}
    )
    table.loc[5, "x"] = np.nan
    drawn = figures.embedding_map(table, {})
    assert len(drawn["x"]) == 4000
    assert None not in drawn["x"]
    assert drawn["columns"]["time"]["range"][1] == 300


def test_bouts_cover_the_clip_and_keep_the_colours_of_the_map():
    times = np.arange(6) / 2
    table = pd.DataFrame(
        {"time": times, "behaviour": ["walk", "walk", "rear", "rear", None, None]}
    )
    frames = np.zeros((6, 4, 4), np.uint8)
    known = {"behaviour": {"names": ["groom", "rear", "walk"]}}
    bouts = figures.clip(table, frames, {}, known)["strips"][0]["bouts"]
    assert [(bout["start"], bout["stop"]) for bout in bouts] == [(0, 1), (1, 2), (2, 2.5)]
    assert [bout["code"] for bout in bouts] == [2, 1, 3]


def test_shrinking_keeps_the_aspect_ratio():
    assert shrink(np.zeros((100, 400, 3), np.uint8), 256).shape == (64, 256, 3)
    assert shrink(np.zeros((10, 20), np.uint8), 256).shape == (10, 20)


def test_a_sprite_has_room_for_every_frame():
    sheet = sprite(np.zeros((40, 100, 300, 3), np.uint8), longest=256)
    assert (sheet.columns, sheet.width, sheet.height) == (16, 256, 85)
    assert sheet.uri.startswith("data:image/webp;base64,")
