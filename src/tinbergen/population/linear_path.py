"""The linear path beside the network: rates from the factors that visible units tell of."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tinbergen.population.batch import Batch
from tinbergen.population.slots import over_slots, rows, through
from tinbergen.population.vocabulary import Vocabulary

_SHARPNESS = 8.0
_LEAST = 0.01


class LinearPath(nn.Module):
    """``rate_n(t) *= 1 + c_n . z(t)``, where z is what the visible units say of the factors.

    z is the exact posterior mean of :mod:`~tinbergen.population.factors`, for any part of units
    and bins that is visible: how much to believe follows from how many there are. Loadings, noise
    and temporal covariance are fitted in closed steps and not trained; c is, a little.

    Parameters
    ----------
    rank
        Number of factors.
    """

    linear_in: Tensor
    linear_scale: Tensor
    linear_kernel: Tensor

    def __init__(self, vocabulary: Vocabulary, rank: int):
        super().__init__()
        shape, time = vocabulary.rates.shape, vocabulary.n_bins
        self.register_buffer("linear_in", torch.zeros(*shape, rank))
        self.register_buffer("linear_scale", torch.ones(shape))
        kernel = torch.eye(time).repeat(len(vocabulary.sessions), 1, 1)
        self.register_buffer("linear_kernel", kernel)
        self.linear_out = nn.Parameter(torch.zeros(*shape, rank))

    def forward(self, x: Tensor, visible: Tensor, batch: Batch) -> Tensor:
        """Return what is added to the log rates, ``(slot, time, unit)`` float32.

        Parameters
        ----------
        x
            ``(slot, time, unit)``: what is read of the visible counts.
        visible
            The same shape, bool: units and bins are hidden as a whole.
        """
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            evidence, gram = self.evidence(x, visible, batch)
            shown = over_slots(visible.any(dim=2, keepdim=True).float(), batch)[..., 0] > 0
            factors = posterior_mean(
                evidence, gram, shown.float(), self.linear_kernel[batch.session]
            )
        out = rows(self.linear_out, batch).transpose(1, 2)
        return log_gain(through(factors[batch.sample], out, batch))

    def evidence(self, x: Tensor, visible: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return what visible units say: ``sum_n a_n s_n x_n(t)`` and ``sum_n a_n a_n'``.

        ``(sample, time, rank)`` and ``(sample, rank, rank)``.
        """
        loading = rows(self.linear_in, batch)
        summed = over_slots(through(self.scaled(x, batch), loading, batch), batch)
        shown = visible.any(dim=1).float().view(len(batch.block), batch.per_row, -1, 1)
        squares = loading[:, None].transpose(2, 3) @ (loading[:, None] * shown)
        return summed, over_slots(squares.flatten(0, 1), batch)

    def scaled(self, x: Tensor, batch: Batch) -> Tensor:
        """Return counts in units of each unit's noise, ``(slot, time, unit)`` float32."""
        scale = rows(self.linear_scale, batch).repeat_interleave(batch.per_row, dim=0)
        return x.float() * scale[:, None, :]


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
