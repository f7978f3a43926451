"""How many labels are enough: a run's model, trained on a few of its labels and on ever more."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tinbergen.actions.config import ActionConfig
from tinbergen.actions.data import labelled_sequences
from tinbergen.actions.evaluation import part_to_score
from tinbergen.actions.fitting import MODEL
from tinbergen.actions.model import ActionModel
from tinbergen.actions.registry import new_segmenter
from tinbergen.actions.thinning import CHUNK, GOALS, SEEDS, thin_labels
from tinbergen.configuration import resolve
from tinbergen.errors import ConfigError
from tinbergen.files import ensure_output_folder, write_csv
from tinbergen.metrics import frame_scores
from tinbergen.recordings import Dataset
from tinbergen.training import RunFolder

TABLE = "label_density.csv"
"""In the folder ``diagnostics`` of a run; its report draws it."""

_COLUMNS = ["frames", "draw", "labelled", "macro_f1"]


def label_density(
    run: RunFolder | str | os.PathLike,
    data: Any,
    *,
    goals: Sequence[int] = GOALS,
    draws: int = 3,
    part: str | None = None,
    skip_bad: bool = False,
) -> pd.DataFrame:
    """Train a run's model on few labels and on ever more, and score each on what was held out.

    A single model, no ensemble, with the run's settings; frames are scored as they are, without a
    decoder, since there may be too few labels to choose one on. Rows are written as they come;
    those that are there already are not computed again.

    Parameters
    ----------
    run
        A finished run with a split; rows go to ``diagnostics/label_density.csv`` in it.
    data
        The dataset that it was trained on.
    goals
        Labelled frames a class, at least 50 each; see :func:`~tinbergen.actions.thin_labels`.
    draws
        Of the labels that stay, 1 to 5.
    part, skip_bad
        As :func:`~tinbergen.actions.evaluate` takes them.

    Returns
    -------
    DataFrame
        ``frames`` (a class), ``draw``, ``labelled`` (frames of all classes), ``macro_f1``.

    Raises
    ------
    ConfigError, DataError, MissingFileError
        If a goal or a number of draws is of no use, or the run is not finished.
    """
    if not goals or min(goals) < CHUNK:
        raise ConfigError(f"goals: expected {CHUNK} frames or more each, found {list(goals)}.")
    if not 1 <= draws <= len(SEEDS):
        raise ConfigError(f"draws: expected 1 to {len(SEEDS)}, found {draws}.")
    run = run if isinstance(run, RunFolder) else RunFolder.open(run)
    model = ActionModel.load(run.path / MODEL)
    config: ActionConfig = resolve(ActionConfig, model.config.model_dump(mode="json"))
    dataset = Dataset.open(data)
    held, _ = part_to_score(run, dataset, part)
    known = {"classes": model.classes, "skip_bad": skip_bad}
    expected = (model.channels, model.rate, "the model")
    training = labelled_sequences(_trained(run, dataset), config, expected=expected, **known)
    scored = labelled_sequences(held, config, expected=expected, **known)
    path = ensure_output_folder(run.path / "diagnostics") / TABLE
    rows = _rows(path)
    for draw in range(draws):
        for goal in goals:
            if any(row["frames"] == goal and row["draw"] == draw for row in rows):
                continue
            codes = thin_labels(training.codes, len(model.classes), goal, seed=SEEDS[draw]).codes
            segmenter = new_segmenter(config.model, config.settings, config.seed + draw)
            more: dict[str, Any] = {} if training.weak is None else {"weak": training.weak}
            segmenter.fit(training.x, codes, classes=model.classes, **more)
            found = segmenter.predict(scored.x)
            score = frame_scores(scored.codes, found, len(model.classes)).macro_f1
            labelled = int(sum((each >= 0).sum() for each in codes))
            values = (goal, draw, labelled, round(score, 4))
            rows.append(dict(zip(_COLUMNS, values, strict=True)))
            write_csv(path, _table(rows))
    return _table(rows)


def _trained(run: RunFolder, dataset: Dataset) -> Dataset:
    """Return the recordings, or stretches of them, that the run was trained on."""
    split = run.status.get("split")
    if split is None:
        raise ConfigError(
            "The run was trained on all recordings, without a split: nothing is held out to score "
            "a curve on. Train with --split."
        )
    return dataset.split(split)["train"]


def _rows(path: Path) -> list[dict[str, Any]]:
    return pd.read_csv(path).to_dict("records") if path.is_file() else []  # type: ignore


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=_COLUMNS)
    return table.sort_values(["frames", "draw"], ignore_index=True)
