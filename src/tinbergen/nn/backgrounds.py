"""The backgrounds that a run keeps, for encoders that see differences to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tinbergen.files import atomic_write

BACKGROUNDS = "backgrounds.npy"


def save_backgrounds(folder: Path, backgrounds: np.ndarray) -> None:
    """Keep ``(videos, H, W, C)`` uint8 in a folder; stills of the same rigs need them."""
    with atomic_write(folder / BACKGROUNDS, "wb") as file:
        np.save(file, backgrounds, allow_pickle=False)


def load_backgrounds(folder: Path) -> np.ndarray | None:
    """Return the backgrounds of the videos that a run was trained on, or None."""
    path = folder / BACKGROUNDS
    return np.load(path, allow_pickle=False) if path.is_file() else None
