"""Material for the report's figures: tables and arrays in ``diagnostics/``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tinbergen.encoding.scoring import MEASURES, Predicted
from tinbergen.encoding.streams import REGIONS
from tinbergen.files import write_csv, write_json
from tinbergen.metrics import null_interval, psth_r2
from tinbergen.recordings.smoothing import smooth

if TYPE_CHECKING:
    from tinbergen.encoding.summary import StudyResult

_UNITS, _BINS, _TRIALS, _EXAMPLES = 400, 1000, 400, 6
_TRACE = 1200
_UNIT_COLUMNS = (
    *("recording", "unit", "region", "depth", "predictor", "score", "value", "null"),
    *("low", "high"),
)
_DEPTHS = ("depth", "depth_um")


def write_figures(folder: Path, result: StudyResult) -> None:
    """Write everything that the report draws of a study."""
    folder.mkdir()
    captions: dict[str, Any] = {}
    first = next(iter(result.predicted.values()))
    own = str(result.scores["features"].iloc[0])
    captions["nulls"] = _nulls(folder, result, first)
    captions["units"] = _units(folder, result, first)
    if first.kind == "classes":
        captions["confusion"] = _confusion(folder, result, own)
    elif _is_encoding(result):
        captions |= _rates(folder, result, first, own)
    else:
        captions["decoded"] = _decoded(folder, result, own)
    write_json(folder / "figures.json", {k: v for k, v in captions.items() if v})


def _column(rows: Any, names: tuple[str, ...]) -> Any:
    return next((rows[name] for name in names if name in rows), "")


def _units(folder: Path, result: StudyResult, first: Predicted) -> dict[str, Any]:
    measure = MEASURES[first.kind]
    encoding = _is_encoding(result)
    rows: Any = result.scores[result.scores["score"] == measure]
    table = pd.DataFrame(
        {
            "recording": rows["recording"],
            "unit": rows["name"],
            "region": _column(rows, REGIONS),
            "depth": pd.to_numeric(_column(rows, _DEPTHS), errors="coerce")
            if any(name in rows for name in _DEPTHS) else np.nan,
            "predictor": rows["features"],
            "score": measure,
            "value": rows["value"],
            "null": rows.get("shift_null", np.nan),
            "low": rows["low"],
            "high": rows["high"],
        },
        columns=list(_UNIT_COLUMNS),
    )  # fmt: skip
    write_csv(folder / "units.csv", table)
    null = str(result.nulls["null"].iloc[0]) if len(result.nulls) else "null"
    return {
        "noun": "neuron" if encoding else "target",
        "unit": {measure: ""},
        "null_name": f"mean with predictions {null}",
    }


def _is_encoding(result: StudyResult) -> bool:
    return result.summary["title"].startswith("Encoding")


def _nulls(folder: Path, result: StudyResult, first: Predicted) -> dict[str, Any]:
    if not len(result.nulls) or result.headline.value is None:
        return {}
    write_csv(folder / "nulls.csv", result.nulls)
    own: Any = result.nulls[result.nulls["target"] == ""]
    place = null_interval(result.headline.value, own["value"].to_numpy())
    parts = [{"name": "", "value": result.headline.value, "p": float(place.p)}]
    parts += result.summary["parts"]
    common = {"recording": "", "score": MEASURES[first.kind]}
    return {
        "measured": [
            common | {"target": each["name"], "value": each["value"], "p": each["p"]}
            for each in parts
        ]
    }


def _confusion(folder: Path, result: StudyResult, own: str) -> dict[str, Any]:
    tables, classes = [], {}
    for p in result.predicted.values():
        pairs = pd.DataFrame({"truth": p.truth[:, 0], "prediction": p.models[own][:, 0]})
        counts = pairs.value_counts().rename("n").reset_index()
        names = np.array(p.classes)
        counts["truth"], counts["prediction"] = names[counts["truth"]], names[counts["prediction"]]
        tables.append(counts.assign(recording=p.recording, target=p.names[0]))
        known = classes.setdefault(p.names[0], [])
        known += [name for name in p.classes if name not in known]
    table = pd.concat(tables)
    pooled: Any = table.groupby(["target", "truth", "prediction"], as_index=False)["n"].sum()
    pooled = pooled.assign(recording="")
    both: Any = pooled if len(tables) == 1 else pd.concat([pooled, table])
    write_csv(folder / "confusion.csv", both[["recording", "target", "truth", "prediction", "n"]])
    h = result.headline
    text = f"balanced accuracy {h.value:.2f} (chance {h.null:.2f})" if h.value and h.null else ""
    return {"classes": classes, "scores": dict.fromkeys(classes, text)}


def _stretch(p: Predicted, n: int) -> slice:
    """Return the middle of the longest run of neighbouring rows, at most ``n`` of them."""
    edges = np.flatnonzero(np.diff(p.segment)) + 1
    starts = np.concatenate([[0], edges])
    lengths = np.diff(np.concatenate([starts, [len(p.segment)]]))
    longest = int(lengths.argmax())
    length = min(int(lengths[longest]), n)
    begin = int(starts[longest]) + (int(lengths[longest]) - length) // 2
    return slice(begin, begin + length)


def _decoded(folder: Path, result: StudyResult, own: str) -> dict[str, Any]:
    tables = []
    for p in list(result.predicted.values())[:4]:
        lonely = p.per_trial or p.bins is not None
        rows = slice(0, _TRACE) if lonely else _stretch(p, _TRACE)
        truth, guess = _traces(p, own)
        for c, name in enumerate(_trace_names(p)):
            tables.append(
                pd.DataFrame(
                    {
                        "recording": p.recording,
                        "target": name,
                        "time": p.starts[rows],
                        "truth": truth[rows, c],
                        "prediction": guess[rows, c],
                        "segment": np.nan if p.per_trial else p.segment[rows],
                    }
                )
            )
    write_csv(folder / "decoded.csv", pd.concat(tables))
    angle = next(iter(result.predicted.values())).kind == "angle"
    scores = _score_texts(result.scores[result.scores["features"] == own], angle)
    return {"scores": scores, "units": dict.fromkeys(scores, "deg") if angle else {}}


def _score_texts(rows: Any, angle: bool) -> dict[str, str]:
    """Return trace -> its R2 in words; the interval is one recording's, so of one alone."""
    texts: dict[str, str] = {}
    for name, group in rows.groupby("name", sort=False):
        first = group.iloc[0]
        text = f"R2 {group['value'].mean():.2f}"
        if len(group) == 1:
            text += f" ({first['low']:.2f} to {first['high']:.2f})"
        else:
            text += f", mean of {len(group)} recordings"
        part, trace = str(name).split(" ", 1) if angle else ("", str(name))
        text = f"{part} {text}".strip()
        texts[trace] = f"{texts[trace]}; {text}" if trace in texts else text
    return texts


def _traces(p: Predicted, own: str) -> tuple[np.ndarray, np.ndarray]:
    if p.kind != "angle":
        return np.asarray(p.truth), np.asarray(p.models[own])

    def degrees(v: np.ndarray) -> np.ndarray:
        return np.rad2deg(np.arctan2(v[:, 1::2], v[:, 0::2]))

    return degrees(np.asarray(p.truth)), degrees(np.asarray(p.models[own]))


def _trace_names(p: Predicted) -> list[str]:
    if p.kind != "angle":
        return list(p.names)
    return [name.removeprefix("cos ") for name in p.names[::2]]


def _rates(folder: Path, result: StudyResult, p: Predicted, own: str) -> dict[str, Any]:
    """Write the population over time; of windows the average and single trials too."""
    scale = 1 / p.width if p.kind == "counts" else 1.0
    unit = "spikes/s" if p.kind == "counts" else ""
    value = result.scores.query("features == @own and recording == @p.recording")["value"]
    best = np.argsort(-np.nan_to_num(value.to_numpy(), nan=-np.inf), kind="stable")
    shown = best[:_UNITS]
    regions = _column(p.table, REGIONS) if p.table is not None else ""
    regions = [str(r) for r in regions.iloc[shown]] if isinstance(regions, pd.Series) else []
    common = {"recording": p.recording, "unit": unit, "bin": p.width}
    common |= {"units": [p.names[i] for i in shown]} | ({"regions": regions} if regions else {})
    rows = _stretch(p, _BINS) if p.bins is None else slice(0, _BINS // p.bins * p.bins or _BINS)
    recorded = smooth(np.asarray(p.truth[rows], float), 1.5, p.segment[rows])
    pair = np.stack([recorded, np.asarray(p.models[own][rows])])[:, :, shown]
    np.save(folder / "raster.npy", (pair * scale).transpose(0, 2, 1).astype(np.float32))
    captions: dict[str, Any] = {
        "raster": {**common, "start": float(p.starts[rows][0]), "z_scored": False}
    }
    if p.bins is None or p.bins < 3:
        return captions
    y = np.asarray(p.truth).reshape(-1, p.bins, p.truth.shape[1])
    guess = np.asarray(p.models[own]).reshape(y.shape)
    average = np.stack([y.mean(axis=0), guess.mean(axis=0)])[:, :, shown].transpose(0, 2, 1)
    np.save(folder / "psth.npy", (average[None] * scale).astype(np.float32))
    scores = psth_r2(y, guess, np.zeros(len(y)))[shown]
    window = common | {"start": 0.0}
    captions["psth"] = window | {
        "conditions": ["all trials"],
        "scores": [float(s) if np.isfinite(s) else None for s in scores],
        "score_name": "PSTH R2",
    }
    few, trials = best[:_EXAMPLES], y[:_TRIALS, :, best[:_EXAMPLES]]
    smoothed = np.stack([smooth(trial, 1.5) for trial in trials.astype(float)])
    single = np.stack([smoothed, guess[:_TRIALS, :, few]]).transpose(3, 0, 1, 2)
    np.save(folder / "single_trials.npy", (single * scale).astype(np.float32))
    captions["single_trials"] = window | {
        "units": [p.names[i] for i in few],
        "scores": [float(s) if np.isfinite(s) else None for s in value.to_numpy()[few]],
        "score_name": MEASURES[p.kind],
    } | ({"regions": regions[: len(few)]} if regions else {})  # fmt: skip
    return captions
