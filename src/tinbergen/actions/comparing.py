"""Several models on the same recordings, in one table."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tinbergen.actions.evaluation import evaluate
from tinbergen.actions.fitting import train
from tinbergen.actions.registry import SEGMENTERS, segmenter_class
from tinbergen.configuration import merge
from tinbergen.errors import ConfigError
from tinbergen.files import ensure_output_folder, write_csv
from tinbergen.recordings import Dataset

_SCORES = {
    "macro F1": "macro_f1",
    "F1@10": "f1_10",
    "F1@25": "f1_25",
    "F1@50": "f1_50",
    "edit score": "edit",
    "Cohen's kappa": "kappa",
    "calibration error": "calibration_error",
}


def compare(
    data: Any,
    out: str | os.PathLike,
    models: Sequence[str] = tuple(SEGMENTERS),
    *,
    split: str | None = None,
    part: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    resume: bool = False,
    skip_bad: bool = False,
) -> pd.DataFrame:
    """Train and score several models on the same recordings with the same features.

    Parameters
    ----------
    data, split, overrides, resume, skip_bad
        As :func:`~tinbergen.actions.train` takes them; ``settings`` cannot be meant for several.
    out
        Folder: a run a model, scored but without movies, and ``comparison.csv``.
    models
        Names of :data:`~tinbergen.actions.SEGMENTERS`; default: all.
    part
        As :func:`~tinbergen.actions.evaluate` takes it.

    Returns
    -------
    DataFrame
        A row a model, best macro F1 first: its scores (shares between 0 and 1), ``train_s`` and
        ``predict_s`` (CPU-s, of a recording, without its features), ``left_out`` (recordings).

    Raises
    ------
    ConfigError
        If a model is not known, ``settings`` are given for several, or nothing is left to score.
    """
    for name in models:
        segmenter_class(name)
    if len(models) > 1 and (overrides or {}).get("settings"):
        raise ConfigError("settings are those of one model; compare several without them.")
    dataset = Dataset.open(data)
    parts = dataset.split(split) if split is not None else {}
    if part is None and not any(len(parts.get(each, ())) for each in ("test", "validation")):
        raise ConfigError(
            "All recordings would train, and none be scored: name a split with a part 'test' "
            "(--split), or the part to score (--part train)."
        )
    folder = ensure_output_folder(out)
    rows = []
    for name in models:
        run = train(
            dataset,
            Path(folder) / name,
            split=split,
            overrides=merge(overrides or {}, {"model": name}),
            resume=resume,
            skip_bad=skip_bad,
        )
        result = evaluate(run, dataset, part=part, skip_bad=skip_bad, movies=False)
        values = {score.name: score.value for score in result.scores}
        row: dict[str, Any] = {"model": name}
        row |= {short: values[long] for long, short in _SCORES.items()}
        row |= {"train_s": run.status["metrics"]["cpu_s"], "predict_s": result.seconds}
        lost = {*run.status.get("losses", ()), *result.sequences.lost}
        row["left_out"] = len(lost)
        rows.append(row)
    table = pd.DataFrame(rows).sort_values("macro_f1", ascending=False, ignore_index=True)
    write_csv(Path(folder) / "comparison.csv", table.round(4))
    return table
