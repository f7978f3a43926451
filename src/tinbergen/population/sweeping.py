"""The search for better settings of population models."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinbergen.configuration import merge
from tinbergen.population.config import PopulationConfig, Preset, population_config
from tinbergen.population.corpus import split_windows
from tinbergen.population.pretraining import Data, Parts, fingerprint, open_sessions, pretrain
from tinbergen.population.vocabulary import Vocabulary
from tinbergen.training import RunFolder
from tinbergen.training.launchers import Launcher
from tinbergen.training.space import read_space
from tinbergen.training.study import Better
from tinbergen.training.sweep_results import SweepResult
from tinbergen.training.sweeping import sweep as run_sweep

DEFAULT_SPACE: dict[str, Any] = {
    "train.learning_rate": {"log": [1e-4, 8e-3]},
    "units.decay": {"log": [0.01, 3.0]},
    "units.linear_rank": {"int": [0, 32], "step": 8},
    "network.dropout": {"between": [0.0, 0.4]},
    "network.width": [64, 128, 256],
    "network.depth": {"int": [1, 6]},
    "masks.ratio": [[0.02, 0.1], [0.02, 0.32], [0.1, 0.5]],
}
"""What is searched if nothing else is asked for.

The weights of the masks are not in it: they decide what is asked in validation as well, so that
scores of models with others do not compare."""


@dataclass(frozen=True)
class PopulationTrainer:
    """Population models as a sweep trains them; see :func:`~tinbergen.population.pretrain`."""

    data: Data
    preset: Preset = "tinbergen"
    overrides: Mapping[str, Any] = field(default_factory=dict)
    parts: Parts | None = None

    @property
    def better(self) -> Better:
        """Of two validation losses the smaller one is better."""
        return "min"

    def config(self, changes: Mapping[str, Any]) -> PopulationConfig:
        """Return the settings of the preset with changes."""
        return population_config(self.preset, overrides=merge(self.overrides, changes))

    def inputs(self) -> dict[str, str]:
        """Cut the windows once, to find out early whether the data fits."""
        config = self.config({})
        sessions = open_sessions(self.data, config)
        parts = self.parts or split_windows(sessions)
        Vocabulary.of(sessions, parts["train"], config.modalities)
        return {s.name: fingerprint(s) for s in sessions}

    def train(self, changes: Mapping[str, Any], out: Path) -> RunFolder:
        """Train a run, or go on with it."""
        overrides = merge(self.overrides, changes)
        return pretrain(
            self.data,
            out,
            preset=self.preset,
            overrides=overrides,
            parts=self.parts,
            resume=True,
        )


def sweep(
    data: Data,
    out: str | os.PathLike,
    *,
    trials: int,
    space: Mapping[str, Any] | str | os.PathLike | None = None,
    preset: Preset = "tinbergen",
    overrides: Mapping[str, Any] | None = None,
    parts: Parts | None = None,
    workers: int = 1,
    launcher: Launcher | None = None,
    resume: bool = False,
) -> SweepResult:
    """Search the settings of a population model with the least validation loss.

    Parameters
    ----------
    data, preset, overrides, parts
        See :func:`~tinbergen.population.pretrain`; data is given as paths where trials run on
        other machines.
    space
        A YAML file or a mapping; default: :data:`DEFAULT_SPACE` without what ``overrides`` set.
    out, trials, workers, launcher, resume
        See :func:`tinbergen.training.sweep`, also for the errors.
    """
    overrides = dict(overrides or {})
    if space is None:
        space = {k: v for k, v in DEFAULT_SPACE.items() if not is_set(overrides, k)}
    trainer = PopulationTrainer(data, preset, overrides, parts)
    return run_sweep(
        trainer,
        out,
        trials=trials,
        space=read_space(space),
        workers=workers,
        launcher=launcher,
        resume=resume,
    )


def is_set(overrides: Mapping[str, Any], key: str) -> bool:
    """Whether nested overrides hold a setting ``a.b``."""
    node: Any = overrides
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return False
        node = node[part]
    return True
