"""The two networks of the TCN encoder: Facemap's, and one whose units have their own filter."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

_FILTERS, _NARROW, _FACEMAP_LATENTS = 10, 50, 256
_HIDDEN = 64


class FacemapNet(nn.Module):
    """Facemap's network from key points to neurons, layer by layer.

    Linear (as many outputs as inputs), ten temporal filters on each of them, rectified, linear to
    50, rectified, linear to 256, rectified; then a linear read-out for each session. The filters
    start as Gabor functions.

    Parameters
    ----------
    columns
        Number of inputs; all sessions share the core, so they have the same.
    units
        Number of outputs of each session.
    taps
        Length of the filters, bins, odd.

    References
    ----------
    Syeda et al., "Facemap", Nature Neuroscience 27, 2024; methods, "Deep neural network".
    """

    def __init__(self, columns: int, units: Sequence[int], taps: int):
        super().__init__()
        self.mix = nn.Linear(columns, columns)
        self.filters = nn.Conv1d(1, _FILTERS, taps, padding=taps // 2, bias=False)
        self.narrow = nn.Linear(columns * _FILTERS, _NARROW)
        self.latents = nn.Linear(_NARROW, _FACEMAP_LATENTS)
        self.readouts = nn.ModuleList(nn.Linear(_FACEMAP_LATENTS, n) for n in units)
        with torch.no_grad():
            self.filters.weight.copy_(gabor_filters(taps)[:, None])

    def forward(self, x: Tensor, session: int, inside: Tensor | None = None) -> Tensor:
        """Return ``(batch, time, unit)`` from ``x`` ``(batch, time, column)``.

        ``inside`` ``(batch, time)`` bool says which bins exist; the others count as zero.
        """
        batch, time, columns = x.shape
        mixed = _only(self.mix(x), inside).transpose(1, 2).reshape(-1, 1, time)
        filtered = self.filters(mixed).reshape(batch, columns * _FILTERS, time).transpose(1, 2)
        hidden = F.relu(self.narrow(F.relu(filtered)))
        return self.readouts[session](F.relu(self.latents(hidden)))

    def roughness(self) -> Tensor:
        """Sum of squared differences of neighbouring taps, which Facemap penalises."""
        return self.filters.weight.diff(dim=-1).square().sum()


def gabor_filters(taps: int) -> Tensor:
    """Return the filters that Facemap starts from, ``(10, taps)``, each of unit norm.

    A Gaussian of deviation 1 over one turn, times a cosine of 1 to 10 periods (five, in geometric
    steps) in the phases 0 and pi/2.
    """
    turn = np.linspace(0, 2 * np.pi, taps, endpoint=False)
    turn -= turn.mean()
    frequencies = np.geomspace(1, 10, _FILTERS // 2)[:, None]
    waves = [np.cos(phase + frequencies * turn) for phase in (0, np.pi / 2)]
    filters = np.exp(-(turn**2) / 2) * np.concatenate(waves)
    return torch.from_numpy(filters / np.linalg.norm(filters, axis=1, keepdims=True)).float()


class SeparableNet(nn.Module):
    """Few latents for all units; each unit weighs them and filters the sum over time itself.

    Latents are linear in the inputs plus what a small perceptron adds; a unit has ``n_latents``
    weights and ``taps`` filter values for each of its ``filters`` terms, instead of
    ``columns x taps`` of a full lagged model. With several sessions the perceptron's second half
    is shared.

    Parameters
    ----------
    columns, units
        Number of inputs and outputs of each session.
    n_latents
        Number of latents.
    filters
        Number of terms of each unit.
    taps
        Length of the filters, bins, odd.
    """

    def __init__(
        self,
        columns: Sequence[int],
        units: Sequence[int],
        n_latents: int,
        filters: int,
        taps: int,
    ):
        super().__init__()
        self.terms = filters
        self.linear = nn.ModuleList(nn.Linear(c, n_latents, bias=False) for c in columns)
        self.inputs = nn.ModuleList(nn.Linear(c, _HIDDEN) for c in columns)
        self.shared = nn.Linear(_HIDDEN, n_latents)
        self.weights = nn.ModuleList(nn.Linear(n_latents, n * filters, bias=False) for n in units)
        self.filters = nn.ParameterList(_bumps(n * filters, taps) for n in units)
        self.biases = nn.ParameterList(torch.zeros(n) for n in units)
        for weights in self.weights.parameters():
            nn.init.normal_(weights, std=0.05 / n_latents**0.5)

    def forward(self, x: Tensor, session: int, inside: Tensor | None = None) -> Tensor:
        """Return ``(batch, time, unit)`` from ``x`` ``(batch, time, column)``.

        ``inside`` ``(batch, time)`` bool says which bins exist; the others count as zero.
        """
        latents = self.linear[session](x) + self.shared(F.gelu(self.inputs[session](x)))
        drive = self.weights[session](_only(latents, inside))  # (batch, time, unit * term)
        filters = self.filters[session]
        # A depthwise convolution of channels that lie last in memory: 2-D, as only that is fast.
        image = drive.transpose(1, 2).unsqueeze(2)
        taps = filters.shape[1]
        filtered = F.conv2d(
            image, filters[:, None, None], padding=(0, taps // 2), groups=len(filters)
        )
        terms = filtered.squeeze(2).transpose(1, 2)
        if self.terms > 1:
            terms = terms.unflatten(2, (-1, self.terms)).sum(dim=3)
        return terms + self.biases[session]


def weights_of_session(network: nn.Module, session: int) -> dict[str, Tensor]:
    """Return the weights of a network that has only one of its sessions."""
    weights = {}
    for name, value in network.state_dict().items():
        layer = re.fullmatch(r"(\w+)\.(\d+)(\.\w+)?", name)  # a list has an item a session
        if layer is None:
            weights[name] = value
        elif int(layer[2]) == session:
            weights[f"{layer[1]}.0{layer[3] or ''}"] = value
    return weights


def _bumps(n: int, taps: int) -> nn.Parameter:
    """Return filters of unit norm around lag 0, two bins wide, with a little noise."""
    bump = torch.exp(-0.5 * ((torch.arange(taps) - taps // 2) / 2.0) ** 2)
    return nn.Parameter(bump / bump.norm() + 0.1 * torch.randn(n, taps))


def _only(x: Tensor, inside: Tensor | None) -> Tensor:
    return x if inside is None else x * inside[..., None]
