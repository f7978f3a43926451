"""A search for better settings: trials are drawn, trained, compared on their way, and counted."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tinbergen.configuration import Config
from tinbergen.errors import DataError, PreemptedError
from tinbergen.progress import Progress
from tinbergen.training.config import TrainConfig
from tinbergen.training.launchers import Job, Launcher, Processes
from tinbergen.training.run import RunFolder
from tinbergen.training.signals import preemptible
from tinbergen.training.space import Space, check_space, nested, parse_space, setting
from tinbergen.training.study import Better, StudyFile, TrialWatch
from tinbergen.training.sweep_results import (
    SweepResult,
    read_result,
    trial_folder,
    write_result,
)
from tinbergen.training.watching import watched

_FIRST_SHARE = 9  # the first comparison is after a ninth of the steps, the second after a third
_DEATHS = 3
_GO_ON = "Run the same command with --resume to go on."


class Trainer(Protocol):
    """What a room gives to a sweep; it is sent to other processes, so it must be picklable."""

    @property
    def better(self) -> Better:
        """Whether a smaller or a larger validation score is better."""
        ...

    def config(self, changes: Mapping[str, Any]) -> Config:
        """Return the settings with changes; they hold a ``TrainConfig`` as ``train``.

        Raises
        ------
        ConfigError
            If they cannot be.
        """
        ...

    def inputs(self) -> dict[str, str]:
        """Look at the data and return a content hash of each part.

        Raises
        ------
        DataError
            If it does not fit the settings.
        """
        ...

    def train(self, changes: Mapping[str, Any], out: Path) -> RunFolder:
        """Train a run of these settings at ``out``, or go on with the one that is there."""
        ...


class SweepConfig(Config):
    """What a sweep is, as its ``config.yaml`` has it."""

    space: dict[str, Any]
    settings: dict[str, Any]
    """All settings; what is not in the space stays as it is here."""
    better: Better


@dataclass(frozen=True)
class Sweep:
    """All that a trial needs to know."""

    path: Path
    trainer: Trainer
    space: Space
    study: StudyFile
    seed: int

    def run_trial(self, number: int) -> None:
        """Train a trial to its end and write down what it came to.

        If somebody else is at it, wait until they are not; a trial that is finished stays so.
        """
        import filelock

        out = trial_folder(self.path, number)
        out.parent.mkdir(exist_ok=True)
        with filelock.FileLock(out.parent / f".{number:03d}.lock"):
            trial = self.study.open().trials[number]
            if trial.state.is_finished():
                return
            drawn = {key: d.value(trial.params[key]) for key, d in self.space.items()}
            try:
                with preemptible(_GO_ON), watched(TrialWatch(self.study, number)):
                    run = self.trainer.train(nested(drawn), out)
                self._finish(number, run.status)
            except PreemptedError:
                raise
            except Exception as error:
                self.study.finish(number, "fail", f"{type(error).__name__}: {error}")

    def result(self) -> SweepResult:
        """Read what all trials came to so far."""
        return read_result(self.path, self.study, self.space)

    def _finish(self, number: int, status: Mapping[str, Any]) -> None:
        reason, score = status["reason"], status["best_score"]
        if score is None:
            raise DataError("The run has no validation score; is there data to validate on?")
        if reason.startswith("pruned"):
            self.study.finish(number, "pruned", reason)
        else:
            self.study.finish(number, "complete", reason, score)


def sweep(
    trainer: Trainer,
    out: str | os.PathLike,
    *,
    trials: int,
    space: Mapping[str, Any],
    workers: int = 1,
    launcher: Launcher | None = None,
    resume: bool = False,
) -> SweepResult:
    """Search settings: Bayesian draws (TPE), and early ends for those that fall behind.

    Parameters
    ----------
    trainer
        What is trained.
    out
        Folder to make. Trials are ordinary runs in ``trials/000``, ``trials/001``, ...; the first
        has the settings as they are.
    trials
        How many in all, those that end early or fail included.
    space
        Setting -> what it may be; see :func:`~tinbergen.training.space.parse_space`.
    workers
        Trials at a time.
    launcher
        Where they run; default: in processes on this machine.
    resume
        Go on with the sweep at ``out``, if there is one; ``trials`` may be another number then.

    Raises
    ------
    ConfigError
        For a space that does not fit the settings; before anything starts.
    DataError
        If no trial came to a score.
    OutputError
        If ``out`` holds something already, or another process is at it.
    PreemptedError
        After SIGTERM, SIGUSR1 or SIGINT. Trials that were running have saved.
    """
    folder, search, first = _begin(trainer, Path(out), space, resume)
    drive = _Drive(search, launcher or Processes(workers), workers, trials, first)
    with folder.writing():
        search.study.repair()
        stopped = drive.run()
        result = search.result()
        write_result(result)
        if not stopped and result.best is None:
            raise DataError(
                f"None of {len(result.trials)} trials came to a score. The first says: "
                f"{result.trials['reason'].iloc[0]}"
            )
        state = "preempted" if stopped else "done"
        folder.update_status(state=state, reason=stopped or f"all {trials} trials")
    if stopped:
        raise PreemptedError(f"{stopped} {_GO_ON}")
    return result


def _begin(
    trainer: Trainer, out: Path, space: Mapping[str, Any], resume: bool
) -> tuple[RunFolder, Sweep, dict[str, Any]]:
    """Check everything, then make the folder, or open it; return the values of trial 0, too."""
    dimensions = parse_space(space)
    check_space(dimensions, trainer.config)
    config = trainer.config({})
    train: TrainConfig = config.train  # type: ignore[attr-defined]
    whole = SweepConfig(
        space=dict(space), settings=config.model_dump(mode="json"), better=trainer.better
    )
    inputs = trainer.inputs()
    folder = RunFolder.start(out, whole, seed=train.seed, inputs=inputs, resume=resume)
    with contextlib.suppress(OSError):
        folder.checkpoints.rmdir()  # its trials have checkpoints, it has none
    path = folder.path.resolve()
    first_rung = max(train.validate_every, train.steps // _FIRST_SHARE, 1)
    study = StudyFile(path / "study.jsonl", trainer.better, first_rung)
    drawn = {key: d.drawn(setting(config, key)) for key, d in dimensions.items()}
    first = {key: value for key, value in drawn.items() if value is not None}
    return folder, Sweep(path, trainer, dimensions, study, train.seed), first


class _Drive:
    """Keeps ``workers`` trials going until there are as many as were asked for."""

    def __init__(
        self,
        search: Sweep,
        launcher: Launcher,
        workers: int,
        trials: int,
        first: Mapping[str, Any],
    ):
        self.search, self.launcher, self.workers = search, launcher, workers
        self.trials, self.first = trials, first
        self.jobs: dict[int, Job] = {}
        self.deaths: Counter[int] = Counter()

    def run(self) -> str | None:
        """Start trials, unfinished ones first, and wait for them; return what stopped it."""
        with Progress(self.trials, "sweep", "trials") as progress:
            try:
                with preemptible("All trials were asked to save."):
                    while True:
                        running, finished = self._look()
                        progress.advance(finished - progress.done)
                        self._fill(running, finished)
                        if not self.jobs:
                            return None
                        time.sleep(self.launcher.poll_s)
            except (PreemptedError, KeyboardInterrupt) as error:
                return str(error) or "Interrupted."
            finally:
                for job in self.jobs.values():
                    job.stop()

    def _look(self) -> tuple[list[int], int]:
        """Return the trials that are not finished, and how many are; forget jobs that ended."""
        ended = [number for number, job in self.jobs.items() if job.done()]
        trials = self.search.study.open().trials
        running = [t.number for t in trials if not t.state.is_finished()]
        for number in ended:
            del self.jobs[number]
            if number in running and not self._preempted(number):
                self.deaths[number] += 1
        for number in [n for n in running if self.deaths[n] >= _DEATHS]:
            reason = f"its process died {_DEATHS} times without a word; look into its log"
            self.search.study.finish(number, "fail", reason)
            running.remove(number)
        if ended:
            write_result(self.search.result())
        return running, len(trials) - len(running)

    def _fill(self, running: list[int], finished: int) -> None:
        """Start what is left over from before, then new trials, while there is room."""
        waiting = [number for number in running if number not in self.jobs]
        known = len(running) + finished
        while len(self.jobs) < self.workers and (waiting or known < self.trials):
            if waiting:
                number = waiting.pop(0)
            else:
                number = self.search.study.add(self.search.space, self.search.seed, self.first)
                known += 1
            logs = self.search.path / "logs"
            self.jobs[number] = self.launcher.start(
                logs, f"{number:03d}", self.search.run_trial, number
            )

    def _preempted(self, number: int) -> bool:
        """Whether a trial ended because it was asked to, with everything saved."""
        status = trial_folder(self.search.path, number) / "status.json"
        return status.is_file() and RunFolder(status.parent).status["state"] == "preempted"
