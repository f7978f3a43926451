"""Learning keypoints from labelled frames, as a task for the training loop."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tinbergen.errors import DataError
from tinbergen.nn.augment import Transforms
from tinbergen.nn.pixels import RESIDUAL_SCALE
from tinbergen.pose.augment import mirror_names, move_keypoints
from tinbergen.pose.config import PoseConfig
from tinbergen.pose.heatmaps import decode, gaussian_targets, hidden_logits
from tinbergen.pose.labels import LabelledImages
from tinbergen.pose.model import PoseModel
from tinbergen.pose.unlabelled import Unlabelled
from tinbergen.training import RowSampler, Sampler, Task, TrainConfig
from tinbergen.training.optim import adamw

_VALIDATION_BATCH = 16
_WHITENED = 32  # frames whose tokens say how tokens vary


class PoseTask(Task):
    """Heat maps of labelled frames.

    Parameters
    ----------
    config
        The run's settings.
    images
        The labelled frames.
    train, validation
        Rows of ``images``; without validation rows, the last weights are kept, not the best.
    encoder
        Weights of the pretrained encoder by name, where there is one.
    backgrounds
        ``(n, height, width, channels)`` uint8, the background of each image, where the encoder
        sees differences to it.
    unlabelled
        Losses on video without labels, where there is some.

    Raises
    ------
    DataError
        If a keypoint is labelled in no training frame.
    """

    def __init__(
        self,
        config: PoseConfig,
        images: LabelledImages,
        train: np.ndarray,
        validation: np.ndarray,
        encoder: dict[str, Tensor] | None = None,
        backgrounds: np.ndarray | None = None,
        unlabelled: Unlabelled | None = None,
    ):
        self.config, self.images = config, images
        self.train, self.validation = np.asarray(train), np.asarray(validation)
        self.encoder, self.unlabelled = encoder, unlabelled
        self._refuse_unlabelled()
        held_out = np.isfinite(images.positions[self.validation]).all(axis=-1).any()
        self.score = ("validation_error_px", "min") if held_out else None
        self.pixels = torch.from_numpy(images.images)
        self.positions = torch.from_numpy(images.seen_positions())
        self.backgrounds = None if backgrounds is None else torch.from_numpy(backgrounds)
        self.hidden = torch.from_numpy(images.hidden)
        self.swap = torch.tensor(mirror_names(config.map_names()))

    def _refuse_unlabelled(self) -> None:
        labelled = np.isfinite(self.images.positions[self.train]).all(axis=-1)
        self._refuse(self.config.map_names(), labelled.sum(axis=0))

    def _refuse(self, names: tuple[str, ...], labelled: np.ndarray) -> None:
        missing = [name for name, count in zip(names, labelled, strict=True) if not count]
        if missing:
            chosen = [name for name in self.config.keypoints if name not in missing]
            raise DataError(
                f"{', '.join(missing)}: labelled in none of the {len(self.train)} frames to train "
                "on, so there is nothing to learn from. Label some, or leave it out with "
                f"--keypoints {','.join(chosen)} (keypoints=[...])."
            )

    # --- what the loop asks for -----------------------------------------------------------

    def build(self) -> nn.Module:
        """Return the network, with the statistics of the training pixels."""
        model = PoseModel(self.config)
        if model.encoder is not None:
            if self.encoder is not None:
                model.encoder.load_state_dict(self.encoder)
            if self.config.head.whiten:
                self._whiten(model)
        else:
            pixels = self.images.images[self.train].reshape(-1, len(model.mean))
            model.mean.copy_(torch.from_numpy(pixels.mean(axis=0) / 255))
            model.std.copy_(torch.from_numpy(pixels.std(axis=0) / 255).clamp_min(1e-3))
        return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.no_grad()
    def _whiten(self, model: PoseModel) -> None:
        """Let the head know how the tokens of the training frames vary."""
        self._follow(torch.device("cpu"))
        spread = np.linspace(0, len(self.train) - 1, min(_WHITENED, len(self.train)))
        parts = torch.from_numpy(self.train[spread.round().astype(int)]).split(_VALIDATION_BATCH)
        tokens = [model.tokens(self._prepare(model, some, None)) for some in parts]
        model.network.whiten(torch.cat(tokens))  # type: ignore[operator]

    def batches(self) -> Sampler:
        """Return every training frame once an epoch."""
        train = self.config.train
        return RowSampler(self.train, train.batch_size, seed=train.seed)

    def fetch(self, indices: np.ndarray, step: int) -> dict[str, Any]:
        """Name the rows, whose pixels are on the device already; choose unlabelled clips."""
        batch: dict[str, Any] = {"rows": np.asarray(indices)}
        if self.unlabelled is not None:
            # The rows differ between processes, so their clips do.
            batch["unlabelled"] = self.unlabelled.draw(step, int(indices[0]))
        return batch

    def loss(
        self, model: nn.Module, batch: dict[str, Any], generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Augment a batch, and compare its heat maps with what they should be."""
        config, rows = self.config, batch["rows"]
        self._follow(rows.device)
        transforms = config.augment.draw(len(rows), config.size, generator)
        images = self.noisy(model, rows, transforms, generator)
        moved = move_keypoints(self.positions[rows], transforms, self.swap)
        hidden = self._moved_hidden(self.hidden[rows], transforms)
        if not batch.get("unlabelled"):
            return self.supervised(model(images), moved, hidden)
        assert self.unlabelled is not None
        video = batch["unlabelled"]
        n = len(video["frames"]) // config.unlabelled.frames
        times = config.augment.draw(n, config.size, generator).repeat(config.unlabelled.frames)
        background = video.get("background")
        more = self._with_noise(model, video["frames"], times, background, generator)
        # One pass, so that batch norms see what they will be used on.
        logits = model(torch.cat([images, more]))
        compared = self.supervised(logits[: len(rows)], moved, hidden)
        maps = logits[len(rows) :, : config.n_maps]
        found = decode(maps, PoseModel.stride, config.heatmaps.sigma)
        terms = self.unlabelled.losses(*found, times.to(rows.device), self.swap)
        added = torch.stack([*terms.values()]).sum() if terms else 0.0
        total = compared["loss"] + video["ramp"] * added
        return {**compared, **terms, "loss": total, "labelled": compared["loss"]}

    def validate(self, model: nn.Module) -> dict[str, float] | None:
        """Mean distance to the labels of the held-out frames, px of the image files."""
        if self.score is None:
            return None
        errors = self.errors(model, self.validation)
        return {"validation_error_px": float(np.nanmean(errors))}

    def optimizer(self, model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
        """AdamW; a transformer that moves does so later, and slower the deeper the block lies."""
        inner: Any = getattr(model, "module", model)
        if inner.encoder is None or self.config.head.frozen:
            return adamw(model, config)
        head, depth = self.config.head, len(inner.encoder.blocks)
        groups = []
        for name, parameter in inner.named_parameters():
            rate, first = config.learning_rate, 0
            if name.startswith("encoder."):
                block = re.match(r"encoder\.blocks\.(\d+)\.", name)
                above = depth - 1 - int(block[1]) if block else depth
                above = 0 if name.startswith("encoder.norm.") else above
                rate *= head.backbone_rate * head.layer_decay**above
                first = round(head.thaw * config.steps)
            decay = config.weight_decay if parameter.ndim >= 2 else 0.0
            group = {"params": [parameter], "lr": rate, "weight_decay": decay}
            groups.append({**group, "first_step": first})
        return torch.optim.AdamW(groups, betas=config.betas, fused=config.precision != "fp16")

    def describe(self, indices: np.ndarray) -> str:
        """Name images."""
        return "; ".join(self.images.names[int(i)] for i in np.asarray(indices).ravel())

    # --- parts ----------------------------------------------------------------------------

    def noisy(
        self, model: nn.Module, rows: Tensor, transforms: Transforms, generator: torch.Generator
    ) -> Tensor:
        """Return augmented and prepared images with noise, ``(n, channels, height, width)``."""
        background = None if self.backgrounds is None else self.backgrounds[rows]
        return self._with_noise(model, self.pixels[rows], transforms, background, generator)

    def _with_noise(
        self,
        model: nn.Module,
        frames: Tensor,
        transforms: Transforms,
        background: Tensor | None,
        generator: torch.Generator,
    ) -> Tensor:
        inner: PoseModel = getattr(model, "module", model)  # type: ignore[assignment]
        images = inner.prepare(frames, transforms, background)
        if self.config.augment.noise:
            noise = torch.randn(images.shape, generator=generator, device=generator.device)
            images = images + noise.to(images.device) * self.config.augment.noise / self._white(
                model
            )
        return images

    def _moved_hidden(self, hidden: Tensor, transforms: Transforms) -> Tensor:
        """``(n, map)`` bool: what is hidden after mirroring."""
        mirrored = transforms.mirrored.to(hidden.device)[:, None]
        return torch.where(mirrored, hidden[:, self.swap], hidden)

    def supervised(self, logits: Tensor, positions: Tensor, hidden: Tensor) -> dict[str, Tensor]:
        """Losses of the network's maps: where keypoints are, and which of them are hidden.

        Parameters
        ----------
        logits
            ``(n, output, rows, columns)``.
        positions, hidden
            ``(n, map, 2)`` px (NaN: no label), and ``(n, map)``.
        """
        if not self.config.hidden:
            return {"loss": self.compare(logits, positions)}
        n_maps = self.config.n_maps
        compared = self.compare(logits[:, :n_maps], positions)
        odds = hidden_logits(logits[:, :n_maps], logits[:, n_maps:])
        known = positions.isfinite().all(dim=-1)
        each = functional.binary_cross_entropy_with_logits(odds, hidden.float(), reduction="none")
        wrong = (each * known).sum() / known.sum().clamp_min(1)
        return {
            "loss": compared + self.config.hidden_weight * wrong,
            "heatmaps": compared,
            "hidden": wrong,
        }

    def compare(self, logits: Tensor, positions: Tensor) -> Tensor:
        """Loss of ``(n, map, rows, columns)`` heat maps at ``(n, map, 2)`` px (NaN: no label).

        With p the softmax of a map and q the Gaussian target: cross-entropy ``-sum q log p``, or
        ``sum (p - q)^2``; the mean over the maps that have a label inside the image.
        """
        settings, (height, width) = self.config.heatmaps, self.config.size
        size = (logits.shape[-2], logits.shape[-1])
        flat = logits.float().flatten(2)
        known = positions.isfinite().all(dim=-1)
        extent = torch.tensor([width, height], device=positions.device)
        counted = known & ((positions > -0.5) & (positions < extent - 0.5)).all(dim=-1)
        target = gaussian_targets(
            positions.nan_to_num(), size, PoseModel.stride, settings.sigma
        ).flatten(2)
        if settings.unlabelled == "uniform":
            target = torch.where(known[..., None], target, 1 / target.shape[-1])
            counted = counted | ~known
        if settings.loss == "cross_entropy":
            each = -(target * torch.log_softmax(flat, dim=-1)).sum(dim=-1)
        else:
            each = (torch.softmax(flat, dim=-1) - target).square().sum(dim=-1)
        return (each * counted).sum() / counted.sum().clamp_min(1)

    def errors(self, model: nn.Module, rows: np.ndarray) -> np.ndarray:
        """Distances to the labels, ``(row, map)`` px of the image files; NaN without a label."""
        positions, _ = self.predict(model, rows)
        return np.linalg.norm(positions - self.images.positions[rows], axis=-1)

    @torch.no_grad()
    def predict(self, model: nn.Module, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions ``(row, map, 2)`` px of the image files, and confidences ``(row, map)``."""
        device = next(model.parameters()).device
        self._follow(device)
        positions, confidences = [], []
        for first in range(0, len(rows), _VALIDATION_BATCH):
            some = torch.from_numpy(rows[first : first + _VALIDATION_BATCH]).to(device)
            logits = model(self._prepare(model, some, None))[:, : self.config.n_maps]
            where, how_sure = decode(logits, PoseModel.stride, self.config.heatmaps.sigma)
            positions.append(where.cpu().numpy())
            confidences.append(how_sure.cpu().numpy())
        return self.images.to_source(rows, np.concatenate(positions)), np.concatenate(confidences)

    def _prepare(self, model: nn.Module, rows: Tensor, transforms: Transforms | None) -> Tensor:
        background = None if self.backgrounds is None else self.backgrounds[rows]
        inner: PoseModel = getattr(model, "module", model)  # type: ignore[assignment]
        return inner.prepare(self.pixels[rows], transforms, background)

    def _white(self, model: nn.Module) -> Tensor:
        """How much 1, white, is in a prepared image, inverted: the deviation it was divided by."""
        inner: PoseModel = getattr(model, "module", model)  # type: ignore[assignment]
        if self.backgrounds is not None:
            return torch.tensor(RESIDUAL_SCALE, device=inner.std.device)
        return inner.std.repeat(2 * self.config.context + 1)[:, None, None]

    def _follow(self, device: torch.device) -> None:
        """Keep frames and labels on the device that asks for them."""
        if self.pixels.device != device:
            for name in ("pixels", "positions", "hidden", "swap", "backgrounds"):
                value = getattr(self, name)
                setattr(self, name, None if value is None else value.to(device))
