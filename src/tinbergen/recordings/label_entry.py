"""The entry of ``dataset.yaml`` that names a file of labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinbergen.configuration import Config
from tinbergen.errors import ConfigError
from tinbergen.recordings.label_files import Format, LabelFile, open_labels
from tinbergen.recordings.label_rows import Observed, Unit


class LabelsEntry(Config):
    """Labels in any format that is known; see :func:`open_labels`."""

    kind: str
    file: str
    classes: tuple[str, ...] = ()
    times: str | None = None  # name of a stream that is sampled over time, or a sidecar file
    fps: float | None = None
    format: Format | None = None
    where: dict[str, str | tuple[str, ...]] = {}
    observed: Observed | None = None
    unscored: tuple[str, ...] | None = None
    overlaps: bool = False
    individual: str = ""
    unit: Unit | None = None
    first_frame: int = 0
    stop_included: bool = False
    tolerance: float = 1.0  # s


def read_labels_entry(entry: LabelsEntry, folder: Path, streams: Mapping[str, Any]) -> LabelFile:
    """Read the file of an entry; ``streams`` are those of its recording that were read before."""
    times: Any = None if entry.times is None else folder / entry.times
    if entry.times is not None and entry.times in streams:
        times = getattr(streams[entry.times], "times", None)
        if not isinstance(times, np.ndarray):
            raise ConfigError(
                f"times: the stream {entry.times!r} is not sampled over time; name a video, "
                "keypoints or a series."
            )
    options = entry.model_dump(exclude={"kind", "file", "classes", "times"})
    return open_labels(folder / entry.file, entry.classes, times=times, **options)
