"""S3LDS: a switching dynamical system whose classes are known in some frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinbergen.actions.gradient import SegmentationTask, probabilities
from tinbergen.actions.segmenter import (
    UNLABELLED,
    check_channels,
    check_codes,
    check_least,
    checked_sequences,
)
from tinbergen.actions.sequences import Frames
from tinbergen.actions.switching import Bound, SwitchingDynamics
from tinbergen.actions.tcn import TCN
from tinbergen.nn.temporal import TemporalConvolutions
from tinbergen.training import TrainConfig
from tinbergen.training.optim import adamw

_REACH = (1,)  # dilations of the encoder of the latents
_FASTER = 20.0  # learning rate of the generative model, against that of the networks
_SPARE = 0.1  # share of the frames that classes without labels are expected to have
_LEAST_LOG_VARIANCE, _LARGEST_LOG_VARIANCE = -12.0, 4.0


@dataclass(kw_only=True, eq=False, repr=False)
class S3LDS(TCN):
    """A :class:`TCN` that also has to explain the frames without a label.

    The network's probabilities are the posterior of the classes of a generative model
    (:class:`~tinbergen.actions.switching.SwitchingDynamics`), in which each class has dynamics of
    its own; a second network gives the posterior of the latents in each class. Trained are the
    cross-entropy of labelled frames and the evidence lower bound of all. With labels on all
    frames it is the supervised TCN.

    It departs from the published code where that is no bound: the posterior of unlabelled frames
    learns from all terms, entropies are counted, labels clamp it, no sequence follows from another
    one, and the latents are integrated where that can be done exactly.

    Parameters
    ----------
    n_latents
        Number of latents.
    extra_classes
        Classes beside the named ones, for behaviour that no label shows; :meth:`state_proba`.
    generative
        Weight of the lower bound, in nats a frame and channel.
    divergence
        Weight of its divergences once they are annealed; 1 = a true bound.
    annealed
        Share of the training in which that weight rises from 0.
    balance
        Weight of the divergence of the classes of all unlabelled frames of a batch, taken
        together, from equal parts of those with labels. Without it few labels may leave all of
        them to a single class; with it rare classes are overrated.
    others
        See :class:`TCN`.

    References
    ----------
    Blau et al., "A study of animal action segmentation algorithms across supervised,
    unsupervised, and semi-supervised learning paradigms", arXiv 2407.16727, 2024.

    Examples
    --------
    >>> codes = np.repeat([0, 1, 0, 1], 100)
    >>> x = codes[:, None] + np.random.default_rng(0).normal(size=(400, 3))
    >>> few = np.where(np.arange(400) % 100 < 20, codes, -1)
    >>> S3LDS(blocks=2, epochs=5, n_latents=2).fit([x], [few]).predict_proba([x])[0].shape
    (400, 2)
    """

    n_latents: int = 8
    extra_classes: int = 0
    generative: float = 1.0
    divergence: float = 1.0
    annealed: float = 0.5
    balance: float = 1.0

    def state_proba(self, features: Sequence[Any]) -> list[np.ndarray]:
        """Return the probability of all classes, also the extra ones, ``(time, state)`` each."""
        self._check_fitted()
        x = checked_sequences(features)[0]
        check_channels(x, self.n_features_)
        classifier = cast(S3Network, self.network_).classifier
        return [probabilities(classifier, each) for each in self.scaler_.transform(x)]

    @torch.no_grad()
    def bound(self, features: Sequence[Any], codes: Sequence[Any] | None = None) -> list[float]:
        """Return the evidence lower bound of each sequence of scaled features, nats.

        Parameters
        ----------
        features, codes
            See :meth:`Segmenter.fit`; labelled frames are clamped.
        """
        self._check_fitted()
        x, y = checked_sequences(features, codes)
        check_channels(x, self.n_features_)
        y = y or [np.full(len(each), UNLABELLED) for each in x]
        check_codes(y, self.classes_)
        generator = torch.Generator().manual_seed(self.random_state)
        network = cast(S3Network, self.network_)
        device = next(network.parameters()).device
        found = []
        for each, code in zip(self.scaler_.transform(x), y, strict=True):
            columns = torch.from_numpy(each.T.copy())[None]
            given = columns, torch.from_numpy(code)[None], network.noise(columns, generator)
            terms = network.bound(*(tensor.to(device) for tensor in given))
            found.append(float((terms.reconstruction - terms.latents - terms.classes).sum()))
        return found

    @property
    def _outputs(self) -> int:
        return len(self.classes_) + self.extra_classes

    def check_parameters(self) -> None:
        """See that the parameters are of use; see :class:`Segmenter`."""
        super().check_parameters()
        check_least(
            self, n_latents=1, extra_classes=0, generative=0, divergence=0, annealed=0, balance=0
        )

    def _network(self, *, weak: bool) -> nn.Module:
        classifier = super()._network(weak=weak)
        encoder = TemporalConvolutions(
            self.n_features_, self.width, _REACH, dropout=self.dropout, slope=self.slope
        )
        dynamics = SwitchingDynamics(self._outputs, self.n_latents, self.n_features_)
        return S3Network(classifier, encoder, self.width, dynamics, len(self.classes_))

    def _task(
        self, frames: Frames, held: tuple[list[np.ndarray], np.ndarray] | None, steps: int
    ) -> SegmentationTask:
        return S3Task(self, frames, held, steps)


class S3Network(nn.Module):
    """A classifier, an encoder of latents, and the model whose posterior they give.

    Parameters
    ----------
    classifier
        See :class:`~tinbergen.actions.networks.FrameNetwork`.
    encoder, width
        Temporal convolutions, and channels of their output.
    dynamics
        The generative model.
    named
        Number of classes that labels can have, the first ones.
    """

    def __init__(
        self,
        classifier: nn.Module,
        encoder: nn.Module,
        width: int,
        dynamics: SwitchingDynamics,
        named: int,
    ):
        super().__init__()
        self.classifier, self.encoder, self.dynamics = classifier, encoder, dynamics
        self.named = named
        self.classes, self.latents = dynamics.offset.shape
        self.project = nn.Conv1d(dynamics.loading.shape[0], self.latents, 1)
        self.posterior = nn.Conv1d(width, 2 * self.classes * self.latents, 1)
        self.reach, self.stride = classifier.reach, classifier.stride

    def forward(
        self,
        x: Tensor,
        inside: Tensor | None = None,
        codes: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return what the classifier does and, with ``codes``, the terms of the bound.

        In evaluation ``logits`` are those of the named classes.
        """
        out = self.classifier(x, inside)
        if not self.training:
            return {"logits": out["logits"][:, : self.named]}
        if codes is not None and noise is not None:
            terms = self._bound(x, out["logits"], codes, noise, inside)
            out |= {f"bound_{name}": value for name, value in terms._asdict().items()}
        return out

    @torch.no_grad()
    def start_from(self, x: Tensor) -> None:
        """Begin with principal components of the features ``(channel, frame)`` as latents."""
        projection, variance = self.dynamics.start_from(x)
        self.project.weight.copy_(projection[:, :, None])
        assert self.project.bias is not None
        assert self.posterior.bias is not None
        self.project.bias.copy_(-projection @ self.dynamics.mean)
        self.posterior.weight.zero_()
        start = torch.stack([torch.zeros_like(variance), variance.log()])
        self.posterior.bias.copy_(start[:, None].expand(2, self.classes, -1).reshape(-1))

    def noise(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Draw what :meth:`forward` needs for ``x`` ``(batch, channel, time)``."""
        shape = (len(x), self.classes, self.latents, x.shape[2])
        return torch.randn(shape, generator=generator, device=x.device)

    def bound(self, x: Tensor, codes: Tensor, noise: Tensor) -> Bound:
        """Return the terms of the bound for ``x`` ``(batch, channel, time)``."""
        return self._bound(x, self.classifier(x)["logits"], codes, noise, None)

    def _bound(
        self, x: Tensor, logits: Tensor, codes: Tensor, noise: Tensor, inside: Tensor | None
    ) -> Bound:
        encoded = self.posterior(self.encoder(x, inside)).float()
        encoded = encoded.reshape(len(x), 2, self.classes, self.latents, -1)
        mean = encoded[:, 0] + self.project(x).float()[:, None]
        log_variance = encoded[:, 1].clamp(_LEAST_LOG_VARIANCE, _LARGEST_LOG_VARIANCE)
        known = codes != UNLABELLED
        log_q = F.log_softmax(logits.float(), dim=1)
        free = log_q.exp()
        label = F.one_hot(codes.clamp(min=0), self.classes).to(free.dtype).transpose(1, 2)
        q = torch.where(known[:, None], label, free)
        entropy = -(free * log_q).sum(dim=1).masked_fill(known, 0.0)
        with torch.autocast(x.device.type, enabled=False):
            return self.dynamics(x.float(), q, entropy, mean, log_variance, noise)


class S3Task(SegmentationTask):
    """Train on labelled frames and on the lower bound; parameters as of the supervised task."""

    model: S3LDS

    def build(self) -> nn.Module:
        """Return a new network, the model of the features begun with principal components."""
        network = cast(S3Network, super().build())
        network.start_from(self.frames.x)
        return network

    def optimizer(self, model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
        """Return AdamW in which the few parameters of the generative model learn faster."""
        optimizer = adamw(model, config)
        own = [p for name, p in model.named_parameters() if "dynamics." in name]
        among = {id(p) for p in own}
        for group in optimizer.param_groups:
            group["params"] = [p for p in group["params"] if id(p) not in among]
        faster = _FASTER * config.learning_rate
        optimizer.add_param_group({"params": own, "lr": faster, "weight_decay": 0.0})
        return optimizer

    def _run(self, model: nn.Module, batch: Any, generator: torch.Generator) -> dict[str, Tensor]:
        shape = (len(batch["x"]), self.model._outputs, self.model.n_latents, batch["x"].shape[2])
        noise = torch.randn(shape, generator=generator, device=batch["x"].device)
        return model(batch["x"], batch.get("inside"), batch["codes"], noise)

    def _total(self, model: nn.Module, out: dict[str, Tensor], batch: Any) -> Tensor:
        supervised, this = super()._total(model, out, batch), self.model
        rise = min(1.0, batch["share"] / this.annealed) if this.annealed else 1.0
        away = out["bound_latents"] + out["bound_classes"]
        each = out["bound_reconstruction"] - this.divergence * rise * away
        inside = batch["inside"][:, 0] if "inside" in batch else torch.ones_like(each)
        bound = (each * inside).sum() / (inside.sum() * batch["x"].shape[1])
        return supervised - this.generative * bound + this.balance * self._imbalance(out, batch)

    def _imbalance(self, out: dict[str, Tensor], batch: Any) -> Tensor:
        """Return the divergence of the mean posterior from equal parts of the named classes."""
        free = (batch["codes"] == UNLABELLED).float()
        if "inside" in batch:
            free = free * batch["inside"][:, 0]
        q = out["logits"].float().softmax(dim=1)
        mean = (q * free[:, None]).sum(dim=(0, 2)) / free.sum().clamp(min=1)
        this = self.model
        usual = [i for i, name in enumerate(this.classes_) if name not in this.absent_]
        others = len(mean) - len(usual)
        target = torch.full_like(mean, _SPARE / max(others, 1))
        target[usual] = (1 - _SPARE * (others > 0)) / len(usual)
        each = torch.special.xlogy(mean, mean.clamp(min=1e-12)) - mean * target.log()
        return each.sum() * (free.sum() > 0)
