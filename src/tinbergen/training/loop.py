"""The one training loop, in one process."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

from tinbergen.errors import ConfigError, DataError, NonFiniteError
from tinbergen.progress import Progress
from tinbergen.training import metrics_file
from tinbergen.training.checkpoint import Checkpoints
from tinbergen.training.config import TrainConfig
from tinbergen.training.device import Hardware
from tinbergen.training.launch import Outcome, Team
from tinbergen.training.logbook import Logbook
from tinbergen.training.optim import clip_on_cpu, learning_rate_factor
from tinbergen.training.prefetch import fetched_ahead, pin, to_device
from tinbergen.training.randomness import derive_seed, reseed_everything
from tinbergen.training.run import RunFolder
from tinbergen.training.sampler import shard
from tinbergen.training.signals import StopRequest
from tinbergen.training.state import TrainState
from tinbergen.training.task import Task
from tinbergen.training.watching import Watch

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_LONGEST_BATCH_TEXT = 2000


class Loop:
    """Training in one process: :meth:`run` reads from top to bottom, the rest is its parts."""

    def __init__(
        self,
        fabric: Fabric,
        team: Team,
        task: Task,
        config: TrainConfig,
        hardware: Hardware,
        run: RunFolder | None,
        watch: Watch | None = None,
    ):
        if config.patience and task.score is None:
            raise ConfigError("patience needs a task with a score to watch; set patience to 0.")
        self.fabric, self.team, self.task, self.config = fabric, team, task, config
        self.hardware, self.run_folder, self.watch = hardware, run, watch
        self.sampler = task.batches()
        self.generator = torch.Generator(device=fabric.device)
        self.first_bad = torch.full((), -1, device=fabric.device)
        self.state = TrainState(fabric, task, config)
        self.checkpoints = Checkpoints(run.checkpoints) if run is not None else None
        self.best_weights: dict[str, Tensor] | None = None
        self.saved_at = -1
        self._restore()

    # --- the loop -------------------------------------------------------------------------

    def run(self, stop: StopRequest) -> Outcome:
        """Train from the present step to the last, the early stop, or a request to stop."""
        config, state, position = self.config, self.state, self.state.position
        steps = range(position.step, position.step if position.ended else config.steps)
        stopped_by = None
        with (
            Logbook(self._folder_to_write(), config.tensorboard, position.step) as self.logbook,
            fetched_ahead(self._fetch, steps, config.workers) as batches,
            self._progress() as progress,
        ):
            if self.task.validate_start and position.step == 0 and position.validated_at < 0:
                self._validate()
            for step in steps:
                with state.watch.waiting():
                    n_items, batch = next(batches)
                self._update(step, to_device(batch, self.fabric.device))
                state.watch.step(n_items * self.team.world)
                position.step = step + 1
                if self._due(config.log_every):
                    self._log()
                if self._due(config.validate_every):
                    self._validate()
                if self._due(config.checkpoint_every):
                    self._save()
                if progress is not None:
                    progress.advance(note=self._note())
                if self.team.any(stop.received is not None):
                    stopped_by = stop.received or "a signal to another process"
                    break
                if position.ended:
                    break
            if not stopped_by and position.validated_at != position.step:
                self._validate()
            if self.saved_at != position.step:
                self._save()
        return self._finish(stopped_by)

    def _fetch(self, step: int) -> tuple[int, Any]:
        indices = shard(self.sampler.batch(step), self.team.rank, self.team.world)
        try:
            batch = self.task.fetch(indices, step)
        except Exception as error:
            error.add_note(f"while fetching step {step}: {self.task.describe(indices)}")
            raise
        return np.size(indices), pin(batch) if self.fabric.device.type == "cuda" else batch

    def _update(self, step: int, batch: Any) -> None:
        """Take one optimizer step; it depends on weights, batch, seed, step and rank alone."""
        config, state, rank = self.config, self.state, self.team.rank
        reseed_everything(config.seed, "step", step, rank)
        self.generator.manual_seed(derive_seed(config.seed, "loss", step, rank))
        for group in state.optimizer.param_groups:
            held = step < group.get("first_step", 0)  # weights that are to wait
            factor = 0.0 if held else learning_rate_factor(step, config)
            group["lr"] = group["peak_lr"] * factor
        losses = self.task.loss(state.model, batch, self.generator)
        self.fabric.backward(losses["loss"])
        norm = self._clip()
        state.means.add({**losses, "grad_norm": norm})
        self._watch_finite(step, losses["loss"], norm)
        state.stepper.step()
        state.stepper.zero_grad(set_to_none=True)
        if state.average is not None:
            state.average.update(state.module, step)

    def _clip(self) -> Tensor:
        """Scale the gradient down to the limit, if there is one; return its norm before."""
        state, limit = self.state, self.config.grad_clip or float("inf")
        if self.fabric.device.type == "cpu":
            return clip_on_cpu(state.optimizer, limit)
        norm = self.fabric.clip_gradients(
            state.model, state.stepper, max_norm=limit, error_if_nonfinite=False
        )
        return cast(Tensor, norm)  # None only when clipping by value

    def _due(self, every: int) -> bool:
        return every > 0 and self.state.position.step % every == 0

    # --- guarding -------------------------------------------------------------------------

    def _watch_finite(self, step: int, loss: Tensor, norm: Tensor) -> None:
        """Remember the first bad step on the device; on the CPU, where looking is free, look."""
        if self.fabric.device.type == "cpu":
            if not math.isfinite(loss.item() + norm.item()):
                self.first_bad.fill_(step)
                self._refuse_nonfinite()
            return
        finite = torch.isfinite(loss.detach())
        if self.hardware.precision != "fp16":  # there the loss scaler expects infinite gradients
            finite = finite & torch.isfinite(norm)
        known = finite | (self.first_bad >= 0)
        self.first_bad = torch.where(known, self.first_bad, step)

    def _refuse_nonfinite(self) -> None:
        step = int(self.first_bad)
        if step < 0:
            return
        items = self.task.describe(self.sampler.batch(step))
        if len(items) > _LONGEST_BATCH_TEXT:
            items = f"{items[:_LONGEST_BATCH_TEXT]} ..."
        saved = self.checkpoints.steps() if self.checkpoints else []
        kept = f" The last good checkpoint is after step {saved[-1]}." if saved else ""
        raise NonFiniteError(
            f"Expected a finite loss and gradient, found NaN or infinity in step {step}.{kept} "
            "Look at the items of its batch, lower learning_rate, or set precision=fp32. "
            f"Batch: {items}"
        )

    # --- writing down ---------------------------------------------------------------------

    def _folder_to_write(self) -> RunFolder | None:
        return self.run_folder if self.team.first else None

    def _progress(self) -> Progress | nullcontext[None]:
        if not self.team.first:
            return nullcontext()
        return Progress(self.config.steps, "training", "steps", done=self.state.position.step)

    def _note(self) -> str:
        values = self.state.position.last_values
        if "loss" not in values:
            return ""
        return f"loss {values['loss']:.4g}, {values['items_per_s']:.3g} items/s"

    def _log(self) -> None:
        self._refuse_nonfinite()
        self.state.means.share(self.team.mean)
        values = self.state.means.take()
        values["lr"] = self.state.optimizer.param_groups[0]["lr"]
        self._write({**values, **self.state.watch.take()})

    def _write(self, values: dict[str, float]) -> None:
        self.state.position.last_values.update(values)
        self.logbook.write(self.state.position.step, values)

    # --- validating -----------------------------------------------------------------------

    def _validate(self) -> None:
        """Let the first process validate, keep the best weights, and agree whether to end."""
        self._refuse_nonfinite()
        state, position = self.state, self.state.position
        position.validated_at = position.step
        with state.watch.paused():
            if self.team.first:
                reseed_everything(self.config.seed, "validate", position.step)
                with state.averaged(), torch.no_grad():
                    state.module.eval()
                    with self.fabric.autocast():
                        values = self.task.validate(state.module) or {}
                    state.module.train()
                    if values:
                        self._write(values)
                    if self.task.score is not None:
                        self._compare(values, *self.task.score)
                        self._ask_watch()
            if self.team.any(position.ended is not None):
                position.ended = position.ended or "early stop"

    def _compare(self, values: dict[str, float], name: str, better: str) -> None:
        """Keep the weights if they are the best so far; count the times that they are not."""
        position = self.state.position
        if name not in values:
            raise DataError(f"Expected validate() to return {name!r}, found {sorted(values)}.")
        score, best = float(values[name]), position.best_score
        if best is None or (score < best if better == "min" else score > best):
            position.best_step, position.best_score = position.step, score
            position.not_better = 0
            self.best_weights = self.state.weights()
            if self.checkpoints is not None:
                self.checkpoints.save_best(position.step, self.best_weights, score)
            return
        position.not_better += 1
        if self.config.patience and position.not_better >= self.config.patience:
            position.ended = (
                f"early stop after step {position.step}: {name} was best ({best:.6g}) after step "
                f"{position.best_step}"
            )

    def _ask_watch(self) -> None:
        """Show the best score to whoever watches, who may say why to end here."""
        position = self.state.position
        open_end = position.ended is None and position.step < self.config.steps
        if self.watch is not None and open_end and position.best_score is not None:
            position.ended = self.watch(position.step, position.best_score)

    # --- saving ---------------------------------------------------------------------------

    def _save(self) -> None:
        self._refuse_nonfinite()
        state, run = self.state, self._folder_to_write()
        self.saved_at = state.position.step
        state.means.share(self.team.mean)
        if run is None or self.checkpoints is None:
            return
        with state.watch.paused():
            metrics_file.sync(run.metrics_path)
            scalars = {"seed": self.config.seed, "precision": self.hardware.precision}
            self.checkpoints.save(self.saved_at, state.tensors(), {**state.scalars(), **scalars})

    def _restore(self) -> None:
        """Go back to the newest good checkpoint, and the metrics with it."""
        if self.checkpoints is None:
            return
        run = self._folder_to_write()
        found = self.checkpoints.load_last()
        if run is not None:
            self.checkpoints.clean()
            metrics_file.rewind(run.metrics_path, found[1]["step"] if found else -1)
        if found is None:
            return
        tensors, scalars, complaints = found
        self.state.restore(tensors, scalars)
        position = self.state.position
        self.saved_at = position.step
        if run is None:
            return
        for complaint in complaints:
            run.note(f"{complaint} Going on from step {position.step}.")
        if scalars["precision"] != self.hardware.precision:
            run.note(
                f"The run began in {scalars['precision']} and goes on in "
                f"{self.hardware.precision}; the result will differ a little."
            )
        if position.best_step is not None:
            try:
                self.best_weights = self.checkpoints.load_best(position.best_step)
            except DataError as error:
                run.note(f"{error} The best weights are chosen anew from here on.")
                position.best_step = position.best_score = None

    def _finish(self, stopped_by: str | None) -> Outcome:
        """Write the weights, then the status that says that they are there."""
        position, run = self.state.position, self._folder_to_write()
        steps = f"step {position.step} of {self.config.steps}"
        weights: dict[str, Tensor] = {}
        if stopped_by:
            if run is not None:
                run.update_status(state="preempted", reason=f"{stopped_by} after {steps}")
        else:
            with self.state.averaged():
                weights = self.team.same(self.best_weights or self.state.weights())
            if run is not None:
                step = position.step if position.best_step is None else position.best_step
                run.save_weights(weights, {"step": str(step)})
                run.update_status(
                    state="done",
                    reason=position.ended or f"all {self.config.steps} steps",
                    step=position.step,
                    best_step=position.best_step,
                    best_score=position.best_score,
                    metrics=position.last_values,
                )
        return Outcome(
            position.step,
            position.last_values,
            position.best_step,
            position.best_score,
            stopped_by,
            weights,
            self.state.module,
        )
