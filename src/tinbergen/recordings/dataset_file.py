"""``dataset.yaml``: what a dataset consists of, with paths relative to the file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinbergen.configuration import Config, read_yaml, write_yaml
from tinbergen.errors import ConfigError, DataError
from tinbergen.files import atomic_write, safe_name
from tinbergen.recordings.dataset_entries import Failures, read_streams
from tinbergen.recordings.dataset_kinds import resolve_entry
from tinbergen.recordings.deeplabcut import write_dlc_csv
from tinbergen.recordings.following import AnimalView
from tinbergen.recordings.frames import FrameSource
from tinbergen.recordings.image_series import ImageSeries
from tinbergen.recordings.images import ArrayVideo, ImageFolder
from tinbergen.recordings.keypoints import Keypoints
from tinbergen.recordings.labels import Labels
from tinbergen.recordings.recording import Recording
from tinbergen.recordings.series import Series
from tinbergen.recordings.spikes import Spikes
from tinbergen.recordings.splits import Split
from tinbergen.recordings.video import Video

SCHEMA_VERSION = 1


class DatasetEntry(Config):
    """Top level of ``dataset.yaml``."""

    schema_version: int = SCHEMA_VERSION
    recordings: dict[str, dict[str, Any]]
    splits: dict[str, dict[str, Any]] = {}


class RecordingEntry(Config):
    """One recording: its animal, and stream name -> entry (or, for a video, just its file)."""

    subject: str | None = None
    notes: tuple[str, ...] = ()
    streams: dict[str, Any]


def read_dataset_file(
    path: Path, failures: Failures | None = None
) -> tuple[dict[str, Recording], dict[str, Split]]:
    """Read a ``dataset.yaml`` and the small files that it names; videos stay closed.

    Parameters
    ----------
    path
        Of the file.
    failures
        Where streams that cannot be read are put; None: their errors are raised.

    Raises
    ------
    ConfigError
        Naming the unknown or ill-typed key.
    MissingFileError, DataError
        Naming the file that is absent or not as it should be.
    """
    entry = resolve_entry(DatasetEntry, read_yaml(path), str(path))
    if not entry.recordings:
        raise DataError(f"{path} names no recording; expected 'recordings: {{name: ...}}'.")
    if entry.schema_version != SCHEMA_VERSION:
        raise ConfigError(
            f"{path}: schema_version {entry.schema_version} is not known here (expected "
            f"{SCHEMA_VERSION}). It was written by another version of Tinbergen."
        )
    recordings = {}
    for name, value in entry.recordings.items():
        where = f"{path}, recording {name!r}"
        each = resolve_entry(RecordingEntry, value, where)
        streams, notes = read_streams(each.streams, path.parent, name, where, failures)
        recordings[name] = Recording(name, streams, each.subject, (*each.notes, *notes))
    splits = {name: Split.from_dict(value) for name, value in entry.splits.items()}
    for name, split in splits.items():
        if unknown := sorted(split.recordings - set(recordings)):
            raise DataError(f"{path}, split {name!r}: there is no recording {unknown[0]!r}.")
    return recordings, splits


def write_dataset_file(
    path: Path, recordings: Mapping[str, Recording], splits: Mapping[str, Split]
) -> None:
    """Write ``dataset.yaml``; streams other than frames become ``<stream>/<recording>.<suffix>``.

    Videos are named where they lie, by paths relative to the file.

    Raises
    ------
    DataError
        If a stream is a clip of a video, which a file name cannot express.
    """
    entries = {}
    taken: set[str] = set()
    for name, recording in recordings.items():
        streams = {
            stream: _write_stream(value, _stem(stream, name, taken), recording, path.parent)
            for stream, value in recording.streams.items()
        }
        entries[name] = {"subject": recording.subject, "streams": streams}
        if recording.notes:
            entries[name]["notes"] = list(recording.notes)
    value: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "recordings": entries}
    if splits:
        value["splits"] = {name: split.to_dict() for name, split in splits.items()}
    write_yaml(path, value)


def _stem(stream: str, recording: str, taken: set[str]) -> Path:
    """Return a path for a stream that no other one has, in whatever letter case."""
    first = stem = Path(safe_name(stream), *(safe_name(part) for part in recording.split("/")))
    number = 2
    while stem.as_posix().casefold() in taken:
        stem, number = first.with_name(f"{first.name}_{number}"), number + 1
    taken.add(stem.as_posix().casefold())
    return stem


def _write_stream(value: Any, stem: Path, recording: Recording, folder: Path) -> dict[str, Any]:
    if isinstance(value, ImageSeries):
        file = stem.with_name(f"{stem.name}.npy")
        value.write(folder / file)
        return {"kind": "image-series", "file": file.as_posix(), "unit": value.unit}
    suffix = ".npz" if isinstance(value, Series | Spikes) else ".csv"
    file = stem.with_name(stem.name + suffix)
    if isinstance(value, FrameSource):
        return _write_frames(value, stem, folder)
    entry: dict[str, Any] = {"kind": type(value).__name__.lower(), "file": file.as_posix()}
    if isinstance(value, Keypoints):
        write_dlc_csv(folder / file, value)
        return entry | {
            "unit": value.unit,
            "times": _keypoint_times(value, recording, stem, folder),
        }
    if isinstance(value, Labels):
        entry["classes"] = list(value.classes)
    value.write(folder / file)
    return entry


def _keypoint_times(value: Keypoints, recording: Recording, stem: Path, folder: Path) -> str:
    for name, video in recording.videos.items():
        if np.array_equal(video.times, value.times):
            return name
    return _write_times(value.times, stem, folder)


def _write_times(times: np.ndarray, stem: Path, folder: Path) -> str:
    file = stem.with_name(stem.name + ".times.npy")
    with atomic_write(folder / file, "wb") as target:
        np.save(target, times)
    return file.as_posix()


def _write_frames(source: FrameSource, stem: Path, folder: Path) -> dict[str, Any]:
    if source.is_clip:
        raise DataError(f"{source.path} is a clip; a dataset.yaml can name whole files only.")
    if isinstance(source, AnimalView):
        entry = _write_frames(source.video, stem, folder)
        if source.sidecar is not None:
            entry.pop("offset", None)
            entry["times"] = _write_times(source.times, stem, folder)
        return entry | {"follow": source.follow}
    kinds = {Video: "video", ImageFolder: "images", ArrayVideo: "array"}
    entry: dict[str, Any] = {"kind": kinds[type(source)], "file": _relative(source.path, folder)}
    if isinstance(source.sidecar, str | os.PathLike):
        entry["times"] = _relative(Path(source.sidecar), folder)
    elif source.sidecar is not None:
        entry["times"] = _write_times(np.asarray(source.sidecar, float), stem, folder)
    if isinstance(source, ImageFolder | ArrayVideo):
        entry["fps"] = source.nominal_fps
    if source.offset:
        entry["offset"] = source.offset
    if source.roi is not None:
        entry["roi"] = list(source.roi)
    return entry


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path.absolute(), folder.absolute())).as_posix()
