"""Cross-validate recordings: fit each model on each fold, and predict what was held out."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tinbergen.encoding.choices import (
    fit_predict,
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
from tinbergen.encoding.scoring import Predicted
from tinbergen.encoding.trial_smoothing import smooth_trials
from tinbergen.errors import ConfigError
from tinbergen.progress import Progress

if TYPE_CHECKING:
    from tinbergen.encoding.study import StudyConfig

OWN = "all"
PLAIN = "plain linear"
ALONE = "each trial by itself"
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
        """Names of the predictors: all features together first, then each set by itself."""
        own = OWN if len(self.named) > 1 else next(iter(self.named))
        alone = self.config.compare and self.config.model not in NULL_MODELS
        sets = list(self.named) if alone and len(self.named) > 1 else []
        return [own, *sets]

    def run(self, planned: Plan, progress: Progress) -> None:
        """Cross-validate one recording."""
        config = self.config
        problem = make_problem(
            planned,
            n_folds=config.folds,
            fold_kind=config.fold_kind,
            gap=config.gap,
            min_rate=config.min_rate,
            seed=config.seed,
        )
        y = problem.truth()
        scored = problem.scored
        dtype = np.int64 if problem.target.kind == "classes" else np.float64
        models = {
            name: values[scored].astype(dtype)
            for name, values in self._predict(problem, y, progress).items()
        }
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
        if self.keep and config.model not in NULL_MODELS:
            self._keep(problem, y)
        self.hashes[problem.recording] = hashlib.sha256(y.tobytes()).hexdigest()

    def _predict(
        self, problem: Problem, y: np.ndarray, progress: Progress
    ) -> dict[str, np.ndarray]:
        """Return name -> out-of-fold predictions, of models, baseline and nulls."""
        models = self._models(problem, y, progress) | null_predictions(problem, y)
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
        self, problem: Problem, y: np.ndarray, progress: Progress
    ) -> dict[str, np.ndarray]:
        if self.config.model in NULL_MODELS:
            return {}
        plain = self.config.direction == "encode" or problem.target.kind != "classes"
        names = [*self.names, PLAIN] if plain else self.names
        smooth = self.config.smooth
        models = {name: np.full_like(y, np.nan) for name in names}
        for number, fold in enumerate(problem.folds):
            parts = problem.inputs(fold.train)
            for name in names:
                x = _columns(parts, name)
                alone, again = self._fit(problem, number, name, x, y)
                models[name][fold.test] = alone
                if smooth and name == self.names[0]:
                    models.setdefault(ALONE, np.full_like(y, np.nan))[fold.test] = alone
                    models[name][fold.test] = again()
            progress.advance(note=problem.recording)
        return models

    def _fit(
        self, problem: Problem, number: int, name: str, x: np.ndarray, y: np.ndarray
    ) -> tuple[np.ndarray, Callable[[], np.ndarray]]:
        """Fit on one fold, note what was chosen, and predict its test items.

        Returns
        -------
        predictions, and what gives those that neighbouring trials smooth.
        """
        began = time.perf_counter()
        fold, new = problem.folds[number], self._maker(problem, name, x.shape[1])
        predicted, fitted = fit_predict(new, problem, fold, x, y)
        row = {"recording": problem.recording, "fold": number, "features": name}
        row |= {"columns": x.shape[1], "seconds": round(time.perf_counter() - began, 3)}
        for attribute in ("alpha_", "rank_", "validation_score_"):
            value = getattr(fitted, attribute, None)
            if isinstance(value, int | float | np.number):
                row[attribute.rstrip("_")] = float(value)
        self.fits.append(row)
        return predicted, lambda: smooth_trials(new, problem, fold, x, y, fitted)

    def _maker(self, problem: Problem, name: str, n_columns: int) -> Callable[[], Any]:
        """Return what makes a new model for a predictor."""
        config = self.config
        if name == PLAIN:
            choice, settings = "ridge", plain_settings("ridge", problem, n_columns)
        else:
            choice = config.model
            settings = settings_for(choice, problem, n_columns, config.options, config.seed)
        return lambda: model_class(choice)(**settings)

    def _keep(self, problem: Problem, y: np.ndarray) -> None:
        """Fit the model with all features on the whole recording."""
        everything = np.ones(problem.n, dtype=bool)
        x = _columns(problem.inputs(everything), self.names[0])
        model = fit_whole(self._maker(problem, self.names[0], x.shape[1]), problem, x, y)
        limits = rate_limits(y[problem.scored]) if problem.target.kind == "counts" else None
        window = {key: getattr(self.config, key) for key in ("align", "before", "after", "bin")}
        self.models[problem.recording] = FittedModel.of(
            model, self.config.model, problem, self.named, window, limits
        )


def _columns(parts: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Return the columns ``(item, column)`` of one feature set, or all of them side by side."""
    chosen = [name] if name in parts else list(parts)
    return np.concatenate([parts[each] for each in chosen], axis=1)
