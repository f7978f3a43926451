"""Augmentation of uint8 frames in batches, on the device that holds them.

What is drawn for each image (by :class:`tinbergen.beast.Augmentation` or
:class:`tinbergen.pose.PoseAugmentation`) is applied in one resampling, together with the
normalisation. Every draw keeps its 2x3 matrix, so that keypoints can follow the pixels.

Pixel coordinates are ``(x, y)`` with the centre of the top left pixel at ``(0, 0)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Transforms:
    """What was drawn for ``n`` images.

    Attributes
    ----------
    sampling
        ``(n, 2, 3)``: output pixel -> the input pixel that it is read from.
    mirrored, resampled
        ``(n,)`` booleans: mirrored at all; more than mirrored, so that pixels are interpolated.
    contrast, brightness
        ``(n,)``: gain about mid-gray, and what is added (1 is white).
    """

    sampling: Tensor
    mirrored: Tensor
    resampled: Tensor
    contrast: Tensor
    brightness: Tensor

    @classmethod
    def about_centre(
        cls,
        linear: Tensor,
        shift: Tensor,
        size: tuple[int, int],
        *,
        mirrored: Tensor,
        resampled: Tensor,
        contrast: Tensor,
        brightness: Tensor,
    ) -> Self:
        """Sample ``linear @ (mirrored xy - centre) + centre + shift`` of images of a size.

        Parameters
        ----------
        linear, shift
            ``(n, 2, 2)`` and ``(n, 2)`` px, from output to input.
        size
            ``(height, width)`` px.
        """
        mirror = torch.where(mirrored, -1.0, 1.0)
        linear = torch.stack([linear[..., 0] * mirror[:, None], linear[..., 1]], -1)
        centre = (linear.new_tensor([size[1], size[0]]) - 1) / 2
        offset = centre + shift - linear @ centre
        sampling = torch.cat([linear, offset[..., None]], -1)
        return cls(sampling, mirrored, resampled, contrast, brightness)

    @property
    def matrix(self) -> Tensor:
        """``(n, 2, 3)``: input -> output pixel; a keypoint goes to ``m[:, :2] @ xy + m[:, 2]``."""
        linear = torch.linalg.inv(self.sampling[..., :2])
        return torch.cat([linear, -linear @ self.sampling[..., 2:]], -1)

    def repeat(self, times: int) -> Self:
        """Return the same draws for ``times`` batches in a row: shared by the frames of a pair."""
        return type(self)(
            *(getattr(self, f).repeat(times, *[1] * (getattr(self, f).ndim - 1)) for f in _FIELDS)
        )

    def to(self, device: torch.device | str) -> Self:
        """Return a copy on ``device``."""
        return type(self)(*(getattr(self, f).to(device) for f in _FIELDS))


_FIELDS = ("sampling", "mirrored", "resampled", "contrast", "brightness")


def augment(
    frames: Tensor,
    transforms: Transforms,
    mean: Sequence[float] | Tensor = IMAGENET_MEAN,
    std: Sequence[float] | Tensor = IMAGENET_STD,
) -> Tensor:
    """Transform and normalise a batch.

    Parameters
    ----------
    frames
        ``(n, C, H, W)`` uint8; quickest as ``rows.permute(0, 3, 1, 2)`` of a frame cache.
    transforms
        Draws for the same ``n`` and ``(H, W)``.
    mean, std
        Per channel, on the scale where white is 1. A gray image takes the average of several.

    Returns
    -------
    ``(n, C, H, W)`` float32, ``channels_last`` in memory.
    """
    transforms = transforms.to(frames.device)
    mean, std = _per_channel(mean, frames), _per_channel(std, frames)
    contrast = transforms.contrast[:, None]
    level = 0.5 - 0.5 * contrast + transforms.brightness[:, None]
    return _scale(_moved(frames, transforms), contrast / (255 * std), (level - mean) / std, frames)


def normalise(
    frames: Tensor,
    mean: Sequence[float] | Tensor = IMAGENET_MEAN,
    std: Sequence[float] | Tensor = IMAGENET_STD,
) -> Tensor:
    """Scale ``(n, C, H, W)`` uint8 frames to float32, as :func:`augment` does without a change."""
    mean, std = _per_channel(mean, frames), _per_channel(std, frames)
    ones = torch.ones(len(frames), 1, device=frames.device)
    return _scale(iter(frames), ones / (255 * std), ones * (-mean / std), frames)


def warp(images: Tensor, transforms: Transforms) -> Tensor:
    """Mirror and resample ``(n, C, H, W)`` images of any type bilinearly; outside of them is 0.

    A mirror alone moves whole pixels and is exact. Use it to move a mean image along with its
    frames.
    """
    return torch.stack([image.float() for image in _moved(images, transforms.to(images.device))])


def _moved(images: Tensor, transforms: Transforms) -> Iterator[Tensor]:
    """Yield each ``(C, H, W)`` image mirrored and resampled, as float32 only where interpolated.

    On the CPU one image at a time stays in its caches, and only those that need interpolation
    (40 % of them by default) pay for it. Elsewhere one kernel takes all of them, which is quicker
    than asking the device which.
    """
    if images.device.type != "cpu":
        yield from _resample(images, transforms.sampling)
        return
    resampled, mirrored = transforms.resampled.tolist(), transforms.mirrored.tolist()
    for i, image in enumerate(images):
        if resampled[i]:
            yield _resample_one(image, transforms.sampling[i])
        else:
            yield image.flip(-1) if mirrored[i] else image


def _grid_axes(sampling: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Columns ``(n, W, 2)`` and rows ``(n, H, 2)`` whose sums are the grid of ``grid_sample``.

    Sums are several times quicker than the matrix product of ``affine_grid``.
    """
    x = torch.arange(width, device=sampling.device, dtype=sampling.dtype)
    y = torch.arange(height, device=sampling.device, dtype=sampling.dtype)
    extent = torch.tensor([width, height], device=sampling.device, dtype=sampling.dtype)
    scaled = sampling * (2 / extent)[:, None]
    columns = scaled[:, None, :, 0] * x[:, None]
    rows = scaled[:, None, :, 1] * y[:, None] + (scaled[:, None, :, 2] + 1 / extent - 1)
    return columns, rows


def _resample(images: Tensor, sampling: Tensor) -> Tensor:
    columns, rows = _grid_axes(sampling, images.shape[-2], images.shape[-1])
    return functional.grid_sample(
        images.float(),
        columns[:, None] + rows[:, :, None],
        mode="bilinear",
        padding_mode="zeros",
        align_corners=False,
    )


def _resample_one(image: Tensor, sampling: Tensor) -> Tensor:
    """Resample one ``(C, H, W)`` image on the CPU, where OpenCV is thrice as quick as PyTorch."""
    pixels = np.ascontiguousarray(image.permute(1, 2, 0).float().numpy())
    height, width, _ = pixels.shape
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(pixels, sampling.double().numpy(), (width, height), flags=how)
    return torch.from_numpy(moved.reshape(pixels.shape)).permute(2, 0, 1)


def _scale(images: Iterable[Tensor], gain: Tensor, bias: Tensor, like: Tensor) -> Tensor:
    """``gain * image + bias`` with ``(n, C)`` gains; rows of pixels x channels vectorise best."""
    n, channels, height, width = like.shape
    out = torch.empty((n, height, width * channels), device=like.device)
    gain, bias = gain.repeat(1, width), bias.repeat(1, width)
    for i, image in enumerate(images):
        pixels = image.permute(1, 2, 0).reshape(height, width * channels)
        torch.addcmul(bias[i], pixels.float(), gain[i], out=out[i])
    return out.view(n, height, width, channels).permute(0, 3, 1, 2)


def _per_channel(values: Sequence[float] | Tensor, frames: Tensor) -> Tensor:
    values = torch.as_tensor(values, dtype=torch.float32, device=frames.device)
    return values.mean(0, keepdim=True) if frames.shape[1] == 1 else values
