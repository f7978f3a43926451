"""From a study to what is to be run: folders named by content, and the commands of each step."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinbergen.errors import ConfigError, TinbergenError
from tinbergen.study.arguments import CommandLine, Option, arguments_of, paths_of
from tinbergen.study.catalogue import Catalogue, Hashes
from tinbergen.study.config import StepConfig, Study
from tinbergen.study.kinds import KINDS, Command

HASHES = ".hashes.json"


@dataclass(frozen=True)
class Planned:
    """A step, ready to be run.

    Attributes
    ----------
    name, step
        Of the study.
    fingerprint
        Hash of everything that the result depends on: kind, settings, contents of the files, and
        the fingerprints of the steps that it uses.
    folder
        ``<out>/<name>/<first digits of the fingerprint>``.
    catalogue
        The data that it is given.
    commands
        Arguments of each of its commands, without the program.
    """

    name: str
    step: StepConfig
    fingerprint: str
    folder: Path
    catalogue: Catalogue
    commands: tuple[tuple[str, ...], ...]

    @property
    def dataset(self) -> Path:
        """The ``dataset.yaml`` that it is given."""
        return self.folder / "dataset.yaml"

    @property
    def log(self) -> Path:
        """What its commands said."""
        return self.folder / "log.txt"

    def written(self) -> list[Path]:
        """Return what each of its commands writes."""
        return [self.folder / command.out for command in KINDS[self.step.kind].commands]


@dataclass(frozen=True)
class Plan:
    """All steps of a study, each after those that it uses."""

    study: Study
    steps: Mapping[str, Planned]


def make_plan(study: Study, line: CommandLine) -> Plan:
    """Work out what each step would run, and where its result would lie.

    Raises
    ------
    ConfigError
        Naming the step and setting that cannot be right.
    MissingFileError, DataError
        Naming the file of the data that is absent or not as it should be.
    """
    data = Catalogue.read(study.data)
    hashes = Hashes(study.out / HASHES)
    steps: dict[str, Planned] = {}
    try:
        for name, step in study.steps.items():
            try:
                steps[name] = _planned(study, name, step, data, hashes, steps, line)
            except TinbergenError as error:
                raise type(error)(f"{study.path}, step {name!r}: {error}") from None
    finally:
        hashes.save()
    return Plan(study, steps)


def _planned(
    study: Study,
    name: str,
    step: StepConfig,
    data: Catalogue,
    hashes: Hashes,
    before: Mapping[str, Planned],
    line: CommandLine,
) -> Planned:
    kind = KINDS[step.kind]
    chosen = data.only(frames=kind.frames_only, streams=step.streams)
    options = {command: _free_options(command, line) for command in kind.commands}
    base = study.path.parent
    parts = {command.part: options[command] for command in kind.commands}
    text = {
        "kind": step.kind,
        **{part: getattr(step, part) for part in sorted(parts)},
        "data": chosen.fingerprint(hashes),
        "uses": {each: before[each].fingerprint for each in step.uses},
    }
    for part, known in parts.items():
        values = getattr(step, part)
        arguments_of(known, values, base, str)  # names unknown keys before files are looked for
        text[f"{part} files"] = [hashes.of(path) for path in paths_of(known, values, base)]
    fingerprint = hashlib.sha256(json.dumps(text, sort_keys=True).encode()).hexdigest()
    folder = study.out / name / fingerprint[:10]
    found = (
        (recording, stream, _in_folder(entry, before[used].folder))
        for used in study.used(name, "streams")
        if (provides := KINDS[study.steps[used].kind].provides) is not None
        for recording, stream, entry in provides(used, study.steps[used].settings, data.videos)
    )
    runs = study.used(name, "run")
    places = {
        "data": str(folder / "dataset.yaml"),
        "first": str(folder / kind.commands[0].out),
        "used": str(before[runs[0]].folder / "run") if runs else "",
    }
    folders = {
        used: str(before[used].folder / "run")
        for used in study.used(name, "streams")
        if study.steps[used].kind == "embed"
    }
    commands = []
    for command in kind.commands:
        places["out"] = str(folder / command.out)
        values = _with_cores(getattr(step, command.part), options[command], step.cores)
        own = arguments_of(options[command], values, base, lambda text: _replaced(text, folders))
        fixed = [
            part.format(**places)
            for group in command.fixed
            if runs or "{used}" not in group
            for part in group
        ]
        # Arguments without a flag come first and in order; what the study sets is one of them.
        arguments = [*command.verb, *fixed, *own]
        line.check(command.verb, arguments[len(command.verb) :])
        commands.append(tuple(arguments))
    return Planned(name, step, fingerprint, folder, chosen.joined(found, data), tuple(commands))


def _free_options(command: Command, line: CommandLine) -> dict[str, Option]:
    """Return the options that a user may set: not those that the study sets itself."""
    ours = {group[0] for group in command.fixed} | {"--resume", "--overwrite"}
    places = any(not group[0].startswith("--") for group in command.fixed)
    return {
        name: option
        for name, option in line.options(command.verb).items()
        if option.flag not in ours and (option.flag or not places)
    }


def _with_cores(
    values: Mapping[str, Any], options: Mapping[str, Option], cores: int
) -> dict[str, Any]:
    """Let a command that would take every core take those of the step."""
    extra = {"workers": cores} if "workers" in options and "workers" not in values else {}
    return {**values, **extra}


def _in_folder(entry: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    return {**entry, "file": str(folder / entry["file"])}


def _replaced(text: str, folders: Mapping[str, str]) -> str:
    """Put the folder in the place of a step in ``step:tokens``; ``step`` alone is a stream."""
    parts = [part.partition(":") for part in text.split(",")]
    return ",".join(
        f"{folders.get(name.strip(), name) if colon else name}{colon}{view}"
        for name, colon, view in parts
    )


def check_settings(plan: Plan) -> None:
    """Check what stands under ``set`` against the settings of each model.

    Raises
    ------
    ConfigError
        Naming the step and the setting.
    """
    for name, planned in plan.steps.items():
        check = _MODELS.get(planned.step.kind)
        if check is None:
            continue
        try:
            check(planned.step.settings, planned.step.settings.get("set") or {})
        except ConfigError as error:
            raise ConfigError(f"{plan.study.path}, step {name!r}, set: {error}") from None


def _beast(settings: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    from tinbergen.beast.config import beast_config

    beast_config(settings.get("preset", "tinbergen"), size=settings.get("size"), overrides=given)


def _pose(settings: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    from tinbergen.configuration import resolve
    from tinbergen.pose.config import PoseConfig

    resolve(PoseConfig, given)


def _actions(settings: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    from tinbergen.actions.config import ActionConfig
    from tinbergen.configuration import resolve

    resolve(ActionConfig, given)


def _population(settings: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    from tinbergen.population.config import population_config

    population_config(settings.get("preset", "tinbergen"), overrides=given)


def _crossanimal(settings: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    from tinbergen.configuration import resolve
    from tinbergen.crossanimal.config import CrossAnimalConfig

    resolve(CrossAnimalConfig, given)


_MODELS = {
    "pretrain": _beast,
    "pose": _pose,
    "actions": _actions,
    "population": _population,
    "crossanimal": _crossanimal,
}
