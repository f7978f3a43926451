"""From predictions to a verdict: scores a unit, pooled scores with nulls and baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tinbergen.encoding.parts import Part, feature_parts, part_lines, region_parts
from tinbergen.encoding.pooling import (
    main_scores,
    mean_score,
    null_name,
    pooled_interval,
    pooled_null,
)
from tinbergen.encoding.scoring import (
    BY_ITSELF,
    MEASURES,
    WITHOUT,
    Predicted,
    angle_error,
    column_scores,
    shift_null,
)
from tinbergen.metrics import Score, bootstrap_interval, hierarchical_interval
from tinbergen.metrics.score import Baseline

_NULLS = ("train mean", "train PSTH")
_Table = Any  # a DataFrame; what pandas says of the types of its columns is too wide to help


@dataclass(frozen=True, eq=False)
class StudyResult:
    """What a study found.

    Attributes
    ----------
    headline
        The score of the model with all features: mean over units (or channels) and recordings.
    scores
        A row a unit, channel or class and recording, of every predictor: the model with all
        features (first), each feature set by itself, ``plain linear``.
    summary
        What ``summary.json`` holds.
    predicted
        Recording -> out-of-fold predictions.
    fits
        A row a fit: what was chosen, seconds.
    nulls
        A row a draw of the mean score's null: predictions shifted in time, or by trials.
        ``target`` is empty, or the feature set or the region whose null it is.
    path
        The run folder, or None.
    """

    headline: Score
    scores: pd.DataFrame
    summary: dict[str, Any]
    predicted: Mapping[str, Predicted]
    fits: pd.DataFrame
    nulls: pd.DataFrame
    path: Path | None = None

    @property
    def lost(self) -> dict[str, str]:
        """Recordings that were left out, and why."""
        return self.summary["left_out"]

    def text(self) -> str:
        """Return some lines: the score, its null, and the baselines beside it."""
        h = self.headline
        lines = [f"{self.summary['title']}; {self.summary['trained_on']}"]
        lines += [f"{repr(self)[len('StudyResult(') : -1]}"]
        parts = self.summary.get("parts", [])
        said = {part["name"] for part in parts if part["by"] == "features"}
        lines += [
            f"  {b.name}: {b.value:.4f}"
            for b in h.baselines
            if b.value is not None and b.name not in said
        ]
        if parts:
            null = next(b.name for b in h.baselines if b.name.startswith("shifted"))
            lines += part_lines(parts, null, h.n_name)
        for score in self.summary["scores"]:
            low, high = score["interval"] or (None, None)
            spread = "" if low is None else f" ({low:.4g} to {high:.4g})"
            lines.append(f"  {score['name']}: {score['value']:.4g}{spread} {score['unit']}")
        return "\n".join([*lines, f"  ({h.split})", *self.summary["notes"]])

    def __repr__(self) -> str:
        h = self.headline
        value = "not measured" if h.value is None else f"{h.value:.4f}"
        spread = "" if h.interval is None else f" ({h.interval[0]:.4f} to {h.interval[1]:.4f})"
        null = "" if h.null is None else f"; {h.null_name} {h.null:.4f}"
        return f"StudyResult({h.name} {value}{spread}{null}; {h.n} {h.n_name})"


def summarise(
    config: Mapping[str, Any],
    predicted: Sequence[Predicted],
    names: Sequence[str],
    *,
    fits: pd.DataFrame,
    left_out: Mapping[str, Mapping[str, float]],
    bad: Mapping[str, str],
    seconds: float,
) -> StudyResult:
    """Score every predictor on every recording, and pool.

    Parameters
    ----------
    config
        Of the study.
    predicted
        A recording each.
    names
        Predictors to score, the study's own first.
    fits, left_out, bad, seconds
        What else belongs into the summary.
    """
    seed = config["seed"]
    own = names[0]
    drawn = {p.recording: shift_null(p, own, seed=seed) for p in predicted}
    others = [n for n in predicted[0].models if n not in names and n not in _NULLS]
    tables = []
    for name in [*names, *others]:
        for p in [p for p in predicted if name in p.models]:
            rows = column_scores(p, name, drawn[p.recording] if name == own else None, seed=seed)
            rows.insert(1, "features", name)
            tables.append(rows)
    scores = pd.concat(tables, ignore_index=True)
    sets = [name for name in names[1:] if not name.startswith(WITHOUT)]
    own_null = pooled_null(predicted, drawn)
    parts = (
        []
        if own_null is None
        else [
            *feature_parts(predicted, scores, fits, sets, seed),
            *region_parts(predicted, scores, fits, own, drawn, seed),
        ]
    )
    nulls = _null_table(predicted, own_null, parts)
    headline = _headline(config, predicted, scores, names, others, own_null, parts)
    more = _more_scores(config, predicted, own)
    kind = predicted[0].kind
    gains = paired_gains(scores, own, BY_ITSELF, MEASURES[kind])
    if len(gains):
        said = "one model for all recordings, minus that of the same model fitted to each"
        more.append(_gain_score(gains, f"Gain over {BY_ITSELF}", said, kind, seed))
    for name in sets:
        beyond = paired_gains(scores, own, f"{WITHOUT}{name}", MEASURES[kind])
        if len(beyond):
            said = f"all features, minus that of the same model {WITHOUT}{name}"
            more.append(_gain_score(beyond, f"Gain by {name} beyond the others", said, kind, seed))
    summary = {
        "schema_version": 1,
        "room": "encoding",
        "title": _title(config),
        "trained_on": _material(predicted),
        "seconds": seconds,
        "headline": headline.to_dict(),
        "scores": [score.to_dict() for score in more],
        "parts": [part.to_dict() for part in parts],
        "alarms": [],
        "left_out": dict(bad),
        "notes": [*_gain_lines(gains), *_notes(predicted, scores, own, left_out, bad)],
    }
    return StudyResult(headline, scores, summary, {p.recording: p for p in predicted}, fits, nulls)


def _headline(
    config: Mapping[str, Any],
    predicted: Sequence[Predicted],
    scores: _Table,
    names: Sequence[str],
    others: Sequence[str],
    own_null: np.ndarray | None,
    parts: Sequence[Part],
) -> Score:
    kind, seed = predicted[0].kind, config["seed"]
    rows = main_scores(scores, kind, names[0])
    intervals = {part.name: part.interval for part in parts if part.by == "features"}
    baselines = [
        Baseline(name, mean_score(main_scores(scores, kind, name), kind), intervals.get(name))
        for name in [*others, *(n for n in names[1:] if not n.startswith(WITHOUT))]
    ]
    psth = [p for p in predicted if "train PSTH" in p.models]
    if psth and len(psth) == len(predicted):
        table: _Table = pd.concat([column_scores(p, "train PSTH", seed=seed) for p in psth])
        baselines.append(Baseline("PSTH", mean_score(table[np.isfinite(table["value"])], kind)))
    if own_null is not None:
        baselines.append(Baseline(null_name(predicted), float(own_null.mean())))
    interval, drawn_over = pooled_interval(predicted, rows, kind, names[0], seed)
    n, n_name = len(rows), {"counts": "units", "classes": "recordings"}.get(kind, "channels")
    blocks = "trials" if predicted[0].bins or predicted[0].per_trial else "time"
    split = (
        f"{config['folds']} folds of random trials: neighbours in time lie in training and test"
        if config["fold_kind"] == "random"
        else f"{config['folds']} folds by blocks of {blocks}, {config['gap']:g} s apart"
    )
    return Score(
        MEASURES[kind],
        mean_score(rows, kind),
        "bits/spike" if kind == "counts" else "",
        null=mean_score(rows.assign(value=rows["null"]), kind),
        null_name="chance" if kind == "classes" else "training mean",
        interval=interval,
        interval_name=f"95 % bootstrap over {drawn_over}",
        baselines=tuple(b for b in baselines if b.value is not None),
        n=n,
        n_name=n_name,
        split=split,
        method=_method(kind, config["model"]),
    )


def _method(kind: str, model: str) -> str:
    what = {
        "counts": "Gain in log-likelihood over each unit's mean rate on the test data, per spike "
        "and in bits; mean over units.",
        "continuous": "Share of the variance on the test data that is predicted; mean over "
        "channels.",
        "angle": "Share of the variance of cosine and sine on the test data that is predicted.",
        "classes": "Mean over classes of the share that is told right.",
    }[kind]
    return f"{what} Model: {model}; settings chosen inside the training part of each fold."


def _more_scores(
    config: Mapping[str, Any], predicted: Sequence[Predicted], own: str
) -> list[Score]:
    if predicted[0].kind != "angle":
        return []
    seed = config["seed"]
    errors = [angle_error(p, own) for p in predicted]
    medians = [float(np.median(e)) for e in errors]
    if len(medians) > 1:
        interval, over = bootstrap_interval(medians, seed=seed), "recordings"
    else:
        p = predicted[0]
        per_block = [np.median(errors[0][p.blocks == b]) for b in np.unique(p.blocks)]
        interval, over = bootstrap_interval(per_block, seed=seed), "blocks of time"
    return [
        Score(
            "Median angular error",
            float(np.mean(medians)),
            "deg",
            "lower",
            null=90.0,
            null_name="chance",
            interval=interval,
            interval_name=f"95 % bootstrap over {over} (mean of their medians)",
            n=sum(len(e) for e in errors),
            n_name="bins",
            method="Angle between the decoded and the true direction.",
        )
    ]


def paired_gains(scores: _Table, own: str, other: str, measure: str) -> _Table:
    """Pair the units' scores of two models, such as one for all recordings and one for each.

    Returns
    -------
    DataFrame
        ``recording, name, together, alone, gain``, a row a unit (or channel) that both score;
        none where the other was not fitted.
    """
    rows = scores[scores["score"] == measure]
    both = [
        rows[rows["features"] == name][["recording", "name", "value"]] for name in (own, other)
    ]
    table = both[0].merge(both[1], on=["recording", "name"], suffixes=("", "_alone")).dropna()
    table = table.rename(columns={"value": "together", "value_alone": "alone"})
    return table.assign(gain=table["together"] - table["alone"])


def _gain_score(gains: _Table, name: str, said: str, kind: str, seed: int) -> Score:
    value, sessions = gains["gain"].to_numpy(), gains["recording"].to_numpy(str)
    what = "units" if kind == "counts" else "channels"
    return Score(
        name,
        float(value.mean()),
        "bits/spike" if kind == "counts" else "",
        null=0.0,
        null_name="no gain",
        interval=hierarchical_interval(value, sessions, seed=seed),
        interval_name=f"95 % bootstrap over recordings and {what}",
        n=len(value),
        n_name=what,
        method=f"{MEASURES[kind]} of {said}; mean over {what}, paired.",
    )


def _gain_lines(gains: _Table) -> list[str]:
    """Say for each recording what both models score."""
    return [
        f"{name}: {rows['together'].mean():.4f} together, {rows['alone'].mean():.4f} by itself; "
        f"better together for {(rows['gain'] > 0).sum()} of {len(rows)}."
        for name, rows in gains.groupby("recording", sort=False)
    ]


def _null_table(
    predicted: Sequence[Predicted], own: np.ndarray | None, parts: Sequence[Part]
) -> pd.DataFrame:
    """Put the draws of the headline, and of each part, below each other."""
    columns = ["recording", "target", "score", "null", "value"]
    draws = {"": own} | {part.name: part.draws for part in parts}
    tables = [
        pd.DataFrame(
            {
                "recording": "",
                "target": target,
                "score": MEASURES[predicted[0].kind],
                "null": null_name(predicted),
                "value": values,
            }
        )
        for target, values in draws.items()
        if values is not None
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def _title(config: Mapping[str, Any]) -> str:
    verb = "Encoding" if config["direction"] == "encode" else "Decoding"
    return f"{verb}: {config['target']} from {', '.join(config['features'])} by {config['model']}"


def _material(predicted: Sequence[Predicted]) -> str:
    rows = sum(len(p.truth) for p in predicted)
    what = "trials" if predicted[0].per_trial else f"bins of {predicted[0].width:.3g} s"
    n = len(predicted)
    return f"{n} recording{'s' if n > 1 else ''}, {rows} {what}"


def _notes(
    predicted: Sequence[Predicted],
    scores: _Table,
    own: str,
    left_out: Mapping[str, Mapping[str, float]],
    bad: Mapping[str, str],
) -> list[str]:
    notes = [f"Left out: {name}: {text}" for name, text in bad.items()]
    for name, reasons in left_out.items():
        if reasons:
            each = "; ".join(f"{reason}: {number:g}" for reason, number in reasons.items())
            notes.append(f"{name}: left out {each}.")
    rows = scores[scores["features"] == own]
    if silent := int(rows["value"].isna().sum()):
        notes.append(f"{silent} units or channels have no score: no spike, or no variance.")
    notes += [f"{p.recording}, {note}" for p in predicted for note in p.notes]
    return notes
