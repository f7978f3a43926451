"""What is hidden from the network, and which of it is scored.

A scheme decides for every sample of a batch by itself. All of them hide whole units (for the
length of the window), whole bins (of all units), or both, so that a mask is two small arrays and
not one number a count:

=============  =================================  ======================  =====================
scheme         spikes hidden                      scored                  behaviours hidden
=============  =================================  ======================  =====================
encoding       all                                all units               a random part of them
decoding       none                               --                      all
self_spikes    random bins                        all units               none
self_behavior  none                               --                      random bins, each
                                                                          behaviour by itself
cross          random bins                        all units               the same bins
neuron         random units                       these                   (*)
intra_region   outside of one region; in it       random units within     (*)
               random units
inter_region   one region                         its units               (*)
temporal       random bins                        all units               (*)
future         the last bins                      all units               the last bins, and (*)
block          bins in a row                      all units               the same bins, and (*)
=============  =================================  ======================  =====================

(*) each behaviour is hidden as a whole with probability 1/2 and then not scored, so that the
network learns to do without it. Static behaviours (one value a window) are hidden with the
probability of a bin in ``self_behavior`` and ``cross``, and with the future.

The first five are NEDS' (Zhang et al. 2025, arXiv 2504.08201, figure 2; ``cross`` is its
``random_token``), ``neuron`` to ``temporal`` are MtM's (Zhang et al. 2024, arXiv 2407.14668,
section 3.2), where ``future`` takes the place of their causal mask: it is what is asked at test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tinbergen.population.batch import Batch

SHOWN = 0.5
"""Probability that a behaviour is visible while spikes are predicted from spikes."""


@dataclass
class Hidden:
    """One mask for each sample of a batch.

    Attributes
    ----------
    units
        ``(slot, unit)`` bool: hidden for the whole window.
    bins
        ``(sample, time)`` bool: hidden in all units.
    scored
        ``(slot, unit)`` bool: units whose hidden counts are predicted for the loss.
    values
        Modality -> ``(sample, time)``, or ``(sample,)`` for a static one; bool, hidden.
    values_scored
        The same shapes: of what is hidden, what is predicted for the loss.
    """

    units: Tensor
    bins: Tensor
    scored: Tensor
    values: dict[str, Tensor] = field(default_factory=dict)
    values_scored: dict[str, Tensor] = field(default_factory=dict)

    def counts(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return which counts are visible and which are scored, ``(slot, time, unit)`` bool."""
        hidden = self.units[:, None, :] | self.bins[batch.sample][:, :, None]
        present = batch.present[:, None, :]
        return present & ~hidden, present & hidden & self.scored[:, None, :]


def nothing_hidden(batch: Batch) -> Hidden:
    """Return a mask that hides and scores nothing."""
    device, time = batch.counts.device, batch.counts.shape[1]
    none = {name: torch.zeros_like(there) for name, there in batch.there.items()}
    return Hidden(
        torch.zeros_like(batch.present),
        torch.zeros(batch.n_samples, time, dtype=torch.bool, device=device),
        batch.present.clone(),
        none,
        dict(none),
    )


@dataclass
class Draw:
    """Random numbers for one batch, and how much each sample hides.

    Attributes
    ----------
    ratio
        ``(sample,)`` share of units or bins to hide.
    future
        Number of bins at the end that ``future`` hides at most.
    """

    batch: Batch
    ratio: Tensor
    future: int
    generator: torch.Generator

    def uniform(self, *shape: int) -> Tensor:
        """Return uniform random numbers in [0, 1) on the device of the batch."""
        return torch.rand(shape, generator=self.generator, device=self.batch.counts.device)

    def some_bins(self) -> Tensor:
        """Return each bin with probability ``ratio``, ``(sample, time)`` bool."""
        return self.uniform(self.batch.n_samples, self.batch.n_bins) < self.ratio[:, None]

    def some_units(self) -> Tensor:
        """Return each unit with probability ``ratio``, at least one a sample, ``(slot, unit)``."""
        noise = self.uniform(*self.batch.present.shape)
        chosen = noise < self.ratio[self.batch.sample][:, None]
        return (chosen | self._least(noise, self.batch.present)) & self.batch.present

    def some_region(self) -> Tensor:
        """Return the units of one random region of each sample, ``(slot, unit)`` bool."""
        batch = self.batch
        region = torch.where(batch.present, batch.region, 0)
        n = int(region.max()) + 1
        owner = batch.sample[:, None].expand_as(region)
        size = torch.zeros(batch.n_samples, n, device=region.device)
        size.index_put_((owner, region), batch.present.float(), accumulate=True)
        noise = self.uniform(batch.n_samples, n).masked_fill(size == 0, -1.0)
        return (region == noise.argmax(dim=1)[batch.sample][:, None]) & batch.present

    def some_values(self) -> dict[str, Tensor]:
        """Return bins of each behaviour with probability ``ratio``, drawn for each by itself."""
        chosen = {}
        for name, there in self.batch.there.items():
            ratio = self.ratio[:, None] if there.ndim == 2 else self.ratio
            chosen[name] = self.uniform(*there.shape) < ratio
        return chosen

    def whole_values(self, probability: float) -> dict[str, Tensor]:
        """Return whole behaviours with a probability."""
        chosen = {}
        for name, there in self.batch.there.items():
            hide = self.uniform(self.batch.n_samples) < probability
            chosen[name] = hide[:, None].expand_as(there) if there.ndim == 2 else hide
        return chosen

    def with_bins(self, bins: Tensor, static: Tensor | None = None) -> dict[str, Tensor]:
        """Return the same bins of each behaviour; static ones where ``static`` ``(sample,)``."""
        static = torch.zeros_like(bins[:, 0]) if static is None else static
        return {n: bins if there.ndim == 2 else static for n, there in self.batch.there.items()}

    def _least(self, noise: Tensor, among: Tensor) -> Tensor:
        """Return the unit of each sample with the least noise, as a mask ``(slot, unit)``."""
        noise = noise.masked_fill(~among, 2.0)
        slot_least = noise.amin(dim=1)
        least = torch.full((self.batch.n_samples,), 2.0, device=noise.device)
        least.scatter_reduce_(0, self.batch.sample, slot_least, "amin")
        return (noise == least[self.batch.sample][:, None]) & among

    def some_units_of(self, among: Tensor) -> Tensor:
        """Return units of ``among`` with probability ``ratio``, at least one a sample."""
        noise = self.uniform(*among.shape)
        chosen = noise < self.ratio[self.batch.sample][:, None]
        return (chosen | self._least(noise, among)) & among


def _encoding(draw: Draw) -> Hidden:
    hidden = nothing_hidden(draw.batch)
    hidden.bins |= True
    hidden.values = draw.whole_values(0.5)
    return hidden


def _decoding(draw: Draw) -> Hidden:
    hidden = nothing_hidden(draw.batch)
    hidden.values = draw.whole_values(2.0)
    hidden.values_scored = hidden.values
    return hidden


def _self_spikes(draw: Draw) -> Hidden:
    hidden = nothing_hidden(draw.batch)
    hidden.bins = draw.some_bins()
    return hidden


def _self_behavior(draw: Draw) -> Hidden:
    hidden = nothing_hidden(draw.batch)
    hidden.values = hidden.values_scored = draw.some_values()
    return hidden


def _cross(draw: Draw) -> Hidden:
    hidden = nothing_hidden(draw.batch)
    hidden.bins = draw.some_bins()
    static = draw.uniform(draw.batch.n_samples) < draw.ratio
    hidden.values = hidden.values_scored = draw.with_bins(hidden.bins, static)
    return hidden


def _neuron(draw: Draw) -> Hidden:
    hidden = nothing_hidden(draw.batch)
    hidden.units = hidden.scored = draw.some_units_of(draw.batch.present)
    hidden.values = draw.whole_values(1 - SHOWN)
    return hidden


def _intra_region(draw: Draw) -> Hidden:
    hidden = nothing_hidden(draw.batch)
    region = draw.some_region()
    hidden.scored = draw.some_units_of(region)
    hidden.units = (draw.batch.present & ~region) | hidden.scored
    hidden.values = draw.whole_values(1 - SHOWN)
    return hidden


def _inter_region(draw: Draw) -> Hidden:
    hidden = nothing_hidden(draw.batch)
    hidden.units = hidden.scored = draw.some_region()
    hidden.values = draw.whole_values(1 - SHOWN)
    return hidden


def _temporal(draw: Draw) -> Hidden:
    hidden = _self_spikes(draw)
    hidden.values = draw.whole_values(1 - SHOWN)
    return hidden


def _future(draw: Draw) -> Hidden:
    batch = draw.batch
    hidden = nothing_hidden(batch)
    length = 1 + (draw.uniform(batch.n_samples) * draw.future).long()
    at = torch.arange(batch.n_bins, device=length.device)
    hidden.bins = at[None] >= (batch.n_bins - length)[:, None]
    return _with_values(draw, hidden, torch.ones_like(length, dtype=torch.bool))


def _block(draw: Draw) -> Hidden:
    batch = draw.batch
    hidden = nothing_hidden(batch)
    length = (draw.ratio * batch.n_bins).ceil().clamp(min=1)
    start = (draw.uniform(batch.n_samples) * (batch.n_bins - length + 1)).floor()
    at = torch.arange(batch.n_bins, device=length.device)[None]
    hidden.bins = (at >= start[:, None]) & (at < (start + length)[:, None])
    return _with_values(draw, hidden, None)


def _with_values(draw: Draw, hidden: Hidden, static: Tensor | None) -> Hidden:
    """Hide the behaviours in the hidden bins and score them there; some are hidden as a whole."""
    same, whole = draw.with_bins(hidden.bins, static), draw.whole_values(1 - SHOWN)
    hidden.values = {name: same[name] | whole[name] for name in same}
    hidden.values_scored = {name: same[name] & ~whole[name] for name in same}
    return hidden


SCHEMES: Mapping[str, Callable[[Draw], Hidden]] = {
    "encoding": _encoding,
    "decoding": _decoding,
    "self_spikes": _self_spikes,
    "self_behavior": _self_behavior,
    "cross": _cross,
    "neuron": _neuron,
    "intra_region": _intra_region,
    "inter_region": _inter_region,
    "temporal": _temporal,
    "future": _future,
    "block": _block,
}
"""Name -> scheme; the order is that of the prompt tokens."""


def draw_masks(
    batch: Batch,
    weights: Mapping[str, float],
    ratio: tuple[float, float],
    future: int,
    generator: torch.Generator,
) -> tuple[Hidden, Tensor]:
    """Draw a scheme, and a mask of it, for each sample by itself.

    Parameters
    ----------
    weights
        Scheme -> relative frequency.
    ratio
        Bounds of the share of units or bins that is hidden; drawn evenly between them, a sample.
    future
        Most bins that ``future`` hides.

    Returns
    -------
    hidden
        The masks.
    scheme
        ``(sample,)`` int64: number of each sample's scheme in :data:`SCHEMES`.
    """
    names = [name for name, weight in weights.items() if weight > 0]
    device, n = batch.counts.device, batch.n_samples
    shares = torch.tensor([weights[name] for name in names], device=device)
    pick = torch.multinomial(shares, n, replacement=True, generator=generator)
    low, high = ratio
    drawn = low + (high - low) * torch.rand(n, generator=generator, device=device)
    draw = Draw(batch, drawn, future, generator)
    result = nothing_hidden(batch)
    for number, name in enumerate(names):
        mine = pick == number
        _take_over(result, SCHEMES[name](draw), mine, mine[batch.sample])
    order = torch.tensor([list(SCHEMES).index(name) for name in names], device=device)
    return result, order[pick]


def _take_over(result: Hidden, other: Hidden, samples: Tensor, slots: Tensor) -> None:
    """Let ``result`` be ``other`` in some samples."""
    result.units = torch.where(slots[:, None], other.units, result.units)
    result.scored = torch.where(slots[:, None], other.scored, result.scored)
    result.bins = torch.where(samples[:, None], other.bins, result.bins)
    for mine, theirs in (
        (result.values, other.values),
        (result.values_scored, other.values_scored),
    ):
        for name, value in mine.items():
            where = samples[:, None] if value.ndim == 2 else samples
            mine[name] = torch.where(where, theirs[name], value)
