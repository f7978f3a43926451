"""The one training loop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from tinbergen.errors import ConfigError, DataError, NonFiniteError, OutputError, PreemptedError
from tinbergen.progress import Progress
from tinbergen.training.checkpoint import Checkpoints, flatten_optimizer, restore_optimizer
from tinbergen.training.config import TrainConfig
from tinbergen.training.device import Hardware, choose_hardware
from tinbergen.training.launch import Outcome, Team, launch
from tinbergen.training.logbook import Logbook, Means, Stopwatch
from tinbergen.training.optim import Average, learning_rate_factor
from tinbergen.training.prefetch import fetched_ahead, pin, to_device
from tinbergen.training.randomness import (
    caller_randomness_kept,
    derive_seed,
    reseed_everything,
)
from tinbergen.training.run import RunFolder
from tinbergen.training.sampler import shard
from tinbergen.training.signals import StopRequest
from tinbergen.training.task import Task

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
    if run is not None and run.status["state"] == "done" and resume:
        return _read_finished(task, config, run)
    if run is not None and run.status["state"] != "created" and not resume:
        raise OutputError(
            f"{run.path} has been trained already ({run.status['state']}). Go on with it with "
            "resume=True (--resume), or choose another output folder."
        )
    with caller_randomness_kept():
        outcome = launch(_train, hardware, task, config, hardware, run)
        if outcome.stopped_by:
            raise PreemptedError(
                f"Stopped by {outcome.stopped_by} after step {outcome.step} of {config.steps}"
                + (f"; everything is saved in {run.path}. Resume to go on." if run else ".")
            )
        return FitResult(
            _build(task, config, outcome.weights), outcome.step, outcome.metrics,
            outcome.best_step, outcome.best_score, run,
        )  # fmt: skip


def _train(
    fabric: Fabric, task: Task, config: TrainConfig, hardware: Hardware, run: RunFolder | None
) -> Outcome:
    """Train in one process; all of them run this."""
    team = Team(fabric)
    writes = run is not None and team.first
    status = {"device": hardware.device, "precision": hardware.precision, "processes": team.world}
    with (
        run.writing(**status) if writes else nullcontext(),
        StopRequest(enabled=run is not None) as stop,
    ):
        loop = Loop(fabric, team, task, config, hardware, run)
        try:
            outcome = loop.run(stop)
        finally:
            loop.logbook.close()
        if writes:
            loop.finish(outcome)
        team.any(False)  # nobody leaves before the first process has written everything
        return outcome


class Loop:
    """The state of a training run and the steps that change it."""

    def __init__(
        self,
        fabric: Fabric,
        team: Team,
        task: Task,
        config: TrainConfig,
        hardware: Hardware,
        run: RunFolder | None,
    ):
        self.fabric, self.team, self.task, self.config, self.run_folder = (
            fabric, team, task, config, run,
        )  # fmt: skip
        self.hardware = hardware
        reseed_everything(config.seed, "build")
        self.module = task.build().to(fabric.device)
        if team.world > 1 and fabric.device.type == "cuda":
            self.module = nn.SyncBatchNorm.convert_sync_batchnorm(self.module)
        self.optimizer = task.optimizer(self.module, config)
        for group in self.optimizer.param_groups:
            group["peak_lr"] = group["lr"]
        self.model, self.stepper = fabric.setup(self.module, self.optimizer)
        self.average = Average(self.module, config.ema) if config.ema else None
        self.sampler = task.batches()
        self.generator = torch.Generator(device=fabric.device)

        self.step = 0
        self.best_step: int | None = None
        self.best_score: float | None = None
        self.best_weights: dict[str, Tensor] | None = None
        self.validated_at = self.saved_at = -1
        self.not_better = 0
        self.ended: str | None = None
        self.last_values: dict[str, float] = {}
        self.first_bad = torch.full((), -1, device=fabric.device)
        self.means = Means()
        self.watch = Stopwatch()
        self.checkpoints = Checkpoints(run.checkpoints) if run is not None else None
        self._restore()
        self.logbook = Logbook(run if team.first else None, config.tensorboard, self.step)

    # --- the loop -------------------------------------------------------------------------

    def run(self, stop: StopRequest) -> Outcome:
        """Train from the present step to the last, the early stop, or a request to stop."""
        config, team = self.config, self.team
        steps = range(self.step, config.steps if self.ended is None else self.step)
        shown = Progress(config.steps, "training", "steps", done=self.step)
        stopped_by = None
        with fetched_ahead(self._fetch, steps, config.workers) as batches, shown as progress:
            for step in steps:
                waiting = time.perf_counter()
                items, batch = next(batches)
                self.watch.waited(time.perf_counter() - waiting)
                self._update(step, to_device(batch, self.fabric.device))
                self.watch.step(items * team.world)
                self.step = step + 1
                if self._due(config.log_every):
                    self._log()
                if self._due(config.validate_every):
                    self._validate()
                if self._due(config.checkpoint_every):
                    self._save()
                progress.advance(note=self._note())
                if team.any(stop.received is not None):
                    stopped_by = stop.received or "another process"
                    break
                if self.ended is not None:
                    break
        if stopped_by is None and self.validated_at != self.step:
            self._validate()
        if self.saved_at != self.step:
            self._save()
        return Outcome(
            self.step, self.last_values, self.best_step, self.best_score, stopped_by,
            self._final_weights() if team.first else {},
        )  # fmt: skip

    def _fetch(self, step: int) -> tuple[int, Any]:
        indices = shard(self.sampler.batch(step), self.team.rank, self.team.world)
        try:
            batch = self.task.fetch(indices, step)
        except Exception as error:
            error.add_note(f"while fetching step {step}: {self.task.describe(indices)}")
            raise
        on_gpu = self.fabric.device.type == "cuda"
        return np.size(indices), pin(batch) if on_gpu else batch

    def _update(self, step: int, batch: Any) -> None:
        """Take one optimizer step, from (weights, batch, seed, step, rank) alone."""
        config, rank = self.config, self.team.rank
        reseed_everything(config.seed, "step", step, rank)
        self.generator.manual_seed(derive_seed(config.seed, "loss", step, rank))
        factor = learning_rate_factor(step, config)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor
        losses = self.task.loss(self.model, batch, self.generator)
        self.fabric.backward(losses["loss"])
        norm = self.fabric.clip_gradients(
            self.model,
            self.stepper,
            max_norm=config.grad_clip or float("inf"),
            error_if_nonfinite=False,
        )
        self.means.add({**losses, "grad_norm": norm})
        self._watch_finite(step, losses["loss"], norm)
        self.stepper.step()
        self.stepper.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(self.module, step)

    def _due(self, every: int) -> bool:
        return every > 0 and self.step % every == 0

    # --- guarding -------------------------------------------------------------------------

    def _watch_finite(self, step: int, loss: Tensor, norm: Tensor) -> None:
        """Remember the first bad step on the device; on the CPU, where looking is free, look."""
        finite = torch.isfinite(loss.detach())
        if self.hardware.precision != "fp16":  # there the loss scaler expects infinite gradients
            finite = finite & torch.isfinite(norm)
        known = finite | (self.first_bad >= 0)
        self.first_bad = torch.where(known, self.first_bad, step)
        if self.fabric.device.type == "cpu":
            self._refuse_nonfinite()

    def _refuse_nonfinite(self) -> None:
        step = int(self.first_bad)
        if step < 0:
            return
        items = self.task.describe(self.sampler.batch(step))
        items = items if len(items) <= 2000 else f"{items[:2000]} ..."
        kept = self.checkpoints.steps() if self.checkpoints else []
        where = f"The last good checkpoint is after step {kept[-1]}. " if kept else ""
        raise NonFiniteError(
            f"Expected a finite loss and gradient, found NaN or infinity in step {step}. {where}"
            f"Look at the items of its batch, lower learning_rate, or set precision=fp32. "
            f"Batch: {items}"
        )

    # --- writing down ---------------------------------------------------------------------

    def _log(self) -> None:
        self._refuse_nonfinite()
        self.means.share(self.team.mean)
        values = self.means.take()
        values["lr"] = self.optimizer.param_groups[0]["lr"]
        self._write({**values, **self.watch.take()})

    def _write(self, values: dict[str, float]) -> None:
        self.last_values.update(values)
        self.logbook.write(self.step, values)

    def _note(self) -> str:
        if "loss" not in self.last_values:
            return ""
        return (
            f"loss {self.last_values['loss']:.4g}, {self.last_values['items_per_s']:.3g} items/s"
        )

    def _validate(self) -> None:
        """Let the first process validate, keep the best weights, and agree whether to end."""
        self._refuse_nonfinite()
        began = time.perf_counter()
        self.validated_at = self.step
        if self.team.first:
            with self._weights_to_use(), torch.no_grad(), self.fabric.autocast():
                reseed_everything(self.config.seed, "validate", self.step)
                self.module.eval()
                values = self.task.validate(self.module)
                self.module.train()
                if values is not None:
                    self._write(values)
                if self.task.score is not None:
                    self._compare(values or {})
        if self.team.any(self.ended is not None):
            self.ended = self.ended or "early stop"
        self.watch.paused(time.perf_counter() - began)

    def _compare(self, values: dict[str, float]) -> None:
        name, best = self.task.score or ("", "min")
        if name not in values:
            raise DataError(f"Expected validate() to return {name!r}, found {sorted(values)}.")
        score = float(values[name])
        before = self.best_score
        if before is None or (score < before if best == "min" else score > before):
            self.best_step, self.best_score, self.not_better = self.step, score, 0
            self.best_weights = _to_cpu(self.module.state_dict())
            if self.checkpoints is not None:
                self.checkpoints.save_best(self.step, self.best_weights, score)
            return
        self.not_better += 1
        if self.config.patience and self.not_better >= self.config.patience:
            self.ended = (
                f"early stop after step {self.step}: {name} was best ({before:.6g}) after step "
                f"{self.best_step}"
            )

    @contextmanager
    def _weights_to_use(self) -> Iterator[None]:
        with self.average.applied_to(self.module) if self.average else nullcontext():
            yield

    def _final_weights(self) -> dict[str, Tensor]:
        if self.best_weights is not None:
            return self.best_weights
        with self._weights_to_use():
            return _to_cpu(self.module.state_dict())

    # --- checkpoints ----------------------------------------------------------------------

    def _save(self) -> None:
        self._refuse_nonfinite()
        began = time.perf_counter()
        self.saved_at = self.step
        self.means.share(self.team.mean)
        if self.checkpoints is not None and self.run_folder is not None and self.team.first:
            tensors = {f"model/{name}": value for name, value in self.module.state_dict().items()}
            state, optimizer = flatten_optimizer(self.optimizer, self.module)
            tensors.update(state)
            if self.average is not None:
                tensors.update({f"ema/{n}": value for n, value in self.average.weights.items()})
            self.run_folder.sync_metrics()
            self.checkpoints.save(self.step, tensors, {**self._scalars(), "optimizer": optimizer})
        self.watch.paused(time.perf_counter() - began)

    def _scalars(self) -> dict[str, Any]:
        return {
            "seed": self.config.seed,
            "precision": self.hardware.precision,
            "best_step": self.best_step,
            "best_score": self.best_score,
            "not_better": self.not_better,
            "validated_at": self.validated_at,
            "ended": self.ended,
            "last_values": self.last_values,
            "means": self.means.state(),
            "scaler": self.fabric.strategy.precision.state_dict(),
            **self.watch.totals(),
        }

    def _restore(self) -> None:
        """Go back to the newest good checkpoint, and the metrics with it."""
        found = self.checkpoints.load_last() if self.checkpoints is not None else None
        if self.team.first and self.run_folder is not None:
            for complaint in found[2] if found else []:
                self.run_folder.note(f"{complaint} Going on from step {found[1]['step']}.")
            self.run_folder.rewind_metrics(found[1]["step"] if found else 0)
        if found is None or self.checkpoints is None:
            return
        tensors, scalars, _ = found
        self.module.load_state_dict(_under("model/", tensors))
        restore_optimizer(self.optimizer, self.module, tensors, scalars["optimizer"])
        if self.average is not None:
            for name, value in _under("ema/", tensors).items():
                self.average.weights[name].copy_(value)
        self.fabric.strategy.precision.load_state_dict(scalars["scaler"])
        self.means.restore(scalars["means"], self.fabric.device)
        self.watch = Stopwatch(scalars["elapsed_s"], scalars["cpu_s"])
        self.step = self.saved_at = scalars["step"]
        for name in ("best_step", "best_score", "not_better", "validated_at", "ended"):
            setattr(self, name, scalars[name])
        self.last_values = scalars["last_values"]
        if self.best_step is not None and self.team.first:
            self.best_weights = self.checkpoints.load_best(self.best_step)
        if scalars["precision"] != self.hardware.precision and self.team.first and self.run_folder:
            self.run_folder.note(
                f"The run began in {scalars['precision']} and goes on in "
                f"{self.hardware.precision}; the result will differ a little."
            )

    def finish(self, outcome: Outcome) -> None:
        """Write the weights and the final status, in this order."""
        run = self.run_folder
        if run is None:
            return
        if outcome.stopped_by:
            reason = f"{outcome.stopped_by} after step {self.step} of {self.config.steps}"
            run.update_status(state="preempted", reason=reason, step=self.step)
            return
        shown = self.step if self.best_step is None else self.best_step
        run.save_weights(outcome.weights, {"step": str(shown)})
        reason = self.ended or f"all {self.config.steps} steps"
        run.update_status(
            state="done", reason=reason, step=self.step,
            best_step=self.best_step, best_score=self.best_score, metrics=self.last_values,
        )  # fmt: skip


def _read_finished(task: Task, config: TrainConfig, run: RunFolder) -> FitResult:
    status = run.status
    with caller_randomness_kept():
        model = _build(task, config, run.load_weights())
    return FitResult(
        model, status["step"], status["metrics"], status["best_step"], status["best_score"], run
    )


def _build(task: Task, config: TrainConfig, weights: dict[str, Tensor]) -> nn.Module:
    reseed_everything(config.seed, "build")
    model = task.build()
    model.load_state_dict(weights)
    return model.eval()


def _to_cpu(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in state.items()}


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
