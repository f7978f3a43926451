"""The figure of a decoded variable over time."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinbergen.report.figures import finite

_TIMES = 3000


def decoded(table: Any, unit: str, target: str) -> dict[str, Any]:
    """Return truth and prediction over time; segments far apart are laid end to end."""
    table = table[np.isfinite(table["time"])].sort_values("time", kind="stable")
    table = table.iloc[:_TIMES]
    times = table["time"].to_numpy(float)
    segments = table["segment"].fillna("").astype(str).to_numpy()
    breaks = np.flatnonzero(segments[1:] != segments[:-1]) + 1
    starts, stops = np.r_[0, breaks], np.r_[breaks, len(times)]
    place = times.copy()
    held = sum(times[b - 1] - times[a] for a, b in zip(starts, stops, strict=True) if b > a)
    ticks: list[dict[str, Any]] = []
    if len(starts) > 1 and held < 0.7 * (times[-1] - times[0]):
        gap, at = 0.02 * held + 1e-9, 0.0
        for a, b in zip(starts, stops, strict=True):
            place[a:b] = times[a:b] - times[a] + at
            ticks.append({"value": at, "text": f"{times[a]:.1f}"})
            at = place[b - 1] + gap
    lines = {name: table[name].to_numpy(float) for name in ("truth", "prediction")}
    turns = {name: _turns(line) if unit == "deg" else breaks[:0] for name, line in lines.items()}
    every = np.union1d(breaks, np.concatenate(list(turns.values())).astype(int))
    columns = [("truth", 0), ("prediction", 1)]
    band = [name in table for name in ("low", "high")]
    return {
        "kind": "times",
        "alt": f"{target}, true and decoded, over {len(times)} times from {times[0]:.1f} s to "
        f"{times[-1]:.1f} s." if len(times) else f"{target}: nothing was decoded.",
        "x": finite_times(_broken(place, every, breaks)),
        "at": finite_times(_broken(times, every, breaks)),
        "x_label": "Time (s)" + (", segments laid end to end" if ticks else ""),
        "unit": unit,
        "ticks": ticks,
        "event": False,
        "points": len(times) <= 60,
        "series": [
            {
                "name": name,
                "y": finite(_broken(lines[name], every, np.union1d(breaks, turns[name]))),
                "colour": c,
            }
            for name, c in columns
        ],
        "band": [
            finite(_broken(table[name].to_numpy(float), every, breaks))
            for name in ("low", "high")
        ] if all(band) else None,
    }  # fmt: skip


def finite_times(values: np.ndarray) -> list[float | None]:
    """Return times as JSON holds them, to 0.1 ms."""
    return [round(float(v), 4) if np.isfinite(v) else None for v in values]


def _turns(degrees: np.ndarray) -> np.ndarray:
    """Return where an angle passes 180 degrees and begins again at the other end."""
    return np.flatnonzero(np.abs(np.diff(degrees)) > 180) + 1


def _broken(values: np.ndarray, at: np.ndarray, lifted: np.ndarray) -> np.ndarray:
    """Put a point before each of the rows ``at``: NaN where the pen is lifted, else half way."""
    between = np.where(np.isin(at, lifted), np.nan, (values[at - 1] + values[at]) / 2)
    return np.insert(values, at, between)
