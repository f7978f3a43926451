"""Encoders of neural and pose windows, and the two of them with their projections."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinbergen.crossanimal.config import NetworkConfig, WindowConfig
from tinbergen.nn.dropout import Dropout

_ATTENTION = 12  # hidden units of the pooling
_IMAGE_CHANNELS = (8, 16, 32, 64)


class TraceInput(nn.Module):
    """A linear layer for each animal: the one part that knows its neurons.

    Attributes
    ----------
    weight
        ``(animal, neuron, channel)``, rows beyond an animal's neurons are never used.
    """

    def __init__(self, animals: int, neurons: int, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(animals, neurons, channels) / neurons**0.5)

    def forward(self, x: Tensor, animal: Tensor, keep: Tensor | None = None) -> Tensor:
        """Map ``(animal, ..., neuron)`` of the numbered animals to ``(animal, ..., channel)``.

        ``keep`` ``(animal, neuron)``: factor of each neuron.
        """
        weight = self.weight.index_select(0, animal)  # its gradient costs less than a subscript's
        if keep is not None:
            weight = weight * keep[..., None]
        flat = torch.bmm(x.flatten(1, -2), weight)
        return flat.view(*x.shape[:-1], -1)


class ImageInput(nn.Module):
    """Convolutions over each frame, the same for all animals.

    Frames stand in the batch dimension, channels last; four blocks of 3 x 3 convolution, group
    norm, rectifier and 2 x 2 maximum; the mean over what is left; a linear layer.
    """

    def __init__(self, channels: int):
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for width in _IMAGE_CHANNELS:
            layers += [
                nn.Conv2d(before, width, 3, padding=1),
                # Not of the batch: its statistics would be those of whichever animals are in it.
                nn.GroupNorm(min(8, width // 4), width),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
            before = width
        self.convolutions = nn.Sequential(*layers)
        self.convolutions.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.out = nn.Linear(before, channels)

    def forward(self, x: Tensor, animal: Tensor, keep: Tensor | None = None) -> Tensor:
        """Map ``(..., height, width)`` to ``(..., channel)``; there are no neurons to keep."""
        frames = x.reshape(-1, 1, *x.shape[-2:]).contiguous(memory_format=torch.channels_last)
        pooled = self.convolutions(frames).mean(dim=(2, 3))
        return self.out(pooled).view(*x.shape[:-2], -1)


class AttentionPooling(nn.Module):
    """Weighted mean over time, with weights that depend on what is there.

    Bahdanau et al., arXiv 1409.0473, section A.1.2, without a query.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.score = nn.Sequential(
            nn.Linear(channels, _ATTENTION), nn.Tanh(), nn.Linear(_ATTENTION, 1, bias=False)
        )

    def forward(self, x: Tensor, there: Tensor | None = None) -> Tensor:
        """Map ``(..., time, channel)`` to ``(..., channel)``.

        ``there`` ``(..., time)``: frames that exist; where none does, all count.
        """
        score = self.score(x).squeeze(-1)
        if there is not None:
            hidden = ~there & there.any(dim=-1, keepdim=True)
            score = score.masked_fill(hidden, -torch.inf)
        return (score.softmax(dim=-1)[..., None] * x).sum(dim=-2)


class Convolutions(nn.Module):
    """Two convolutions over time with layer norm, then attention pooling."""

    def __init__(self, channels: int, hidden: int, dropout: float):
        super().__init__()
        self.first = nn.Conv1d(channels, hidden, 3, padding=1)
        self.second = nn.Conv1d(hidden, hidden, 3, padding=1)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(2))
        self.drop = Dropout(dropout)
        self.pool = AttentionPooling(hidden)

    def forward(self, x: Tensor, there: Tensor | None = None) -> Tensor:
        """Map ``(window, time, channel)`` to ``(window, hidden)``."""
        for layer, norm in zip((self.first, self.second), self.norms, strict=True):
            x = self.drop(F.gelu(norm(layer(x.mT).mT)))
        return self.pool(x, there)


class Recurrent(nn.Module):
    """A gated recurrent network, both ways; its last states."""

    def __init__(self, channels: int, hidden: int, dropout: float):
        super().__init__()
        self.gru = nn.GRU(channels, hidden // 2, batch_first=True, bidirectional=True)
        self.drop = Dropout(dropout)

    def forward(self, x: Tensor, there: Tensor | None = None) -> Tensor:
        """Map ``(window, time, channel)`` to ``(window, hidden)``."""
        return self.drop(self.gru(x)[1].transpose(0, 1).flatten(1))


class Perceptron(nn.Module):
    """All frames of a window side by side, and one hidden layer."""

    def __init__(self, length: int, channels: int, hidden: int, dropout: float):
        super().__init__()
        self.layer = nn.Linear(length * channels, hidden)
        self.drop = Dropout(dropout)

    def forward(self, x: Tensor, there: Tensor | None = None) -> Tensor:
        """Map ``(window, time, channel)`` to ``(window, hidden)``."""
        return self.drop(F.gelu(self.layer(x.flatten(1))))


class Linear(nn.Module):
    """All frames of a window side by side, as they are."""

    def __init__(self, dropout: float):
        super().__init__()
        self.drop = Dropout(dropout)

    def forward(self, x: Tensor, there: Tensor | None = None) -> Tensor:
        """Map ``(window, time, channel)`` to ``(window, time * channel)``."""
        return self.drop(x.flatten(1))


class NeuralEncoder(nn.Module):
    """An input layer a frame, then what sees the frames of a window together."""

    def __init__(self, animals: int, neurons: int, network: NetworkConfig, windows: WindowConfig):
        super().__init__()
        width, hidden = network.input, network.hidden
        self.input = TraceInput(animals, neurons, width) if neurons else ImageInput(width)
        if network.temporal == "linear":
            self.body, hidden = Linear(network.dropout), windows.neural * width
        elif network.temporal == "perceptron":
            self.body = Perceptron(windows.neural, width, hidden, network.dropout)
        else:
            kind = Convolutions if network.temporal == "convolution" else Recurrent
            self.body = kind(width, hidden, network.dropout)
        self.out = nn.Linear(hidden, network.output)

    def of_frames(self, frames: Tensor) -> Tensor:
        """Map features of frames ``(..., time, channel)`` to h ``(..., output)``."""
        flat = frames.flatten(0, -3)
        return self.out(self.body(flat)).view(*frames.shape[:-2], -1)


class PoseEncoder(nn.Module):
    """Poses of a window to h; a second set of columns says which were seen, if some are not."""

    def __init__(self, columns: int, network: NetworkConfig, windows: WindowConfig, missing: bool):
        super().__init__()
        self.missing = missing
        channels, hidden = columns * (1 + missing), network.hidden
        if network.pose == "perceptron":
            self.body = Perceptron(windows.pose, channels, hidden, network.dropout)
        else:
            self.body = Convolutions(channels, hidden, network.dropout)
        self.out = nn.Linear(hidden, network.output)

    def forward(self, pose: Tensor, seen: Tensor | None = None) -> Tensor:
        """Map ``(..., time, column)`` to ``(..., output)``.

        ``seen``: bool, as ``pose``; None = everything.
        """
        x, there = pose, None
        if self.missing:
            seen = torch.ones_like(pose, dtype=torch.bool) if seen is None else seen
            x = torch.cat([pose * seen, seen.to(pose.dtype)], dim=-1)
            there = seen.any(dim=-1).flatten(0, -2)
        return self.out(self.body(x.flatten(0, -3), there)).view(*pose.shape[:-2], -1)
