"""From a source image to the image that is handed out: colour, region of interest, size."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from tinbergen.errors import ConfigError


@dataclass(frozen=True)
class Geometry:
    """Where each pixel of the output comes from.

    Attributes
    ----------
    roi
        ``(x, y, width, height)`` in px of the source.
    size
        ``(height, width)`` of the output in px.
    inner
        ``(y, x, height, width)`` in px: the part of the output that shows the region; the rest
        is black (letterbox). Without ``keep_aspect`` it is the whole output.
    """

    roi: tuple[int, int, int, int]
    size: tuple[int, int]
    inner: tuple[int, int, int, int]

    @classmethod
    def plan(
        cls,
        width: int,
        height: int,
        roi: tuple[int, int, int, int] | None = None,
        size: tuple[int, int] | None = None,
        keep_aspect: bool = False,
    ) -> Geometry:
        """Plan the way from a ``width`` x ``height`` px image.

        Raises
        ------
        ConfigError
            If the region leaves the image, or a size is not positive.
        """
        x, y, w, h = roi or (0, 0, width, height)
        if w < 1 or h < 1 or x < 0 or y < 0 or x + w > width or y + h > height:
            raise ConfigError(
                f"Expected a region (x, y, width, height) inside the {width} x {height} px image, "
                f"found {roi}."
            )
        out_h, out_w = size or (h, w)
        if out_h < 1 or out_w < 1:
            raise ConfigError(f"Expected size = (height, width) of at least 1 px, found {size}.")
        inner = (0, 0, out_h, out_w)
        if keep_aspect:
            scale = min(out_h / h, out_w / w)
            in_h, in_w = max(1, round(h * scale)), max(1, round(w * scale))
            inner = ((out_h - in_h) // 2, (out_w - in_w) // 2, in_h, in_w)
        return cls((x, y, w, h), (out_h, out_w), inner)

    def apply(self, image: np.ndarray, out: np.ndarray) -> None:
        """Write ``image`` (height, width[, 3]) uint8, cropped and resized, into ``out``.

        Shrinking averages the pixels that fall together (area), so that nothing aliases;
        enlarging is bilinear.
        """
        x, y, w, h = self.roi
        image = image[y : y + h, x : x + w]
        top, left, in_h, in_w = self.inner
        if (h, w) == (in_h, in_w):
            resized = image
        else:
            shrink = in_h < h or in_w < w
            kind = cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
            resized = cv2.resize(image, (in_w, in_h), interpolation=kind)
        if (in_h, in_w) != self.size:
            out[:] = 0
        out[top : top + in_h, left : left + in_w] = resized

    def to_output(self, points: np.ndarray) -> np.ndarray:
        """Map ``points`` (..., 2) = (x, y) from px of the source to px of the output."""
        scale, shift = self._affine()
        return (np.asarray(points, dtype=float) + 0.5) * scale + shift - 0.5

    def to_source(self, points: np.ndarray) -> np.ndarray:
        """Map ``points`` (..., 2) = (x, y) from px of the output to px of the source."""
        scale, shift = self._affine()
        return (np.asarray(points, dtype=float) + 0.5 - shift) / scale - 0.5

    def _affine(self) -> tuple[np.ndarray, np.ndarray]:
        x, y, w, h = self.roi
        top, left, in_h, in_w = self.inner
        scale = np.array([in_w / w, in_h / h])
        return scale, np.array([left, top]) - scale * np.array([x, y])
