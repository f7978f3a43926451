"""How labelled frames are varied in training, and how their keypoints follow."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor

from tinbergen.configuration import Config
from tinbergen.nn.augment import Transforms


class PoseAugmentation(Config):
    """What is drawn for a labelled frame, anew at every step."""

    rotation: float = Field(default=15.0, ge=0, le=180)
    """About the centre, by ``U(-rotation, rotation)`` degrees."""
    scale: float = Field(default=0.15, ge=0, lt=1)
    """Larger or smaller by a factor of ``exp(U(-scale, scale))``."""
    shift: float = Field(default=0.06, ge=0, lt=0.5)
    """Both ways by ``U(-shift, shift)`` times the width or height."""
    flip: float = Field(default=0.0, ge=0, le=1)
    """Probability of a left-right mirror; the names of left and right keypoints are exchanged.
    For animals seen from above or below; in a side view a mirrored left is no right."""
    brightness: float = Field(default=0.1, ge=0, le=1)
    """Added to all pixels: ``U(-brightness, brightness)``, where 1 is white."""
    contrast: float = Field(default=0.2, ge=0, lt=1)
    """Distance to mid-gray times ``U(1 - contrast, 1 + contrast)``."""
    noise: float = Field(default=0.01, ge=0, le=1)
    """Standard deviation of what is added to each pixel, where 1 is white."""

    def draw(self, n: int, size: tuple[int, int], generator: torch.Generator) -> Transforms:
        """Draw ``n`` transforms of images of ``size = (height, width)`` px.

        The numbers come from ``generator`` alone and live on its device.
        """
        device = generator.device

        def symmetric(*shape: int) -> Tensor:
            return 2 * torch.rand(n, *shape, generator=generator, device=device) - 1

        angle = math.radians(self.rotation) * symmetric()
        factor = torch.exp(self.scale * symmetric())
        extent = torch.tensor([size[1], size[0]], dtype=torch.float32, device=device)
        shift = self.shift * symmetric(2) * extent
        mirrored = (symmetric() + 1) / 2 < self.flip
        contrast = 1 + self.contrast * symmetric()
        brightness = self.brightness * symmetric()
        # Output pixel -> input pixel, so everything is the other way round.
        cos, sin = angle.cos() / factor, angle.sin() / factor
        linear = torch.stack([cos, -sin, sin, cos], 1).view(n, 2, 2)
        moved = bool(self.rotation or self.scale or self.shift)
        return Transforms.about_centre(
            linear,
            shift,
            size,
            mirrored=mirrored,
            resampled=torch.full((n,), moved, device=device),
            contrast=contrast,
            brightness=brightness,
        )


def move_keypoints(positions: Tensor, transforms: Transforms, swap: Tensor) -> Tensor:
    """Let keypoints follow the pixels of their images.

    Parameters
    ----------
    positions
        ``(n, keypoint, 2)`` px; NaN stays NaN.
    transforms
        Of the ``n`` images.
    swap
        ``(keypoint,)``: whose place each keypoint takes in a mirrored image, see
        :func:`mirror_names`.
    """
    matrix = transforms.matrix
    moved = positions @ matrix[:, :, :2].transpose(1, 2) + matrix[:, None, :, 2]
    return torch.where(transforms.mirrored[:, None, None], moved[:, swap], moved)


def move_back(positions: Tensor, transforms: Transforms, swap: Tensor) -> Tensor:
    """Undo :func:`move_keypoints`: from transformed images to the images as they were."""
    named = torch.where(transforms.mirrored[:, None, None], positions[:, swap], positions)
    sampling = transforms.sampling
    return named @ sampling[:, :, :2].transpose(1, 2) + sampling[:, None, :, 2]


_SIDES = (("left", "right"), ("l", "r"))


def mirror_names(names: tuple[str, ...]) -> list[int]:
    """Find for each keypoint its counterpart on the other side, or itself.

    Counterparts have the same name but for ``left`` and ``right``, or for a single ``l`` and ``r``
    that stands by itself (``paw_l``, ``ear.R``, ``LHip`` beside ``RHip``), in any case.

    Examples
    --------
    >>> mirror_names(("nose", "left_ear", "right_ear", "paw_L", "paw_R"))
    [0, 2, 1, 4, 3]
    """
    places = {name.lower(): i for i, name in enumerate(names)}
    pairs = list(range(len(names)))
    for i, name in enumerate(names):
        for other in _mirrored_spellings(name.lower()):
            if other in places and pairs[i] == i:
                pairs[i] = places[other]
    return [j if pairs[j] == i else i for i, j in enumerate(pairs)]


def _mirrored_spellings(name: str) -> list[str]:
    """All names that the counterpart of ``name`` might have."""
    found = []
    for pair in _SIDES:
        for one, other in (pair, pair[::-1]):
            start = name.find(one)
            while start >= 0:
                found.append(name[:start] + other + name[start + len(one) :])
                start = name.find(one, start + 1)
    return found
