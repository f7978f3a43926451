"""How a recording will be cut up: which streams, which bins; before anything large is read."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from tinbergen.encoding.columns import Source
from tinbergen.encoding.features import find_features
from tinbergen.encoding.grid import Grid
from tinbergen.encoding.sources import find_source
from tinbergen.errors import DataError
from tinbergen.recordings import Dataset, Intervals, Recording, Trials
from tinbergen.recordings.usable import usable

BIN = 0.05


@dataclass(frozen=True, eq=False)
class Plan:
    """How one recording will be cut up; made before anything large is read.

    Attributes
    ----------
    recording
        Its name.
    features
        Name of each feature set -> where it comes from.
    target
        Where the target comes from.
    grid
        The bins.
    """

    recording: str
    features: Mapping[str, Source]
    target: Source
    grid: Grid


def plan(
    recording: Recording,
    features: Mapping[str, Any],
    target: Any,
    *,
    width: float | None = None,
    align: str | None = None,
    before: float | None = None,
    after: float | None = None,
    ranges: Mapping[str, np.ndarray | None] | None = None,
) -> Plan:
    """Find the streams and choose the bins.

    Parameters
    ----------
    recording
        The recording.
    features, target
        What :func:`~tinbergen.encoding.sources.find_source` takes; a target may be a Source.
    width
        Of a bin, s. Default: that of counts which come in bins; one bin a trial where the target
        is one value a trial; else 0.05.
    align
        Column of the trials with the time that windows are laid around; None: the whole recording
        (where the target is one value a trial: each trial as a whole, at its mean rate).
    ranges
        Feature set -> ranges over which bumps are laid, where they are not the recording's own.
    before, after
        The window, s; by default from the event itself to the end of the shortest trial.

    Raises
    ------
    DataError, ConfigError
        If something that was named is not there, or no time is common to all.
    """
    sources = find_features(recording, features, ranges)
    known = isinstance(target, Source)
    goal = target if known else find_source(recording, target, as_target=True)
    streams = {n: s for n, s in [*sources.items(), ("target", goal)] if s.valid is not None}
    own = [s.trials for s in [goal, *sources.values()] if s.trials is not None]
    free = align is None and before is None and after is None and width is None
    if goal.trials is not None and free:
        grid = Grid.whole_trials(goal.trials, _common(streams))
    elif goal.trials is not None or align is not None:
        align = align or "start"
        trials = own[0] if own else trials_with(recording, align)
        grid = _windows(recording, trials, align, before, after, width, goal, streams)
    else:
        # A target that is not known somewhere is NaN there; counts would be zero instead.
        cover = {name: s for name, s in streams.items() if name != "target" or s.kind == "counts"}
        grid = _whole(recording, width, cover or streams)
        grid = replace(grid, left_out=_uncovered(goal, sources, grid.width) | grid.left_out)
        grid = grid.in_trials(own[0]) if own else grid
    if any(trials is not own[0] for trials in own):
        raise DataError(
            f"Recording {recording.name!r}: the columns that were named are of different tables "
            "of trials."
        )
    if not len(grid):
        why = "; ".join(f"{reason}: {number:g}" for reason, number in grid.left_out.items())
        raise DataError(
            f"Recording {recording.name!r}: no bin is covered by all of {', '.join(streams)}"
            f"{f' ({why})' if why else ''}. Are their clocks the same?"
        )
    return Plan(recording.name, sources, goal, grid)


def plan_all(
    dataset: Dataset,
    named: Mapping[str, Any],
    target: Any,
    settings: Mapping[str, Any],
    skip: bool,
) -> tuple[list[Plan], dict[str, str]]:
    """Plan every recording before the first is computed, and gather what is wrong.

    Parameters
    ----------
    dataset, named, target
        The recordings, the features by name, and the target.
    settings
        Of which ``bin``, ``align``, ``before`` and ``after`` are looked at, see :func:`plan`.
    skip
        Leave out recordings that cannot be used.

    Returns
    -------
    plans, and recording -> what is wrong with it.
    """
    cut = {key: settings.get(key) for key in ("align", "before", "after")}
    look = functools.partial(plan, features=named, target=target, width=settings.get("bin"), **cut)
    plans, bad = usable(dataset, look, "recordings", skip)
    return list(plans.values()), bad


def trials_with(recording: Recording, column: str) -> Trials:
    """Return the trials that have a column.

    Raises
    ------
    DataError
        If there are none.
    """
    tables = [s for s in recording.streams.values() if isinstance(s, Trials)]
    for trials in tables:
        if column in trials.table:
            return trials
    found = "; ".join(", ".join(map(str, trials.table)) for trials in tables) or "no trials"
    raise DataError(
        f"Recording {recording.name!r} has no trials with a column {column!r} to align to; it "
        f"has: {found}."
    )


def _common(streams: Mapping[str, Source]) -> Intervals:
    """Where all streams were recorded."""
    valid = Intervals([-np.inf], [np.inf])
    for source in streams.values():
        valid = valid & source.valid  # type: ignore[operator]
    return valid


def _uncovered(goal: Source, features: Mapping[str, Source], width: float) -> dict[str, float]:
    """Time at which the target was recorded but a feature was not, s; below ``width`` is none."""
    if goal.valid is None:
        return {}
    each = {n: s.valid for n, s in features.items() if s.valid is not None}
    lost = {f"seconds without {n}": (goal.valid - valid).duration for n, valid in each.items()}
    return {reason: seconds for reason, seconds in lost.items() if seconds > width}


def _native_width(streams: Mapping[str, Source]) -> float | None:
    widths = [s.bins[1] for s in streams.values() if s.bins is not None]
    return max(widths) if widths else None


def _windows(
    recording: Recording,
    trials: Trials,
    align: str,
    before: float | None,
    after: float | None,
    width: float | None,
    goal: Source,
    streams: Mapping[str, Source],
) -> Grid:
    if align not in trials.table:
        raise DataError(
            f"Recording {recording.name!r}: its trials have no column {align!r}; there are start, "
            f"stop, {', '.join(trials.columns)}."
        )
    before = 0.0 if before is None else before
    if after is None:
        after = _shortest(recording, trials, align)
    if before + after <= 0:
        raise DataError(
            f"Recording {recording.name!r}: a window from {before:g} s before {align!r} to "
            f"{after:g} s after it is empty; give before and after."
        )
    native = _native_width(streams)
    if width is None:
        width = before + after if goal.trials is not None else native or BIN
        if native is not None:
            width = native * max(1, round(width / native))
        after = max(1, int((before + after) / width + 1e-6)) * width - before
    return Grid.around(trials, align, before, after, width, streams)


def _shortest(recording: Recording, trials: Trials, align: str) -> float:
    """Return the shortest time from the event to the end of its trial, s."""
    events: Any = pd.to_numeric(trials.table[align], errors="coerce")
    left = trials.stop - events.to_numpy(np.float64, na_value=np.nan)
    if not np.isfinite(left).any():
        raise DataError(
            f"Recording {recording.name!r}: the column {align!r} of its trials holds no times (s)."
        )
    return float(np.nanmin(left))


def _whole(recording: Recording, width: float | None, streams: Mapping[str, Source]) -> Grid:
    if not streams:
        raise DataError(f"Recording {recording.name!r}: nothing named was sampled over time.")
    valid = _common(streams)
    binned = [s.bins for s in streams.values() if s.bins is not None]
    if not binned:
        return Grid.over(valid, width or BIN)
    times, native = max(binned, key=lambda bins: bins[1])
    join = max(1, round((width or native) / native))
    if width is not None and abs(join * native - width) > 1e-3 * native:
        raise DataError(
            f"Recording {recording.name!r}: its counts come in bins of {native:g} s; expected a "
            f"multiple, found {width:g}."
        )
    return Grid.of_samples(times, native, valid, join)
