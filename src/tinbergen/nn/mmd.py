"""Maximum mean discrepancy: how far apart two sets of vectors are, as distributions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)


def mmd2(
    first: Tensor, second: Tensor, bandwidths: Sequence[float | Tensor], *, unbiased: bool = False
) -> Tensor:
    """Return the squared discrepancy of two samples, a mean over Gaussian kernels.

    Gretton et al., "A kernel two-sample test", JMLR 13, 2012: eq. 5 (biased: 0 for identical
    samples, never below) or eq. 3 (unbiased: may be below 0).

    Parameters
    ----------
    first, second
        ``(n, D)`` and ``(m, D)``.
    bandwidths
        Standard deviation of each kernel ``exp(-d^2 / (2 s^2))``.

    Examples
    --------
    Two points at a distance of 1: ``2 - 2 exp(-1/2)``.

    >>> round(mmd2(torch.zeros(1, 1), torch.ones(1, 1), [1.0]).item(), 6)
    0.786939
    """
    n, m = len(first), len(second)
    both = torch.cat([first, second]).float()
    kernel = _kernel(_squared_distances(both), bandwidths)
    own, other, cross = kernel[:n, :n], kernel[n:, n:], kernel[:n, n:]
    if unbiased:
        within = (own.sum() - own.diagonal().sum()) / (n * (n - 1))
        within = within + (other.sum() - other.diagonal().sum()) / (m * (m - 1))
    else:
        within = own.mean() + other.mean()
    return within - 2 * cross.mean()


def mmd2_to_rest(features: Tensor) -> Tensor:
    """Return the mean over groups of the biased squared discrepancy to all other groups pooled.

    Five kernels, 1/4 to 4 times the median distance (Long et al., arXiv 1502.02791, section 4.1,
    in spirit).

    Parameters
    ----------
    features
        ``(group, n, D)``; fewer than two groups give 0.
    """
    groups, n = features.shape[:2]
    if groups < 2:
        return features.sum() * 0.0
    squared = _squared_distances(features.flatten(0, 1).float())
    median = squared.detach().flatten().median().sqrt().clamp_min(1e-6)
    kernel = _kernel(squared, [scale * median for scale in SCALES])
    mean = kernel.view(groups, n, groups, n).mean(dim=(1, 3))  # of each pair of groups
    own, total = mean.diagonal(), mean.sum(dim=1)
    cross = (total - own) / (groups - 1)
    rest = (mean.sum() - 2 * total + own) / (groups - 1) ** 2
    return (own + rest - 2 * cross).mean()


def _squared_distances(x: Tensor) -> Tensor:
    """By differences: exact zeros for equal vectors, which the expanded square lacks."""
    return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").square()


def _kernel(squared: Tensor, bandwidths: Sequence[float | Tensor]) -> Tensor:
    kernels = [torch.exp(-squared / (2 * width**2)) for width in bandwidths]
    return torch.stack(kernels).mean(dim=0)
