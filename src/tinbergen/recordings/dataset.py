"""A dataset: recordings by name."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tinbergen.errors import DataError, MissingFileError
from tinbergen.recordings.frames import FrameSource
from tinbergen.recordings.recording import Recording
from tinbergen.recordings.video import Video, find_videos


class Dataset(Mapping[str, Recording]):
    """A mapping name -> :class:`Recording`."""

    def __init__(self, recordings: Mapping[str, Recording] | Iterable[Recording]):
        if isinstance(recordings, Mapping):
            recordings = recordings.values()
        self._recordings = {recording.name: recording for recording in recordings}

    @classmethod
    def open(cls, source: object) -> Dataset:
        """Open videos or folders of videos."""
        if isinstance(source, Mapping):
            return cls(source)
        paths = [source] if isinstance(source, str | os.PathLike) else list(source)  # type: ignore
        named = name_videos([Path(path) for path in paths])
        if not named:
            raise DataError(f"Found no video in {', '.join(map(str, paths))}.")
        return cls(Recording(name, {"video": Video(path)}) for name, path in named.items())

    def __getitem__(self, name: str) -> Recording:
        return self._recordings[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._recordings)

    def __len__(self) -> int:
        return len(self._recordings)

    def videos(self) -> list[tuple[str, str, FrameSource]]:
        """List (recording, stream, video) of all videos."""
        return [
            (name, stream, video)
            for name, recording in self.items()
            for stream, video in recording.videos.items()
        ]


def name_videos(paths: Iterable[Path]) -> dict[str, Path]:
    """Give each video a name: its path below the folder it was found in, without its suffix.

    Where two would share a name, both keep as many of the folders above as tell them apart, and
    the suffix if need be.
    """
    found: dict[Path, int] = {}  # video -> how many last parts of its path make its name
    for path in paths:
        if not path.exists():
            raise MissingFileError(f"Expected a video or a folder at {path}, found nothing.")
        for video in find_videos([path]):
            depth = len(video.relative_to(path).parts) if path.is_dir() else 1
            found.setdefault(video.absolute(), depth)
    names = {video: _name(video, depth) for video, depth in found.items()}
    while clashes := {name for name, n in Counter(names.values()).items() if n > 1}:
        for video, name in names.items():
            if name in clashes:
                if found[video] < len(video.parts) - 1:
                    found[video] += 1
                    names[video] = _name(video, found[video])
                else:
                    names[video] = video.as_posix().lstrip("/")
    return {name: video for video, name in sorted(names.items())}


def _name(video: Path, depth: int) -> str:
    return Path(*video.parts[-depth:]).with_suffix("").as_posix()
