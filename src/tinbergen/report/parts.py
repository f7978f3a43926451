"""Pieces of HTML that the sections share; whatever a user wrote is escaped here."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinbergen.report.scores import number

if TYPE_CHECKING:
    import pandas as pd

TABLE_ROWS = 500

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
    """A part of the page: its anchor (and short name), its heading, and its content as HTML."""

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
    icon = (
        f'<svg width="14" height="14" viewBox="0 0 14 14" aria-hidden="true">{_ICONS[name]}</svg>'
    )
    return f'<span class="verdict {name}">{icon}{name.capitalize()}</span>'


def figure(title: str, caption: str, content: str) -> str:
    """Return a drawing under its title and caption."""
    said = f"<figcaption>{escape(caption)}</figcaption>"
    return f"<figure><h3>{escape(title)}</h3>{said}{content}</figure>"


def movie(path: Path, said: str) -> str:
    """Return an ``.mp4`` as part of the page, repeated without end; a note if it is gone.

    ``said`` describes it to those who cannot see it.
    """
    if not path.is_file():
        return notes(f"{path.name} is no longer there; evaluate again.")
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return (
        f'<video src="data:video/mp4;base64,{data}" aria-label="{escape(said)}" width="100%" '
        "controls autoplay loop muted playsinline></video>"
    )


def notes(*texts: str) -> str:
    """Return each text as a small paragraph; empty ones are left out."""
    return "".join(f'<p class="note">{escape(text)}</p>' for text in texts if text)


def table(data: pd.DataFrame, columns: list[str]) -> str:
    """Write a table that sorts on a click, at most 500 rows."""
    numeric = {name for name in columns if data[name].dtype.kind in "iuf"}
    head = "".join(heading(str(name), name in numeric) for name in columns)
    body = ""
    for row in data.head(TABLE_ROWS).to_dict("records"):
        cells = "".join(_cell(row[name], name in numeric) for name in columns)
        body += f"<tr>{cells}</tr>"
    more = len(data) - TABLE_ROWS
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Table">'
        f'<table class="sortable"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
        + (notes(f"{more} further rows are in the file.") if more > 0 else "")
    )


def heading(name: str, numeric: bool) -> str:
    """Return the head of a column; a click on it sorts."""
    kind = " class=number" if numeric else ""
    return f'<th{kind} scope="col"><button type="button">{escape(name)}</button></th>'


def _cell(value: Any, numeric: bool) -> str:
    if not numeric:
        return f"<td>{escape('' if value != value else str(value))}</td>"
    if math.isnan(value):
        return '<td class="number">–</td>'
    shown = f"{value:.0f}" if float(value).is_integer() else number(value)
    return f'<td class="number" data-value="{value}">{shown}</td>'


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


def facts(title: str, values: dict[str, Any], is_open: bool = False) -> str:
    """Return a block that opens, with a row a key; nested keys are joined."""
    rows = "".join(
        f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in _flatten(values).items() if v
    )
    if not rows:
        return ""
    opened = " open" if is_open else ""
    return (
        f"<details{opened}><summary>{escape(title)}</summary>"
        f'<dl class="properties">{rows}</dl></details>'
    )


def script_json(value: Any) -> str:
    """Write JSON that cannot end the script element it stands in."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
