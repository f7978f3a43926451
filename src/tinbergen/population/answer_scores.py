"""Scores of predictions in one session: a row a unit, channel, class or target, and method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tinbergen.encoding.scoring import balanced_interval
from tinbergen.metrics import (
    bits_per_spike,
    class_scores,
    information_parts,
    r2,
    r2_parts,
    ratio_intervals,
)
from tinbergen.population.baselines import MAJORITY, TRAINING_MEAN
from tinbergen.population.questions import Question

LEAST_SPIKES = 20
"""Spikes in the test windows that a unit must have to be scored."""
LEAST_SCORED = 5
"""Of them in the bins that are scored."""


def spike_rows(
    question: Question,
    recording: str,
    counts: np.ndarray,
    methods: Mapping[str, np.ndarray],
    rates: np.ndarray,
    regions: np.ndarray,
    spikes: np.ndarray,
) -> pd.DataFrame:
    """Score rates in bits/spike of each unit.

    Parameters
    ----------
    counts
        ``(window, time, unit)``, spikes/bin: the bins that are scored.
    methods
        Name -> rates of that shape; NaN where a method has no answer. The first is the network,
        which alone gets an interval over windows.
    rates
        ``(unit,)`` spikes/bin: the mean in training, the null of ``value``.
    spikes
        ``(unit,)``: in all test windows.

    Returns
    -------
    DataFrame
        The columns of ``scores.csv``, see :mod:`tinbergen.report`, and ``features`` (the method),
        ``task``, ``region``, ``against_test_mean`` (bits/spike where the null is the mean of the
        scored bins) and ``bits`` (the sum over bins whose ratio to ``n``, the spikes, is
        ``value``). ``value`` is empty for units with fewer than :data:`LEAST_SPIKES` or
        :data:`LEAST_SCORED` spikes; their bits and spikes still count in pooled scores.
    """
    tables = []
    windows = np.arange(len(counts))
    for number, (method, predicted) in enumerate(methods.items()):
        gain, weight = information_parts(counts, predicted, rates, groups=windows)
        bits, n = gain.sum(axis=0) / np.log(2), weight.sum(axis=0) / np.log(2)
        counted = (spikes >= LEAST_SPIKES) & (n >= LEAST_SCORED)
        value = np.where(counted, bits / np.maximum(n, 1.0), np.nan)
        against = bits_per_spike(counts, predicted, "mean")
        ends = np.full((len(value), 2), np.nan)
        if number == 0:
            ends[counted] = ratio_intervals(gain[:, counted], weight[:, counted]).units
        columns = {
            "score": question.title, "recording": recording, "kind": "unit",
            "name": np.arange(len(value)).astype(str), "value": value, "null": 0.0,
            "low": ends[:, 0], "high": ends[:, 1], "unit": "bits/spike", "direction": "higher",
            "n": np.rint(n).astype(int), "features": method, "task": question.task,
            "region": regions, "against_test_mean": np.where(counted, against, np.nan),
            "bits": bits,
        }  # fmt: skip
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def class_rows(
    question: Question,
    recording: str,
    truth: np.ndarray,
    methods: Mapping[str, np.ndarray],
    classes: Sequence[Any],
) -> pd.DataFrame:
    """Score classes: balanced accuracy of each method, and each class's recall of the first.

    Parameters
    ----------
    truth
        ``(window,)`` or ``(window, time)`` numbers of classes, -1 = not known (left out).
    methods
        Name -> numbers of that shape; NaN where a method has no answer.
    """
    known = truth >= 0
    y = truth[known]
    block = np.broadcast_to(
        np.arange(len(truth))[(...,) + (None,) * (truth.ndim - 1)], truth.shape
    )
    majority = methods[MAJORITY][known]
    rows = []
    for number, (method, predicted) in enumerate(methods.items()):
        p = predicted[known]
        base = {"score": question.title, "recording": recording, "unit": "", "direction": "higher"}
        base |= {"features": method, "task": question.task}
        row = base | {"kind": "target", "name": question.target, "n": len(y), "value": np.nan}
        if np.isfinite(p.astype(float)).all() and len(y):
            scores = class_scores(y, p.astype(int))
            low, high = balanced_interval(y, p.astype(int), block[known])
            row |= {"value": scores.balanced_accuracy, "null": scores.chance}
            row |= {"low": low, "high": high, "accuracy": scores.accuracy}
            row |= {"macro_f1": scores.macro_f1, "majority": float((majority == y).mean())}
        rows.append(row)
        if number == 0:
            rows += [
                base
                | {
                    "score": f"{question.title}: recall", "kind": "class", "name": str(classes[c]),
                    "value": float((p[y == c] == c).mean()), "n": int((y == c).sum()),
                    "null": float((majority[y == c] == c).mean()),
                }
                for c in np.unique(y)
            ]  # fmt: skip
    return pd.DataFrame(rows)


def value_rows(
    question: Question, recording: str, truth: np.ndarray, methods: Mapping[str, np.ndarray]
) -> pd.DataFrame:
    """Score continuous values by R2 of each channel; the null is the mean in training.

    Parameters
    ----------
    truth
        ``(window, time, channel)`` or ``(window, channel)``; NaN are left out.
    methods
        Name -> values of that shape.
    """
    mean = r2(truth, methods[TRAINING_MEAN])
    names = [question.target]
    if len(mean) > 1:
        names = [f"{question.target} {c + 1}" for c in range(len(mean))]
    tables = []
    for method, predicted in methods.items():
        gain, weight = r2_parts(truth, predicted, groups=np.arange(len(truth)))
        total, norm = gain.sum(axis=0), weight.sum(axis=0)
        ends = ratio_intervals(gain, weight).units
        tables.append(
            pd.DataFrame(
                {
                    "score": question.title,
                    "recording": recording,
                    "kind": "channel",
                    "name": names,
                    "value": np.where(norm > 0, total / np.where(norm > 0, norm, 1.0), np.nan),
                    "null": mean,
                    "low": ends[:, 0],
                    "high": ends[:, 1],
                    "unit": "",
                    "direction": "higher",
                    "n": np.isfinite(truth).reshape(-1, len(mean)).sum(axis=0),
                    "features": method,
                    "task": question.task,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)
