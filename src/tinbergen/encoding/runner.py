"""Cross-validate recordings: fit each model on each fold, and predict what was held out."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tinbergen.encoding.choices import (
    fit_predict,
    fit_shared,
    fit_whole,
    model_class,
    null_predictions,
    plain_settings,
    rate_limits,
    settings_for,
)
from tinbergen.encoding.fitted import FittedModel
from tinbergen.encoding.planning import Plan
from tinbergen.encoding.problem import Problem, make_problem
from tinbergen.encoding.scoring import BY_ITSELF, WITHOUT, Predicted
from tinbergen.encoding.trial_smoothing import smooth_trials
from tinbergen.errors import ConfigError
from tinbergen.progress import Progress

if TYPE_CHECKING:
    from tinbergen.encoding.study import StudyConfig

OWN = "all"
PLAIN = "plain linear"
ALONE = "each trial by itself"
TOGETHER = "together"
NULL_MODELS = {"mean": "train mean", "psth": "train PSTH"}


@dataclass
class Runner:
    """Fits and predicts one recording after the other.

    Attributes
    ----------
    config
        The study's.
    named
        Feature set -> what it is taken from.
    keep
        Whether to fit a model on all of each recording, and keep it.
    predicted, fits, left_out, splits, hashes, models
        What was found, a recording (or fit) each.
    """

    config: StudyConfig
    named: dict[str, Any]
    keep: bool
    predicted: list[Predicted] = field(default_factory=list)
    fits: list[dict[str, Any]] = field(default_factory=list)
    left_out: dict[str, dict[str, float]] = field(default_factory=dict)
    splits: dict[str, Any] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    models: dict[str, FittedModel] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Names of the predictors: all features, then each set by itself, then all but each.

        What a set explains beyond the others is asked of what is encoded only.
        """
        own = OWN if len(self.named) > 1 else next(iter(self.named))
        alone = self.config.compare and self.config.model not in NULL_MODELS
        sets = list(self.named) if alone and len(self.named) > 1 else []
        beyond = sets if self.config.direction == "encode" else []
        return [own, *sets, *(f"{WITHOUT}{name}" for name in beyond)]

    def prepare(self, planned: Plan) -> Problem:
        """Read a recording, and make its folds."""
        config = self.config
        return make_problem(
            planned,
            n_folds=config.folds,
            fold_kind=config.fold_kind,
            gap=config.gap,
            min_rate=config.min_rate,
            seed=config.seed,
        )

    def run(self, problems: Sequence[Problem], progress: Progress) -> None:
        """Cross-validate one recording, or several that share a model."""
        truths = [problem.truth() for problem in problems]
        found = self._models(problems, truths, progress)
        for problem, y, models in zip(problems, truths, found, strict=True):
            self._note(problem, y, self._with_nulls(problem, y, models))
        if self.keep and self.config.model not in NULL_MODELS:
            self._keep(problems, truths)

    def _note(self, problem: Problem, y: np.ndarray, predicted: Mapping[str, np.ndarray]) -> None:
        """Keep what was predicted of a recording."""
        scored = problem.scored
        dtype = np.int64 if problem.target.kind == "classes" else np.float64
        models = {name: values[scored].astype(dtype) for name, values in predicted.items()}
        fold_of = np.zeros(problem.n, dtype=int)
        for number, fold in enumerate(problem.folds):
            fold_of[fold.test] = number
        self.predicted.append(
            Predicted(
                recording=problem.recording,
                kind=problem.target.kind,
                names=problem.target.names,
                classes=problem.target.classes,
                truth=y[scored].astype(dtype),
                models=models,
                segment=problem.runs(scored),
                blocks=problem.blocks,
                starts=problem.starts[scored],
                stops=problem.stops[scored],
                trial=problem.trial[scored],
                fold=fold_of[scored],
                table=problem.target.table,
                bins=None if problem.per_trial else problem.grid.per_trial,
                per_trial=problem.per_trial,
                notes=tuple(
                    f"{name}: {note}"
                    for name, columns in problem.features.sets.items()
                    for note in columns.notes
                ),
            )
        )
        self.left_out[problem.recording] = problem.left_out
        self.splits[problem.recording] = problem.split
        self.hashes[problem.recording] = hashlib.sha256(y.tobytes()).hexdigest()

    def _with_nulls(
        self, problem: Problem, y: np.ndarray, models: dict[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Add predictions of the nulls, and keep all rates within what can be known."""
        models = models | null_predictions(problem, y)
        if wanted := NULL_MODELS.get(self.config.model):
            if wanted not in models:
                raise ConfigError("model: 'psth' needs windows of trials; give align.")
            models = {self.names[0]: models[wanted], **models}
        if problem.target.kind == "counts":
            for fold in problem.folds:
                for rates in models.values():
                    limits = rate_limits(y[fold.train & problem.scored])
                    rates[fold.test] = np.clip(rates[fold.test], *limits)
        return models

    def _models(
        self, problems: Sequence[Problem], truths: Sequence[np.ndarray], progress: Progress
    ) -> list[dict[str, np.ndarray]]:
        """Return name -> out-of-fold predictions of models and baseline, for each recording."""
        if self.config.model in NULL_MODELS:
            return [{} for _ in problems]
        several = len(problems) > 1
        plain = self.config.direction == "encode" or problems[0].target.kind != "classes"
        there = problems[0].features.sets  # a recording may lack a region that others have
        own = [
            name
            for name in self.names
            if name == self.names[0] or (_set(name) in there and (name in there or len(there) > 1))
        ]
        names = [*own, *([BY_ITSELF] if several else []), *([PLAIN] if plain else [])]
        found = [{name: np.full_like(y, np.nan) for name in names} for y in truths]
        twins = {}  # without one of two sets there is the other, which is fitted anyway
        if len(there) == 2:
            first, second = there
            pairs = {f"{WITHOUT}{first}": second, f"{WITHOUT}{second}": first}
            twins = {name: twin for name, twin in pairs.items() if {name, twin} <= set(names)}
        for number in range(self.config.folds):
            parts = [p.inputs(p.folds[number].train) for p in problems]
            for name in names:
                if name in twins:
                    continue
                inputs = [_chosen(each, name) for each in parts]
                if several and name in self.names:
                    predicted = self._fit_shared(problems, number, name, inputs, truths)
                    for problem, models, values in zip(problems, found, predicted, strict=True):
                        models[name][problem.folds[number].test] = values
                    continue
                for problem, models, sets, y in zip(problems, found, inputs, truths, strict=True):
                    test = problem.folds[number].test
                    models[name][test], again = self._fit(problem, number, name, sets, y)
                    if self.config.smooth and name == self.names[0]:
                        alone = models.setdefault(ALONE, np.full_like(y, np.nan))
                        alone[test] = models[name][test]
                        models[name][test] = again()
            progress.advance(len(problems), note=problems[0].recording if not several else "")
        for models in found:
            models |= {name: models[twin].copy() for name, twin in twins.items()}
        return found

    def _fit_shared(
        self,
        problems: Sequence[Problem],
        number: int,
        name: str,
        inputs: Sequence[list[np.ndarray]],
        truths: Sequence[np.ndarray],
    ) -> list[np.ndarray]:
        """Fit one model on a fold of all recordings, and predict the test items of each."""
        began = time.perf_counter()
        new = self._maker(problems[0], name, _common_widths(inputs))
        folds = [problem.folds[number] for problem in problems]
        xs = [np.concatenate(sets, axis=1) for sets in inputs]
        predicted, fitted = fit_shared(new, problems, folds, xs, truths)
        self._log(TOGETHER, number, name, xs[0].shape[1], began, fitted)
        return predicted

    def _fit(
        self, problem: Problem, number: int, name: str, sets: list[np.ndarray], y: np.ndarray
    ) -> tuple[np.ndarray, Callable[[], np.ndarray]]:
        """Fit on one fold, note what was chosen, and predict its test items.

        Returns
        -------
        predictions, and what gives those that neighbouring trials smooth.
        """
        began = time.perf_counter()
        fold, x = problem.folds[number], np.concatenate(sets, axis=1)
        new = self._maker(problem, name, _common_widths([sets]))
        predicted, fitted = fit_predict(new, problem, fold, x, y)
        self._log(problem.recording, number, name, x.shape[1], began, fitted)
        return predicted, lambda: smooth_trials(new, problem, fold, x, y, fitted)

    def _log(
        self, recording: str, number: int, name: str, columns: int, began: float, fitted: Any
    ) -> None:
        """Note what a fit has chosen."""
        row = {"recording": recording, "fold": number, "features": name, "columns": columns}
        row["seconds"] = round(time.perf_counter() - began, 3)
        for attribute in ("alpha_", "rank_", "validation_score_"):
            value = getattr(fitted, attribute, None)
            if isinstance(value, int | float | np.number):
                row[attribute.rstrip("_")] = float(value)
        self.fits.append(row)

    def _maker(self, problem: Problem, name: str, widths: Sequence[int]) -> Callable[[], Any]:
        """Return what makes a new model for a predictor of feature sets of these widths."""
        config = self.config
        if name == PLAIN:
            choice, settings = "ridge", plain_settings("ridge", problem, sum(widths))
        else:
            choice = config.model
            settings = settings_for(choice, problem, name, widths, config.options, config.seed)
        return lambda: model_class(choice)(**settings)

    def _keep(self, problems: Sequence[Problem], truths: Sequence[np.ndarray]) -> None:
        """Fit the model with all features on the whole of each recording, or of all at once."""
        own = self.names[0]
        sets = [_chosen(p.inputs(np.ones(p.n, dtype=bool)), own) for p in problems]
        new = self._maker(problems[0], own, _common_widths(sets))
        inputs = [np.concatenate(each, axis=1) for each in sets]
        if len(problems) == 1:
            models = [fit_whole(new, problems[0], inputs[0], truths[0])]
        else:
            wholes = [problem.whole for problem in problems]
            shared = fit_shared(new, problems, wholes, inputs, truths)[1]
            models = [shared.only(session) for session in range(len(problems))]
        window = {key: getattr(self.config, key) for key in ("align", "before", "after", "bin")}
        for problem, y, model in zip(problems, truths, models, strict=True):
            limits = rate_limits(y[problem.scored]) if problem.target.kind == "counts" else None
            self.models[problem.recording] = FittedModel.of(
                model, self.config.model, problem, self.named, window, limits
            )


def _chosen(parts: Mapping[str, np.ndarray], name: str) -> list[np.ndarray]:
    """Return the columns ``(item, column)`` of one feature set, of all but it, or of each."""
    if name in parts:
        return [parts[name]]
    return [columns for each, columns in parts.items() if each != _set(name)]


def _set(name: str) -> str:
    """Return the feature set that a predictor takes, or leaves out."""
    return name.removeprefix(WITHOUT)


def _common_widths(inputs: Sequence[list[np.ndarray]]) -> list[int]:
    """Return the number of columns of each set; if recordings differ, the largest sum of them."""
    widths = [[part.shape[1] for part in sets] for sets in inputs]
    return widths[0] if all(w == widths[0] for w in widths) else [max(map(sum, widths))]
