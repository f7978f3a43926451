"""One value a trial, decoded with the help of the trials around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinbergen.encoding.beta_mixture import BetaMixtureHMM
from tinbergen.encoding.choices import fit_predict
from tinbergen.encoding.crossval import Fold
from tinbergen.encoding.kalman import LGAR1
from tinbergen.encoding.problem import Problem
from tinbergen.errors import ConfigError

_PARTS = 4


def smooth_trials(
    make: Callable[[], Any], problem: Problem, fold: Fold, x: np.ndarray, y: np.ndarray, model: Any
) -> np.ndarray:
    """Decode the test trials of a fold again, each by what the decoder says of all of them.

    Decoders fitted on parts of the training trials predict the other parts; on those pairs of
    output and truth the smoother learns how values last from trial to trial, and how far the
    decoder can be trusted. It then sees the decoder's outputs of the test trials, and no truth.

    Parameters
    ----------
    make
        Makes the decoder.
    problem, fold
        Where one value a trial is decoded.
    x, y
        ``(trial, feature)`` and ``(trial, column)``.
    model
        The decoder that was fitted on the whole training part.

    Returns
    -------
    ndarray
        ``(test trial, column)`` predictions.

    References
    ----------
    Zhang et al., "Exploiting correlations across trials and behavioral sessions to improve neural
    decoding", bioRxiv 2024.
    """
    if not problem.per_trial:
        raise ConfigError("smooth: it is for targets with one value a trial.")
    classes = problem.target.classes
    if problem.target.kind == "classes" and len(classes) != 2:
        raise ConfigError(
            f"smooth: it knows two classes, or numbers; found {len(classes)} classes."
        )
    output = _second if problem.target.kind == "classes" else _numbers
    rows = np.flatnonzero(fold.train)
    held = np.full(y.shape, np.nan)
    for first in range(_PARTS):  # not in blocks: each would be pulled to the others' mean
        part = rows[first::_PARTS]
        inside = np.isin(np.arange(len(y)), part)
        others = fold.train & ~inside
        inner = Fold(others, _every_fifth(others), inside)
        held[part] = output(fit_predict(make, problem, inner, x, y)[1], x[part])
    test = output(model, x[fold.test])
    sequences = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    columns = []
    for c in range(y.shape[1]):
        outputs, truth = [held[s, c] for s in sequences], [y[s, c] for s in sequences]
        if problem.target.kind == "classes":
            chance = BetaMixtureHMM().fit(outputs, truth).predict_proba(test[:, c])
            columns.append(np.asarray(chance) > 0.5)
        else:
            columns.append(np.asarray(LGAR1().fit(outputs, truth).predict(test[:, c])))
    return np.stack(columns, axis=1).astype(np.float64)


def _second(model: Any, x: np.ndarray) -> np.ndarray:
    """Probability of the second of two classes, within (0, 1)."""
    return np.clip(np.asarray(model.predict_proba(x))[:, 1:2], 1e-6, 1 - 1e-6)


def _numbers(model: Any, x: np.ndarray) -> np.ndarray:
    return np.asarray(model.predict(x)).reshape(len(x), -1)


def _every_fifth(train: np.ndarray) -> np.ndarray:
    """Choose every fifth training trial to choose settings on."""
    rows = np.flatnonzero(train)
    mask = np.zeros(len(train), dtype=bool)
    mask[rows[_PARTS::5]] = True
    return mask
