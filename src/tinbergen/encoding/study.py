"""A whole study: features and spikes of every recording in, cross-validated scores out.

:func:`encode` asks how much of the neural activity features explain, :func:`decode` how much of
behaviour the neurons tell. Both do the same: bring everything onto common bins, hold out blocks of
time (or of trials) with a gap, choose settings inside the training part, predict what was held
out, and score it beside what ignorance scores.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from tinbergen.configuration import Config, resolve
from tinbergen.encoding.choices import (
    check_choice,
    fit_predict,
    model_class,
    null_predictions,
    plain_settings,
    plausible,
    settings_for,
)
from tinbergen.encoding.crossval import FoldKind
from tinbergen.encoding.features import named_features
from tinbergen.encoding.planning import Plan, plan_all
from tinbergen.encoding.problem import Problem, make_problem
from tinbergen.encoding.scoring import Predicted
from tinbergen.encoding.study_folder import StudyFolder
from tinbergen.encoding.summary import StudyResult, summarise
from tinbergen.encoding.trial_smoothing import smooth_trials
from tinbergen.errors import ConfigError, DataError, TinbergenError
from tinbergen.progress import Progress
from tinbergen.recordings import Dataset, Recording

OWN = "all"
PLAIN = "plain linear"
ALONE = "each trial by itself"
_NULL_MODELS = {"mean": "train mean", "psth": "train PSTH"}


class StudyConfig(Config):
    """Everything that decides what a study computes."""

    direction: Literal["encode", "decode"]
    features: tuple[str, ...]
    target: str
    model: str
    options: dict[str, Any] = {}
    bin: float | None = Field(None, gt=0)  # s
    align: str | None = None
    before: float | None = None  # s
    after: float | None = None  # s
    folds: int = Field(5, ge=2)
    fold_kind: FoldKind = "blocks"
    gap: float = Field(1.0, ge=0)  # s
    min_rate: float = Field(0.5, ge=0)  # Hz
    compare: bool = False
    smooth: bool = False
    seed: int = Field(0, ge=0)


def encode(
    data: Any,
    *,
    features: Any,
    target: Any = "spikes",
    model: str = "ridge",
    out: str | os.PathLike | None = None,
    **settings: Any,
) -> StudyResult:
    """Predict neural activity from features, and score it on held-out time.

    Parameters
    ----------
    data
        A Dataset, a Recording, a mapping name -> Recording, or a path that
        :meth:`Dataset.open <tinbergen.recordings.Dataset.open>` takes.
    features
        Selectors such as ``"wheel,pose"``, a folder of embeddings, a mapping recording -> Series,
        or a mapping name -> one of these; see :mod:`tinbergen.encoding.sources`.
    target
        Selector of spikes, of a series of counts, or of a continuous trace (calcium).
    model
        ``ridge``, ``rrr``, ``glm``, ``tcn``, ``bilinear``, ``mean``, ``psth``.
    out
        Run folder to make; None: nothing is written.
    bin
        Width of the bins, s; see :func:`~tinbergen.encoding.planning.plan`.
    align, before, after
        Windows of trials: column of the trials, and s before and after it.
    folds, fold_kind, gap
        See :func:`~tinbergen.encoding.crossval.make_folds`.
    options
        Settings of the model, as its constructor takes them.
    min_rate
        Units below are left out and counted, Hz: a handful of spikes gives no score.
    compare
        Also score each feature set by itself, on the same bins.
    seed
        Of everything that is drawn.
    skip_bad
        Leave recordings out that cannot be used, instead of stopping.

    Returns
    -------
    StudyResult
        Scores a unit, predictions, and the summary.

    Raises
    ------
    OutputError
        If ``out`` holds something already.
    DataError, ConfigError
        If something named is not there, or too little is known.

    Examples
    --------
    >>> import tinbergen as tb
    >>> times = np.arange(0, 100, 0.05)
    >>> rate = np.exp(np.sin(times))
    >>> counts = np.random.default_rng(0).poisson(rate)
    >>> session = tb.Recording("day1", {
    ...     "wheel": tb.Series(times, rate, ("speed",), "cm/s"),
    ...     "counts": tb.Series(times, counts, ("unit 1",), "spikes/bin"),
    ... })
    >>> result = tb.encoding.encode(session, features="wheel", target="counts")
    >>> result.headline.value > 0.1
    True
    """
    return _study("encode", data, features, target, model, out, **settings)


def decode(
    data: Any,
    *,
    features: Any = "spikes",
    target: Any,
    model: str | None = None,
    out: str | os.PathLike | None = None,
    **settings: Any,
) -> StudyResult:
    """Predict behaviour from neural activity, and score it on held-out time.

    Parameters
    ----------
    data
        As in :func:`encode`.
    features
        Selector of the spikes; ``"spikes/VISp"`` are those of one region.
    target
        Selector of what to decode: a series, keypoints, labels, or a column of the trials.
    model
        ``ridge``, ``rrr``, ``tcn``, ``bilinear`` for numbers, ``logistic`` for classes; default:
        ridge or logistic.
    out
        Run folder to make; None: nothing is written.
    **settings
        As in :func:`encode`; and ``smooth``: decode one value a trial with the help of the trials
        around it, see :func:`~tinbergen.encoding.trial_smoothing.smooth_trials`.

    Returns
    -------
    StudyResult

    Raises
    ------
    OutputError, DataError, ConfigError
        As in :func:`encode`.
    """
    return _study("decode", data, features, target, model, out, **settings)


def _study(
    direction: Literal["encode", "decode"],
    data: Any,
    features: Any,
    target: Any,
    model: str | None,
    out: str | os.PathLike | None,
    *,
    skip_bad: bool = False,
    options: Mapping[str, Any] | None = None,
    **settings: Any,
) -> StudyResult:
    started = time.perf_counter()
    folder = None if out is None else StudyFolder.prepare(out)
    dataset = _dataset(data)
    named = named_features(features)
    if taken := sorted(set(named) & {OWN, PLAIN, ALONE, *_NULL_MODELS.values()}):
        raise ConfigError(f"features: {taken[0]!r} has a meaning of its own; choose another name.")
    chosen = {
        "direction": direction,
        "features": tuple(named),
        "target": target if isinstance(target, str) else "target",
        "model": model or "",
        "options": dict(options or {}),
    }
    config = resolve(StudyConfig, chosen, settings)
    plans, bad = plan_all(dataset, named, target, settings, skip_bad)
    kind = plans[0].target.kind
    if any(each.target.kind != kind for each in plans):
        kinds = "; ".join(f"{each.recording}: {each.target.kind}" for each in plans)
        raise DataError(
            f"Expected one kind of target in all recordings, found {kinds}. A column of few "
            "different numbers is classes; ':numbers' behind its name keeps them numbers."
        )
    model = model or ("logistic" if kind == "classes" else "ridge")
    config = config.updated(model=model)
    check_choice(model, direction, kind, config.options)
    runner = _Runner(config, dict(named))
    with Progress(len(plans) * config.folds, f"{direction} with {model}", "folds") as progress:
        for each in plans:
            try:
                runner.run(each, progress)
            except TinbergenError as error:
                if not skip_bad:
                    raise
                bad[each.recording] = str(error)
    if not runner.predicted:
        raise DataError("No recording could be used:\n  " + "\n  ".join(bad.values()))
    result = summarise(
        config.model_dump(),
        runner.predicted,
        runner.names,
        fits=pd.DataFrame(runner.fits),
        left_out=runner.left_out,
        bad=bad,
        seconds=time.perf_counter() - started,
    )
    if folder is not None:
        result = folder.write(config, result, runner.splits, runner.hashes)
    return result


def _dataset(data: Any) -> Dataset:
    if isinstance(data, Recording):
        return Dataset([data])
    return Dataset.open(data)


@dataclass
class _Runner:
    """Fits and predicts one recording after the other."""

    config: StudyConfig
    named: dict[str, Any]
    predicted: list[Predicted] = field(default_factory=list)
    fits: list[dict[str, Any]] = field(default_factory=list)
    left_out: dict[str, dict[str, float]] = field(default_factory=dict)
    splits: dict[str, Any] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Names of the predictors: all features together first, then each set by itself."""
        own = OWN if len(self.named) > 1 else next(iter(self.named))
        alone = self.config.compare and self.config.model not in _NULL_MODELS
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
        self.hashes[problem.recording] = hashlib.sha256(y.tobytes()).hexdigest()

    def _predict(
        self, problem: Problem, y: np.ndarray, progress: Progress
    ) -> dict[str, np.ndarray]:
        """Return name -> out-of-fold predictions, of models, baseline and nulls."""
        models = self._models(problem, y, progress) | null_predictions(problem, y)
        if wanted := _NULL_MODELS.get(self.config.model):
            if wanted not in models:
                raise ConfigError("model: 'psth' needs windows of trials; give align.")
            models = {self.names[0]: models[wanted], **models}
        if problem.target.kind == "counts":
            for fold in problem.folds:
                for rates in models.values():
                    known = y[fold.train & problem.scored]
                    rates[fold.test] = plausible(rates[fold.test], known)
        return models

    def _models(
        self, problem: Problem, y: np.ndarray, progress: Progress
    ) -> dict[str, np.ndarray]:
        if self.config.model in _NULL_MODELS:
            return {}
        plain = self.config.direction == "encode" or problem.target.kind != "classes"
        names = [*self.names, PLAIN] if plain else self.names
        smooth = self.config.smooth
        models = {name: np.full_like(y, np.nan) for name in names}
        for number, fold in enumerate(problem.folds):
            parts = problem.inputs(fold.train)
            for name in names:
                chosen = [name] if name in parts and len(parts) > 1 else list(parts)
                x = np.concatenate([parts[each] for each in chosen], axis=1)
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
        config = self.config
        if name == PLAIN:
            choice = "ridge"
            settings = plain_settings(choice, problem, x.shape[1])
        else:
            choice = config.model
            width = x.shape[1]
            settings = settings_for(choice, problem, name, width, config.options, config.seed)
        began = time.perf_counter()
        make = model_class(choice)
        fold = problem.folds[number]

        def new() -> Any:
            return make(**settings)

        predicted, fitted = fit_predict(new, problem, fold, x, y)
        row = {"recording": problem.recording, "fold": number, "features": name}
        row |= {"columns": x.shape[1], "seconds": round(time.perf_counter() - began, 3)}
        for attribute in ("alpha_", "rank_", "validation_score_"):
            value = getattr(fitted, attribute, None)
            if isinstance(value, int | float | np.number):
                row[attribute.rstrip("_")] = float(value)
        self.fits.append(row)
        return predicted, lambda: smooth_trials(new, problem, fold, x, y, fitted)


def open_study(path: str | os.PathLike) -> StudyResult:
    """Read the run folder of a study back."""
    return StudyFolder(Path(path)).read()
