"""From frames to keypoints, by whichever route the run has taken."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from tinbergen.pose.bottom_up import read_animals
from tinbergen.pose.config import PoseConfig
from tinbergen.pose.heatmaps import decode
from tinbergen.pose.model import PoseModel
from tinbergen.pose.top_down import TopDownModel

Model = PoseModel | TopDownModel


def make_model(config: PoseConfig) -> Model:
    """Return an untrained model of a run."""
    if config.animals.route == "top_down":
        return TopDownModel(config)
    return PoseModel(config)


def locate(
    model: Model, frames: Tensor, background: Tensor | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Find the keypoints of all individuals.

    Parameters
    ----------
    model
        From :func:`make_model`.
    frames
        ``(n, height, width, channels)`` uint8, on the model's device.
    background
        The same for each frame's background, where the encoder sees differences to it.

    Returns
    -------
    positions : ``(n, map, 2)`` float32 px of the frames; NaN where an animal is not found.
    confidences : ``(n, map)``, 0 to 1; 0 where not found.
    """
    if isinstance(model, TopDownModel):
        where, how_sure = model.locate(frames)
    else:
        config = model.config
        logits = model(model.prepare(frames, None, background))
        if config.animals.route == "bottom_up":
            where, how_sure = read_animals(logits, config)
        else:
            where, how_sure = decode(logits, PoseModel.stride, config.heatmaps.sigma)
    positions = where.reshape(len(frames), -1, 2).cpu().numpy()
    return positions, how_sure.reshape(len(frames), -1).cpu().numpy()
