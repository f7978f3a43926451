"""How single units enter the network and leave it: vectors of each, however many there are."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tinbergen.population.batch import Batch
from tinbergen.population.config import UnitsConfig
from tinbergen.population.slots import over_slots, rows, through
from tinbergen.population.vocabulary import LEAST_MEAN, Vocabulary

_TABLE_SCALE = 0.05


class UnitTables(nn.Module):
    """Vectors and numbers of each unit of all sessions.

    A window's units are summed into its tokens, ``sum_n x_n(t) e_n / sqrt(number visible)``, and
    read from them, ``log rate_n(t) = h(t) . u_n + b_n + log mean rate``.

    The vectors are those of a unit's region plus its own, so that what regions have in common over
    animals is there for the units of a new one.

    The units of a session fill blocks of their own, so that what a batch needs are whole blocks
    of a table; rows of the last block that no unit fills are never used.

    Parameters
    ----------
    vocabulary
        Its units are those that there are tables for.
    width
        Of the network.
    """

    rate: Tensor
    root: Tensor
    unit_shift: Tensor
    unit_shift_alone: Tensor
    region: Tensor

    def __init__(self, vocabulary: Vocabulary, width: int, config: UnitsConfig):
        super().__init__()
        self.config = config
        rates = torch.as_tensor(vocabulary.rates).float()
        shape = tuple(rates.shape)
        self.register_buffer("rate", rates)
        self.register_buffer("root", torch.as_tensor(vocabulary.roots).float())
        self.register_buffer("region", torch.as_tensor(vocabulary.region_numbers))
        if config.read != "table":  # a network a session has weights of its own
            return
        regions = len(vocabulary.regions)
        self.region_in = nn.Parameter(torch.zeros(regions, width))
        self.region_out = nn.Parameter(torch.zeros(regions, width))
        self.unit_in = nn.Parameter(torch.randn(*shape, width) * _TABLE_SCALE)
        self.unit_out = nn.Parameter(torch.zeros(*shape, width))
        self.unit_bias = nn.Parameter(torch.zeros(shape))
        self.register_buffer("unit_shift", torch.zeros(shape))
        self.register_buffer("unit_shift_alone", torch.zeros(shape))
        if config.recent:
            self.recent_gain = nn.Parameter(torch.tensor(0.5))
            self.recent_mix = nn.Linear(width, width, bias=False)

    def read(self, batch: Batch, visible: Tensor) -> Tensor:
        """Return what is read of counts, ``(slot, time, unit)`` float32; 0 where hidden."""
        counts = batch.counts.float()
        if self.config.transform == "root":
            spread = self.of_slots(torch.rsqrt(self.rate + LEAST_MEAN), batch)[:, None, :]
            root = self.of_slots(self.root, batch)[:, None, :]
            counts = ((counts + 0.375).sqrt() - root) * spread
        return counts * visible

    def tokens(self, x: Tensor, visible: Tensor, batch: Batch) -> Tensor:
        """Return the sum over the visible units of each bin, ``(sample, time, width)``."""
        return balanced(*self.sums(x, visible, batch))

    def patches(self, x: Tensor, visible: Tensor, batch: Batch) -> Tensor:
        """Return the sum over the visible units of each bin and slot, ``(slot, time, width)``."""
        summed = through(x, self.vectors_in(batch), batch)
        return balanced(summed, visible.sum(dim=2, keepdim=True).to(summed.dtype))

    def vectors_in(self, batch: Batch) -> Tensor:
        """Return what each unit adds to a token, ``(row, unit, width)``."""
        return rows(self.unit_in, batch) + self.region_in[self.region[batch.block]]

    def vectors_out(self, batch: Batch) -> Tensor:
        """Return what reads each unit's log rate from a token, ``(row, unit, width)``."""
        return rows(self.unit_out, batch) + self.region_out[self.region[batch.block]]

    def sums(self, x: Tensor, visible: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the sum of the visible units' vectors, and how many there are.

        ``(sample, time, width)`` and ``(sample, time, 1)``.
        """
        summed = over_slots(through(x, self.vectors_in(batch), batch), batch)
        number = over_slots(visible.sum(dim=2, keepdim=True).to(summed.dtype), batch)
        return summed, number

    def slow_state(self, batch: Batch) -> Tensor:
        """Return what the rates of the windows before say of all bins, ``(sample, width)``."""
        x, there = batch.recent[:, None, :].float(), batch.present[:, None, :]
        return self.recent_mix(balanced(*self.sums(x, there, batch)))[:, 0]

    def log_rates(self, state: Tensor, batch: Batch) -> Tensor:
        """Return log spikes/bin of every unit, ``(slot, time, unit)``.

        ``state`` is ``(sample, time, width)``, or ``(slot, time, width)`` with a token a slot.
        """
        if len(state) != len(batch.sample):
            state = state[batch.sample]
        out = through(state, self.vectors_out(batch).transpose(1, 2), batch)
        return out.float() + self.base(batch)[:, None, :]

    def base(self, batch: Batch) -> Tensor:
        """Return the log rate of every unit before anything is read, ``(slot, unit)``.

        When the network is not trained, with the shift from training to validation windows.
        """
        log_rate = self.unit_bias + self.rate.log()
        base = self.of_slots(log_rate if self.training else log_rate + self.unit_shift, batch)
        return base + self.recent_gain * batch.recent if self.config.recent else base

    def without_spikes(self, visible: Tensor, batch: Batch) -> Tensor:
        """Return what log rates gain where no spike of a sample is visible, ``(slot, unit)``.

        Others' spikes tell of a drift that units share; without them the shift is larger.
        """
        if self.training:
            return torch.zeros(visible.shape[0], visible.shape[2], device=visible.device)
        seen = over_slots(visible.flatten(1).any(dim=1).float(), batch)[batch.sample] > 0
        return self.of_slots(self.unit_shift_alone, batch) * ~seen[:, None]

    def of_slots(self, table: Tensor, batch: Batch) -> Tensor:
        """Return a number a unit for every slot, ``(slot, unit)``."""
        return rows(table, batch).repeat_interleave(batch.per_row, dim=0)


def balanced(summed: Tensor, number: Tensor) -> Tensor:
    """Divide a sum over units by the root of their number: its spread then does not depend on it.

    The tables start small, so that weight decay and learning rate suit them; here that is undone.
    """
    return summed * torch.rsqrt(number.clamp(min=1.0)) / _TABLE_SCALE


class Stitch(nn.Module):
    """A network a session from counts to tokens, as NEDS and MtM have it.

    NEDS: ``Linear(N, 2 N) -> softsign -> Linear(2 N, H)``. MtM: ``Linear(N, 668) -> Linear(668,
    1336) -> softsign -> Linear(1336, H)`` of which the first is the session's. Out is
    ``Linear(H, N)``. Kept for comparison: it takes a loop over the sessions of a batch, and its
    weights grow with the square of the units.
    """

    def __init__(self, units: list[int], width: int, shared: int | None = None):
        super().__init__()
        if shared:
            self.first = nn.ModuleList(nn.Linear(n, shared) for n in units)
            self.second = nn.Sequential(
                nn.Linear(shared, 2 * shared), nn.Softsign(), nn.Linear(2 * shared, width)
            )
        else:
            self.first = nn.ModuleList(
                nn.Sequential(nn.Linear(n, 2 * n), nn.Softsign(), nn.Linear(2 * n, width))
                for n in units
            )
            self.second = nn.Identity()
        self.out = nn.ModuleList(nn.Linear(width, n) for n in units)
        self.units = units

    def tokens(self, x: Tensor, batch: Batch) -> Tensor:
        """Map visible counts ``(slot, time, unit)`` to ``(sample, time, width)``."""
        parts = []
        for number, slots, samples in self._sessions(batch):
            dense = x[slots].transpose(1, 2).flatten(2)[:, :, : self.units[number]]
            parts.append((samples, self.second(self.first[number](dense))))
        width = parts[0][1].shape[-1]
        out = parts[0][1].new_zeros(batch.n_samples, x.shape[1], width)
        for samples, tokens in parts:
            out = out.index_copy(0, samples, tokens)
        return out

    def log_rates(self, state: Tensor, batch: Batch) -> Tensor:
        """Map ``(sample, time, width)`` to ``(slot, time, unit)``."""
        out = torch.zeros(batch.counts.shape, device=state.device)
        size = batch.present.shape[1]
        for number, slots, samples in self._sessions(batch):
            dense = self.out[number](state[samples]).float()
            padded = F.pad(dense, (0, -dense.shape[2] % size))
            blocks = padded.unflatten(2, (-1, size)).transpose(1, 2)
            out = out.index_copy(0, slots.flatten(), blocks.flatten(0, 1))
        return out

    def _sessions(self, batch: Batch) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Yield the number of a session, its slots ``(sample, block)``, and its samples."""
        filled = batch.present.any(dim=1)
        for number in batch.session.unique().tolist():
            samples = torch.nonzero(batch.session == number)[:, 0]
            mine = torch.nonzero(filled & torch.isin(batch.sample, samples))[:, 0]
            by_sample = torch.argsort(batch.sample[mine], stable=True)
            yield number, mine[by_sample].view(len(samples), -1), samples
