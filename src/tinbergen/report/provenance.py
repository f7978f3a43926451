"""Where the numbers come from: state, versions, hashes, splits, configuration, and the files."""

from __future__ import annotations

import base64
from html import escape
from typing import Any

from tinbergen.report.parts import Payload, Section, facts
from tinbergen.report.results import RunResults

_DOWNLOAD_BYTES = 400_000


def provenance(results: RunResults, payload: Payload) -> Section | None:
    """Show the state, versions, seed, hashes, splits and configuration, and the files."""
    parts = {k: v for k, v in results.status.items() if isinstance(v, dict)}
    state = {k: v for k, v in results.status.items() if k not in parts and k != "notes"}
    content = facts("State", state, is_open=True)
    for name, part in {**parts, "splits": _counted(results.splits)}.items():
        content += facts(name.capitalize(), part)
    if results.config:
        config = escape(results.config)
        content += f"<details><summary>Configuration</summary><pre>{config}</pre></details>"
    files = _downloads(results)
    content += f"<details open><summary>Files</summary>{files}</details>" if files else ""
    return Section("provenance", "Provenance and data", content) if content else None


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


_FILES = {
    "summary.json": "headline and scores",
    "scores.csv": "every score, a row a unit",
    "videos.csv": "videos and their damaged frames",
    "diagnostics/embedding_map.csv": "points of the embedding map",
    "diagnostics/clip.csv": "traces of the clip",
    "diagnostics/units.csv": "scores of every neuron and predictor",
    "diagnostics/nulls.csv": "draws of the null distributions",
    "diagnostics/decoded.csv": "true and decoded variables",
    "diagnostics/confusion.csv": "true and decoded classes",
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
