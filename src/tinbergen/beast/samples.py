"""The frames that a run is judged on: some with keypoints, some of every video."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tinbergen.beast.cache import FrameCache
from tinbergen.errors import TinbergenError
from tinbergen.recordings import Dataset, Keypoints, Labels, read_labelled_frames
from tinbergen.recordings.frames import FrameSource
from tinbergen.recordings.geometry import Geometry
from tinbergen.recordings.labelled_frames import LabelledFrames

_BLOCKS_PER_RECORDING = 10
_LEAST_CONFIDENCE = 0.5
_ENOUGH_RECORDINGS = 6
_STRETCHES, _STRETCH = 4, 96


@dataclass(frozen=True)
class Sample:
    """Frames at the encoder's size, with the background each is seen against.

    Attributes
    ----------
    frames
        ``(n, H, W, C)`` uint8.
    background
        ``(n,)``: row of ``backgrounds``.
    backgrounds
        ``(b, H, W, C)`` uint8; None for a run that needs none.
    recording, time
        ``(n,)`` name and s.
    """

    frames: np.ndarray
    background: np.ndarray
    backgrounds: np.ndarray | None
    recording: np.ndarray
    time: np.ndarray

    def __len__(self) -> int:
        return len(self.frames)

    def batches(self, size: int = 32) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Yield frames with their backgrounds."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            seen = None if self.backgrounds is None else self.backgrounds[self.background[part]]
            yield self.frames[part], seen


@dataclass(frozen=True)
class LabelledSample(Sample):
    """Frames with keypoints.

    Attributes
    ----------
    positions
        ``(n, keypoint, 2)`` px of the source; NaN where not labelled.
    keypoints
        Names; of several animals, ``animal/keypoint``.
    group
        ``(n,)``: frames of one group are never split between training and test.
    split
        How the groups were made, in words.
    source
        Where the labels come from, in words.
    """

    positions: np.ndarray
    keypoints: tuple[str, ...]
    group: np.ndarray
    split: str
    source: str


def cached_sample(frames: FrameCache, backgrounds: np.ndarray | None, limit: int) -> Sample:
    """Take about ``limit`` cached frames, as many of each video (6 at least), evenly spaced."""
    index = frames.index.iloc[frames.usable]
    videos = index["video"].to_numpy()
    each = max(6, limit // max(len(np.unique(videos)), 1))
    rows = np.concatenate([_evenly(frames.usable[videos == v], each) for v in np.unique(videos)])
    index = frames.index.iloc[rows]
    return Sample(
        frames=frames.read(rows),
        background=index["video"].to_numpy(),
        backgrounds=backgrounds,
        recording=_names(index["recording"], index["stream"]),
        time=index["time"].to_numpy(),
    )


def consecutive_sample(
    dataset: Dataset,
    frames: FrameCache,
    backgrounds: np.ndarray | None,
    prepare: Callable[[FrameSource], FrameSource],
) -> Sample | None:
    """Take consecutive frames from the middle of up to four videos; None if there are too few.

    Parameters
    ----------
    frames
        The cache, of which only the list of videos is looked at.
    backgrounds
        ``(video, H, W, C)``; None for a run that needs none.
    prepare
        Brings a video to the encoder's size.
    """
    sources = {(recording, stream): video for recording, stream, video in dataset.videos()}
    images, names, times, numbers = [], [], [], []
    for number, entry in enumerate(frames.videos[:_STRETCHES]):
        view = prepare(sources[entry.recording, entry.stream])
        start = max(0, view.n_frames // 2 - _STRETCH // 2)
        batch = view.frames(np.arange(start, min(start + _STRETCH, view.n_frames)))
        sound = batch.status == 0
        images.append(batch.frames[sound].reshape(-1, view.height, view.width, view.channels))
        times.append(batch.times[sound])
        names += [entry.recording] * int(sound.sum())
        numbers += [number] * int(sound.sum())
    if len(names) < 8:
        return None
    found = np.concatenate(images), np.array(numbers), backgrounds, np.array(names)
    return Sample(*found, np.concatenate(times))


def _names(recording: object, stream: object) -> np.ndarray:
    pairs = [(str(r), str(s)) for r, s in zip(recording, stream, strict=True)]  # type: ignore
    several = {r for r, _ in set(pairs) if len({p for p in set(pairs) if p[0] == r}) > 1}
    return np.array([f"{r}/{s}" if r in several else r for r, s in pairs])


def _evenly(rows: np.ndarray, n: int) -> np.ndarray:
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(n, len(rows))).round().astype(int))]


def tracked_sample(
    dataset: Dataset,
    backgrounds: dict[tuple[str, str], np.ndarray] | None,
    prepare: Callable[[FrameSource], FrameSource],
    limit: int,
) -> LabelledSample | None:
    """Take frames whose recording has a Keypoints stream in px; None if there is none.

    Parameters
    ----------
    backgrounds
        (recording, stream) -> ``(H, W, C)``; None for a run that needs none.
    prepare
        ``FrameSource -> FrameSource`` at the encoder's size.
    """
    tracked = [(name, *found) for name in dataset if (found := _tracked(dataset, name))]
    if backgrounds is not None:
        tracked = [t for t in tracked if (t[0], t[1]) in backgrounds]
    names = [_keypoint_names(keypoints) for *_, keypoints in tracked]
    tracked = [t for t, n in zip(tracked, names, strict=True) if n == names[0]]
    if not tracked:
        return None
    each = max(8, limit // len(tracked))
    parts, positions, groups = [], [], []
    for number, (name, _, video, keypoints) in enumerate(tracked):
        view = prepare(video)
        rows = _evenly(np.arange(view.n_frames), each)
        batch = view.frames(rows)
        sound = batch.status == 0
        times = batch.times[sound]
        nearest = np.abs(keypoints.times[:, None] - times).argmin(axis=0)
        close = np.abs(keypoints.times[nearest] - times) <= 0.5 / max(view.fps, 1e-9)
        xy = keypoints.positions[nearest, ..., :2].reshape(len(times), -1, 2)
        sure = keypoints.confidence[nearest].reshape(len(times), -1)
        seen = close[:, None] & ~(sure <= _LEAST_CONFIDENCE)  # NaN: none was given
        positions.append(np.where(seen[..., None], xy, np.nan))
        shape = (-1, view.height, view.width, view.channels)
        parts.append((batch.frames[sound].reshape(shape), number, name, times))
        span = max(times[-1] - times[0], 1e-9) if len(times) else 1.0
        block = np.minimum((times - times[:1]) / span * _BLOCKS_PER_RECORDING, 9).astype(int)
        by_recording = len(tracked) >= _ENOUGH_RECORDINGS
        groups += [name] * len(times) if by_recording else [f"{name} {b}" for b in block]
    lengths = [len(p[3]) for p in parts]
    return LabelledSample(
        frames=np.concatenate([frames for frames, *_ in parts]),
        background=np.repeat([p[1] for p in parts], lengths),
        backgrounds=None
        if backgrounds is None
        else np.concatenate([backgrounds[t[0], t[1]][None] for t in tracked]),
        recording=np.repeat([p[2] for p in parts], lengths),
        time=np.concatenate([p[3] for p in parts]),
        positions=np.concatenate(positions),
        keypoints=names[0],
        group=np.array(groups),
        split="by recording" if len(tracked) >= _ENOUGH_RECORDINGS else "by blocks of time",
        source="the dataset's keypoints",
    )


def _tracked(dataset: Dataset, name: str) -> tuple[str, FrameSource, Keypoints] | None:
    recording = dataset[name]
    keypoints = [s for s in recording.streams.values() if isinstance(s, Keypoints)]
    keypoints = [s for s in keypoints if s.unit == "px"]
    if not keypoints or not recording.videos:
        return None
    stream, video = next(iter(recording.videos.items()))
    return stream, video, keypoints[0]


def _keypoint_names(keypoints: Keypoints) -> tuple[str, ...]:
    if len(keypoints.individuals) == 1:
        return keypoints.keypoints
    return tuple(f"{i}/{k}" for i in keypoints.individuals for k in keypoints.keypoints)


def find_labelled_frames(dataset: Dataset) -> list[LabelledFrames]:
    """Find hand-labelled frames of the DeepLabCut or Lightning Pose projects of the videos."""
    found: dict[Path, LabelledFrames] = {}
    for _, _, video in dataset.videos():
        project = video.path.absolute().parent.parent
        tables = [*project.glob("CollectedData*.csv")]
        tables += project.glob("labeled-data/*/CollectedData*.csv")
        for table in sorted(tables):
            if table in found:
                continue
            try:
                labelled = read_labelled_frames(table)
            except TinbergenError:
                continue  # some other project's table; 'tinbergen check' says what is wrong
            if not labelled.missing_images():
                found[table] = labelled
    return list(found.values())


def hand_labelled_sample(
    labelled: LabelledFrames,
    backgrounds: np.ndarray | None,
    *,
    size: tuple[int, int],
    gray: bool,
    keep_aspect: bool,
) -> LabelledSample:
    """Read hand-labelled stills; each is its own group.

    All are seen against that background of the run which they resemble most.
    """
    from tinbergen.nn.pixels import nearest_background

    channels = 1 if gray else 3
    frames = np.zeros((len(labelled), *size, channels), dtype=np.uint8)
    for out, path in zip(frames, labelled.images, strict=True):
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE if gray else cv2.IMREAD_COLOR_RGB)
        if image is None:
            continue
        plan = Geometry.plan(image.shape[1], image.shape[0], None, size, keep_aspect)
        plan.apply(image, out[..., 0] if gray else out)
    n = len(labelled)
    several = len(labelled.individuals) > 1
    names = tuple(
        f"{i}/{k}" if several else k for i in labelled.individuals for k in labelled.keypoints
    )
    return LabelledSample(
        frames=frames,
        background=np.zeros(n, dtype=int),
        backgrounds=None if backgrounds is None else nearest_background(frames, backgrounds)[None],
        recording=np.full(n, "labelled frames"),
        time=np.arange(n, dtype=float),
        positions=labelled.positions.reshape(n, -1, 2),
        keypoints=names,
        group=np.arange(n),
        split="at random over stills",
        source=f"{n} hand-labelled frames",
    )


def behaviour_at(dataset: Dataset, recording: str, times: np.ndarray) -> list[str] | None:
    """Name of the behaviour at each time, empty where unlabelled; None without a Labels stream."""
    labels = [s for s in dataset[recording].streams.values() if isinstance(s, Labels)]
    if not labels:
        return None
    individual = labels[0].individuals[0] if labels[0].individuals else None
    active = labels[0].multi(times, individual) == 1
    names = np.array(labels[0].classes, dtype=object)
    return [str(names[row.argmax()]) if row.any() else "" for row in active]
