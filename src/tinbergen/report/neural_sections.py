"""The sections of a run that predicts spikes, or predicts from them."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np

from tinbergen.errors import DataError
from tinbergen.report import neural_figures as figures
from tinbergen.report import parts
from tinbergen.report.neural_traces import decoded as decoded_figure
from tinbergen.report.parts import Payload, Section
from tinbergen.report.results import RunResults

_PANELS = 6
_OTHERS = 4
_CONDITIONS = 4
_FEW = 3  # points that make a picture


# ---- neuron by neuron


def neurons(results: RunResults, payload: Payload) -> Section | None:
    """Compare predictors neuron by neuron; show regions, depth and each neuron's null."""
    table = results.neural.units
    if table is None or table.empty:
        return None
    caption = _caption(results, "units")
    own = str(table["predictor"].iloc[0])
    drawn = "".join(
        _one_score(rows, str(score), own, caption, payload)
        for score, rows in table.groupby("score", sort=False)
    )
    mine = table.loc[table["predictor"] == own].drop_duplicates(["recording", "unit"])
    missing = int(np.isnan(mine["value"].to_numpy(float)).sum())
    recordings = len(set(mine["recording"]))
    noun = str(caption.get("noun", "neuron"))
    lead = f"{_count(len(mine), noun)} of {_count(recordings, 'recording')}, predicted from {own}."
    if missing:
        lead += f" {missing} could not be scored on the test data and are left out."
    if not (drawn or missing):
        return None
    title = f"{_capital(noun)} by {noun}"
    note = parts.notes(str(caption.get("note", "")))
    return Section(f"{noun}s", title, f'<p class="lead">{escape(lead)}</p>{drawn}{note}')


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" + ("" if n == 1 else "s")


def _one_score(
    rows: Any, score: str, own: str, caption: Mapping[str, Any], payload: Payload
) -> str:
    unit = str(caption.get("unit", {}).get(score, ""))
    mine = rows[rows["predictor"] == own]
    label = f"{score} ({unit})" if unit else score
    drawn: list[tuple[str, str, dict[str, Any]]] = []
    for other in [name for name in rows["predictor"].unique() if name != own][:_OTHERS]:
        drawn.append(_titled(figures.against_other(rows, score, own, str(other), unit)))
    null_name = str(caption.get("null_name", "null"))
    drawn.append(
        _titled(
            figures.against_column(
                mine, label, "null", f"{null_name}, {label}", f"{own} against its null"
            )
        )
    )
    if mine[mine["region"] != ""]["region"].nunique() > 1:
        regions = figures.by_region(mine, score, unit)
        said = "Each neuron a dot; the bar is the middle half, its line the median."
        drawn.append(("By region", said, regions))
    drawn.append(_titled(figures.against_column(mine, label, "depth", "depth (µm)", "By depth")))
    shown = [
        parts.figure(title, said, payload.place(figure))
        for title, said, figure in drawn
        if figure.get("found", _FEW) >= _FEW
    ]
    return f'<div class="grid wide">{"".join(shown)}</div>' if shown else ""


def _titled(figure: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    title, said = figure.pop("title"), figure.pop("said")
    return title[:1].upper() + title[1:], said, figure


# ---- against chance


def nulls(results: RunResults, payload: Payload) -> Section | None:
    """Show each pooled score in its null distribution."""
    table = results.neural.nulls
    if table is None or table.empty:
        return None
    caption = _caption(results, "nulls")
    colours = {str(name): i + 1 for i, name in enumerate(table["null"].unique())}
    measured = {
        tuple(str(entry.get(name) or "") for name in ("recording", "target", "score")): entry
        for entry in caption.get("measured", [])
    }
    drawn = ""
    for (recording, target, score), group in table.groupby(  # type: ignore
        ["recording", "target", "score"], sort=False
    ):
        entry = measured.get((recording, target, score))
        figure = figures.null_histogram(group, entry, colours)
        title = ", ".join(part for part in (target, score, recording) if part)
        title = title if target else _capital(title)  # names of regions stay as they are
        drawn += parts.figure(title, figure.pop("said"), payload.place(figure))
    key = "".join(
        f'<li><i style="background:var(--c{i % 8})"></i>{escape(name)}</li>'
        for name, i in colours.items()
    )
    lead = (
        "What the same prediction scores when its link to the truth is broken; the line is the "
        "measured score."
    )
    content = (
        f'<p class="lead">{lead}</p><ul class="key">{key}</ul><div class="grid">{drawn}</div>'
        f"{parts.notes(str(caption.get('note', '')))}"
    )
    return Section("chance", "Against chance", content)


# ---- rates and predictions


def rates(results: RunResults, payload: Payload) -> Section | None:
    """Show trial averages, single trials and the population, recorded beside predicted."""
    content = _psth(results, payload) + _single_trials(results, payload)
    content += _raster(results, payload)
    if not content:
        return None
    lead = (
        "Recorded on the left, predicted on the right, both on the scale of what was recorded. "
        "Rows are sorted by the prediction, so an order seen in the recorded half is not of the "
        "sorting’s making."
    )
    return Section("rates", "Rates and predictions", f'<p class="lead">{lead}</p>{content}')


def _psth(results: RunResults, payload: Payload) -> str:
    psth = results.neural.psth
    if psth is None:
        return ""
    caption = _checked(
        results, "psth", {"conditions": psth.shape[0], "units": psth.shape[2]}, ("start", "bin")
    )
    scores = np.array([_number(v) for v in caption.get("scores") or [0.0] * psth.shape[2]])
    best = np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")[:_PANELS]
    key = "".join(
        f'<li><i style="background:var(--c{c % 8})"></i>{escape(str(name))}</li>'
        for c, name in enumerate(caption["conditions"])
    )
    key += '<li><i class="line"></i>recorded</li><li><i class="line dashed"></i>predicted</li>'
    curves = "".join(
        parts.figure(
            _capital(figures.unit_name(caption, int(u))),
            _scored(caption, int(u)),
            payload.place(figures.psth_curves(psth, int(u), caption)),
        )
        for u in best
    )
    order = figures.population_order(psth[:, 1])
    names = [figures.unit_name(caption, u) for u in range(psth.shape[2])]
    heats = ""
    for c, condition in list(enumerate(caption["conditions"]))[:_CONDITIONS]:
        figure = figures.heat(psth[c], caption, names, by_row=True, order=order, y_label="neurons")
        figure["alt"] = f"Trial averages of {psth.shape[2]} neurons in {condition}."
        said = f"{psth.shape[2]} neurons, each on its own scale."
        heats += parts.figure(f"Trial averages, {condition}", said, payload.place(figure))
    note = parts.notes(str(caption.get("note", "")))
    title = f"<h3>Trial averages{escape(_of(caption))}</h3>"
    return (
        f'{title}<ul class="key">{key}</ul><div class="grid">{curves}</div>'
        f'<div class="grid pictures">{heats}</div>{note}'
    )


def _single_trials(results: RunResults, payload: Payload) -> str:
    trials = results.neural.single_trials
    if trials is None:
        return ""
    caption = _checked(results, "single_trials", {"units": trials.shape[0]}, ("start", "bin"))
    conditions = [str(name) for name in caption.get("conditions") or []]
    if conditions and len(conditions) != trials.shape[2]:
        _refuse(results, "single_trials", "conditions", trials.shape[2], len(conditions))
    removed = (
        " Means of the conditions are taken away." if caption.get("condition_mean_removed") else ""
    )
    drawn = ""
    for u in range(min(_PANELS, len(trials))):
        order = figures.trial_order(np.asarray(trials[u, 1], float), conditions or None)
        names = [
            f"trial {i + 1}" + (f", {conditions[i]}" if conditions else "")
            for i in range(trials.shape[2])
        ]
        figure = figures.heat(
            trials[u], caption, names,
            by_row=False, order=order, y_label="trials", bands=conditions or None,
        )  # fmt: skip
        name = figures.unit_name(caption, u)
        figure["alt"] = f"Single trials of {name}, recorded and predicted."
        said = " ".join(part for part in (_scored(caption, u), removed.strip()) if part)
        drawn += parts.figure(f"{_capital(name)}, {trials.shape[2]} trials", said,
                              payload.place(figure))  # fmt: skip
    note = parts.notes(str(caption.get("note", "")))
    title = f"<h3>Single trials{escape(_of(caption))}</h3>"
    return f'{title}<div class="grid pictures">{drawn}</div>{note}'


def _raster(results: RunResults, payload: Payload) -> str:
    raster = results.neural.raster
    if raster is None:
        return ""
    caption = _checked(results, "raster", {}, ("start", "bin"))
    given = caption.get("units") or []
    if given and len(given) != raster.shape[1]:
        _refuse(results, "raster", "units", raster.shape[1], len(given))
    names = [f"unit {u}" for u in given or range(raster.shape[1])]
    order = figures.population_order(raster[1])
    figure = figures.heat(raster, caption, names, by_row=True, order=order, y_label="neurons")
    length = raster.shape[2] * float(caption["bin"])
    figure["alt"] = f"{raster.shape[1]} neurons over {length:.1f} s, recorded and predicted."
    said = f"{raster.shape[1]} neurons, {length:.1f} s of test data, each on its own scale."
    note = parts.notes(str(caption.get("note", "")))
    drawn = parts.figure(f"The population{_of(caption)}", said, payload.place(figure))
    return f'<div class="pictures">{drawn}</div>{note}'


# ---- decoded behaviour


def decoding(results: RunResults, payload: Payload) -> Section | None:
    """Draw decoded variables over time, and the confusion of decoded classes."""
    content = ""
    table, caption = results.neural.decoded, _caption(results, "decoded")
    if table is not None and not table.empty:
        drawn = ""
        for (recording, target), group in table.groupby(["recording", "target"], sort=False):  # type: ignore
            unit = str(caption.get("units", {}).get(target, ""))
            figure = decoded_figure(group, unit, str(target))
            title = f"{target} ({unit})" if unit else str(target)
            said = ", ".join(
                part for part in (str(recording), str(caption.get("scores", {}).get(target, "")))
                if part
            )  # fmt: skip
            drawn += parts.figure(title, said, payload.place(figure))
        key = (
            '<ul class="key"><li><i style="background:var(--c0)"></i>true</li>'
            '<li><i style="background:var(--c1)"></i>decoded</li></ul>'
        )
        note = parts.notes(str(caption.get("note", "")))
        content += f'{key}<div class="pictures">{drawn}</div>{note}'
    table, caption = results.neural.confusion, _caption(results, "confusion")
    if table is not None and not table.empty:
        drawn, pooled = "", bool((table["recording"] == "").any())
        for (recording, target), group in table.groupby(["recording", "target"], sort=False):  # type: ignore
            figure = figures.confusion(group, caption.get("classes", {}).get(target), str(target))
            score = str(caption.get("scores", {}).get(target, ""))
            said = str(recording) if pooled and recording else score
            drawn += parts.figure(str(target), said, payload.place(figure))
        note = parts.notes(
            "Rows are true classes, columns decoded ones; the shade is the share of the row.",
            str(caption.get("note", "")),
        )
        content += f'<div class="grid">{drawn}</div>{note}'
    return Section("decoding", "Decoded behaviour", content) if content else None


# ---- captions


def _caption(results: RunResults, key: str) -> dict[str, Any]:
    value = results.captions.get(key) or {}
    if not isinstance(value, dict):
        raise DataError(
            f"{results.path / 'diagnostics' / 'figures.json'}: expected an object at {key!r}, "
            f"found {type(value).__name__}."
        )
    return value


def _checked(
    results: RunResults, key: str, lengths: Mapping[str, int], numbers: tuple[str, ...]
) -> dict[str, Any]:
    """Return a caption whose lists fit the array that it describes."""
    caption = _caption(results, key)
    for name in numbers:
        if not isinstance(caption.get(name), int | float):
            _refuse(results, key, name, "a number (s)", caption.get(name))
    for name, length in lengths.items():
        found = len(caption.get(name) or [])
        if found != length:
            _refuse(results, key, name, length, found)
    for name in ("scores", "regions"):
        found = len(caption.get(name) or [])
        if found not in (0, lengths.get("units", found)):
            _refuse(results, key, name, lengths["units"], found)
    return caption


def _refuse(results: RunResults, key: str, name: str, expected: Any, found: Any) -> None:
    wanted = f"{expected} entries" if isinstance(expected, int) else expected
    raise DataError(
        f"{results.path / 'diagnostics' / 'figures.json'}: {key}.{name}: expected {wanted}, as in "
        f"{key}.npy, found {found}. Write both again."
    )


def _of(caption: Mapping[str, Any]) -> str:
    return f", {caption['recording']}" if caption.get("recording") else ""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _scored(caption: Mapping[str, Any], unit: int) -> str:
    scores = caption.get("scores") or []
    value = _number(scores[unit]) if unit < len(scores) else float("nan")
    if not np.isfinite(value):
        return ""
    return f"{caption.get('score_name', 'score')} {figures.number(value)}."
