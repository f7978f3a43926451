"""How many directions an embedding really uses."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def effective_rank(features: ArrayLike) -> float:
    """Exponential of the entropy of the variance over principal components.

    Roy & Vetterli, "The effective rank", EUSIPCO 2007, with squared singular values of the
    centred features: ``n`` equally strong directions give ``n``, a collapsed embedding 1.

    Parameters
    ----------
    features
        ``(time, channel)``; rows with a NaN are left out.

    Examples
    --------
    >>> round(effective_rank(np.vstack([np.eye(4), -np.eye(4)])), 6)
    4.0
    """
    x = np.asarray(features, dtype=np.float64)
    x = x[np.isfinite(x).all(axis=1)]
    if len(x) < 2:
        return float("nan")
    variance = np.linalg.svd(x - x.mean(axis=0), compute_uv=False) ** 2
    total = variance.sum()
    if total <= 0:
        return 1.0
    share = variance / total
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))
