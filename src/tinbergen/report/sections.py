"""The sections of the page: each takes what lies in the run folder, or is left out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from html import escape
from typing import Any

import numpy as np

from tinbergen.metrics.score import Score
from tinbergen.report import (
    behaviour_sections,
    crossanimal_sections,
    figures,
    neural_sections,
    parts,
    population_sections,
)
from tinbergen.report.images import data_uri, shrink
from tinbergen.report.parts import Payload, Section
from tinbergen.report.provenance import provenance
from tinbergen.report.results import RunResults
from tinbergen.report.scores import RULE, number, sentence

_EXAMPLES = 12
_EXAMPLE_SIZE = 256  # px

# ---- is it good?


def quality(results: RunResults, payload: Payload) -> Section | None:
    """State each score with its verdict, alarms first, caveats and warnings last."""
    summary = results.summary
    alarms = "".join(
        f'<p class="alarm" role="alert"><strong>{escape(alarm.name)}.</strong> '
        f"{escape(alarm.text)}</p>"
        for alarm in summary.alarms
        if alarm.raised
    )
    rows = "".join(
        f"<li{' class=headline' if score is summary.headline else ''}>"
        f'{parts.verdict(score.judge())}<span class="what">{escape(score.name)}</span>'
        f'<span class="said">{escape(sentence(score))}</span></li>'
        for score in summary.all_scores()
    )
    quiet = [f"{a.name}: {a.text}" for a in summary.alarms if not a.raised]
    warnings = [str(text) for text in results.status.get("notes") or []]
    if not (rows or alarms or quiet or summary.notes or warnings):
        return None
    listing = f'<ul class="statements">{rows}</ul>{parts.notes(RULE)}' if rows else ""
    content = alarms + listing + parts.notes(*quiet, *summary.notes, *warnings)
    return Section("quality", "Is it good?", content)


def scores(results: RunResults, payload: Payload) -> Section | None:
    """Draw each score beside its baselines and its null."""
    measured = [score for score in results.summary.all_scores() if score.value is not None]
    if not measured:
        return None
    drawn = "".join(
        parts.figure(score.name, _score_caption(score), payload.place(figures.bars(score)))
        for score in measured
    )
    content = (
        '<p class="lead">Whiskers are intervals; the dashed line is what a model without any '
        f'information would score.</p><div class="grid">{drawn}</div>'
    )
    return Section("scores", "Scores and baselines", content)


def _score_caption(score: Score) -> str:
    counted = f"n = {score.n} {score.n_name}".strip() if score.n else ""
    said = [f"{score.direction.capitalize()} is better", counted, score.split]
    facts = ", ".join(part for part in said if part) + "."
    interval = f" {score.interval_name}." if score.interval else ""
    method = f"{score.method.rstrip('.')}. " if score.method else ""
    return f"{method}{facts}{interval}"


def details(results: RunResults, payload: Payload) -> Section | None:
    """Draw and list every row of ``scores.csv``, one figure a score."""
    table = results.scores
    if table is None or table.empty:
        return None
    drawn = ""
    own = table
    if "features" in table:  # the first are the run's own, the others are for the table
        own = table[table["features"] == table["features"].iloc[0]]
    for (score, kind), group in own.groupby(["score", "kind"], sort=False):  # type: ignore
        if len(group) < 2:
            continue
        figure = figures.dots(group, str(score))
        shown, left_out = len(figure["rows"]), figure["left_out"]
        caption = f"The best {shown} of {shown + left_out}." if left_out else ""
        title = f"{score} by {kind}" if kind else str(score)
        drawn += parts.figure(title, caption, payload.place(figure))
    key = (
        '<ul class="key"><li><i class="dot"></i>this run, with interval</li>'
        '<li><i class="diamond"></i>null</li></ul>'
    )
    listing = parts.table(table, list(table.columns))
    content = (f'{key}<div class="grid wide">{drawn}</div>' if drawn else "") + (
        f"<details><summary>All {len(table)} rows</summary>{listing}</details>"
    )
    return Section("details", "Scores in detail", content)


# ---- figures


def reconstructions(results: RunResults, payload: Payload) -> Section | None:
    """Show example frames beside their masked and reconstructed versions."""
    images = results.reconstructions
    if images is None:
        return None
    caption = results.captions.get("reconstructions", {})
    defaults = ["frame", "masked input", "reconstruction", "error"]
    names = [str(c) for c in caption.get("columns", defaults)][: images.shape[1]]
    names += [f"column {i + 1}" for i in range(len(names), images.shape[1])]
    rows = list(caption.get("rows", []))[: len(images)]
    rows += [{}] * (len(images) - len(rows))
    cards = ""
    for row, pictures in list(zip(rows, images, strict=True))[:_EXAMPLES]:
        said = _example_caption(row, str(caption.get("error_name", "error")))
        heads = "".join(f"<span>{escape(name)}</span>" for name in names)
        shown = "".join(
            f'<img src="{data_uri(shrink(picture, _EXAMPLE_SIZE))}" '
            f'alt="{escape(f"{name}, {said}")}">'
            for name, picture in zip(names, pictures, strict=True)
        )
        columns = f"grid-template-columns:repeat({len(names)},minmax(0,1fr))"
        cards += (
            f'<div class="example" style="{columns}">{heads}{shown}<p>{escape(said)}</p></div>'
        )
    content = f'<div class="examples">{cards}</div>{parts.notes(str(caption.get("note", "")))}'
    title = str(caption.get("title", "Reconstructions"))
    return Section("reconstructions", title, content)


def _example_caption(row: dict[str, Any], error_name: str) -> str:
    parts = [str(row[key]) for key in ("recording",) if row.get(key)]
    if isinstance(row.get("time"), int | float):
        parts.append(f"{row['time']:.2f} s")
    if row.get("split"):
        parts.append(str(row["split"]))
    if isinstance(row.get("error"), int | float):
        parts.append(f"{error_name} {number(row['error'])}")
    return ", ".join(parts) or "example frame"


def embedding_map(results: RunResults, payload: Payload) -> Section | None:
    """Draw the embedding coloured by time, by recording and by whatever else is known."""
    table = results.embedding_map
    if table is None or table.empty:
        return None
    caption = results.captions.get("embedding_map", {})
    payload.map = figures.embedding_map(table, caption)
    timed = bool(np.isfinite(table["time"].to_numpy(float)).any())
    names = [*(["time"] if timed else []), *(c for c in payload.map["columns"] if c != "time")]
    n, recordings = len(payload.map["x"]), len(payload.map["columns"]["recording"]["names"])
    nouns = f"{caption.get('noun', 'frame')}s"
    drawn = ""
    for name in names:
        alt = f"Embedding map of {n} {nouns} of {recordings} recordings, coloured by {name}."
        panel = {"kind": "map", "by": name, "alt": alt}
        unit = payload.map["columns"][name].get("unit")
        title = f"By {name}" + (f" ({unit})" if unit else "")
        drawn += parts.figure(title, "", payload.place(panel))
    method = str(caption.get("method", "Embedding in two dimensions"))
    lead = (
        f"{method}; {n} {nouns} of {recordings} recordings. "
        f"The ring marks one {nouns[:-1]} in each panel."
    )
    content = (
        f'<p class="lead">{escape(lead)}</p><div class="grid wide">{drawn}</div>'
        f"{parts.notes(str(caption.get('note', '')))}"
    )
    return Section("embedding", "Embedding map", content)


def clip(results: RunResults, payload: Payload) -> Section | None:
    """Play a short clip beside its embedding."""
    if results.clip is None or results.clip_frames is None or results.clip.empty:
        return None
    caption = results.captions.get("clip", {})
    known = payload.map["columns"] if payload.map else {}
    payload.clip = figures.clip(results.clip, results.clip_frames, caption, known)
    times, sheet = payload.clip["times"], payload.clip["sprite"]
    recording = str(caption.get("recording", "the recording"))
    names = ", ".join(trace["name"] for trace in payload.clip["traces"])
    alt = (
        f"Traces of {names} from {times[0]:.2f} s to {times[-1]:.2f} s; a cursor marks the frame."
    )
    traces = payload.place({"kind": "traces", "alt": alt})
    content = (
        f'<p class="lead">{escape(recording)}, {times[0]:.2f} to {times[-1]:.2f} s. '
        "Click in the traces to go to a time.</p>"
        '<div id="clip-player"><div>'
        f'<canvas width="{sheet["width"]}" height="{sheet["height"]}" role="img" '
        f'aria-label="{escape(f"Frames of {recording}")}"></canvas>'
        '<div class="controls"><button type="button" class="play">▶ Play</button>'
        '<label>Speed <select><option value="0.25">¼ ×</option><option value="0.5">½ ×</option>'
        '<option value="1" selected>1 ×</option><option value="2">2 ×</option></select></label>'
        f"<output>{times[0]:.2f} s</output>"
        f'<input type="range" min="0" max="{len(times) - 1}" value="0" '
        'aria-label="Time in the clip">'
        f"</div></div><figure>{traces}</figure></div>{parts.notes(str(caption.get('note', '')))}"
    )
    return Section("clip", "Clip with its embedding", content)


def training(results: RunResults, payload: Payload) -> Section | None:
    """Draw everything that was logged while training."""
    panels = figures.curve_panels(results.metrics)
    if not panels:
        return None
    shares = figures.step_time_shares(results.metrics)
    names = {series["name"] for panel in panels for series in panel["series"]}
    lines = {"training": 0, "validation": 1, "chance": 7}
    key = "".join(
        f'<li><i style="background:var(--c{colour})"></i>{line}</li>'
        for line, colour in lines.items()
        if any(name.startswith(line) for name in names)
    )
    drawn = "".join(parts.figure(panel["title"], "", payload.place(panel)) for panel in panels)
    if shares is not None:
        drawn += parts.figure(
            "Where a step's time goes", "Median of the logged steps.", payload.place(shares)
        )
    return Section(
        "training", "Training", f'<ul class="key">{key}</ul><div class="grid">{drawn}</div>'
    )


# ---- tables


def videos(results: RunResults, payload: Payload) -> Section | None:
    """List the videos, and where their damaged frames are."""
    table = results.videos
    if table is None or table.empty:
        return None
    lost = table[["corrupt", "missing"]].sum(axis=1).to_numpy()
    unused = table["n_frames"].to_numpy() == 0
    bad, n_bad, n_frames = lost > 0, int(lost.sum()), int(np.nansum(table["n_frames"]))
    said = (
        f"{bad.sum()} of {len(table)} videos hold damaged frames: {n_bad} of {n_frames} frames "
        "could not be decoded or are missing; their rows in the embedding are NaN with a status."
        if n_bad
        else f"Every frame of {len(table) - unused.sum()} videos could be decoded ({n_frames} "
        "frames)."
    )
    if unused.any():
        said += f" {unused.sum()} could not be used at all."
    rows = table.assign(damaged=bad | unused).sort_values(
        "damaged", ascending=False, kind="stable"
    )
    body = "".join(_video_row(row) for row in rows.head(parts.TABLE_ROWS).to_dict("records"))
    names = ["recording", "damaged where"]
    counts = ["frames", "corrupt", "missing", "duration (s)", "rate (Hz)"]
    head = "".join(parts.heading(name, name in counts) for name in [*names, *counts, "size (px)"])
    content = (
        f'<p class="lead">{escape(said)}</p><div class="scroll" tabindex="0" role="region" '
        f'aria-label="Videos"><table class="sortable"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
    return Section("videos", "Videos", content)


def _video_row(row: dict[str, Any]) -> str:
    def cell(value: float, digits: int = 0) -> str:
        text = "–" if math.isnan(value) else f"{value:.{digits}f}"
        return f'<td class="number">{text}</td>'

    where = _damage_strip(row) if row["damaged"] else ""
    if row["message"]:
        where += f"<div>{escape(row['message'])}</div>"
    size = "" if math.isnan(row["width"]) else f"{row['width']:.0f} × {row['height']:.0f}"
    return (
        f"<tr{' class=damaged' if row['damaged'] else ''}><td>{escape(row['recording'])}"
        f'<small>{escape(row["video"])}</small></td><td class="where">{where}</td>'
        f"{cell(row['n_frames'])}{cell(row['corrupt'])}{cell(row['missing'])}"
        f"{cell(row['duration'], 2)}{cell(row['fps'], 2)}<td>{size}</td></tr>"
    )


def _damage_strip(row: dict[str, Any]) -> str:
    """Mark the damaged ranges over the length of the video, and write them out."""
    marks = ""
    for start, stop in _ranges(row["damaged_times"]):
        if row["duration"] > 0:
            left, width = 100 * start / row["duration"], 100 * (stop - start) / row["duration"]
            marks += f'<rect x="{min(left, 98.5):.2f}" width="{max(width, 1.5):.2f}" height="12"/>'
    frames = ", ".join(part.strip() for part in row["damaged_frames"].split(";") if part.strip())
    frames = frames if len(frames) <= 160 else frames[:160] + " …"
    strip = (
        f'<svg class="strip" viewBox="0 0 100 12" preserveAspectRatio="none" role="img" '
        f'aria-label="Damaged frames over the length of the video">{marks}</svg>'
    )
    return strip + (f"frames {escape(frames)}" if frames else "")


def _ranges(text: str) -> Iterable[tuple[float, float]]:
    """Parse ``0.4-0.5;2.9-2.9``; what is no range is left out.

    Examples
    --------
    >>> list(_ranges("0.4-0.5;2.9-2.9"))
    [(0.4, 0.5), (2.9, 2.9)]
    """
    for part in text.split(";"):
        start, _, stop = part.strip().partition("-")
        try:
            yield float(start), float(stop or start)
        except ValueError:
            continue


SECTIONS: tuple[Callable[[RunResults, Payload], Section | None], ...] = (
    quality,
    scores,
    crossanimal_sections.actions,
    crossanimal_sections.identity,
    crossanimal_sections.neighbours,
    population_sections.tasks,
    population_sections.scaling,
    population_sections.transfer,
    neural_sections.nulls,
    neural_sections.neurons,
    neural_sections.rates,
    behaviour_sections.ethograms,
    behaviour_sections.movies,
    behaviour_sections.certainty,
    behaviour_sections.bouts,
    behaviour_sections.label_density,
    neural_sections.decoding,
    embedding_map,
    clip,
    reconstructions,
    details,
    training,
    videos,
    provenance,
)
