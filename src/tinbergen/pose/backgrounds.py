"""Backgrounds of labelled stills, for encoders that see differences to them."""

from __future__ import annotations

import cv2
import numpy as np

from tinbergen.files import atomic_write
from tinbergen.nn.pixels import nearest_background
from tinbergen.pose.labels import LabelledImages
from tinbergen.training import RunFolder

_FILE = "backgrounds.npy"


def still_backgrounds(images: LabelledImages, bank: np.ndarray | None) -> np.ndarray | None:
    """Choose a background for each labelled image: of all, the one its folder differs from least.

    Parameters
    ----------
    bank
        ``(videos, H, W, C)`` uint8 of the videos that the encoder was trained on.

    Returns
    -------
    ``(n, height, width, C)`` uint8, or None where none is needed.
    """
    if bank is None:
        return None
    height, width = images.images.shape[1:3]
    resized = np.stack([_resized(background, height, width) for background in bank])
    chosen = np.empty(images.images.shape, np.uint8)
    for folder in np.unique(images.groups):
        rows = np.flatnonzero(images.groups == folder)
        chosen[rows] = nearest_background(images.images[rows], resized)
    return chosen


def _resized(background: np.ndarray, height: int, width: int) -> np.ndarray:
    if background.shape[:2] == (height, width):
        return background
    small = cv2.resize(background, (width, height), interpolation=cv2.INTER_AREA)
    return small.reshape(height, width, -1)


def save_backgrounds(run: RunFolder, bank: np.ndarray) -> None:
    """Keep the encoder's backgrounds with the run: stills are predicted on with them."""
    with atomic_write(run.path / _FILE, "wb") as file:
        np.save(file, bank, allow_pickle=False)


def load_backgrounds(run: RunFolder) -> np.ndarray | None:
    """Return the backgrounds of a run, or None."""
    path = run.path / _FILE
    return np.load(path, allow_pickle=False) if path.is_file() else None
