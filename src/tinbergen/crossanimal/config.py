"""Settings of models across animals; imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from tinbergen.configuration import Config
from tinbergen.training.config import Fraction, TrainConfig

Objective = Literal["contrast", "simclr", "regression", "syllables"]
_POSE_CHANGES = ("pose_noise", "pose_scale", "pose_rotation", "pose_mask")


class WindowConfig(Config):
    """How much time around a neural frame is looked at; edge frames of a segment repeat."""

    neural: int = Field(default=9, ge=1)
    """Neural frames."""
    neural_stride: int = Field(default=1, ge=1)
    pose: int = Field(default=9, ge=1)
    """Pose frames."""
    pose_stride: int = Field(default=1, ge=1)


class NetworkConfig(Config):
    """Shape of the encoders."""

    input: int = Field(default=32, ge=1)
    """Channels a frame after the input layer of traces, or the convolutions of images."""
    hidden: int = Field(default=64, ge=1)
    output: int = Field(default=32, ge=1)
    """Dimensions of h, and of z, of each member."""
    temporal: Literal["linear", "perceptron", "convolution", "recurrent"] = "linear"
    """What sees the frames of a neural window together; the more of them there are, the more
    layers they can teach."""
    pose: Literal["perceptron", "attention"] = "perceptron"
    dropout: float = Field(default=0.3, ge=0.0, lt=1.0)
    members: int = Field(default=4, ge=1)
    """Networks that are trained from different starts, in turn, a step of one and then of the
    next; their features stand side by side. A probe across animals gains by it."""


class SwapConfig(Config):
    """Swapping augmentation: what one animal does, shown by another."""

    pose: float = Field(default=0.0, ge=0.0, le=1.0)
    """Probability, a pose frame, to come from another animal."""
    neural: float = Field(default=0.0, ge=0.0, le=1.0)
    """Probability, a neural frame, that its features come from another animal."""
    neighbours: int = Field(default=128, ge=1)
    """Candidates a frame, over all other animals together."""
    half_width: int = Field(default=0, ge=0)
    """Pose frames to each side that are compared along with a frame."""
    bandwidth: float | None = Field(default=None, gt=0.0)
    """Divides the distances; default: the median distance to the nearest neighbour."""
    components: int = Field(default=8, ge=1)
    """Principal components of the poses that neighbours are searched in."""


class AugmentConfig(Config):
    """Random changes of what is seen in training; all of zero mean."""

    neuron_dropout: float = Field(default=0.5, ge=0.0, lt=1.0)
    """Of the neurons of each animal, drawn anew for each step."""
    neural_noise: float = Field(default=0.0, ge=0.0)
    """Standard deviations."""
    gain: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Amplitude of a factor around 1, a window."""
    calcium: float = Field(default=0.0, ge=0.0)
    """Largest share of decaying activity of another moment that is added."""
    calcium_decay: tuple[float, float] = (0.4, 1.5)
    """Time constants, s."""
    shift: int = Field(default=0, ge=0)
    """Largest displacement of images, px."""
    pose_noise: float = Field(default=0.0, ge=0.0)
    pose_scale: float = Field(default=0.0, ge=0.0, lt=1.0)
    pose_rotation: float = Field(default=0.0, ge=0.0)
    """Largest turn about the origin, degrees; of keypoints."""
    pose_mask: int = Field(default=0, ge=0)
    """Largest number of columns, and of frames, that are hidden."""


class DomainConfig(Config):
    """What makes the features of animals alike, beside the objective."""

    kind: Literal["none", "mmd", "reversal"] = "none"
    weight: float = Field(default=1.0, ge=0.0)


class TrainingConfig(TrainConfig):
    """Settings of the loop, with what suits small networks on small tables."""

    steps: int = Field(default=1200, ge=1)
    """Optimizer steps, of all members together."""
    batch_size: int = Field(default=252, ge=1)
    learning_rate: float = Field(default=3e-3, gt=0.0)
    weight_decay: float = Field(default=1e-2, ge=0.0)
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    grad_clip: float = Field(default=0.0, ge=0.0)
    workers: int = Field(default=0, ge=0)
    checkpoint_every: int = Field(default=0, ge=0)
    validate_every: int = Field(default=100, ge=0)
    tensorboard: bool = False


class CrossAnimalConfig(Config):
    """All settings of a model across animals."""

    objective: Objective = "contrast"
    negatives: Literal["same", "mixed"] = "same"
    """Whether a window is told apart from others of its animal, or of all animals."""
    animals_per_batch: int = Field(default=0, ge=0)
    """0: up to 8, and up to 16 with mixed negatives or a domain loss."""
    temperature: float = Field(default=0.1, gt=0.0)
    syllables: int = Field(default=12, ge=2)
    """States of the autoregressive hidden Markov model that names syllables of the pose."""
    normalise_pose: Literal["animal", "all"] = "animal"
    """Whose mean and spread each pose column is measured by."""
    whiten: int = Field(default=8, ge=0)
    """Principal components of the pose (all there are, if fewer), all of unit variance, that
    encoders see or predict in the place of its columns; 0: the columns. Where many columns say
    nearly the same, as the angles along a body do, they would drown the others."""
    windows: WindowConfig = WindowConfig()
    network: NetworkConfig = NetworkConfig()
    swap: SwapConfig = SwapConfig()
    augment: AugmentConfig = AugmentConfig()
    domain: DomainConfig = DomainConfig()
    train: TrainingConfig = TrainingConfig()

    @model_validator(mode="after")
    def _check(self) -> CrossAnimalConfig:
        if self.domain.kind != "none" and self.animals_per_batch == 1:
            raise ValueError("a batch of one animal shows no difference between animals")
        given = [name for name in _POSE_CHANGES if getattr(self.augment, name)]
        if given and self.objective != "contrast":
            raise ValueError(f"augment.{given[0]} changes what the contrast sees of poses alone")
        if self.swap.pose and self.objective != "contrast":
            raise ValueError(
                f"swap.pose changes the poses that {self.objective!r} does not look at; use the "
                "objective 'contrast', or swap.neural"
            )
        return self
