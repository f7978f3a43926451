"""BEAST's pretraining as a task for the training loop."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn

from tinbergen.beast.cache import FrameCache
from tinbergen.beast.config import BeastConfig
from tinbergen.beast.model import Beast, BeastOutput
from tinbergen.beast.pairs import PairSampler
from tinbergen.beast.spread import too_close
from tinbergen.beast.start import initialise
from tinbergen.errors import ConfigError
from tinbergen.nn.infonce import InfoNCE, infonce
from tinbergen.nn.masked_mse import masked_mse
from tinbergen.nn.pixels import to_input
from tinbergen.nn.vit import gather_tokens, patchify
from tinbergen.training import RowSampler, Sampler, Task

_VALIDATION_FRAMES = 256
_VALIDATION_BATCH = 32


class PretrainTask(Task):
    """Masked reconstruction and temporal contrast on the frames of a cache.

    Parameters
    ----------
    config
        The run's settings.
    cache
        Its frames.
    train, validation
        Rows of the cache; without validation rows, the last weights are kept instead of the best.
    backgrounds
        ``(videos, H, W, C)`` uint8, by the cache's video number; needed with
        ``objective.background``.
    weights
        Initial weights by name; parts that they lack start at random.
    """

    def __init__(
        self,
        config: BeastConfig,
        cache: FrameCache,
        train: np.ndarray,
        validation: np.ndarray,
        backgrounds: np.ndarray | None = None,
        weights: dict[str, Tensor] | None = None,
    ):
        self.config, self.cache = config, cache
        self.train, self.validation = np.asarray(train), np.asarray(validation)
        self.backgrounds = backgrounds if config.objective.background else None
        self.weights = weights
        # Without a decoder, held-out pairs are all that could tell better weights from worse.
        scored = bool(config.objective.reconstruction) or self._validation_pairs() is not None
        self.score = ("validation_loss", "min") if len(self.validation) and scored else None
        if config.objective.background and backgrounds is None:
            raise ConfigError("objective.background needs the mean image of each video.")

    def __getstate__(self) -> dict:
        return {key: value for key, value in self.__dict__.items() if key != "_index"}

    # --- what the loop asks for -----------------------------------------------------------

    def build(self) -> nn.Module:
        """Return the network, from the given weights or from the data."""
        model = Beast(self.config)
        initialise(model, self.cache, self.train, self.backgrounds, self.weights)
        return model

    def batches(self) -> Sampler:
        """Return pairs where there is a contrast, else single frames."""
        config, size = self.config, self.config.train.batch_size
        if not config.contrast.weight:
            if len(self.train) < size:
                raise ConfigError(
                    f"Too few frames for the batch: train.batch_size is {size}, but only "
                    f"{len(self.train)} frames are there to train on. Lower train.batch_size or "
                    "cache more frames (frames.per_video)."
                )
            return RowSampler(self.train, size, seed=config.train.seed)
        contrast = config.contrast
        settings: dict[str, Any] = {
            "offset": contrast.offset,
            "unit": contrast.offset_unit,
            "intervals": np.array([video.interval for video in self.cache.videos]),
            "positives": contrast.positives,
            "exclusion": contrast.exclusion,
            "seed": config.train.seed,
        }
        index = self.cache.index.iloc[self.train]
        if contrast.negatives == "video":
            # One video a batch, as long as each has enough frames for it; else videos mix, and
            # the loss leaves the negatives from other videos out.
            try:
                return PairSampler(index, size, within_video=True, **settings)
            except ConfigError:
                pass
        return PairSampler(index, size, **settings)

    def fetch(self, indices: np.ndarray, step: int) -> dict[str, np.ndarray]:
        """Read frames; those of a group stand apart by the number of groups."""
        rows = np.asarray(indices).T.ravel()
        n_groups = len(indices)
        batch = {
            "frames": self.cache.read(rows),
            "video": self._index["video"].to_numpy()[rows],
            "time": self._index["time"].to_numpy()[rows],
            "group": np.tile(np.arange(n_groups), len(rows) // n_groups),
        }
        if self.backgrounds is not None:
            batch["background"] = self.backgrounds[batch["video"]]
        return batch

    def loss(
        self, model: nn.Module, batch: dict[str, Tensor], generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return the weighted sum and its parts."""
        config, frames = self.config, torch.as_tensor(batch["frames"])
        n = len(frames)
        size = (frames.shape[1], frames.shape[2])
        shared = bool(config.contrast.weight) and config.contrast.augmentation == "shared"
        copies = n // int(batch["group"].max() + 1) if shared else 1
        transforms = config.augment.draw(n // copies, size, generator).repeat(copies)
        images = to_input(frames, batch.get("background"), transforms)
        patches = patchify(images, config.encoder.patch)
        noise = torch.rand(patches.shape[:2], generator=generator, device=images.device)
        output = model(patches, noise)
        losses = self._image_losses(output, patches)
        if output.embedding is not None:
            contrast = self._contrast(model, output.embedding, batch, gather=True)
            losses |= {"loss_contrast": contrast.loss, "infonce_top1": contrast.top1}
            losses["infonce_chance"] = contrast.chance
        return {"loss": self._total(losses), **losses}

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Score held-out frames: same masks each time, no augmentation, everything decoded."""
        rows = self.validation
        if not len(rows):
            return {}
        if len(rows) > _VALIDATION_FRAMES:
            rows = rows[np.linspace(0, len(rows) - 1, _VALIDATION_FRAMES).round().astype(int)]
        device = next(model.parameters()).device
        generator = torch.Generator().manual_seed(0)
        sums: dict[str, float] = {}
        for start in range(0, len(rows), _VALIDATION_BATCH):
            part = rows[start : start + _VALIDATION_BATCH]
            images = self.images(part).to(device)
            patches = patchify(images, self.config.encoder.patch)
            noise = torch.rand(patches.shape[:2], generator=generator).to(device)
            losses = self._image_losses(model(patches, noise, 1.0), patches)
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(part)
        losses = {name: torch.tensor(value / len(rows)) for name, value in sums.items()}
        if self.config.contrast.weight:
            losses |= self._validate_contrast(model, device)
        values = {f"validation_{name}": float(value) for name, value in losses.items()}
        return {"validation_loss": float(self._total(losses)), **values}

    def describe(self, indices: np.ndarray) -> str:
        """Name recordings and frames."""
        index = self._index.iloc[np.asarray(indices).ravel()]
        names = index["recording"].astype(str) + " frame " + index["frame"].astype(str)
        return "; ".join(names)

    # --- parts ----------------------------------------------------------------------------

    @cached_property
    def _index(self) -> Any:
        return self.cache.index

    def images(self, rows: np.ndarray) -> Tensor:
        """Return cached frames as the network sees them, ``(N, C, H, W)``."""
        frames = torch.from_numpy(self.cache.read(rows))
        if self.backgrounds is None:
            return to_input(frames)
        videos = self._index["video"].to_numpy()[rows]
        return to_input(frames, torch.from_numpy(self.backgrounds[videos]))

    def _image_losses(self, output: BeastOutput, patches: Tensor) -> dict[str, Tensor]:
        if output.prediction is None:
            return {}
        target = gather_tokens(patches, output.decoded)
        return {"loss_reconstruction": masked_mse(output.prediction, target)}

    def _total(self, losses: dict[str, Tensor]) -> Tensor:
        weights = {
            "loss_reconstruction": self.config.objective.reconstruction,
            "loss_contrast": self.config.contrast.weight,
        }
        total = sum(weights[name] * losses[name] for name in weights if name in losses)
        return torch.as_tensor(total)

    def _contrast(
        self, model: nn.Module, embedding: Tensor, batch: dict[str, Any], gather: bool
    ) -> InfoNCE:
        """Compare the embeddings of a batch, over all processes where there are several."""
        settings = self.config.contrast
        inner = model.module if hasattr(model, "module") else model
        group = torch.as_tensor(batch["group"], device=embedding.device)
        video = torch.as_tensor(batch["video"], device=embedding.device)
        time = torch.as_tensor(batch["time"], device=embedding.device)
        anchors = torch.arange(len(group), device=group.device) <= group.max()
        others = [embedding, group, video, time]
        if gather and distributed.is_available() and distributed.is_initialized():
            group = group + distributed.get_rank() * (group.max() + 1)
            others = _gathered(embedding, group, video, time)
        candidates, candidate_group, candidate_video, candidate_time = others
        exclude = too_close(video, time, settings.exclusion, candidate_video, candidate_time)
        if settings.negatives == "video":
            exclude = exclude | (video[:, None] != candidate_video[None])
        return infonce(
            embedding,
            group,
            inner.temperature,  # type: ignore[arg-type]
            exclude=exclude,
            queries=anchors if settings.form == "paper" else None,
            candidates=candidates,
            candidate_group=candidate_group,
        )

    def _validation_pairs(self) -> PairSampler | None:
        """Pairs of held-out frames; None where there are too few."""
        config = self.config
        try:
            return PairSampler(
                self.cache.index.iloc[self.validation],
                min(config.train.batch_size, _VALIDATION_BATCH),
                offset=config.contrast.offset,
                unit=config.contrast.offset_unit,
                intervals=np.array([video.interval for video in self.cache.videos]),
                positives=config.contrast.positives,
                exclusion=config.contrast.exclusion,
            )
        except ConfigError:
            return None

    def _validate_contrast(self, model: nn.Module, device: torch.device) -> dict[str, Tensor]:
        """Contrast held-out frames, masked as in training, with their neighbours."""
        config, sampler = self.config, self._validation_pairs()
        if sampler is None:
            return {}
        generator = torch.Generator().manual_seed(1)
        results = []
        for step in range(min(8, max(1, int(sampler.epoch_length)))):
            batch = self.fetch(sampler.batch(step), step)
            rows = sampler.batch(step).T.ravel()
            patches = patchify(self.images(rows).to(device), config.encoder.patch)
            noise = torch.rand(patches.shape[:2], generator=generator).to(device)
            embedding = model(patches, noise).embedding
            results.append(self._contrast(model, embedding, batch, gather=False))
        return {
            "loss_contrast": torch.stack([r.loss for r in results]).mean(),
            "infonce_top1": torch.stack([r.top1 for r in results]).mean(),
            "infonce_chance": torch.stack([r.chance for r in results]).mean(),
        }


def _gathered(embedding: Tensor, group: Tensor, video: Tensor, time: Tensor) -> list[Tensor]:
    """Collect a batch over all processes, this process's own rows first; gradients flow back."""
    rank, world = distributed.get_rank(), distributed.get_world_size()
    order = [rank, *(other for other in range(world) if other != rank)]
    everything = _Gather.apply(embedding)
    gathered = [torch.cat([everything[i] for i in order])]  # type: ignore[index]
    for value in (group, video, time):
        pieces = [torch.empty_like(value) for _ in range(world)]
        distributed.all_gather(pieces, value.contiguous())
        gathered.append(torch.cat([pieces[i] for i in order]))
    return gathered


class _Gather(torch.autograd.Function):
    """``(n, d)`` of every process, ``(world, n, d)``; each gets the sum of all gradients back."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        pieces = [torch.empty_like(value) for _ in range(distributed.get_world_size())]
        distributed.all_gather(pieces, value.contiguous())
        return torch.stack(pieces)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous()
        distributed.all_reduce(total)
        return total[distributed.get_rank()]
