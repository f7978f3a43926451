"""Which model stands behind a name, with settings that suit the data."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tinbergen.encoding.components import COMPONENTS
from tinbergen.encoding.crossval import Fold
from tinbergen.encoding.mean_rate import PSTH
from tinbergen.encoding.problem import Problem
from tinbergen.encoding.scoring import WITHOUT
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
SHARING = ("tcn", "bilinear")  # can be fitted to several recordings at once
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
    widths: Sequence[int],
    options: Mapping[str, Any],
    seed: int,
) -> dict[str, Any]:
    """Return settings that suit a problem, those that were asked for on top.

    ``features`` is one of the problem's feature sets, or "without " and one of them for all but
    it; any other name stands for all of them.
    ``widths`` are the numbers of columns of the feature sets, as they lie side by side.
    """
    n_columns = sum(widths)
    takes = inspect.signature(model_class(name)).parameters
    lonely = problem.per_trial or (problem.grid.per_trial or _SHORT) < _SHORT
    lags = (0, 0) if lonely else (-5, 5)
    lags = tuple(options.get("lags", lags))
    sets = problem.features.sets
    rest = [c for each, c in sets.items() if each != features.removeprefix(WITHOUT)]
    chosen = [sets[features]] if features in sets else rest
    alike = len(chosen) == 1 and chosen[0].alike
    settings: dict[str, Any] = {"lags": lags}
    wide = n_columns * (lags[1] - lags[0] + 1) > _MOST_COLUMNS
    if problem.target.kind != "counts":
        settings["components"] = _COMPONENTS if wide and n_columns > _COMPONENTS else None
    elif n_columns <= 32:
        settings["components"] = None
    elif alike and chosen[0].project is not None:  # they are components already
        settings["components"] = 0 if name == "tcn" else None
    elif alike:
        settings["components"] = COMPONENTS
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
    # Of components the first are the strongest; each by its own deviation, any would be as good.
    if alike or all(columns.kind == "counts" for columns in chosen):
        settings["scale"] = "common"
    if len(widths) > 1:
        settings["groups"] = tuple(widths)
    settings |= {"seed": seed, "random_state": seed, "balanced": True}
    return {k: v for k, v in settings.items() if k in takes} | dict(options)


def plain_settings(name: str, problem: Problem, n_columns: int) -> dict[str, Any]:
    """Return settings of the plain linear baseline: no lags, no calibration."""
    if name == "logistic":
        return {}
    kind = "counts" if problem.target.kind == "counts" else "continuous"
    components = _COMPONENTS if n_columns > _MOST_COLUMNS else None
    return {"lags": (0, 0), "components": components, "calibrate": False, "target": kind}


def training(
    problem: Problem, fold: Fold, x: np.ndarray, y: np.ndarray
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what ``fit`` is given for a fold, and what ``predict`` is: windows as trials.

    Parameters
    ----------
    x, y
        ``(item, feature)`` and ``(item, column)``.
    """
    train, test = fold.train, fold.test
    validate = fold.validate[train]
    trials = problem.windows
    if trials is None:
        fitted = {"segments": problem.runs(train), "validate": validate}
        asked = {"X": x[test], "segments": problem.runs(test)}
        return {"X": x[train], "Y": y[train], **fitted}, asked

    def cut(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return values[mask].reshape(-1, trials, values.shape[1])

    given = {"X": cut(x, train), "Y": cut(y, train), "validate": validate[::trials]}
    return given, {"X": cut(x, test)}


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
        given, asked = training(problem, fold, x, y)
        model = make().fit(**given)
        predicted = np.asarray(model.predict(**asked)).reshape(int(fold.test.sum()), -1)
    except DataError as error:
        raise DataError(f"Recording {problem.recording!r}: {error}") from None
    _check_finite(problem, predicted)
    return predicted, model


def fit_shared(
    make: Callable[[], Any],
    problems: Sequence[Problem],
    folds: Sequence[Fold],
    x: Sequence[np.ndarray],
    y: Sequence[np.ndarray],
) -> tuple[list[np.ndarray], Any]:
    """Fit one model on a fold of each recording, and predict the test items of each.

    Returns
    -------
    predictions ``(test item, column)`` of each recording, and the fitted model.

    Raises
    ------
    DataError, NonFiniteError
        As :func:`fit_predict`.
    """
    pairs = [training(*each) for each in zip(problems, folds, x, y, strict=True)]
    given, asked = (
        {key: [part[key] for part in parts] for key in parts[0]}
        for parts in zip(*pairs, strict=True)
    )
    try:
        model = make().fit(**given)
    except DataError as error:
        raise DataError(f"All recordings together: {error}") from None
    tested = [int(fold.test.sum()) for fold in folds]
    if not any(tested):
        return [], model
    parts = [
        np.asarray(p).reshape(n, -1) for n, p in zip(tested, model.predict(**asked), strict=True)
    ]
    for problem, predicted in zip(problems, parts, strict=True):
        _check_finite(problem, predicted)
    return parts, model


def _check_finite(problem: Problem, predicted: np.ndarray) -> None:
    if lost := int((~np.isfinite(predicted)).sum()):
        raise NonFiniteError(
            f"Recording {problem.recording!r}: {lost} of {predicted.size} predictions of one fold "
            "are not finite. Are there extreme values in the features?"
        )


def fit_whole(make: Callable[[], Any], problem: Problem, x: np.ndarray, y: np.ndarray) -> Any:
    """Fit on all items of a recording, settings chosen on a part of them."""
    return make().fit(**training(problem, problem.whole, x, y)[0])


def null_predictions(problem: Problem, y: np.ndarray) -> dict[str, np.ndarray]:
    """Predict from training averages alone: ``train mean``, and of trials ``train PSTH``.

    Of classes the most frequent one.
    """
    nulls = {"train mean": np.full_like(y, np.nan)}
    if problem.windows is not None:
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


def rate_limits(train: np.ndarray) -> np.ndarray:
    """Return the least and largest rate ``(2, unit)`` that counts ``(row, unit)`` can tell of.

    No lower than half a spike in all of them (a rate of zero where a spike comes after all costs
    without bound), no higher than the largest count that a bin held.
    """
    highest = np.maximum(train.max(axis=0), 0.5)
    return np.stack([np.full_like(highest, 0.5 / len(train)), highest])
