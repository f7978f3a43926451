"""An installed ``cebra`` as a row of an evaluation; it is not part of Tinbergen.

CEBRA (Schneider, Lee & Mathis, Nature 2023) is a product of its own, under its own licence and
patent; see its pages. Nothing of it is used unless :func:`cebra_method` is called.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinbergen.crossanimal.evaluation import Method
from tinbergen.crossanimal.evaluation_split import FrameSplit
from tinbergen.crossanimal.pairs import Animal
from tinbergen.errors import ConfigError, DataError

_COMPONENTS = 3  # of the pose that stand for it: all columns at once find no neighbours


def cebra_method(
    animals: Sequence[Animal],
    splits: Mapping[str, FrameSplit],
    *,
    seeds: Sequence[int] = (0,),
    name: str = "CEBRA, multi-session",
    **settings: Any,
) -> Method:
    """Fit CEBRA on the training frames of all animals, with their poses as its labels.

    Parameters
    ----------
    animals
        With traces; frames without a pose, or with missing values, are left out of training.
    splits
        Only training frames are shown.
    settings
        Of ``cebra.CEBRA``, laid over offset10-model, batches of 128 a session, 400 iterations,
        output 8.

    Returns
    -------
    Method
        For :func:`evaluate_embeddings`.

    Raises
    ------
    ConfigError
        If there is no package ``cebra``.
    DataError
        If an animal has images, or no frame to train on.
    """
    try:
        cebra = importlib.import_module("cebra")
    except ImportError as error:
        raise ConfigError(
            "The row of CEBRA needs the package cebra, which is not installed and not part of "
            "Tinbergen: pip install cebra (see its licence), or leave the row out."
        ) from error
    options = {
        "model_architecture": "offset10-model",
        "batch_size": 128,
        "max_iterations": 400,
        "output_dimension": 8,
        "conditional": "time_delta",
        "time_offsets": 10,
        "device": "cpu",
        "verbose": False,
        **settings,
    }
    neural, pose = {}, {}
    for each in animals:
        neural[each.name], pose[each.name] = _pairs(each, splits[each.name])
    axes = _axes([pose[each.name][splits[each.name].train] for each in animals])
    runs = []
    for seed in seeds:
        _seeded(seed)
        model = cebra.CEBRA(**options)
        shown = {name: splits[name].train & np.isfinite(pose[name]).all(axis=1) for name in pose}
        x = [neural[name][rows] for name, rows in shown.items()]
        y = [pose[name][rows] @ axes for name, rows in shown.items()]
        many = len(animals) > 1
        model.fit(x if many else x[0], y if many else y[0])
        runs.append(
            {
                each.name: np.asarray(
                    model.transform(neural[each.name], **({"session_id": k} if many else {}))
                )
                for k, each in enumerate(animals)
            }
        )
    # Its models are named after the frames they look at.
    looks = re.match(r"offset(\d+)", str(options["model_architecture"]))
    return Method(name, runs, window=int(looks[1]) if looks else 1)


def _pairs(animal: Animal, split: FrameSplit) -> tuple[np.ndarray, np.ndarray]:
    """Return traces z-scored by training, gaps at the mean, and the pose at their times."""
    if animal.images or animal.pose is None:
        raise DataError(f"Animal {animal.name!r}: CEBRA takes traces and a pose; leave it out.")
    found = []
    for values in (animal.neural, animal.pose[np.maximum(animal.centre, 0)]):
        values = np.asarray(values, np.float64)
        mean = np.nanmean(np.where(split.train[:, None], values, np.nan), axis=0)
        deviation = np.nanstd(np.where(split.train[:, None], values, np.nan), axis=0)
        found.append((values - mean) / np.where(deviation > 0, deviation, 1.0))
    traces, pose = found
    pose[animal.centre < 0] = np.nan
    if not (split.train & np.isfinite(pose).all(axis=1)).any():
        raise DataError(f"Animal {animal.name!r}: no training frame has a whole pose.")
    return np.nan_to_num(traces).astype(np.float32), pose.astype(np.float32)


def _axes(poses: Sequence[np.ndarray]) -> np.ndarray:
    rows = np.concatenate(poses)
    rows = rows[np.isfinite(rows).all(axis=1)]
    _, axes = np.linalg.eigh(rows.T @ rows)
    return axes[:, ::-1][:, :_COMPONENTS]


def _seeded(seed: int) -> None:
    """CEBRA draws from the global generators of torch and numpy."""
    import torch

    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
