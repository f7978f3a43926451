"""Which model stands behind a name, with settings that suit the data."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tinbergen.encoding.crossval import Fold
from tinbergen.encoding.mean_rate import PSTH
from tinbergen.encoding.problem import Problem
from tinbergen.errors import ConfigError, DataError, NonFiniteError

ENCODERS = ("ridge", "rrr", "glm", "tcn", "bilinear", "mean", "psth")
DECODERS = ("ridge", "rrr", "logistic", "tcn", "bilinear")
_HOMES = {
    "ridge": ("ridge", "Ridge"),
    "rrr": ("reduced_rank", "ReducedRank"),
    "glm": ("glm", "PoissonGLM"),
    "tcn": ("tcn", "TCN"),
    "bilinear": ("bilinear", "BilinearRRR"),
    "logistic": ("logistic", "Logistic"),
}
_MOST_COLUMNS = 2500
_COMPONENTS = 200
_SHORT = 3


def model_class(name: str) -> type:
    """Return the class behind a name."""
    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(f"tinbergen.encoding.{module}"), attribute)


def check_choice(name: str, direction: str, kind: str, options: Mapping[str, Any]) -> None:
    """Refuse a model that does not exist or does not fit the target, and unknown settings.

    Raises
    ------
    ConfigError
        With what there is instead.
    """
    known = ENCODERS if direction == "encode" else DECODERS
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else "."
        raise ConfigError(f"model: {direction} knows {', '.join(known)}, found {name!r}{hint}")
    if kind == "classes" and direction == "encode":
        raise ConfigError(
            "target: encode predicts spikes, counts or traces, but this target has classes; use "
            "decode."
        )
    if kind == "classes" and name != "logistic":
        raise ConfigError(
            f"model: {name!r} predicts numbers, but the target has classes; use 'logistic'."
        )
    if kind != "classes" and name == "logistic":
        raise ConfigError(
            "model: 'logistic' predicts classes, but the target is a number; use 'ridge'."
        )
    if name == "glm" and kind != "counts":
        raise ConfigError("model: 'glm' predicts spike counts, the target has none; use 'ridge'.")
    if name in _HOMES:
        takes = list(inspect.signature(model_class(name)).parameters)
        for key in options:
            if key not in takes:
                close = difflib.get_close_matches(key, takes, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(takes)}."
                raise ConfigError(f"{name}: there is no setting {key!r}; {hint}")
    elif options:
        raise ConfigError(f"{name}: it has no settings, found {', '.join(options)}.")


def settings_for(
    name: str,
    problem: Problem,
    features: str,
    n_columns: int,
    options: Mapping[str, Any],
    seed: int,
) -> dict[str, Any]:
    """Return settings that suit a problem, those that were asked for on top.

    ``features`` is one of the problem's feature sets; any other name stands for all of them.
    """
    takes = inspect.signature(model_class(name)).parameters
    lonely = problem.per_trial or (problem.grid.per_trial or _SHORT) < _SHORT
    lags = (0, 0) if lonely else (-5, 5)
    lags = tuple(options.get("lags", lags))
    settings: dict[str, Any] = {"lags": lags}
    wide = n_columns * (lags[1] - lags[0] + 1) > _MOST_COLUMNS
    if problem.target.kind != "counts":
        settings["components"] = _COMPONENTS if wide and n_columns > _COMPONENTS else None
    elif n_columns <= 32:
        settings["components"] = None
    if name in ("ridge", "rrr", "tcn", "bilinear"):
        settings["target"] = "counts" if problem.target.kind == "counts" else "continuous"
    if name == "bilinear":
        if problem.bins < 2 or problem.per_trial:
            raise ConfigError(
                "model: 'bilinear' has weights that change over a window, with a target at each "
                "of its bins: lay windows around the trials with align, or use 'rrr'."
            )
        del settings["lags"]
        settings.pop("components", None)
    sets = problem.features.sets
    chosen = [sets[features]] if features in sets else list(sets.values())
    # Of components the first are the strongest; each by its own deviation, any would be as good.
    components = len(chosen) == 1 and chosen[0].project is not None
    if components or all(columns.kind == "counts" for columns in chosen):
        settings["scale"] = "common"
    settings |= {"seed": seed, "random_state": seed, "balanced": True}
    return {k: v for k, v in settings.items() if k in takes} | dict(options)


def plain_settings(name: str, problem: Problem, n_columns: int) -> dict[str, Any]:
    """Return settings of the plain linear baseline: no lags, no calibration."""
    if name == "logistic":
        return {}
    kind = "counts" if problem.target.kind == "counts" else "continuous"
    components = _COMPONENTS if n_columns > _MOST_COLUMNS else None
    return {"lags": (0, 0), "components": components, "calibrate": False, "target": kind}


def fit_predict(
    make: Callable[[], Any], problem: Problem, fold: Fold, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, Any]:
    """Fit on the training items of a fold and predict its test items.

    Returns
    -------
    predictions ``(test item, column)``, and the fitted model.

    Raises
    ------
    DataError
        If the training items do not do.
    NonFiniteError
        If a prediction is no number: scores would leave it out.
    """
    try:
        predicted, model = _fit_predict(make, problem, fold, x, y)
    except DataError as error:
        raise DataError(f"Recording {problem.recording!r}: {error}") from None
    if lost := int((~np.isfinite(predicted)).sum()):
        raise NonFiniteError(
            f"Recording {problem.recording!r}: {lost} of {predicted.size} predictions of one fold "
            "are not finite. Are there extreme values in the features?"
        )
    return predicted, model


def _fit_predict(
    make: Callable[[], Any], problem: Problem, fold: Fold, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, Any]:
    train, test = fold.train, fold.test
    validate = fold.validate[train]
    trials = problem.grid.per_trial
    if trials is not None and trials > 1 and not problem.per_trial:

        def cut(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
            return values[mask].reshape(-1, trials, values.shape[1])

        model = make().fit(cut(x, train), cut(y, train), validate=validate[::trials])
        predicted = np.asarray(model.predict(cut(x, test)))
        return predicted.reshape(int(test.sum()), -1), model
    segments = problem.runs(train)
    model = make().fit(x[train], y[train], segments=segments, validate=validate)
    predicted = np.asarray(model.predict(x[test], segments=problem.runs(test)))
    return predicted.reshape(int(test.sum()), -1), model


def null_predictions(problem: Problem, y: np.ndarray) -> dict[str, np.ndarray]:
    """Predict from training averages alone: ``train mean``, and of trials ``train PSTH``.

    Of classes the most frequent one.
    """
    nulls = {"train mean": np.full_like(y, np.nan)}
    trials = problem.grid.per_trial
    if trials is not None and trials > 1 and not problem.per_trial:
        nulls["train PSTH"] = np.full_like(y, np.nan)
    for fold in problem.folds:
        known = y[fold.train & problem.scored]
        if problem.target.kind == "classes":
            values, counts = np.unique(known, return_counts=True)
            nulls["train mean"][fold.test] = values[counts.argmax()]
            continue
        nulls["train mean"][fold.test] = known.mean(axis=0)
        if "train PSTH" in nulls:
            nulls["train PSTH"][fold.test] = fit_predict(PSTH, problem, fold, y, y)[0]
    return nulls


def plausible(rates: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Keep rates within what the training counts ``(row, unit)`` can tell of.

    No lower than half a spike in all of them (a rate of zero where a spike comes after all costs
    without bound), no higher than the largest count that a bin held.
    """
    return np.clip(rates, 0.5 / len(train), np.maximum(train.max(axis=0), 0.5))
