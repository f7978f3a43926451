"""Settings of BEAST pretraining and its presets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import pydantic
from pydantic import Field

from tinbergen.beast.augment import Augmentation
from tinbergen.beast.mae import DecoderConfig
from tinbergen.configuration import Config, merge, resolve
from tinbergen.errors import ConfigError
from tinbergen.nn.vit import SIZES, Size, ViTConfig
from tinbergen.training.config import TrainConfig

Preset = Literal["beast", "vit-m", "vit-c", "tinbergen"]
PRESETS: tuple[Preset, ...] = get_args(Preset)


class FramesConfig(Config):
    """Which frames of the videos are learned from, and how they are cut to the model's size."""

    select: Literal["pca_kmeans", "uniform", "random", "all"] = "pca_kmeans"
    """``pca_kmeans`` is BEAST's: frames that move, one per cluster of looks."""
    per_video: int = Field(default=500, ge=1)
    """Anchor frames of one video; ``all`` takes every frame."""
    keep_aspect: bool = False
    """Pad to the model's aspect ratio instead of stretching."""


class ObjectiveConfig(Config):
    """What the network has to reconstruct, and how much each part weighs."""

    mask_ratio: float = Field(default=0.75, ge=0.0, lt=1.0)
    """Share of the patches hidden from the encoder."""
    reconstruction: float = Field(default=1.0, ge=0.0)
    """Weight of the mean squared error of hidden patches; 0 leaves the decoder out."""
    decode: float = Field(default=1.0, gt=0.0, le=1.0)
    """Share of the hidden patches that is decoded, drawn anew each step."""
    background: bool = False
    """See and predict the difference to the video's mean image instead of the image. A static
    camera makes most of a frame predictable from its place alone; without it the network learns
    what moves."""
    eigenframes: int = Field(default=0, ge=0)
    """Let the CLS token reconstruct too: it gives the coefficients of so many principal frames of
    the data, and the decoder what remains. So CLS has to know what the whole animal does."""
    data_init: bool = False
    """Start the patch embedding and the CLS stem from principal components of the data."""
    freeze_embedding: bool = False
    """Keep the patch embedding as it started. On a few videos it would learn ever finer detail of
    those very frames, and tokens of other sessions get worse (compare Chen et al., ICCV 2021,
    section 4.2, who freeze it for stability)."""


class ContrastConfig(Config):
    """The temporal contrast of the CLS token (InfoNCE)."""

    weight: float = Field(default=0.03, ge=0.0)
    """BEAST's lambda; 0 leaves the projection head and the pairs out."""
    temperature: float = Field(default=1.0, gt=0.0)
    learn_temperature: bool = False
    """Learn its logarithm, starting from ``temperature``, within 0.01 and 1."""
    offset: float = Field(default=1.0, gt=0.0)
    """Distance of a positive from its anchor, before or after it."""
    offset_unit: Literal["frames", "seconds"] = "frames"
    positives: int = Field(default=1, ge=1)
    """Positives of an anchor in a batch."""
    exclusion: float = Field(default=0.0, ge=0.0)
    """Frames of one video closer than this, in s, are never negatives of each other."""
    negatives: Literal["all", "video"] = "all"
    """``video``: only frames of the same video are negatives, so that telling videos apart does
    not help."""
    form: Literal["symmetric", "paper"] = "symmetric"
    """``paper``: only anchors ask. ``symmetric``: every frame does, as in BEAST's code."""
    augmentation: Literal["independent", "shared"] = "independent"
    """Whether the frames of a pair are augmented alike."""
    head_norm: Literal["batch", "layer", "none"] = "batch"
    head_width: int | None = Field(default=None, ge=1)
    """Width of the embedding that is compared; default: the encoder's."""


class BeastConfig(Config):
    """Everything that a pretraining run depends on."""

    preset: Preset = "tinbergen"
    frames: FramesConfig = FramesConfig()
    encoder: ViTConfig = ViTConfig()
    decoder: DecoderConfig = DecoderConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    contrast: ContrastConfig = ContrastConfig()
    augment: Augmentation = Augmentation()
    train: TrainConfig = TrainConfig()

    @pydantic.model_validator(mode="after")
    def _trains_something(self) -> BeastConfig:
        goal = self.objective
        if not (goal.reconstruction or self.contrast.weight):
            raise ValueError("every loss has weight 0: nothing would be learned")
        if goal.reconstruction and goal.mask_ratio == 0:
            raise ValueError("reconstruction needs objective.mask_ratio > 0: no patch is hidden")
        if self.contrast.weight and self.train.batch_size < 2 * (1 + self.contrast.positives):
            raise ValueError(
                f"contrast needs at least two groups of {1 + self.contrast.positives} frames in a "
                f"batch: raise train.batch_size ({self.train.batch_size})"
            )
        if self.contrast.weight and self.train.batch_size % (1 + self.contrast.positives):
            raise ValueError(
                f"train.batch_size ({self.train.batch_size}) must be a multiple of "
                f"{1 + self.contrast.positives}, an anchor and its positives"
            )
        return self


# BEAST as published: section 4 of arXiv 2507.09513 and its shipped settings. One OneCycle, counted
# in steps; the learning rate follows their rule of 5e-5 per 256 images of a batch.
_BEAST: dict[str, Any] = {
    "encoder": {"norm_eps": 1e-12},
    "train": {
        "batch_size": 128,
        "weight_decay": 0.05,
        "betas": (0.9, 0.999),
        "decay_all": True,
        "warmup": 0.15,
        "start_lr": 0.1,
        "final_lr": 0.1,
        "grad_clip": 0.0,
        "steps": 10_000,
    },
}
_BEAST_LR_PER_IMAGE = 5e-5 / 256
_PRESETS: dict[Preset, dict[str, Any]] = {
    "beast": _BEAST,
    "vit-m": merge(_BEAST, {"contrast": {"weight": 0.0}}),
    "vit-c": merge(_BEAST, {"objective": {"reconstruction": 0.0}, "contrast": {"weight": 1.0}}),
    "tinbergen": {
        "encoder": {"cls_stem": 4},
        "decoder": {"width": 256, "depth": 4, "heads": 8},
        "objective": {
            "decode": 1 / 3,
            "background": True,
            "eigenframes": 64,
            "data_init": True,
            "freeze_embedding": True,
        },
        "contrast": {
            "weight": 0.03,
            "temperature": 0.1,
            "exclusion": 0.1,
            "negatives": "video",
            "augmentation": "shared",
            "head_norm": "layer",
        },
        "augment": {"flip": 0.0, "crop": 1.0, "crop_range": 0.06, "contrast": 0.2},
        "train": {
            "batch_size": 32,
            "learning_rate": 3e-4,
            "final_lr": 0.02,
            "steps": 10_000,
        },
    },
}


def beast_config(
    preset: Preset = "tinbergen",
    *,
    size: Size | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> BeastConfig:
    """Build the settings of a preset.

    Parameters
    ----------
    preset
        ``beast`` (the paper: reconstruction and contrast), ``vit-m`` (reconstruction only),
        ``vit-c`` (contrast only), or ``tinbergen`` (what measured best here).
    size
        ``ti``, ``s``, ``b`` or ``l``; default ``s`` for ``tinbergen``, else ``b`` as published.
    overrides
        Nested settings laid over the preset, for example ``{"train": {"steps": 500}}``.

    Raises
    ------
    ConfigError
        For an unknown preset, size or key, or an impossible value.
    """
    size = size or ("s" if preset == "tinbergen" else "b")
    _check_names(preset, size)
    overrides = overrides or {}
    layers = [_PRESETS[preset], {"preset": preset, "encoder": SIZES[size]}, overrides]
    config = resolve(BeastConfig, *layers)
    if preset != "tinbergen" and "learning_rate" not in overrides.get("train", {}):
        rate = _BEAST_LR_PER_IMAGE * config.train.batch_size
        config = resolve(BeastConfig, *layers, {"train": {"learning_rate": rate}})
    return config


def resumed_config(
    stored: Mapping[str, Any],
    preset: Preset | None = None,
    *,
    size: Size | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> BeastConfig:
    """Build the settings of a run that goes on: its own, under whatever is given anew.

    Parameters
    ----------
    stored
        The run's settings. Whether they may change is for
        :meth:`tinbergen.training.RunFolder.check_same` to say.
    preset, size, overrides
        See :func:`beast_config`; what is not given is as it was.
    """
    _check_names(preset or "tinbergen", size or "s")
    named = {"preset": preset} if preset else {}
    shape = {"encoder": SIZES[size]} if size else {}
    return resolve(BeastConfig, stored, named, shape, overrides or {})


def _check_names(preset: str, size: str) -> None:
    if preset not in PRESETS:
        raise ConfigError(f"preset: expected one of {', '.join(PRESETS)}, found {preset!r}.")
    if size not in SIZES:
        raise ConfigError(f"size: expected one of {', '.join(SIZES)}, found {size!r}.")
