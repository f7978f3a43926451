"""Mean squared error over hidden patches."""

from __future__ import annotations

from torch import Tensor


def masked_mse(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Squared error averaged over the values of a patch, then over patches.

    He et al., CVPR 2022, section 3: only hidden patches are given, so visible ones never count.

    Parameters
    ----------
    prediction, target
        ``(N, M, values)`` of the hidden patches; computed in float32.
    weight
        ``(N, M)``, not negative; patches count in proportion. All zero, or ``M = 0``, gives 0.

    Returns
    -------
    Tensor
        A scalar.
    """
    error = (prediction.float() - target.float()).square().mean(dim=-1)
    if weight is None:
        return error.sum() / max(error.numel(), 1)
    return (error * weight).sum() / weight.sum().clamp_min(1e-12)
