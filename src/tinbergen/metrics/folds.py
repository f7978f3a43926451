"""Cross-validation folds that keep what belongs together in one fold."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def grouped_folds(groups: ArrayLike, n_folds: int, *, seed: int = 0) -> list[np.ndarray]:
    """Deal whole groups (recordings, time blocks, or single frames) into folds.

    Groups are shuffled, then each goes to the fold that is smallest so far.

    Parameters
    ----------
    groups
        ``(n,)`` labels.
    n_folds
        At most; never more than there are groups.

    Returns
    -------
    list of ndarray
        Indices of each fold, sorted; together every index once.
    """
    labels = np.asarray(groups)
    unique, index = np.unique(labels, return_inverse=True)
    sizes = np.bincount(index, minlength=len(unique))
    n_folds = min(n_folds, len(unique))
    filled = np.zeros(n_folds, dtype=int)
    fold_of = np.empty(len(unique), dtype=int)
    for group in np.random.default_rng(seed).permutation(len(unique)):
        fold_of[group] = int(filled.argmin())
        filled[fold_of[group]] += sizes[group]
    return [np.flatnonzero(fold_of[index] == fold) for fold in range(n_folds)]
