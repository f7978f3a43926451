"""Frames that are not in a video file: folders of images, and arrays in HDF5."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tinbergen.errors import MissingFileError, VideoError
from tinbergen.recordings.frames import FrameSource, FrameStatus

IMAGE_SUFFIXES = frozenset([".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"])
ARRAY_SUFFIXES = frozenset([".h5", ".hdf5"])
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


class ImageFolder(FrameSource):
    """A folder of images as frames, such as those that BEAST's ``extract`` exports.

    Frames are sorted by the last number in their names (``img00000012.png`` is frame 12 of its
    video), then by name. Without ``times``, frame number k is at k / ``fps`` s.

    Parameters
    ----------
    path
        The folder.
    fps
        Frames per second of the video that the images come from; default 1, so that times are
        frame numbers.
    options
        See :class:`~tinbergen.recordings.frames.FrameSource`.

    Raises
    ------
    MissingFileError, VideoError
        At the first question, if there is no such folder or no image in it.
    """

    def __init__(self, path: str | os.PathLike, *, fps: float = 1.0, **options: Any):
        super().__init__(path, **options)
        self.nominal_fps = float(fps)

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.name

    @functools.cached_property
    def images(self) -> tuple[Path, ...]:
        """All images of the folder in order (a clip shares them with its source)."""
        if not self.path.is_dir():
            raise MissingFileError(f"Expected a folder of images at {self.path}, found none.")
        found = sorted(_images_in(self.path), key=lambda image: (_number(image), image.name))
        if not found:
            raise VideoError(f"{self.path} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}).")
        return tuple(found)

    @property
    def numbers(self) -> np.ndarray:
        """``(n_frames,)`` int64, frame number in each image's name, or its rank."""
        numbers = self._all_numbers()
        return numbers if self._span is None else numbers[slice(*self._span)]

    @property
    def selected(self) -> np.ndarray:
        """``(n_frames,)`` bool: named in ``selected_frames.csv`` (all, if there is none).

        BEAST exports each selected frame (an anchor) with the frames around it.
        """
        table = self.path / "selected_frames.csv"
        chosen = np.ones(len(self.images), dtype=bool)
        if table.is_file():
            cells = set(re.split(r"[,;\s]+", table.read_text(encoding="utf-8")))
            names = {Path(cell).name for cell in cells if cell}
            chosen = np.array([image.name in names for image in self.images])
        return chosen if self._span is None else chosen[slice(*self._span)]

    def _all_numbers(self) -> np.ndarray:
        numbers = np.array([_number(image) for image in self.images], dtype=np.int64)
        unique = len(numbers) == len(np.unique(numbers))
        return numbers if unique else np.arange(len(numbers))

    def _file_times(self) -> np.ndarray:
        return self._all_numbers() / self.nominal_fps

    @functools.cached_property
    def _first_size(self) -> tuple[int, int]:
        for path in self.images:
            image = _decode_image(path, cv2.IMREAD_GRAYSCALE)
            if image is not None:
                return image.shape[0], image.shape[1]
        raise VideoError(f"{self.path}: none of its {len(self.images)} images can be read.")

    def _source_size(self) -> tuple[int, int]:
        return self._first_size

    def _file_problems(self) -> list[str]:
        first, others = self._first_size, []
        for path in self.images:
            image = _decode_image(path, cv2.IMREAD_GRAYSCALE)
            if image is not None and image.shape != first:
                others.append((path.name, image.shape))
        if not others:
            return []
        name, (height, width) = others[0]
        return [
            f"{len(others)} of {len(self.images)} images are not {first[1]} x {first[0]} px as "
            f"the first is ({name}: {width} x {height}), and count as undecodable. Put the images "
            "of each size into a folder of their own."
        ]

    def _read(
        self, positions: Sequence[int] | np.ndarray, close: bool
    ) -> Iterator[tuple[Callable[[], np.ndarray] | None, FrameStatus]]:
        for position in positions:
            image = self._image(self.images[int(position)])
            if image is None:
                yield None, FrameStatus.CORRUPT
            else:
                yield functools.partial(np.asarray, image), FrameStatus.OK

    def _image(self, path: Path) -> np.ndarray | None:
        image = _decode_image(path, cv2.IMREAD_GRAYSCALE if self.gray else cv2.IMREAD_COLOR)
        if image is None or image.shape[:2] != self._first_size:
            return None
        return image if self.gray else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _decode_image(path: Path, kind: int) -> np.ndarray | None:
    # Not cv2.imread, which cannot open names outside the code page on Windows.
    if not path.is_file() or not path.stat().st_size:
        return None
    return cv2.imdecode(np.fromfile(path, np.uint8), kind)


def _images_in(folder: Path) -> list[Path]:
    return [
        entry
        for entry in folder.iterdir()
        if entry.suffix.lower() in IMAGE_SUFFIXES and not entry.name.startswith(".")
    ]


def _number(image: Path) -> int:
    digits = re.findall(r"\d+", image.stem)
    return int(digits[-1]) if digits else 0


def find_image_folders(path: Path) -> list[Path]:
    """List the folders at or below ``path`` that hold images directly."""
    folders = [path, *(entry for entry in path.rglob("*") if entry.is_dir())]
    return sorted(folder for folder in folders if _images_in(folder))


class ArrayVideo(FrameSource):
    """Frames in an HDF5 dataset ``(time, height, width[, 3])`` uint8, read frame by frame.

    Parameters
    ----------
    path
        The ``.h5`` file.
    key
        Name of the dataset in it.
    fps
        Frames per second; default 1. Ignored where ``times`` are given.
    options
        See :class:`~tinbergen.recordings.frames.FrameSource`.

    Raises
    ------
    MissingFileError, VideoError
        At the first question, if the file or the dataset is not there or not of that shape.
    """

    def __init__(
        self, path: str | os.PathLike, *, key: str = "video", fps: float = 1.0, **options: Any
    ):
        super().__init__(path, **options)
        self.key = key
        self.nominal_fps = float(fps)

    @functools.cached_property
    def _shape(self) -> tuple[int, ...]:
        import h5py

        if not self.path.is_file():
            raise MissingFileError(f"Expected an HDF5 file at {self.path}, found none.")
        try:
            with h5py.File(self.path, "r") as file:
                data: Any = file[self.key]
                shape, kind = tuple(data.shape), data.dtype
        except (OSError, KeyError, AttributeError) as error:
            raise VideoError(f"{self.path} holds no dataset {self.key!r}: {error}") from error
        if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] != 3) or kind != np.uint8:
            raise VideoError(
                f"{self.path}, {self.key}: expected (time, height, width[, 3]) uint8, found "
                f"{shape} {kind}."
            )
        if not shape[0]:
            raise VideoError(f"{self.path}, {self.key}: holds no frame.")
        return shape

    def _file_times(self) -> np.ndarray:
        return np.arange(self._shape[0]) / self.nominal_fps

    def _source_size(self) -> tuple[int, int]:
        return self._shape[1], self._shape[2]

    def _read(
        self, positions: Sequence[int] | np.ndarray, close: bool
    ) -> Iterator[tuple[Callable[[], np.ndarray] | None, FrameStatus]]:
        import h5py

        with h5py.File(self.path, "r") as file:
            data: Any = file[self.key]
            for position in positions:
                try:
                    image = data[int(position)]
                except OSError:  # a damaged chunk
                    yield None, FrameStatus.CORRUPT
                    continue
                yield functools.partial(self._coloured, image), FrameStatus.OK

    def _coloured(self, image: np.ndarray) -> np.ndarray:
        if image.ndim == 3:
            return np.round(image @ _LUMA).astype(np.uint8) if self.gray else image
        return image if self.gray else np.repeat(image[..., None], 3, axis=2)
