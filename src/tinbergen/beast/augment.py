"""What BEAST draws for an image: mirror, crop or pad, rotation, brightness and contrast.

Applied by :mod:`tinbergen.nn.augment`.
"""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor

from tinbergen.configuration import Config
from tinbergen.nn.augment import Transforms


class Augmentation(Config):
    """What is drawn for an image. The defaults are those of BEAST's ``default`` pipeline.

    Attributes
    ----------
    flip
        Probability of a left-right mirror.
    crop
        Probability that the four sides are cropped or padded (with black), each by its own
        ``U(-crop_range, crop_range)`` times the width or height; the result is stretched back.
    crop_range
        Largest share of the width or height that a side moves by.
    rotation
        Rotation about the centre by ``U(-rotation, rotation)`` degrees.
    brightness
        Added to all pixels: ``U(-brightness, brightness)``, where 1 is white.
    contrast
        Distance to mid-gray is multiplied by ``U(1 - contrast, 1 + contrast)``.
    """

    flip: float = Field(default=0.5, ge=0, le=1)
    crop: float = Field(default=0.4, ge=0, le=1)
    crop_range: float = Field(default=0.15, ge=0, lt=0.5)
    rotation: float = Field(default=0.0, ge=0, le=180)
    brightness: float = Field(default=0.0, ge=0, le=1)
    contrast: float = Field(default=0.0, ge=0, lt=1)

    def draw(self, n: int, size: tuple[int, int], generator: torch.Generator) -> Transforms:
        """Draw ``n`` transforms of images of ``size = (height, width)`` px.

        The numbers come from ``generator`` alone and live on its device.
        """
        device = generator.device

        def uniform(*shape: int) -> Tensor:
            return torch.rand(n, *shape, generator=generator, device=device)

        mirrored = uniform() < self.flip
        cropped = uniform() < self.crop
        sides = (2 * uniform(4) - 1) * self.crop_range * cropped[:, None]  # left right top bottom
        angle = (2 * uniform() - 1) * math.radians(self.rotation)
        contrast = 1 + (2 * uniform() - 1) * self.contrast
        brightness = (2 * uniform() - 1) * self.brightness

        left, right, top, bottom = sides.unbind(1)
        scale = torch.stack([1 + left + right, 1 + top + bottom], 1)
        cos, sin = angle.cos(), angle.sin()
        linear = torch.stack([cos, -sin, sin, cos], 1).view(n, 2, 2) * scale[:, :, None]
        extent = torch.tensor([size[1], size[0]], dtype=torch.float32, device=device)
        shift = torch.stack([right - left, bottom - top], 1) * extent / 2
        return Transforms.about_centre(
            linear,
            shift,
            size,
            mirrored=mirrored,
            resampled=cropped | (angle != 0),
            contrast=contrast,
            brightness=brightness,
        )


AUGMENTATIONS = {
    "none": Augmentation(flip=0, crop=0),
    "default": Augmentation(),
    "top-down": Augmentation(rotation=180),
}
