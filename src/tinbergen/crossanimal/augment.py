"""Random changes of neural and pose windows, of zero mean; pure functions of a generator."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def calcium(
    x: Tensor,
    other: Tensor,
    times: Tensor,
    largest: float,
    decay: tuple[float, float],
    generator: torch.Generator,
) -> Tensor:
    """Add decaying activity of another moment, as a slow indicator leaves it.

    ``x(t) + a exp(-(t - t0) / tau) other``, with ``t0`` the start of the window. ``a`` is uniform
    on +-``largest``, so that the mean stays.

    Parameters
    ----------
    x
        ``(..., time, neuron)`` or images ``(..., time, height, width)``, standardised.
    other
        A frame of the same animal for each window, without the axis of time.
    times
        ``(..., time)`` s from the start of the window; broadcasts.
    largest
        Of the share added.
    decay
        Range of time constants, s.
    """  # fmt: skip
    lead = other.shape[: times.ndim - 1]
    axes = other.ndim - len(lead)
    noise = torch.rand((2, *lead), generator=generator, device=x.device)
    share = largest * (2 * noise[0] - 1)
    tau = decay[0] + (decay[1] - decay[0]) * noise[1]
    curve = share[..., None] * torch.exp(-times / tau[..., None])
    return x + curve.reshape(*curve.shape, *([1] * axes)) * other.unsqueeze(len(lead))


def gain(x: Tensor, amplitude: float, generator: torch.Generator, windows: int = 2) -> Tensor:
    """Scale each window (its first ``windows`` axes) by a factor uniform on 1 +- amplitude."""
    shape = (*x.shape[:windows], *([1] * (x.ndim - windows)))
    return x * (1 + amplitude * _symmetric(shape, x, generator))


def noise(x: Tensor, spread: float, generator: torch.Generator) -> Tensor:
    """Add Gaussian noise of a standard deviation."""
    return x + spread * torch.randn(x.shape, generator=generator, device=x.device)


def kept_neurons(shape: tuple[int, ...], share: float, generator: torch.Generator) -> Tensor:
    """Return factors, 0 for a share that is dropped and ``1 / (1 - share)`` for the rest."""
    keep = torch.rand(shape, generator=generator, device=generator.device) >= share
    return keep / (1 - share)


def shift_images(x: Tensor, largest: int, generator: torch.Generator) -> Tensor:
    """Displace windows ``(..., time, height, width)`` by whole pixels, each by its own; edges repeat.

    Uniform on -largest to largest on each axis.
    """  # noqa: E501
    height, width = x.shape[-2:]
    flat = x.flatten(0, -4)
    by = torch.randint(-largest, largest + 1, (2, len(flat)), generator=generator, device=x.device)
    rows = (torch.arange(height, device=x.device) + by[0][:, None]).clamp(0, height - 1)
    columns = (torch.arange(width, device=x.device) + by[1][:, None]).clamp(0, width - 1)
    item = torch.arange(len(flat), device=x.device)[:, None, None, None]
    time = torch.arange(flat.shape[1], device=x.device)[:, None, None]
    moved = flat[item, time, rows[:, None, :, None], columns[:, None, None, :]]
    return moved.view(x.shape)


def scale_columns(x: Tensor, amplitude: float, generator: torch.Generator) -> Tensor:
    """Scale each column of ``(..., time, column)`` by 1 +- amplitude, the same in a window."""
    return x * (1 + amplitude * _symmetric((*x.shape[:-2], 1, x.shape[-1]), x, generator))


def rotation(degrees: Tensor) -> Tensor:
    """Return matrices ``[[c, -s], [s, c]]``, ``(..., 2, 2)``; points are rows, ``p R``.

    >>> (torch.tensor([[1.0, 0.0]]) @ rotation(torch.tensor(90.0))).round() + 0.0
    tensor([[ 0., -1.]])
    """
    angle = degrees * (math.pi / 180)
    c, s = angle.cos(), angle.sin()
    return torch.stack([torch.stack([c, -s], dim=-1), torch.stack([s, c], dim=-1)], dim=-2)


def rotate(x: Tensor, largest: float, space: int, generator: torch.Generator) -> Tensor:
    """Turn keypoints ``(..., time, keypoint * space)`` about the origin, in the plane of x and y.

    One turn a window, uniform on +-``largest`` degrees.
    """
    degrees = largest * _symmetric(x.shape[:-2], x, generator)
    points = x.unflatten(-1, (-1, space))
    turned = points[..., :2] @ rotation(degrees)[..., None, :, :]
    return torch.cat([turned, points[..., 2:]], dim=-1).flatten(-2)


def mask_stretch(
    n: int, largest: int, shape: tuple[int, ...], generator: torch.Generator
) -> Tensor:
    """Return ``(*shape, n)`` bool, False in a stretch of 0 to ``largest`` in each row."""
    device = generator.device
    width = torch.randint(0, min(largest, n) + 1, shape, generator=generator, device=device)
    start = (torch.rand(shape, generator=generator, device=device) * (n - width + 1)).long()
    at = torch.arange(n, device=device)
    return (at < start[..., None]) | (at >= (start + width)[..., None])


def mirror(x: Tensor, pairs: Tensor, space: int) -> Tensor:
    """Mirror keypoints ``(..., keypoint * space)``: x changes its sign, and sides their points.

    ``pairs`` ``(keypoint,)``: the keypoint of the other side that each one becomes.

    >>> mirror(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), torch.tensor([1, 0]), 2)
    tensor([[-3.,  4., -1.,  2.]])
    """
    points = x.unflatten(-1, (-1, space))[..., pairs, :]
    sign = torch.ones(space, dtype=x.dtype, device=x.device)
    sign[0] = -1
    return (points * sign).flatten(-2)


def _symmetric(shape: tuple[int, ...], like: Tensor, generator: torch.Generator) -> Tensor:
    return 2 * torch.rand(tuple(shape), generator=generator, device=like.device) - 1
