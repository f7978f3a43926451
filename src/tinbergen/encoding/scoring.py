"""Scores of out-of-fold predictions beside their nulls, with intervals over blocks and units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tinbergen.errors import DataError
from tinbergen.metrics import (
    bits_per_spike,
    bits_per_spike_null,
    class_scores,
    information_parts,
    null_distribution,
    null_interval,
    r2,
    r2_parts,
    ratio_intervals,
    time_shifts,
)
from tinbergen.metrics.bootstrap import bootstrap_interval

MEASURES = {
    "counts": "bits/spike",
    "continuous": "R2",
    "angle": "R2",
    "classes": "balanced accuracy",
}
BY_ITSELF = "each recording by itself"
WITHOUT = "without "  # and the name of a feature set: all others
FLOOR = 1e-9  # spikes/bin; the rates of a study are above it, see choices.rate_limits
_MIN_SHIFT_S = 10.0
_MIN_TRIALS = 4  # of a fold: fewer can be shifted in too few ways
_NUMBERS = 2e8
_DRAWS = 2000


@dataclass(frozen=True, eq=False)
class Predicted:
    """Out-of-fold predictions of one recording.

    Attributes
    ----------
    recording
        Its name.
    kind
        Of the target, as in :class:`~tinbergen.encoding.columns.Columns`.
    names
        Of the target's columns.
    classes
        Of the target, where it has any.
    truth
        ``(n, column)``; of classes ``(n, 1)`` indices.
    models
        Name -> ``(n, column)`` predictions: the model under its feature set, baselines, nulls
        (``train mean``, ``train PSTH``). Of classes ``(n, 1)`` indices.
    segment, blocks
        ``(n,)`` int: neighbours in time, and what a bootstrap draws.
    starts, stops
        ``(n,)`` s.
    trial, fold
        ``(n,)`` int.
    table
        A row a column of the target.
    bins
        Number of rows of each trial's window; None where there are none.
    per_trial
        Whether a row is a trial.
    notes
        What had to be filled in or left out.
    """

    recording: str
    kind: str
    names: tuple[str, ...]
    classes: tuple[str, ...]
    truth: np.ndarray
    models: Mapping[str, np.ndarray]
    segment: np.ndarray
    blocks: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    trial: np.ndarray
    fold: np.ndarray
    table: pd.DataFrame | None = None
    bins: int | None = None
    per_trial: bool = False
    notes: tuple[str, ...] = ()

    @property
    def width(self) -> float:
        """Median length of a row, s."""
        return float(np.median(self.stops - self.starts))


def column_scores(
    predicted: Predicted, model: str, drawn: np.ndarray | None = None, *, seed: int = 0
) -> pd.DataFrame:
    """Score every column of the target, a row each.

    Parameters
    ----------
    predicted
        The predictions.
    model
        Which of them.
    drawn
        From :func:`shift_null`, if wanted.
    seed
        Of the bootstrap.

    Returns
    -------
    DataFrame
        ``score, recording, kind, name, value, null, low, high, unit, direction, n``, then what
        else is known: ``rate_hz``, ``against_train_mean`` and ``against_train_psth`` (value
        against these nulls instead), ``shift_null``, ``shift_p``, and the columns of the target's
        table (as ``table_...`` where the name is taken). For spike counts
        ``value`` is bits/spike against the mean of the evaluated counts, and ``null`` what the
        training mean scores on that scale.
    """
    if predicted.kind == "classes":
        return _class_rows(predicted, model, drawn, seed)
    y, p = predicted.truth, predicted.models[model]
    mean = predicted.models["train mean"]
    counts = predicted.kind == "counts"
    if counts:
        gain, weight = information_parts(y, p, "mean", FLOOR, groups=predicted.blocks)
        null = bits_per_spike(y, mean, "mean", FLOOR)
    else:
        gain, weight = r2_parts(y, p, groups=predicted.blocks)
        null = r2(y, mean)
    total, norm = gain.sum(axis=0), weight.sum(axis=0)
    value = np.where(norm > 0, total / np.where(norm > 0, norm, 1.0), np.nan)
    interval = ratio_intervals(gain, weight, seed=seed).units
    rows = pd.DataFrame(
        {
            "score": MEASURES[predicted.kind],
            "recording": predicted.recording,
            "kind": "unit" if counts else "channel",
            "name": predicted.names,
            "value": value,
            "null": null,
            "low": interval[:, 0],
            "high": interval[:, 1],
            "unit": "bits/spike" if counts else "",
            "direction": "higher",
            "n": (y.sum(axis=0) if counts else np.isfinite(y).sum(axis=0)).astype(int),
        }
    )
    if counts:
        rows["rate_hz"] = y.mean(axis=0) / predicted.width
        for name in ("train mean", "train PSTH"):
            if name in predicted.models:
                against = bits_per_spike(y, p, predicted.models[name], FLOOR)
                rows[f"against_{name.lower().replace(' ', '_')}"] = against
    if drawn is not None:
        place = null_interval(value, drawn)
        rows["shift_null"], rows["shift_p"] = place.mean, place.p
    if predicted.table is not None:
        for name in predicted.table:
            own = f"table_{name}" if str(name) in rows else str(name)
            rows[own] = predicted.table[name].to_numpy()
    return rows


def shift_null(predicted: Predicted, model: str, *, seed: int = 0) -> np.ndarray | None:
    """Scores with the predictions at wrong times, ``(draw, column)``; None if too short.

    Predictions are shifted round by at least 10 s (or an eighth of the fold), those of trials by
    whole trials. Trials are not shuffled: truth and prediction may both drift slowly, and two
    drifts correlate by chance more often than what was shuffled. All within each fold, because
    predictions of different folds differ by what they were trained on.
    """
    draws = int(np.clip(_NUMBERS / max(predicted.truth.size, 1), 20, 200))
    each = predicted.bins or 1
    fold = predicted.fold[::each]
    shortest = int(np.bincount(fold).min())
    if predicted.bins is not None or predicted.per_trial:
        least = max(1, shortest // 8) if shortest >= _MIN_TRIALS else 0
    else:
        least = min(max(1, round(_MIN_SHIFT_S / predicted.width)), shortest // 8)
    if least < 1:
        return None
    bins = np.arange(each)
    index = (
        (order[:, None] * each + bins).ravel()
        for order in time_shifts(fold, least, draws, seed=seed)
    )
    y, p = predicted.truth, predicted.models[model]
    if predicted.kind == "counts":
        return bits_per_spike_null(y, p, "mean", index, FLOOR)
    if predicted.kind == "classes":
        score: Any = lambda a, b: class_scores(a[:, 0], b[:, 0]).balanced_accuracy  # noqa: E731
        return null_distribution(score, y, p, index)[:, None]
    return null_distribution(r2, y, p, index)


def _class_rows(
    predicted: Predicted, model: str, drawn: np.ndarray | None, seed: int
) -> pd.DataFrame:
    y, p = predicted.truth[:, 0], predicted.models[model][:, 0]
    scores = class_scores(y, p)
    majority = predicted.models["train mean"][:, 0]
    low, high = balanced_interval(y, p, predicted.blocks, seed=seed)
    base = {
        "recording": predicted.recording,
        "unit": "",
        "direction": "higher",
    }
    rows = [
        base
        | {
            "score": MEASURES["classes"], "kind": "target", "name": predicted.names[0],
            "value": scores.balanced_accuracy, "null": scores.chance, "low": low, "high": high,
            "n": scores.n, "accuracy": scores.accuracy, "macro_f1": scores.macro_f1,
            "majority": float((majority == y).mean()),
        }
    ]  # fmt: skip
    if drawn is not None:
        place = null_interval([scores.balanced_accuracy], drawn)
        rows[0] |= {"shift_null": float(place.mean[0]), "shift_p": float(place.p[0])}
    for c in np.unique(y):
        own = y == c
        interval = bootstrap_interval((p == c)[own], predicted.blocks[own], seed=seed)
        rows.append(
            base
            | {
                "score": "recall", "kind": "class", "name": predicted.classes[int(c)],
                "value": float((p == c)[own].mean()), "null": float((majority == c)[own].mean()),
                "low": interval.low, "high": interval.high, "n": int(own.sum()),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def balanced_interval(
    truth: np.ndarray, prediction: np.ndarray, blocks: np.ndarray, *, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of balanced accuracy: blocks are drawn with replacement."""
    classes, y = np.unique(truth, return_inverse=True)
    _, block = np.unique(blocks, return_inverse=True)
    n = block.max() + 1
    if n < 2:
        return float("nan"), float("nan")
    seen, hit = np.zeros((n, len(classes))), np.zeros((n, len(classes)))
    np.add.at(seen, (block, y), 1.0)
    np.add.at(hit, (block, y), (truth == prediction).astype(float))
    times = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=_DRAWS)
    top, bottom = times @ hit, times @ seen
    recall = np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)
    low, high = np.nanquantile(np.nanmean(recall, axis=1), [0.025, 0.975])
    return float(low), float(high)


def angle_error(predicted: Predicted, model: str) -> np.ndarray:
    """Absolute angle between truth and prediction, ``(n, angle)`` degrees."""
    if predicted.kind != "angle":
        raise DataError("Only targets that are angles have an angular error.")
    y, p = predicted.truth, predicted.models[model]
    truth = np.arctan2(y[:, 1::2], y[:, 0::2])
    guess = np.arctan2(p[:, 1::2], p[:, 0::2])
    return np.rad2deg(np.abs((guess - truth + np.pi) % (2 * np.pi) - np.pi))
