"""Values on common bins, and where they come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tinbergen.encoding.grid import Grid
from tinbergen.recordings import Intervals, Trials


@dataclass(frozen=True, eq=False)
class Columns:
    """Values on a grid.

    Attributes
    ----------
    values
        ``(row, column)``; NaN = not known.
    names
        Of the columns.
    kind
        ``counts`` (spikes/bin), ``continuous``, ``angle`` (cosine and sine side by side),
        or ``classes`` (index of a class, -1 = not known).
    classes
        Their names, where ``kind`` is ``classes``.
    table
        A row a column: region, depth (um), ... where it is known.
    notes
        What had to be filled in or left out, one sentence each.
    project
        Where columns have to be fitted first: training rows ``(row,)`` -> ``(row, column)``.
        ``values`` then only says which rows are known.
    ranges
        ``(channel, 2)`` of the values that bumps were laid over; None where there are none.
    alike
        Whether all are of one unit, so that their deviations compare: tokens, components.
    """

    values: np.ndarray
    names: tuple[str, ...]
    kind: str = "continuous"
    classes: tuple[str, ...] = ()
    table: pd.DataFrame | None = None
    notes: tuple[str, ...] = ()
    project: Callable[[np.ndarray], np.ndarray] | None = None
    ranges: np.ndarray | None = None
    alike: bool = False


@dataclass(frozen=True, eq=False)
class Source:
    """Something that can be brought onto a grid.

    Attributes
    ----------
    name
        As it was asked for.
    kind
        As in :class:`Columns`.
    valid
        Where it was recorded; None: everywhere.
    on
        Grid -> :class:`Columns`.
    bins
        Times (s) and width (s) of the bins that counts came in, if they did.
    step
        Median step of the samples, s, where there is one.
    trials
        The trials whose column it is, if it is one.
    """

    name: str
    kind: str
    valid: Intervals | None
    on: Callable[[Grid], Columns]
    bins: tuple[np.ndarray, float] | None = None
    step: float | None = None
    trials: Trials | None = None
