"""From uint8 frames to what the network sees, with and without a background."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tinbergen.nn.augment import Transforms, augment, normalise, warp

RESIDUAL_SCALE = 0.226
"""Divides differences to the background, on the scale where white is 1. The usual deviation of
natural images, so that errors compare with those of images normalised the common way."""


def to_input(
    frames: Tensor, background: Tensor | None = None, transforms: Transforms | None = None
) -> Tensor:
    """Normalise a batch, augmented or not.

    Parameters
    ----------
    frames
        ``(N, H, W, C)`` uint8.
    background
        ``(N, H, W, C)`` uint8: the mean image of each frame's video. The difference
        to it is what is augmented and seen, so that a moved frame does not uncover the static
        scene. None normalises by the ImageNet mean and deviation, as published weights expect.
    transforms
        Draws of :meth:`tinbergen.beast.Augmentation.draw`.

    Returns
    -------
    Tensor
        ``(N, C, H, W)`` float32.
    """
    images = frames.permute(0, 3, 1, 2)
    if background is None:
        return normalise(images) if transforms is None else augment(images, transforms)
    residual = images.float() - background.permute(0, 3, 1, 2)
    if transforms is None:
        return residual.div_(255 * RESIDUAL_SCALE)
    # Brightness would be a constant over the whole difference; contrast scales it.
    gain = transforms.contrast.to(frames.device) / (255 * RESIDUAL_SCALE)
    return warp(residual, transforms).mul_(gain[:, None, None, None])


def to_picture(images: Tensor, background: Tensor | None = None) -> np.ndarray:
    """Undo :func:`to_input`: ``(N, C, H, W)`` to ``(N, H, W, C)`` uint8."""
    from tinbergen.nn.augment import IMAGENET_MEAN, IMAGENET_STD

    x = images.permute(0, 2, 3, 1).float().cpu()
    if background is None:
        mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        if x.shape[-1] == 1:
            mean, std = mean.mean(), std.mean()
        pixels = (x * std + mean) * 255
    else:
        pixels = x * 255 * RESIDUAL_SCALE + background.float().cpu()
    return pixels.round().clamp(0, 255).to(torch.uint8).numpy()


def nearest_background(frames: np.ndarray, backgrounds: np.ndarray) -> np.ndarray:
    """Choose the background that a few frames of an unseen source differ from least.

    Parameters
    ----------
    frames
        ``(N, H, W, C)`` uint8 of one source.
    backgrounds
        ``(videos, H, W, C)`` uint8.
    """
    image = np.median(frames, axis=0).astype(np.float32)
    distances = [np.abs(background - image).mean() for background in backgrounds]
    return backgrounds[int(np.argmin(distances))]
