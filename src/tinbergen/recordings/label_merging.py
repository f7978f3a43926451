"""Corrections taken into labels: where somebody looked again, the new labels hold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from tinbergen.errors import DataError
from tinbergen.recordings.intervals import Intervals
from tinbergen.recordings.labels import LabelRow, Labels


class Merged(NamedTuple):
    """Result of :func:`merge_labels`."""

    labels: Labels
    """The old ones with the corrections."""
    added: float
    """s that had not been observed before."""
    changed: float
    """s that have other labels now."""
    confirmed: float
    """s that have the same labels as before."""

    def __str__(self) -> str:
        return (
            f"{self.added:.1f} s newly labelled, {self.changed:.1f} s changed, "
            f"{self.confirmed:.1f} s confirmed"
        )


def merge_labels(labels: Labels, corrections: Labels, individual: str | None = None) -> Merged:
    """Replace labels wherever the corrections were observed; elsewhere they stay as they are.

    Corrections of some animals leave the labels of the others alone.

    Parameters
    ----------
    labels, corrections
        The old ones, and the new.
    individual
        Whose the corrections are, where they do not say; default: the only animal's.

    Raises
    ------
    DataError
        If the labels are of several animals and the corrections do not say of which, or if the
        corrections are of an animal and the labels do not say whose they are.
    """
    corrections, whose = _named(labels, corrections, individual)
    classes = (*labels.classes, *(c for c in corrections.classes if c not in labels.classes))
    rows = list(corrections.rows)
    for row in labels.rows:
        if row.individual not in whose:
            rows.append(row)
            continue
        rest = Intervals([row.start], [row.stop]) - corrections.observed
        rows += [row._replace(start=a, stop=b) for a, b in _pairs(rest)]
    merged = Labels(_joined(rows), classes, labels.observed | corrections.observed)
    return Merged(merged, *_counted(labels, merged, corrections.observed))


def _joined(rows: list[LabelRow]) -> pd.DataFrame:
    """Join pieces of a bout that touch: a confirmed clip cuts none in three."""
    parts: dict[tuple[str, str], list[LabelRow]] = {}
    for row in rows:
        parts.setdefault((row.label, row.individual), []).append(row)
    joined = [
        LabelRow(start, stop, label, individual)
        for (label, individual), own in parts.items()
        for start, stop in _pairs(Intervals([r.start for r in own], [r.stop for r in own]))
    ]
    return pd.DataFrame(joined, columns=list(LabelRow._fields))


def _pairs(intervals: Intervals) -> list[tuple[float, float]]:
    return list(zip(intervals.starts.tolist(), intervals.stops.tolist(), strict=True))


def _named(labels: Labels, corrections: Labels, individual: str | None) -> tuple[Labels, set[str]]:
    """Return the corrections with names, and of which animals they are."""
    old, whose = labels.individuals, set(corrections.individuals)
    if whose <= {""}:
        if individual is None and len(old) > 1:
            raise DataError(
                f"The labels are of {', '.join(filter(None, old))}; the corrections do not say "
                "whose they are: name one (individual)."
            )
        name = (old or ("",))[0] if individual is None else individual
        table = corrections.table.assign(individual=name)
        corrections, whose = Labels(table, corrections.classes, corrections.observed), {name}
    if old == ("",) and whose != {""}:
        raise DataError(
            f"The corrections are of {', '.join(sorted(whose))}; the labels do not say whose they "
            "are. Name the animal in the labels first (column individual)."
        )
    if "" in whose and len(old) > 1 and "" not in old:
        raise DataError("Some corrections do not say whose they are (individual).")
    return corrections, whose


def _counted(old: Labels, new: Labels, looked: Intervals) -> tuple[float, float, float]:
    """Return the seconds of ``looked`` that are new, that changed, and that did not."""
    sides = [edge for each in (old, new) for edge in (each.table["start"], each.table["stop"])]
    spans = [edge for i in (old.observed, looked) for edge in (i.starts, i.stops)]
    edges = np.unique(
        np.concatenate([np.asarray(part, dtype=np.float64) for part in sides + spans])
    )
    middle, length = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    inside = looked.contains(middle)
    before = old.observed.contains(middle)
    same = np.ones(len(middle), dtype=bool)
    for individual in {*old.individuals, *new.individuals}:
        for name in new.classes:
            pair = [each.intervals(name, individual).contains(middle) for each in (old, new)]
            same &= pair[0] == pair[1]
    return (
        float(length[inside & ~before].sum()),
        float(length[inside & before & ~same].sum()),
        float(length[inside & before & same].sum()),
    )
