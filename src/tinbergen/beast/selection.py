"""Which frames of a video to train on.

A video is decoded once, at 32x32 px, whatever its length: the scan keeps one byte (status) and one
float (motion energy) per frame, and a bounded random sample of the small pictures. Where all of
them fit, the choice is the rule of BEAST: the frames with much motion, their 32 principal
components, as many k-means clusters as frames are wanted, and the frame closest to each centre.
In a longer video the same rule chooses among the sample.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from tinbergen.beast.clustering import kmeans, nearest, principal_components
from tinbergen.beast.neighbours import (
    OffsetUnit,
    damaged_spans,
    following,
    frame_interval,
    preceding,
    stretches_of,
)
from tinbergen.beast.pool import map_videos
from tinbergen.configuration import Config
from tinbergen.errors import TinbergenError, VideoError
from tinbergen.recordings import FrameSource, FrameStatus, ImageFolder

_THUMBNAIL = (32, 32)
_COMPONENTS = 32
_SAMPLE = 8192
_SAMPLE_PER_FRAME = 16
_LONG_VIDEO = 100_000


class Selection(Config):
    """How frames are chosen.

    Attributes
    ----------
    method
        ``pca_kmeans``: visually distinct frames with motion; ``uniform``: evenly spaced;
        ``random``; ``all``: every frame.
    frames_per_video
        Anchors in each video (fewer if it has fewer sound frames); not used by ``all``.
    offset, offset_unit
        The neighbours at plus and minus this distance are kept beside each anchor, in
        ``frames`` or ``seconds``; 0 keeps none.
    seed
        Of everything drawn at random.
    """

    method: Literal["pca_kmeans", "uniform", "random", "all"] = "pca_kmeans"
    frames_per_video: int = Field(default=500, ge=1)
    offset: float = Field(default=1, ge=0)
    offset_unit: OffsetUnit = "frames"
    seed: int = 0

    @model_validator(mode="after")
    def _whole_frames(self) -> Selection:
        if self.offset_unit == "frames" and self.offset != int(self.offset):
            raise ValueError(
                f"expected a whole number of frames as offset, found {self.offset}; "
                "set offset_unit to 'seconds' for a time"
            )
        return self


@dataclass(frozen=True)
class SelectedFrames:
    """The frames chosen from one video, ascending, anchors and their neighbours together.

    Attributes
    ----------
    frames
        ``(m,)`` int64, frame numbers.
    anchor
        ``(m,)`` bool.
    before, after
        ``(m,)`` int64: position in ``frames`` of the frame one offset earlier or later, -1 if that
        one is damaged, beyond a gap, or not among them.
    stretch
        ``(m,)`` int32, the unbroken stretch of the video that a frame lies in.
    n_frames, n_bad
        Frames in the video, and how many of them cannot be decoded.
    damaged
        ``(k, 2)`` int64, first and last frame of each stretch of them.
    n_missing
        How many of ``n_bad`` are not in the file at all.
    """

    frames: np.ndarray
    anchor: np.ndarray
    before: np.ndarray
    after: np.ndarray
    stretch: np.ndarray
    n_frames: int
    n_bad: int
    damaged: np.ndarray
    n_missing: int = 0

    @property
    def anchors(self) -> np.ndarray:
        """Frame numbers of the anchors."""
        return self.frames[self.anchor]


@dataclass(frozen=True)
class Scan:
    """What one pass over a video keeps.

    Attributes
    ----------
    status
        ``(n,)`` uint8, 0 for a sound frame.
    stretch
        ``(n,)`` int32, see :func:`~tinbergen.beast.neighbours.unbroken_stretches`.
    motion
        ``(n,)`` float32: sum over the picture of the absolute difference to the frame before. The
        first frame of a stretch has none before it and takes the value of the one after it.
    sample, pictures
        ``(r,)`` frame numbers, ascending, and their ``(r, pixels)`` uint8 pictures: all sound
        frames if they fit, else a uniform random sample of them.
    """

    status: np.ndarray
    stretch: np.ndarray
    motion: np.ndarray
    sample: np.ndarray
    pictures: np.ndarray


def select_frames(video: FrameSource, selection: Selection) -> SelectedFrames:
    """Choose frames of one video; the same seed chooses the same frames.

    Damaged frames are never chosen, and neighbours never lie beyond one or beyond a gap in time.
    Of a folder of images whose ``selected_frames.csv`` names some, those are the anchors.

    Raises
    ------
    VideoError
        If the video cannot be opened or has no frame that can be decoded.

    References
    ----------
    Wang et al., arXiv 2507.09513, frame selection; thresholds as in the authors' code.
    """
    wanted = selection.frames_per_video
    clusters = selection.method == "pca_kmeans"
    size = max(_SAMPLE, _SAMPLE_PER_FRAME * wanted) if clusters else 0
    scan = scan_video(video, size, np.random.Generator(np.random.PCG64(selection.seed)))
    sound = np.flatnonzero(scan.status == 0)
    if not len(sound):
        raise VideoError(
            f"{video.path}: none of its {video.n_frames} frames can be decoded. Leave it out, or "
            "pass skip_bad to go on without it."
        )
    generator = np.random.Generator(np.random.PCG64([selection.seed, 1]))
    if isinstance(video, ImageFolder) and not video.selected.all():
        anchors = sound[video.selected[sound]]
    elif selection.method == "all" or wanted >= len(sound):
        anchors = sound
    elif selection.method == "uniform":
        anchors = sound[(2 * np.arange(wanted) + 1) * len(sound) // (2 * wanted)]
    elif selection.method == "random":
        anchors = np.sort(generator.choice(sound, wanted, replace=False))
    else:
        anchors = distinct_frames(scan, wanted, generator)
    return _with_neighbours(anchors, video.times, scan, selection)


def select_many(
    videos: Mapping[str, FrameSource], selection: Selection, *, workers: int = 1
) -> Iterator[tuple[str, SelectedFrames | TinbergenError]]:
    """Yield (name, choice) of several videos as they are done, ``workers`` processes at a time.

    A broken video does not stop the others: its error stands in its place.
    """
    choose = functools.partial(select_frames, selection=selection)
    return map_videos(choose, videos, workers, "selecting frames")


def scan_video(video: FrameSource, sample: int, generator: np.random.Generator) -> Scan:
    """Decode a video once at 32x32 px; memory for pictures is bounded by ``sample`` of them."""
    small = video.view(size=_THUMBNAIL, keep_aspect=False)
    status = np.zeros(small.n_frames, np.uint8)
    motion = np.zeros(small.n_frames, np.float32)
    chosen = np.zeros(min(sample, small.n_frames), np.int64)
    pictures = np.empty((len(chosen), small.height * small.width * small.channels), np.uint8)
    n_sound, last = 0, np.zeros((1, pictures.shape[1]), np.int16)
    for batch in small.iterate(batch_size=64):
        status[batch.indices] = batch.status
        flat = batch.frames.reshape(len(batch), -1)
        signed = np.concatenate([last, flat.astype(np.int16)])
        motion[batch.indices] = np.abs(np.diff(signed, axis=0)).sum(1, dtype=np.int64)
        last = signed[-1:]
        sound = np.flatnonzero(batch.ok)
        # Reservoir sampling (Vitter's algorithm R), a batch at a time.
        order = n_sound + np.arange(len(sound))
        place = np.where(order < len(chosen), order, generator.integers(0, order + 1))
        keep = place < len(chosen)
        chosen[place[keep]] = batch.indices[sound[keep]]
        pictures[place[keep]] = flat[sound[keep]]
        n_sound += len(sound)
    kept = min(n_sound, len(chosen))
    order = np.argsort(chosen[:kept])
    stretch = stretches_of(small, status)
    return Scan(status, stretch, _settle(motion, stretch), chosen[order], pictures[order])


def distinct_frames(scan: Scan, n: int, generator: np.random.Generator) -> np.ndarray:
    """Choose ``n`` visually distinct frames with motion out of a scan's sample, ascending."""
    motion = scan.motion[scan.sample]
    sound = scan.status == 0
    percentile = 50 if len(sound) < _LONG_VIDEO else 75
    moving = motion > np.percentile(scan.motion[sound], percentile)
    if moving.sum() <= n:  # too few to choose from: those that move most
        return np.sort(scan.sample[np.argsort(-motion, kind="stable")[:n]])
    scores = principal_components(scan.pictures[moving], _COMPONENTS, generator)
    centres, _ = kmeans(scores, n, generator)
    chosen = np.unique(nearest(centres, scores)[0])
    if len(chosen) < n:  # one frame was closest to two centres: add those that are least covered
        _, distance = nearest(scores, scores[chosen])
        distance[chosen] = -1
        chosen = np.r_[chosen, np.argsort(-distance, kind="stable")[: n - len(chosen)]]
    return np.sort(scan.sample[moving][chosen])


def _settle(motion: np.ndarray, stretch: np.ndarray) -> np.ndarray:
    """Give the first frame of each stretch the motion of the next; damaged frames have none."""
    first = stretch != np.r_[-2, stretch[:-1]]
    next_in_stretch = np.r_[stretch[1:], -2] == stretch
    settled = np.where(first, np.where(next_in_stretch, np.r_[motion[1:], 0], 0), motion)
    return np.where(stretch >= 0, settled, 0).astype(np.float32)


def _with_neighbours(
    anchors: np.ndarray, times: np.ndarray, scan: Scan, selection: Selection
) -> SelectedFrames:
    n = len(times)
    after = np.full(n, -1, np.int64)
    if selection.offset:
        after = following(
            np.arange(n),
            times,
            scan.stretch,
            selection.offset,
            selection.offset_unit,
            frame_interval(times),
        )
    before = preceding(after)
    frames = np.unique(np.concatenate([anchors, before[anchors], after[anchors]]))
    frames = frames[frames >= 0]
    position = np.full(n + 1, -1, np.int64)  # the last one answers for -1, "none"
    position[frames] = np.arange(len(frames))
    return SelectedFrames(
        frames=frames,
        anchor=np.isin(frames, anchors),
        before=position[before[frames]],
        after=position[after[frames]],
        stretch=scan.stretch[frames],
        n_frames=n,
        n_bad=int(np.count_nonzero(scan.status)),
        n_missing=int(np.count_nonzero(scan.status == FrameStatus.MISSING)),
        damaged=damaged_spans(scan.status),
    )
