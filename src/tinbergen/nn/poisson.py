"""Poisson negative log likelihood of counts under log rates."""

from __future__ import annotations

import torch
from torch import Tensor

_LARGEST_LOG_RATE = 10.0


def poisson_nll(log_rate: Tensor, counts: Tensor) -> Tensor:
    """Return ``exp(z) - k z`` elementwise (nats), without the term of k alone.

    Its gradient in z is ``exp(z) - k``, zero at ``z = log k``. Log rates are kept below 10 (22,000
    spikes a bin), so that a bad step cannot make the loss infinite.

    Parameters
    ----------
    log_rate
        z: natural logarithm of the expected spikes/bin, any shape.
    counts
        k: spikes/bin, same shape.
    """
    z = log_rate.float().clamp(max=_LARGEST_LOG_RATE)
    return z.exp() - counts.to(z.dtype) * z


def masked_mean(values: Tensor, keep: Tensor) -> Tensor:
    """Return the mean of ``values`` where ``keep``; 0 where there is nothing to average."""
    keep = keep.to(values.dtype)
    return (values * keep).sum() / torch.clamp(keep.sum(), min=1.0)
