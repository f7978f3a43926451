"""The sections of the page: each takes what lies in the run folder, or is left out."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from tinbergen.report import figures
from tinbergen.report.images import data_uri, shrink
from tinbergen.report.results import RunResults
from tinbergen.report.scores import RULE, Score, number

if TYPE_CHECKING:
    import pandas as pd

_TABLE_ROWS = 500
_EXAMPLES = 12
_EXAMPLE_SIZE = 256  # px
_DOWNLOAD_BYTES = 400_000

_ICONS = {
    "good": '<circle cx="7" cy="7" r="6" fill="currentColor"/>',
    "fair": '<circle cx="7" cy="7" r="5.2" fill="none" stroke="currentColor" stroke-width="1.6"/>'
    '<path d="M7 1.8a5.2 5.2 0 0 1 0 10.4z" fill="currentColor"/>',
    "poor": '<circle cx="7" cy="7" r="5.2" fill="none" stroke="currentColor" stroke-width="1.6"/>'
    '<path d="M4.6 4.6l4.8 4.8M9.4 4.6l-4.8 4.8" stroke="currentColor" stroke-width="1.6"/>',
    "unknown": '<circle cx="7" cy="7" r="5.2" fill="none" stroke="currentColor"'
    ' stroke-width="1.6" stroke-dasharray="2 2"/>',
}


@dataclass(frozen=True)
class Section:
    """A part of the page: its anchor, its heading, and its content as HTML."""

    anchor: str
    title: str
    content: str


@dataclass
class Payload:
    """What the page's scripts draw; :meth:`place` returns the place of a figure in the page."""

    figures: list[dict[str, Any]] = field(default_factory=list)
    map: dict[str, Any] | None = None
    clip: dict[str, Any] | None = None

    def place(self, figure: dict[str, Any]) -> str:
        """Add a figure and return the element it will be drawn in."""
        self.figures.append(figure)
        return f'<div data-figure="{len(self.figures) - 1}"></div>'


def verdict(name: str) -> str:
    """Return a verdict as shape, colour and word."""
    icon = f'<svg width="14" height="14" viewBox="0 0 14 14" aria-hidden="true">{_ICONS[name]}</svg>'
    return f'<span class="verdict {name}">{icon}{name.capitalize()}</span>'


def _figure(title: str, caption: str, content: str) -> str:
    said = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f"<figure><h3>{escape(title)}</h3>{said}{content}</figure>"


def _notes(*texts: str) -> str:
    return "".join(f'<p class="note">{escape(text)}</p>' for text in texts if text)


# ---- is it good?


def quality(results: RunResults, payload: Payload) -> Section | None:
    """State each score with its verdict, alarms first."""
    summary = results.summary
    alarms = "".join(
        f'<p class="alarm" role="alert"><strong>{escape(alarm.name)}.</strong> {escape(alarm.text)}</p>'
        for alarm in summary.alarms
        if alarm.raised
    )
    rows = "".join(
        f'<li{" class=headline" if score is summary.headline else ""}>{verdict(score.judge())}'
        f'<span class="what">{escape(score.name)}</span>'
        f'<span class="said">{escape(score.sentence())}</span></li>'
        for score in summary.all_scores()
    )
    quiet = [f"{a.name}: {a.text}" for a in summary.alarms if not a.raised]
    if not (rows or alarms or quiet or summary.notes):
        return None
    listing = f'<ul class="statements">{rows}</ul>{_notes(RULE)}' if rows else ""
    content = alarms + listing + _notes(*quiet, *summary.notes)
    return Section("quality", "Is it good?", content)


def scores(results: RunResults, payload: Payload) -> Section | None:
    """Draw each score beside its baselines and its null."""
    measured = [score for score in results.summary.all_scores() if score.value is not None]
    if not measured:
        return None
    drawn = "".join(
        _figure(score.name, _score_caption(score), payload.place(figures.bars(score)))
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
    return f"{score.method} {facts}{interval}".strip()


def units(results: RunResults, payload: Payload) -> Section | None:
    """Draw and list every row of ``scores.csv``, one figure a score."""
    table = results.scores
    if table is None or table.empty:
        return None
    drawn = ""
    for (score, kind), group in table.groupby(["score", "kind"], sort=False):
        if len(group) < 2:
            continue
        figure = figures.dots(group, str(score))
        shown, left_out = len(figure["rows"]), figure["left_out"]
        caption = f"The best {shown} of {shown + left_out}." if left_out else ""
        title = f"{score} by {kind}" if kind else str(score)
        drawn += _figure(title, caption, payload.place(figure))
    key = (
        '<ul class="key"><li><i class="dot"></i>this run, with interval</li>'
        '<li><i class="diamond"></i>null</li></ul>'
    )
    listing = _table(table, list(table.columns))
    content = (f'{key}<div class="grid wide">{drawn}</div>' if drawn else "") + (
        f"<details><summary>All {len(table)} rows</summary>{listing}</details>"
    )
    return Section("units", "Scores in detail", content)


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
            f'<img src="{data_uri(shrink(picture, _EXAMPLE_SIZE))}" alt="{escape(f"{name}, {said}")}">'
            for name, picture in zip(names, pictures, strict=True)
        )
        columns = f"grid-template-columns:repeat({len(names)},minmax(0,1fr))"
        cards += f'<div class="example" style="{columns}">{heads}{shown}<p>{escape(said)}</p></div>'
    content = f'<div class="examples">{cards}</div>{_notes(str(caption.get("note", "")))}'
    return Section("reconstructions", "Reconstructions", content)


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
    names = ["time", *(c for c in payload.map["columns"] if c != "time")]
    n, recordings = len(payload.map["x"]), len(payload.map["columns"]["recording"]["names"])
    drawn = ""
    for name in names:
        alt = f"Embedding map of {n} frames of {recordings} recordings, coloured by {name}."
        panel = {"kind": "map", "by": name, "alt": alt}
        unit = payload.map["columns"][name].get("unit")
        title = f"By {name}" + (f" ({unit})" if unit else "")
        drawn += _figure(title, "", payload.place(panel))
    method = str(caption.get("method", "Embedding in two dimensions"))
    lead = f"{method}; {n} frames of {recordings} recordings. Points marked together are one frame."
    content = (
        f'<p class="lead">{escape(lead)}</p><div class="grid wide">{drawn}</div>'
        f"{_notes(str(caption.get('note', '')))}"
    )
    return Section("embedding", "Embedding map", content)


def clip(results: RunResults, payload: Payload) -> Section | None:
    """Play a short clip beside its embedding."""
    if results.clip is None or results.clip_frames is None or results.clip.empty:
        return None
    caption = results.captions.get("clip", {})
    payload.clip = figures.clip(results.clip, results.clip_frames, caption)
    times, sheet = payload.clip["times"], payload.clip["sprite"]
    recording = str(caption.get("recording", "the recording"))
    names = ", ".join(trace["name"] for trace in payload.clip["traces"])
    alt = f"Traces of {names} from {times[0]:.2f} s to {times[-1]:.2f} s, with a cursor at the frame."
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
        f'<input type="range" min="0" max="{len(times) - 1}" value="0" aria-label="Time in the clip">'
        f"</div></div><figure>{traces}</figure></div>{_notes(str(caption.get('note', '')))}"
    )
    return Section("clip", "Clip with its embedding", content)


def training(results: RunResults, payload: Payload) -> Section | None:
    """Draw everything that was logged while training."""
    panels = figures.curve_panels(results.metrics)
    if not panels:
        return None
    shares = figures.step_time_shares(results.metrics)
    content = ""
    if any(len(panel["series"]) > 1 for panel in panels):
        content = (
            '<ul class="key"><li><i style="background:var(--c0)"></i>training</li>'
            '<li><i style="background:var(--c1)"></i>validation</li></ul>'
        )
    drawn = "".join(_figure(panel["title"], "", payload.place(panel)) for panel in panels)
    if shares is not None:
        drawn += _figure("Where a step's time goes", "Median of the logged steps.", payload.place(shares))
    return Section("training", "Training", f'{content}<div class="grid">{drawn}</div>')


# ---- tables


def videos(results: RunResults, payload: Payload) -> Section | None:
    """List the videos, and where their damaged frames are."""
    table = results.videos
    if table is None or table.empty:
        return None
    bad = (table["corrupt"].fillna(0) + table["missing"].fillna(0)) > 0
    n_bad, n_frames = int((table["corrupt"] + table["missing"]).sum()), int(table["n_frames"].sum())
    said = (
        f"{int(bad.sum())} of {len(table)} videos hold damaged frames: {n_bad} of {n_frames} frames "
        "could not be decoded or are missing; their rows in the embedding are NaN with a status."
        if n_bad
        else f"Every frame of the {len(table)} videos could be decoded ({n_frames} frames)."
    )
    shown = ["recording", "video", "n_frames", "corrupt", "missing", "where", "duration", "fps", "size"]
    rows = table.assign(damaged=bad).sort_values("damaged", ascending=False, kind="stable")
    body = "".join(_video_row(row) for row in rows.head(_TABLE_ROWS).to_dict("records"))
    heads = ["recording", "video", "frames", "corrupt", "missing", "where", "duration (s)", "fps (Hz)", "size (px)"]
    numeric = {"n_frames", "corrupt", "missing", "duration", "fps"}
    head = "".join(
        f'<th{" class=number" if column in numeric else ""} scope="col"><button>{title}</button></th>'
        for column, title in zip(shown, heads, strict=True)
    )
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
        f'<tr{" class=damaged" if row["damaged"] else ""}><td>{escape(row["recording"])}</td>'
        f"<td>{escape(row['video'])}</td>{cell(row['n_frames'])}{cell(row['corrupt'])}"
        f'{cell(row["missing"])}<td class="where">{where}</td>{cell(row["duration"], 2)}'
        f"{cell(row['fps'], 2)}<td>{size}</td></tr>"
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


def _table(table: pd.DataFrame, columns: list[str]) -> str:
    """Write a table that sorts on a click, at most 500 rows."""
    numeric = {name for name in columns if table[name].dtype.kind in "iuf"}
    head = "".join(
        f'<th{" class=number" if name in numeric else ""} scope="col"><button>{escape(str(name))}'
        "</button></th>"
        for name in columns
    )
    body = ""
    for row in table.head(_TABLE_ROWS).to_dict("records"):
        cells = "".join(_cell(row[name], name in numeric) for name in columns)
        body += f"<tr>{cells}</tr>"
    more = len(table) - _TABLE_ROWS
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Table"><table class="sortable">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        + (_notes(f"{more} further rows are in the file.") if more > 0 else "")
    )


def _cell(value: Any, numeric: bool) -> str:
    if not numeric:
        return f"<td>{escape('' if value != value else str(value))}</td>"
    if math.isnan(value):
        return '<td class="number">–</td>'
    shown = f"{value:.0f}" if float(value).is_integer() else number(value)
    return f'<td class="number" data-value="{value}">{shown}</td>'


# ---- provenance


def provenance(results: RunResults, payload: Payload) -> Section | None:
    """Show the state, versions, seed, hashes, splits and configuration, and the files."""
    facts = _properties(_flatten(results.status))
    splits = _properties(_flatten(_counted(results.splits)))
    content = f"<details open><summary>State and versions</summary>{facts}</details>" if facts else ""
    if splits:
        content += f"<details><summary>Splits</summary>{splits}</details>"
    if results.config:
        config = escape(results.config)
        content += f"<details><summary>Configuration</summary><pre>{config}</pre></details>"
    files = _downloads(results)
    content += f"<details open><summary>Files</summary>{files}</details>" if files else ""
    return Section("provenance", "Provenance and data", content) if content else None


def _flatten(value: dict[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, dict):
            flat |= _flatten(item, f"{name} › ")
        elif isinstance(item, list):
            flat[name] = ", ".join(str(part) for part in item)
        else:
            flat[name] = "–" if item is None else str(item)
    return flat


def _counted(splits: dict[str, Any]) -> dict[str, Any]:
    """Shorten long lists of a split to their length and first names."""
    shown = {}
    for key, item in splits.items():
        if isinstance(item, dict):
            shown[key] = _counted(item)
        elif isinstance(item, list) and len(item) > 12:
            shown[key] = f"{len(item)}: {', '.join(str(part) for part in item[:12])}, …"
        else:
            shown[key] = item
    return shown


def _properties(facts: dict[str, str]) -> str:
    rows = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts.items() if v)
    return f'<dl class="properties">{rows}</dl>' if rows else ""


_FILES = {
    "summary.json": "headline and scores",
    "scores.csv": "every score, a row a unit",
    "videos.csv": "videos and their damaged frames",
    "diagnostics/embedding_map.csv": "points of the embedding map",
    "diagnostics/clip.csv": "traces of the clip",
    "metrics.jsonl": "training curves",
    "splits.json": "which recordings were used for what",
    "status.json": "state, versions, hashes",
    "config.yaml": "the resolved configuration",
}


def _downloads(results: RunResults) -> str:
    """Offer the tables behind the figures; what is large stays in the run folder."""
    rows = ""
    for name, meaning in _FILES.items():
        path = results.path / name
        if not path.is_file():
            continue
        size = path.stat().st_size
        kind = "text/csv" if path.suffix == ".csv" else "text/plain"
        if size <= _DOWNLOAD_BYTES:
            coded = base64.b64encode(path.read_bytes()).decode("ascii")
            link = f'<a download="{path.name}" href="data:{kind};base64,{coded}">{path.name}</a>'
        else:
            link = f"{name} in the run folder"
        rows += f"<li>{link} <small>{meaning}, {size / 1000:.1f} kB</small></li>"
    return f'<ul class="downloads">{rows}</ul>' if rows else ""


SECTIONS: tuple[Callable[[RunResults, Payload], Section | None], ...] = (
    quality,
    scores,
    clip,
    embedding_map,
    reconstructions,
    units,
    training,
    videos,
    provenance,
)


def script_json(value: Any) -> str:
    """Write JSON that cannot end the script element it stands in."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
