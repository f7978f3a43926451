"""The linear path beside the network: rates and behaviours from factors that units share."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tinbergen.population.batch import Batch
from tinbergen.population.behaviour_path import BehaviourPath
from tinbergen.population.config import PopulationConfig
from tinbergen.population.masks import Hidden
from tinbergen.population.slots import over_slots, rows, through
from tinbergen.population.vocabulary import Vocabulary

_SHARPNESS = 8.0
_LEAST = 0.01
_NUMBERS_AT_ONCE = 16_000_000
"""Of the systems of equations that are solved together: many windows are taken in parts."""


class Change(NamedTuple):
    """What factors foretell of rates, and how sure that is; ``(slot, time, unit)`` float32 each.

    Attributes
    ----------
    log_gain
        Log of the rate over what it is before anything is seen.
    told, untold
        Standard deviations of the relative change of the rate, before any spike is seen: of what
        the visible spikes tell of it, and of what they leave open.
    """

    log_gain: Tensor
    told: Tensor
    untold: Tensor


class LinearPath(nn.Module):
    """``rate_n(t) *= 1 + c_n . z(t) + d_n . u(t)``: z is what all that is visible says of factors.

    z is the exact posterior mean of :mod:`~tinbergen.population.factors`, for any part of units
    and bins that is visible: how much to believe follows from how many there are. Before any
    spike, z is what visible behaviours let expect, and the behaviours that are not visible are
    read from it (:mod:`~tinbergen.population.behaviour_path`); u is what of the visible behaviours
    single units follow beyond the factors. All of it is fitted in closed steps and not trained.

    Parameters
    ----------
    copies
        Of all tables, one behind the other, fitted to different windows.
    persistent
        Whether the tables are among the weights that are kept.
    """

    linear_in: Tensor
    linear_scale: Tensor
    linear_out: Tensor
    linear_kernel: Tensor
    direct_in: Tensor
    direct_out: Tensor

    def __init__(
        self,
        vocabulary: Vocabulary,
        config: PopulationConfig,
        copies: int = 1,
        persistent: bool = True,
    ):
        super().__init__()
        rank, time = config.units.linear_rank, vocabulary.n_bins
        self.blocks, units = vocabulary.rates.shape
        self.sessions = len(vocabulary.sessions)
        shape = copies * self.blocks, units
        keep = partial(self.register_buffer, persistent=persistent)
        keep("linear_in", torch.zeros(*shape, rank))
        keep("linear_scale", torch.ones(shape))
        keep("linear_out", torch.zeros(*shape, rank))
        for name in ("direct_in", "direct_out"):
            keep(name, torch.zeros(*shape, rank))
        keep("linear_kernel", torch.eye(time).repeat(copies * self.sessions, 1, 1))
        self.behaviour = BehaviourPath(vocabulary, config, copies, persistent)

    def of_copy(self, batch: Batch, copy: Tensor) -> Batch:
        """Let a batch look up the tables of a copy: one number, or one a sample."""
        copy = copy.expand(batch.n_samples)
        of_row = copy[batch.sample[:: batch.per_row]]
        return replace(
            batch,
            block=batch.block + of_row * self.blocks,
            session=batch.session + copy * self.sessions,
        )

    def forward(
        self, x: Tensor, visible: Tensor, batch: Batch, hidden: Hidden
    ) -> tuple[Change, dict[str, Tensor]]:
        """Return the change of rates, and what is added to what is said of behaviours.

        Parameters
        ----------
        x
            ``(slot, time, unit)``: what is read of the visible counts.
        visible
            The same shape, bool: units and bins are hidden as a whole.
        hidden
            Which behaviours are not visible.

        Returns
        -------
        change
            See :class:`Change`.
        values
            Behaviour -> ``(sample, [time,] width)`` float32.
        """
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            expected = self.behaviour.expected(batch, hidden)
            factors = self.factors(x, visible, batch, expected)
            values = self.behaviour.read(factors.mean, batch)
        return self.change(factors, batch, expected), values

    @torch.no_grad()
    def change(self, factors: Posterior, batch: Batch, expected: Tensor) -> Change:
        """Return what factors, and behaviours beyond them, foretell of the rates of all units."""
        out = rows(self.linear_out, batch)
        change = through(factors.mean[batch.sample], out.transpose(1, 2), batch)
        gain = log_gain(change + self.direct(self.direct_out, expected, batch))
        out = out.repeat_interleave(batch.per_row, dim=0)
        of_directions = (out @ factors.turn[batch.sample]).square()
        untold = (of_directions @ factors.variance[batch.sample]).transpose(1, 2)
        prior = self.linear_kernel[batch.session].diagonal(dim1=1, dim2=2)[batch.sample]
        before = prior[..., None] * out.square().sum(dim=2)[:, None]
        return Change(gain, (before - untold).clamp(min=0).sqrt(), untold.sqrt())

    def factors(self, x: Tensor, visible: Tensor, batch: Batch, expected: Tensor) -> Posterior:
        """Return what all that is visible says of the factors.

        ``expected`` ``(sample, time, 2 rank)``: their mean before any spike, and what units
        follow beyond them.
        """
        evidence, gram = self.evidence(x, visible, batch, expected)
        shown = over_slots(visible.any(dim=2, keepdim=True).float(), batch)[..., 0] > 0
        kernel = self.linear_kernel[batch.session]
        found = posterior(evidence, gram, shown.float(), kernel)
        return found._replace(mean=expected[..., : found.mean.shape[2]] + found.mean)

    def evidence(
        self, x: Tensor, visible: Tensor, batch: Batch, expected: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what visible units say, ``(sample, time, rank)`` and ``(sample, rank, rank)``.

        ``sum_n a_n (s_n x_n(t) - a_n . m(t) - b_n . u(t))`` and ``sum_n a_n a_n'``.
        """
        loading = rows(self.linear_in, batch)
        surprise = self.surprise(x, visible, batch, expected)
        summed = over_slots(through(surprise, loading, batch), batch)
        shown = visible.any(dim=1).float().view(len(batch.block), batch.per_row, -1, 1)
        squares = loading[:, None].transpose(2, 3) @ (loading[:, None] * shown)
        return summed, over_slots(squares.flatten(0, 1), batch)

    def surprise(self, x: Tensor, visible: Tensor, batch: Batch, expected: Tensor) -> Tensor:
        """Return counts beyond what is expected, in units of each unit's noise; 0 where hidden.

        ``(slot, time, unit)`` float32.
        """
        scale = rows(self.linear_scale, batch).repeat_interleave(batch.per_row, dim=0)
        loading = rows(self.linear_in, batch).transpose(1, 2)
        foreseen = through(expected[batch.sample, :, : loading.shape[1]], loading, batch)
        foreseen = foreseen + self.direct(self.direct_in, expected, batch)
        return x.float() * scale[:, None, :] - foreseen * visible

    def direct(self, table: Tensor, expected: Tensor, batch: Batch) -> Tensor:
        """Return what each unit follows beyond the factors, ``(slot, time, unit)``."""
        loading = rows(table, batch).transpose(1, 2)
        return through(expected[batch.sample, :, -loading.shape[1] :], loading, batch)


class Posterior(NamedTuple):
    """Of factors with one temporal covariance.

    Attributes
    ----------
    mean
        ``(sample, time, rank)``.
    turn
        ``(sample, rank, rank)``: directions in its columns, in which factors are independent.
    variance
        ``(sample, rank, time)`` in these directions.
    """

    mean: Tensor
    turn: Tensor
    variance: Tensor


def posterior(evidence: Tensor, gram: Tensor, shown: Tensor, kernel: Tensor) -> Posterior:
    """Return the posterior of factors with one temporal covariance.

    Its mean is ``(K^-1 (x) I + D (x) G)^-1 h`` with D the visible bins; in the eigenvectors of G
    every factor is a smoothing of its own, with covariance ``K (I + g D K)^-1``.

    Parameters
    ----------
    evidence
        h: ``(sample, time, rank)``, 0 in hidden bins.
    gram
        G: ``(sample, rank, rank)``.
    shown
        D: ``(sample, time)``, 1 or 0.
    kernel
        K: ``(sample, time, time)``.
    """
    at_once = max(1, _NUMBERS_AT_ONCE // (gram.shape[1] * kernel.shape[1] ** 2))
    if len(gram) > at_once:
        parts = zip(
            *(each.split(at_once) for each in (evidence, gram, shown, kernel)), strict=True
        )
        found = (posterior(*part) for part in parts)
        return Posterior(*(torch.cat(each) for each in zip(*found, strict=True)))
    strength, turn = torch.linalg.eigh(gram)
    turned = (evidence @ turn).transpose(1, 2)[..., None]  # (sample, rank, time, 1)
    eye = torch.eye(kernel.shape[1], device=kernel.device)
    system = eye + strength[:, :, None, None] * (shown[:, :, None] * kernel)[:, None]
    covariance = kernel[:, None] @ torch.linalg.inv(system)
    mean = (covariance @ turned)[..., 0].transpose(1, 2) @ turn.transpose(1, 2)
    variance = covariance.diagonal(dim1=2, dim2=3).clamp(min=0)
    return Posterior(mean, turn, variance)


def log_gain(change: Tensor) -> Tensor:
    """Return ``log(1 + change)``, bent smoothly so that a rate falls to a hundredth at most."""
    return (F.softplus(1 + change.float(), beta=_SHARPNESS) + _LEAST).log()
