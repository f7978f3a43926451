"""What every segmenter that is trained by gradient descent has in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

from tinbergen.actions.losses import class_weights, frame_loss, roughness
from tinbergen.actions.scaling import Scaler, Scaling
from tinbergen.actions.segmenter import (
    UNLABELLED,
    Arrays,
    HeldOut,
    Segmenter,
    Validation,
    check_codes,
    check_least,
    checked_sequences,
)
from tinbergen.actions.sequences import Frames, StretchSampler
from tinbergen.errors import ConfigError
from tinbergen.metrics import frame_scores
from tinbergen.saving import Saved
from tinbergen.training import FitResult, RunFolder, Task, TrainConfig, fit

Device = Literal["auto", "cpu", "cuda", "mps"]
_AT_ONCE = 8192  # frames
_PSEUDO_FROM, _PSEUDO_FULL = 0.25, 0.5  # shares of the training


class _Fitted(Segmenter):
    """Fitted attributes, which are no parameters."""

    network_: nn.Module
    scaler_: Scaler
    best_epoch_: float | None
    score_: float | None
    resumable: ClassVar[bool] = True
    takes_weak: ClassVar[bool] = True
    _parts: ClassVar[Mapping[str, type[Saved]]] = {"scaler_": Scaler}


@dataclass(kw_only=True, eq=False, repr=False)
class GradientSegmenter(_Fitted):
    """A network over time, trained on stretches of the recordings.

    Attributes
    ----------
    width
        Channels of the layers.
    epochs
        Passes over the training data; the learning rate falls to 0 over them (half a cosine).
    learning_rate, weight_decay
        Of AdamW.
    length, batch_size
        Frames of a stretch; stretches a step.
    clip
        Largest norm of a gradient; 0 = no limit.
    dropout
        Share of channels dropped in training.
    scaling
        See :class:`~tinbergen.actions.Scaler`.
    balanced
        Weigh each class by the frames of the most frequent one / its own.
    focal, softened
        See :func:`~tinbergen.actions.losses.frame_loss`.
    smoothness
        Weight of the squared change of log probabilities from frame to frame.
    ahead
        Weight of the squared error of the features predicted one frame ahead; 0 = no prediction.
    weak_weight
        Weight of labels that no human gave, on frames without one that a human gave.
    pseudo
        Probability from which the network's own opinion is such a label, in the later part of
        the training (weight 0 at a quarter of it, full at half); None = never.
    patience
        End after so many epochs without a better validation score; 0 = never.
    random_state
        The same seed gives the same network on a CPU.
    device, precision
        Of the training; ``"auto"``: bf16 where the processor computes it fast.
    network_, scaler_
        Fitted.
    best_epoch_, score_
        Of the best validation macro F1, if there was a validation.
    """

    width: int = 32
    epochs: int = 12
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    length: int = 1000
    batch_size: int = 8
    clip: float = 1.0
    dropout: float = 0.2
    scaling: Scaling = "training"
    balanced: bool = True
    focal: float = 0.0
    softened: float = 0.0
    smoothness: float = 0.15
    ahead: float = 0.0
    weak_weight: float = 1.0
    pseudo: float | None = None
    patience: int = 0
    random_state: int = 0
    device: Device = "cpu"
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    def fit(
        self,
        features: Sequence[Any],
        codes: Sequence[Any],
        *,
        classes: Sequence[str] | None = None,
        validation: Validation | None = None,
        weak: Sequence[Any] | None = None,
        run: RunFolder | None = None,
        resume: bool = False,
    ) -> Self:
        """Learn from labelled sequences.

        Parameters
        ----------
        features, codes, classes, validation
            See :meth:`Segmenter.fit`. With a validation the epoch with the best macro F1 on it is
            kept, without one the last.
        weak
            ``(time,)`` codes of each sequence that a rule gave (-1 = none); they count where
            ``codes`` are -1, through a head of their own.
        run, resume
            A run folder to write, and whether to go on from its last checkpoint.
        """
        self._given = (weak, run, resume)
        try:
            return super().fit(features, codes, classes=classes, validation=validation)
        finally:
            del self._given

    def check_parameters(self) -> None:
        """See that the parameters are of use; see :class:`Segmenter`."""
        super().check_parameters()
        check_least(
            self, width=1, epochs=1, length=2, batch_size=1, blocks=1, layers=1, stages=1, taps=1
        )
        check_least(self, smoothness=0, ahead=0, weak_weight=0, focal=0, patience=0, clip=0)
        if getattr(self, "taps", 1) % 2 == 0:
            raise ConfigError(f"taps: expected an odd number, found {self.taps}.")  # type: ignore
        if self.learning_rate <= 0:
            raise ConfigError(f"learning_rate: expected above 0, found {self.learning_rate}.")
        for name in ("dropout", "softened"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name}: expected 0 to below 1, found {getattr(self, name)}.")
        if self.pseudo is not None and not 0 < self.pseudo <= 1:
            raise ConfigError(f"pseudo: expected a probability above 0, found {self.pseudo}.")

    def _fit(self, features: Arrays, codes: Arrays, validation: HeldOut) -> None:
        weak, run, resume = self._given
        if weak is not None:
            weak = checked_sequences(features, weak)[1]
            check_codes(weak, self.classes_, "weak labels, ")
        self.scaler_ = Scaler(self.scaling).fit(features)
        frames = Frames.of(self.scaler_.transform(features), codes, weak)
        held = None if validation is None else (
            self.scaler_.transform(validation[0]), np.concatenate(validation[1])
        )  # fmt: skip
        result = self._train(frames, held, run, resume)
        self.network_ = result.model
        self.score_ = result.best_score
        self.best_epoch_ = None
        if result.best_step is not None:
            self.best_epoch_ = result.best_step / self._per_epoch(frames)

    def _train(
        self,
        frames: Frames,
        held: tuple[list[np.ndarray], np.ndarray] | None,
        run: RunFolder | None,
        resume: bool,
    ) -> FitResult:
        per_epoch = self._per_epoch(frames)
        config = TrainConfig(
            steps=self.epochs * per_epoch,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            betas=(0.9, 0.999),
            grad_clip=self.clip,
            precision=self.precision,
            device=self.device,
            seed=self.random_state,
            workers=0,
            validate_every=per_epoch if held is not None else 0,
            checkpoint_every=5 * per_epoch,
            patience=self.patience if held is not None else 0,
            tensorboard=False,
        )
        return fit(self._task(frames, held, config.steps), config, run, resume=resume)

    def _task(
        self, frames: Frames, held: tuple[list[np.ndarray], np.ndarray] | None, steps: int
    ) -> SegmentationTask:
        return SegmentationTask(self, frames, held, steps)

    def _sampler(self, frames: Frames) -> StretchSampler:
        length = min(self.length, int(frames.lengths.max()))
        return StretchSampler(frames.lengths, length, self.batch_size, self.random_state)

    def _per_epoch(self, frames: Frames) -> int:
        return max(1, round(self._sampler(frames).n_items / self.batch_size))

    @abstractmethod
    def _network(self, *, weak: bool) -> nn.Module:
        """Return a new network; see :class:`~tinbergen.actions.networks.FrameNetwork`."""

    def _probabilities(self, features: list[np.ndarray]) -> list[np.ndarray]:
        return [probabilities(self.network_, x) for x in self.scaler_.transform(features)]

    def _state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        arrays, fitted = super()._state()
        weights = fitted.pop("network_").state_dict()
        fitted["weak_"] = any("weak." in name for name in weights)
        return arrays | {f"network_.{k}": v.numpy() for k, v in weights.items()}, fitted

    @classmethod
    def _restored(
        cls, parameters: Mapping[str, Any], arrays: Mapping[str, Any], fitted: Mapping[str, Any]
    ) -> Self:
        model = super()._restored(parameters, arrays, fitted)
        prefix = "network_."
        model.network_ = model._network(weak=fitted["weak_"]).eval()
        model.network_.load_state_dict(
            {
                name.removeprefix(prefix): torch.from_numpy(value)
                for name, value in arrays.items()
                if name.startswith(prefix)
            }
        )
        return model


def check_stride(stride: int) -> None:
    """See that so many frames can be condensed to one."""
    if stride < 1 or (stride > 1 and stride % 2):
        raise ConfigError(f"stride: expected 1 or an even number, found {stride}.")


class SegmentationTask(Task):
    """Train the network of a segmenter.

    Parameters
    ----------
    model
        Says the network and the terms of the loss.
    frames
        What to learn from.
    held
        Scaled features of the validation sequences, and all their codes; None = none.
    steps
        Of the whole training.
    """

    def __init__(
        self,
        model: GradientSegmenter,
        frames: Frames,
        held: tuple[list[np.ndarray], np.ndarray] | None,
        steps: int,
    ):
        self.model, self.frames, self.held, self.steps = model, frames, held, steps
        self.weak = frames.weak is not None or model.pseudo is not None
        self.weights = class_weights(frames.codes, len(model.classes_)) if model.balanced else None
        self.score = ("macro F1", "max") if held is not None else None

    def build(self) -> nn.Module:
        """Return a new network."""
        return self.model._network(weak=self.weak)

    def batches(self) -> StretchSampler:
        """Return the sampler."""
        return self.model._sampler(self.frames)

    def fetch(self, indices: np.ndarray, step: int) -> dict[str, Any]:
        """Return a batch of stretches."""
        batch = self.frames.take(indices, self.batches().length)
        return {**batch, "share": step / self.steps}

    def loss(self, model: nn.Module, batch: Any, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the weighted sum of all terms."""
        return {"loss": self._total(model, self._run(model, batch, generator), batch)}

    def _run(self, model: nn.Module, batch: Any, generator: torch.Generator) -> dict[str, Tensor]:
        return model(batch["x"], batch.get("inside"))

    def _total(self, model: nn.Module, out: dict[str, Tensor], batch: Any) -> Tensor:
        this, inside, codes = self.model, batch.get("inside"), batch["codes"]
        weights = None if self.weights is None else self.weights.to(codes.device)
        total = torch.zeros((), device=codes.device)
        for logits in (out["logits"], *out.get("stages", ())):
            total = total + frame_loss(
                logits, codes, weights, focal=this.focal, softened=this.softened
            )
            if this.smoothness:
                total = total + this.smoothness * roughness(logits, inside)
        if self.weak:
            total = total + self._weak_loss(model, out, batch, weights)
        if this.ahead:
            error = (out["ahead"][..., :-1] - batch["x"][..., 1:]).square()
            total = total + this.ahead * _mean(error, inside)
        return total

    def _weak_loss(
        self, model: nn.Module, out: dict[str, Tensor], batch: Any, weights: Tensor | None
    ) -> Tensor:
        """Cross-entropy of the head for weak labels, where there is no other label."""
        by_hand = batch["codes"] != UNLABELLED
        weak = batch.get("weak", torch.full_like(batch["codes"], UNLABELLED))
        factor = self.model.weak_weight
        if self.model.pseudo is not None and batch["share"] > _PSEUDO_FROM:
            with torch.no_grad():
                model.eval()
                found = model(batch["x"], batch.get("inside"))["logits"].float().softmax(dim=1)
                model.train()
            sure, own = found.max(dim=1)
            weak = torch.where((weak == UNLABELLED) & (sure >= self.model.pseudo), own, weak)
            if "inside" in batch:
                weak = weak.masked_fill(batch["inside"][:, 0] == 0, UNLABELLED)
            if self.frames.weak is None:
                ramp = (batch["share"] - _PSEUDO_FROM) / (_PSEUDO_FULL - _PSEUDO_FROM)
                factor *= min(1.0, ramp)
        weak = weak.masked_fill(by_hand, UNLABELLED)
        return factor * frame_loss(out["weak"], weak, weights)

    def validate(self, model: nn.Module) -> dict[str, float] | None:
        """Score the validation sequences frame by frame."""
        if self.held is None:
            return None
        found = [probabilities(model, x).argmax(axis=1) for x in self.held[0]]
        classes = len(self.model.classes_)
        scores = frame_scores([self.held[1]], [np.concatenate(found)], classes)
        return {"macro F1": scores.macro_f1}


@torch.no_grad()
def probabilities(network: nn.Module, x: np.ndarray) -> np.ndarray:
    """Return class probabilities ``(time, class)`` float32 of a scaled recording.

    It is predicted in pieces that see as much around them as the network reaches, so the result
    is that of the whole; a recurrent network sees it at once.
    """
    device = next(network.parameters()).device
    columns = torch.from_numpy(np.ascontiguousarray(x.T))[None].to(device)
    reach, at_once = len(x), max(len(x), 1)
    if network.reach is not None:
        stride: int = network.stride  # type: ignore[assignment]
        reach = -(-network.reach // stride) * stride  # type: ignore[operator]
        at_once = _AT_ONCE // stride * stride
    found = []
    for start in range(0, len(x), at_once):
        stop = min(start + at_once, len(x))
        first = max(0, start - reach)
        logits = network(columns[..., first : stop + reach])["logits"]
        own = logits[0, :, start - first : stop - first]
        found.append(own.float().softmax(dim=0).T.cpu().numpy())
    return np.concatenate(found) if found else np.empty((0, 0), np.float32)


def _mean(error: Tensor, inside: Tensor | None) -> Tensor:
    if inside is None:
        return error.mean()
    both = inside[..., 1:] * inside[..., :-1]
    return (error * both).sum() / (both.sum() * error.shape[1]).clamp(min=1)
