"""A recording as a problem to learn: features and target on common rows, and the folds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinbergen.encoding.columns import Columns
from tinbergen.encoding.crossval import (
    Fold,
    FoldKind,
    folds_to_dict,
    make_folds,
    whole_fold,
)
from tinbergen.encoding.features import Features, features_on, known_rows
from tinbergen.encoding.grid import Grid, runs
from tinbergen.encoding.planning import Plan
from tinbergen.errors import DataError

_BLOCKS = 40
_CONTEXT = 20  # bins beside known targets that models may look at


@dataclass(frozen=True, eq=False)
class Problem:
    """Rows on which the features are known.

    Attributes
    ----------
    recording
        Its name.
    features, target
        On all rows of the plan's grid.
    kept
        ``(all rows,)`` bool: rows on which the features are known.
    scored
        ``(n,)`` bool: items whose target is known too.
    grid
        The kept rows.
    folds
        Over the kept rows, or over trials where the target is one value a trial.
    whole
        The fold that trains on all of them and tests none.
    per_trial
        Whether the target is one value a trial.
    left_out
        Reason -> number.
    split
        The folds in plain values.
    """

    recording: str
    features: Features
    target: Columns
    kept: np.ndarray
    scored: np.ndarray
    grid: Grid
    folds: list[Fold]
    whole: Fold
    per_trial: bool
    left_out: dict[str, float]
    split: dict[str, Any]

    @property
    def n(self) -> int:
        """Number of items to predict: bins, or trials."""
        return len(self.grid) // self.bins if self.per_trial else len(self.grid)

    @property
    def bins(self) -> int:
        """Bins of a trial's window, 1 where there are no windows."""
        return self.grid.per_trial or 1

    @property
    def windows(self) -> int | None:
        """Bins of a window where each bin of a trial's window is predicted, else None."""
        return None if self.per_trial or self.bins == 1 else self.bins

    @property
    def starts(self) -> np.ndarray:
        """``(n,)`` s."""
        return self.grid.starts[:: self.bins] if self.per_trial else self.grid.starts

    @property
    def stops(self) -> np.ndarray:
        """``(n,)`` s."""
        return self.grid.stops[self.bins - 1 :: self.bins] if self.per_trial else self.grid.stops

    @property
    def trial(self) -> np.ndarray:
        """``(n,)`` int, row in the recording's trials; -1 = none."""
        return self.grid.trial[:: self.bins] if self.per_trial else self.grid.trial

    @property
    def segment(self) -> np.ndarray:
        """``(n,)`` int; items of different segments are not neighbours."""
        return np.arange(self.n) if self.per_trial else self.grid.segment

    @property
    def blocks(self) -> np.ndarray:
        """``(scored item,)`` int: trials, or stretches of time; what a bootstrap draws."""
        if self.grid.per_trial is not None:
            return np.arange(self.n) // (1 if self.per_trial else self.bins)
        n = int(self.scored.sum())
        return np.arange(n) * min(_BLOCKS, n) // n

    def truth(self) -> np.ndarray:
        """Return the target, ``(n, column)`` float64; NaN where it is not known."""
        values = self.target.values[self.kept].astype(np.float64)
        values = values[:: self.bins] if self.per_trial else values
        if self.target.kind == "classes":
            values[values < 0] = np.nan
        return values

    def inputs(self, train: np.ndarray) -> dict[str, np.ndarray]:
        """Return feature set -> ``(n, column)``; of trials, those of all bins side by side.

        ``train`` ``(n,)`` bool are the items that components of frames may be fitted on.
        """
        rows = np.zeros(len(self.kept), dtype=bool)
        rows[np.flatnonzero(self.kept)] = np.repeat(train, self.bins) if self.per_trial else train
        return {
            name: np.asarray(self.features.columns(name, rows)[self.kept], np.float64).reshape(
                self.n, -1
            )
            for name in self.features.sets
        }

    def runs(self, items: np.ndarray) -> np.ndarray:
        """Return segments of the items chosen (bool): stretches without a hole."""
        return runs(np.flatnonzero(items), self.segment)


def make_problem(
    planned: Plan,
    *,
    n_folds: int = 5,
    fold_kind: FoldKind = "blocks",
    gap: float = 1.0,
    min_rate: float = 0.0,
    seed: int = 0,
) -> Problem:
    """Read features and target, leave out what is not known, and make the folds.

    Parameters
    ----------
    planned
        What and where.
    n_folds, fold_kind, gap, seed
        See :func:`~tinbergen.encoding.crossval.make_folds`.
    min_rate
        Units whose mean rate is below are left out of a target of counts, Hz.

    Raises
    ------
    DataError
        If too little is left.
    """
    grid = planned.grid
    features = features_on(planned.features, grid)
    target = planned.target.on(grid)
    known = {"target": known_rows(target)}
    known |= {name: known_rows(columns) for name, columns in features.sets.items()}
    if (planned.target.step or 0.0) > grid.width:
        # Bins between two samples are drawn from both: a test sample must not teach.
        gap = max(gap, planned.target.step or 0.0)
    each = grid.per_trial or 1
    what = "bins" if grid.per_trial is None else "trials"
    left_out = dict(grid.left_out)
    for name, rows in known.items():
        if lost := int((~rows.reshape(-1, each).all(axis=1)).sum()):
            left_out[f"{what} without known {name}"] = float(lost)
    scored = np.logical_and.reduce(list(known.values()))
    if grid.per_trial is not None:
        kept = scored = np.repeat(scored.reshape(-1, each).all(axis=1), each)
    else:  # bins without a target still tell what came before and after
        kept = features.known & _nearby(scored, _CONTEXT)
    if not scored.any():
        raise DataError(
            f"Recording {planned.recording!r}: no bin is left in which target and features are "
            f"all known: {left_out}."
        )
    if target.kind == "counts":
        means = target.values[scored].mean(axis=0)
        target, slow = _without_slow(target, means, min_rate, grid.width)
        left_out |= {f"units below {min_rate:g} Hz": float(slow)} if slow else {}
    step = each if planned.target.trials is not None else 1
    nothing = np.zeros(0, dtype=bool)
    problem = Problem(
        planned.recording, features, target, kept, scored[kept][::step], grid.take(kept), [],
        Fold(nothing, nothing, nothing), planned.target.trials is not None, left_out, {},
    )  # fmt: skip
    try:
        (*folds, whole), split = _folds(problem, n_folds, fold_kind, gap, seed)
    except DataError as error:
        raise DataError(f"Recording {planned.recording!r}: {error}") from None
    return replace(problem, folds=folds, whole=whole, split=split)


def _nearby(rows: np.ndarray, reach: int) -> np.ndarray:
    """Which rows are at most ``reach`` rows from one of ``rows`` (bool)."""
    total = np.concatenate([[0], np.cumsum(rows)])
    at = np.arange(len(rows))
    return total[np.minimum(at + reach + 1, len(rows))] > total[np.maximum(at - reach, 0)]


def _folds(
    problem: Problem, n_folds: int, kind: FoldKind, gap: float, seed: int
) -> tuple[list[Fold], dict[str, Any]]:
    """Make folds of bins that are scored, or of trials, the whole one last; say which they are."""
    grid, each = problem.grid, problem.grid.per_trial
    if kind == "random" and each is None:
        raise DataError(
            "random folds are for whole trials only (give align=): neighbouring bins would lie "
            "in training and test. Use folds by blocks of time."
        )
    if each is None:
        starts, stops = grid.starts[problem.scored], grid.stops[problem.scored]
    else:
        starts, stops = grid.starts[::each], grid.stops[each - 1 :: each]
    strata = None
    if problem.target.kind == "classes" and problem.per_trial:
        strata = problem.truth()[:, 0]
    folds = make_folds(starts, stops, n_folds, gap=gap, kind=kind, strata=strata, seed=seed)
    unit = "bins" if each is None else "trials"
    split = folds_to_dict(folds, starts, stops, kind=kind, gap=gap, unit=unit)
    folds.append(whole_fold(starts, stops, gap if kind == "blocks" else 0.0))
    if each is None:
        return [_with_context(fold, problem, gap) for fold in folds], split
    if problem.per_trial:
        return folds, split
    masks = [(f.train, f.validate, f.test) for f in folds]
    return [Fold(*(np.repeat(mask, each) for mask in fold)) for fold in masks], split


def _with_context(fold: Fold, problem: Problem, gap: float) -> Fold:
    """Add the bins whose target is not known to the part that they lie in."""
    scored, starts, stops = problem.scored, problem.grid.starts, problem.grid.stops
    if scored.all():
        return fold
    masks = np.zeros((3, len(scored)), dtype=bool)
    masks[:, scored] = fold.train, fold.validate, fold.test
    train, validate, test = masks
    if not test.any():
        return Fold(train | ~scored, validate, test)
    first, last = starts[test][0], stops[test][-1]
    test |= ~scored & (starts >= first) & (stops <= last)
    train |= ~scored & ((stops <= first - gap) | (starts >= last + gap))
    return Fold(train, validate, test)


def _without_slow(
    target: Columns, means: np.ndarray, min_rate: float, width: float
) -> tuple[Columns, int]:
    """Leave out units that hardly fire: a handful of spikes gives no score worth a mean."""
    quick = (means / width >= min_rate) & (means > 0)
    if not quick.any():
        raise DataError(
            f"No unit fires at {min_rate:g} Hz or more; the fastest has "
            f"{means.max(initial=0) / width:.3g} Hz. Choose a lower min_rate."
        )
    table = target.table
    kept = replace(
        target,
        values=target.values[:, quick],
        names=tuple(name for name, on in zip(target.names, quick, strict=True) if on),
        table=None if table is None else table.iloc[np.flatnonzero(quick)].reset_index(drop=True),
    )
    return kept, int((~quick).sum())
