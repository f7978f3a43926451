"""Streams of ``dataset.yaml``: how each kind of entry is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tinbergen.configuration import Config
from tinbergen.errors import ConfigError, TinbergenError
from tinbergen.recordings.arrays import (
    read_array_series,
    read_array_spikes,
    read_array_trials,
    read_binned_trials,
)
from tinbergen.recordings.clock_entry import clock_of, on_clock
from tinbergen.recordings.dataset_kinds import (
    BinnedTrials,
    FlyEntry,
    ImageSeriesEntry,
    KeypointsEntry,
    KilosortEntry,
    SeriesEntry,
    SessionEntry,
    SpikesEntry,
    Suite2pEntry,
    TrialsEntry,
    VideoEntry,
    stream_entry,
)
from tinbergen.recordings.embedding_entry import read_embedding_entry
from tinbergen.recordings.following import AnimalView
from tinbergen.recordings.frames import FrameSource
from tinbergen.recordings.image_series import ImageSeries, read_image_series
from tinbergen.recordings.images import ArrayVideo, ImageFolder
from tinbergen.recordings.keypoints import Keypoints
from tinbergen.recordings.label_entry import read_labels_entry
from tinbergen.recordings.label_files import LabelFile
from tinbergen.recordings.recording import Recording
from tinbergen.recordings.series import Series, read_series
from tinbergen.recordings.spikes import Spikes, read_spikes
from tinbergen.recordings.suite2p import read_suite2p
from tinbergen.recordings.tracked import read_keypoints
from tinbergen.recordings.trials import Trials, read_trials
from tinbergen.recordings.video import Video

Failures = dict[tuple[str, str], tuple[str, str, TinbergenError]]
"""(recording, stream) -> kind, file and error of what could not be read."""


def read_streams(
    values: Mapping[str, Any],
    folder: Path,
    recording: str,
    where: str,
    failures: Failures | None = None,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Read the streams of one recording, and what their readers have to say.

    Parameters
    ----------
    values
        Stream -> entry.
    folder
        What files are relative to.
    recording, where
        Its name, and what errors call it.
    failures
        Where streams that cannot be read are put; None: their errors are raised.

    Raises
    ------
    ConfigError
        If an entry is not as it should be.
    """
    entries, clocks = {}, {}
    for stream, value in values.items():
        here = f"{where}, stream {stream!r}"
        if isinstance(value, Mapping) and "clock" in value:
            clocks[stream] = clock_of(value["clock"], here)
            value = {key: each for key, each in value.items() if key != "clock"}
        entries[stream] = stream_entry(value, here)
    found: dict[str, dict[str, Any]] = {}
    notes: list[str] = []
    # Videos first: the times of keypoints may be those of a video, those of labels of either.
    last = ("keypoints", "labels")
    for stream, entry in sorted(
        entries.items(), key=lambda e: last.index(e[1].kind) if e[1].kind in last else -1
    ):
        read = {name: value for each in found.values() for name, value in each.items()}
        try:
            value = _READERS[entry.kind](entry, folder, read)
            if isinstance(value, LabelFile):
                notes += [f"{stream}: {note}" for note in value.notes]
                value = value.labels
            if (clock := clocks.get(stream)) is not None:
                value, said = on_clock(clock, value, folder)
                notes.append(f"{stream}: {said}")
        except TinbergenError as error:
            if failures is None or isinstance(error, ConfigError):
                raise type(error)(f"{where}, stream {stream!r}: {error}") from error
            files = [entry.file] if isinstance(entry.file, str) else entry.file.values()
            failures[recording, stream] = (
                entry.kind,
                ", ".join(str(folder / f) for f in files),
                error,
            )
            continue
        new = {stream: value}
        if isinstance(value, Recording):
            notes += value.notes
            new = _chosen(value, entry.streams)
        if twice := sorted(new.keys() & (read.keys() | values.keys()) - {stream}):
            raise ConfigError(
                f"{where}, stream {stream!r}: {twice[0]!r} is there already; rename it with "
                f"streams: {{another name: {twice[0]}}}."
            )
        found[stream] = new
    return {k: v for stream in values for k, v in found.get(stream, {}).items()}, tuple(notes)


def _chosen(session: Recording, wanted: Any) -> dict[str, Any]:
    if wanted is None:
        return dict(session.streams)
    names = wanted if isinstance(wanted, Mapping) else {name: name for name in wanted}
    return {here: session[there] for here, there in names.items()}


def _read_frames(entry: VideoEntry, folder: Path, _: Mapping[str, Any]) -> FrameSource:
    options: dict[str, Any] = {"offset": entry.offset, "roi": entry.roi}
    if entry.times is not None:
        options["times"] = folder / entry.times
    if entry.kind == "video" and entry.fps is not None:
        raise ConfigError(f"{entry.file}: a video has times of its own; use 'times', not 'fps'.")
    if entry.fps is not None:
        options["fps"] = entry.fps
    kinds = {"video": Video, "images": ImageFolder, "array": ArrayVideo}
    source = kinds[entry.kind](folder / entry.file, **options)
    return source if entry.follow is None else AnimalView(source, entry.follow)


def _read_keypoints(entry: KeypointsEntry, folder: Path, streams: Mapping[str, Any]) -> Keypoints:
    times = None if entry.times is None else streams.get(entry.times, folder / entry.times)
    found = read_keypoints(folder / entry.file, times, fps=entry.fps)
    return replace(found, unit=entry.unit)


def _read_series(entry: SeriesEntry, folder: Path, _: Mapping[str, Any]) -> Series:
    path = folder / entry.file
    if path.suffix.lower() in (".csv", ".npz") and _only(entry, "unit"):
        return read_series(path, entry.unit)
    known = {
        "values": entry.values,
        "times": entry.times,
        "axes": entry.axes,
        "rate": entry.rate,
        "channels": list(entry.channels) if isinstance(entry.channels, tuple) else entry.channels,
        "unit": entry.unit,
        "table": entry.table,
    }
    if not _in_trials(entry):
        return read_array_series(path, **known, fps=entry.fps, start=entry.start)
    if entry.fps is not None or entry.start:
        raise ConfigError("trials have a width (s per bin) and starts; use these, not fps, start.")
    return read_binned_trials(path, **known, **_layout(entry))[0]


def _read_spikes(entry: SpikesEntry, folder: Path, _: Mapping[str, Any]) -> Spikes:
    path = folder / entry.file
    if path.suffix.lower() == ".npz" and _only(entry):
        return read_spikes(path)
    return read_array_spikes(
        path,
        entry.times or "times",
        entry.units or "units",
        rate=entry.rate,
        start=entry.start,
        ids=entry.ids,
        table=entry.table,
        valid=entry.valid,
    )


def _read_trials(entry: TrialsEntry, folder: Path, _: Mapping[str, Any]) -> Trials:
    path = folder / entry.file
    if _only(entry):
        return read_trials(path)
    if entry.start is not None:
        return read_array_trials(
            path,
            entry.start,
            entry.stop,
            duration=entry.duration,
            rate=entry.rate,
            columns=entry.columns,
        )
    if entry.values is None:
        raise ConfigError(
            "expected start (with stop or duration), or values of an array of trials; a CSV of "
            "trials takes no keys."
        )
    return read_binned_trials(
        path,
        entry.values,
        axes=entry.axes,
        times=entry.times,
        rate=entry.rate,
        columns=entry.columns,
        event=entry.event,
        **_layout(entry),
    )[1]


def _in_trials(entry: BinnedTrials) -> bool:
    """Whether the array is one of trials: a key that only trials have was given."""
    return "trial" in (entry.axes or "") or bool(
        entry.model_fields_set & {"width", "starts", "trial", "gap"}
    )


def _layout(entry: BinnedTrials) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in ("width", "starts", "trial", "gap")}


def _only(entry: Config, *names: str) -> bool:
    """Whether nothing but the file and ``names`` was given."""
    return entry.model_fields_set <= {"kind", "file", *names}


def _read_suite2p(entry: Suite2pEntry, folder: Path, _: Mapping[str, Any]) -> Series:
    return read_suite2p(
        folder / entry.file,
        entry.fps,
        signal=entry.signal,
        cells_only=entry.cells_only,
        neuropil=entry.neuropil,
    )


def _read_kilosort(entry: KilosortEntry, folder: Path, _: Mapping[str, Any]) -> Any:
    from tinbergen.recordings.kilosort import read_kilosort

    if isinstance(entry.file, str):
        return read_kilosort(folder / entry.file, sample_rate=entry.sample_rate)
    probes = {probe: folder / file for probe, file in entry.file.items()}
    return read_kilosort(probes, sample_rate=entry.sample_rate)


def _read_image_series(entry: ImageSeriesEntry, folder: Path, _: Mapping[str, Any]) -> ImageSeries:
    return read_image_series(folder / entry.file, entry.unit)


def _read_session(entry: SessionEntry, folder: Path, _: Mapping[str, Any]) -> Recording:
    if entry.kind == "nwb":
        from tinbergen.recordings.nwb import read_nwb

        return read_nwb(folder / entry.file)
    from tinbergen.recordings.alf import read_alf

    return read_alf(folder / entry.file)


def _read_fly(entry: FlyEntry, folder: Path, _: Mapping[str, Any]) -> Recording:
    path = folder / entry.file
    if entry.kind == "mc2p":
        from tinbergen.recordings.mc2p import read_mc2p

        return read_mc2p(path, fps=entry.fps).recording
    known: dict[str, Any] = {} if entry.fps is None else {"fps": entry.fps}
    if entry.kind == "deepfly3d":
        from tinbergen.recordings.deepfly3d import read_deepfly3d

        return read_deepfly3d(path, **known)
    from tinbergen.recordings.descending import read_descending_neurons

    return read_descending_neurons(path, **known)


_READERS: dict[str, Callable[[Any, Path, Mapping[str, Any]], Any]] = {
    "video": _read_frames,
    "images": _read_frames,
    "array": _read_frames,
    "keypoints": _read_keypoints,
    "series": _read_series,
    "embedding": read_embedding_entry,
    "image-series": _read_image_series,
    "labels": read_labels_entry,
    "spikes": _read_spikes,
    "trials": _read_trials,
    "suite2p": _read_suite2p,
    "kilosort": _read_kilosort,
    "nwb": _read_session,
    "alf": _read_session,
    "mc2p": _read_fly,
    "deepfly3d": _read_fly,
    "descending-neurons": _read_fly,
}
