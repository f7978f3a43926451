"""Images of measurements, sampled at their own times: the field of view of a microscope.

Not a video: values are numbers (dF/F), which stay on disk and are never loaded whole.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np

from tinbergen.errors import DataError, MissingFileError
from tinbergen.files import atomic_write
from tinbergen.recordings.intervals import Bins, Intervals
from tinbergen.recordings.series import sample_times, samples_between


@dataclass(frozen=True, eq=False)
class ImageSeries:
    """Images of one place over time.

    Attributes
    ----------
    times
        ``(n,)`` float64, s, ascending.
    values
        ``(n, height, width)`` numbers, kept as they were given; a memory map stays one.
    unit
        Of the values.
    valid
        Where was recorded; default: from the times, as of a Series.

    Raises
    ------
    DataError
        If lengths do not fit.

    Examples
    --------
    >>> field_of_view = ImageSeries([0.0, 0.1], np.zeros((2, 4, 4)))
    >>> field_of_view.between(0.05, 1.0).values.shape
    (1, 4, 4)
    """

    times: np.ndarray
    values: np.ndarray = field(repr=False)
    unit: str = ""
    valid: Intervals = field(default=None)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        times = sample_times(self.times, "ImageSeries")
        if self.values.ndim != 3 or len(self.values) != len(times):
            raise DataError(
                f"ImageSeries: expected values (time, height, width) for {len(times)} times, "
                f"found shape {self.values.shape}."
            )
        if self.values.dtype.kind not in "biuf":
            raise DataError(f"ImageSeries: expected numbers, found {self.values.dtype}.")
        object.__setattr__(self, "times", times)
        if self.valid is None:
            object.__setattr__(self, "valid", Intervals.of_samples(times))

    def __len__(self) -> int:
        return len(self.times)

    def between(self, start: float, stop: float) -> Self:
        """Return the images with ``start <= time < stop`` (s); nothing is read."""
        return samples_between(self, start, stop)

    def bin(self, bins: Bins) -> np.ndarray:
        """Return the mean image of each bin, ``(bin, height, width)``; NaN where there is none."""
        return bins.mean(self.times, self.values)

    def write(self, path: str | os.PathLike) -> None:
        """Write ``.npy``, and the times beside it as ``<name>.times.npy``."""
        path = Path(path)
        for file, values in ((path, self.values), (_times_of(path), self.times)):
            with atomic_write(file, "wb") as stream:
                np.save(stream, values, allow_pickle=False)


def read_image_series(path: str | os.PathLike, unit: str = "") -> ImageSeries:
    """Open what :meth:`ImageSeries.write` wrote, as a memory map.

    Raises
    ------
    MissingFileError, DataError
        If a file is absent, or is no array.
    """
    path = Path(path)
    arrays = []
    for file in (path, _times_of(path)):
        if not file.is_file():
            raise MissingFileError(
                f"Expected images as {path.name} and their times as {_times_of(path).name} (s) in "
                f"{path.parent}; there is no {file.name}."
            )
        try:
            arrays.append(np.load(file, mmap_mode="r", allow_pickle=False))
        except ValueError as error:
            raise DataError(f"{file}: expected an array as NumPy saves it: {error}.") from error
    return ImageSeries(arrays[1], arrays[0], unit)


def _times_of(path: Path) -> Path:
    return path.with_name(f"{path.stem}.times.npy")
