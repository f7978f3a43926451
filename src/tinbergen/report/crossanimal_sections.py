"""The sections of a run across animals: actions, whose frames they are, and like poses."""

from __future__ import annotations

import math
from html import escape
from typing import Any

import pandas as pd

from tinbergen.report import parts
from tinbergen.report.parts import Payload, Section
from tinbergen.report.results import RunResults
from tinbergen.report.scores import number

_PROTOCOLS = {
    "single": "within an animal",
    "leave-one-out": "the others teach",
    "strict": "unseen in training",
}
_FAR = 2.0


def actions(results: RunResults, payload: Payload) -> Section | None:
    """List balanced accuracy of each method, within and across animals, by share of labels."""
    table: Any = results.across.actions
    if table is None or table.empty:
        return None
    columns = [
        (protocol, fraction)
        for protocol in _PROTOCOLS
        for fraction in sorted(table.loc[table["protocol"] == protocol, "fraction"].unique())
    ]
    groups = {p: [f for q, f in columns if q == p] for p, _ in columns}
    top = "".join(
        f'<th colspan="{len(shares)}" scope="colgroup">{escape(protocol)}<br>'
        f"{_PROTOCOLS[protocol]}</th>"
        for protocol, shares in groups.items()
    )
    head = "".join(
        f'<th scope="col">{100 * fraction:g} % of labels</th>' for _, fraction in columns
    )
    found = table.set_index(["method", "protocol", "fraction"])
    chance = "".join(_chance(table, *column) for column in columns)
    best = {
        column: table[(table["protocol"] == column[0]) & (table["fraction"] == column[1])][
            "balanced_accuracy"
        ].max()
        for column in columns
    }
    body = f'<tr><th scope="row">chance</th>{chance}</tr>'
    for method in table["method"].unique():
        cells = "".join(_score(found, (method, *column), best[column]) for column in columns)
        body += f'<tr><th scope="row">{escape(str(method))}</th>{cells}</tr>'
    animals = int(table["n_animals"].max())
    lead = (
        f"Balanced accuracy, %; means over {animals} animals with 95 % intervals; the best of a "
        "column is bold. Grey: the same probe taught wrong labels (rolled in time, shuffled)."
    )
    rows = f"<tr><td></td>{top}</tr><tr><td></td>{head}</tr>"
    content = _table("Actions", lead, rows, body)
    return Section("across", "Actions within and across animals", content)


def identity(results: RunResults, payload: Payload) -> Section | None:
    """List how often a probe tells the animal; the less the better."""
    table: Any = results.across.identity
    if table is None or table.empty:
        return None
    columns = list(dict.fromkeys(zip(table["space"], table["probe"], strict=True)))
    spaces = {space: [p for s, p in columns if s == space] for space, _ in columns}
    top = "".join(
        f'<th colspan="{len(probes)}" scope="colgroup">probes of {escape(str(space))}</th>'
        for space, probes in spaces.items()
    )
    head = "".join(f'<th scope="col">{escape(str(probe))}</th>' for _, probe in columns)
    found = table.set_index(["method", "space", "probe"])
    body = ""
    for method in table["method"].unique():
        cells = ""
        for column in columns:
            key = (method, *column)
            row = found.loc[key] if key in found.index else None
            cells += (
                '<td class="number">–</td>'
                if row is None
                else f'<td class="number">{100 * row["accuracy"]:.1f}<br>'
                f"{_interval(row['low'], row['high'])}</td>"
            )
        body += f'<tr><th scope="row">{escape(str(method))}</th>{cells}</tr>'
    chance = 100 * float(table["chance"].iloc[0])
    lead = (
        f"Share of test frames whose animal is told, %; chance, {chance:.1f} %, or less is the "
        "ideal. Trust the distant probes, which know of each animal only the half of its training "
        "frames that lie farthest in time from its test: the others also tell the minute of a "
        "recording, as slow drifts differ between animals."
    )
    content = _table("Identity", lead, f"<tr><td></td>{top}</tr><tr><td></td>{head}</tr>", body)
    return Section("identity", "Which animal", content)


def _table(label: str, lead: str, head: str, body: str) -> str:
    return (
        f'<p class="lead">{lead}</p><div class="scroll" tabindex="0" role="region" '
        f'aria-label="{label}"><table class="tasks"><thead>{head}</thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def neighbours(results: RunResults, payload: Payload) -> Section | None:
    """List how far like poses of other animals are, against those of the same animal."""
    table: Any = results.across.neighbours
    if table is None or table.empty:
        return None
    table = table.assign(ratio=table["cross"] / table["within"].clip(lower=1e-12))
    ratio = float(table["ratio"].median())
    said = (
        "swapped poses are other poses, or tell whose they are"
        if ratio >= _FAR
        else "swapped poses are like those they replace"
    )
    lead = (
        f"The nearest pose of another animal is {number(ratio)} times as far away as the nearest "
        f"of the same animal (median over animals): {said}."
    )
    named = table.rename(columns={"cross": "to another animal", "within": "to the same animal"})
    columns = ["animal", "to another animal", "to the same animal", "ratio"]
    content = f'<p class="lead">{escape(lead)}</p>{parts.table(named, columns)}'
    return Section("neighbours", "Like poses of other animals", content)


def _chance(table: pd.DataFrame, protocol: str, fraction: float) -> str:
    rows = table[(table["protocol"] == protocol) & (table["fraction"] == fraction)]
    return f'<td class="number">{100 * rows["chance"].mean():.1f}</td>'


def _score(found: Any, key: tuple, best: float) -> str:
    if key not in found.index or math.isnan(found.loc[key]["balanced_accuracy"]):
        return '<td class="number">–</td>'
    row = found.loc[key]
    value = f"{100 * row['balanced_accuracy']:.1f}"
    value = f"<strong>{value}</strong>" if row["balanced_accuracy"] == best else value
    wrong = [
        row[name] for name in ("rolled", "shuffled") if name in row and row[name] == row[name]
    ]
    null = f"<small>{' / '.join(f'{100 * each:.0f}' for each in wrong)}</small>" if wrong else ""
    return f'<td class="number">{value}<br>{_interval(row["low"], row["high"])}{null}</td>'


def _interval(low: float, high: float) -> str:
    return "" if math.isnan(low) else f"{100 * low:.0f} to {100 * high:.0f}"
