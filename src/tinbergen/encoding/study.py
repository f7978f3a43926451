"""A whole study: features and spikes of every recording in, cross-validated scores out.

:func:`encode` asks how much of the neural activity features explain, :func:`decode` how much of
behaviour the neurons tell. Both do the same: bring everything onto common bins, hold out blocks of
time (or of trials) with a gap, choose settings inside the training part, predict what was held
out, and score it beside what ignorance scores.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import Field

from tinbergen.configuration import Config, resolve
from tinbergen.encoding.choices import SHARING, check_choice
from tinbergen.encoding.crossval import FoldKind
from tinbergen.encoding.features import named_features
from tinbergen.encoding.planning import Plan, plan_all
from tinbergen.encoding.runner import ALONE, NULL_MODELS, OWN, PLAIN, Runner
from tinbergen.encoding.scoring import BY_ITSELF
from tinbergen.encoding.study_folder import StudyFolder
from tinbergen.encoding.summary import StudyResult, summarise
from tinbergen.errors import ConfigError, DataError, TinbergenError
from tinbergen.progress import Progress
from tinbergen.recordings import Dataset, Recording


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
    together: bool = False
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
    together
        Fit one model to all recordings at once (``bilinear`` shares the time courses of the
        window, ``tcn`` the middle of its network), and score it beside fits of the same model to
        each recording by itself, unit by unit.
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
    >>> import numpy as np
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
    if taken := sorted(set(named) & {OWN, PLAIN, ALONE, BY_ITSELF, *NULL_MODELS.values()}):
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
    if config.together:
        _check_together(config, len(plans))
        if any(set(each.features) != set(plans[0].features) for each in plans):
            raise ConfigError("together: expected the same feature sets in all recordings.")
    sets = {name: named.get(name, name) for each in plans for name in each.features}
    runner = Runner(config, sets, keep=folder is not None)
    with Progress(len(plans) * config.folds, f"{direction} with {model}", "folds") as progress:
        _run_all(runner, plans, bad, skip_bad, progress)
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
        result = folder.write(config, result, runner.splits, runner.hashes, runner.models)
    return result


def _check_together(config: StudyConfig, n: int) -> None:
    if config.model not in SHARING:
        raise ConfigError(
            f"together: models that share something between recordings are {' and '.join(SHARING)}"
            f", found {config.model!r}."
        )
    if config.smooth:
        raise ConfigError("together: it cannot be joined with smooth; choose one.")
    if n < 2:
        raise ConfigError(f"together: expected two recordings or more, found {n}.")


def _run_all(
    runner: Runner, plans: list[Plan], bad: dict[str, str], skip_bad: bool, progress: Progress
) -> None:
    """Cross-validate one recording after the other, or all together; note those that are bad."""
    together = []
    for each in plans:
        try:
            problem = runner.prepare(each)
            if runner.config.together:
                together.append(problem)
            else:
                runner.run([problem], progress)
        except TinbergenError as error:
            if not skip_bad:
                raise
            bad[each.recording] = str(error)
    if together:
        _check_together(runner.config, len(together))
        runner.run(together, progress)


def _dataset(data: Any) -> Dataset:
    if isinstance(data, Recording):
        return Dataset([data])
    return Dataset.open(data)


def open_study(path: str | os.PathLike) -> StudyResult:
    """Read the run folder of a study back."""
    return StudyFolder(Path(path)).read()
