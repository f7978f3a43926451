"""What learning several look-alike animals has in common, whatever the route."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tinbergen.metrics.instances import matched, present, similarities
from tinbergen.pose.affinity import limb_targets
from tinbergen.pose.bottom_up import limb_numbers
from tinbergen.pose.config import PoseConfig
from tinbergen.pose.labels import LabelledImages
from tinbergen.pose.locating import locate
from tinbergen.pose.model import PoseModel
from tinbergen.pose.peaks import bump_loss, bump_targets
from tinbergen.pose.task import PoseTask
from tinbergen.training import TrainConfig
from tinbergen.training.optim import adamw

_BATCH = 8
_FIRST_LOGIT = -4.6  # a bump at one in a hundred pixels, before anything is learned


class AnimalTask(PoseTask):
    """Look-alikes: an animal may stand in any row of the labels, and is scored by similarity.

    For parameters and errors see :class:`~tinbergen.pose.task.PoseTask`.
    """

    def __init__(
        self,
        config: PoseConfig,
        images: LabelledImages,
        train: np.ndarray,
        validation: np.ndarray,
    ):
        super().__init__(config, images, train, validation)
        self.score = self.score and ("validation_oks", "max")

    def _refuse_unlabelled(self) -> None:
        shape = (-1, len(self.config.keypoints), 2)
        labelled = np.isfinite(self.images.positions[self.train].reshape(shape)).all(axis=-1)
        self._refuse(self.config.keypoints, labelled.sum(axis=0))

    def optimizer(self, model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
        """AdamW: there is no pretrained part."""
        return adamw(model, config)

    def validate(self, model: nn.Module) -> dict[str, float] | None:
        """Mean similarity of the held-out animals with what is found of them (missed: 0)."""
        if self.score is None:
            return None
        n_animals = len(self.config.individuals)
        found, _ = self.predict(model, self.validation)
        found = found.reshape(len(found), n_animals, -1, 2)
        true = self.images.positions[self.validation].reshape(found.shape)
        values = []
        for guess, label in zip(found, true, strict=True):
            there = present(label)
            similarity = similarities(guess, label[there])
            rows, columns = matched(similarity)
            best = np.zeros(int(there.sum()))
            best[columns] = similarity[rows, columns]
            values += best.tolist()
        return {"validation_oks": float(np.mean(values))}

    @torch.no_grad()
    def predict(self, model: nn.Module, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions ``(row, map, 2)`` px of the image files, and confidences ``(row, map)``."""
        device = next(model.parameters()).device
        self._follow(device)
        inner: Any = getattr(model, "module", model)
        found = [
            locate(inner, self.pixels[torch.from_numpy(rows[first : first + _BATCH]).to(device)])
            for first in range(0, len(rows), _BATCH)
        ]
        positions = np.concatenate([each.positions for each in found])
        confidences = np.concatenate([each.confidences for each in found])
        return self.images.to_source(rows, positions), confidences


class BottomUpTask(AnimalTask):
    """Maps with a bump for each animal, and the fields along their limbs.

    For parameters and errors see :class:`~tinbergen.pose.task.PoseTask`.
    """

    def build(self) -> nn.Module:
        """Return the network; its maps start out almost empty, as they are to be.

        Fields that start at random make an error so large that the first steps ruin the network.
        """
        model: Any = super().build()
        maps, n_keypoints = model.network.maps, len(self.config.keypoints)
        with torch.no_grad():
            maps.bias[:n_keypoints] = _FIRST_LOGIT
            maps.weight[n_keypoints:] = 0.0
        return model

    def compare(self, logits: Tensor, positions: Tensor) -> Tensor:
        """Loss of bumps, and of fields, whose squared error is summed per limb (eq. 5).

        Parameters
        ----------
        logits
            ``(n, keypoint + 2 limb, rows, columns)``.
        positions
            ``(n, individual * keypoint, 2)`` px; NaN = no label, taken as not there.
        """
        config = self.config
        size = (logits.shape[-2], logits.shape[-1])
        animals = positions.unflatten(1, (len(config.individuals), len(config.keypoints)))
        n_keypoints, stride = len(config.keypoints), PoseModel.stride
        target = bump_targets(animals, size, stride, config.heatmaps.sigma)
        n_bumps = animals.isfinite().all(dim=-1).sum()
        loss = bump_loss(logits[:, :n_keypoints], target, n_bumps)
        limbs = torch.from_numpy(limb_numbers(config)).to(logits.device)
        if len(limbs):
            fields, n_limbs = limb_targets(animals, limbs, size, stride)
            found = logits[:, n_keypoints:].float().unflatten(1, (len(limbs), 2))
            loss = loss + (found - fields).square().sum() / n_limbs.clamp_min(1)
        return loss
