"""From scores of columns to one number: its mean, its interval, its null."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinbergen.encoding.scoring import FLOOR, MEASURES, Predicted
from tinbergen.metrics import (
    Interval,
    bootstrap_interval,
    hierarchical_interval,
    information_parts,
    r2_parts,
    ratio_intervals,
)

_Table = Any  # a DataFrame; what pandas says of the types of its columns is too wide to help
_Chosen = Mapping[str, np.ndarray]


def main_scores(scores: _Table, kind: str, name: str) -> _Table:
    """Return the rows of one predictor in the measure of the study, where it is known."""
    rows = scores[(scores["features"] == name) & (scores["score"] == MEASURES[kind])]
    return rows[np.isfinite(rows["value"])]


def mean_score(rows: _Table, kind: str) -> float | None:
    """Mean over units, or over recordings of the mean over channels."""
    if not len(rows):
        return None
    if kind == "counts":
        return float(rows["value"].mean())
    return float(rows.groupby("recording")["value"].mean().mean())


def pooled_interval(
    predicted: Sequence[Predicted],
    rows: _Table,
    kind: str,
    name: str,
    seed: int,
    chosen: _Chosen | None = None,
) -> tuple[Interval | None, str]:
    """Return the 95 % interval of a mean score, and over what it was drawn.

    Parameters
    ----------
    predicted
        The recordings that have it.
    rows
        Its rows, from :func:`main_scores`.
    kind, name, seed
        Of the target, the predictor, the bootstrap.
    chosen
        Recording -> ``(column,)`` bool, of which columns the mean is; None: of all.
    """
    if len(predicted) > 1:
        if kind == "counts":
            values, sessions = rows["value"].to_numpy(), rows["recording"].to_numpy(str)
            return hierarchical_interval(values, sessions, seed=seed), "recordings and units"
        means = rows.groupby("recording")["value"].mean().to_numpy()
        return bootstrap_interval(means, seed=seed), "recordings"
    p = predicted[0]
    blocks = "trials" if p.bins or p.per_trial else "blocks of time"
    if kind == "classes":
        ends = rows[["low", "high"]].to_numpy(float)
        return (Interval(*ends[0]) if len(ends) else None), blocks
    columns = slice(None) if chosen is None else chosen[p.recording]
    y, guess = p.truth[:, columns], p.models[name][:, columns]
    if kind == "counts":
        parts = information_parts(y, guess, "mean", FLOOR, groups=p.blocks)
    else:
        parts = r2_parts(y, guess, groups=p.blocks)
    intervals = ratio_intervals(*parts, seed=seed)
    if kind == "counts" and len(rows) > 1:  # units share the noise of the time they were tested on
        return intervals.population, f"units and {blocks}"
    return intervals.mean, blocks


def pooled_null(
    predicted: Sequence[Predicted],
    drawn: Mapping[str, np.ndarray | None],
    chosen: _Chosen | None = None,
) -> np.ndarray | None:
    """Return each draw's mean score ``(draw,)``, pooled as the score is; None if there is none.

    Parameters
    ----------
    predicted
        The recordings that have the score.
    drawn
        Recording -> ``(draw, column)`` of :func:`~tinbergen.encoding.scoring.shift_null`.
    chosen
        As in :func:`pooled_interval`.
    """
    parts = []
    for p in predicted:
        draws = drawn[p.recording]
        if draws is None:
            return None
        draws = draws if chosen is None else draws[:, chosen[p.recording]]
        if np.isfinite(draws).any():  # not of constant targets
            parts.append(draws)
    if not parts:
        return None
    n = min(map(len, parts))
    if predicted[0].kind == "counts":
        return np.nanmean(np.concatenate([d[:n] for d in parts], axis=1), axis=1)
    return np.mean([np.nanmean(d[:n], axis=1) for d in parts], axis=0)


def null_name(predicted: Sequence[Predicted]) -> str:
    """Say how predictions were put at wrong times."""
    trials = predicted[0].bins is not None or predicted[0].per_trial
    return "shifted by trials" if trials else "shifted in time"
