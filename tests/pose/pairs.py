"""Frames with two look-alikes, each a bright head, a dim tail, and a middle to one side."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from tinbergen.recordings import Keypoints

SIZE = (96, 128)  # height, width, px
NAMES = ("head", "middle", "tail")
ALONG, ASIDE = np.array([9.0, 0.0, -9.0]), np.array([0.0, 7.0, 0.0])  # px of the body
GRAYS = (255, 190, 130)
PAIR: dict[str, Any] = {
    "longest": 128,
    "conv": {"widths": [8, 16, 24, 24], "merged": 24},
    "train": {
        "steps": 200, "batch_size": 6, "device": "cpu", "precision": "fp32", "learning_rate": 4e-3,
        "tensorboard": False, "validate_every": 50, "checkpoint_every": 50, "log_every": 25,
    },
}  # fmt: skip


def walks(n: int, seed: int = 0) -> np.ndarray:
    """Places of two animals that wander through an image, ``(time, 2, 3, 2)`` px."""
    rng = np.random.default_rng(seed)
    heading = rng.uniform(0, 6.3, 2) + rng.normal(0, 0.15, (n, 2)).cumsum(axis=0)
    step = 2 * np.stack([np.cos(heading), np.sin(heading)], axis=-1)
    low, extent = 14, np.array([SIZE[1] - 28, SIZE[0] - 28])
    # Reflected at the walls.
    place = (step.cumsum(axis=0) + rng.uniform(0, 1, (2, 2)) * extent) % (2 * extent)
    flipped = place > extent
    centre = np.where(flipped, 2 * extent - place, place) + low
    along = np.where(flipped, -1, 1) * np.stack([np.cos(heading), np.sin(heading)], axis=-1)
    aside = along[..., ::-1] * np.array([-1, 1])
    body = ALONG[:, None] * along[:, :, None] + ASIDE[:, None] * aside[:, :, None]
    return centre[:, :, None] + body


def picture(animals: np.ndarray) -> np.ndarray:
    """Draw ``(animal, 3, 2)`` px."""
    image = np.full(SIZE, 30, np.uint8)
    for points in animals:
        for (x, y), gray in zip(points, GRAYS, strict=True):
            centre = (round(x * 256), round(y * 256))
            cv2.circle(image, centre, 4 * 256, gray, cv2.FILLED, cv2.LINE_AA, 8)
    return image


def film(places: np.ndarray) -> tuple[np.ndarray, Keypoints]:
    """Frames ``(time, height, width)`` at 25 Hz, and the truth about them."""
    times = np.arange(len(places)) / 25
    truth = Keypoints(times, places, None, NAMES, ("a", "b"))  # type: ignore[arg-type]
    return np.stack([picture(each) for each in places]), truth
