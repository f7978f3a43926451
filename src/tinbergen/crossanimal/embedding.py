"""Features of a whole recording, frame by frame."""

from __future__ import annotations

import warnings
from typing import Literal, cast

import numpy as np
import torch

from tinbergen.crossanimal.config import CrossAnimalConfig
from tinbergen.crossanimal.encoders import TraceInput
from tinbergen.crossanimal.network import CrossAnimalNet, Member
from tinbergen.crossanimal.pairs import Animal, segment_bounds, window
from tinbergen.crossanimal.tables import image_moments, standardised
from tinbergen.errors import DataError

_FRAMES = 4096  # traces, or windows, at once
_IMAGES = 256


@torch.no_grad()
def embed(
    net: CrossAnimalNet, animal: Animal, config: CrossAnimalConfig, space: Literal["h", "z"]
) -> np.ndarray:
    """Return ``(time, members * output)`` float32 of one animal.

    NaN for frames of no segment, and for those without any known neuron, which are counted in a
    warning. Each frame goes through the input layer once, then its windows are put together.
    """
    if lost := int((animal.segment >= 0).sum() - animal.used.sum()):
        warnings.warn(
            f"Animal {animal.name!r}: no neuron is known in {lost} of {len(animal)} frames; their "
            "features are NaN.",
            stacklevel=3,
        )
    read = _images if animal.images else _traces
    members = [cast("Member", member) for member in net.members]
    parts = [_of_member(m, read(net, m, animal), animal, config, space) for m in members]
    return np.concatenate(parts, axis=1)


def _of_member(
    member: Member,
    frames: torch.Tensor,
    animal: Animal,
    config: CrossAnimalConfig,
    space: Literal["h", "z"],
) -> np.ndarray:
    first, last = segment_bounds(animal.segment)
    used = np.flatnonzero(animal.used)
    windows = config.windows
    values = np.full((len(animal), config.network.output), np.nan, np.float32)
    for start in range(0, len(used), _FRAMES):
        rows = used[start : start + _FRAMES]
        at = window(rows, windows.neural, windows.neural_stride)
        at = np.clip(at, first[rows][:, None], last[rows][:, None])
        h = member.neural.of_frames(frames[torch.from_numpy(at)])
        values[rows] = (h if space == "h" else member.head(h)).numpy()
    return values


def _traces(net: CrossAnimalNet, member: Member, animal: Animal) -> torch.Tensor:
    shape = net.shape
    if animal.name not in shape.names:
        raise DataError(
            f"The model has no input layer for {animal.name!r}; it knows "
            f"{', '.join(shape.names[:5])}. Call adapt with it first."
        )
    i = shape.names.index(animal.name)
    neurons = animal.neural.shape[1]
    if neurons != shape.neurons[i]:
        raise DataError(
            f"Animal {animal.name!r}: expected {shape.neurons[i]} neurons as in training, found "
            f"{neurons}."
        )
    mean, scale = net.mean[i, :neurons].numpy(), net.scale[i, :neurons].numpy()
    weight = cast("TraceInput", member.neural.input).weight[i, :neurons]
    parts = []
    for start in range(0, len(animal), _FRAMES):
        x = standardised(animal.neural[start : start + _FRAMES], mean, scale)
        parts.append(torch.from_numpy(x) @ weight)
    return torch.cat(parts)


def _images(net: CrossAnimalNet, member: Member, animal: Animal) -> torch.Tensor:
    """Frames of images; an animal that is new is measured by itself."""
    if max(net.shape.neurons):
        raise DataError(f"Animal {animal.name!r}: expected traces, found images.")
    if animal.name in net.shape.names:
        i = net.shape.names.index(animal.name)
        mean, scale = net.mean[i].numpy(), net.scale[i].numpy()
    else:
        mean, scale = image_moments(animal)
    nobody = torch.zeros(1, dtype=torch.long)
    parts = []
    for start in range(0, len(animal), _IMAGES):
        images = (np.asarray(animal.neural[start : start + _IMAGES], np.float32) - mean) / scale
        images = np.nan_to_num(images, nan=0.0, posinf=0.0, neginf=0.0)
        parts.append(member.neural.input(torch.from_numpy(images), nobody))
    return torch.cat(parts)
