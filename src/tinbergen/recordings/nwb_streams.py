"""Signals of NWB files: time series, fluorescence, pose, films."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from tinbergen.errors import DataError, VideoError
from tinbergen.recordings.frames import FrameSource
from tinbergen.recordings.images import ArrayVideo
from tinbergen.recordings.intervals import Intervals
from tinbergen.recordings.keypoints import Keypoints
from tinbergen.recordings.nwb_hdf5 import (
    Source,
    own_columns,
    plain,
    read_frame,
    text,
    type_of,
)
from tinbergen.recordings.series import Series
from tinbergen.recordings.video import VIDEO_SUFFIXES, Video

MAX_BYTES = 1_000_000_000  # of a series that is read without being asked for by name
_MASKS = ("image_mask", "pixel_mask", "voxel_mask")
_UNITS = {"n.a.": "", "pixels": "px", "pixel": "px", "millimeters": "mm", "millimeter": "mm"}


def read_series_group(group: Any, source: Source, own: dict[str, Any], asked: bool) -> Series:
    """Read a TimeSeries of any kind; see :func:`~tinbergen.recordings.nwb.read_nwb`."""
    data = group["data"]
    if not asked and data.size * data.dtype.itemsize > MAX_BYTES:
        raise DataError(
            f"{data.size * data.dtype.itemsize / 1e9:.1f} GB, read only if named in streams="
        )
    table = _roi_table(group, source) if "rois" in group and not own else None
    values = _values(group)
    if table is not None and len(values) == len(table) != values.shape[-1]:
        source.note(group, f"stored as (roi, time) {values.shape}; turned round")
        values = values.T
    channels = ("x", "y", "z")[: values[:1].size] if type_of(group) == "SpatialSeries" else ()
    if values.ndim > 2:
        source.note(group, f"values {values.shape} laid side by side, one channel each")
    if values.ndim != 2:
        values = values.reshape(len(values), int(np.prod(values.shape[1:])))
    if table is not None and len(table) != values.shape[1]:
        raise DataError(f"{values.shape[1]} traces, but {len(table)} regions of interest")
    times, kept = _times(group, len(values), source)
    values = values if kept is None else values[kept]
    if len(channels) != values.shape[1]:
        channels = ()
    unit = text(data.attrs.get("unit", ""))
    unit = own.get("unit", _UNITS.get(unit, unit))
    if "dtype" in own:
        values = values.astype(own["dtype"])
    if "table" in own:
        table = read_frame(source.file[own["table"]], source, skip=_MASKS)
        channels = tuple(table.pop("channel"))
        table = own_columns(table, own) if own["has_table"] else None
    return Series(times, values, channels, unit, _valid(own), table)  # type: ignore[arg-type]


def _valid(own: dict[str, Any]) -> Intervals | None:
    return Intervals(*np.reshape(own["valid"], (-1, 2)).T) if "valid" in own else None


def _values(group: Any) -> np.ndarray:
    """Numbers in their unit: conversion and offset applied where there are any."""
    data = group["data"]
    if data.dtype.kind not in "biuf" or not data.shape:
        raise DataError(f"expected numbers, found {data.dtype} of shape {data.shape}")
    values = data[()]
    factor = np.float64(data.attrs.get("conversion", 1.0))
    offset = np.float64(data.attrs.get("offset", 0.0))
    if "channel_conversion" in group:
        factor = factor * group["channel_conversion"][()]
    if np.all(factor == 1) and offset == 0:
        return values
    # float32 stays float32; integers become float64
    kind = values.dtype if values.dtype.kind == "f" else np.dtype(np.float64)
    return (values * factor + offset).astype(kind)


def _times(group: Any, n: int, source: Source) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the times of the samples that have one, s, and which they are (None: all)."""
    if "timestamps" in group:
        times = group["timestamps"][()].astype(np.float64)
        if len(times) != n:
            raise DataError(f"{n} samples, but {len(times)} timestamps")
        kept = None
        if not np.isfinite(times).all():
            kept = np.isfinite(times)
            source.note(group, f"{np.sum(~kept)} of {n} samples left out: no finite timestamp")
            times = times[kept]
        back = np.flatnonzero(np.diff(times) < 0)
        if len(back):
            i = int(back[0])
            raise DataError(
                f"timestamps run backwards {len(back)} times, first from {times[i]:.6f} s to "
                f"{times[i + 1]:.6f} s (sample {i + 1})"
            )
        return times, kept
    if "starting_time" not in group:
        raise DataError("neither timestamps nor starting_time with a rate")
    start = group["starting_time"]
    rate = float(start.attrs.get("rate", np.nan))
    if not np.isfinite(rate) or rate <= 0 or not np.isfinite(start[()]):
        raise DataError(f"starts at {start[()]} s with {rate} Hz; expected a positive rate")
    return float(start[()]) + np.arange(n) / rate, None


def _roi_table(group: Any, source: Source) -> pd.DataFrame:
    rois = group["rois"]
    target: Any = source.file[rois.attrs["table"]]
    table = read_frame(target, source, skip=_MASKS)
    table = table.assign(roi=target["id"][()] if "id" in target else np.arange(len(table)))
    plane = target.get("imaging_plane")
    if plane is not None and "location" in plane and "region" not in table:
        table["region"] = text(plane["location"][()])
    rows = rois[()].astype(np.int64)
    if len(rows) and (rows.min() < 0 or rows.max() >= len(table)):
        raise DataError(f"rois: row {rows.max()} is asked for, the table has {len(table)}")
    return table.iloc[rows].reset_index(drop=True)


def read_pose(group: Any, source: Source) -> Keypoints:
    """Read a PoseEstimation of ndx-pose: one individual, one view.

    Body parts with times of their own are brought onto all times that occur, NaN between.
    """
    series = {name: part for name, part in group.items() if isinstance(part, h5py.Group)}
    parts = {name: part for name, part in series.items() if "data" in part}
    if not parts:
        raise DataError("no PoseEstimationSeries")
    names = [name for name in _nodes(group) if name in parts]
    names = names if len(names) == len(parts) else list(parts)
    paths, times = [], []
    for name in names:
        values = _values(parts[name])
        if values.ndim != 2 or values.shape[1] not in (2, 3):
            raise DataError(f"{name}: expected (time, 2 or 3), found {values.shape}")
        confidence: Any = np.full(len(values), np.nan)
        if "confidence" in parts[name]:
            confidence = np.asarray(parts[name]["confidence"])
        if confidence.shape != values.shape[:1]:
            raise DataError(f"{name}: {len(values)} positions, {confidence.size} confidences")
        when, kept = _times(parts[name], len(values), source)
        path = np.column_stack([values, confidence])
        paths.append(path if kept is None else path[kept])
        times.append(when)
    if len({path.shape[1] for path in paths}) > 1:
        raise DataError("some body parts have two coordinates, others three")
    together = times[0]
    if not all(np.array_equal(when, together) for when in times):
        together = np.unique(np.concatenate(times))
        source.note(group, "the body parts have times of their own; NaN where one has none")
    stacked = np.full((len(together), 1, len(names), paths[0].shape[1]), np.nan)
    for k, (when, path) in enumerate(zip(times, paths, strict=True)):
        rows = slice(None) if when is together else np.searchsorted(together, when)
        stacked[rows, 0, k] = path
    unit = text(parts[names[0]]["data"].attrs.get("unit", "px"))
    return Keypoints(
        together,
        stacked[..., :-1],
        stacked[..., -1],
        tuple(names),
        (_individual(group),),
        _UNITS.get(unit, unit),
    )


def _nodes(group: Any) -> list[str]:
    for holder in (_skeleton(group), group):
        if holder is not None and "nodes" in holder:
            return [text(name) for name in holder["nodes"][()]]
    return []


def _skeleton(group: Any) -> Any:
    """Return the skeleton, a link under whatever name."""
    return next((part for part in group.values() if type_of(part) == "Skeleton"), None)


def _individual(group: Any) -> str:
    skeleton = _skeleton(group)
    subject = None if skeleton is None else skeleton.get("subject")
    if subject is not None and "subject_id" in subject:
        return text(subject["subject_id"][()])
    return "individual"


def read_own_pose(source: Source, own: dict[str, Any]) -> Keypoints:
    """Join the individuals that :func:`~tinbergen.recordings.nwb_export.write_nwb` took apart."""
    each = [read_pose(source.file[path], source) for path in own["paths"]]
    return Keypoints(
        each[0].times,
        np.concatenate([one.positions for one in each], axis=1),
        np.concatenate([one.confidence for one in each], axis=1),
        tuple(own["keypoints"]),
        tuple(own["individuals"]),
        own["unit"],
        _valid(own),  # type: ignore[arg-type]
    )


def read_images(group: Any, source: Source) -> dict[str, FrameSource]:
    """Open the films of an ImageSeries: "" -> one; "0", "1", ... -> several files of one series.

    Nothing is decoded. Film in the file itself must be ``(time, height, width[, 3])`` uint8.
    """
    if "external_file" in group:
        files = [text(cell) for cell in np.atleast_1d(group["external_file"][()])]
        return _external(group, files, source)
    data = group.get("data")
    if data is None or data.dtype != np.uint8 or data.ndim not in (3, 4):
        found = "nothing" if data is None else f"{data.dtype} {data.shape}"
        raise DataError(f"expected film as (time, height, width[, 3]) uint8, found {found}")
    if data.ndim == 4 and data.shape[3] != 3:
        raise DataError(f"expected film in gray or RGB, found {data.shape}")
    times, kept = _times(group, len(data), source)
    if kept is not None:
        raise DataError("some frames have no finite timestamp")
    return {"": ArrayVideo(source.path, key=data.name, times=times)}


def _external(group: Any, files: list[str], source: Source) -> dict[str, FrameSource]:
    paths = [source.path.parent / Path(file.replace("\\", "/")) for file in files]
    absent = [path for path in paths if not path.is_file()]
    if absent:
        raise DataError(f"{len(absent)} of {len(paths)} files are absent: {absent[0]}, ...")
    if unlike := [path for path in paths if path.suffix.lower() not in VIDEO_SUFFIXES]:
        raise DataError(f"{unlike[0].name} is not a video")
    firsts = np.atleast_1d(group["external_file"].attrs.get("starting_frame", 0)).astype(int)
    if len(firsts) != len(paths):
        raise DataError(f"{len(paths)} files, but {len(firsts)} numbers of their starting frames")
    try:
        counts = np.array([Video(path).n_frames for path in paths])
    except VideoError as error:
        raise DataError(f"one of its videos cannot be opened: {error}") from error
    total = int((firsts + counts).max())
    times, kept = _times(group, total, source)
    if kept is not None:
        raise DataError("some frames have no finite timestamp")
    single = len(paths) == 1
    return {
        "" if single else str(i): Video(path, times=times[first : first + count])
        for i, (path, first, count) in enumerate(zip(paths, firsts, counts, strict=True))
    }


def is_film(group: Any) -> bool:
    """Whether a group holds images over time."""
    kinds = ("ImageSeries", "OpticalSeries", "TwoPhotonSeries", "OnePhotonSeries")
    return isinstance(group, h5py.Group) and (type_of(group) in kinds or "external_file" in group)


def read_marks(group: Any) -> bool:
    """Whether a series holds moments instead of samples: text, or begins and ends."""
    data = group.get("data")
    if type_of(group) in ("IntervalSeries", "AnnotationSeries"):
        return True
    return data is not None and data.dtype.kind in "OS" and plain(data) is not None
