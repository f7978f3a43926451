"""What a change of rate that the linear path foretells is worth, for a unit of this kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tinbergen.nn.poisson import poisson_nll
from tinbergen.population.batch import Batch
from tinbergen.population.linear_path import Change
from tinbergen.population.slots import rows
from tinbergen.population.vocabulary import Vocabulary

TRAITS = ("rate", "slope", "spread", "dispersion")
_INPUTS = 6
_HIDDEN = 64
_START = 0.3
_STEPS, _AT_ONCE, _RATE = (300, 1200), 4096, 1e-2
_PASSES = 0.8  # over what is foretold, where the number of steps allows
_LEAST_RATE = 0.005  # spikes/bin
_FARTHEST = 3.0
_NUMBERS_AT_ONCE = 1_000_000  # what a core keeps in its cache: four times as fast as all at once


class Calibration(nn.Module):
    """A curve from foretold to expected log gain, ``d -> d + f(d around it, certainty, unit)``.

    How far to trust what units tell about each other depends on how many are seen, on a unit's
    rate and on how it fared before, in much the same way in every animal. So f is one small
    perceptron for all units, and what it learns from many animals is there for the next one. It is
    fitted before the first step, and not trained.

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
        self.of_gain = nn.Linear(_INPUTS, _HIDDEN)
        self.of_unit = nn.Linear(len(TRAITS), _HIDDEN, bias=False)
        self.out = nn.Linear(_HIDDEN, 1)
        nn.init.normal_(self.of_gain.weight, std=_START)
        nn.init.normal_(self.of_unit.weight, std=_START)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self.requires_grad_(False)

    def forward(self, change: Change, batch: Batch) -> Tensor:
        """Return the log gain to expect, ``(slot, time, unit)`` float32, for what is foretold."""
        traits = rows(self.unit_traits, batch).repeat_interleave(batch.per_row, dim=0)
        at_once = max(1, _NUMBERS_AT_ONCE // (_HIDDEN * change.log_gain[0].numel()))
        of_units = (values.transpose(1, 2).split(at_once) for values in change)
        parts = zip(*of_units, traits.split(at_once), strict=True)
        return torch.cat([self.of_units(Change(*c), t).transpose(1, 2) for *c, t in parts])

    @torch.no_grad()
    def of_units(self, change: Change, traits: Tensor) -> Tensor:
        """Do the same for ``(..., time)`` of units with these traits ``(..., 4)``."""
        return change.log_gain + self.bend(inputs(change), traits[..., None, :])

    def bend(self, told: Tensor, traits: Tensor) -> Tensor:
        """Return f ``(...)`` of :func:`inputs` ``(..., 6)`` and traits ``(..., 4)``."""
        with torch.autocast(told.device.type, enabled=False):
            # Units unlike all that f was fitted to are taken for the most extreme of these.
            like = ((traits - self.centre) / self.scale).clamp(-_FARTHEST, _FARTHEST)
            return self.out(F.gelu(self.of_gain(told) + self.of_unit(like)))[..., 0]


@dataclass
class Foretold:
    """Counts of hidden units in single bins, and what the linear path foretold of them.

    Attributes
    ----------
    told
        ``(n, 6)``: see :func:`inputs`; the first is the log gain.
    traits
        ``(n, 4)`` of the unit.
    base
        ``(n,)``: log spikes/bin without any gain.
    counts
        ``(n,)``.
    """

    told: Tensor
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
    calibration: Calibration, foretold: Foretold, generator: torch.Generator, rate: float = 1.0
) -> None:
    """Fit f by the Poisson likelihood; a spike of a unit with few counts for more.

    ``rate``: of learning, as a share of the usual. A smaller one stays nearer to the f that is
    there.
    """
    if not len(foretold.counts):  # the masks hide no spikes
        return
    weight = 1 / (foretold.traits[:, 0].exp() + _LEAST_RATE)
    weight = weight / weight.mean()
    at_once = min(_AT_ONCE, len(weight))
    least, most = _STEPS
    steps = min(max(least, round(_PASSES * len(weight) / at_once)), most)
    calibration.requires_grad_(True)
    optimizer = torch.optim.Adam(calibration.parameters(), lr=_RATE)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * _RATE * (1 - step / steps)
        some = torch.randint(len(weight), (at_once,), generator=generator)
        told = foretold.told[some]
        log_rate = foretold.base[some] + told[:, 0]
        log_rate = log_rate + calibration.bend(told, foretold.traits[some])
        loss = (weight[some] * poisson_nll(log_rate, foretold.counts[some])).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    optimizer.zero_grad()
    calibration.requires_grad_(False)


def inputs(change: Change) -> Tensor:
    """Put each log gain of ``(..., time)`` beside the one before, the next, and the mean of all.

    With what is told and left open of it: ``(..., time, 6)``.
    """
    values = change.log_gain
    before = torch.cat([values[..., :1], values[..., :-1]], dim=-1)
    after = torch.cat([values[..., 1:], values[..., -1:]], dim=-1)
    mean = values.mean(dim=-1, keepdim=True).expand_as(values)
    return torch.stack([values, before, after, mean, change.told, change.untold], dim=-1)
