"""``dataset.yaml``: what a dataset consists of, with paths relative to the file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tinbergen.configuration import Config, read_yaml, resolve, write_yaml
from tinbergen.errors import ConfigError, DataError
from tinbergen.files import atomic_write, safe_name
from tinbergen.recordings.deeplabcut import read_dlc_csv, read_dlc_h5, write_dlc_csv
from tinbergen.recordings.frames import FrameSource
from tinbergen.recordings.images import ARRAY_SUFFIXES, ArrayVideo, ImageFolder
from tinbergen.recordings.keypoints import Keypoints
from tinbergen.recordings.labels import Labels, read_labels
from tinbergen.recordings.recording import Recording
from tinbergen.recordings.series import Series, read_series
from tinbergen.recordings.spikes import Spikes, read_spikes
from tinbergen.recordings.splits import Split
from tinbergen.recordings.trials import read_trials
from tinbergen.recordings.video import VIDEO_SUFFIXES, Video

SCHEMA_VERSION = 1


class DatasetEntry(Config):
    """Top level of ``dataset.yaml``."""

    schema_version: int = SCHEMA_VERSION
    recordings: dict[str, dict[str, Any]]
    splits: dict[str, dict[str, Any]] = {}


class RecordingEntry(Config):
    """One recording: its animal, and stream name -> entry (or, for a video, just its file)."""

    subject: str | None = None
    streams: dict[str, Any]


class VideoEntry(Config):
    """A video file, a folder of images (``kind: images``) or an array (``kind: array``)."""

    kind: str
    file: str
    times: str | None = None  # sidecar file of frame times
    offset: float = 0.0  # s
    fps: float | None = None  # images and arrays only
    roi: tuple[int, int, int, int] | None = None  # x, y, width, height in px


class KeypointsEntry(Config):
    """A DeepLabCut or Lightning Pose file; needs ``times`` or ``fps``."""

    kind: str
    file: str
    times: str | None = None  # name of a video stream, or a sidecar file
    fps: float | None = None
    unit: str = "px"


class SeriesEntry(Config):
    """A series: .npz or CSV."""

    kind: str
    file: str
    unit: str = ""


class LabelsEntry(Config):
    """Labels: CSV start, stop, label[, individual]."""

    kind: str
    file: str
    classes: tuple[str, ...] = ()


class FileEntry(Config):
    """Spikes (.npz) or trials (CSV)."""

    kind: str
    file: str


_ENTRIES: dict[str, type[Config]] = {
    "video": VideoEntry,
    "images": VideoEntry,
    "array": VideoEntry,
    "keypoints": KeypointsEntry,
    "series": SeriesEntry,
    "labels": LabelsEntry,
    "spikes": FileEntry,
    "trials": FileEntry,
}


def read_dataset_file(path: Path) -> tuple[dict[str, Recording], dict[str, Split]]:
    """Read a ``dataset.yaml`` and the small files that it names; videos stay closed.

    Raises
    ------
    ConfigError
        Naming the unknown or ill-typed key.
    MissingFileError, DataError
        Naming the file that is absent or not as it should be.
    """
    entry = resolve(DatasetEntry, read_yaml(path))
    if entry.schema_version != SCHEMA_VERSION:
        raise ConfigError(
            f"{path}: schema_version {entry.schema_version} is not known here (expected "
            f"{SCHEMA_VERSION}). It was written by another version of Tinbergen."
        )
    recordings = {}
    for name, value in entry.recordings.items():
        where = f"{path}, recording {name!r}"
        recording = _resolve(RecordingEntry, value, where)
        streams = _read_streams(recording.streams, path.parent, where)
        recordings[name] = Recording(name, streams, recording.subject)
    splits = {name: Split.from_dict(value) for name, value in entry.splits.items()}
    for name, split in splits.items():
        if unknown := sorted(split.recordings - set(recordings)):
            raise DataError(f"{path}, split {name!r}: there is no recording {unknown[0]!r}.")
    return recordings, splits


def _resolve(model: Any, value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: expected 'key: value' lines, found {value!r}.")
    try:
        return resolve(model, value)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _read_streams(values: Mapping[str, Any], folder: Path, where: str) -> dict[str, Any]:
    entries = {
        stream: _stream_entry(value, f"{where}, stream {stream!r}")
        for stream, value in values.items()
    }
    streams: dict[str, Any] = {}
    # Videos first: the times of keypoints may be those of a video.
    for stream, entry in sorted(entries.items(), key=lambda item: item[1].kind == "keypoints"):
        streams[stream] = _READERS[entry.kind](entry, folder, streams)
    return {stream: streams[stream] for stream in values}


def _stream_entry(value: Any, where: str) -> Any:
    if isinstance(value, str):
        suffix = Path(value).suffix.lower()
        kind = "video" if suffix in VIDEO_SUFFIXES else "array" if suffix in ARRAY_SUFFIXES else ""
        if not kind:
            raise ConfigError(
                f"{where}: a bare file name must be a video, found {value!r}. Write 'kind:' (one "
                f"of {', '.join(_ENTRIES)}) and 'file:'."
            )
        value = {"kind": kind, "file": value}
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if kind not in _ENTRIES:
        raise ConfigError(f"{where}: expected kind: {', '.join(_ENTRIES)}; found {kind!r}.")
    return _resolve(_ENTRIES[kind], value, where)


def _read_frames(entry: VideoEntry, folder: Path, _: Mapping[str, Any]) -> FrameSource:
    options: dict[str, Any] = {"offset": entry.offset, "roi": entry.roi}
    if entry.times is not None:
        options["times"] = folder / entry.times
    if entry.kind == "video":
        if entry.fps is not None:
            raise ConfigError(
                f"{entry.file}: a video has times of its own; use 'times', not 'fps'."
            )
        return Video(folder / entry.file, **options)
    if entry.fps is not None:
        options["fps"] = entry.fps
    return (ImageFolder if entry.kind == "images" else ArrayVideo)(folder / entry.file, **options)


def _read_keypoints(entry: KeypointsEntry, folder: Path, streams: Mapping[str, Any]) -> Keypoints:
    times = None if entry.times is None else streams.get(entry.times, folder / entry.times)
    read = read_dlc_h5 if Path(entry.file).suffix == ".h5" else read_dlc_csv
    return replace(read(folder / entry.file, times, fps=entry.fps), unit=entry.unit)


_READERS: dict[str, Callable[[Any, Path, Mapping[str, Any]], Any]] = {
    "video": _read_frames,
    "images": _read_frames,
    "array": _read_frames,
    "keypoints": _read_keypoints,
    "series": lambda entry, folder, _: read_series(folder / entry.file, entry.unit),
    "labels": lambda entry, folder, _: read_labels(folder / entry.file, entry.classes),
    "spikes": lambda entry, folder, _: read_spikes(folder / entry.file),
    "trials": lambda entry, folder, _: read_trials(folder / entry.file),
}


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
    for name, recording in recordings.items():
        streams = {
            stream: _write_stream(value, stream, recording, path.parent)
            for stream, value in recording.streams.items()
        }
        entries[name] = {"subject": recording.subject, "streams": streams}
    value: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "recordings": entries}
    if splits:
        value["splits"] = {name: split.to_dict() for name, split in splits.items()}
    write_yaml(path, value)


def _write_stream(value: Any, stream: str, recording: Recording, folder: Path) -> dict[str, Any]:
    parts = [safe_name(part) for part in recording.name.split("/")]
    stem = Path(safe_name(stream), *parts)
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
