"""A dataset: recordings by name, with named splits."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from tinbergen.errors import DataError, MissingFileError
from tinbergen.recordings.dataset_entries import Failures
from tinbergen.recordings.dataset_file import read_dataset_file, write_dataset_file
from tinbergen.recordings.frames import FrameSource
from tinbergen.recordings.images import ArrayVideo, ImageFolder, find_image_folders
from tinbergen.recordings.recording import Recording
from tinbergen.recordings.splits import Split
from tinbergen.recordings.video import Video, find_videos

FILE_NAME = "dataset.yaml"
_NO_VIDEO = (".nwb", ".npz", ".npy", ".mat", ".csv", ".json")


class Dataset(Mapping[str, Recording]):
    """A mapping name -> :class:`Recording`, in a fixed order.

    Parameters
    ----------
    recordings
        The recordings, or a mapping name -> recording (names must agree).
    splits
        Name -> :class:`Split` of these recordings.

    Raises
    ------
    DataError
        If two recordings share a name, or a split names one that is not there.
    """

    def __init__(
        self,
        recordings: Mapping[str, Recording] | Iterable[Recording],
        splits: Mapping[str, Split] | None = None,
    ):
        if isinstance(recordings, Mapping):
            if wrong := [name for name, each in recordings.items() if each.name != name]:
                raise DataError(f"The recording under {wrong[0]!r} has another name of its own.")
            recordings = recordings.values()
        named: dict[str, Recording] = {}
        for recording in recordings:
            if recording.name in named:
                raise DataError(f"Two recordings are called {recording.name!r}; rename one.")
            named[recording.name] = recording
        for name, split in (splits or {}).items():
            if unknown := sorted(split.recordings - set(named)):
                raise DataError(f"Split {name!r}: there is no recording {unknown[0]!r}.")
        self._recordings = named
        self.splits = MappingProxyType(dict(splits or {}))

    @classmethod
    def open(
        cls, source: Any, recursive: bool = True, *, failures: Failures | None = None
    ) -> Dataset:
        """Open a dataset; videos stay closed until something is asked of them.

        Parameters
        ----------
        source
            A ``dataset.yaml``; a folder that holds one; a video; a folder of videos; several of
            these; a folder of images, or of folders of images (where there is no video); an HDF5
            file with a dataset ``video``; a mapping name -> Recording; a Dataset.
        recursive
            Whether to look for videos in the folders below as well.
        failures
            A dictionary to fill: streams of a ``dataset.yaml`` that cannot be read are then left
            out, and stand here as (recording, stream) -> kind, file, error. None: the first one
            raises its error.

        Raises
        ------
        MissingFileError
            If a path does not exist.
        DataError
            If there is nothing to open.
        """
        if isinstance(source, Dataset):
            return source
        if isinstance(source, Mapping):
            return cls(source)
        single = isinstance(source, str | os.PathLike)
        paths = [Path(path) for path in ([source] if single else source)]
        files = [_dataset_file(path) for path in paths]
        if len(paths) == 1 and files[0] is not None:
            return cls(*read_dataset_file(files[0], failures))
        recordings: list[Recording] = []
        for file in files:
            if file is not None:  # splits of one among several say nothing about the rest
                recordings += read_dataset_file(file, failures)[0].values()
        plain = [path for path, file in zip(paths, files, strict=True) if file is None]
        named = name_sources({path: _find(path, recursive) for path in plain})
        recordings += [Recording(name, {"video": video}) for name, video in named.items()]
        if not recordings:
            sessions = [each for path in plain for each in sorted(path.glob("*.nwb"))]
            raise DataError(
                f"Found no video in {', '.join(map(str, paths))}. Expected video files, folders "
                f"of videos or images, or a {FILE_NAME}."
                + "".join(f" {each.name} is NWB. {_entry(each)}" for each in sessions[:1])
            )
        return cls(recordings)

    def save(self, path: str | os.PathLike) -> Path:
        """Write a ``dataset.yaml`` (``path``, or in the folder ``path``), and what it needs.

        Videos are named where they lie. Keypoints, series, labels, spikes and trials are written
        beside it as ``<stream>/<recording>.csv`` or ``.npz``.

        Returns
        -------
        The path of the ``dataset.yaml``.
        """
        path = Path(path)
        path = path if path.suffix in (".yaml", ".yml") else path / FILE_NAME
        write_dataset_file(path, self, self.splits)
        return path

    def __getitem__(self, name: str) -> Recording:
        try:
            return self._recordings[name]
        except KeyError:
            shown = ", ".join(list(self._recordings)[:8])
            raise KeyError(f"No recording {name!r} among {len(self)}: {shown} ...") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._recordings)

    def __len__(self) -> int:
        return len(self._recordings)

    def __repr__(self) -> str:
        return f"Dataset({len(self)} recordings: {', '.join(list(self)[:4])}...)"

    def videos(self) -> list[tuple[str, str, FrameSource]]:
        """List (recording, stream, video) of all videos, several a recording if it has them."""
        return [
            (name, stream, video)
            for name, recording in self.items()
            for stream, video in recording.videos.items()
        ]

    @property
    def animals(self) -> dict[str, str | None]:
        """Recording name -> its subject."""
        return {name: recording.subject for name, recording in self.items()}

    def only(
        self, names: Iterable[str] | None = None, *, animals: Iterable[str] | None = None
    ) -> Self:
        """Return the recordings with these names, or of these animals; splits follow.

        Raises
        ------
        DataError
            If a name or an animal is not there.
        """
        wanted = (
            list(self) if names is None else [names] if isinstance(names, str) else list(names)
        )
        if missing := [name for name in wanted if name not in self]:
            raise DataError(f"There is no recording {missing[0]!r}; there are: {', '.join(self)}.")
        if animals is not None:
            chosen = {animals} if isinstance(animals, str) else set(animals)
            known = {self[name].subject for name in wanted}
            if missing := sorted(chosen - known):
                raise DataError(f"There is no animal {missing[0]!r}; there are: {known}.")
            wanted = [name for name in wanted if self[name].subject in chosen]
        kept = {
            key: Split(
                {p: {n: v for n, v in split[p].items() if n in wanted} for p in split.parts}
            )
            for key, split in self.splits.items()
        }
        return type(self)([self[name] for name in wanted], kept)

    def with_split(self, name: str, split: Split) -> Self:
        """Return the dataset with one more split (stored by :meth:`save`)."""
        return type(self)(self._recordings, {**self.splits, name: split})

    def split(self, name: str) -> dict[str, Dataset]:
        """Return part -> dataset of a named split.

        A recording of which a part has several stretches of time appears once a stretch, under
        ``<recording>@<start>-<stop>``.
        """
        if name not in self.splits:
            raise DataError(f"There is no split {name!r}; there are: {', '.join(self.splits)}.")
        return {part: self._part(self.splits[name], part) for part in self.splits[name].parts}

    def _part(self, split: Split, part: str) -> Dataset:
        pieces = []
        for name, intervals in split[part].items():
            for start, stop in zip(intervals.starts, intervals.stops, strict=True):
                recording = self[name].between(start, stop)
                if len(intervals) > 1:
                    label = f"{name}@{start:.3f}-{stop:.3f}"
                    recording = replace(recording, name=label)
                pieces.append(recording)
        return Dataset(pieces)


def _dataset_file(path: Path) -> Path | None:
    if path.is_dir() and (path / FILE_NAME).is_file():
        return path / FILE_NAME
    return path if path.suffix.lower() in (".yaml", ".yml") else None


def _entry(path: Path) -> str:
    kind = "nwb" if path.suffix.lower() == ".nwb" else "spikes"
    return (
        f"Name it in a {FILE_NAME} beside it, for example: recordings: "
        f"{{{path.stem}: {{streams: {{{kind}: {{kind: {kind}, file: {path.name}}}}}}}}}"
    )


def _find(path: Path, recursive: bool) -> list[FrameSource]:
    if not path.exists():
        raise MissingFileError(f"Expected a video or a folder at {path}, found nothing.")
    if path.suffix.lower() in _NO_VIDEO and path.is_file():
        raise DataError(f"{path} is no video. {_entry(path)}")
    if path.suffix.lower() in (".h5", ".hdf5") and path.is_file():
        return [ArrayVideo(path)]
    videos = [v for v in find_videos(path) if recursive or v.parent == path or v == path]
    if videos or path.is_file():
        return [Video(video) for video in videos]
    folders = find_image_folders(path)
    return [ImageFolder(folder) for folder in folders if recursive or folder == path]


def name_sources(found: Mapping[Path, Iterable[FrameSource]]) -> dict[str, FrameSource]:
    """Give each source a name: its path below the folder where it was found, without suffix.

    Two of one folder that differ in their suffix keep it. Others that would share a name get as
    many of the folders above as tell them apart.
    """
    sources: dict[Path, FrameSource] = {}
    depths: dict[Path, int] = {}  # how many last parts of its path make a source's name
    for root, each in found.items():
        for source in each:
            path, top = source.path.absolute(), root.absolute()
            sources.setdefault(path, source)
            depths.setdefault(path, max(len(path.parts) - len(top.parts), 1))
    twins = Counter(path.with_suffix("") for path in sources)
    while True:
        names = {
            path: _name(path, depth, keep_suffix=twins[path.with_suffix("")] > 1)
            for path, depth in depths.items()
        }
        shared = {name for name, n in Counter(names.values()).items() if n > 1}
        if not shared:
            return {names[path]: sources[path] for path in sorted(names, key=names.__getitem__)}
        for path, name in names.items():
            depths[path] += name in shared


def _name(path: Path, depth: int, keep_suffix: bool) -> str:
    name = Path(*path.parts[-depth:])
    return (name if keep_suffix or path.is_dir() else name.with_suffix("")).as_posix()
