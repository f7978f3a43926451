"""Top-down: centres of animals in a small image, then keypoints in a crop around each."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tinbergen.metrics.instances import similarities
from tinbergen.pose.config import CONV_MULTIPLE, PoseConfig
from tinbergen.pose.heatmaps import decode, to_image
from tinbergen.pose.model import PoseModel
from tinbergen.pose.peaks import find_peaks

_SAME_ANIMAL = 0.8  # similarity of two poses that are one animal, found twice


def centre_config(config: PoseConfig) -> PoseConfig:
    """Return the settings of the first stage: the centre of each animal is its one keypoint."""
    height, width = (side // config.animals.shrink for side in config.size)
    animals = config.animals.model_copy(update={"route": "bottom_up", "skeleton": ()})
    return config.model_copy(
        update={
            "keypoints": ("centre",),
            "image_size": (height + _padding(height), width + _padding(width)),
            "animals": animals,
        }
    )


def crop_config(config: PoseConfig) -> PoseConfig:
    """Return the settings of the second stage: one animal, in the middle of its crop."""
    side = config.animals.crop
    animals = config.animals.model_copy(update={"route": "identity"})
    return config.model_copy(
        update={"individuals": ("animal",), "image_size": (side, side), "animals": animals}
    )


class TopDownModel(nn.Module):
    """The networks of both stages."""

    def __init__(self, config: PoseConfig):
        super().__init__()
        self.config = config
        self.centres = PoseModel(centre_config(config))
        self.crops = PoseModel(crop_config(config))

    def forward(self, stage: str, images: Tensor) -> Tensor:
        """Map the prepared images of a stage to its maps."""
        return getattr(self, stage)(images)

    def locate(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Find animals in ``(n, height, width, channels)`` uint8 frames.

        Returns
        -------
        positions : ``(n, individual, keypoint, 2)`` px; NaN = not found.
        confidence : ``(n, individual, keypoint)``: the probability of a centre times that of the
            keypoint given the centre; 0 = not found.
        """
        config = self.config
        n_animals, n_keypoints = len(config.individuals), len(config.keypoints)
        small = shrunk(frames, config.animals.shrink)
        logits = self.centres(self.centres.prepare(small))
        sigma = config.heatmaps.sigma
        found = find_peaks(logits, PoseModel.stride, sigma, config.animals.threshold, n_animals)
        centres, probability = to_image(found[0][:, 0], config.animals.shrink), found[1][:, 0]
        positions = torch.full((len(frames), n_animals, n_keypoints, 2), torch.nan)
        confidence = torch.zeros(positions.shape[:-1])
        frame, animal = (probability > 0).cpu().nonzero(as_tuple=True)
        if len(frame):
            which, at = frame.to(frames.device), centres[probability > 0]
            crops, corners = cut(frames, which, at, config.animals.crop)
            maps = self.crops(self.crops.prepare(crops))
            where, how_sure = decode(maps, PoseModel.stride, sigma)
            positions[frame, animal] = (where + corners[:, None]).cpu()
            sure = how_sure * probability[probability > 0][:, None]
            confidence[frame, animal] = sure.float().cpu()
        return _without_doubles(positions, confidence)


def shrunk(frames: Tensor, factor: int) -> Tensor:
    """Return frames smaller by a whole factor (means), for the first stage.

    Parameters
    ----------
    frames
        ``(n, height, width, channels)`` uint8.

    Returns
    -------
    Tensor
        uint8, black at the right and at the bottom up to sides that the network takes.
    """
    means = functional.avg_pool2d(frames.permute(0, 3, 1, 2).float(), factor)
    height, width = means.shape[2:]
    padded = functional.pad(means, (0, _padding(width), 0, _padding(height)))
    return padded.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def _padding(side: int) -> int:
    return -side % CONV_MULTIPLE


def cut(frames: Tensor, which: Tensor, centres: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Cut squares around centres; black where they leave the frame.

    Parameters
    ----------
    frames
        ``(n, height, width, channels)`` uint8.
    which, centres
        ``(m,)`` frame, and ``(m, 2)`` px.

    Returns
    -------
    crops : ``(m, side, side, channels)`` uint8.
    corners : ``(m, 2)`` px of the frame: its pixel at the top left.
    """
    corners = (centres - (side - 1) / 2).round().long()
    height, width = frames.shape[1:3]
    low = corners.new_tensor([-side, -side])
    corners = corners.maximum(low).minimum(corners.new_tensor([width, height]))
    padded = functional.pad(frames, (0, 0, side, side, side, side))
    crops = [
        padded[i, y + side : y + 2 * side, x + side : x + 2 * side]
        for i, (x, y) in zip(which.tolist(), corners.tolist(), strict=True)
    ]
    empty = frames.new_zeros((0, side, side, frames.shape[3]))
    return torch.stack(crops) if crops else empty, corners


def _without_doubles(positions: Tensor, confidence: Tensor) -> tuple[Tensor, Tensor]:
    """Take out poses that repeat a surer one of their frame: two centres of one animal."""
    score = confidence.mean(dim=-1)
    for frame in range(len(positions)):
        order = score[frame].argsort(descending=True).tolist()
        same = similarities(positions[frame].numpy(), positions[frame].numpy())
        for place, animal in enumerate(order):
            if any(same[animal, better] > _SAME_ANIMAL for better in order[:place]):
                positions[frame, animal], confidence[frame, animal] = torch.nan, 0.0
                same[:, animal] = 0.0
    return positions, confidence
