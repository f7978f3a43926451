"""Learning both stages of the top-down route in one run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tinbergen.pose.animal_task import AnimalTask, BottomUpTask
from tinbergen.pose.config import PoseConfig
from tinbergen.pose.heatmaps import to_map
from tinbergen.pose.labels import LabelledImages
from tinbergen.pose.task import PoseTask
from tinbergen.pose.top_down import TopDownModel, centre_config, crop_config, cut, shrunk
from tinbergen.recordings.geometry import Geometry


class TopDownTask(AnimalTask):
    """Both stages, each on its own images of the same labelled frames, at every step.

    For parameters and errors see :class:`~tinbergen.pose.task.PoseTask`.
    """

    def __init__(self, config: PoseConfig, images: LabelledImages, train, validation):
        super().__init__(config, images, train, validation)
        centre_images, crop_images, self.owner = stage_images(images, config)
        self.centres = BottomUpTask(centre_config(config), centre_images, train, validation)
        crops = np.flatnonzero(np.isin(self.owner, train))
        self.crops = PoseTask(crop_config(config), crop_images, crops, crops[:0])

    def build(self) -> nn.Module:
        """Return both networks, each with the statistics of its own pixels."""
        model = TopDownModel(self.config)
        model.centres, model.crops = self.centres.build(), self.crops.build()  # type: ignore[assignment]
        return model

    def loss(
        self, model: nn.Module, batch: dict[str, Any], generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Add the losses of the two stages, the second on all animals of the batch's frames."""
        rows = batch["rows"]
        owned = np.flatnonzero(np.isin(self.owner, rows.cpu().numpy()))
        crops = {"rows": torch.from_numpy(owned).to(rows.device)}
        centre = self.centres.loss(_Stage(model, "centres"), batch, generator)["loss"]  # type: ignore[arg-type]
        crop = self.crops.loss(_Stage(model, "crops"), crops, generator)["loss"]  # type: ignore[arg-type]
        return {"loss": centre + crop, "centre_loss": centre, "crop_loss": crop}


class _Stage:
    """One stage of a (wrapped) model, as its task calls it."""

    def __init__(self, model: nn.Module, stage: str):
        self.model, self.stage = model, stage
        self.module = getattr(getattr(model, "module", model), stage)

    def __call__(self, images: Tensor) -> Tensor:
        return self.model(self.stage, images)


def stage_images(
    images: LabelledImages, config: PoseConfig
) -> tuple[LabelledImages, LabelledImages, np.ndarray]:
    """Return the labelled images of the two stages.

    Returns
    -------
    centres : the images, smaller, with the mean keypoint of each animal.
    crops : one image for each labelled animal, px of the crop.
    owner : ``(crop,)`` row of ``images`` that a crop was cut from.
    """
    side, shrink = config.animals.crop, config.animals.shrink
    n, n_animals = len(images), len(config.individuals)
    seen = torch.from_numpy(images.seen_positions()).unflatten(1, (n_animals, -1))
    labelled = seen.isfinite().all(dim=-1).any(dim=-1)
    centres = seen.nanmean(dim=2)
    small = torch.cat([shrunk(torch.from_numpy(each[None]), shrink) for each in images.images])
    owner, animal = labelled.nonzero(as_tuple=True)
    crops, corners = cut(torch.from_numpy(images.images), owner, centres[labelled], side)
    within = seen[owner, animal] - corners[:, None]
    height, width = small.shape[1:3]
    return (
        replace(
            images,
            images=small.numpy(),
            positions=to_map(centres, shrink).double().numpy(),
            hidden=np.zeros(labelled.shape, dtype=bool),
            geometries=(Geometry.plan(width, height),) * n,
        ),
        replace(
            images,
            names=tuple(images.names[i] for i in owner.tolist()),
            groups=images.groups[owner.numpy()],
            images=crops.numpy(),
            positions=within.double().numpy(),
            hidden=images.hidden.reshape(n, n_animals, -1)[owner.numpy(), animal.numpy()],
            geometries=(Geometry.plan(side, side),) * len(owner),
        ),
        owner.numpy(),
    )
