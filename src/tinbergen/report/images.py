"""Turn frames into images that live inside the page."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import cv2
import numpy as np

_QUALITY = 85
_SPRITE_WIDTH = 4096  # px; within what every browser decodes


@dataclass(frozen=True)
class Sprite:
    """Frames of a clip side by side in one image.

    Attributes
    ----------
    uri
        The image as a ``data:`` address.
    columns
        Frames in a row of the sprite.
    width, height
        Size of one frame, px.
    """

    uri: str
    columns: int
    width: int
    height: int


def data_uri(image: np.ndarray, quality: int = _QUALITY) -> str:
    """Encode a uint8 image ``(height, width)`` or ``(height, width, 3)`` RGB as WebP."""
    blue_first = np.ascontiguousarray(image[..., ::-1] if image.ndim == 3 else image)
    _, encoded = cv2.imencode(".webp", blue_first, [cv2.IMWRITE_WEBP_QUALITY, quality])
    return "data:image/webp;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")


def shrink(image: np.ndarray, longest: int) -> np.ndarray:
    """Reduce an image so that its longer side is at most ``longest`` px."""
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return np.asarray(image)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA)


def sprite(frames: np.ndarray, longest: int, quality: int = 75) -> Sprite:
    """Lay frames ``(time, height, width)`` or ``(..., 3)`` row by row into one image."""
    small = [shrink(frame, longest) for frame in frames]
    height, width = small[0].shape[:2]
    columns = min(len(small), max(1, _SPRITE_WIDTH // width))
    rows = -(-len(small) // columns)
    sheet = np.zeros((rows * height, columns * width, *small[0].shape[2:]), np.uint8)
    for i, frame in enumerate(small):
        top, left = i // columns * height, i % columns * width
        sheet[top : top + height, left : left + width] = frame
    return Sprite(data_uri(sheet, quality), columns, width, height)
