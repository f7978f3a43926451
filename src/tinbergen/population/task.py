"""Masked modelling of populations as a task for the training loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tinbergen.errors import ConfigError, WeightsError
from tinbergen.nn.poisson import masked_mean, poisson_nll
from tinbergen.population.batch import Batch
from tinbergen.population.config import PopulationConfig
from tinbergen.population.corpus import Corpus
from tinbergen.population.masks import Hidden, draw_masks
from tinbergen.population.model import PopulationModel, Prediction
from tinbergen.population.start import FOLDS, fit_start, hold_out, match_rates
from tinbergen.training import RowSampler, Sampler, Task
from tinbergen.training.config import TrainConfig
from tinbergen.training.optim import adamw
from tinbergen.training.prefetch import to_device

_VALIDATION_DRAWS = 3
_VALIDATION_BATCH = 64
# The same for every setting: a smaller share of hidden units would be easier, not better.
_VALIDATION_RATIO = (0.02, 0.32)
TABLES = ("unit_in", "unit_out")
_HEAD_RATE = 0.1  # relative to that of the other weights


class PopulationTask(Task):
    """Hide a part of each window, predict it, and be scored there alone.

    Parameters
    ----------
    corpus
        All sessions.
    train, validation
        Windows of the corpus; without validation windows the last weights are kept.
    core
        Trained weights to start from, by name: of a model of other sessions. How they go on is
        for ``adapting`` in the settings to say.
    """

    def __init__(
        self,
        corpus: Corpus,
        train: np.ndarray,
        validation: np.ndarray,
        core: Mapping[str, Tensor] | None = None,
    ):
        self.corpus, self.config = corpus, corpus.config
        self.train, self.validation = np.asarray(train), np.asarray(validation)
        self.core = dict(core or {})
        self.score = ("validation_loss", "min") if len(self.validation) else None
        self.validate_start = self.config.units.linear_rank > 0
        if not len(self.train):
            raise ConfigError("There is no window to train on.")
        if self.validate_start:
            hold_out(corpus, self.train)

    def build(self) -> PopulationModel:
        """Return the network, its core from the given weights."""
        model = PopulationModel(self.config, self.corpus.vocabulary, folds=FOLDS)
        own = model.state_dict()
        if unknown := [n for n, v in self.core.items() if n not in own or own[n].shape != v.shape]:
            raise WeightsError(f"The core does not fit the network: {', '.join(unknown[:5])}.")
        model.load_state_dict(own | self.core)
        adapting, carried_rate = self.config.adapting, None
        frozen = bool(self.core) and adapting.strategy == "frozen"
        if any(name.startswith("calibration.") for name in self.core):
            carried_rate = 0.0 if frozen else adapting.core_rate
        fit_start(model, self.corpus, self.train, self.validation, self._hide, carried_rate)
        if frozen:
            for name, parameter in model.named_parameters():
                if name in self.core:
                    parameter.requires_grad_(False)
        return model

    def batches(self) -> Sampler:
        """Return every training window once an epoch."""
        train = self.config.train
        return RowSampler(self.train, train.batch_size, seed=train.seed)

    def fetch(self, indices: np.ndarray, step: int) -> Batch:
        """Return the windows of a batch."""
        return self.corpus.batch(np.asarray(indices))

    def loss(self, model: nn.Module, batch: Any, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw masks, predict, and compare with what was hidden."""
        if self.config.units.dropout:
            batch = _without_some_units(batch, self.config.units.dropout, generator)
        hidden, scheme = self.masks(batch, generator, self.config.masks.ratio)
        return population_loss(model(batch, hidden, scheme), batch, hidden, self.config)

    def _hide(self, batch: Batch, generator: torch.Generator) -> Hidden:
        return self.masks(batch, generator, self.config.masks.ratio)[0]

    def masks(
        self, batch: Batch, generator: torch.Generator, ratio: tuple[float, float]
    ) -> tuple[Hidden, Tensor]:
        """Draw masks of the schemes in the settings, hiding a share between two bounds."""
        masks = self.config.masks
        future = max(1, round(masks.future_share * batch.n_bins))
        return draw_masks(batch, masks.weights, ratio, future, generator)

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Score the validation windows under masks that are the same each time."""
        if not len(self.validation):
            return {}
        device = next(model.parameters()).device
        if isinstance(model, PopulationModel):
            match_rates(model, self.corpus, self.validation)
        sums: dict[str, float] = {}
        total = 0
        for draw in range(_VALIDATION_DRAWS):
            generator = torch.Generator(device=device).manual_seed(draw)
            for start in range(0, len(self.validation), _VALIDATION_BATCH):
                rows = self.validation[start : start + _VALIDATION_BATCH]
                batch = to_device(self.corpus.batch(rows), device)
                hidden, scheme = self.masks(batch, generator, _VALIDATION_RATIO)
                prediction = model(batch, hidden, scheme)
                losses = population_loss(prediction, batch, hidden, self.config)
                for name, value in losses.items():
                    sums[name] = sums.get(name, 0.0) + float(value.detach()) * len(rows)
                total += len(rows)
        return {f"validation_{name}": value / total for name, value in sums.items()}

    def describe(self, indices: np.ndarray) -> str:
        """Name the windows of a batch."""
        names = [s.name for s in self.corpus.vocabulary.sessions]
        return "; ".join(
            f"{names[self.corpus.session[i]]} window {i}" for i in np.asarray(indices).ravel()
        )

    def optimizer(self, model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
        """AdamW whose tables of units have a weight decay of their own.

        A core that is carried over learns more slowly, and with ``gradual`` only after a while.
        """
        optimizer = adamw(model, config)
        names = {id(p): n for n, p in model.named_parameters()}
        adapting, groups = self.config.adapting, []
        for group in optimizer.param_groups:
            kinds: dict[str, list] = {}
            for parameter in group["params"]:
                kinds.setdefault(self._kind(names[id(parameter)]), []).append(parameter)
            core = {"lr": group["lr"] * adapting.core_rate}
            if adapting.strategy == "gradual":
                core["first_step"] = round(adapting.frozen_share * config.steps)
            changes = {
                "core": core,
                "tables": {"weight_decay": self.config.units.decay},
                "heads": {"lr": group["lr"] * _HEAD_RATE, "weight_decay": 0.0},
                "new": {},
            }
            groups += [{**group, **changes[kind], "params": own} for kind, own in kinds.items()]
        optimizer.param_groups.clear()
        for group in groups:
            optimizer.add_param_group(group)
        return optimizer

    def _kind(self, name: str) -> str:
        """Return which group of the optimizer a weight belongs to."""
        leaf = name.rpartition(".")[2]
        if name in self.core:
            return "core"
        if name.startswith("out.") and self.config.units.linear_rank:  # the linear path leads
            return "heads"
        return "tables" if leaf in TABLES else "new"


def population_loss(
    prediction: Prediction, batch: Batch, hidden: Hidden, config: PopulationConfig
) -> dict[str, Tensor]:
    """Return the weighted sum over modalities of the mean loss over what was hidden and scored."""
    _, scored = hidden.counts(batch)
    losses = {"loss_spikes": masked_mean(poisson_nll(prediction.log_rates, batch.counts), scored)}
    total = config.spikes_weight * losses["loss_spikes"]
    for name, modality in config.modalities.items():
        predicted, target = prediction.values[name], batch.values[name]
        keep = hidden.values_scored[name] & batch.there[name]
        if modality.kind == "categorical":
            each = F.cross_entropy(predicted.flatten(0, -2), target.flatten(), reduction="none")
            each = each.view_as(target)
        elif modality.kind == "counts":
            each = poisson_nll(predicted, target).mean(dim=-1)
        else:
            each = (predicted - target).square().mean(dim=-1)
        losses[f"loss_{name}"] = masked_mean(each, keep)
        total = total + modality.loss_weight * losses[f"loss_{name}"]
    return {"loss": total, **losses}


def _without_some_units(batch: Batch, share: float, generator: torch.Generator) -> Batch:
    """Let some units be absent: neither seen nor predicted."""
    noise = torch.rand(batch.present.shape, generator=generator, device=batch.present.device)
    return Batch(**{**vars(batch), "present": batch.present & (noise >= share)})
