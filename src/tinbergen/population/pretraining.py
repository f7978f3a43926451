"""Recordings in, a trained population model in a run folder out; and on to a new animal."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tinbergen.configuration import resolve
from tinbergen.errors import ConfigError, DataError, MissingFileError
from tinbergen.files import write_json
from tinbergen.population.config import PopulationConfig, Preset, population_config
from tinbergen.population.corpus import Corpus, as_rows, split_windows
from tinbergen.population.sessions import Session, session_of
from tinbergen.population.vocabulary import Vocabulary
from tinbergen.recordings import Dataset, Recording
from tinbergen.training import RunFolder, fit

if TYPE_CHECKING:
    from torch import Tensor

Data = Dataset | Mapping[str, Recording] | str | os.PathLike | Sequence[Session]
Parts = Mapping[str, Mapping[str, np.ndarray]]
Strategy = Literal["frozen", "gradual", "full"]

OWN = (
    *("tables.unit_", "tables.rate", "tables.root", "tables.region", "linear."),
    "calibration.unit_",
    *("stitch.first.", "stitch.out.", "session_embedding", "patch_embedding"),
)
"""Beginnings of the names of weights that belong to units and sessions; the rest is the core."""
_VOCABULARY, _AXES = "vocabulary.json", "axes.safetensors"


def pretrain(
    data: Data,
    out: str | os.PathLike,
    *,
    preset: Preset = "tinbergen",
    overrides: Mapping[str, Any] | None = None,
    parts: Parts | None = None,
    resume: bool = False,
) -> RunFolder:
    """Train a population model on the windows of one or many sessions.

    Parameters
    ----------
    data
        Recordings, or sessions as arrays.
    out
        The run folder to make.
    preset, overrides
        See :func:`population_config`.
    parts
        ``{"train": {session: rows}, "validation": ...}`` of windows; default: in each session the
        last fifth tests, the fifth before validates (:func:`split_windows`). Windows of no part
        are not looked at.
    resume
        Go on with the run at ``out``, if there is one.

    Returns
    -------
    RunFolder
        The finished run, with ``vocabulary.json`` beside the weights, and with
        ``axes.safetensors`` where a modality has more than 128 channels.

    Raises
    ------
    ConfigError, DataError
        For settings that do not exist, or data that does not fit them; before any training.
    OutputError
        If ``out`` holds something already, or cannot be written.
    PreemptedError
        After SIGTERM, SIGUSR1 or SIGINT; everything is saved.
    """
    config = population_config(preset, overrides=overrides)
    sessions = open_sessions(data, config)
    parts = parts or split_windows(sessions)
    vocabulary = Vocabulary.of(sessions, parts["train"], config.modalities)
    return _train(sessions, vocabulary, config, parts, out, resume)


def adapt(
    base: RunFolder | str | os.PathLike,
    data: Data,
    out: str | os.PathLike,
    *,
    strategy: Strategy = "gradual",
    overrides: Mapping[str, Any] | None = None,
    parts: Parts | None = None,
    resume: bool = False,
) -> RunFolder:
    """Fit a trained model to new sessions: new vectors for their units, the core carried over.

    Parameters
    ----------
    base
        A finished run.
    data
        New sessions; the model that results knows these alone.
    strategy
        ``frozen``: the core stays as it is. ``gradual``: it stays so for the first
        ``adapting.frozen_share`` of the steps. ``full``: everything is trained from the start.
    overrides
        Laid over the settings of ``base``; what shapes the core cannot change.
    out, parts, resume
        See :func:`pretrain`.
    """
    base = base if isinstance(base, RunFolder) else RunFolder.open(base)
    stored = resolve(PopulationConfig, base.config)
    config = resolve(
        PopulationConfig, base.config, {"adapting": {"strategy": strategy}}, overrides or {}
    )
    fixed = {"network", "windows", "modalities"}
    changed = [name for name in sorted(fixed) if getattr(config, name) != getattr(stored, name)]
    changed = [name for name in changed if not _alike(name, config, stored)]
    if changed:
        raise ConfigError(
            f"{changed[0]} shapes the core of {base.path}, so it cannot change when adapting."
        )
    sessions = open_sessions(data, config)
    parts = parts or split_windows(sessions)
    known = load_vocabulary(base)
    vocabulary = known.as_ancestors().extended(sessions, parts["train"], config.modalities)
    weights = base.load_weights()
    core = {name: value for name, value in weights.items() if not name.startswith(OWN)}
    if not config.units.linear_rank:  # nothing to calibrate
        core = {name: v for name, v in core.items() if not name.startswith("calibration.")}
    core |= _regions_of(weights, known.regions, vocabulary.regions)
    return _train(sessions, vocabulary, config, parts, out, resume, core, base)


def _alike(name: str, config: PopulationConfig, stored: PopulationConfig) -> bool:
    """Whether two settings differ in dropout alone, which shapes nothing."""
    if name != "network":
        return False
    one, other = config.network, stored.network
    return one.updated(dropout=other.dropout, token_dropout=other.token_dropout) == other


def _regions_of(
    weights: Mapping[str, Tensor], known: Sequence[str], wanted: Sequence[str]
) -> dict[str, Tensor]:
    """Return the vectors of regions in a new order; 0 for a region that is new."""
    found = {}
    for name in ("tables.region_in", "tables.region_out"):
        if name not in weights:
            continue
        old = weights[name]
        found[name] = old.new_zeros(len(wanted), old.shape[1])
        for number, region in enumerate(wanted):
            if region in known:
                found[name][number] = old[known.index(region)]
    return found


def open_sessions(data: Data, config: PopulationConfig) -> list[Session]:
    """Cut recordings into windows, or take sessions as they are.

    Raises
    ------
    DataError
        If there is none, or one does not fit the settings.
    """
    if not isinstance(data, str | os.PathLike | Mapping):
        sessions = list(data)
        if sessions and all(isinstance(s, Session) for s in sessions):
            return sessions
    dataset = data if isinstance(data, Dataset) else Dataset.open(data)
    if not len(dataset):
        raise DataError("Expected at least one recording, found none.")
    _check_sources(dataset, config)
    return [session_of(r, config.windows, config.modalities) for r in dataset.values()]


def _check_sources(data: Mapping[str, Recording], config: PopulationConfig) -> None:
    """Refuse a modality that no recording has, before windows are cut."""
    for name, modality in config.modalities.items():
        stream = (modality.source or name).partition("/")[0]
        if not any(stream in recording for recording in data.values()):
            first = next(iter(data.values()))
            raise ConfigError(
                f"Modality {name!r}: no recording has a stream {stream!r}; {first.name!r} has: "
                f"{', '.join(first.streams)}."
            )


def _train(
    sessions: Sequence[Session],
    vocabulary: Vocabulary,
    config: PopulationConfig,
    parts: Parts,
    out: str | os.PathLike,
    resume: bool,
    core: Mapping[str, Tensor] | None = None,
    base: RunFolder | None = None,
) -> RunFolder:
    from tinbergen.population.task import PopulationTask

    if not any(len(rows) for rows in parts.get("validation", {}).values()):
        # Nothing can get better or worse: train to the end.
        config = config.updated(train=config.train.updated(patience=0))
    corpus = Corpus(sessions, vocabulary, config)
    train = as_rows(corpus, parts["train"])
    validation = as_rows(corpus, parts.get("validation", {}))
    task = PopulationTask(corpus, train, validation, core)
    inputs = {s.name: fingerprint(s) for s in sessions}
    if base is not None:
        inputs["base"] = hashlib.sha256(base.weights_path.read_bytes()).hexdigest()
    splits = {
        part: {name: np.asarray(rows).tolist() for name, rows in each.items()}
        for part, each in parts.items()
    }
    run = RunFolder.start(
        out, config, seed=config.train.seed, inputs=inputs, splits=splits, resume=resume
    )
    if not (run.path / _VOCABULARY).is_file():
        if vocabulary.axes:
            _write_axes(run.path / _AXES, vocabulary.axes)
        write_json(run.path / _VOCABULARY, vocabulary.to_dict())
    fit(task, config.train, run, resume=resume)
    return run


def load_vocabulary(run: RunFolder) -> Vocabulary:
    """Read the vocabulary of a run.

    Raises
    ------
    MissingFileError
        If it is no run of a population model.
    """
    path = run.path / _VOCABULARY
    if not path.is_file():
        raise MissingFileError(f"Expected {path}, found none: {run.path} is no population model.")
    axes = _read_axes(run.path / _AXES) if (run.path / _AXES).is_file() else {}
    return Vocabulary.from_dict(json.loads(path.read_text(encoding="utf-8")), axes)


def _write_axes(path: Path, axes: Mapping[str, np.ndarray]) -> None:
    import torch

    from tinbergen.training.tensors import write_tensors

    write_tensors(path, {name: torch.as_tensor(each) for name, each in axes.items()})


def _read_axes(path: Path) -> dict[str, np.ndarray]:
    from tinbergen.nn.weights import read_tensors

    return {name: each.numpy() for name, each in read_tensors(path).items()}


def stored_parts(run: RunFolder) -> dict[str, dict[str, np.ndarray]]:
    """Return which windows of a run train, validate and test."""
    return {
        part: {name: np.array(rows, dtype=int) for name, rows in each.items()}
        for part, each in (run.splits or {}).items()
    }


def fingerprint(session: Session) -> str:
    """SHA-256 of the counts and behaviours of a session."""
    digest = hashlib.sha256(np.ascontiguousarray(session.counts).tobytes())
    for name, values in sorted(session.values.items()):
        digest.update(name.encode())
        plain = values.astype(str) if values.dtype == object else values
        digest.update(np.ascontiguousarray(plain).tobytes())
    return digest.hexdigest()


def known_sessions(sessions: Iterable[Session], vocabulary: Vocabulary) -> list[Session]:
    """Return those sessions that a vocabulary knows.

    Raises
    ------
    DataError
        If it knows none of them.
    """
    names = {s.name for s in vocabulary.sessions}
    sessions = list(sessions)
    found = [s for s in sessions if s.name in names]
    if not found:
        raise DataError(
            f"The model knows none of {', '.join(s.name for s in sessions[:5])}; it knows "
            f"{', '.join(sorted(names)[:5])}. Adapt it to new sessions first."
        )
    return found
