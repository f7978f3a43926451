"""From frames to keypoints, by whichever route the run has taken."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor

from tinbergen.pose.bottom_up import read_animals
from tinbergen.pose.config import PoseConfig
from tinbergen.pose.heatmaps import decode_apart, hidden_logits
from tinbergen.pose.model import PoseModel
from tinbergen.pose.top_down import TopDownModel

Model = PoseModel | TopDownModel


def make_model(config: PoseConfig) -> Model:
    """Return an untrained model of a run."""
    if config.animals.route == "top_down":
        return TopDownModel(config)
    return PoseModel(config)


class Located(NamedTuple):
    """Keypoints of frames.

    Attributes
    ----------
    positions
        ``(n, map, 2)`` float32 px of the frames; NaN where an animal is not found.
    confidences
        ``(n, map)``, 0 to 1; 0 where not found.
    hidden
        ``(n, map)`` probability that it is hidden from view; None where the run has not learned
        that.
    """

    positions: np.ndarray
    confidences: np.ndarray
    hidden: np.ndarray | None


def locate(model: Model, frames: Tensor, background: Tensor | None = None) -> Located:
    """Find the keypoints of all individuals.

    Parameters
    ----------
    model
        From :func:`make_model`.
    frames
        ``(n, height, width, channels)`` uint8, on the model's device.
    background
        The same for each frame's background, where the encoder sees differences to it.
    """
    hidden = None
    if isinstance(model, TopDownModel):
        where, how_sure = model.locate(frames)
    else:
        config = model.config
        logits = model(model.prepare(frames, None, background))
        if config.animals.route == "bottom_up":
            where, how_sure = read_animals(logits, config)
        else:
            maps = logits[:, : config.n_maps]
            if config.hidden:
                odds = hidden_logits(maps, logits[:, config.n_maps :])
                hidden = odds.sigmoid().cpu().numpy()
            n = len(config.individuals)
            where, how_sure = decode_apart(maps, n, PoseModel.stride, config.heatmaps.sigma)
    positions = where.reshape(len(frames), -1, 2).cpu().numpy()
    return Located(positions, how_sure.reshape(len(frames), -1).cpu().numpy(), hidden)
