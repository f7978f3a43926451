"""The linear path beside the network: rates and behaviours from factors that units share."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

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


class LinearPath(nn.Module):
    """``rate_n(t) *= 1 + c_n . z(t)``, where z is what everything visible says of the factors.

    z is the exact posterior mean of :mod:`~tinbergen.population.factors`, for any part of units
    and bins that is visible: how much to believe follows from how many there are. Before any
    spike, z is what visible behaviours let expect, and the behaviours that are not visible are
    read from it (:mod:`~tinbergen.population.behaviour_path`). All of it is fitted in closed steps
    and not trained.

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
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what is added to log rates and to what is said of behaviours.

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
        log gain
            ``(slot, time, unit)`` float32.
        values
            Behaviour -> ``(sample, [time,] width)`` float32.
        """
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            factors = self.factors(x, visible, batch, self.behaviour.expected(batch, hidden))
            values = self.behaviour.read(factors, batch)
        out = rows(self.linear_out, batch).transpose(1, 2)
        return log_gain(through(factors[batch.sample], out, batch)), values

    def factors(self, x: Tensor, visible: Tensor, batch: Batch, expected: Tensor) -> Tensor:
        """Return the posterior mean of the factors, ``(sample, time, rank)``.

        ``expected`` has the same shape: their mean before any spike.
        """
        evidence, gram = self.evidence(x, visible, batch, expected)
        shown = over_slots(visible.any(dim=2, keepdim=True).float(), batch)[..., 0] > 0
        kernel = self.linear_kernel[batch.session]
        return expected + posterior_mean(evidence, gram, shown.float(), kernel)

    def evidence(
        self, x: Tensor, visible: Tensor, batch: Batch, expected: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what visible units say, ``(sample, time, rank)`` and ``(sample, rank, rank)``.

        ``sum_n a_n (s_n x_n(t) - a_n . m(t))`` and ``sum_n a_n a_n'``.
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
        foreseen = through(expected[batch.sample], loading, batch)
        return x.float() * scale[:, None, :] - foreseen * visible


def posterior_mean(evidence: Tensor, gram: Tensor, shown: Tensor, kernel: Tensor) -> Tensor:
    """Return the posterior mean of factors with one temporal covariance.

    ``(K^-1 (x) I + D (x) G)^-1 h`` with D the visible bins; in the eigenvectors of G every factor
    is a smoothing of its own, ``z = K (I + g D K)^-1 h``.

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
        return torch.cat([posterior_mean(*part) for part in parts])
    strength, turn = torch.linalg.eigh(gram)
    turned = (evidence @ turn).transpose(1, 2)[..., None]  # (sample, rank, time, 1)
    weighted = shown[:, :, None] * kernel
    eye = torch.eye(kernel.shape[1], device=kernel.device)
    system = eye + strength[:, :, None, None] * weighted[:, None]
    solved = kernel[:, None] @ torch.linalg.solve(system, turned)
    return solved[..., 0].transpose(1, 2) @ turn.transpose(1, 2)


def log_gain(change: Tensor) -> Tensor:
    """Return ``log(1 + change)``, bent smoothly so that a rate falls to a hundredth at most."""
    return (F.softplus(1 + change.float(), beta=_SHARPNESS) + _LEAST).log()
