"""The lagged features written out one by one, as an oracle."""

import numpy as np


def lag_matrix(features, segments, lags, basis=None):
    """(row, lag x column): column (l, c) of row t is feature c at t - l of the same segment."""
    n, width = features.shape
    out = np.zeros((n, lags[1] - lags[0] + 1, width))
    for t in range(n):
        for i, lag in enumerate(range(lags[0], lags[1] + 1)):
            source = t - lag
            if 0 <= source < n and segments[source] == segments[t]:
                out[t, i] = features[source]
    if basis is not None:
        out = np.einsum("tlc,lk->tkc", out, basis)
    return out.reshape(n, -1)


def standardised(x):
    return (x - x.mean(axis=0)) / x.std(axis=0)
