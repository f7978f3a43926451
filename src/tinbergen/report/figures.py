"""Turn results into the plain lists that ``assets/charts.js`` and ``assets/page.js`` draw."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinbergen.metrics.score import Score
from tinbergen.report.images import sprite
from tinbergen.report.scores import number, sentence, with_unit

_CURVE_POINTS = 600
_MAP_POINTS = 4000
_DOT_ROWS = 40
_CLIP_FRAMES = 240
_CLIP_SIZE = 256  # px
_CLIP_BYTES = 2_500_000

_NOT_CURVES = {"step", "epoch", "elapsed_s", "cpu_s"}
_VALIDATION = re.compile(r"^(?:validation|val)[/_.]", re.IGNORECASE)
_TRAINING = re.compile(r"^(?:training|train)[/_.]", re.IGNORECASE)
_STEP_TIME = re.compile(r"^(data|compute)_(?:.*_)?(s|seconds|ms)$", re.IGNORECASE)
_THROUGHPUT = re.compile(r"per_second|per_s$|throughput", re.IGNORECASE)
_WORDS = {
    "lr": "learning rate",
    "grad": "gradient",
    "per s": "per second",
    "infonce": "InfoNCE",
    "top1": "top-1",
}
_GREY = 7
_RATE = re.compile(r"^(?:learning_rate|lr)\b", re.IGNORECASE)


def finite(values: Any) -> list[float | None]:
    """Return numbers as a list that JSON can hold: five digits, None for what is not finite."""
    return [float(f"{v:.5g}") if math.isfinite(v) else None for v in np.asarray(values, float)]


def thin(n: int, most: int) -> np.ndarray:
    """Return at most ``most`` indices spread evenly over ``range(n)``, both ends included."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int))


def readable(key: str) -> str:
    """Turn a key into words.

    Examples
    --------
    >>> [readable(k) for k in ("infonce_top1", "items_per_s", "grad_norm", "lr")]
    ['InfoNCE top-1', 'Items per second', 'Gradient norm', 'Learning rate']
    """
    words = re.sub(r"[_/.]+", " ", key).strip()
    for short, full in _WORDS.items():
        words = re.sub(rf"\b{short}\b", full, words)
    return words[:1].upper() + words[1:]


def curve_panels(metrics: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Sort every logged number into panels: losses first, learning rate and throughput last.

    ``validation_x`` lies on the panel of ``x``; ``x_chance`` on the panels of ``x_...``.
    """
    keys = list(dict.fromkeys(key for row in metrics for key in row))
    keys = [key for key in keys if key not in _NOT_CURVES and not _STEP_TIME.match(key)]
    panels: dict[str, list[dict[str, Any]]] = {}
    for key in keys:
        rows = [(row["step"], row[key]) for row in metrics if _is_number(row.get(key))]
        if not rows:
            continue
        held_out = bool(_VALIDATION.match(key))
        name = _TRAINING.sub("", _VALIDATION.sub("", key))
        steps, values = _average_in_bins(np.asarray(rows, float))
        series = {
            "name": "validation" if held_out else "training",
            "x": finite(steps),
            "y": finite(values),
            "points": held_out and len(steps) <= 60,
            "colour": int(held_out),
        }
        if name.endswith("_chance"):
            series |= {"name": f"chance, {series['name']}", "points": False, "colour": _GREY}
            stem = name.removesuffix("chance")
            places = {_VALIDATION.sub("", k) for k in keys if _VALIDATION.sub("", k) != name}
            for place in sorted(place for place in places if place.startswith(stem)):
                panels.setdefault(place, []).append(series)
        else:
            panels.setdefault(name, []).append(series)
    return [_curve_panel(key, panels[key]) for key in sorted(panels, key=_panel_order)]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _panel_order(key: str) -> tuple[int, str]:
    lowest = key.lower()
    if lowest == "loss":
        return 0, ""
    if "loss" in lowest:
        return 1, lowest
    if _RATE.match(key):
        return 3, lowest
    return (4 if _THROUGHPUT.search(key) else 2), lowest


def _average_in_bins(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    groups = np.array_split(rows, min(len(rows), _CURVE_POINTS))
    means = np.array([group.mean(axis=0) for group in groups])
    return means[:, 0], means[:, 1]


def _curve_panel(key: str, series: list[dict[str, Any]]) -> dict[str, Any]:
    values = [v for s in series for v in s["y"]]
    logarithmic = min(values) > 0 and max(values) > 50 * min(values) and not _RATE.match(key)
    last = ", ".join(f"{s['name']} ends at {number(s['y'][-1])}" for s in series)
    return {
        "kind": "lines",
        "title": readable(key) + (" (log scale)" if logarithmic else ""),
        "alt": f"{readable(key)} against training step: {last}.",
        "x_label": "Step",
        "unit": "",
        "log": logarithmic,
        "zero": bool(_THROUGHPUT.search(key) or _RATE.match(key)),
        "series": series,
    }


def step_time_shares(metrics: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the median time a step waits for data and computes, ms."""
    parts = {"data": 0.0, "compute": 0.0}
    for key in dict.fromkeys(key for row in metrics for key in row):
        match = _STEP_TIME.match(key)
        values = [row[key] for row in metrics if _is_number(row.get(key))]
        if match and values:
            to_ms = 1.0 if match[2].lower() == "ms" else 1000.0
            parts[match[1].lower()] += float(np.median(values)) * to_ms
    if not any(parts.values()):
        return None
    names = {"data": "waiting for data", "compute": "computing"}
    said = ", ".join(f"{names[k]} {with_unit(v, 'ms')}" for k, v in parts.items())
    return {
        "kind": "shares",
        "alt": f"Median time of a training step: {said}.",
        "unit": "ms",
        "parts": [
            {"name": names["data"], "value": parts["data"], "colour": 4},
            {"name": names["compute"], "value": parts["compute"], "colour": 0},
        ],
    }


def bars(score: Score) -> dict[str, Any]:
    """Return a score, its baselines and its null as horizontal bars."""
    rows = [{"name": "this run", "model": True, "value": score.value, "interval": score.interval}]
    rows += [
        {"name": b.name, "model": False, "value": b.value, "interval": b.interval}
        for b in score.baselines
    ]
    return {
        "kind": "bars",
        "alt": f"{score.name}: {sentence(score)}",
        "unit": score.unit,
        "null": score.null,
        "null_name": score.null_name,
        "rows": rows,
    }


def dots(table: Any, name: str) -> dict[str, Any]:
    """Return the rows of one score as dots beside their nulls, the best first."""
    label = table["name"].where(table["name"] != "", table["recording"])
    if (table["kind"] == "unit").all() and table["recording"].nunique() > 1:
        label = label + ", " + table["recording"]  # unit 3 of another recording is another neuron
    table = table.assign(label=label)
    unit, direction = table["unit"].iloc[0], table["direction"].iloc[0]
    sign = 1 if direction == "lower" else -1
    rows = []
    for label, group in table.groupby("label", sort=False):
        pooled = group["recording"] == ""
        main = group[pooled] if pooled.any() else group
        points = [
            {
                "recording": row["recording"] if row["recording"] != label else "",
                "pooled": bool(not pooled.any() or row["recording"] == ""),
                **{key: finite([row[key]])[0] for key in ("value", "low", "high")},
            }
            for row in group.to_dict("records")
        ]
        rows.append(
            {
                "name": label or "all",
                "null": finite([main["null"].mean()])[0],
                "points": points,
                "order": float(main["value"].mean()),
            }
        )
    rows.sort(key=lambda row: math.inf if math.isnan(row["order"]) else sign * row["order"])
    shown = [{k: v for k, v in row.items() if k != "order"} for row in rows[:_DOT_ROWS]]
    return {
        "kind": "dots",
        "alt": f"{name} of {len(rows)} rows beside their null; the table below holds the numbers.",
        "x_label": f"{name if unit in ('', name) else f'{name} ({unit})'}, {direction} is better",
        "unit": unit,
        "zero": bool(table[["value", "null"]].min(axis=None) >= 0),
        "rows": shown,
        "left_out": len(rows) - len(shown),
    }


def embedding_map(table: Any, caption: dict[str, Any]) -> dict[str, Any]:
    """Return the points of the embedding map and everything they can be coloured by."""
    table = table[np.isfinite(table["x"]) & np.isfinite(table["y"])]
    table = table.iloc[thin(len(table), _MAP_POINTS)] if len(table) else table
    units = {"time": "s", **caption.get("units", {})}
    columns = {}
    for name in ["recording", "time", *(c for c in table.columns if c not in ("x", "y"))]:
        spread = (0, 100) if name == "time" else (1, 99)  # percentiles: one outlier hides the rest
        columns[str(name)] = _colour_values(table[name], str(units.get(name, "")), spread)
    return {
        "x": finite(table["x"]),
        "y": finite(table["y"]),
        "x_label": str(caption.get("x_label", "dimension 1")),
        "y_label": str(caption.get("y_label", "dimension 2")),
        "columns": columns,
    }


def _colour_values(column: Any, unit: str, spread: tuple[int, int]) -> dict[str, Any]:
    if column.dtype.kind in "iuf":
        known = column[np.isfinite(column)]
        ends = np.percentile(known, spread) if len(known) else [0, 1]
        clipped = spread != (0, 100)
        return {"numbers": finite(column), "range": finite(ends), "unit": unit, "clipped": clipped}
    names, codes = _encode(column)
    return {"names": names, "codes": codes}


def _encode(column: Any, known: Sequence[str] = ()) -> tuple[list[str], list[int]]:
    """Return the names, the ``known`` ones first, and the number of each row's name."""
    text = column.astype(object).where(column.notna(), "not known").astype(str)
    names = [*known, *sorted(set(text) - set(known))]
    lookup = {name: i for i, name in enumerate(names)}
    return names, [lookup[value] for value in text]


def clip(
    table: Any, frames: np.ndarray, caption: dict[str, Any], known: dict[str, Any]
) -> dict[str, Any]:
    """Return a clip as one image, its traces, and its text columns as bouts (s).

    ``known`` are the columns of the embedding map: one behaviour has one colour in both.
    """
    kept = thin(len(table), _CLIP_FRAMES)
    table = table.iloc[kept]
    for quality in (75, 50, 30):
        sheet = sprite(frames[kept], _CLIP_SIZE, quality)
        if len(sheet.uri) <= _CLIP_BYTES:
            break
    times = table["time"].to_numpy(float)
    units = caption.get("units", {})
    others = [name for name in table.columns if name != "time"]
    numeric = [name for name in others if table[name].dtype.kind in "iuf"]
    return {
        "times": [round(float(t), 4) for t in times],
        "sprite": vars(sheet),
        "traces": [
            {"name": str(name), "unit": str(units.get(name, "")), "values": finite(table[name])}
            for name in numeric
        ],
        "strips": [
            {"name": str(name), "bouts": _bouts(times, table[name], known.get(name, {}))}
            for name in others
            if name not in numeric
        ],
    }


def _bouts(times: np.ndarray, column: Any, known: dict[str, Any]) -> list[dict[str, Any]]:
    names, codes = _encode(column, known.get("names", ()))
    changes = np.flatnonzero(np.diff(codes)) + 1
    starts, stops = np.r_[0, changes], np.r_[changes, len(codes) - 1]
    return [
        {"start": times[a], "stop": times[b], "code": codes[a], "name": names[codes[a]]}
        for a, b in zip(starts, stops, strict=True)
        if b > a
    ]
