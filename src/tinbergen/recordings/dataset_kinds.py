"""What can stand under a stream of ``dataset.yaml``: the kinds, and the keys of each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinbergen.configuration import Config, resolve
from tinbergen.errors import ConfigError
from tinbergen.recordings.embedding_entry import EmbeddingEntry
from tinbergen.recordings.images import ARRAY_SUFFIXES
from tinbergen.recordings.label_entry import LabelsEntry
from tinbergen.recordings.suite2p import Signal
from tinbergen.recordings.video import VIDEO_SUFFIXES


class VideoEntry(Config):
    """A video file, a folder of images (``kind: images``) or an array (``kind: array``)."""

    kind: str
    file: str
    times: str | None = None  # sidecar file of frame times
    offset: float = 0.0  # s
    fps: float | None = None  # images and arrays only
    roi: tuple[int, int, int, int] | None = None  # x, y, width, height in px
    follow: int | None = None  # side of a window that goes with the animal, px


class KeypointsEntry(Config):
    """A DeepLabCut or Lightning Pose file; needs ``times`` or ``fps``."""

    kind: str
    file: str
    times: str | None = None  # name of a video stream, or a sidecar file
    fps: float | None = None
    unit: str = "px"


class BinnedTrials(Config):
    """Keys of arrays of trials; see :func:`read_binned_trials`."""

    values: str | None = None
    axes: str | tuple[str, ...] | None = None
    times: str | None = None
    width: float | None = None  # s
    starts: str | None = None
    trial: str | None = None
    gap: float = 1.0  # s
    rate: float = 1.0


class SeriesEntry(BinnedTrials):
    """A series: .npz or CSV as Tinbergen writes them, or (with ``values``) any array."""

    kind: str
    file: str
    unit: str = ""
    fps: float | None = None
    start: float = 0.0  # s
    channels: str | tuple[str, ...] | None = None
    table: dict[str, str] = {}


class ImageSeriesEntry(Config):
    """Images as .npy, with their times beside them as <name>.times.npy (s)."""

    kind: str
    file: str
    unit: str = ""


class SpikesEntry(Config):
    """Spikes: .npz as Tinbergen writes it, or (with ``times`` and ``units``) any two arrays."""

    kind: str
    file: str
    times: str | None = None
    units: str | None = None
    rate: float | None = None
    start: float = 0.0  # s
    ids: str | None = None
    table: dict[str, str] = {}
    valid: tuple[float, float] | None = None  # s


class TrialsEntry(BinnedTrials):
    """Trials: CSV, arrays of ``start`` and ``stop``, or those of an array of trials."""

    kind: str
    file: str
    start: str | None = None
    stop: str | None = None
    duration: float | None = None  # s
    columns: dict[str, str] | tuple[str, ...] = ()
    event: str | None = None


class Suite2pEntry(Config):
    """A plane folder of suite2p."""

    kind: str
    file: str
    fps: float | None = None
    signal: Signal = "corrected"
    cells_only: bool = True
    neuropil: float = 0.7


class KilosortEntry(Config):
    """A folder of Kilosort or phy, or one a probe: ``{probe: folder}``."""

    kind: str
    file: str | dict[str, str]
    sample_rate: float | None = None  # Hz


class SessionEntry(Config):
    """A file or folder with streams of its own: they join the recording under their names.

    ``streams`` chooses some of them, ``{here: there}`` renames them.
    """

    kind: str
    file: str
    streams: dict[str, str] | tuple[str, ...] | None = None


class FlyEntry(SessionEntry):
    """A folder of an MC2P or descending-neuron trial, or a result of DeepFly3D."""

    fps: float | None = None  # of the behaviour cameras, Hz


ENTRIES: dict[str, type[Config]] = {
    "video": VideoEntry,
    "images": VideoEntry,
    "array": VideoEntry,
    "keypoints": KeypointsEntry,
    "series": SeriesEntry,
    "embedding": EmbeddingEntry,
    "image-series": ImageSeriesEntry,
    "labels": LabelsEntry,
    "spikes": SpikesEntry,
    "trials": TrialsEntry,
    "suite2p": Suite2pEntry,
    "kilosort": KilosortEntry,
    "nwb": SessionEntry,
    "alf": SessionEntry,
    "mc2p": FlyEntry,
    "deepfly3d": FlyEntry,
    "descending-neurons": FlyEntry,
}


def resolve_entry(model: Any, value: Any, where: str) -> Any:
    """Validate an entry; errors say ``where`` it stands."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: expected 'key: value' lines, found {value!r}.")
    try:
        return resolve(model, value)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def stream_entry(value: Any, where: str) -> Any:
    """Validate the entry of a stream, or the bare name of its video."""
    if isinstance(value, str):
        suffix = Path(value).suffix.lower()
        kind = "video" if suffix in VIDEO_SUFFIXES else "array" if suffix in ARRAY_SUFFIXES else ""
        if not kind:
            raise ConfigError(
                f"{where}: a bare file name must be a video, found {value!r}. Write 'kind:' (one "
                f"of {', '.join(ENTRIES)}) and 'file:'."
            )
        value = {"kind": kind, "file": value}
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if kind not in ENTRIES:
        raise ConfigError(f"{where}: expected kind: {', '.join(ENTRIES)}; found {kind!r}.")
    return resolve_entry(ENTRIES[kind], value, where)
