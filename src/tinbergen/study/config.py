"""``study.yaml``: the data of a study and the steps to run on it."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from tinbergen.configuration import Config, read_yaml, resolve
from tinbergen.errors import ConfigError, MissingFileError
from tinbergen.study.kinds import KINDS

SCHEMA_VERSION = 1
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class StepConfig(Config):
    """One step: a kind of work, what it builds on, and its settings."""

    kind: str
    """check, pretrain, embed, pose, actions, encode, decode, population or crossanimal."""
    uses: tuple[str, ...] = ()
    """Steps whose results it takes."""
    settings: dict[str, Any] = {}
    """Options of the command by their long names, without dashes in front: ``steps: 300``."""
    evaluate: dict[str, Any] = {}
    """Likewise, of the command that scores the result (population, crossanimal)."""
    predict: dict[str, Any] = {}
    """Likewise, of the command that applies the result to the data (pose, actions)."""
    streams: tuple[str, ...] | None = None
    """Streams of the data that the step is given; a change of others does not run it again.
    Default: frames alone for pretrain, embed and pose, else all."""
    cores: int = Field(default=1, ge=1)
    """Threads. Results may depend on their number in the last digits."""
    memory_gb: float | None = Field(default=None, gt=0.0)
    """What to ask SLURM for; default: as estimated."""
    hours: float | None = Field(default=None, gt=0.0)
    """What to ask SLURM for; default: as estimated, with a margin."""
    gpus: int = Field(default=0, ge=0)
    """What to ask SLURM for."""

    @field_validator("uses", "streams", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class SlurmConfig(Config):
    """What ``--slurm`` asks for with every step."""

    partition: str | None = None
    account: str | None = None
    jobs: int = Field(default=20, ge=1)
    """Jobs in the queue at once."""
    qos: str | None = None
    extra: str | None = None
    """More options of ``sbatch``, as ``--mail-type=FAIL``."""


class StudyConfig(Config):
    """Top level of ``study.yaml``."""

    schema_version: int = SCHEMA_VERSION
    data: str
    """A ``dataset.yaml``, a folder that holds one, or a folder of videos; relative to the file."""
    out: str | None = None
    """Folder of the results, relative to the file; default: ``<name of the file>-results``."""
    title: str = ""
    steps: dict[str, Any]
    slurm: SlurmConfig = SlurmConfig()


@dataclass(frozen=True)
class Study:
    """A validated ``study.yaml``.

    Attributes
    ----------
    path
        Of the file.
    title
        Of the report.
    data, out
        Absolute paths.
    steps
        Name -> step, each after those that it uses.
    slurm
        What to ask SLURM for.
    """

    path: Path
    title: str
    data: Path
    out: Path
    steps: Mapping[str, StepConfig]
    slurm: SlurmConfig

    def used(self, name: str, role: str) -> list[str]:
        """Return the steps that ``name`` uses in a role: run, streams or order."""
        step = self.steps[name]
        roles = KINDS[step.kind].uses
        return [each for each in step.uses if roles[self.steps[each].kind] == role]


def read_study(path: str | os.PathLike) -> Study:
    """Read a ``study.yaml``.

    Raises
    ------
    MissingFileError
        If the file, or the data that it names, does not exist.
    ConfigError
        Naming the step and key that is unknown, missing, of the wrong type or part of a cycle.
    """
    path = Path(path)
    path = (path / "study.yaml" if path.is_dir() else path).absolute()
    try:
        config = resolve(StudyConfig, read_yaml(path))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    if config.schema_version != SCHEMA_VERSION:
        raise ConfigError(
            f"{path}: schema_version {config.schema_version} is not known here (expected "
            f"{SCHEMA_VERSION}). It was written for another version of Tinbergen."
        )
    if not config.steps:
        raise ConfigError(f"{path}: names no step; expected 'steps: {{name: {{kind: ...}}}}'.")
    steps = {name: _step(name, value, path) for name, value in config.steps.items()}
    _check_uses(steps, path)
    data = (path.parent / config.data).resolve()
    if not data.exists():
        raise MissingFileError(f"{path}: data: expected a dataset.yaml or a folder at {data}.")
    out = (path.parent / (config.out or f"{path.stem}-results")).resolve()
    if data.is_dir() and not (data / "dataset.yaml").is_file() and out.is_relative_to(data):
        raise ConfigError(
            f"{path}: the results would lie among the videos, in {out}, and be taken for data. "
            "Set 'out:' to another folder."
        )
    return Study(path, config.title or path.stem, data, out, _ordered(steps, path), config.slurm)


def _step(name: Any, value: Any, path: Path) -> StepConfig:
    where = f"{path}, step {name!r}"
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(
            f"{where}: names of steps are letters, digits and underscores, a letter first; they "
            "become folders and names of streams."
        )
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: expected 'key: value' lines, found {value!r}.")
    try:
        step = resolve(StepConfig, value)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    if step.kind not in KINDS:
        raise ConfigError(
            f"{where}, kind: there is no {step.kind!r}; {_suggest(step.kind, KINDS)}"
        )
    kind = KINDS[step.kind]
    for part in ("evaluate", "predict"):
        if getattr(step, part) and part not in kind.parts:
            raise ConfigError(f"{where}: {step.kind} has no part {part!r}; leave it out.")
    return step


def _check_uses(steps: Mapping[str, StepConfig], path: Path) -> None:
    for name, step in steps.items():
        where = f"{path}, step {name!r}, uses"
        roles = KINDS[step.kind].uses
        runs = []
        for used in step.uses:
            if used not in steps:
                raise ConfigError(f"{where}: there is no step {used!r}; {_suggest(used, steps)}")
            if steps[used].kind not in roles:
                raise ConfigError(
                    f"{where}: {step.kind} takes nothing from {steps[used].kind} ({used!r}); it "
                    f"can use: {', '.join(roles) or 'nothing'}."
                )
            if roles[steps[used].kind] == "run":
                runs.append(used)
        if len(runs) > 1:
            raise ConfigError(f"{where}: one run at most, found {', '.join(runs)}.")
        if not runs and KINDS[step.kind].needs_run:
            raise ConfigError(
                f"{where}: {step.kind} needs the run of a step of kind pretrain, found none."
            )


def _ordered(steps: Mapping[str, StepConfig], path: Path) -> dict[str, StepConfig]:
    """Return the steps as they stand in the file, but each after those that it uses."""
    try:
        TopologicalSorter({name: step.uses for name, step in steps.items()}).prepare()
    except CycleError as error:
        circle = " -> ".join(reversed(error.args[1]))
        raise ConfigError(f"{path}: steps use each other in a circle: {circle}.") from None
    ordered: dict[str, StepConfig] = {}

    def add(name: str) -> None:
        for used in steps[name].uses:
            add(used)
        ordered.setdefault(name, steps[name])

    for name in steps:
        add(name)
    return ordered


def _suggest(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(known)}."
