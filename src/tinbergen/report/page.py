"""Write the page of a run: one file, offline, everything inside."""

from __future__ import annotations

import base64
import hashlib
import os
from html import escape
from importlib import resources
from pathlib import Path

from tinbergen import __version__
from tinbergen.files import atomic_write
from tinbergen.report.parts import Payload, Section, script_json
from tinbergen.report.results import RunResults, read_results
from tinbergen.report.scores import number
from tinbergen.report.sections import SECTIONS


def write_report(run: str | os.PathLike) -> Path:
    """Write ``report.html`` into a run folder, from the files that lie there.

    The page needs no network and no other file, and runs no script but its own. Writing it again
    replaces it.

    Parameters
    ----------
    run
        A run folder; :mod:`tinbergen.report` lists what is read.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    MissingFileError
        If there is no run at this path.
    DataError
        If a file of the run does not hold what it should.
    OutputError
        If the page cannot be written.
    """
    results = read_results(run)
    payload = Payload()
    sections = [section for build in SECTIONS if (section := build(results, payload)) is not None]
    title = results.summary.title or f"Run {results.path.resolve().name}"
    target = results.path / "report.html"
    with atomic_write(target) as file:
        file.write(html_page(title, _header(results, title), sections, payload))
    return target


def html_page(title: str, header: str, sections: list[Section], payload: Payload) -> str:
    """Return a page that needs no other file: navigation, header (HTML), sections, scripts."""
    style = _asset("page.css")
    script = "".join(map(_asset, ("charts.js", "neural.js", "page.js")))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    policy = (
        "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'"
    )
    links = "".join(
        f'<li><a href="#{s.anchor}">{s.anchor.capitalize()}</a></li>' for s in sections
    )
    body = "".join(
        f'<section id="{s.anchor}"><h2>{escape(s.title)}</h2>{s.content}</section>'
        for s in sections
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>{style}</style>
</head>
<body>
<nav aria-label="Sections"><div class="column"><ul>{links}</ul>
<button type="button" id="theme" title="Light or dark">Dark</button></div></nav>
<main class="column">
{header}
{body}
</main>
<footer class="column">Tinbergen {__version__}.
This page is one file; it loads nothing from elsewhere.</footer>
<div id="tip" role="status" hidden></div>
<script type="application/json" id="payload">{script_json(vars(payload))}</script>
<script>{script}</script>
</body>
</html>
"""


def _header(results: RunResults, title: str) -> str:
    status, summary = results.status, results.summary
    facts = {
        "State": status.get("state"),
        "Reason": status.get("reason"),
        "Seed": status.get("seed"),
        "Steps": max((row["step"] for row in results.metrics), default=None),
        "Time": None if summary.seconds is None else f"{number(summary.seconds)} s",
        "Run folder": results.path.resolve().name,
    }
    items = "".join(
        f"<div><dt>{name}</dt><dd>{escape(str(value))}</dd></div>"
        for name, value in facts.items()
        if value is not None
    )
    trained_on = (
        f'<p class="trained-on">{escape(summary.trained_on)}</p>' if summary.trained_on else ""
    )
    return f'<header><h1>{escape(title)}</h1>{trained_on}<dl class="facts">{items}</dl></header>'


def _asset(name: str) -> str:
    return resources.files("tinbergen.report").joinpath("assets", name).read_text(encoding="utf-8")
