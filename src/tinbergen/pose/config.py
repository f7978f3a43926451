"""Settings of a pose run."""

from __future__ import annotations

from typing import Any, Literal

import pydantic
from pydantic import Field

from tinbergen.configuration import Config, merge, resolve
from tinbergen.nn.vit import ViTConfig
from tinbergen.pose.animals import AnimalsConfig
from tinbergen.pose.augment import PoseAugmentation
from tinbergen.pose.network import ConvConfig
from tinbergen.training.config import TrainConfig

CONV_MULTIPLE = 32
"""Sides of images are multiples of this, so that every stride of the network fits."""


CONV_TRAINING: dict[str, Any] = {
    "train": {
        "steps": 500,
        "batch_size": 12,
        "learning_rate": 2e-3,
        "weight_decay": 1e-4,
        "warmup": 0.06,
        "final_lr": 0.01,
        "grad_clip": 5.0,
        "ema": 0.99,
        "workers": 0,
        "validate_every": 50,
        "checkpoint_every": 250,
    },
}
"""What the convolutional network is trained with, unless told otherwise."""
BACKBONE_TRAINING: dict[str, Any] = merge(
    CONV_TRAINING, {"train": {"learning_rate": 1e-3, "weight_decay": 0.01, "batch_size": 16}}
)
"""The same for a head on a pretrained transformer."""


class HeatmapConfig(Config):
    """What a heat map is taught, and how."""

    sigma: float = Field(default=1.25, gt=0.2, le=8)
    """Standard deviation of the bump around a keypoint, px of the map (a quarter of the image)."""
    loss: Literal["cross_entropy", "mse"] = "mse"
    """Between the softmax of a map and the bump: cross-entropy, or mean squared error times the
    number of pixels."""
    unlabelled: Literal["ignore", "uniform"] = "ignore"
    """A keypoint without a label teaches nothing, or (as in Lightning Pose) that it could be
    anywhere, for data in which no label means not visible; then its confidence is low."""


class HeadConfig(Config):
    """The layers between the tokens of a vision transformer and the heat maps."""

    width: int = Field(default=128, ge=8)
    """Channels of its layers."""
    whiten: bool = True
    """Give all directions in which tokens vary the same weight at first."""
    frozen: bool = True
    """Keep the transformer as it is. Its tokens are then computed once, for ``views`` of every
    frame, and training costs next to nothing: the choice for a CPU."""
    views: int = Field(default=16, ge=0)
    """Augmented views of each frame whose tokens are kept; 0: views are drawn anew at every step,
    which is better with few labels and costs a pass of the transformer each."""
    backbone_rate: float = Field(default=0.1, gt=0)
    """Learning rate of the transformer's last block, as a share of the head's, if not frozen."""
    layer_decay: float = Field(default=0.75, gt=0, le=1)
    """Each block's learning rate as a share of that of the block above it."""
    thaw: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps before the transformer starts to move."""


class UnlabelledConfig(Config):
    """Losses on video without labels, where there is some; distances are px of the images.

    Weights are beside the 1 of the labelled frames; Lightning Pose's ``log_weight`` w is
    ``exp(-w)`` here.
    """

    temporal: float = Field(default=0.0002, ge=0)
    """Weight of jumps from frame to frame."""
    jump: float = Field(default=20.0, ge=0)
    """Step from frame to frame that costs nothing, px of the images."""
    pca_singleview: float = Field(default=0.0002, ge=0)
    """Weight of the distance from the plane of labelled poses, of the keypoints that are labelled
    in four of five training frames."""
    pca_multiview: float = Field(default=0.0002, ge=0)
    """Weight of the distance between views of the same part and what three coordinates in space
    can look like; needs ``views``."""
    views: tuple[str, ...] = ()
    """Endings that tell the views of a part apart, such as ``_top`` and ``_bot``."""
    clips: int = Field(default=256, ge=1)
    """Clips that are read and kept, spread evenly over all the video."""
    frames: int = Field(default=4, ge=2)
    """Frames of a clip."""
    batch: int = Field(default=2, ge=1)
    """Clips in a step."""
    start: float = Field(default=0.2, ge=0, lt=1)
    """Share of the steps before these losses begin."""
    full: float = Field(default=0.5, gt=0, le=1)
    """Share of the steps after which they have their whole weight; they grow linearly until
    then, for positions mean nothing at first."""

    def ramp(self, step: int, steps: int) -> float:
        """Share of the weights in step ``step`` of ``steps``."""
        share = (step / steps - self.start) / max(self.full - self.start, 1 / steps)
        return min(1.0, max(0.0, share))


class PoseConfig(Config):
    """Everything that a pose run depends on; what is None is chosen from the labels."""

    keypoints: tuple[str, ...] = ()
    individuals: tuple[str, ...] = ()
    """Animals in view; see ``animals`` for how several are told apart."""
    animals: AnimalsConfig = AnimalsConfig()
    image_size: tuple[int, int] | None = None
    """``(height, width)`` that the network sees, px; larger is more exact and slower. Images are
    scaled to fit and padded, never stretched. Default: ``longest`` at the aspect of the labels."""
    longest: int = Field(default=256, ge=32)
    """Longer side of the default ``image_size``, px."""
    channels: Literal[1, 3] | None = None
    """Gray or RGB; default: gray unless the images have colours."""
    roi: tuple[int, int, int, int] | None = None
    """Region ``(x, y, width, height)`` of the images to look at, px; default: all of it."""
    context: int = Field(default=0, ge=0, le=4)
    """Frames before and after each frame that the convolutional network sees too."""
    conv: ConvConfig = ConvConfig()
    """The network, unless there is an ``encoder``."""
    encoder: ViTConfig | None = None
    """Shape of a pretrained vision transformer; comes from the backbone."""
    residual: bool = False
    """The encoder sees differences to the background of a video; comes from the backbone."""
    head: HeadConfig = HeadConfig()
    hidden: bool | None = None
    """Also say how probable it is that a keypoint is hidden from view; default: if labels are
    marked as hidden (COCO, Lightning Pose) and the route is ``identity``."""
    hidden_weight: float = Field(default=0.01, gt=0)
    """Weight of the cross-entropy of what is hidden, beside the 1 of the heat maps."""
    heatmaps: HeatmapConfig = HeatmapConfig()
    augment: PoseAugmentation = PoseAugmentation()
    unlabelled: UnlabelledConfig = UnlabelledConfig()
    train: TrainConfig = TrainConfig()

    @pydantic.model_validator(mode="after")
    def _fits(self) -> PoseConfig:
        multiple = self.multiple
        if self.image_size is not None and any(
            side < multiple or side % multiple for side in self.image_size
        ):
            raise ValueError(
                f"both sides of image_size {self.image_size} must be multiples of {multiple}"
            )
        if self.encoder is not None and self.encoder.patch not in (4, 8, 16, 32):
            raise ValueError(f"encoder.patch must be 4, 8, 16 or 32, found {self.encoder.patch}")
        if self.encoder is not None and self.context:
            raise ValueError("context is for the convolutional network; a backbone sees one frame")
        return self

    @property
    def multiple(self) -> int:
        """What the sides of images are multiples of, px."""
        if self.encoder is not None:
            return self.encoder.patch
        return max(CONV_MULTIPLE, 2 ** len(self.conv.widths))

    @property
    def size(self) -> tuple[int, int]:
        """``image_size``, once it is known."""
        assert self.image_size is not None
        return self.image_size

    @property
    def seen_channels(self) -> int:
        """Channels of a frame with its neighbours."""
        return (self.channels or 1) * (2 * self.context + 1)

    @property
    def n_maps(self) -> int:
        """Heat maps: keypoints of all individuals."""
        return len(self.keypoints) * len(self.individuals)

    @property
    def n_outputs(self) -> int:
        """Maps that the network makes: for ``bottom_up`` those of all animals, and of limbs.

        With ``hidden``, as many marks of what is hidden follow the heat maps.
        """
        if self.animals.route == "bottom_up":
            return len(self.keypoints) + 2 * len(self.animals.skeleton)
        return 2 * self.n_maps if self.hidden else self.n_maps

    def map_names(self) -> tuple[str, ...]:
        """Name of each heat map; see :func:`map_names`."""
        return map_names(self.individuals, self.keypoints)


def map_names(individuals: tuple[str, ...], keypoints: tuple[str, ...]) -> tuple[str, ...]:
    """Name each heat map: individual by individual, keypoint by keypoint."""
    if len(individuals) == 1:
        return keypoints
    return tuple(f"{who}/{what}" for who in individuals for what in keypoints)


def default_size(config: PoseConfig, height: int, width: int) -> tuple[int, int]:
    """Size at which the network sees ``height`` x ``width`` px images, at their aspect."""
    scale = config.longest / max(height, width)
    multiple = config.multiple
    sides = (max(multiple, round(side * scale / multiple) * multiple) for side in (height, width))
    rows, columns = sides
    return rows, columns


def stored_config(stored: dict[str, Any]) -> PoseConfig:
    """Return the settings of a run, out of its ``config.yaml``."""
    return resolve(PoseConfig, stored)
