"""Each feature set by itself, and the units of each region, beside a null of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinbergen.encoding.pooling import main_scores, mean_score, pooled_interval, pooled_null
from tinbergen.encoding.scoring import Predicted, shift_null
from tinbergen.encoding.streams import REGIONS
from tinbergen.metrics import Interval, null_interval

_TITLES = {"features": "Each set by itself", "region": "Units of each region"}
_LEVEL = 0.05


@dataclass(frozen=True, eq=False)
class Part:
    """A score of a part of the study.

    Attributes
    ----------
    by
        ``"features"``: what one set tells by itself; ``"region"``: how well all features predict
        the units of a region.
    name
        Of the feature set, or of the region.
    value, interval
        As the headline; the interval is 95 %.
    ignorant
        What the training mean scores, or chance.
    draws
        ``(draw,)``: the same predictions, shifted in time or by trials; None if too short.
    n, columns, recordings
        Number of units (or channels, or recordings) that were predicted, of columns that they
        were predicted from (a unit each, if decoded from spikes without windows), and of
        recordings.
    """

    by: str
    name: str
    value: float
    interval: Interval | None
    ignorant: float | None
    draws: np.ndarray | None
    n: int
    columns: int
    recordings: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        null, p = None, None
        if self.draws is not None:
            null = float(self.draws.mean())
            p = float(null_interval(self.value, self.draws).p)
        return {
            "by": self.by,
            "name": self.name,
            "value": self.value,
            "interval": None if self.interval is None else list(self.interval),
            "ignorant": self.ignorant,
            "null": null,
            "p": p,
            "n": self.n,
            "columns": self.columns,
            "recordings": self.recordings,
        }


def feature_parts(
    predicted: Sequence[Predicted], scores: Any, fits: Any, names: Sequence[str], seed: int
) -> Iterator[Part]:
    """Score each feature set by itself, in the recordings that have it.

    Parameters
    ----------
    predicted, scores, fits
        Predictions, scores of all columns, and what was fitted.
    names
        Of the feature sets.
    seed
        Of what is drawn.
    """
    for name in names:
        have = [p for p in predicted if name in p.models]
        drawn = {p.recording: shift_null(p, name, seed=seed) for p in have}
        rows = main_scores(scores, predicted[0].kind, name)
        yield from _part("features", name, name, have, rows, fits, drawn, seed, None)


def region_parts(
    predicted: Sequence[Predicted],
    scores: Any,
    fits: Any,
    own: str,
    drawn: Mapping[str, np.ndarray | None],
    seed: int,
) -> Iterator[Part]:
    """Score the units of each region, the best first; none where fewer than two are known.

    Parameters
    ----------
    predicted, scores, fits
        Predictions, scores of all columns, and what was fitted.
    own
        The model.
    drawn
        Recording -> its null draws, a column a unit.
    seed
        Of the bootstrap.
    """
    kind = predicted[0].kind
    regions = {p.recording: _regions(p) for p in predicted}
    names = sorted({region for each in regions.values() for region in each if region})
    if kind == "classes" or len(names) < 2:
        return
    rows = main_scores(scores, kind, own)
    found: list[Part] = []
    for name in names:
        chosen = {recording: each == name for recording, each in regions.items()}
        have = [p for p in predicted if chosen[p.recording].any()]
        inside = np.zeros(len(rows), dtype=bool)
        for p in have:
            units = np.array(p.names)[chosen[p.recording]]
            inside |= ((rows["recording"] == p.recording) & rows["name"].isin(units)).to_numpy()
        found += _part("region", name, own, have, rows[inside], fits, drawn, seed, chosen)
    yield from sorted(found, key=lambda part: -part.value)


def _part(
    by: str,
    name: str,
    predictor: str,
    have: Sequence[Predicted],
    rows: Any,
    fits: Any,
    drawn: Mapping[str, np.ndarray | None],
    seed: int,
    chosen: Mapping[str, np.ndarray] | None,
) -> Iterator[Part]:
    """Pool the rows of a part; nothing where none has a score."""
    kind = have[0].kind
    value = mean_score(rows, kind)
    if value is None:
        return
    interval, _ = pooled_interval(have, rows, kind, predictor, seed, chosen)
    columns = 0
    if len(fits):  # models without features fit none
        fitted = fits[(fits["features"] == predictor) & (fits["fold"] == 0)]
        columns = int(fitted["columns"].sum())
    yield Part(
        by,
        name,
        value,
        interval,
        mean_score(rows.assign(value=rows["null"]), kind),
        pooled_null(have, drawn, chosen),
        len(rows),
        columns,
        len(have),
    )


def _regions(p: Predicted) -> np.ndarray:
    """Region of each column, empty where it is not known."""
    for name in REGIONS:
        if p.table is not None and name in p.table:
            return p.table[name].fillna("").astype(str).to_numpy()
    return np.full(len(p.names), "")


def part_lines(parts: Sequence[Mapping[str, Any]], null: str, noun: str) -> Iterator[str]:
    """Say each part in a line, from its :meth:`Part.to_dict`.

    A shifted prediction is confidently wrong, so the right one may be better than all of them and
    yet worse than the training mean. Only what beats both, with its whole interval, is counted.

    Parameters
    ----------
    null
        Name of the null of the parts.
    noun
        What was predicted: units, channels, recordings.
    """
    ignorant = "chance" if noun == "recordings" else "training mean"
    for by, title in _TITLES.items():
        mine = [part for part in parts if part["by"] == by]
        if not mine:
            continue
        sure = [_beats_both(part) for part in mine]
        yield (
            f"{title}: {sum(sure)} of {len(mine)} better than {ignorant} (whole interval) and "
            f"{null} (p < {_LEVEL}); by luck alone at most {_LEVEL * len(mine):.1f}"
        )
        for part in mine:
            text = f"  {part['name']}: {part['value']:.4f}"
            if part["interval"] is not None:
                text += " ({:.4f} to {:.4f})".format(*part["interval"])
            text += f"; {ignorant} {part['ignorant']:.4f}"
            if part["null"] is not None:
                text += f"; {null} {part['null']:.4f}, p {part['p']:.2g}"
            counted = [f"{part['n']} {noun}"] if noun != "recordings" else []
            counted += [f"{part['columns']} columns"] if by == "features" else []
            counted += [f"{part['recordings']} recording" + "s" * (part["recordings"] > 1)]
            doubt = "" if _beats_both(part) else "; not better than both"
            yield f"{text}; {', '.join(counted)}{doubt}"


def _beats_both(part: Mapping[str, Any]) -> bool:
    interval, p = part["interval"], part["p"]
    return bool(interval and interval[0] > part["ignorant"] and p is not None and p < _LEVEL)
