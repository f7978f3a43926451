"""The verbs on datasets: train, adapt, embed and evaluate, with run folders in between."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tinbergen.configuration import resolve
from tinbergen.crossanimal.baselines import baseline_methods
from tinbergen.crossanimal.config import CrossAnimalConfig
from tinbergen.crossanimal.evaluation import Method, evaluate_embeddings
from tinbergen.crossanimal.evaluation_folder import EvaluationFolder, prepare
from tinbergen.crossanimal.evaluation_probes import Probe
from tinbergen.crossanimal.model import CrossAnimal
from tinbergen.crossanimal.pairs import Animal
from tinbergen.crossanimal.streams import StreamsConfig, check_long_enough, labels_of, reach
from tinbergen.crossanimal.study import strict_run, training_part
from tinbergen.errors import ConfigError, DataError, OutputError
from tinbergen.files import ensure_output_folder, safe_names
from tinbergen.recordings import Dataset, Series
from tinbergen.training import RunFolder

if TYPE_CHECKING:
    from tinbergen.crossanimal.neighbours import Neighbours


def train(
    data: Any,
    out: str | os.PathLike,
    *,
    streams: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
    resume: bool = False,
) -> CrossAnimal:
    """Train on the training frames of all recordings, without labels.

    Parameters
    ----------
    data
        A dataset, or what :meth:`Dataset.open` takes.
    out
        Run folder to make.
    streams
        Of :class:`StreamsConfig`.
    overrides
        Of :class:`CrossAnimalConfig`.

    Raises
    ------
    ConfigError, DataError
        Before any training, if settings or recordings do not fit.
    """
    given = resolve(StreamsConfig, dict(streams or {}))
    config = resolve(CrossAnimalConfig, dict(overrides or {}))
    given.check_window(config)
    animals = given.animals(Dataset.open(data))
    splits = given.splits(animals)
    parts = [training_part(each, splits[each.name]) for each in animals]
    check_long_enough(parts, config)
    model = CrossAnimal(config.objective, settings=config.model_dump(), out=out)
    model.fit(parts, resume=resume)
    given.write(Path(out))
    return model


def adapt(
    run: str | os.PathLike,
    data: Any,
    out: str | os.PathLike,
    *,
    overrides: Mapping[str, Any] | None = None,
) -> CrossAnimal:
    """Carry a trained model over to more animals, by their training frames, without labels.

    Raises
    ------
    DataError
        If the model knows all recordings already.
    OutputError
        If there is something at ``out``.
    """
    _refuse(Path(out))
    model, given = CrossAnimal.load(run), StreamsConfig.read(Path(run))
    animals = [a for a in given.animals(Dataset.open(data)) if a.name not in model.animals_]
    if not animals:
        raise DataError(
            f"{run} knows every recording of the data already: {', '.join(model.animals_)}."
        )
    splits = given.splits(animals)
    parts = [training_part(each, splits[each.name]) for each in animals]
    check_long_enough(parts, model.config_)
    for part in parts:
        model = model.adapt(part, settings=overrides)
    given.write(model.save(out))
    return model


def embed(
    run: str | os.PathLike,
    data: Any,
    out: str | os.PathLike,
    *,
    space: Literal["h", "z"] = "h",
) -> dict[str, Path]:
    """Write the representation of every recording as a series, ``<recording>.npz``.

    Returns
    -------
    Recording -> file, which :func:`~tinbergen.recordings.read_series` reads.
    """
    _refuse(Path(out))
    model, given = CrossAnimal.load(run), StreamsConfig.read(Path(run))
    animals = given.animals(Dataset.open(data))
    found = {each.name: model.transform(each, space) for each in animals}
    folder = ensure_output_folder(Path(out))
    files = safe_names(found)
    paths = {}
    for each in animals:
        values = np.asarray(found[each.name])
        channels = tuple(f"{space}{i}" for i in range(values.shape[1]))
        paths[each.name] = folder / f"{files[each.name]}.npz"
        Series(each.times, values, channels).write(paths[each.name])
    return paths


def evaluate(
    run: str | os.PathLike,
    data: Any,
    *,
    labels: str = "actions",
    out: str | os.PathLike | None = None,
    actions: Sequence[str] | None = None,
    fractions: Sequence[float] = (0.5, 1.0),
    probe: Probe = "discriminant",
    beside: Sequence[tuple[str, str | os.PathLike]] = (),
    strict: bool = False,
    baselines: bool = True,
) -> EvaluationFolder:
    """Score a run on the test frames of its recordings, beside what needs no network.

    Parameters
    ----------
    labels
        Stream of labels, or of whole numbers.
    actions
        Only these are told apart; default: all.
    beside
        (name, run) of other runs on the same recordings, each a row; runs of one name are seeds.
    strict
        Also train the model anew without each animal in turn, and carry it over to that one.
    baselines
        Raw windows, and animals aligned by pose.

    Returns
    -------
    EvaluationFolder
        Tables, and where they were written.

    Raises
    ------
    DataError
        If recordings have no labels, or are unknown to a run.
    ConfigError
        If other runs have other streams or splits.
    """
    begin = time.process_time()
    folder = RunFolder.open(run)
    target = prepare(folder, out)
    given = StreamsConfig.read(folder.path)
    model = CrossAnimal.load(run)
    dataset = Dataset.open(data)
    animals = given.animals(dataset)
    splits = given.splits(animals)
    truth = labels_of(dataset, animals, labels, actions)
    own = _row_name(model)
    runs: dict[str, list[CrossAnimal]] = {own: [model]}
    for name, path in beside:
        if StreamsConfig.read(Path(path)) != given:
            raise ConfigError(
                f"--beside {name}: {path} reads other streams, or splits otherwise, than {run}; "
                "runs are compared on the same frames."
            )
        runs.setdefault(name, []).append(CrossAnimal.load(path))
    methods = [_embedded(name, models, animals) for name, models in runs.items()]
    if strict:
        if len({each.subject for each in animals}) < 2:
            raise DataError("--strict: leaving one animal out needs two at least; there is one.")
        config = model.config_.model_dump()
        anew = strict_run(
            lambda seed: CrossAnimal(model.config_.objective, settings=config, random_state=seed),
            animals,
            splits,
            model.config_.train.seed,
        )
        methods[0] = replace(methods[0], strict=[anew])
    if baselines and not any(each.images for each in animals):
        neural = {each.name: each.neural for each in animals}
        methods += baseline_methods(neural, _at_neural_times(animals), splits)
    result = evaluate_embeddings(
        methods,
        truth,
        splits,
        fractions=fractions,
        probe=probe,
        subjects={each.name: each.subject for each in animals},
        seed=given.seed,
    )
    embedded = {each.name: np.asarray(model.transform(each)) for each in animals}
    seconds = time.process_time() - begin
    found = EvaluationFolder(target, result, own, seconds)
    parts = [training_part(each, splits[each.name]) for each in animals]
    found.write(folder, animals, embedded, truth, _neighbours(parts, model.config_))
    return found


def _neighbours(parts: Sequence[Animal], config: CrossAnimalConfig) -> Neighbours | None:
    """Measure how near the poses of other animals are, as swapping would meet them."""
    from tinbergen.crossanimal.neighbours import find_neighbours
    from tinbergen.crossanimal.tables import Scaling, Tables

    subjects = [part.subject for part in parts]
    if len(set(subjects)) < 2:
        return None
    tables = Tables.of(parts, Scaling.of(parts, config.normalise_pose == "animal"))
    pose, segment = tables.poses()
    return find_neighbours(
        pose,
        tables.pose_animal.numpy(),
        subjects,
        segment=segment,
        neighbours=len(parts),
        half_width=config.swap.half_width,
        components=config.swap.components,
    )


def _row_name(model: CrossAnimal) -> str:
    config = model.config_
    parts = [config.objective]
    if config.objective == "contrast":
        parts.append({"same": "same animal", "mixed": "mixed"}[config.negatives])
    if config.swap.pose:
        parts.append(f"swap {config.swap.pose:g}")
    if config.swap.neural:
        parts.append(f"swap of features {config.swap.neural:g}")
    if config.domain.kind != "none":
        parts.append({"mmd": "MMD", "reversal": "reversal"}[config.domain.kind])
    return ", ".join(parts)


def _embedded(name: str, models: Sequence[CrossAnimal], animals: Sequence[Animal]) -> Method:
    spaces = {
        space: [
            {each.name: np.asarray(m.transform(each, space)) for each in animals} for m in models
        ]
        for space in ("h", "z")
    }
    window = max(reach(each.config_) for each in models)
    return Method(name, spaces["h"], projected=spaces["z"], window=window)


def _at_neural_times(animals: Sequence[Animal]) -> dict[str, np.ndarray]:
    found = {}
    for each in animals:
        if each.pose is None:
            raise DataError(f"Recording {each.name!r} has no pose.")
        pose = each.pose[np.maximum(each.centre, 0)].astype(np.float64)
        pose[each.centre < 0] = np.nan
        found[each.name] = pose
    return found


def _refuse(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out} already exists; choose another name, nothing is overwritten.")
