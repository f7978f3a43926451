"""The sections of a run that names behaviours."""

from __future__ import annotations

from typing import Any

from tinbergen.report import behaviour_figures as figures
from tinbergen.report import parts
from tinbergen.report.parts import Payload, Section
from tinbergen.report.results import RunResults

_ROWS = ("labels", "predicted")


def ethograms(results: RunResults, payload: Payload) -> Section | None:
    """Draw labels beside predictions, recording by recording."""
    table, probabilities = results.behaviour.ethogram, results.behaviour.probabilities
    if table is None or table.empty:
        return None
    classes = _classes(results)
    drawn = ""
    for recording, bouts in table.groupby("recording", sort=False):
        own = None
        if probabilities is not None:
            own = probabilities[probabilities["recording"] == recording]
        counts = ", ".join(f"{(bouts['row'] == row).sum()} {row}" for row in _ROWS)
        drawn += parts.figure(
            str(recording), f"Bouts: {counts}.", figures.ethogram(bouts, own, classes)
        )
    content = (
        '<p class="lead">Labels above predictions; white is not labelled. Below them the '
        f"probability of each class.</p>{figures.key(classes)}"
        f'<div class="pictures">{drawn}</div>'
    )
    return Section("ethograms", "Ethograms", content)


def movies(results: RunResults, payload: Payload) -> Section | None:
    """Show bouts of each class side by side, all beginning at once."""
    table: Any = results.behaviour.movies
    if table is None or table.empty:
        return None
    folder = results.path / "diagnostics" / "movies"
    drawn = "".join(
        parts.figure(
            row.label,
            f"{row.bouts} predicted bout{'s' if row.bouts > 1 else ''}.",
            parts.movie(folder / str(row.file), f"Bouts of {row.label}"),
        )
        for row in table.itertuples()
    )
    content = (
        '<p class="lead">Bouts drawn at random, all beginning at once; a cell has a white border '
        f'while its bout holds.</p><div class="grid">{drawn}</div>'
    )
    return Section("movies", "What it looks like", content)


def certainty(results: RunResults, payload: Payload) -> Section | None:
    """Draw precision against recall, and how far probabilities can be trusted."""
    behaviour = results.behaviour
    drawn = ""
    if behaviour.precision_recall is not None and len(behaviour.precision_recall):
        table = behaviour.precision_recall
        classes = _classes(results)
        figure = figures.precision_recall(table, classes)
        drawn += parts.figure(
            "Precision and recall",
            "Each class against the others, at every threshold of its probability.",
            figures.key(classes) + payload.place(figure),
        )
    if behaviour.reliability is not None and len(behaviour.reliability):
        drawn += parts.figure(
            "Reliability",
            "How often the most probable class is right; on the grey line probabilities are what "
            "they say.",
            payload.place(figures.reliability(behaviour.reliability)),
        )
    return Section("certainty", "Certainty", f'<div class="grid">{drawn}</div>') if drawn else None


def bouts(results: RunResults, payload: Payload) -> Section | None:
    """Draw how long bouts last, what follows what, and how features change where they begin."""
    behaviour = results.behaviour
    if behaviour.bout_lengths is None or behaviour.bout_lengths.empty:
        return None
    table, classes = behaviour.bout_lengths, _classes(results)
    drawn = ""
    for name in classes:
        own = table[table["label"] == name]
        if own.empty:
            continue
        said = "; ".join(
            f"{row}: {len(each)}, median {each.median():.2f} s"
            for row in _ROWS
            if len(each := own.loc[own["row"] == row, "seconds"])
        )
        figure = figures.bout_lengths(table, name)
        drawn += parts.figure(name, said, payload.place(figure))
    key = (
        '<ul class="key"><li><i style="background:var(--c0)"></i>labels</li>'
        '<li><i style="background:var(--c1)"></i>predicted</li></ul>'
    )
    content = f'<h3>How long they last</h3>{key}<div class="grid">{drawn}</div>'
    if behaviour.transitions is not None and len(behaviour.transitions):
        table: Any = behaviour.transitions
        graphs = "".join(
            parts.figure(
                row.capitalize(),
                "Arrows are as wide as the share of bouts that go on so.",
                figures.transition_graph(rows, classes),
            )
            for row in _ROWS
            if (rows := table[table["row"] == row])["n"].any()
        )
        content += f'<h3>What follows what</h3><div class="grid">{graphs}</div>'
    if behaviour.onsets is not None and len(behaviour.onsets):
        content += f"<h3>Where they begin</h3>{key}{_onsets(results, payload, classes)}"
    if behaviour.onset_errors is not None and len(behaviour.onset_errors):
        errors = behaviour.onset_errors.rename(
            columns={
                "label": "class",
                "n": "bouts found",
                "onset": "median error of the begin (s)",
                "offset": "of the end (s)",
                "bias": "begins later than labelled by (s)",
            }
        )
        content += parts.table(errors, list(errors.columns))
    return Section("bouts", "Bouts", content)


def label_density(results: RunResults, payload: Payload) -> Section | None:
    """Draw how the score grows with the labels, to see whether more of them would help."""
    table: Any = results.behaviour.label_density
    if table is None or table.empty:
        return None
    draws = table["draw"].nunique()
    drawn = parts.figure(
        "Macro F1",
        f"A single model trained on so many labelled frames of each class, {draws} "
        f"draw{'s' if draws > 1 else ''} of them; frames as they are, without a decoder.",
        payload.place(figures.label_density(table)),
    )
    return Section(
        "label-density", "How many labels are enough", f'<div class="grid">{drawn}</div>'
    )


def _onsets(results: RunResults, payload: Payload, classes: list[str]) -> str:
    table = results.behaviour.onsets
    assert table is not None
    drawn = ""
    for name in classes:
        own = table[table["label"] == name]
        for feature in dict.fromkeys(own["feature"]):
            figure = figures.onset(own, feature)
            drawn += parts.figure(f"{name}: {feature}", "", payload.place(figure))
    note = parts.notes("z-scores, mean over bouts; of each class the features that change most.")
    return f'<div class="grid">{drawn}</div>{note}'


def _classes(results: RunResults) -> list[str]:
    """Return the classes in their order; of unknown ones that in which they occur."""
    caption = results.captions.get("confusion", {})
    named = list(caption.get("classes", {}).get("behaviour", ()))
    table = results.behaviour.ethogram
    found = [] if table is None else list(dict.fromkeys(table["label"]))
    return [*named, *(name for name in found if name not in named)]
