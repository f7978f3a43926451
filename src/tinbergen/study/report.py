"""One offline page for a whole study: every step with its scores, and links to the runs' pages."""

from __future__ import annotations

import json
import os
from html import escape
from pathlib import Path
from urllib.parse import quote

from tinbergen.files import atomic_write
from tinbergen.report import parts
from tinbergen.report.page import html_page
from tinbergen.report.parts import Payload, Section
from tinbergen.report.results import read_results
from tinbergen.report.scores import Summary, number, with_unit
from tinbergen.report.sections import quality
from tinbergen.study.kinds import KINDS
from tinbergen.study.plan import Plan, Planned
from tinbergen.study.status import StepStatus, study_status

_COLUMNS = ("step", "kind", "state", "score", "value", "interval", "null", "best baseline", "s")


def write_study_report(plan: Plan) -> Path:
    """Write ``report.html`` into the folder of the results.

    It can be written at any time; steps that are not done stand there with their state. Links to
    the pages of the runs are relative, so the folder can be moved as a whole.

    Returns
    -------
    Path
        Of the page.
    """
    steps = study_status(plan)
    payload = Payload()
    sections = [
        Section("steps", "What came out", _table(plan, steps)),
        *(_section(plan.steps[each.name], each, plan.study.out) for each in steps),
        Section("study", "The study", f"<pre>{escape(plan.study.path.read_text('utf-8'))}</pre>"),
    ]
    path = plan.study.out / "report.html"
    with atomic_write(path) as file:
        file.write(html_page(plan.study.title, _header(plan, steps), sections, payload))
    return path


def _header(plan: Plan, steps: list[StepStatus]) -> str:
    done = [each for each in steps if each.state == "done"]
    facts = {
        "Steps": f"{len(done)} of {len(steps)} done",
        "Time": f"{number(sum(each.seconds or 0.0 for each in steps))} s",
        "Data": os.path.relpath(plan.study.data, plan.study.path.parent),
    }
    items = "".join(f"<div><dt>{k}</dt><dd>{escape(v)}</dd></div>" for k, v in facts.items())
    return f'<header><h1>{escape(plan.study.title)}</h1><dl class="facts">{items}</dl></header>'


def _table(plan: Plan, steps: list[StepStatus]) -> str:
    """Write a row a step: its headline beside its null and its best baseline."""
    head = "".join(parts.heading(name, name == "s") for name in _COLUMNS)
    body = ""
    for each in steps:
        link = f'<a href="#{each.name}">{escape(each.name)}</a>'
        cells = [link, escape(each.kind), escape(each.state), *_headline(plan.steps[each.name])]
        row = "".join(f"<td>{cell}</td>" for cell in cells)
        seconds = "" if each.seconds is None else f"{each.seconds:.0f}"
        body += f'<tr>{row}<td class="number" data-value="{seconds}">{seconds}</td></tr>'
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Steps">'
        f'<table class="sortable"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _headline(step: Planned) -> list[str]:
    summary = _summary(step)
    score = None if summary is None else summary.headline
    if score is None:
        return ["", "", "", "", ""]
    best = score.best_baseline()
    interval = "" if score.interval is None else " to ".join(map(number, score.interval))
    null = "" if score.null is None else f"{number(score.null)} ({score.null_name})"
    beside = "" if best is None or best.value is None else f"{number(best.value)} ({best.name})"
    value = "" if score.value is None else with_unit(score.value, score.unit)
    return [escape(text) for text in (score.name, value, interval, null, beside)]


def _summary(step: Planned) -> Summary | None:
    where = KINDS[step.step.kind].headline
    if where is None or not (step.folder / where / "summary.json").is_file():
        return None
    return read_results(step.folder / where).summary


def _section(step: Planned, status: StepStatus, out: Path) -> Section:
    pages = [(path / "report.html", "the page of this run") for path in step.written()]
    links = [
        f'<a href="{quote(path.relative_to(out).as_posix())}">{text}</a>'
        for path, text in [*pages, (status.log, "log")]
        if path.is_file()
    ]
    content = f"<p>{' · '.join([escape(status.state.capitalize()), *links])}</p>"
    content += parts.notes(status.note)
    where = KINDS[step.step.kind].headline
    if where is not None and (step.folder / where / "summary.json").is_file():
        found = quality(read_results(step.folder / where), Payload())
        content += "" if found is None else found.content
    if step.step.kind == "check" and status.state == "done":
        content += parts.notes(_checked(step.written()[0]))
    content += parts.facts("Settings", step.step.model_dump(exclude_defaults=True))
    content += parts.facts("What it took", status.done)
    return Section(step.name, f"{step.name} ({step.step.kind})", content)


def _checked(rows: Path) -> str:
    states = [row["state"] for row in json.loads(rows.read_text(encoding="utf-8"))["rows"]]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    return f"{len(states)} files: {counts}."
