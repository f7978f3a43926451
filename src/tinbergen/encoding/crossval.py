"""Outer folds by blocks of time or of trials with a gap, and the validation rows inside them.

Neighbouring bins are all but equal, so a test block is a stretch of time (or of trials), and what
lies closer to it than the gap is in no part. The same holds for the validation rows, which choose
penalties and calibration.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tinbergen.errors import DataError

FoldKind = Literal["blocks", "random"]
_VALIDATION_BLOCKS = 4
_VALIDATION_SHARE = 0.2


@dataclass(frozen=True, eq=False)
class Fold:
    """One split of the items (bins, or whole trials) of a recording.

    Attributes
    ----------
    train, validate, test
        ``(n,)`` bool. ``train`` includes ``validate``; items in neither lie in a gap.
    """

    train: np.ndarray
    validate: np.ndarray
    test: np.ndarray


def make_folds(
    starts: np.ndarray,
    stops: np.ndarray,
    n_folds: int = 5,
    *,
    gap: float = 1.0,
    kind: FoldKind = "blocks",
    strata: np.ndarray | None = None,
    seed: int = 0,
) -> list[Fold]:
    """Split items in time into folds; every item is tested once.

    Parameters
    ----------
    starts, stops
        ``(n,)`` s, ascending starts; an item is a bin, or a whole trial.
    n_folds
        At least 2.
    gap
        Training items closer to a test item than this are left out, and so are those closer to
        a validation item, s.
    kind
        ``blocks``: a fold is a stretch of consecutive items. ``random``: items are dealt at
        random and without a gap, as several papers do; neighbours in time then lie on both
        sides, so slow drift helps. Only for comparison, and only for whole trials.
    strata
        ``(n,)`` classes that ``random`` folds hold in equal shares.
    seed
        Of the random folds.

    Raises
    ------
    DataError
        If there are too few items, or a fold is left without training items.
    """
    n = len(starts)
    if n_folds < 2 or n < 2 * n_folds:
        raise DataError(
            f"Expected at least 2 folds and two items in each, found {n_folds} folds of {n} "
            "usable bins (or trials). Use fewer folds, smaller bins, or more data."
        )
    if kind == "random":
        return _random_folds(n, n_folds, strata, seed)
    if kind != "blocks":
        raise DataError(f"folds: expected 'blocks' or 'random', found {kind!r}.")
    edges = np.linspace(0, n, n_folds + 1).round().astype(int)
    folds = []
    for first, last in zip(edges[:-1], edges[1:], strict=True):
        test = np.zeros(n, dtype=bool)
        test[first:last] = True
        train = ~_near(test, starts, stops, gap)
        validate = _validation_blocks(train)
        train &= validate | ~_near(validate, starts, stops, gap)
        if not (train & ~validate).any() or not validate.any():
            raise DataError(
                f"A gap of {gap:g} s leaves nothing to train on beside the test block from "
                f"{starts[first]:.2f} to {stops[last - 1]:.2f} s. Use a shorter gap."
            )
        folds.append(Fold(train, validate, test))
    return folds


def whole_fold(starts: np.ndarray, stops: np.ndarray, gap: float) -> Fold:
    """Return the fold of a model that is to be used, not scored: it tests no item.

    All items train but those closer than ``gap`` s to the ones that choose settings.
    """
    everything = np.ones(len(starts), dtype=bool)
    validate = _validation_blocks(everything)
    train = validate | ~_near(validate, starts, stops, gap)
    return Fold(train, validate, ~everything)


def _near(chosen: np.ndarray, starts: np.ndarray, stops: np.ndarray, gap: float) -> np.ndarray:
    """Which items are chosen, or closer than ``gap`` s to one that is."""
    at = np.flatnonzero(chosen)
    if not len(at):
        return chosen.copy()
    reach = np.maximum.accumulate(stops[at])  # the latest end so far: trials may overlap
    before = np.searchsorted(starts[at], stops + gap) > 0
    # For every item: is there a chosen one that starts before it ends and ends after it starts?
    upto = np.searchsorted(starts[at], stops + gap) - 1
    touches = before & (reach[np.maximum(upto, 0)] > starts - gap)
    return chosen | touches


def _validation_blocks(train: np.ndarray) -> np.ndarray:
    """Choose some stretches of the training items, spread over all of them."""
    rows = np.flatnonzero(train)
    blocks = min(_VALIDATION_BLOCKS, max(1, len(rows) // 10))
    validate = np.zeros(len(train), dtype=bool)
    for part in np.array_split(rows, blocks):
        validate[part[len(part) - max(1, round(len(part) * _VALIDATION_SHARE)) :]] = True
    return validate


def _random_folds(n: int, n_folds: int, strata: np.ndarray | None, seed: int) -> list[Fold]:
    labels = np.zeros(n) if strata is None else np.unique(strata, return_inverse=True)[1]
    order = np.lexsort((np.random.default_rng(seed).random(n), labels))  # at random in each class
    owner = np.empty(n, dtype=int)
    owner[order] = np.arange(n) % n_folds
    return [
        Fold(owner != fold, owner == (fold + 1) % n_folds, owner == fold)
        for fold in range(n_folds)
    ]


def folds_to_dict(
    folds: list[Fold], starts: np.ndarray, stops: np.ndarray, *, kind: str, gap: float, unit: str
) -> dict[str, Any]:
    """Describe folds in plain values for ``splits.json``: stretches of time, s."""

    def spans(mask: np.ndarray) -> list[list[float]]:
        edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
        return [
            [round(float(starts[a]), 6), round(float(stops[b - 1]), 6)]
            for a, b in edges.reshape(-1, 2)
        ]

    return {
        "kind": kind,
        "of": unit,
        "gap_s": gap,
        "folds": [
            {"train": spans(f.train), "validate": spans(f.validate), "test": spans(f.test)}
            for f in folds
        ],
    }
