"""The model across animals as an estimator: fit, adapt, transform, save and load."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from tinbergen.crossanimal.config import CrossAnimalConfig, Objective
from tinbergen.crossanimal.pairs import Animal
from tinbergen.recordings import Recording, Series


class CrossAnimal:
    """Neural features of several animals that tell what they do, learnt from their poses.

    Parameters
    ----------
    objective
        ``contrast``: find the pose of a neural window among others (InfoNCE, both ways);
        ``simclr``: find the other view of a neural window; ``regression``: predict the pose;
        ``syllables``: predict the state of an autoregressive hidden Markov model of the pose.
    settings
        Laid over the defaults of :class:`CrossAnimalConfig`, nested or with dots.
    neural, pose
        Names of the streams, where recordings are given instead of animals.
    random_state
        Seed; default: that of the settings.
    out
        Run folder; default: kept in memory until :meth:`save`.

    Attributes
    ----------
    config_
        The resolved settings.
    animals_
        Names of the animals that there is an input layer for.
    """

    config_: CrossAnimalConfig
    animals_: tuple[str, ...]

    def __init__(
        self,
        objective: Objective = "contrast",
        *,
        settings: Mapping[str, Any] | None = None,
        neural: str = "neural",
        pose: str | tuple[str, ...] = "pose",
        random_state: int | None = None,
        out: str | os.PathLike | None = None,
    ):
        self.objective: Objective = objective
        self.settings = settings
        self.neural = neural
        self.pose = pose
        self.random_state = random_state
        self.out = out

    def fit(self, animals: Iterable[Animal], validation: Iterable[Animal] | None = None) -> Self:
        """Train on all animals together, without labels.

        Parameters
        ----------
        animals
            What is trained on, and nothing else: cut it with :meth:`Animal.between`.
        validation
            Other frames of the same animals, which choose the weights; default: the last ones.
        """
        raise NotImplementedError

    def transform(
        self, animal: Animal | Recording, space: Literal["h", "z"] = "h"
    ) -> np.ndarray | Series:
        """Return features of each neural frame, ``(time, dimension)`` float32; NaN outside segments.

        ``h`` is what the neural encoder says, ``z`` what the loss compares. A Series for a
        recording. Poses are not looked at.
        """
        raise NotImplementedError

    def adapt(self, animal: Animal | Recording) -> CrossAnimal:
        """Return a model that knows one more animal, by a new input layer under frozen weights."""
        raise NotImplementedError

    def save(self, path: str | os.PathLike) -> Path:
        """Write a run folder."""
        raise NotImplementedError

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Open a run folder of :meth:`save` or of ``out``."""
        raise NotImplementedError
