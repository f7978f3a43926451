"""Many bouts of one behaviour side by side, to see at a glance whether they are one behaviour."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from tinbergen.actions.model import Prediction
from tinbergen.errors import DataError, TinbergenError
from tinbergen.recordings import (
    FrameSource,
    Keypoints,
    Labels,
    Recording,
    nearest,
    write_video,
)

_MOST_FPS = 30.0
_BODY = 1.5  # side of a crop, in lengths of the animal with its tail
_AT_ONCE = 16  # frames that are held whole
_BORDER = 3  # px, white while the behaviour holds
_REPORTED, _REPORTED_SIZE = 9, 120  # bouts and px of a movie that goes into a report


@dataclass(frozen=True)
class _Bout:
    recording: str
    start: float
    stop: float
    individual: str


def behaviour_movie(
    path: str | os.PathLike,
    label: str,
    labels: Mapping[str, Labels],
    videos: Mapping[str, FrameSource],
    *,
    keypoints: Mapping[str, Keypoints] | None = None,
    n: int = 16,
    size: int = 160,
    before: float = 0.5,
    after: float = 1.5,
    seed: int = 0,
) -> int:
    """Write a grid of bouts of one class, all of them beginning at once.

    A white border says that the behaviour holds.

    Parameters
    ----------
    path
        The ``.mp4`` to make.
    label
        The class.
    labels, videos
        Recording -> its labels (of people or of a model), and its video.
    keypoints
        Recording -> keypoints: a cell shows the animal, as far around it as 1.5 times its length;
        without them, the whole image.
    n
        Bouts at most, drawn from all recordings.
    size
        Side of a cell, px.
    before, after
        s that are shown before and after the onset.
    seed
        Of the draw.

    Returns
    -------
    Number of bouts shown.

    Raises
    ------
    DataError
        If no recording with a video holds such a bout.
    """
    bouts = [
        _Bout(name, row.start, row.stop, row.individual)
        for name, each in labels.items()
        if name in videos
        for row in each.rows
        if row.label == label
    ]
    if not bouts:
        raise DataError(f"No recording with a video holds a bout of {label!r}.")
    rng = np.random.default_rng(seed)
    drawn = rng.permutation(len(bouts))[:n]
    bouts = [bouts[i] for i in sorted(drawn)]
    rates = [videos[bout.recording].fps for bout in bouts]
    fps = min(_MOST_FPS, float(np.nanmedian(rates)))
    offsets = np.arange(-round(before * fps), round(after * fps) + 1) / fps
    cells = [
        list(
            _cell(
                bout, videos[bout.recording], (keypoints or {}).get(bout.recording), offsets, size
            )
        )
        for bout in bouts
    ]
    columns = int(np.ceil(np.sqrt(len(cells))))
    empty = np.zeros((size, size, 3), np.uint8)
    rows = [cells[i : i + columns] for i in range(0, len(cells), columns)]

    def grid() -> Iterator[np.ndarray]:
        for moment in range(len(offsets)):
            lines = [
                np.hstack([*(cell[moment] for cell in row), *[empty] * (columns - len(row))])
                for row in rows
            ]
            yield np.vstack(lines)

    write_video(path, grid(), fps=fps)
    return len(cells)


def predicted_movies(
    folder: Path, predictions: Sequence[Prediction], recordings: Mapping[str, Recording]
) -> pd.DataFrame:
    """Write a :func:`behaviour_movie` of predicted bouts for each class, small, for the report.

    Parameters
    ----------
    folder
        Of the files.
    predictions
        Of recordings.
    recordings
        Name -> recording, of all or some; of each its first video is shown, around its animals
        where that is its only one and the keypoints are in one stream, in pixels. A video that
        cannot be read is said on stderr and left out.

    Returns
    -------
    DataFrame
        ``label, file, bouts`` (their number in it); no row of a class that is never predicted in
        a recording with a video, none at all without videos.
    """
    own = {
        each.recording: recordings[each.recording]
        for each in predictions
        if each.recording in recordings
    }
    videos = {name: found for name, each in own.items() if (found := _readable(each)) is not None}
    labels = {each.recording: each.labels() for each in predictions if each.recording in videos}
    found = {row.label for each in labels.values() for row in each.rows}
    poses = {}
    for name in videos:
        seen = [each for each in own[name].streams.values() if isinstance(each, Keypoints)]
        if len(seen) == len(own[name].videos) == 1 and seen[0].unit == "px":
            poses[name] = seen[0]
    rows = []
    for label in predictions[0].classes if labels else ():
        if label not in found:
            continue
        file = f"{len(rows)}.mp4"
        n = behaviour_movie(
            folder / file, label, labels, videos, keypoints=poses, n=_REPORTED, size=_REPORTED_SIZE
        )
        rows.append((label, file, n))
    return pd.DataFrame(rows, columns=["label", "file", "bouts"])


def _readable(recording: Recording) -> FrameSource | None:
    """Return the first video; None if there is none, or its first frame cannot be read."""
    video = next(iter(recording.videos.values()), None)
    if video is None:
        return None
    try:
        video.frames([0])
    except (TinbergenError, OSError, IndexError) as error:
        print(f"warning: no movies of recording {recording.name!r}: {error}", file=sys.stderr)
        return None
    return video


def _cell(
    bout: _Bout, video: FrameSource, pose: Keypoints | None, offsets: np.ndarray, size: int
) -> Iterator[np.ndarray]:
    colour = video.view(gray=False)
    times = bout.start + offsets
    index = nearest(colour.times, times, 1 / (colour.fps or 1.0))
    known = np.unique(index[index >= 0])
    box = None if pose is None else _box(pose, bout)
    images: dict[int, np.ndarray] = {}
    for first in range(0, len(known), _AT_ONCE):
        batch = colour.frames(known[first : first + _AT_ONCE])
        for i, frame, ok in zip(batch.indices, batch.frames, batch.ok, strict=True):
            if ok:
                images[int(i)] = _crop(frame, box, size)
    for time, at in zip(times, index, strict=True):
        image = images.get(int(at))
        cell = np.zeros((size, size, 3), np.uint8) if image is None else image.copy()
        if bout.start <= time < bout.stop:
            cv2.rectangle(cell, (0, 0), (size - 1, size - 1), (255, 255, 255), _BORDER)
        yield cell


def _box(pose: Keypoints, bout: _Bout) -> tuple[float, float, float] | None:
    """Centre and side (px) of what is shown: the animal at the onset; None if it is not seen."""
    positions = pose.positions[..., :2]
    if bout.individual in pose.individuals:
        positions = positions[:, [pose.individuals.index(bout.individual)]]
    first = int(np.searchsorted(pose.times, bout.start))
    here = positions[first : first + 10].reshape(-1, 2)
    here = here[np.isfinite(here).all(axis=1)]
    if not len(here):
        return None
    spans = np.nanmax(positions, axis=2) - np.nanmin(positions, axis=2)  # (time, individual, 2)
    body = float(np.nanmedian(np.hypot(*np.moveaxis(spans, -1, 0))))
    extent = float((here.max(axis=0) - here.min(axis=0)).max())
    x, y = np.median(here, axis=0)
    return float(x), float(y), max(_BODY * body, extent)


def _crop(image: np.ndarray, box: tuple[float, float, float] | None, size: int) -> np.ndarray:
    height, width = image.shape[:2]
    x, y, side = width / 2, height / 2, float(max(height, width))
    if box is not None:
        side = min(box[2], height, width)
        x = np.clip(box[0], side / 2, width - side / 2)  # the crop stays inside the image
        y = np.clip(box[1], side / 2, height - side / 2)
    scale = size / max(side, 1.0)
    shift = np.array([[scale, 0, size / 2 - scale * x], [0, scale, size / 2 - scale * y]])
    return cv2.warpAffine(image, shift, (size, size), flags=cv2.INTER_AREA)
