"""Other population models beside the one that is evaluated: alone, or after more animals."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from tinbergen.configuration import resolve
from tinbergen.errors import ConfigError, DataError, MissingFileError
from tinbergen.population.baselines import METHODS
from tinbergen.population.config import PopulationConfig
from tinbergen.population.model_run import PopulationRun
from tinbergen.population.pretraining import stored_parts
from tinbergen.population.session_answers import OWN, Part
from tinbergen.population.sessions import Session
from tinbergen.training import RunFolder


def finished(run: RunFolder | str | os.PathLike) -> RunFolder:
    """Open a run that has weights.

    Raises
    ------
    MissingFileError
        If it has none yet.
    """
    folder = run if isinstance(run, RunFolder) else RunFolder.open(run)
    if not folder.weights_path.is_file():
        raise MissingFileError(
            f"{folder.path} has no weights: it is {folder.status['state']}. Resume it first."
        )
    return folder


def networks_beside(
    model: PopulationRun,
    runs: Mapping[str, RunFolder | str | os.PathLike],
    sessions: Sequence[Session],
    part: Part,
) -> dict[str, PopulationRun]:
    """Open runs that are to answer the same questions about the same windows.

    Raises
    ------
    ConfigError
        If one has other windows or modalities, or a name that is taken.
    DataError
        If one does not know a session, or was trained on windows of it that are to be scored.
    """
    found = {}
    for name, run in runs.items():
        if name in (OWN, *METHODS):
            raise ConfigError(f"A run beside the network cannot be called {name!r}; rename it.")
        folder = finished(run)
        config = resolve(PopulationConfig, folder.config)
        for what in ("windows", "modalities"):
            mine, its = getattr(model.config, what), getattr(config, what)
            if mine != its:
                raise ConfigError(
                    f"{folder.path}: expected the {what} of {model.run.path}, {mine}, found "
                    f"{its}. Only models of the same windows and modalities can be compared."
                )
        other = PopulationRun(folder, sessions)
        _check_unseen(model, other, sessions, part)
        found[name] = other
    return found


def _check_unseen(
    model: PopulationRun, other: PopulationRun, sessions: Sequence[Session], part: Part
) -> None:
    """Refuse a model that knows the answers when the one beside it does not."""
    asked, parts = stored_parts(model.run)[part], stored_parts(other.run)
    for session in sessions:
        other.vocabulary.number(session.name)
        for known in {"train", "validation"} - {part}:
            rows = parts.get(known, {}).get(session.name, [])
            if n := len(np.intersect1d(asked[session.name], rows)):
                raise DataError(
                    f"{other.run.path}: {n} {part} windows of {session.name!r} are in its part "
                    f"{known!r}. Train it with the split of {model.run.path}."
                )


def lineage(networks: Mapping[str, PopulationRun]) -> pd.DataFrame:
    """Count what each model was trained on before it met its sessions.

    Returns
    -------
    DataFrame
        ``method, animals, sessions``.
    """
    rows = []
    for name, network in networks.items():
        before = network.vocabulary.ancestors
        animals = {subject or session for session, subject in before.items()}
        rows.append((name, len(animals), len(before)))
    return pd.DataFrame(rows, columns=["method", "animals", "sessions"])
