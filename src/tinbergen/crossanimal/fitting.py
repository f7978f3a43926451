"""From animals to a trained network, and on to one more animal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from tinbergen.crossanimal.config import CrossAnimalConfig
from tinbergen.crossanimal.model import SHAPE_FILE
from tinbergen.crossanimal.neighbours import Neighbours, find_neighbours
from tinbergen.crossanimal.network import CrossAnimalNet, Shape
from tinbergen.crossanimal.pairs import Animal, check_columns, check_same_pose
from tinbergen.crossanimal.syllables import Syllables
from tinbergen.crossanimal.tables import Scaling, Tables
from tinbergen.crossanimal.task import INPUT, CrossAnimalTask
from tinbergen.errors import DataError
from tinbergen.files import write_json
from tinbergen.training import FitResult, RunFolder, TrainConfig, fit

_MEASURES = ("mean", "scale", "pose_mean", "pose_scale")


def fit_model(
    config: CrossAnimalConfig,
    animals: Sequence[Animal],
    validation: Sequence[Animal],
    out: Path | None,
    resume: bool,
) -> tuple[FitResult, Neighbours | None]:
    """Train a network on animals; see :meth:`CrossAnimal.fit`."""
    animals = sorted(animals, key=lambda a: a.name)
    validation = sorted(validation, key=lambda a: a.name)
    shape = _shape(animals)
    if validation and [a.name for a in validation] != [a.name for a in animals]:
        raise DataError("Expected the same animals to validate with as to train on.")
    scaling = Scaling.of(animals, config.normalise_pose == "animal", config.whiten)
    shape = replace(shape, components=scaling.axes.shape[1])
    tables = Tables.of(animals, scaling)
    neighbours = None
    if config.swap.pose or config.swap.neural:
        pose, segment = tables.poses()
        swap, cache = config.swap, None if out is None else out.parent / ".neighbours"
        neighbours = find_neighbours(
            pose, tables.pose_animal.numpy(), shape.subjects, segment=segment,
            neighbours=swap.neighbours, half_width=swap.half_width, bandwidth=swap.bandwidth,
            components=swap.components, cache=cache,
        )  # fmt: skip
        neighbours.warn_if_far()
    task = CrossAnimalTask(
        config, shape, animals, scaling, neighbours, _syllables(config, tables), validation
    )
    run = None
    if out is not None:
        inputs = {a.name: a.fingerprint() for a in animals}
        inputs |= {f"{a.name} (validation)": a.fingerprint() for a in validation}
        run = RunFolder.start(out, config, seed=config.train.seed, inputs=inputs, resume=resume)
        write_json(run.path / SHAPE_FILE, shape.to_dict())
    result = fit(task, _on_hardware(config, animals), run, resume=resume)
    return result, neighbours


def adapt_model(net: CrossAnimalNet, config: CrossAnimalConfig, animal: Animal) -> CrossAnimalNet:
    """Return a network that knows one more animal; see :meth:`CrossAnimal.adapt`."""
    old = net.shape
    if animal.name in old.names:
        raise DataError(f"The model knows {animal.name!r} already; transform it as it is.")
    new = _shape([animal])
    if bool(new.neurons[0]) != bool(max(old.neurons)) or new.columns != old.columns:
        raise DataError(
            f"Animal {animal.name!r} does not fit the model: {new.neurons[0]} neurons (0: images) "
            f"and {new.columns} pose columns, where the model has {max(old.neurons)} and "
            f"{old.columns}."
        )
    check_columns(animal.name, animal.columns, "the model", old.column_names)
    config = config.updated(
        animals_per_batch=0, negatives="same",
        domain=config.domain.updated(kind="none"), swap=config.swap.updated(pose=0.0, neural=0.0),
    )  # fmt: skip
    scaling = replace(Scaling.of([animal]), axes=net.scaling.axes)
    if config.normalise_pose == "all":  # in the units of the others
        scaling = replace(
            scaling, pose_mean=net.scaling.pose_mean[:1], pose_scale=net.scaling.pose_scale[:1]
        )
    shape = replace(new, missing=old.missing, components=old.components)
    state = net.state_dict()
    own = {name: torch.from_numpy(vars(scaling)[name]) for name in _MEASURES}
    if new.neurons[0]:
        shared = {
            name: value for name, value in state.items()
            if name not in _MEASURES and not name.endswith(INPUT) and ".domain." not in name
        }  # fmt: skip
        syllables = net.syllables if config.objective == "syllables" else None
        task = CrossAnimalTask(
            config, shape, [animal], scaling, syllables=syllables, shared=shared
        )
        trained = fit(task, _on_hardware(config, [animal])).model
        own |= {k: v for k, v in trained.state_dict().items() if k.endswith(INPUT)}
    both = replace(
        old, names=(*old.names, animal.name), subjects=(*old.subjects, animal.subject),
        neurons=(*old.neurons, new.neurons[0]),
    )  # fmt: skip
    wider = CrossAnimalNet(config, both)
    for name, value in own.items():
        state[name] = _stacked(state[name], value, fill=1.0 if name == "scale" else 0.0)
    wider.load_state_dict({k: v for k, v in state.items() if ".domain." not in k})
    return wider.eval()


def _stacked(first: torch.Tensor, second: torch.Tensor, fill: float) -> torch.Tensor:
    """Put animals one below the other, the one with fewer neurons filled up."""
    width = max(first.shape[1], second.shape[1])
    joined = first.new_full((len(first) + len(second), width, *first.shape[2:]), fill)
    joined[: len(first), : first.shape[1]] = first
    joined[len(first) :, : second.shape[1]] = second
    return joined


def _shape(animals: Sequence[Animal]) -> Shape:
    """Return what animals say about the network, and see that they fit each other."""
    if not animals:
        raise DataError("Expected at least one animal, found none.")
    names = [a.name for a in animals]
    if len(set(names)) < len(names):
        raise DataError(f"Two animals have one name: {', '.join(names)}. Rename one.")
    images = {a.images for a in animals}
    frames = {a.neural.shape[1:] for a in animals if a.images}
    if len(images) > 1 or len(frames) > 1:
        raise DataError("Expected traces of all animals, or images of one size of all.")
    poses = [a.pose for a in animals if a.pose is not None]
    if len(poses) < len(animals):
        lacking = next(a.name for a in animals if a.pose is None)
        raise DataError(f"Animal {lacking!r} has no pose, so nothing can be learnt from it.")
    check_same_pose(animals)
    return Shape(
        names=tuple(names),
        subjects=tuple(a.subject for a in animals),
        neurons=tuple(0 if a.images else a.neural.shape[1] for a in animals),
        columns=poses[0].shape[1],
        components=0,
        missing=any(not np.isfinite(pose).all() for pose in poses),
        column_names=animals[0].columns,
    )


def _syllables(config: CrossAnimalConfig, tables: Tables) -> Syllables | None:
    if config.objective != "syllables":
        return None
    return Syllables.fit(*tables.poses(), config.syllables, config.train.seed)


def _on_hardware(config: CrossAnimalConfig, animals: Sequence[Animal]) -> TrainConfig:
    """Small matrices gain nothing by bf16; images do."""
    train = config.train
    if train.precision == "auto" and not animals[0].images:
        return train.updated(precision="fp32")
    return train
