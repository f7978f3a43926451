"""Drawings of behaviours: ethograms and transition graphs as SVG, curves for ``charts.js``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from tinbergen.report.figures import finite

_COLOURS = 7
_BINS = 16  # of bout lengths
_WIDTH, _LANE, _STRIP = 1000, 16, 12
_SIZE, _RADIUS, _NODE = 300, 100, 10


def colour(index: int) -> str:
    """Return the colour of a class; the eighth has that of the first."""
    return f"var(--c{index % _COLOURS})"


def key(classes: Sequence[str]) -> str:
    """Return a legend of the classes."""
    items = "".join(
        f'<li><i style="background:{colour(i)};height:10px"></i>{escape(name)}</li>'
        for i, name in enumerate(classes)
    )
    return f'<ul class="key">{items}</ul>'


def ethogram(bouts: Any, probabilities: Any, classes: Sequence[str]) -> str:
    """Draw labels, predictions and the probability of each class of one recording over time.

    Parameters
    ----------
    bouts
        Rows ``row, label, start, stop``.
    probabilities
        Rows ``time`` and a column a class, or None.
    classes
        Names, in the order of the colours.
    """
    first, last = float(bouts["start"].min()), float(bouts["stop"].max())
    if probabilities is not None and len(probabilities):
        first = min(first, float(probabilities["time"].min()))
        last = max(last, float(probabilities["time"].max()))
    scale = _WIDTH / max(last - first, 1e-9)
    place = {name: i for i, name in enumerate(classes)}
    drawn, y, names = "", 0.0, []
    for row in ("labels", "predicted"):
        drawn += f'<rect x="0" y="{y}" width="{_WIDTH}" height="{_LANE}" fill="var(--panel)"/>'
        for bout in bouts[bouts["row"] == row].itertuples():
            x, width = (bout.start - first) * scale, (bout.stop - bout.start) * scale
            said = f"{row}: {bout.label}, {bout.start:.2f} to {bout.stop:.2f} s"
            drawn += (
                f'<rect x="{x:.2f}" y="{y}" width="{max(width, 0.4):.2f}" height="{_LANE}" '
                f'fill="{colour(place.get(bout.label, 0))}"><title>{escape(said)}</title></rect>'
            )
        names.append((row, y + _LANE / 2))
        y += _LANE + 4
    for name in classes:
        if probabilities is None:
            break
        x = (probabilities["time"].to_numpy() - first) * scale
        top = y + _STRIP * (1 - probabilities[name].to_numpy())
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, top, strict=True))
        base = y + _STRIP
        drawn += (
            f'<polygon points="{x[0]:.1f},{base} {points} {x[-1]:.1f},{base}" '
            f'fill="{colour(place[name])}"/>'
        )
        names.append((f"p({name})", y + _STRIP / 2))
        y += _STRIP + 3
    labels = "".join(
        f'<text x="-8" y="{at + 4:.1f}" text-anchor="end">{escape(name)}</text>'
        for name, at in names
    )
    step = _tick(last - first)
    ticks = "".join(
        f'<text x="{(t - first) * scale:.1f}" y="{y + 12:.0f}" text-anchor="middle" '
        f'class="tick">{t:g} s</text>'
        for t in np.arange(math.ceil(first / step) * step, last, step)
    )
    return (
        f'<svg viewBox="-130 0 {_WIDTH + 140} {y + 18:.0f}" width="100%" role="img" '
        f'aria-label="Behaviour over time, labels and predictions">{drawn}{labels}{ticks}</svg>'
    )


def transition_graph(table: Any, classes: Sequence[str]) -> str:
    """Draw classes on a circle; arrows are as wide as the share of bouts that go on so.

    ``table`` holds ``source, target, n``; shares below 2 % are left out.
    """
    angles = np.arange(len(classes)) * 2 * math.pi / max(len(classes), 1) - math.pi / 2
    centre = _SIZE / 2
    spots = {
        name: (centre + _RADIUS * math.cos(a), centre + _RADIUS * math.sin(a))
        for name, a in zip(classes, angles, strict=True)
    }
    totals = table.groupby("source")["n"].sum()
    arrows = ""
    for move in table.itertuples():
        if not totals[move.source] or move.source not in spots or move.target not in spots:
            continue
        share = move.n / totals[move.source]
        if share < 0.02:
            continue
        arrows += _arrow(spots[move.source], spots[move.target], share,
                         colour(list(classes).index(move.source)),
                         f"{move.source} to {move.target}: {100 * share:.0f} %, {move.n} times",
                         )  # fmt: skip
    nodes = ""
    for i, (name, (x, y)) in enumerate(spots.items()):
        below = 24 if y > centre else -16
        nodes += (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{_NODE}" fill="{colour(i)}"/>'
            f'<text x="{x:.1f}" y="{y + below:.1f}" text-anchor="middle">{escape(name)}</text>'
        )
    return (
        f'<svg viewBox="0 0 {_SIZE} {_SIZE}" width="{_SIZE}" role="img" '
        f'aria-label="Which behaviour follows which">{arrows}{nodes}</svg>'
    )


def _arrow(
    start: tuple[float, float], end: tuple[float, float], share: float, fill: str, said: str
) -> str:
    """Draw a bent arrow from one node to another."""
    (x0, y0), (x1, y1) = start, end
    length = math.hypot(x1 - x0, y1 - y0) or 1.0
    along, across = (
        ((x1 - x0) / length, (y1 - y0) / length),
        ((y0 - y1) / length, (x1 - x0) / length),
    )
    bend = 0.16 * length
    middle = ((x0 + x1) / 2 + bend * across[0], (y0 + y1) / 2 + bend * across[1])
    gap = _NODE + 9
    tip = (x1 - gap * along[0] + 4 * across[0], y1 - gap * along[1] + 4 * across[1])
    begin = (x0 + gap * along[0] + 4 * across[0], y0 + gap * along[1] + 4 * across[1])
    width = 1 + 7 * share
    heading = (tip[0] - middle[0], tip[1] - middle[1])
    size = math.hypot(*heading) or 1.0
    ahead = (heading[0] / size, heading[1] / size)
    aside = (-ahead[1], ahead[0])
    wide = 3 + width / 2
    corners = (
        (tip[0] + 7 * ahead[0], tip[1] + 7 * ahead[1]),
        (tip[0] + wide * aside[0], tip[1] + wide * aside[1]),
        (tip[0] - wide * aside[0], tip[1] - wide * aside[1]),
    )
    head = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
    return (
        f'<g style="stroke:{fill};fill:{fill};opacity:.75"><title>{escape(said)}</title>'
        f'<path d="M{begin[0]:.1f},{begin[1]:.1f} Q{middle[0]:.1f},{middle[1]:.1f} '
        f'{tip[0]:.1f},{tip[1]:.1f}" style="fill:none;stroke-width:{width:.1f}"/>'
        f'<polygon points="{head}" style="stroke:none"/></g>'
    )


def precision_recall(table: Any, classes: Sequence[str]) -> dict[str, Any]:
    """Return precision against recall, a line a class."""
    series = []
    for name, rows in table.groupby("label", sort=False):
        series.append(_line(str(name), rows["recall"], rows["precision"], classes.index(name)))
    return _lines("Precision against recall of each class.", "Recall", series)


def reliability(table: Any) -> dict[str, Any]:
    """Return how often the model was right against how sure it was."""
    series = [
        _line("right", table["confidence"], table["accuracy"], 0, points=True),
        _line("calibrated", [0, 1], [0, 1], 7),
    ]
    return _lines("Share of right frames against the probability.", "Probability", series)


def bout_lengths(table: Any, name: str) -> dict[str, Any]:
    """Return the histograms of bout lengths of one class, labels and predictions."""
    own = table[(table["label"] == name) & (table["seconds"] > 0)]
    logs = np.log10(own["seconds"].to_numpy())
    low, high = (logs.min(), logs.max()) if len(logs) else (0.0, 1.0)
    edges = np.linspace(low, max(high, low + 1e-6), _BINS + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    series = []
    for i, row in enumerate(("labels", "predicted")):
        counts = np.histogram(np.log10(own.loc[own["row"] == row, "seconds"]), edges)[0]
        series.append(_line(row, middles, counts, i))
    return _lines(f"Bouts of {name} by length.", "log10 of seconds", series)


def onset(table: Any, feature: str) -> dict[str, Any]:
    """Return a feature around the begin of bouts, labels and predictions."""
    own = table[table["feature"] == feature]
    series = [
        _line(row, rows["lag"], rows["mean"], i)
        for i, row in enumerate(("labels", "predicted"))
        if len(rows := own[own["row"] == row])
    ]
    return _lines(f"{feature} around the begin of bouts.", "s from the begin", series, zero=False)


def label_density(table: Any) -> dict[str, Any]:
    """Return the mean score over draws against labelled frames a class, and each draw."""
    table = table.sort_values("frames")
    mean = table.groupby("frames")["macro_f1"].mean()
    series = [
        _line(f"draw {draw + 1}", np.log10(rows["frames"]), rows["macro_f1"], 7, points=True)
        for draw, rows in table.groupby("draw")
    ]
    series.append(_line("mean", np.log10(mean.index), mean, 0, points=True))
    return _lines("Score against labelled frames.", "log10 of labelled frames a class", series)


def _line(name: str, x: Any, y: Any, colour: int, points: bool = False) -> dict[str, Any]:
    return {"name": name, "x": finite(x), "y": finite(y), "points": points, "colour": colour}


def _lines(
    alt: str, x_label: str, series: list[dict[str, Any]], zero: bool = True
) -> dict[str, Any]:
    return {
        "kind": "lines",
        "title": "",
        "alt": alt,
        "x_label": x_label,
        "unit": "",
        "log": False,
        "zero": zero,
        "series": series,
    }


def _tick(length: float) -> float:
    """Return a round number of seconds that gives six to twelve ticks."""
    step = 10.0 ** math.floor(math.log10(max(length, 1e-6) / 6))
    return next(step * k for k in (1, 2, 5, 10) if length / (step * k) <= 12)
