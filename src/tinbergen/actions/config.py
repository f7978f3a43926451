"""What a run of the actions room can be told; imports no torch."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from tinbergen.actions.features import FeatureConfig
from tinbergen.configuration import Config


class LabelConfig(Config):
    """Which labels, and what they mean."""

    stream: str | None = None
    """Stream; default: the only one that holds labels."""
    classes: tuple[str, ...] | None = None
    """Names, in the order of the codes; default: those of the labels, without ``unscored``."""
    unscored: tuple[str, ...] = ()
    """Classes that mean "not looked at": they are neither learned nor scored."""
    background: str | None = None
    """The class that frames have in which somebody looked and saw none of the others."""
    individual: str | None = None
    """Whose labels, where they are given for several animals; default: all."""
    weak: str | None = None
    """A further stream of labels, given by a rule: they count where there are no others."""


class DecoderConfig(Config):
    """How probabilities become bouts; see :class:`~tinbergen.actions.Decoder`."""

    path: Literal["frames", "sticky", "semi_markov"] = "frames"
    window: int = Field(default=1, ge=1)
    """Frames, odd."""
    stay: float = Field(default=0.99, gt=0.0, lt=1.0)
    weight: float = Field(default=0.1, gt=0.0)
    shortest: int = Field(default=1, ge=1)
    """Frames."""
    gap: int = Field(default=0, ge=0)
    """Frames of background that are filled at most."""
    temperature: float = Field(default=1.0, gt=0.0)


class ActionConfig(Config):
    """Settings of a run."""

    model: str = "tcn"
    """A name of :data:`tinbergen.actions.SEGMENTERS`."""
    settings: dict[str, Any] = {}
    """Of the model's constructor: ``{"epochs": 20}``."""
    folds: int = Field(default=4, ge=0)
    """Members of the ensemble, each trained without one fold of the training recordings; on what
    they say of it the decoder is chosen. 0 = one model on all of them."""
    weighting: Literal["mean", "entropy"] = "mean"
    """Of the members; see :func:`~tinbergen.actions.combined`."""
    features: FeatureConfig = FeatureConfig()
    labels: LabelConfig = LabelConfig()
    decoder: DecoderConfig | None = None
    """None = chosen on validation recordings or folds, if there are any."""
    seed: int = Field(default=0, ge=0)
