"""Modalities of many channels, such as embeddings of a video: their principal components."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.decomposition import TruncatedSVD

WIDEST = 128
"""Channels that a model reads as they are; of more it reads so many components."""
_MOST_ROWS = 8192


def principal_axes(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Return what brings normalised channels to components, ``(channel, component)`` float32.

    Components lie in the directions in which the channels of all sessions together vary most.
    They keep the ratios of their variances, the mean of which is 1, so that a penalty on weights
    weighs on the small ones.

    Parameters
    ----------
    parts
        ``(row, channel)`` of the training windows of each session, of mean 0; of many rows, 8192
        evenly spread ones are looked at, as many of each.
    """
    most = max(1, _MOST_ROWS // len(parts))
    rows = np.concatenate([part[:: -(-len(part) // most)] for part in parts]).astype(np.float32)
    n = min(WIDEST, len(rows) - 1)
    svd: Any = TruncatedSVD(n, n_iter=4, random_state=0).fit(rows)
    variance = svd.singular_values_**2 / len(rows)
    return np.asarray(svd.components_.T / np.sqrt(variance.mean()), np.float32)


def components(values: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Return normalised channels ``(..., channel)`` as ``(..., component)``."""
    return values.astype(np.float32) @ axes


def channels(values: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Return what components ``(..., component)`` say of the channels, ``(..., channel)``."""
    return values @ (axes / np.square(axes).sum(axis=0)).T
