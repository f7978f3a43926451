"""Neurodata Without Borders (NWB 2) files."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import h5py

from tinbergen.errors import DataError, MissingFileError, TinbergenError
from tinbergen.recordings.intervals import Intervals
from tinbergen.recordings.keypoints import Keypoints
from tinbergen.recordings.labels import Labels
from tinbergen.recordings.nwb_hdf5 import Source, is_table, text, type_of
from tinbergen.recordings.nwb_streams import (
    is_film,
    read_images,
    read_marks,
    read_own_pose,
    read_pose,
    read_series_group,
)
from tinbergen.recordings.nwb_tables import read_events, read_intervals, read_units
from tinbergen.recordings.recording import Recording
from tinbergen.recordings.series import Series
from tinbergen.recordings.spikes import Spikes

_PLACES = (
    "units",
    "intervals",
    "acquisition",
    "processing",
    "events",
    "stimulus/presentation",
    "analysis",
)
_INVALID = "intervals/invalid_times"


def read_nwb(
    path: str | os.PathLike,
    *,
    name: str | None = None,
    streams: Collection[str] | None = None,
    observed: Literal["all", "any"] = "all",
) -> Recording:
    """Read an NWB file: units, trials and other intervals, signals, pose, fluorescence, films.

    ======================================  =================================================
    In the file                             Stream
    ======================================  =================================================
    units                                   ``spikes``: :class:`Spikes`; region, depth (µm) and
                                            quality from columns or electrodes
    trials, any other TimeIntervals         :class:`Trials` under the table's name
    TimeSeries, SpatialSeries, ...          :class:`Series`, conversion and offset applied
    RoiResponseSeries                       :class:`Series` with a table of the cells
    PoseEstimation (ndx-pose)               :class:`Keypoints` with confidence
    ImageSeries                             :class:`Video` (external) or :class:`ArrayVideo`
    annotations, events                     :class:`Trials` without duration
    ======================================  =================================================

    Streams bear the name of the object; two of one name bear those of their parents too
    (``behavior/left/position``). What cannot be read is left out, what is odd is corrected only
    where that is safe, and both stand in ``recording.notes``. Columns of several values a row
    become tuples. ``invalid_times`` are taken from the ``valid`` of every signal.

    Parameters
    ----------
    path
        HDF5 file of NWB 2.x; pynwb is not needed.
    name
        Of the recording; default: the file's, without its suffix.
    streams
        Which ones; default: all but signals of more than 1 GB. A stream that is named here and
        cannot be read is an error.
    observed
        Where units have intervals of observation: spikes are valid where all units were observed,
        or any.

    Raises
    ------
    MissingFileError, DataError
        If there is no such file, if it is no NWB 2 file, or if a stream asked for is not as it
        should be.

    Examples
    --------
    >>> session = read_nwb("sub-4_ses-4.nwb")                    # doctest: +SKIP
    >>> session["spikes"].table[["region", "quality"]]           # doctest: +SKIP
    """
    path = Path(path)
    if not path.is_file():
        what = "a folder (NWB on Zarr cannot be read)" if path.is_dir() else "none"
        raise MissingFileError(f"Expected an NWB file at {path}, found {what}.")
    if observed not in ("all", "any"):
        raise DataError(f"Expected observed='all' or 'any', found {observed!r}.")
    try:
        with h5py.File(path, "r") as file:
            if not text(file.attrs.get("nwb_version", "")).removeprefix("NWB-").startswith("2"):
                found = text(file.attrs.get("nwb_version", "no nwb_version"))
                raise DataError(f"{path}: expected an NWB 2 file, found {found}.")
            return _read(Source.of(path, file), name or path.stem, streams, observed)
    except TinbergenError:
        raise
    except (KeyError, ValueError, OSError, RuntimeError) as error:  # what h5py raises
        raise DataError(f"{path} is not an NWB file, or a damaged one: {error}") from error


def _read(source: Source, name: str, streams: Collection[str] | None, observed: str) -> Recording:
    found = _find(source)
    if streams is not None and (unknown := sorted(set(streams) - set(found))):
        raise DataError(
            f"{source.path} has no stream {unknown[0]!r}; it has {', '.join(found) or 'none'}."
        )
    result: dict[str, Any] = {}
    for stream, where in found.items():
        if streams is not None and stream not in streams:
            continue
        try:
            value = _read_stream(source, stream, where, streams is not None, observed)
            result.update(value if isinstance(value, dict) else {stream: value})
        except (KeyError, IndexError, ValueError, TypeError, OSError, RuntimeError) as error:
            if streams is not None:
                raise DataError(f"{source.path}, {where}: {error}.") from error
            source.notes.append(f"{where}: left out: {error}")
    if "spikes" not in found:
        source.notes.append("units: there is no table of units")
    if _INVALID in source.file and not source.own:
        result = _without_invalid(source, result)
    subject = source.file.get("general/subject/subject_id")
    return Recording(
        name, result, None if subject is None else text(subject[()]), tuple(source.notes)
    )


def _read_stream(source: Source, stream: str, where: str, asked: bool, observed: str) -> Any:
    group: Any = source.file[where]
    own = source.own.get(stream, {})
    if own.get("kind") == "keypoints":
        return read_own_pose(source, own)
    kind = _kind(group)
    if kind == "units":
        return read_units(group, source, observed, own)
    if kind == "intervals":
        return read_intervals(group, source, own)
    if kind == "events":
        return read_events(group, source)
    if kind == "pose":
        return read_pose(group, source)
    if kind == "film":
        films = read_images(group, source)
        return {f"{stream}/{part}" if part else stream: film for part, film in films.items()}
    return read_series_group(group, source, own, asked)


def _kind(group: Any) -> str | None:
    """Return what a group is read as; None: look inside."""
    kind = type_of(group)
    if is_table(group):
        if kind == "Units" or "spike_times" in group:
            return "units"
        if "start_time" in group:
            return "intervals"
        return "events" if "timestamp" in group else "table"
    if kind == "PoseEstimation":
        return "pose"
    if is_film(group):
        return "film"
    if read_marks(group):
        return "events"
    if "data" in group or kind.endswith("Series"):
        return "series" if "data" in group else "broken"
    return "events" if "timestamps" in group else None


def _find(source: Source) -> dict[str, str]:
    """Return stream name -> path of its object, names that collide told apart by their parents."""
    own = {_path(entry): stream for stream, entry in source.own.items()}
    hidden = {path.strip("/") for entry in source.own.values() for path in _paths(entry)}
    paths = [path for place in _PLACES for path in _walk(source, place) if path not in hidden]
    parts = {path: path.split("/") for path in paths if path not in own}
    depth = dict.fromkeys(parts, 1)
    while True:
        names = {path: _name(parts[path], depth[path]) for path in parts}
        taken = [*names.values(), *own.values()]
        clash = [p for p in parts if taken.count(names[p]) > 1 and depth[p] < len(parts[p])]
        if not clash:
            break
        for path in clash:
            depth[path] += 1
    others = {name: path for path, name in names.items()}
    return {stream: path for path, stream in own.items()} | others


def _name(parts: list[str], depth: int) -> str:
    return "spikes" if parts == ["units"] and depth == 1 else "/".join(parts[-depth:])


def _path(entry: dict[str, Any]) -> str:
    return _paths(entry)[0].strip("/")


def _paths(entry: dict[str, Any]) -> list[str]:
    """Return where a stream of our own lies: its main object first."""
    paths = entry.get("paths") or [entry["path"]]
    return [*paths, *([entry["table"]] if "table" in entry else [])]


def _walk(source: Source, place: str) -> Iterator[str]:
    group = source.file.get(place)
    if group is None and "/" in place.removeprefix("stimulus/"):
        source.notes.append(f"{place}: left out: the link leads to nothing")
    if not isinstance(group, h5py.Group):
        return
    kind = _kind(group)
    if kind == "broken":
        source.notes.append(f"{place}: left out: a {type_of(group)} without data")
    elif kind in ("units", "intervals", "events", "pose", "film", "series"):
        yield place
    elif kind is None:
        for child in group:
            # A soft link points to something that is found at its own place.
            if not isinstance(group.get(child, getlink=True), h5py.SoftLink):
                yield from _walk(source, f"{place}/{child}")


def _without_invalid(source: Source, streams: dict[str, Any]) -> dict[str, Any]:
    table: Any = source.file[_INVALID]
    rows = read_intervals(table, Source(source.path, source.file), {})
    if isinstance(rows, Labels) or not len(rows):
        return streams
    invalid = Intervals(rows.start, rows.stop)
    source.note(table, f"{invalid.duration:.3f} s taken from the valid times of all signals")
    return {
        name: replace(stream, valid=stream.valid - invalid)
        if isinstance(stream, Series | Spikes | Keypoints)
        else stream
        for name, stream in streams.items()
    }
