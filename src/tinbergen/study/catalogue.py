"""What the data of a study consist of: entries of ``dataset.yaml``, and hashes of their files."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinbergen.configuration import read_yaml, resolve
from tinbergen.errors import ConfigError, DataError, MissingFileError
from tinbergen.files import content_hash, write_json
from tinbergen.recordings.dataset import FILE_NAME, Dataset
from tinbergen.recordings.dataset_file import SCHEMA_VERSION, DatasetEntry, RecordingEntry
from tinbergen.recordings.frames import FrameSource
from tinbergen.recordings.images import ArrayVideo, ImageFolder

FRAMES = ("video", "images", "array")
_NO_FRAMES = ("keypoints", "series", "embedding", "labels", "spikes", "trials")
_NO_FRAMES += ("suite2p", "kilosort")
_LONG = 1_000_000_000  # bytes, from which reading a file takes more than a moment


@dataclass(frozen=True)
class Catalogue:
    """Recordings with the entries of their streams, files as absolute paths.

    Attributes
    ----------
    recordings
        Name -> entry as in ``dataset.yaml``.
    splits
        As in ``dataset.yaml``.
    """

    recordings: Mapping[str, Mapping[str, Any]]
    splits: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, data: Path) -> Catalogue:
        """List what a ``dataset.yaml``, or a folder of videos, consists of.

        Raises
        ------
        ConfigError, DataError
            If the file is not as it should be.
        MissingFileError
            Naming a file that is absent.
        """
        path = data / FILE_NAME if (data / FILE_NAME).is_file() else data
        if path.suffix.lower() not in (".yaml", ".yml"):
            videos = Dataset.open(data).videos()
            return cls({name: {"streams": {key: _frames(v)}} for name, key, v in videos})
        try:
            entry = resolve(DatasetEntry, read_yaml(path))
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None
        if not entry.recordings:
            raise DataError(f"{path} names no recording; expected 'recordings: {{name: ...}}'.")
        recordings = {}
        for name, value in entry.recordings.items():
            where = f"{path}, recording {name!r}"
            try:
                resolve(RecordingEntry, value)
            except ConfigError as error:
                raise ConfigError(f"{where}: {error}") from None
            streams = {
                stream: _absolute(each, path.parent, value["streams"], f"{where}, {stream!r}")
                for stream, each in value["streams"].items()
            }
            recordings[name] = {**value, "streams": streams}
        return cls(recordings, entry.splits)

    def only(self, *, frames: bool = False, streams: Iterable[str] | None = None) -> Catalogue:
        """Return it with fewer streams: those that may hold frames, or those that are named.

        Streams that others take their times from stay. What reads only frames reads no splits.

        Raises
        ------
        ConfigError
            If no recording has a named stream.
        """
        wanted = None if streams is None else set(streams)
        kept, seen = {}, set()
        for name, recording in self.recordings.items():
            own = recording["streams"]
            chosen = {
                stream
                for stream, entry in own.items()
                if (stream in wanted if wanted is not None else not frames or _may_show(entry))
            }
            seen |= chosen
            chosen |= {own[s]["times"] for s in chosen if own[s].get("times") in own}
            kept[name] = {**recording, "streams": {s: e for s, e in own.items() if s in chosen}}
        if wanted is not None and (missing := sorted(wanted - seen)):
            there = sorted({s for each in self.recordings.values() for s in each["streams"]})
            raise ConfigError(f"there is no stream {missing[0]!r}; there are: {', '.join(there)}.")
        return Catalogue(kept, {} if frames else self.splits)

    def joined(
        self, found: Iterable[tuple[str, str, Mapping[str, Any]]], whole: Catalogue
    ) -> Catalogue:
        """Return it with further streams: (recording, stream, entry).

        What they take their times from comes along from ``whole``.

        Raises
        ------
        ConfigError
            If a recording has a stream of this name already.
        """
        recordings = {n: {**r, "streams": dict(r["streams"])} for n, r in self.recordings.items()}
        for name, stream, entry in found:
            if stream in recordings[name]["streams"]:
                raise ConfigError(
                    f"recording {name!r} has a stream {stream!r} already; call the step otherwise."
                )
            recordings[name]["streams"][stream] = dict(entry)
            if (times := entry.get("times")) is not None:
                recordings[name]["streams"][times] = whole.recordings[name]["streams"][times]
        return Catalogue(recordings, self.splits)

    @property
    def videos(self) -> dict[str, list[str]]:
        """Recording -> its streams of frames."""
        return {
            name: [s for s, entry in each["streams"].items() if entry["kind"] in FRAMES]
            for name, each in self.recordings.items()
        }

    def files(self) -> list[Path]:
        """Return every file and folder that it names."""
        return [
            path
            for each in self.recordings.values()
            for entry in each["streams"].values()
            for path in _paths(entry)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the content of a ``dataset.yaml``."""
        return {
            "schema_version": SCHEMA_VERSION,
            "recordings": self.recordings,
            **({"splits": self.splits} if self.splits else {}),
        }

    def fingerprint(self, hashes: Hashes) -> str:
        """Return a hash of entries and contents; where the files lie does not matter."""
        text = json.dumps([self.recordings, self.splits], sort_keys=True)
        for path in sorted(set(self.files())):
            text = text.replace(json.dumps(str(path)), json.dumps(hashes.of(path)))
        return hashlib.sha256(text.encode()).hexdigest()


class Hashes:
    """Content hashes of files and folders, kept in a file so that each is read once.

    A file is read again when its size or time of change differs from what is kept.
    """

    def __init__(self, path: Path):
        self._path = path
        try:
            self._kept = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            self._kept = {}
        self._changed = False

    def of(self, path: Path) -> str:
        """Return the hash of a file, or of all files in a folder with their names."""
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file())
            names = [f"{p.relative_to(path).as_posix()} {self.of(p)}" for p in inside]
            return hashlib.sha256("\n".join(names).encode()).hexdigest()
        if not path.is_file():
            raise MissingFileError(f"Expected a file or folder at {path}, found none.")
        stat = path.stat()
        key = [stat.st_size, stat.st_mtime_ns]
        kept = self._kept.get(str(path))
        if kept is None or kept[:2] != key:
            if stat.st_size > _LONG:
                print(f"reading {path} once, for its hash", file=sys.stderr, flush=True)
            kept = self._kept[str(path)] = [*key, content_hash(path)]
            self._changed = True
        return kept[2]

    def save(self) -> None:
        """Write the file if anything new was read."""
        if self._changed:
            write_json(self._path, self._kept)
            self._changed = False


def _may_show(entry: Mapping[str, Any]) -> bool:
    return entry["kind"] not in _NO_FRAMES


def _absolute(entry: Any, folder: Path, streams: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return an entry with absolute paths; a bare file name is a video or an array of frames."""
    if isinstance(entry, str):
        suffix = Path(entry).suffix.lower()
        entry = {"kind": "array" if suffix in (".h5", ".hdf5") else "video", "file": entry}
    if not isinstance(entry, Mapping) or not {"kind", "file"} <= entry.keys():
        raise ConfigError(f"{where}: expected 'kind:' and 'file:', found {entry!r}.")

    def at(file: str) -> str:
        path = Path(os.path.normpath(folder / file)).absolute()
        if not path.exists():
            raise MissingFileError(f"{where}: expected a file or folder at {path}, found none.")
        return str(path)

    file, times = entry["file"], entry.get("times")
    new = dict(entry)
    new["file"] = {k: at(v) for k, v in file.items()} if isinstance(file, Mapping) else at(file)
    # In arrays `times` is a key of the file; for labels and keypoints a stream, or a sidecar.
    if times is not None and times not in streams and (folder / times).is_file():
        new["times"] = at(times)
    return new


def _paths(entry: Mapping[str, Any]) -> list[Path]:
    file, times = entry["file"], entry.get("times")
    named = list(file.values()) if isinstance(file, Mapping) else [file]
    if isinstance(times, str) and os.path.isabs(times):
        named.append(times)
    return [Path(each) for each in named]


def _frames(video: FrameSource) -> dict[str, Any]:
    entry: dict[str, Any] = {"kind": "video", "file": str(video.path.absolute())}
    if isinstance(video, ImageFolder | ArrayVideo):
        entry["kind"] = "images" if isinstance(video, ImageFolder) else "array"
        entry["fps"] = video.nominal_fps
    return entry
