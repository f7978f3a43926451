"""Turn what a run says of neurons into the plain lists that ``assets/neural.js`` draws."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinbergen.report.figures import finite, thin
from tinbergen.report.ordering import spectral_order
from tinbergen.report.scores import number

_POINTS = 3000
_REGION_POINTS = 250
_FAR = 5.0  # quartile ranges from the quartiles
_BINS = 40
_ROWS, _COLUMNS = 200, 240  # of a heat map
_MISSING = 255


# ---- neuron by neuron


def against_other(table: Any, score: str, own: str, other: str, unit: str) -> dict[str, Any]:
    """Return each unit's score from two predictors, and how many are better from ours."""
    wide = table.pivot_table(
        index=["recording", "unit"], columns="predictor", values="value", sort=False
    )
    wide = wide.reindex(columns=[other, own]).dropna()
    regions = table.drop_duplicates(["recording", "unit"]).set_index(["recording", "unit"])
    x, y = wide[other].to_numpy(float), wide[own].to_numpy(float)
    better, gain = float((y > x).mean()) if len(x) else 0.0, np.median(y - x) if len(x) else 0.0
    label = f"{score} ({unit})" if unit else score
    said = (
        f"Better from {own} in {percent(better)} of {len(x)}; median difference "
        f"{signed(float(gain))}.{_beyond(x, y)}"
    )
    return {
        "kind": "scatter",
        "title": f"{own} against {other}",
        "said": said,
        "alt": f"{score} from {own} against that from {other}: {said}",
        "x_label": f"{other}, {label}",
        "y_label": f"{own}, {label}",
        "diagonal": True,
        "found": len(x),
        **_scatter(x, y, regions.loc[wide.index, "region"], [unit for _, unit in wide.index]),
    }


def against_column(table: Any, score: str, column: str, label: str, title: str) -> dict[str, Any]:
    """Return each unit's score against its null (diagonal drawn), or its depth against the score.

    Depth is drawn upwards, as a probe stands.
    """
    known = table[np.isfinite(table["value"]) & np.isfinite(table[column])]
    x, y = known[column].to_numpy(float), known["value"].to_numpy(float)
    depth = column == "depth"
    x_label, y_label = (score, label) if depth else (label, score)
    above = f"; {percent((y > x).mean())} lie above their null" if len(x) and not depth else ""
    said = f"n = {len(known)}{above}.{_beyond(x, y)}"
    return {
        "kind": "scatter",
        "title": title,
        "said": said,
        "alt": f"{title}: {said}",
        "x_label": x_label,
        "y_label": y_label,
        "diagonal": not depth,
        "found": len(x),
        **_scatter(*((y, x) if depth else (x, y)), known["region"], list(known["unit"])),
    }


def _scatter(x: np.ndarray, y: np.ndarray, region: Any, units: Sequence[str]) -> dict[str, Any]:
    kept = thin(len(x), _POINTS) if len(x) else np.zeros(0, int)
    regions = np.asarray(region.replace("", "no region"), dtype=str)[kept]
    names, codes = np.unique(regions, return_inverse=True)
    return {
        "x": finite(x[kept]),
        "y": finite(y[kept]),
        "units": [str(units[i]) for i in kept],
        "names": list(map(str, names)),
        "codes": codes.tolist(),
        "x_range": finite(_frame(x)),
        "y_range": finite(_frame(y)),
    }


def _frame(values: np.ndarray) -> tuple[float, float]:
    """Return the range to draw: all values but those far off, which would squeeze the others."""
    if not len(values):
        return 0.0, 1.0
    low, high = np.percentile(values, [25, 75])
    reach = _FAR * (high - low)
    near = values[(values >= low - reach) & (values <= high + reach)]
    return float(near.min()), float(near.max())


def _beyond(*columns: np.ndarray) -> str:
    """Say how many points lie beyond the frame."""
    far = np.zeros(len(columns[0]), dtype=bool)
    for values in columns:
        low, high = _frame(values)
        far |= (values < low) | (values > high)
    return f" {far.sum()} far off, drawn at the edge." if far.any() else ""


def by_region(table: Any, score: str, unit: str) -> dict[str, Any]:
    """Return the scores of each region, the best median first."""
    known = table[np.isfinite(table["value"]) & (table["region"] != "")]
    rows = []
    for region, group in known.groupby("region"):
        values = np.sort(group["value"].to_numpy(float))
        quartiles = np.percentile(values, [25, 50, 75])
        shown = values[thin(len(values), _REGION_POINTS)]
        rows.append(
            {
                "name": str(region),
                "n": len(values),
                "quartiles": finite(quartiles),
                "points": finite(shown),
            }
        )
    rows.sort(key=lambda row: -row["quartiles"][1])
    values = known["value"].to_numpy(float)
    best = f"; highest median in {rows[0]['name']}" if rows else ""
    return {
        "kind": "strips",
        "alt": f"{score} in {len(rows)} regions, n = {len(values)}{best}.",
        "x_label": f"{score} ({unit})" if unit else score,
        "unit": unit,
        "range": finite(_frame(values)),
        "found": len(values),
        "rows": rows,
    }


def percent(share: float) -> str:
    r"""Write a share as a percentage.

    Examples
    --------
    >>> percent(0.256)
    '26\xa0%'
    """
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"


def signed(value: float) -> str:
    """Write a difference with its sign."""
    return f"{'−' if value < 0 else '+'}{number(abs(value))}"


# ---- null distributions


def null_histogram(
    table: Any, measured: Mapping[str, Any] | None, colours: Mapping[str, int]
) -> dict[str, Any]:
    """Return the histogram of each null of one score, and where the measured value lies."""
    values = table["value"].to_numpy(float)
    values = values[np.isfinite(values)]
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1e-6, min(_BINS, len(values) // 4 + 5))
    series = [
        {
            "name": str(name),
            "colour": colours[str(name)],
            "counts": np.histogram(group["value"].dropna(), edges)[0].tolist(),
            "n": int(group["value"].notna().sum()),
        }
        for name, group in table.groupby("null", sort=False)
    ]
    at = (measured or {}).get("value")
    p = (measured or {}).get("p")
    texts = [f"measured {number(at)}" if at is not None else "", f"p = {p:.3g}" if p else ""]
    said = ", ".join(text for text in texts if text)
    names = ", ".join(f"{s['n']} draws of {s['name']}" for s in series)
    return {
        "kind": "histogram",
        "alt": f"Null distribution of {names}. {said}".strip(),
        "edges": finite(edges),
        "series": series,
        "measured": at,
        "said": said,
    }


# ---- rates and predictions


def heat(
    pair: np.ndarray,
    caption: Mapping[str, Any],
    names: Sequence[str],
    *,
    by_row: bool,
    order: np.ndarray,
    y_label: str,
    bands: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Return recorded and predicted rates as two pictures on one colour scale.

    Parameters
    ----------
    pair
        ``(2, row, time)``.
    caption
        ``start`` and ``bin`` in s, ``unit`` of the values, ``align``.
    names
        Of the rows.
    by_row
        Whether each row gets its own scale, that of its recorded half.
    order
        Of the rows, top first.
    bands
        What each row belongs to (a condition): rows of one kind lie together in ``order``.
    """
    kept = order[thin(len(order), _ROWS)]
    values, width = _fewer_columns(np.asarray(pair, dtype=np.float64)[:, kept])
    low, high = (np.broadcast_to(v, (len(kept), 1)) for v in _spread(values[0], by_row))
    scaled = (values - low) / np.where(high > low, high - low, 1.0)
    levels = np.where(np.isfinite(scaled), np.clip(scaled, 0, 1) * (_MISSING - 1), _MISSING)
    labels = [bands[i] for i in kept] if bands is not None else []
    starts = [i for i, name in enumerate(labels) if i == 0 or labels[i - 1] != name]
    return {
        "kind": "heat",
        "levels": base64.b64encode(levels.round().astype(np.uint8).tobytes()).decode("ascii"),
        "rows": len(kept),
        "columns": values.shape[2],
        "names": [str(names[i]) for i in kept],
        "low": finite(low[:, 0]),
        "high": finite(high[:, 0]),
        "by_row": by_row,
        "start": float(caption["start"]),
        "bin": float(caption["bin"]) * width,
        "unit": str(caption.get("unit", "")),
        "x_label": time_label(caption),
        "y_label": y_label,
        "event": bool(caption.get("align")),
        "bands": [{"name": labels[i], "row": i} for i in starts],
    }


def _fewer_columns(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Average neighbouring bins until there are no more than can be drawn."""
    width = -(-values.shape[2] // _COLUMNS)
    n = values.shape[2] // width
    blocks = values[..., : n * width].reshape(*values.shape[:2], n, width)
    known = np.isfinite(blocks)
    total = np.where(known, blocks, 0.0).sum(axis=3)
    count = known.sum(axis=3)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan), width


def _spread(values: np.ndarray, by_row: bool) -> tuple[np.ndarray, np.ndarray]:
    """1 and 99 % points, of each row or of all; 0 to 1 where nothing is known."""
    rows = values if by_row else values.reshape(1, -1)
    ends = np.array(
        [
            np.percentile(known, [1, 99]) if (known := row[np.isfinite(row)]).size else [0.0, 1.0]
            for row in rows
        ]
    )
    return ends[:, :1], ends[:, 1:]


def time_label(caption: Mapping[str, Any]) -> str:
    """Name the time axis."""
    align = str(caption.get("align") or "")
    return f"Time from {align} (s)" if align else "Time (s)"


def population_order(predicted: np.ndarray) -> np.ndarray:
    """Order units by what was predicted of them, ``(condition, unit, time)`` or ``(unit, time)``.

    By the prediction, so that an order seen in the recorded half is not of the sorting's making.
    """
    rows = np.asarray(predicted, dtype=np.float64)
    rows = np.concatenate(list(rows), axis=1) if rows.ndim == 3 else rows
    return spectral_order(_fewer_columns(rows[None])[0][0])


def trial_order(predicted: np.ndarray, conditions: Sequence[str] | None) -> np.ndarray:
    """Order trials ``(trial, time)`` by the prediction, within each condition."""
    labels = np.asarray(conditions if conditions else [""] * len(predicted), dtype=str)
    parts = [np.flatnonzero(labels == name) for name in np.unique(labels)]
    return np.concatenate([rows[spectral_order(predicted[rows])] for rows in parts])


def psth_curves(psth: np.ndarray, unit: int, caption: Mapping[str, Any]) -> dict[str, Any]:
    """Return a unit's recorded and predicted trial averages, a colour a condition."""
    values = np.asarray(psth[:, :, unit], dtype=np.float64)
    conditions = [str(name) for name in caption["conditions"]]
    times = float(caption["start"]) + (np.arange(values.shape[2]) + 0.5) * float(caption["bin"])
    series = [
        {"name": f"{name}, {half}", "y": finite(row), "colour": c, "dashed": half == "predicted"}
        for c, name in enumerate(conditions)
        for half, row in zip(("recorded", "predicted"), values[c], strict=True)
    ]
    name = unit_name(caption, unit)
    return {
        "kind": "times",
        "alt": f"Trial averages of {name}, recorded and predicted, in {', '.join(conditions)}.",
        "x": finite(times),
        "x_label": time_label(caption),
        "y_label": str(caption.get("unit", "")),
        "unit": str(caption.get("unit", "")),
        "event": bool(caption.get("align")),
        "series": series,
    }


def unit_name(caption: Mapping[str, Any], unit: int) -> str:
    """Name a unit with its region."""
    regions = caption.get("regions") or []
    region = str(regions[unit]) if unit < len(regions) and regions[unit] else ""
    return f"unit {caption['units'][unit]}" + (f", {region}" if region else "")


# ---- decoded behaviour


def confusion(table: Any, classes: Sequence[str] | None, target: str) -> dict[str, Any]:
    """Return the counts of true and decoded classes."""
    seen = dict.fromkeys([*table["truth"], *table["prediction"]])
    names = [*map(str, classes or ()), *sorted(set(seen) - set(map(str, classes or ())))]
    counts = np.zeros((len(names), len(names)))
    place = {name: i for i, name in enumerate(names)}
    for row in table.to_dict("records"):
        counts[place[row["truth"]], place[row["prediction"]]] += np.nan_to_num(row["n"])
    total = counts.sum()
    hits = f"; {percent(counts.trace() / total)} of {total:.0f} right" if total else ""
    return {
        "kind": "confusion",
        "alt": f"Confusion matrix of {target}: rows are true classes, columns decoded{hits}.",
        "names": names,
        "counts": counts.astype(int).tolist(),
    }
