"""Which device and precision a run uses: what was asked for, or a clear refusal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from tinbergen.errors import DeviceError
from tinbergen.training.config import TrainConfig

_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # x86, x86 tiles, Arm


@dataclass(frozen=True)
class Hardware:
    """A device, how many of them, and the precision of the forward pass."""

    device: str
    devices: int
    precision: str


def choose_hardware(config: TrainConfig) -> Hardware:
    """Resolve ``auto`` and check that this machine has what was asked for.

    Raises
    ------
    DeviceError
        If it has not. Training never moves to the CPU in silence.
    """
    device = config.device if config.device != "auto" else _best_device()
    _check_device(device, config.devices)
    precision = config.precision
    if precision == "auto":
        precision = "bf16" if has_fast_bf16(device) else "fp32"
    _check_precision(device, precision)
    return Hardware(device, config.devices, precision)


def has_fast_bf16(device: str) -> bool:
    """Whether ``device`` multiplies bf16 matrices in hardware."""
    if device == "cuda":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(
            including_emulation=False
        )
    return device == "cpu" and bool(_BF16_FLAGS & cpu_flags())


def cpu_flags() -> set[str]:
    """Return the instruction sets the processor names (Linux; elsewhere empty)."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return set()
    for line in path.read_text().splitlines():
        if line.startswith(("flags", "Features")):
            return set(line.partition(":")[2].split())
    return set()


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _check_device(device: str, devices: int) -> None:
    if device == "cuda":
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if found < devices:
            raise DeviceError(
                f"Expected {devices} GPU(s), found {found}{_why_no_gpu()}. "
                "Run `tinbergen doctor`, ask for device=cpu, or for fewer devices."
            )
    if device == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("Expected an Apple GPU (mps), found none. Ask for device=cpu.")
    if device == "mps" and devices > 1:
        raise DeviceError(f"An Apple GPU is one device, {devices} were asked for. Ask for one.")


def _why_no_gpu() -> str:
    if torch.version.cuda is None and torch.version.hip is None:
        return f" (this torch, {torch.__version__}, is built without CUDA)"
    return " that this torch can use"


def _check_precision(device: str, precision: str) -> None:
    if precision == "fp16" and device != "cuda":
        raise DeviceError(f"fp16 needs a CUDA GPU, found {device}. Ask for precision=auto.")
    if precision == "bf16" and not has_fast_bf16(device):
        raise DeviceError(
            f"bf16 was asked for, but this {device} does not compute it in hardware. "
            "Ask for precision=auto or fp32."
        )
