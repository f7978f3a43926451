"""Settings of population models and their presets; imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import pydantic
from pydantic import Field

from tinbergen.configuration import Config, merge, resolve
from tinbergen.errors import ConfigError
from tinbergen.training.config import TrainConfig

Preset = Literal["tinbergen", "neds", "mtm", "ndt2"]
PRESETS: tuple[Preset, ...] = get_args(Preset)


class WindowsConfig(Config):
    """Which windows are cut out of a recording."""

    width: float = Field(default=0.02, gt=0.0)
    """Of a bin, s."""
    align: str | None = None
    """Column of the trials with the event that windows lie around; None: one after another."""
    before: float = 0.0
    """From the start of a window to the event, s."""
    after: float = 1.0
    """From the event to the end of the window, s."""
    step: float | None = Field(default=None, gt=0.0)
    """Between windows that no event aligns, s; default: their length."""
    spikes: str = "spikes"
    """Name of the stream of spikes, or of counts in bins."""
    trials: str = "trials"


class ModalityConfig(Config):
    """Something that is known beside the spikes."""

    kind: Literal["continuous", "categorical", "counts"] = "continuous"
    """Squared error, cross-entropy or the Poisson likelihood."""
    static: bool = False
    """One value a window, and so one token; else one a bin."""
    source: str = ""
    """``stream``, ``stream/channel`` or ``trials/column``; default: a stream of its name."""
    weight: float | None = Field(default=None, ge=0.0)
    """Of its loss; default: 1, or 0.05 for a static one, which is one number a window beside
    thousands of counts: with more the network learns the few windows by heart."""

    @property
    def loss_weight(self) -> float:
        """The weight, or its default."""
        return self.weight if self.weight is not None else 0.05 if self.static else 1.0


class NetworkConfig(Config):
    """Shape of the network."""

    width: int = Field(default=128, ge=8)
    depth: int = Field(default=3, ge=0)
    heads: int = Field(default=4, ge=1)
    hidden: int = Field(default=256, ge=1)
    """Width of the perceptron in a block."""
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Of what attention and perceptron add; attention weights are never dropped."""
    token_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    layout: Literal["bins", "patches"] = "bins"
    """A token is a bin of all units, or a bin of one block of units (NDT2)."""
    static_tokens: Literal["one", "each bin"] = "one"
    """``each bin`` repeats a static value in every bin, as NEDS does."""
    rotary: bool = True
    time_embedding: bool = True
    session_embedding: bool = True
    prompt: bool = False
    """A token that names the mask (MtM)."""


class UnitsConfig(Config):
    """How units enter the network, and leave it."""

    read: Literal["table", "stitch", "stitch-mtm"] = "table"
    """A vector a unit; or a network a session, as NEDS or MtM have it, for comparison."""
    transform: Literal["root", "counts"] = "root"
    """What of a count is read: ``(sqrt(k + 3/8) - sqrt(mean + 3/8)) / sqrt(mean + 0.05)``, of
    which a hidden unit is 0, or the count."""
    linear_rank: int = Field(default=32, ge=0)
    """Most factors of a linear path from what is visible to what is hidden, beside the network; 0:
    none. It is fitted to the training windows in closed steps, before the first step, and
    calibrated; rates are matched to the validation windows at every validation."""
    recent: bool = False
    """Follow slow drift: read the rates of the windows before this one, and let each unit's log
    rate start from its own. At test these are counts of the past, of hidden units too."""
    recent_windows: float = Field(default=10.0, gt=0.0)
    """Time constant of that memory, in windows."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of units that a sample does not see and does not predict."""
    decay: float = Field(default=1.0, ge=0.0)
    """Weight decay of the tables of units."""


class MasksConfig(Config):
    """What is hidden in training; see :mod:`tinbergen.population.masks`."""

    encoding: float = Field(default=0.0, ge=0.0)
    decoding: float = Field(default=0.0, ge=0.0)
    self_spikes: float = Field(default=0.0, ge=0.0)
    self_behavior: float = Field(default=0.0, ge=0.0)
    cross: float = Field(default=0.0, ge=0.0)
    neuron: float = Field(default=0.0, ge=0.0)
    intra_region: float = Field(default=0.0, ge=0.0)
    inter_region: float = Field(default=0.0, ge=0.0)
    temporal: float = Field(default=0.0, ge=0.0)
    future: float = Field(default=0.0, ge=0.0)
    block: float = Field(default=0.0, ge=0.0)
    ratio: tuple[float, float] = (0.02, 0.32)
    """Bounds of the share of units or bins hidden in a sample."""
    future_share: float = Field(default=0.2, gt=0.0, le=1.0)
    """Largest share of a window that ``future`` hides."""

    @property
    def weights(self) -> dict[str, float]:
        """Scheme -> weight."""
        values = self.model_dump(exclude={"ratio", "future_share"})
        return {name: value for name, value in values.items() if value > 0}


class AdaptingConfig(Config):
    """How a trained core meets new sessions; without a core none of it matters."""

    strategy: Literal["frozen", "gradual", "full"] = "gradual"
    frozen_share: float = Field(default=0.3, ge=0.0, le=1.0)
    """Share of the steps for which ``gradual`` leaves the core as it is."""
    core_rate: float = Field(default=0.3, gt=0.0)
    """Learning rate of the core, relative to that of the new weights; also of the calibration,
    which learns before the first step."""


class PopulationConfig(Config):
    """Everything that a population model depends on."""

    preset: Preset = "tinbergen"
    windows: WindowsConfig = WindowsConfig()
    modalities: dict[str, ModalityConfig] = {}
    network: NetworkConfig = NetworkConfig()
    units: UnitsConfig = UnitsConfig()
    masks: MasksConfig = MasksConfig(neuron=1.0)
    spikes_weight: float = Field(default=1.0, ge=0.0)
    adapting: AdaptingConfig = AdaptingConfig()
    train: TrainConfig = TrainConfig()

    @pydantic.model_validator(mode="after")
    def _fits_together(self) -> PopulationConfig:
        if not self.masks.weights:
            raise ValueError("masks: every scheme has weight 0, so nothing would be learned")
        low, high = self.masks.ratio
        if not 0 < low <= high <= 1:
            raise ValueError(f"masks.ratio: expected 0 < low <= high <= 1, found {low}, {high}")
        network = self.network
        if network.width % network.heads or (network.width // network.heads) % 2:
            raise ValueError(
                f"network.width ({network.width}) must be an even multiple of network.heads "
                f"({network.heads})"
            )
        if network.layout == "patches" and self.units.read != "table":
            raise ValueError("network.layout=patches needs units in a table (units.read=table)")
        for name in ("recent", "dropout"):
            if getattr(self.units, name) and self.units.read != "table":
                raise ValueError(f"units.{name} needs units in a table (units.read=table)")
        return self


_MIXTURE = {
    "neuron": 1.0,
    "intra_region": 1.0,
    "inter_region": 1.0,
    "temporal": 0.25,
    "future": 1.0,
}
_BEHAVIOUR = {"encoding": 0.5, "decoding": 1.0, "self_behavior": 0.25, "cross": 0.25}

# NEDS and MtM as released (arXiv 2504.08201 and 2407.14668), where they are not faulty.
_RELEASED: dict[str, Any] = {
    "units": {"read": "stitch", "transform": "counts", "linear_rank": 0, "decay": 0.01},
    "network": {"dropout": 0.4, "token_dropout": 0.2, "heads": 8},
    "train": {
        "weight_decay": 0.01,
        "betas": (0.9, 0.999),
        "decay_all": True,
        "warmup": 0.15,
        "start_lr": 0.1,
        "final_lr": 1e-5,
        "grad_clip": 0.0,
        "batch_size": 16,
        "steps": 20_000,
    },
}
_MTM = merge(
    _RELEASED,
    {
        "network": {"width": 512, "depth": 5, "hidden": 1024, "rotary": False, "prompt": True},
        "masks": {
            "neuron": 1.0,
            "future": 1.0,
            "intra_region": 1.0,
            "inter_region": 1.0,
            "ratio": (0.3, 0.3),
        },
    },
)
_PRESETS: dict[Preset, dict[str, Any]] = {
    "tinbergen": {
        "masks": {**_MIXTURE, **_BEHAVIOUR},
        "network": {"dropout": 0.3},
        "train": {
            "learning_rate": 5e-4,
            "weight_decay": 0.05,
            "betas": (0.9, 0.98),
            "batch_size": 32,
            "steps": 300,
            "warmup": 0.1,
            "validate_every": 50,
            "patience": 3,
        },
    },
    "neds": merge(
        _RELEASED,
        {
            "network": {"width": 256, "depth": 5, "hidden": 512, "static_tokens": "each bin"},
            "masks": {
                "encoding": 1.0,
                "decoding": 1.0,
                "self_spikes": 1.0,
                "self_behavior": 1.0,
                "cross": 1.0,
                "ratio": (0.3, 0.3),
            },
            "train": {"learning_rate": 2e-4},
        },
    ),
    "mtm": merge(_MTM, {"units": {"read": "stitch-mtm"}, "train": {"learning_rate": 1e-4}}),
    "ndt2": merge(
        _MTM,
        {
            "units": {"read": "table"},
            "network": {"layout": "patches"},
            "train": {"learning_rate": 5e-4},
        },
    ),
}


def population_config(
    preset: Preset = "tinbergen", *, overrides: Mapping[str, Any] | None = None
) -> PopulationConfig:
    """Build the settings of a preset.

    Parameters
    ----------
    preset
        ``tinbergen`` (what measured best here), ``neds`` (multimodal, Zhang et al. 2025), ``mtm``
        (NDT1 with stitching and multi-task masks, Zhang et al. 2024), ``ndt2`` (MtM on
        space-time patches).
    overrides
        Nested settings laid over the preset.

    Raises
    ------
    ConfigError
        For an unknown preset or key, or an impossible value.
    """
    if preset not in PRESETS:
        raise ConfigError(f"preset: expected one of {', '.join(PRESETS)}, found {preset!r}.")
    return resolve(PopulationConfig, _PRESETS[preset], {"preset": preset}, overrides or {})
