"""Backgrounds of labelled stills, for encoders that see differences to them."""

from __future__ import annotations

import cv2
import numpy as np

from tinbergen.nn.pixels import nearest_background
from tinbergen.pose.labels import LabelledImages


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
