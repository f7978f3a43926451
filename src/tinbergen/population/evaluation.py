"""How good a population model is on windows that it was not trained on, beside plain models."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tinbergen.errors import DataError
from tinbergen.metrics import Score
from tinbergen.population.beside import finished, lineage, networks_beside
from tinbergen.population.evaluation_folder import prepare, write_evaluation
from tinbergen.population.evaluation_tables import SHUFFLED, score_of, task_table
from tinbergen.population.model_run import PopulationRun
from tinbergen.population.pretraining import Data, fingerprint, stored_parts
from tinbergen.population.questions import Question, checked_tasks, questions_of
from tinbergen.population.session_answers import OWN, Part, SessionAnswers, SessionAsker
from tinbergen.population.sessions import Session
from tinbergen.population.unit_probe import (
    firing_statistics,
    region_probe,
    unit_loadings,
    unit_vectors,
)
from tinbergen.progress import Progress
from tinbergen.training import RunFolder

_PROBES = {
    "within": ("Region of units, within recordings", "units from others of their recording"),
    "across": ("Region of units, across recordings", "units from those of other recordings"),
}
_FIRING = "firing statistics"


@dataclass(eq=False)
class Evaluation:
    """What :func:`evaluate` found.

    Attributes
    ----------
    scores
        A row a unit, channel, class or target, recording, question and method: ``scores.csv``.
    tasks
        A row a question and method, with intervals and tests: ``diagnostics/tasks.csv``.
    transfer
        A row a recording and pair of regions: ``recording, source, target, value, n``.
    units
        A row a unit: ``recording, unit, region, rate`` (Hz) and its ``vector``; empty for models
        without vectors of units.
    questions
        Title -> question.
    answers
        For figures.
    bin, start
        Width of a bin, and where windows begin relative to their event, s.
    lineage
        A row a population model: ``method, animals, sessions`` that it was trained on before it
        met these.
    notes
        What was left out.
    summary
        Content of ``summary.json``.
    path
        Where it was written.
    """

    scores: pd.DataFrame
    tasks: pd.DataFrame
    transfer: pd.DataFrame
    units: pd.DataFrame
    questions: Mapping[str, Question]
    answers: Sequence[SessionAnswers]
    bin: float
    start: float
    lineage: pd.DataFrame = field(default_factory=pd.DataFrame)
    notes: tuple[str, ...] = ()
    summary: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None

    def text(self) -> str:
        """Return a line a question: the network, and the methods beside it."""
        lines = []
        for title, rows in self.tasks.groupby("score", sort=False):
            means = rows.set_index("method")["mean"]
            own = rows.iloc[0]
            ends = f" ({own['low']:.3f} to {own['high']:.3f})" if np.isfinite(own["low"]) else ""
            others = ", ".join(f"{m} {v:.3f}" for m, v in means.items() if m != OWN)
            unit = f" {own['unit']}" if own["unit"] else ""
            lines.append(f"{title}: {own['mean']:.3f}{ends}{unit}; {others}")
        return "\n".join(lines)


def evaluate(
    run: RunFolder | str | os.PathLike,
    data: Data,
    *,
    out: str | os.PathLike | None = None,
    tasks: Sequence[str] | None = None,
    part: Part = "test",
    folds: int = 20,
    exact: bool = False,
    baselines: bool = True,
    beside: Mapping[str, RunFolder | str | os.PathLike] | None = None,
) -> Evaluation:
    """Score a population model and the classical models on the same windows.

    Parameters
    ----------
    run
        A finished run of :func:`pretrain` or :func:`adapt`.
    data
        The recordings or sessions that it was trained on; those that it does not know are left
        aside.
    out
        Where to write ``scores.csv``, ``summary.json`` and ``diagnostics/``; default: into the run
        folder, in place of an older evaluation.
    tasks
        Some of :data:`~tinbergen.population.questions.TASKS`; default: all that can be asked.
    part
        Of the split that the run stored.
    folds
        Groups in which units are hidden in co-smoothing and intra-region prediction.
    exact
        Hide them one by one instead; slower.
    baselines
        Fit ridge, logistic and reduced-rank regression, and probe vectors of units for regions.
    beside
        Name -> another run that knows all these sessions, to be scored as one more method: the
        session alone, or after more or fewer animals.

    Raises
    ------
    ConfigError
        For an unknown task, or a run beside it with other windows or modalities.
    DataError
        If a run beside it was trained on windows that are to be scored;
        if the model knows none of the sessions, if one of them has other units or fewer windows
        than it had in training, or if the split has no window to evaluate; before anything is
        computed.
    OutputError
        If ``out`` holds something already.
    """
    began = time.monotonic()
    wanted, folder = checked_tasks(tasks), finished(run)
    target = prepare(folder, out)
    model = PopulationRun(folder, data)
    chosen = _checked_windows(model, stored_parts(folder), part)
    others = networks_beside(model, beside or {}, chosen, part)
    options = {"part": part, "folds": None if exact else folds, "baselines": baselines}
    options["beside"] = others
    result = _ask_all(model, chosen, wanted, options)
    result.lineage = lineage({OWN: model, **others})
    result.notes = _notes(model, chosen)
    result.summary = _summary(result, model, chosen, part, time.monotonic() - began)
    result.path = write_evaluation(folder, target, result)
    return result


def _notes(model: PopulationRun, sessions: Sequence[Session]) -> tuple[str, ...]:
    """Return what was left out of sessions, and whether they are those of the training."""
    notes = [f"{s.name}: {note}" for s in sessions for note in s.notes]
    inputs = model.run.status["inputs"]
    changed = [s.name for s in sessions if inputs.get(s.name) not in (None, fingerprint(s))]
    if changed:
        notes.append(f"Not the data that the run was trained on: {', '.join(changed)}.")
    return tuple(notes)


def _checked_windows(
    model: PopulationRun, parts: Mapping[str, Mapping[str, np.ndarray]], part: Part
) -> list[Session]:
    """Return the sessions that have windows to evaluate.

    Raises
    ------
    DataError
        If there is none, or windows are missing.
    """
    if part not in parts:
        raise DataError(
            f"{model.run.path}: expected a part {part!r} in splits.json, found "
            f"{', '.join(parts) or 'no split'}."
        )
    for session in model.sessions:
        last = max((int(p[session.name].max(initial=-1)) for p in parts.values()
                    if session.name in p), default=-1)  # fmt: skip
        if last >= len(session):
            raise DataError(
                f"Session {session.name!r}: the run's split has windows up to number {last}, "
                f"found {len(session)} windows. Give the recording that it was trained on."
            )
    chosen = [s for s in model.sessions if len(parts[part].get(s.name, ()))]
    if not chosen:
        raise DataError(
            f"{model.run.path}: no window of {', '.join(s.name for s in model.sessions[:5])} is "
            f"in the part {part!r} of the run's split. Train with windows left to test, or name "
            "another part."
        )
    return chosen


def _ask_all(
    model: PopulationRun, sessions: Sequence[Session], wanted: Sequence[Any], options: dict
) -> Evaluation:
    parts = stored_parts(model.run)
    asked = parts["train"], parts[options["part"]]
    every = {
        s.name: questions_of(s, model.config.modalities, wanted, [rows[s.name] for rows in asked])
        for s in sessions
    }
    if not any(every.values()):
        raise DataError(
            f"Nothing of {', '.join(wanted)} can be asked of these sessions: they lack regions of "
            "5 units, or behaviours."
        )
    largest = max(sessions, key=lambda s: s.n_units)
    scores, transfer, answers, questions = [], [], [], {}
    with Progress(sum(map(len, every.values())), "evaluating", "questions") as progress:
        for session in sessions:
            own = {
                name: rows[session.name] for name, rows in parts.items() if session.name in rows
            }
            asker = SessionAsker(model, session, own, **options)
            kept = {}
            for question in every[session.name]:
                rows, answer = asker.ask(question)
                scores.append(rows)
                questions.setdefault(question.title, question)
                of_largest = question.task == "co_smoothing" and session is largest
                if question.task == "decoding" or of_largest:
                    kept[question.title] = answer
                progress.advance(note=session.name)
            answers.append(SessionAnswers(session, asker.test, kept))
            if any(question.task == "inter_region" for question in every[session.name]):
                transfer += [asker.transfer(), _within_regions(scores, session.name)]
    units = _units(model, sessions)
    if options["baselines"] and len(units):
        scores += _region_rows(units, sessions, parts["train"])
    table = _in_order(pd.concat(scores, ignore_index=True), questions)
    config = model.config.windows
    return Evaluation(
        table,
        task_table(table),
        pd.concat(transfer, ignore_index=True) if transfer else pd.DataFrame(),
        units,
        questions,
        answers,
        config.width,
        -config.before if config.align else 0.0,
    )


def _in_order(scores: pd.DataFrame, questions: Mapping[str, Question]) -> pd.DataFrame:
    """Sort rows by question, so that sessions stand together."""
    order = {title: number for number, title in enumerate(questions)}
    number = scores["score"].map(lambda t: order.get(t.removesuffix(": recall"), len(order)))
    return scores.iloc[np.argsort(number, kind="stable")].reset_index(drop=True)


def _within_regions(scores: Sequence[pd.DataFrame], recording: str) -> pd.DataFrame:
    """Return the diagonal of the matrix of regions: each region's intra-region score."""
    rows: Any = pd.concat(scores)
    rows = rows[
        (rows["task"] == "intra_region")
        & (rows["recording"] == recording)
        & (rows["features"] == OWN)
        & rows["value"].notna()
    ]
    means = rows.groupby("region")["value"].agg(["mean", "size"]).reset_index()
    return pd.DataFrame(
        {
            "recording": recording,
            "source": means["region"],
            "target": means["region"],
            "value": means["mean"],
            "n": means["size"],
        }
    )


# ---- vectors of units


def _units(model: PopulationRun, sessions: Sequence[Session]) -> pd.DataFrame:
    if model.model.stitch is not None:
        return pd.DataFrame()
    tables = []
    for session in sessions:
        vectors = unit_vectors(model.model, model.vocabulary, session.name)
        loadings = unit_loadings(model.model, model.vocabulary, session.name)
        known = model.vocabulary.sessions[model.vocabulary.number(session.name)]
        tables.append(
            pd.DataFrame(
                {
                    "recording": session.name,
                    "unit": np.arange(session.n_units),
                    "region": session.regions,
                    "rate": np.array(known.rates) / model.config.windows.width,
                    "vector": list(vectors),
                    "loadings": list(loadings),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def _region_rows(
    units: pd.DataFrame, sessions: Sequence[Session], train: Mapping[str, np.ndarray]
) -> list[pd.DataFrame]:
    """Probe vectors and firing statistics for regions: rows of ``scores.csv``."""
    regions, recordings = units["region"].to_numpy(), units["recording"].to_numpy(str)
    vectors, loadings = (np.stack(units[name].tolist()) for name in ("vector", "loadings"))
    within = loadings if loadings.shape[1] else vectors
    own = pd.concat(
        [
            region_probe(within, regions, recordings, splits=("within",)),
            region_probe(vectors, regions, recordings, splits=("across",)),
        ]
    )
    if not len(own):
        return []
    statistics = np.concatenate([firing_statistics(s.counts[train[s.name]]) for s in sessions])
    firing = region_probe(statistics, regions, recordings)
    shuffled = own.assign(value=own["shuffled"])
    rows = []
    for method, found in ((OWN, own), (_FIRING, firing), (SHUFFLED, shuffled)):
        rows.append(
            pd.DataFrame(
                {
                    "score": found["split"].map(lambda split: _PROBES[split][0]),
                    "recording": found["recording"],
                    "kind": "target",
                    "name": "region",
                    "value": found["value"],
                    "null": found["chance"],
                    "low": np.nan,
                    "high": np.nan,
                    "unit": "",
                    "direction": "higher",
                    "n": found["n"],
                    "features": method,
                    "task": "region_probe",
                    "majority": found["majority"],
                }
            )
        )
    return rows


# ---- the summary


def _summary(
    result: Evaluation,
    model: PopulationRun,
    sessions: Sequence[Session],
    part: Part,
    seconds: float,
) -> dict[str, Any]:
    scores = _score_list(result)
    headline = scores[0] if scores else None
    windows = sum(len(a.test) for a in result.answers)
    units = sum(s.n_units for s in sessions)
    return {
        "schema_version": 1,
        "room": "population",
        "title": f"Population model ({model.config.preset}) of {len(model.vocabulary.sessions)} "
        f"recording{'s' if len(model.vocabulary.sessions) > 1 else ''}",
        "trained_on": f"Evaluated on {windows} {part} windows of {len(sessions)} recordings with "
        f"{units} units",
        "seconds": seconds,
        "headline": headline.to_dict() if headline else None,
        "scores": [score.to_dict() for score in scores[1:]],
        "alarms": [],
        "notes": list(result.notes),
    }


def _score_list(result: Evaluation) -> list[Score]:
    said = {title: question.said for title, question in result.questions.items()}
    said |= dict(_PROBES.values())
    scores = [
        score_of(str(title), result.tasks, result.scores, said[str(title)])
        for title in result.tasks["score"].unique()
    ]
    probes = {title for title, _ in _PROBES.values()}
    return [
        replace(s, split="", method=f"{s.method} Logistic regression on the vectors of units.")
        if s.name in probes
        else s
        for s in scores
    ]
