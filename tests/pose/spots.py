"""Frames with two round spots, whose places are known to a fraction of a pixel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

SIZE = (60, 80)  # height, width, px
NAMES = ("spot", "dot")
SMALL: dict[str, Any] = {
    "longest": 96,
    "conv": {"widths": [8, 16, 16], "merged": 16},
    "augment": {"rotation": 5.0},
    "train": {
        "steps": 120, "batch_size": 8, "device": "cpu", "precision": "fp32",
        "tensorboard": False, "validate_every": 30, "checkpoint_every": 30, "log_every": 10,
    },
}  # fmt: skip


def picture(places: np.ndarray, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Draw spots around ``(2, 2)`` px; pixel centres are whole numbers."""
    image = np.full(size, 40, np.uint8)
    for (x, y), radius, gray in zip(places, (4, 3), (220, 120), strict=True):
        centre = (round(x * 256), round(y * 256))
        cv2.circle(image, centre, radius * 256, gray, cv2.FILLED, cv2.LINE_AA, 8)
    return image


def write_project(
    folder: Path, n: int = 24, *, folders: int = 1, size: tuple[int, int] = SIZE, seed: int = 0
) -> Path:
    """Write a Lightning Pose project of ``n`` frames in several folders, and its table."""
    rng = np.random.default_rng(seed)
    lines = ["scorer,me,me,me,me", "bodyparts,spot,spot,dot,dot", "coords,x,y,x,y"]
    for number in range(n):
        places = rng.uniform(8, [size[1] - 9, size[0] - 9], (2, 2))
        name = f"labeled-data/video{number % folders}/img{number:03d}.png"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), picture(places, size))
        lines.append(",".join([name, *map(repr, places.ravel().tolist())]))
    (folder / "CollectedData.csv").write_text("\n".join(lines) + "\n")
    return folder
