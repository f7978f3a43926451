"""Asking a network everything about the test windows of one session, beside the baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import pandas as pd

from tinbergen.population.answer_scores import class_rows, spike_rows, value_rows
from tinbergen.population.baselines import MEAN_RATE, Baselines
from tinbergen.population.model_run import PopulationRun
from tinbergen.population.questions import SPIKES, Question, large_regions
from tinbergen.population.sessions import Session
from tinbergen.population.vocabulary import class_numbers

OWN = "network"
"""Name of the population model among the methods."""
Part = Literal["train", "validation", "test"]


@dataclass(frozen=True, eq=False)
class Answer:
    """What the network said to one question, for figures.

    Attributes
    ----------
    truth, predicted
        Of the scored bins, ``(window, time, unit)`` spikes/bin, or a behaviour as the session has
        it; classes as numbers, -1 = not known.
    classes
        Names of the classes, if it is about any.
    """

    question: Question
    truth: np.ndarray
    predicted: np.ndarray
    classes: tuple[Any, ...] = ()


@dataclass(frozen=True, eq=False)
class SessionAnswers:
    """Answers about one session that figures are drawn of.

    Attributes
    ----------
    session
        All its windows.
    test
        Rows of the windows that were asked about.
    answers
        Title of a question -> answer.
    """

    session: Session
    test: np.ndarray
    answers: dict[str, Answer] = field(default_factory=dict)


class SessionAsker:
    """Puts the questions about one session.

    Parameters
    ----------
    run
        The network and its data.
    session
        One of its sessions.
    parts
        Part of the split -> rows of this session.
    part
        Which of them to ask about.
    folds
        Groups in which units are hidden; None: one by one.
    baselines
        Whether classical models are fitted as well; the nulls always are there.
    beside
        Name -> other networks that know the session, to be asked the same.
    """

    def __init__(
        self,
        run: PopulationRun,
        session: Session,
        parts: dict[str, np.ndarray],
        *,
        part: Part = "test",
        folds: int | None = 20,
        baselines: bool = True,
        beside: Mapping[str, PopulationRun] = MappingProxyType({}),
    ):
        # Of modalities of many channels the components that the network reads stand for them.
        read = {
            name: run.vocabulary.read(session.name, name, session.values[name])
            for name in run.vocabulary.axes
            if name in session.values
        }
        session = replace(session, values={**session.values, **read})
        self.run, self.session, self.folds, self.with_baselines = run, session, folds, baselines
        self.networks = {OWN: run, **beside}
        self.test = parts[part]
        self.future = max(1, round(0.1 * run.vocabulary.n_bins))
        known = run.vocabulary.sessions[run.vocabulary.number(session.name)]
        self.rates = np.array(known.rates)
        self.classes = {
            name: class_numbers(session.values[name], run.vocabulary.classes[name])
            for name, modality in run.config.modalities.items()
            if modality.kind == "categorical" and name in session.values
        }
        self.baselines = Baselines(
            session,
            parts["train"],
            parts.get("validation", np.zeros(0, dtype=int)),
            self.test,
            self.classes,
            self.rates,
        )
        self._states: dict[tuple[str, ...], np.ndarray] = {}

    def ask(self, question: Question) -> tuple[pd.DataFrame, Answer]:
        """Return the scores of a question, and the network's answer to it."""
        if question.of_spikes:
            return self._spikes(question)
        return self._behaviour(question)

    def _spikes(self, question: Question) -> tuple[pd.DataFrame, Answer]:
        name, session, forward = self.session.name, self.session, question.task == "forward"
        counts = session.counts[self.test]
        total = counts.sum(axis=(0, 1), dtype=np.int64)
        bins = slice(-self.future, None) if forward else slice(None)
        counts = counts[:, bins]
        unscored = np.zeros(session.n_units, dtype=bool)
        if question.task in ("intra_region", "inter_region"):
            unscored = ~np.isin(session.regions.astype(str), large_regions(session.regions))
        methods = {}
        for method, network in self.networks.items():
            predicted = network.predict(
                name,
                question.given,
                task=None if question.task == "encoding" else question.task,  # type: ignore[arg-type]
                windows=self.test,
                folds=self.folds,
                future=self.future,
            )[:, bins]
            predicted[..., unscored] = np.nan
            methods[method] = predicted
        if self.with_baselines:
            methods |= self.baselines.spikes(question, self.future)
        else:
            methods[MEAN_RATE] = np.broadcast_to(self.rates, counts.shape)
        rows = spike_rows(question, name, counts, methods, self.rates, session.regions, total)
        return rows, Answer(question, counts, methods[OWN])

    def _behaviour(self, question: Question) -> tuple[pd.DataFrame, Answer]:
        target, name = question.target, self.session.name
        classes = self.run.vocabulary.classes.get(target, ())
        methods = {}
        for method, network in self.networks.items():
            predicted = network.predict(name, question.given, target, windows=self.test)
            if target in self.run.vocabulary.axes:
                predicted = self.run.vocabulary.read(name, target, predicted)
            methods[method] = predicted.argmax(axis=-1) if classes else predicted
        if self.with_baselines:
            states = self._state(question.given) if question.task == "decoding" else None
            methods |= self.baselines.behaviour(question, states)
        else:
            methods |= self.baselines.null(question)
        if classes:
            truth = self.classes[target][self.test]
            rows = class_rows(question, name, truth, methods, classes)
        else:
            truth = np.asarray(self.session.values[target][self.test], dtype=float)
            rows = value_rows(question, name, truth, methods)
        return rows, Answer(question, truth, methods[OWN], classes)

    def _state(self, given: Sequence[str]) -> np.ndarray:
        """Return what the network makes of every bin of all windows that are looked at."""
        key = tuple(given)
        if key not in self._states:
            windows = np.arange(len(self.session))
            self._states[key] = self.run.asker.states(self.session.name, windows, given)
        return self._states[key]

    def transfer(self) -> pd.DataFrame:
        """Predict each region from each other one alone.

        Returns
        -------
        DataFrame
            ``recording, source, target, value, n``: mean over the units of ``target`` of their
            bits/spike (null: training mean), and how many units that is.
        """
        names = large_regions(self.session.regions)
        regions = self.session.regions.astype(str)
        rows = []
        for source in names if len(names) > 1 else ():
            rates = self.run.asker.from_units(self.session.name, self.test, regions == source)
            rates[..., regions == source] = np.nan
            question = Question("inter_region", SPIKES, (SPIKES,))
            counts = self.session.counts[self.test]
            total = counts.sum(axis=(0, 1), dtype=np.int64)
            scores = spike_rows(
                question, self.session.name, counts, {OWN: rates}, self.rates, regions, total
            )
            for target in names:
                value = scores.loc[scores["region"] == target, "value"].dropna()
                if target != source and len(value):
                    rows.append((self.session.name, source, target, value.mean(), len(value)))
        return pd.DataFrame(rows, columns=["recording", "source", "target", "value", "n"])
