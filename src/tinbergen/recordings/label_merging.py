"""Corrections taken into labels: where somebody looked again, the new labels hold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from tinbergen.errors import DataError
from tinbergen.recordings.intervals import Intervals
from tinbergen.recordings.labels import Labels


class Merged(NamedTuple):
    """Result of :func:`merge_labels`.

    Attributes
    ----------
    labels
        The old ones with the corrections.
    added, changed, confirmed
        s that had not been observed before; that have other labels now; that have the same.
    """

    labels: Labels
    added: float
    changed: float
    confirmed: float

    def __str__(self) -> str:
        return (
            f"{self.added:.1f} s newly labelled, {self.changed:.1f} s changed, "
            f"{self.confirmed:.1f} s confirmed"
        )


def merge_labels(labels: Labels, corrections: Labels) -> Merged:
    """Replace labels wherever the corrections were observed; elsewhere they stay as they are.

    Corrections of some animals leave the labels of the others alone.

    Raises
    ------
    DataError
        If the labels are of named animals, and the corrections do not say of which one.
    """
    named = {name for name in labels.individuals if name}
    whose = set(corrections.individuals)
    if named and "" in whose:
        raise DataError(
            f"The labels are of {', '.join(sorted(named))}; the corrections do not say whose they "
            "are (individual)."
        )
    classes = (*labels.classes, *(c for c in corrections.classes if c not in labels.classes))
    old = labels.table
    touched = old["individual"].isin(whose) if whose else pd.Series(True, index=old.index)
    rows = [
        (start, stop, row.label, row.individual)
        for row in old.loc[touched].itertuples()
        for start, stop in _pieces(row.start, row.stop, corrections.observed)
    ]
    cut = pd.DataFrame(rows, columns=list(old.columns))
    parts = [part for part in (old.loc[~touched], cut, corrections.table) if len(part)]
    table = pd.concat(parts) if parts else old
    merged = Labels(table, classes, labels.observed | corrections.observed)
    return Merged(merged, *_counted(labels, merged, corrections.observed))


def _pieces(start: float, stop: float, without: Intervals) -> list[tuple[float, float]]:
    rest = Intervals([start], [stop]) - without
    return list(zip(rest.starts.tolist(), rest.stops.tolist(), strict=True))


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
