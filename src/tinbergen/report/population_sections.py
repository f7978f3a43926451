"""The sections of a run that answers many questions: all methods in a table; region to region."""

from __future__ import annotations

import math
from html import escape
from typing import Any

import numpy as np

from tinbergen.report import parts
from tinbergen.report.parts import Payload, Section
from tinbergen.report.results import RunResults
from tinbergen.report.scores import number

_HEADS = ("method", "score", "95 % interval", "pooled", "against test mean", "n")
_COMPARED = ("difference", "95 % interval", "p (sign flips over)")
_REGIONS = 30


def tasks(results: RunResults, payload: Payload) -> Section | None:
    """List every question with all methods, and how the first differs from the others."""
    table = results.tasks
    if table is None or table.empty:
        return None
    own = str(table["method"].iloc[0])
    head = "".join(f'<th scope="col">{name}</th>' for name in (*_HEADS, *_COMPARED))
    body = ""
    for title, rows in table.groupby("score", sort=False):
        unit = str(rows["unit"].iloc[0])
        name = f"{title} ({unit})" if unit else str(title)
        columns = len(_HEADS) + len(_COMPARED)
        body += f'<tr><th colspan="{columns}" scope="rowgroup">{escape(name)}</th></tr>'
        best = rows["mean"].max()
        body += "".join(_row(row, row["mean"] == best) for row in rows.to_dict("records"))
    lead = (
        f"The same windows for all methods; the best of each question is bold. Differences are "
        f"{own} less the method."
    )
    content = (
        f'<p class="lead">{escape(lead)}</p><div class="scroll" tabindex="0" role="region" '
        f'aria-label="All questions and methods"><table class="tasks"><thead><tr>{head}</tr>'
        f"</thead><tbody>{body}</tbody></table></div>{_note(results, 'tasks')}"
    )
    return Section("tasks", "All questions and methods", content)


def _row(row: dict[str, Any], best: bool) -> str:
    name = escape(str(row["method"]))
    p = "" if math.isnan(row["p"]) else f"{number(row['p'])} ({row['flipped']})"
    cells = [
        number(row["mean"]),
        _interval(row["low"], row["high"]),
        number(row.get("pooled", math.nan)),
        number(row.get("against_test_mean", math.nan)),
        f"{row['n']:.0f}",
        number(row["difference"]),
        _interval(row["difference_low"], row["difference_high"]),
        p,
    ]
    drawn = "".join(f'<td class="number">{escape(cell)}</td>' for cell in cells)
    return f"<tr><td>{f'<strong>{name}</strong>' if best else name}</td>{drawn}</tr>"


def _interval(low: float, high: float) -> str:
    return "" if math.isnan(low) else f"{number(low)} to {number(high)}"


def scaling(results: RunResults, payload: Payload) -> Section | None:
    """Show each score against the number of animals that a model was trained on before."""
    lineage, table = results.lineage, results.tasks
    if lineage is None or table is None or lineage.empty or table.empty:
        return None
    models = lineage.sort_values(["animals", "sessions"], kind="stable").to_dict("records")
    head = "".join(
        f'<th scope="col">{escape(str(m["method"]))}<br>{_animals(m["animals"], m["sessions"])}'
        "</th>"
        for m in models
    )
    body = ""
    for title, rows in table.groupby("score", sort=False):
        rows = rows.drop_duplicates("method").set_index("method")
        found = [rows.loc[m["method"]] if m["method"] in rows.index else None for m in models]
        if sum(row is not None for row in found) < 2:
            continue
        best = max(row["mean"] for row in found if row is not None)
        cells = "".join(_score(row, best) for row in found)
        body += f'<tr><th scope="row">{escape(str(title))}</th>{cells}</tr>'
    if not body:
        return None
    lead = "Mean and 95 % interval; the best of a row is bold. Tests are in the table above."
    content = (
        f'<p class="lead">{lead}</p><div class="scroll" tabindex="0" role="region" '
        f'aria-label="Animals before"><table class="tasks"><thead><tr><td></td>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
    return Section("scaling", "After how many animals", content)


def _animals(animals: float, sessions: float) -> str:
    if not sessions:
        return "no other animal"
    plural = "" if animals == 1 else "s"
    return f"{animals:.0f} animal{plural}, {sessions:.0f} session{'' if sessions == 1 else 's'}"


def _score(row: Any, best: float) -> str:
    if row is None or math.isnan(row["mean"]):
        return '<td class="number">–</td>'
    value = number(row["mean"])
    value = f"<strong>{value}</strong>" if row["mean"] == best else value
    return f'<td class="number">{value}<br>{escape(_interval(row["low"], row["high"]))}</td>'


def transfer(results: RunResults, payload: Payload) -> Section | None:
    """Show how well each region is predicted from each other one: a matrix with its values."""
    table = results.transfer
    if table is None or table.empty:
        return None
    caption = results.captions.get("transfer", {})
    weighed: Any = table.assign(total=table["value"] * table["n"])
    sums = weighed.groupby(["source", "target"])[["total", "n"]].sum()
    values = (sums["total"] / sums["n"]).unstack("target")
    numbers = sums["n"].unstack("target")
    units = numbers.max(axis=0).sort_values(ascending=False)
    names = sorted(units.index[:_REGIONS])
    values, numbers = values.reindex(names, columns=names), numbers.reindex(names, columns=names)
    most = np.nanmax(np.abs(values.to_numpy()), initial=1e-9)
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    body = ""
    for source in names:
        cells = "".join(
            _cell(values.loc[source, target], numbers.loc[source, target], most,
                  f"{target} from {source}") for target in names
        )  # fmt: skip
        body += f'<tr><th scope="row">{escape(source)}</th>{cells}</tr>'
    recordings = len(set(table["recording"]))
    lead = (
        f"Rows are the region that is seen, columns the one that is predicted, in "
        f"{caption.get('unit', '')}; {recordings} recording{'s' if recordings > 1 else ''}."
    )
    left_out = len(units) - len(names)
    more = f" The {left_out} smallest regions are left out." if left_out else ""
    content = (
        f'<p class="lead">{escape(lead + more)}</p><div class="scroll" tabindex="0" role="region" '
        f'aria-label="Region by region"><table class="matrix"><thead><tr><td></td>{head}</tr>'
        f"</thead><tbody>{body}</tbody></table></div>{_note(results, 'transfer')}"
    )
    return Section("transfer", "Region by region", content)


def _cell(value: Any, n: Any, most: float, what: str) -> str:
    if not math.isfinite(value):
        return '<td class="number" title="not in one recording">–</td>'
    colour = "--c0" if value >= 0 else "--c1"
    share = round(75 * abs(value) / most)
    style = f"background:color-mix(in srgb, var({colour}) {share}%, transparent)"
    said = f"{what}: {number(value)}, {n:.0f} units"
    return f'<td class="number" style="{style}" title="{escape(said)}">{value:.2f}</td>'


def _note(results: RunResults, key: str) -> str:
    return parts.notes(str(results.captions.get(key, {}).get("note", "")))
