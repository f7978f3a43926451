"""What the training loop can be told; imports no torch, so that the command line may read it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tinbergen.configuration import Config

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]

MAY_CHANGE_ON_RESUME = frozenset(
    {"workers", "device", "devices", "checkpoint_every", "log_every", "tensorboard"}
)
"""Settings that say where and how fast a run is computed, not what it computes."""


class TrainConfig(Config):
    """Settings of one training run.

    Raises
    ------
    ConfigError
        (through :func:`tinbergen.configuration.resolve`) for unknown keys and impossible values.
    """

    steps: int = Field(default=1000, ge=1)
    """Optimizer steps; the whole schedule is counted in steps."""
    batch_size: int = Field(default=64, ge=1)
    """Items per step over all processes together."""
    learning_rate: float = Field(default=1e-3, gt=0.0)
    """Peak learning rate."""
    weight_decay: float = Field(default=0.05, ge=0.0)
    betas: tuple[Fraction, Fraction] = (0.9, 0.95)
    decay_all: bool = False
    """Decay biases, norms and embeddings too; by default only weight matrices decay."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """What follows the warm-up."""
    warmup: Fraction = 0.05
    """Share of the steps in which the learning rate rises linearly to its peak."""
    start_lr: Fraction = 0.0
    """Learning rate before the first step, as a share of the peak."""
    final_lr: Fraction = 0.0
    """Learning rate of the last step, as a share of the peak (cosine)."""
    grad_clip: float = Field(default=1.0, ge=0.0)
    """Largest norm of the whole gradient; 0 = no clipping."""
    ema: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Decay per step of the moving average of the weights, which is then what is validated and
    saved; 0 = no average."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """auto = bf16 where the device computes it fast, else fp32."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    devices: int = Field(default=1, ge=1)
    """Processes on this machine, one per device."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    workers: int = Field(default=2, ge=0)
    """Threads that fetch batches ahead; the result does not depend on it."""
    checkpoint_every: int = Field(default=500, ge=0)
    """Steps between checkpoints; 0 = only at the end."""
    validate_every: int = Field(default=500, ge=0)
    """Steps between validations; 0 = only at the end."""
    log_every: int = Field(default=10, ge=1)
    """Steps that one line of metrics averages over."""
    patience: int = Field(default=0, ge=0)
    """Stop after so many validations without a better score; 0 = never."""
    tensorboard: bool = True
    """Also write TensorBoard event files into the run folder."""

    @model_validator(mode="after")
    def _check(self) -> TrainConfig:
        if self.batch_size % self.devices:
            raise ValueError(
                f"batch_size ({self.batch_size}) is shared out evenly, so it must be a multiple "
                f"of devices ({self.devices})"
            )
        return self
