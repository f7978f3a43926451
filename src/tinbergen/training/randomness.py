"""Randomness as a pure function of (seed, what for): nothing depends on what was drawn before."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive_seed(seed: int, *path: int | str) -> int:
    """Return a 63-bit seed for the purpose that ``path`` names.

    SHA-256 of the text, so it is the same on every machine and in every version.

    Examples
    --------
    >>> derive_seed(0, "step", 1) == derive_seed(0, "step", 1) != derive_seed(0, "step", 2)
    True
    """
    text = "/".join(f"{type(part).__name__}:{part}" for part in (int(seed), *path))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def numpy_generator(seed: int, *path: int | str) -> np.random.Generator:
    """Return a numpy generator for the purpose that ``path`` names."""
    return np.random.Generator(np.random.PCG64(derive_seed(seed, *path)))


def torch_generator(seed: int, *path: int | str, device: object = "cpu") -> torch.Generator:
    """Return a torch generator on ``device`` for the purpose that ``path`` names."""
    import torch

    generator = torch.Generator(device=device)  # type: ignore[arg-type]
    generator.manual_seed(derive_seed(seed, *path))
    return generator


def reseed_everything(seed: int, *path: int | str) -> None:
    """Seed the global generators of Python, numpy and torch, from which dropout draws."""
    import torch

    derived = derive_seed(seed, *path)
    random.seed(derived)
    np.random.seed(derived % 2**32)  # noqa: NPY002
    # Not torch.manual_seed: before CUDA is initialised it formats a traceback at every call.
    torch.default_generator.manual_seed(derived)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(derived)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(derived)


@contextmanager
def caller_randomness_kept() -> Iterator[None]:
    """Give the caller's global generators back as they were: training reseeds them each step."""
    import torch

    python, legacy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002
        torch.set_rng_state(cpu)
        if gpus is not None:
            torch.cuda.set_rng_state_all(gpus)
