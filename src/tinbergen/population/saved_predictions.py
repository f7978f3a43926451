"""Predictions of a population model on disk: a folder a session, complete or absent."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tinbergen.errors import ConfigError, OutputError
from tinbergen.files import (
    atomic_write,
    ensure_output_folder,
    explain_os_errors,
    safe_names,
    write_json,
)
from tinbergen.population.asking import SpikeTask
from tinbergen.population.model_run import PopulationRun
from tinbergen.population.pretraining import Data, stored_parts
from tinbergen.population.questions import SPIKES
from tinbergen.population.sessions import Session
from tinbergen.progress import Progress
from tinbergen.training import RunFolder


def predict(
    run: RunFolder | str | os.PathLike,
    data: Data,
    out: str | os.PathLike,
    *,
    given: Sequence[str],
    target: str = SPIKES,
    task: SpikeTask | None = None,
    folds: int | None = None,
    future: int | None = None,
) -> dict[str, Path]:
    """Predict one thing from others in all windows of all sessions that the model knows.

    Parameters
    ----------
    run
        A finished run.
    data
        Recordings or sessions.
    out
        Folder to write into, with a folder a session: ``prediction.npy`` (float32, the shape of
        :meth:`PopulationRun.predict`), ``index.csv`` (a row a window: ``window, start, stop,
        part`` and what the windows' table knows), ``columns.csv`` (a row a unit, channel or
        class) and ``meta.json``. A session's folder appears when all of it is written.
    given, target, task, folds, future
        See :meth:`PopulationRun.predict`.

    Returns
    -------
    Session -> its folder.

    Raises
    ------
    ConfigError
        For names that the model does not know, or a target that is given; before anything is
        computed.
    OutputError
        If a session's folder is there already.
    """
    folder = run if isinstance(run, RunFolder) else RunFolder.open(run)
    _check_names(folder, given, target)
    model = PopulationRun(folder, data)
    names = safe_names(s.name for s in model.sessions)
    paths = {name: Path(out) / part for name, part in names.items()}
    if there := [path for path in paths.values() if path.exists()]:
        raise OutputError(f"{there[0]} exists already. Choose another folder with --out.")
    ensure_output_folder(out)
    parts = stored_parts(folder)
    asked = {"given": list(given), "target": target, "task": task, "run": folder.path.name}
    with Progress(len(model.sessions), "predicting", "sessions") as progress:
        for session in model.sessions:
            values = model.predict(
                session.name, given, target, task=task, folds=folds, future=future
            )
            part_of = np.full(len(session), "", dtype=object)
            for part, rows in parts.items():
                part_of[rows.get(session.name, np.zeros(0, dtype=int))] = part
            _write_whole(paths[session.name], model, session, values, part_of, asked)
            progress.advance(note=session.name)
    return paths


def _check_names(run: RunFolder, given: Sequence[str], target: str) -> None:
    known = [SPIKES, *run.config.get("modalities", {})]
    for name in (*given, target):
        if name not in known:
            raise ConfigError(
                f"{run.path}: the model knows no {name!r}; it knows {', '.join(known)}."
            )
    if target in given and target != SPIKES:
        raise ConfigError(f"{target!r} is both given and asked for.")
    if not given:
        raise ConfigError(f"Nothing is given; name some of {', '.join(known)}.")


def _write_whole(path: Path, *content: Any) -> None:
    """Write a session's folder beside its place, then move it there."""
    with explain_os_errors(path):
        building = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        try:
            _write(building / "made", *content)
            os.replace(building / "made", path)
        finally:
            shutil.rmtree(building, ignore_errors=True)


def _write(
    folder: Path,
    model: PopulationRun,
    session: Session,
    values: np.ndarray,
    part_of: np.ndarray,
    asked: dict,
) -> None:
    folder.mkdir()
    np.save(folder / "prediction.npy", values.astype(np.float32))
    target, windows = asked["target"], model.config.windows
    length = windows.width * model.vocabulary.n_bins
    index = pd.DataFrame(
        {
            "window": np.arange(len(session)),
            "start": session.starts,
            "stop": session.starts + length,
            "part": part_of,
        }
    )
    known = session.table.reset_index(drop=True).add_prefix("table/")
    _table(folder / "index.csv", pd.concat([index, known], axis=1))
    if target == SPIKES:
        columns = pd.DataFrame({"name": range(session.n_units), "region": session.regions})
        unit = "spikes/bin"
    elif target in model.vocabulary.classes:
        columns = pd.DataFrame({"name": model.vocabulary.classes[target]})
        unit = "probability"
    else:
        columns = pd.DataFrame({"name": range(values.shape[-1])})
        unit = ""
    _table(folder / "columns.csv", columns)
    meta = {"session": session.name, **asked, "unit": unit, "shape": list(values.shape)}
    meta |= {"bin": windows.width, "before": windows.before, "align": windows.align}
    write_json(folder / "meta.json", meta)


def _table(path: Path, table: pd.DataFrame) -> None:
    with atomic_write(path) as file:
        table.to_csv(file, index=False, lineterminator="\n")
