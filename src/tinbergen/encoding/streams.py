"""One function for each kind of stream: how it comes onto common bins."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from tinbergen.encoding.columns import Columns, Source
from tinbergen.encoding.components import COMPONENTS
from tinbergen.encoding.grid import Grid, counts_on, mean_on
from tinbergen.encoding.pixels import FramePixels, motion_energy
from tinbergen.encoding.tuning import tuning_bumps, tuning_ranges
from tinbergen.errors import DataError
from tinbergen.recordings import Keypoints, Labels, Series, Spikes, Trials
from tinbergen.recordings.binned_counts import bin_width, is_counts
from tinbergen.recordings.frames import FrameSource

MOST_CLASSES = 20
_LONGEST_HOLE = 0.25


def _chosen(names: tuple[str, ...], wanted: str, where: str) -> np.ndarray:
    if wanted and wanted not in names:
        raise DataError(f"{where}: there is no {wanted!r} among {', '.join(names[:20])}.")
    return np.flatnonzero([not wanted or name == wanted for name in names])


REGIONS = ("region", "brain_area", "location")  # columns of a table of units


def _units(ids: Any, table: pd.DataFrame | None, wanted: str, where: str) -> np.ndarray:
    """Rows of the units with a region, ``column=value``, or an id."""
    names = np.array([str(i) for i in ids])
    if not wanted:
        return np.arange(len(names))
    column, equals, value = wanted.partition("=")
    columns = [column] if equals else list(REGIONS)
    for name in columns:
        if table is not None and name in table:
            found = np.flatnonzero(table[name].astype(str).to_numpy() == (value or wanted))
            if len(found):
                return found
    found = np.flatnonzero(names == wanted)
    if not len(found):
        named = [] if table is None else table.astype(str).items()
        known = [_values(str(name), np.unique(each)) for name, each in named]
        raise DataError(
            f"{where}: no unit has {wanted!r}; columns of its table: {', '.join(known) or 'none'}."
        )
    return found


def _values(name: str, values: np.ndarray) -> str:
    """Name a column and how many values it has; of regions the values themselves."""
    return f"{name} ({', '.join(values) if name in REGIONS else f'{len(values)} values'})"


def series_source(
    text: str,
    series: Series,
    channel: str,
    view: str = "values",
    where: str = "",
    ranges: np.ndarray | None = None,
) -> Source:
    """Bring a series onto a grid by means, counts in bins by adding up, angles as two columns.

    ``ranges`` are those of other bumps, to lay the same ones.
    """
    table = getattr(series, "table", None)
    step = float(np.median(np.diff(series.times))) if len(series) > 1 else None
    if is_counts(series) and (step := bin_width(series)) is not None:
        at = _units(series.channels, table, channel, where)
        names = tuple(series.channels[i] for i in at)

        def count(grid: Grid) -> Columns:
            values = counts_on(grid, series.times, series.values[:, at], step)
            rows = None if table is None else table.iloc[at].reset_index(drop=True)
            return Columns(values, names, "counts", table=rows)

        return Source(text, "counts", series.valid, count, (series.times, step), step)
    at = _chosen(series.channels, channel, where)
    names = _channel_names(series, at, text.split(":")[0].split("/")[0])

    def mean(grid: Grid) -> Columns:
        values = series.values[:, at]
        rows = None if table is None else table.iloc[at].reset_index(drop=True)
        if view == "values":
            return Columns(mean_on(grid, series.times, values, series.valid), names, table=rows)
        if view == "tuned":
            own = tuning_ranges(np.asarray(values, np.float64)) if ranges is None else ranges
            bumps = tuning_bumps(np.asarray(values, np.float64), ranges=own)
            label = ", ".join(names)
            labels = tuple(f"{label} bump {k}" for k in range(bumps.shape[1]))
            means = mean_on(grid, series.times, bumps, series.valid)
            return Columns(means, labels, ranges=own)
        radians = np.deg2rad(values) if series.unit.lower().startswith("deg") else values
        both = np.stack([np.cos(radians), np.sin(radians)], axis=2).reshape(len(values), -1)
        both_names = tuple(f"{f} {name}" for name in names for f in ("cos", "sin"))
        return Columns(mean_on(grid, series.times, both, series.valid), both_names, "angle")

    kind = "angle" if view == "circular" else "continuous"
    return Source(text, kind, series.valid, mean, step=step)


def _channel_names(series: Series, at: np.ndarray, stream: str) -> tuple[str, ...]:
    """Return the channels' names; those that have none but a number are called by the stream."""
    if series.channels != tuple(str(i) for i in range(len(series.channels))):
        return tuple(series.channels[i] for i in at)
    return (stream,) if len(series.channels) == 1 else tuple(f"{stream} {i}" for i in at)


def spikes_source(text: str, spikes: Spikes, channel: str, where: str) -> Source:
    """Count spikes in each bin."""
    at = _units(spikes.table.index, spikes.table, channel, where)

    def on(grid: Grid) -> Columns:
        counts = np.empty((len(grid), len(at)))
        for rows, bins in grid.pieces():
            part = spikes.between(bins.starts[0], bins.stops[-1])
            counts[rows] = part.bin(bins)[:, at]
        counts *= grid.scale
        names = tuple(str(i) for i in spikes.table.index[at])
        return Columns(counts, names, "counts", table=spikes.table.iloc[at].reset_index(drop=True))

    return Source(text, "counts", spikes.valid, on)


def keypoints_source(text: str, pose: Keypoints, keypoint: str, view: str, where: str) -> Source:
    """Bring positions, velocities or speeds of keypoints onto a grid; bridge short holes."""
    at = _chosen(pose.keypoints, keypoint, where)
    space = pose.positions.shape[3]
    names = [
        f"{who + ' ' if len(pose.individuals) > 1 else ''}{pose.keypoints[k]} {axis}"
        for who in pose.individuals
        for k in at
        for axis in "xyz"[:space]
    ]

    def on(grid: Grid) -> Columns:
        paths, note = _filled(pose.times, pose.positions[:, :, at].reshape(len(pose), -1))
        parts, labels = [], []
        velocity = np.gradient(paths, pose.times, axis=0) if len(pose) > 1 else paths * 0
        if view in ("all", "positions"):
            parts.append(paths)
            labels += names
        if view in ("all", "velocities"):
            parts.append(velocity)
            labels += [f"{name}/s" for name in names]
        if view == "speed":
            parts.append(np.linalg.norm(velocity.reshape(len(pose), -1, space), axis=2))
            labels += [name[:-2] for name in names[::space]]
        values = mean_on(grid, pose.times, np.concatenate(parts, axis=1), pose.valid)
        return _without_rare(Columns(values, tuple(labels), notes=note))

    step = float(np.median(np.diff(pose.times))) if len(pose) > 1 else None
    return Source(text, "continuous", pose.valid, on, step=step)


def _filled(times: np.ndarray, paths: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Bridge holes of up to 0.25 s by straight lines; say how much that was."""
    paths = paths.copy()
    bridged = 0
    for column in paths.T:
        known = np.flatnonzero(np.isfinite(column))
        if len(known) < 2 or len(known) == len(column):
            continue
        holes = np.flatnonzero(np.diff(known) > 1)
        for a, b in zip(known[holes], known[holes + 1], strict=True):
            if times[b] - times[a] <= _LONGEST_HOLE:
                inside = slice(a + 1, b)
                column[inside] = np.interp(times[inside], times[[a, b]], column[[a, b]])
                bridged += b - a - 1
    share = bridged / max(paths.size, 1)
    note = f"{share:.1%} of the keypoint samples were interpolated (holes up to 0.25 s)."
    return paths, (note,) if bridged else ()


def _without_rare(columns: Columns) -> Columns:
    """Leave out columns that are known in less than half of the bins: they would cost the rest."""
    known = np.isfinite(columns.values).mean(axis=0)
    rare = known < 0.5
    if not rare.any() or rare.all():
        return columns
    lost = [name for name, out in zip(columns.names, rare, strict=True) if out]
    return replace(
        columns,
        values=columns.values[:, ~rare],
        names=tuple(name for name in columns.names if name not in lost),
        notes=(
            *columns.notes,
            f"{len(lost)} columns are known in less than half of the bins and were left out: "
            f"{', '.join(lost[:6])}.",
        ),
    )


def video_source(text: str, video: FrameSource, view: str) -> Source:
    """Compute motion energy, or principal components of the frames."""

    def motion(grid: Grid) -> Columns:
        series = motion_energy(video)
        values = mean_on(grid, series.times, series.values, series.valid)
        return Columns(values, series.channels)

    def frames(grid: Grid) -> Columns:
        pixels = FramePixels(video)
        known, project = pixels.on(grid)
        bad = int((~pixels.ok).sum())
        note = (f"{bad} frames could not be decoded.",) if bad else ()
        names = tuple(f"pc{i}" for i in range(COMPONENTS))
        return Columns(known, names, notes=note, project=project, alike=True)

    on = motion if view == "motion" else frames
    return Source(text, "continuous", video.valid, on, step=1 / video.fps)


def labels_source(text: str, labels: Labels, channel: str, target: bool, where: str) -> Source:
    """Bring labels onto a grid: the share of each class, or as a target the main one."""
    at = _chosen(labels.classes, channel, where)

    def on(grid: Grid) -> Columns:
        shares = np.full((len(grid), len(labels.classes)), np.nan)
        for rows, bins in grid.pieces():
            shares[rows] = labels.bin(bins)
        if not target:
            return Columns(shares[:, at], tuple(labels.classes[i] for i in at))
        if channel:  # this class against all others
            codes = np.where(np.isfinite(shares[:, at[0]]), shares[:, at[0]] >= 0.5, -1)
            return Columns(codes[:, None], (channel,), "classes", (f"not {channel}", channel))
        known = np.isfinite(shares).all(axis=1) & (np.nan_to_num(shares).max(axis=1) >= 0.5)
        codes = np.where(known, np.nan_to_num(shares).argmax(axis=1), -1)
        return Columns(codes[:, None], (text,), "classes", labels.classes)

    return Source(text, "classes" if target else "continuous", None, on)


def trials_source(
    text: str, trials: Trials, column: str, view: str, target: bool, where: str
) -> Source:
    """Bring a column of the trials onto a grid, or give one value a trial as a target."""
    if column not in trials.table:
        raise DataError(f"{where}: the trials have the columns {', '.join(trials.columns)}.")
    values: Any = trials.table[column]
    if view == "events":
        numbers: Any = pd.to_numeric(values, errors="coerce")
        times = numbers.to_numpy(np.float64, na_value=np.nan)

        def impulses(grid: Grid) -> Columns:
            out = np.zeros((len(grid), 1))
            for rows, bins in grid.pieces():
                at = bins.of(times[np.isfinite(times)])
                np.add.at(out[rows], at[at >= 0], 1.0)
            return Columns(out, (column,))

        return Source(text, "continuous", None, impulses, trials=trials)
    codes, classes = as_classes(values, numbers=view == "numbers")
    kind = "classes" if classes else "continuous"

    def steps(grid: Grid) -> Columns:
        if target:
            taken = np.append(codes, -1 if classes else np.nan)[grid.trial]
            return Columns(taken[:, None], (column,), kind, classes)
        inside = grid.trial >= 0
        if not classes:
            taken = np.where(inside, np.append(codes, 0.0)[grid.trial], 0.0)
            return Columns(taken[:, None], (column,))
        of_bin = np.append(codes, -2)[grid.trial]
        hot = (of_bin[:, None] == np.arange(len(classes))).astype(float)
        hot[of_bin == -1] = np.nan  # a trial whose value is not known
        return Columns(hot, tuple(f"{column} {name}" for name in classes))

    return Source(text, kind, None, steps, trials=trials)


def as_classes(values: Any, numbers: bool = False) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read a column of trials (a pandas Series) as classes if few values recur, else as numbers.

    Returns
    -------
    codes or numbers, ``(trial,)``; and the names of the classes (none: numbers). Unknown values
    are -1 or NaN.
    """
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    kinds = values.dropna().unique()
    if numbers and not numeric:
        raise DataError(f"The column {values.name!r} holds names, not numbers: {kinds[:5]}.")
    unlike = len(kinds) == values.notna().sum() > 2  # what never comes twice is no class
    if numbers or (numeric and (unlike or len(kinds) > MOST_CLASSES)):
        return values.to_numpy(np.float64, na_value=np.nan), ()
    if len(kinds) > MOST_CLASSES:
        raise DataError(f"The column {values.name!r} has {len(kinds)} names; that is no class.")
    ordered = sorted(kinds) if numeric else sorted(kinds, key=str)
    codes = pd.Categorical(values, categories=ordered).codes
    names = [f"{v:g}" if numeric else str(v) for v in ordered]
    return np.asarray(codes, dtype=np.int64), tuple(names)
