"""From models and animals to rows of an evaluation: cut, fit, embed, once a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tinbergen.crossanimal.evaluation import Method
from tinbergen.crossanimal.evaluation_split import FrameSplit, check_lengths
from tinbergen.crossanimal.pairs import Animal
from tinbergen.crossanimal.streams import reach
from tinbergen.errors import DataError

if TYPE_CHECKING:
    from tinbergen.crossanimal.model import CrossAnimal

Maker = Callable[[int], "CrossAnimal"]
"""Seed -> a model that is not fitted."""


def training_part(animal: Animal, split: FrameSplit) -> Animal:
    """Return an animal without what is not for training: a model cannot learn from what it lacks.

    Each unbroken run of training frames is a segment of its own, so that no window spans what was
    taken out.

    Raises
    ------
    DataError
        If the split is of another length, or nothing that has a pose is left.
    """
    check_lengths({animal.name: split}, {animal.name: animal.times}, "split")
    edges = np.flatnonzero(np.diff(np.r_[False, split.train, False]))
    pieces = [animal.between(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    part = pieces[0] if len(pieces) == 1 else _joined(pieces)
    if part.pose is not None and not len(part.paired):
        raise DataError(
            f"Animal {animal.name!r}: no training frame has a pose at its time. Do its neural "
            f"frames ({_span(animal.times)}) and its poses ({_span(animal.pose_times)}) run on "
            "one clock?"
        )
    return part


def fitted_method(
    name: str,
    make: Maker,
    animals: Sequence[Animal],
    splits: Mapping[str, FrameSplit],
    *,
    seeds: Sequence[int] = (0,),
    strict: bool = False,
) -> Method:
    """Fit a model a seed on the training parts of all animals, and embed all of each.

    Parameters
    ----------
    name
        Of the row.
    make
        Seed -> model, not fitted.
    animals, splits
        Without labels; what is not training is not shown to any model.
    strict
        Also fit, for each animal, a model on all others, and carry it over to that animal by its
        input layer (:meth:`CrossAnimal.adapt`), again without labels.

    Returns
    -------
    Method
        For :func:`evaluate_embeddings`.
    """
    parts = [training_part(each, splits[each.name]) for each in animals]
    runs, projected, models, window = [], [], [], 1
    for seed in seeds:
        model = make(seed).fit(parts)
        window = reach(model.config_)
        runs.append({each.name: model.transform(each) for each in animals})
        projected.append({each.name: model.transform(each, space="z") for each in animals})
        if strict:
            models.append(strict_run(make, animals, splits, seed))
    return Method(name, runs, strict=models, projected=projected, window=window)


def strict_run(
    make: Maker, animals: Sequence[Animal], splits: Mapping[str, FrameSplit], seed: int = 0
) -> dict[str, dict[str, np.ndarray]]:
    """Fit a model without each animal in turn, and carry it over to that one, without labels.

    Returns
    -------
    Held-out animal -> animal -> ``(time, channel)``, as :attr:`Method.strict` takes it; empty
    where all recordings are of one animal.
    """
    parts = {each.name: training_part(each, splits[each.name]) for each in animals}
    if len({part.subject for part in parts.values()}) < 2:
        return {}
    return {held: _without(make(seed), held, parts, animals) for held in parts}


def _without(
    model: CrossAnimal, held: str, parts: Mapping[str, Animal], animals: Iterable[Animal]
) -> dict[str, np.ndarray]:
    """Fit without the subject of ``held``, adapt to it, and embed it and those that were seen."""
    subject = parts[held].subject
    others = {name: part for name, part in parts.items() if part.subject != subject}
    model.fit(list(others.values()))
    adapted = model.adapt(parts[held])
    found = {}
    for each in animals:
        if each.name in others or each.name == held:
            found[each.name] = np.asarray(adapted.transform(each))
    width = found[held].shape[1]
    for each in animals:  # other recordings of the same subject teach nothing here
        found.setdefault(each.name, np.full((len(each), width), np.nan))
    return found


def neural_rolled(animal: Animal) -> Animal:
    """Return an animal whose neural side is rolled against its poses by half of the recording.

    A control: whatever a model still finds between the two is no link between them.
    """
    return replace(animal, neural=np.roll(animal.neural, len(animal) // 2, axis=0))


def _joined(pieces: Sequence[Animal]) -> Animal:
    """Put pieces of one animal one after another; segments stay apart."""
    first = pieces[0]
    segments, pose_segments, centres = [], [], []
    n_segments = n_poses = 0
    for piece in pieces:
        segments.append(np.where(piece.segment >= 0, piece.segment + n_segments, -1))
        pose_segments.append(
            np.where(piece.pose_segment >= 0, piece.pose_segment + n_segments, -1)
        )
        centres.append(np.where(piece.centre >= 0, piece.centre + n_poses, -1))
        n_segments += 1 + int(
            max(piece.segment.max(initial=-1), piece.pose_segment.max(initial=-1))
        )
        n_poses += 0 if piece.pose is None else len(piece.pose)
    paired = first.pose is not None
    return replace(
        first,
        neural=np.concatenate([piece.neural for piece in pieces]),
        times=np.concatenate([piece.times for piece in pieces]),
        pose=np.concatenate([p.pose for p in pieces if p.pose is not None]) if paired else None,
        pose_times=(
            np.concatenate([p.pose_times for p in pieces if p.pose_times is not None])
            if paired
            else None
        ),
        segment=np.concatenate(segments),
        pose_segment=np.concatenate(pose_segments),
        centre=np.concatenate(centres),
    )


def _span(times: np.ndarray | None) -> str:
    return "none" if times is None or not len(times) else f"{times[0]:.6g} to {times[-1]:.6g} s"
