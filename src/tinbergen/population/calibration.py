"""What a change of rate that the linear path foretells is worth, for a unit of this kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tinbergen.nn.poisson import poisson_nll
from tinbergen.population.batch import Batch
from tinbergen.population.slots import rows
from tinbergen.population.vocabulary import Vocabulary

TRAITS = ("rate", "slope", "spread", "dispersion")
_AROUND = 4
_HIDDEN = 16
_START = 0.3
_STEPS, _AT_ONCE, _RATE = 300, 4096, 1e-2
_LEAST_RATE = 0.005  # spikes/bin
_FARTHEST = 3.0
_NUMBERS_AT_ONCE = 64_000_000


class Calibration(nn.Module):
    """A curve from foretold to expected log gain, ``d -> d + f(d around it, traits of the unit)``.

    How far to trust what units tell about each other depends on a unit's rate and on how it fared
    before, in much the same way in every animal. So f is one small perceptron for all units, and
    what it learns from many animals is there for the next one. It is fitted before the first step,
    and not trained.

    Buffers: ``unit_traits`` ``(block, unit, 4)``, measured by
    :func:`~tinbergen.population.start.describe_units`; ``centre`` and ``scale`` ``(4,)``, their
    mean and spread over the units that f was first fitted to.
    """

    unit_traits: Tensor
    centre: Tensor
    scale: Tensor

    def __init__(self, vocabulary: Vocabulary):
        super().__init__()
        self.register_buffer("unit_traits", torch.zeros(*vocabulary.rates.shape, len(TRAITS)))
        self.register_buffer("centre", torch.zeros(len(TRAITS)))
        self.register_buffer("scale", torch.ones(len(TRAITS)))
        self.of_gain = nn.Linear(_AROUND, _HIDDEN)
        self.of_unit = nn.Linear(len(TRAITS), _HIDDEN, bias=False)
        self.out = nn.Linear(_HIDDEN, 1)
        nn.init.normal_(self.of_gain.weight, std=_START)
        nn.init.normal_(self.of_unit.weight, std=_START)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self.requires_grad_(False)

    def forward(self, log_gain: Tensor, batch: Batch) -> Tensor:
        """Return the log gain to expect, ``(slot, time, unit)`` float32, for the one foretold."""
        traits = rows(self.unit_traits, batch).repeat_interleave(batch.per_row, dim=0)
        at_once = max(1, _NUMBERS_AT_ONCE // (_HIDDEN * log_gain[0].numel()))
        parts = zip(log_gain.split(at_once), traits.split(at_once), strict=True)
        return torch.cat([self.of_units(g.transpose(1, 2), t).transpose(1, 2) for g, t in parts])

    @torch.no_grad()
    def of_units(self, log_gain: Tensor, traits: Tensor) -> Tensor:
        """Do the same for ``(..., time)`` of units with these traits ``(..., 4)``."""
        return log_gain + self.bend(around(log_gain), traits[..., None, :])

    def bend(self, gains: Tensor, traits: Tensor) -> Tensor:
        """Return f ``(...)`` of :func:`around` ``(..., 4)`` and traits ``(..., 4)``."""
        with torch.autocast(gains.device.type, enabled=False):
            # Units unlike all that f was fitted to are taken for the most extreme of these.
            like = ((traits - self.centre) / self.scale).clamp(-_FARTHEST, _FARTHEST)
            return self.out(F.gelu(self.of_gain(gains) + self.of_unit(like)))[..., 0]


@dataclass
class Foretold:
    """Counts of hidden units in single bins, and what the linear path foretold of them.

    Attributes
    ----------
    gains
        ``(n, 4)``: see :func:`around`.
    traits
        ``(n, 4)`` of the unit.
    base
        ``(n,)``: log spikes/bin without any gain.
    counts
        ``(n,)``.
    """

    gains: Tensor
    traits: Tensor
    base: Tensor
    counts: Tensor

    @classmethod
    def of(cls, parts: Sequence[Foretold]) -> Foretold:
        """Join parts."""
        return cls(
            *(torch.cat(each) for each in zip(*(vars(p).values() for p in parts), strict=True))
        )


def fit_calibration(
    calibration: Calibration, foretold: Foretold, generator: torch.Generator
) -> None:
    """Fit f by the Poisson likelihood; a spike of a unit with few counts for more."""
    if not len(foretold.counts):  # the masks hide no spikes
        return
    weight = 1 / (foretold.traits[:, 0].exp() + _LEAST_RATE)
    weight = weight / weight.mean()
    at_once = min(_AT_ONCE, len(weight))
    calibration.requires_grad_(True)
    optimizer = torch.optim.Adam(calibration.parameters(), lr=_RATE)
    for step in range(_STEPS):
        optimizer.param_groups[0]["lr"] = _RATE * (1 - step / _STEPS)
        some = torch.randint(len(weight), (at_once,), generator=generator)
        gains = foretold.gains[some]
        log_rate = foretold.base[some] + gains[:, 0]
        log_rate = log_rate + calibration.bend(gains, foretold.traits[some])
        loss = (weight[some] * poisson_nll(log_rate, foretold.counts[some])).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    optimizer.zero_grad()
    calibration.requires_grad_(False)


def around(values: Tensor) -> Tensor:
    """Put each of ``(..., time)`` beside the one before, the next, and the mean of all."""
    before = torch.cat([values[..., :1], values[..., :-1]], dim=-1)
    after = torch.cat([values[..., 1:], values[..., -1:]], dim=-1)
    mean = values.mean(dim=-1, keepdim=True).expand_as(values)
    return torch.stack([values, before, after, mean], dim=-1)
