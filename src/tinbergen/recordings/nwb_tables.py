"""Tables of NWB files: units, trials and other intervals, events."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tinbergen.errors import DataError
from tinbergen.recordings.intervals import Intervals
from tinbergen.recordings.labels import Labels
from tinbergen.recordings.nwb_hdf5 import (
    Source,
    column_names,
    n_rows,
    own_columns,
    plain,
    read_column,
    read_frame,
    row_ends,
    text,
)
from tinbergen.recordings.spikes import Spikes
from tinbergen.recordings.trials import Trials

# Names that labs and converters use, best first; letter case does not matter.
_REGION = (
    "region",
    "brain_region",
    "brain_area",
    "area",
    "location",
    "structure_acronym",
    "ecephys_structure_acronym",
    "beryl_location",
    "allen_location",
    "anatomy",
)
_DEPTH = (
    "depth",
    "depth_um",
    "unit_depth",
    "depths",
    "distance_from_probe_tip_um",
    "rel_y",
    "probe_vertical_position",
)
_QUALITY = ("quality", "group", "cluster_group", "ks_label", "kslabel", "ibl_quality_score")
_PEAK = ("peak_channel_id", "peak_electrode", "max_electrode", "main_channel", "peak_channel")
_NOT_COLUMNS = (
    "spike_times",
    "obs_intervals",
    "electrodes",
    "electrode_group",
    "waveform_mean",
    "waveform_sd",
    "waveforms",
)


def read_units(group: Any, source: Source, observed: str, own: dict[str, Any]) -> Spikes:
    """Read a table of units; see :func:`~tinbergen.recordings.nwb.read_nwb`."""
    if "spike_times" not in group:
        raise DataError(
            f"no column spike_times; it has {', '.join(column_names(group)) or 'none'}"
        )
    ends = row_ends(group, "spike_times")
    if ends is None:
        raise DataError("spike_times has no spike_times_index, so its units are not known")
    table = read_frame(group, source, skip=_NOT_COLUMNS, single=not own)
    _add(table, "region", _REGION, lambda: _region(group, source))
    _add(table, "depth", _DEPTH, lambda: _depth(group, source))
    _add(table, "quality", _QUALITY, lambda: None)
    ids = plain(group["id"]) if "id" in group else np.arange(len(table))
    if own.get("ids"):
        ids = table.pop(own["ids"])
    table = own_columns(table, own)
    if len(np.unique(ids)) < len(ids):  # type: ignore[arg-type]
        source.note(group, "some ids stand twice; units are numbered by row, the ids kept as 'id'")
        table["id"], ids = ids, np.arange(len(table))
    times, units = _spike_times(group, source, ends)
    if own:
        valid = Intervals(*np.reshape(own["valid"], (-1, 2)).T)
    else:
        valid = _observed(group, source, observed, times)
    return Spikes(times, units, table.set_index(pd.Index(ids).rename(None)), valid)  # type: ignore[arg-type]


def _spike_times(group: Any, source: Source, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    total = int(ends[-1]) if len(ends) else 0
    times = group["spike_times"][:total].astype(np.float64)
    units = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
    if lost := len(group["spike_times"]) - total:
        source.note(group, f"{lost} spikes after the last unit's end left out")
    back = np.unique(units[1:][(np.diff(times) < 0) & (np.diff(units) == 0)])
    if len(back):
        source.note(group, f"spike times of {len(back)} units were not ascending; sorted")
    finite = np.isfinite(times)
    if not finite.all():
        source.note(group, f"{np.sum(~finite)} of {total} spikes left out: no finite time")
        times, units = times[finite], units[finite]
    silent = len(ends) - len(np.unique(units))
    if silent:
        source.note(group, f"{silent} of {len(ends)} units have no spike; kept")
    order = np.argsort(times, kind="stable")
    return times[order], units[order]


def _observed(group: Any, source: Source, observed: str, times: np.ndarray) -> Intervals | None:
    if "obs_intervals" not in group:
        return None
    ends = row_ends(group, "obs_intervals")
    pairs = np.reshape(group["obs_intervals"][()], (-1, 2)).astype(np.float64)
    bad = ~(pairs[:, 0] <= pairs[:, 1])
    if bad.any():
        raise DataError(f"obs_intervals: {bad.sum()} rows stop before they start, or are NaN")
    each = [Intervals(*rows.T) for rows in np.split(pairs, [] if ends is None else ends)]
    each = [one for one in each[: n_rows(group)] if len(one)]
    if not each:
        return None
    every, some = each[0], each[0]
    for one in each[1:]:
        every, some = (every, some) if one == every == some else (every & one, some | one)
    if every != some:
        source.note(
            group,
            f"not all units were observed at the same times: all for {every.duration:.1f} s, any "
            f"for {some.duration:.1f} s; the {'first' if observed == 'all' else 'second'} holds",
        )
    valid = every if observed == "all" else some
    if not len(valid):
        raise DataError(
            "obs_intervals: there is no time at which all units were observed; pass "
            "observed='any', and leave out units for yourself"
        )
    outside = len(times) - int(valid.contains(times).sum())
    if outside:
        source.note(group, f"{outside} of {len(times)} spikes lie outside the observed intervals")
    return valid


def _add(table: pd.DataFrame, name: str, candidates: tuple[str, ...], other: Any) -> None:
    """Fill ``table[name]`` from the best of the columns, else from ``other()``."""
    lower = {column.lower(): column for column in reversed(table.columns)}
    found = next((lower[c] for c in candidates if c in lower), None)
    values = table[found] if found is not None else other()
    if values is not None and name not in table:
        table[name] = values


def _electrode_rows(group: Any, source: Source) -> list[np.ndarray] | None:
    """Rows of the electrode table that each unit was seen on, the peak alone where it is known."""
    electrodes = _electrodes(group, source)
    if electrodes is None:
        return None
    ids = electrodes["id"][()].tolist() if "id" in electrodes else []
    for name in _PEAK:
        if name in group and f"{name}_index" not in group:
            peaks = read_column(group, name)
            if peaks is not None and set(np.ravel(peaks).tolist()) <= set(ids):
                return [np.array([ids.index(peak)]) for peak in peaks.tolist()]
    if "electrodes" not in group:
        return None
    rows = group["electrodes"][()].astype(np.int64)
    if len(rows) and (rows.min() < 0 or rows.max() >= n_rows(electrodes)):
        source.note(
            group,
            f"electrodes: row {rows.max()} is asked for, the table of electrodes has "
            f"{n_rows(electrodes)}; regions are not known",
        )
        return None
    ends = row_ends(group, "electrodes")
    return (
        [rows[i : i + 1] for i in range(len(rows))] if ends is None else np.split(rows, ends)[:-1]
    )


def _electrodes(group: Any, source: Source) -> Any:
    if "electrodes" in group and "table" in group["electrodes"].attrs:
        return source.file[group["electrodes"].attrs["table"]]
    return source.file.get("general/extracellular_ephys/electrodes")


def _region(group: Any, source: Source) -> Any:
    """Region of each unit from its electrodes, else from its electrode group."""
    rows = _electrode_rows(group, source)
    electrodes = _electrodes(group, source)
    if rows is not None and "location" in electrodes:
        names = read_column(electrodes, "location")
        if names is not None:
            regions = ["+".join(sorted(set(names[each]))) for each in rows]
            mixed = sum(len(set(names[each])) > 1 for each in rows)
            if mixed:
                source.note(group, f"{mixed} units lie on electrodes of several regions (a+b)")
            return regions
    if "electrode_group" in group:
        groups = [source.file[reference] for reference in group["electrode_group"][()]]
        return [text(each.attrs.get("location", "")) for each in groups]
    return None


def _depth(group: Any, source: Source) -> Any:
    rows = _electrode_rows(group, source)
    electrodes = _electrodes(group, source)
    if rows is None:
        return None
    for name in _DEPTH:
        depths = read_column(electrodes, name) if name in electrodes else None
        if depths is not None and depths.dtype.kind in "fiu":
            return [depths[each].mean() if len(each) else np.nan for each in rows]
    return None


def read_intervals(group: Any, source: Source, own: dict[str, Any]) -> Trials | Labels:
    """Read a table with start_time and stop_time; rows that cannot be are left out and counted."""
    table = read_frame(group, source)
    if "stop_time" not in table:
        raise DataError(f"no column stop_time; it has {', '.join(table.columns)}")
    taken = {name: f"{name}_column" for name in ("start", "stop") if name in table}
    table = table.rename(columns=taken | {"start_time": "start", "stop_time": "stop"})
    if not len(table):
        source.note(group, "the table has no row")
        table = table.astype({"start": np.float64, "stop": np.float64})
    if not all(table[name].dtype.kind in "fiu" for name in ("start", "stop")):
        raise DataError("start_time and stop_time are not numbers")
    times = table[["start", "stop"]].to_numpy(np.float64)
    unknown = ~np.isfinite(times).all(axis=1)
    backwards = times[:, 0] > times[:, 1]
    for bad, what in ((unknown, "start or stop not known"), (backwards, "stop before start")):
        if bad.any():
            first = np.flatnonzero(bad)[0]
            source.note(
                group, f"{bad.sum()} of {len(table)} rows left out: {what} (first: row {first})"
            )
    table = own_columns(table.loc[~(unknown | backwards)], own)
    if own.get("kind") == "labels":
        looked = Intervals(table["start"], table["stop"])
        return Labels(table.loc[table["label"] != ""], tuple(own["classes"]), looked)
    return Trials(table)


def read_events(group: Any, source: Source) -> Trials:
    """Read what has moments instead of a start and a stop: as trials without duration.

    That is: an EventsTable, Events of ndx-events, an AnnotationSeries, an IntervalSeries.
    """
    if "colnames" in group.attrs:
        table = read_frame(group, source).rename(columns={"timestamp": "start"})
        lasts = table["duration"].fillna(0.0) if "duration" in table else 0.0
        table.insert(1, "stop", table["start"] + lasts)
    else:
        if "timestamps" not in group:
            raise DataError("no timestamps")
        starts = group["timestamps"][()].astype(np.float64)
        table = pd.DataFrame({"start": starts, "stop": starts})
        values = plain(group["data"]) if "data" in group else None
        if values is not None and len(values) != len(table):
            raise DataError(f"{len(values)} values, but {len(table)} timestamps")
        if values is not None and group.attrs.get("neurodata_type") == "IntervalSeries":
            table = _from_marks(starts, values)
        elif values is not None and values.ndim == 1:
            table["value" if values.dtype.kind in "fiub" else "annotation"] = values
    known = np.isfinite(table["start"]) & np.isfinite(table["stop"])
    if not known.all():
        source.note(group, f"{(~known).sum()} of {len(known)} events left out: no finite time")
    return Trials(table.loc[known])


def _from_marks(times: np.ndarray, marks: np.ndarray) -> pd.DataFrame:
    """Intervals from an IntervalSeries: +k begins one of kind k, -k ends it."""
    rows = []
    for kind in np.unique(np.abs(marks)):
        begins, ends = times[marks == kind], times[marks == -kind]
        if len(begins) != len(ends) or (begins > ends).any():
            raise DataError(
                f"kind {kind} begins {len(begins)} times, ends {len(ends)} times, or not in turn"
            )
        rows += [(start, stop, int(kind)) for start, stop in zip(begins, ends, strict=True)]
    return pd.DataFrame(rows, columns=["start", "stop", "kind"])
