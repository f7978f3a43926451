"""``fit``: choose the hardware, launch the processes, train, give back the model."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from tinbergen.errors import ConfigError, OutputError, PreemptedError
from tinbergen.training.config import TrainConfig
from tinbergen.training.device import Hardware, choose_hardware
from tinbergen.training.heap import heap_kept
from tinbergen.training.launch import Outcome, Team, launch
from tinbergen.training.loop import Loop
from tinbergen.training.randomness import caller_randomness_kept, reseed_everything
from tinbergen.training.run import RunFolder
from tinbergen.training.signals import StopRequest
from tinbergen.training.task import Task
from tinbergen.training.watching import Watch, present_watch

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class FitResult:
    """A trained model.

    Attributes
    ----------
    model
        In eval mode on the CPU, with the best weights by the task's score, or the last ones.
    step
        Steps that were taken.
    metrics
        The last value of everything that was logged.
    best_step, best_score
        Where the best validation was, if the task declares a score.
    run
        The run folder, or None.
    """

    model: nn.Module
    step: int
    metrics: dict[str, float]
    best_step: int | None
    best_score: float | None
    run: RunFolder | None


def fit(
    task: Task, config: TrainConfig, run: RunFolder | None = None, *, resume: bool = False
) -> FitResult:
    """Train ``task`` as ``config`` says.

    Parameters
    ----------
    task
        Model, data and loss.
    config
        Settings of the loop.
    run
        Where everything is kept; None trains in memory.
    resume
        Go on from the last checkpoint of ``run``, if it has one. The result is the same, bit for
        bit on the CPU, as that of a run that was never interrupted. A run that is done is only
        read.

    Raises
    ------
    DeviceError
        If this machine lacks the device or the precision.
    NonFiniteError
        If the loss or the gradient is NaN or infinite; the last checkpoint is from before.
    OutputError
        If the run cannot be written, has been used already, or is being written by another.
    PreemptedError
        After SIGTERM, SIGUSR1 or SIGINT, with everything saved.
    """
    if resume and run is None:
        raise ConfigError("resume=True needs a run folder to resume from.")
    hardware = choose_hardware(config)
    with caller_randomness_kept():
        if run is not None and resume and run.status["state"] == "done":
            return _read_finished(task, config, run)
        watch = present_watch()
        outcome = launch(_train, hardware, task, config, hardware, run, resume, watch)
        if outcome.stopped_by:
            raise PreemptedError(
                f"Stopped by {outcome.stopped_by} after step {outcome.step} of {config.steps}; "
                f"everything is saved in {run.path if run else 'nothing'}. Resume to go on."
            )
        model = outcome.module.cpu() if outcome.module else _build(task, config)
        model.load_state_dict(outcome.weights)
    found = {
        name: getattr(outcome, name) for name in ("step", "metrics", "best_step", "best_score")
    }
    return FitResult(model=model.eval(), run=run, **found)


def _train(
    fabric: Fabric,
    task: Task,
    config: TrainConfig,
    hardware: Hardware,
    run: RunFolder | None,
    resume: bool,
    watch: Watch | None,
) -> Outcome:
    """Train in one process; all of them run this."""
    team = Team(fabric)
    writing = nullcontext()
    if run is not None and team.first:
        _refuse_used(run, resume)
        device, precision = hardware.device, hardware.precision
        writing = run.writing(device=device, precision=precision, processes=team.world)
    keeping = heap_kept(fabric.device.type == "cpu")
    with writing, keeping, StopRequest(enabled=run is not None) as stop:
        try:
            outcome = Loop(fabric, team, task, config, hardware, run, watch).run(stop)
        except BaseException as error:
            if run is not None and not team.first:
                run.mark_failed(error)
            raise
        team.any(False)  # nobody leaves before the first process has written everything
        return outcome


def _refuse_used(run: RunFolder, resume: bool) -> None:
    state = run.status["state"]
    if state != "created" and not resume:
        raise OutputError(
            f"{run.path} has been trained already ({state}). Go on with it with resume=True "
            "(--resume), or choose another output folder."
        )


def _read_finished(task: Task, config: TrainConfig, run: RunFolder) -> FitResult:
    found = {name: run.status[name] for name in ("step", "metrics", "best_step", "best_score")}
    model = _build(task, config)
    model.load_state_dict(run.load_weights())
    return FitResult(model=model.eval(), run=run, **found)


def _build(task: Task, config: TrainConfig) -> nn.Module:
    reseed_everything(config.seed, "build")
    return task.build()
