"""What a sweep can train in a moment: its score is what a setting says."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import toy

from tinbergen.configuration import Config, merge, resolve
from tinbergen.training import RunFolder, TrainConfig, fit

STEPS = 20
TRAIN = {"validate_every": 5, "checkpoint_every": 5, "ema": 0.0, "steps": STEPS}


class ToyConfig(Config):
    level: float = 1.0
    """The score; a negative one breaks down."""
    width: int = 2
    train: TrainConfig = toy.config(**TRAIN)


class Level(toy.Toy):
    level = 1.0

    def validate(self, model):
        return {"error": self.level}

    def fetch(self, indices, step):
        if self.level < 0 and step == 3:
            raise ZeroDivisionError("it broke")
        return super().fetch(indices, step)


class ToyTrainer:
    better: ClassVar = "min"

    def __init__(self, kill_trial: int = -1, task: Mapping[str, Any] | None = None):
        self.kill_trial, self.task = kill_trial, task or {}

    def config(self, changes: Mapping[str, Any]) -> ToyConfig:
        return resolve(ToyConfig, ToyConfig().model_dump(), merge({}, changes))

    def inputs(self) -> dict[str, str]:
        return {"toy": "1"}

    def train(self, changes: Mapping[str, Any], out: Path) -> RunFolder:
        config = self.config(changes)
        # Only the first time: a signal that comes again at each start is no preemption.
        strikes = int(out.name) == self.kill_trial and not out.exists()
        task = Level(**(self.task if strikes else {}))
        task.level = config.level
        run = RunFolder.start(out, config, seed=config.train.seed, resume=True)
        fit(task, config.train, run, resume=True)
        return run
