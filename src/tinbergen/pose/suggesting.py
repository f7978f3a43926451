"""Which frames to label next: those that an ensemble disagrees on, each of another pose."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from tinbergen.errors import DataError
from tinbergen.files import atomic_write, content_hash, safe_name, write_json
from tinbergen.metrics.choosing import choose_diverse
from tinbergen.metrics.instances import matched, present, similarities
from tinbergen.pose.labels import PREDICTED
from tinbergen.pose.smoothing import join_members, look_alikes
from tinbergen.recordings import FrameSource, Keypoints, LabelledFrames, write_labelled_frames

_SAME_ANIMAL = 0.1  # similarity of two poses that may be of one animal
_SHARE = 0.2  # this share of the frames counts as hard


@dataclass(frozen=True, eq=False)
class Suggestions:
    """Frames worth labelling, the hardest first.

    Attributes
    ----------
    frames
        ``(n,)`` frame numbers.
    difficulty
        ``(n,)``: disagreement of the ensemble, px; of a single run, 1 - confidence. Means over
        the keypoints.
    """

    frames: np.ndarray
    difficulty: np.ndarray


def suggest_frames(
    predictions: Sequence[Keypoints],
    n: int = 20,
    *,
    gap: float = 0.2,
    taken: Sequence[int] | np.ndarray = (),
) -> Suggestions:
    """Choose frames of a video to label next.

    Of the hardest fifth of the frames (of all, where it does not hold ``n``), the hardest comes
    first; each next one is the frame whose
    pose is farthest from those chosen, times its difficulty, so that one awkward moment does not
    fill the list.

    Parameters
    ----------
    predictions
        Of one or several runs on the video; disagreement between several says more than one
        run's own confidence. Look-alikes (``animal0``, ``animal1``, ...) of each frame are given
        the row of the first run's that they resemble.
    n
        How many; fewer come back where the gap leaves no more.
    gap
        Least time between two of them, s.
    taken
        Numbers of frames that have labels: none of them, nor within ``gap`` of them, comes back.

    Raises
    ------
    DataError
        If the predictions do not belong together, or say nothing.
    """
    predictions = _same_rows(predictions)
    ensemble = join_members(predictions, fixed_rows=True)
    if len(predictions) > 1:
        each = np.where(np.isfinite(ensemble.median[..., 0]), ensemble.disagreement(), np.nan)
    else:
        one = predictions[0]
        there = present(one.positions) | (len(one.individuals) == 1)  # else rows of no animal
        each = np.where(there[..., None], 1 - one.confidence, np.nan)
    flat = each.reshape(len(each), -1)
    known = np.isfinite(flat)
    if not known.any():
        raise DataError(
            "The predictions hold no confidence, and one run cannot disagree with itself; give "
            "predictions of several runs."
        )
    total = np.where(known, flat, 0).sum(axis=1)
    difficulty = np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), -np.inf)
    times = predictions[0].times
    for frame in np.asarray(taken, dtype=int):
        if 0 <= frame < len(times):
            difficulty[np.abs(times - times[frame]) < gap] = -np.inf
            difficulty[frame] = -np.inf
    order = np.argsort(-difficulty, kind="stable")[: int(np.isfinite(difficulty).sum())]
    poses = _poses(ensemble.median)
    chosen = order[:0]
    for n_hard in (max(n, int(_SHARE * len(difficulty))), len(order)):
        hard = order[:n_hard]
        chosen = choose_diverse(poses[hard], difficulty[hard], n, times=times[hard], gap=gap)
        if len(chosen) == n:
            break
    # Places in 'order', and so in 'hard', go from the hardest to the easiest.
    frames = order[np.sort(chosen)]
    return Suggestions(frames, difficulty[frames])


def _same_rows(predictions: Sequence[Keypoints]) -> Sequence[Keypoints]:
    """Put look-alikes in the rows of the first run's that they resemble; others become NaN."""
    if len(predictions) < 2 or not look_alikes(predictions[0]):
        return predictions
    first = predictions[0].positions[..., :2]
    found = [predictions[0]]
    for member in predictions[1:]:
        if member.positions.shape != predictions[0].positions.shape:
            return predictions  # which join_members refuses
        positions = np.full(member.positions.shape, np.nan)
        confidence = np.zeros(member.confidence.shape)
        for frame, (theirs, ours) in enumerate(zip(member.positions[..., :2], first, strict=True)):
            rows, columns = matched(similarities(theirs, ours), _SAME_ANIMAL)
            positions[frame, columns] = member.positions[frame, rows]
            confidence[frame, columns] = member.confidence[frame, rows]
        found.append(replace(member, positions=positions, confidence=confidence))
    return found


def _poses(median: np.ndarray) -> np.ndarray:
    """Positions ``(time, d)`` with what is missing at the mean: nothing to tell it apart by."""
    flat = median.reshape(len(median), -1)
    known = np.isfinite(flat)
    mean = np.where(known, flat, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(known, flat, mean)


def frames_with_images(video: FrameSource, project: str | os.PathLike) -> np.ndarray:
    """Return the numbers ``(n,)`` of a video's frames that a project has images of."""
    folder = Path(project) / "labeled-data" / safe_name(video.name)
    numbers = [int(path.stem[3:]) for path in folder.glob("img*.*") if path.stem[3:].isdigit()]
    return np.unique(np.array(numbers, dtype=int))


def export_frames(
    video: FrameSource,
    frames: Sequence[int] | np.ndarray,
    project: str | os.PathLike,
    keypoints: Keypoints | None = None,
    *,
    scorer: str = "tinbergen",
    context: int = 0,
) -> LabelledFrames:
    """Write frames into a DeepLabCut or Lightning Pose project, to be labelled or corrected.

    Parameters
    ----------
    video
        Whose frames.
    frames
        Frame numbers.
    project
        The project's folder: images go to ``labeled-data/<video>/img<number>.png``, and the table
        ``CollectedData_<scorer>.csv`` beside them, with a note by which
        :func:`open_labels` knows a table that nobody has corrected.
    keypoints
        On all frames of the video: what the table starts from; positions outside of the image are
        left out, as no label may lie there. Without it no table is written.
    scorer
        Name in the table.
    context
        Also write so many frames before and after each, which get no row: for training with
        ``context``.

    Returns
    -------
    LabelledFrames
        What was written; without keypoints it has none.

    Raises
    ------
    DataError
        If a frame cannot be decoded.
    """
    numbers = np.sort(np.asarray(frames, dtype=int))
    project = Path(project)
    folder = project / "labeled-data" / safe_name(video.name)
    around = np.add.outer(numbers, np.arange(-context, context + 1)).ravel()
    beside = np.setdiff1d(around[(around >= 0) & (around < video.n_frames)], numbers)
    for number, frame in _sound(video, beside):
        _write_image(_image_path(folder, video, number), frame)
    batch = video.frames(numbers)
    if not batch.ok.all():
        raise DataError(f"{video.path}: frame {numbers[~batch.ok][0]} cannot be decoded.")
    images = []
    for number, frame in zip(numbers, batch.frames, strict=True):
        images.append(_image_path(folder, video, number))
        _write_image(images[-1], frame)
    if keypoints is None:
        empty = np.empty((len(images), 1, 0, 2))
        return LabelledFrames(tuple(images), (), ("individual",), empty, empty[..., 0] > 0)
    positions = keypoints.positions[numbers][..., :2]
    height, width = batch.frames.shape[1:3]
    within = (positions >= -0.5) & (positions <= (width - 0.5, height - 0.5))
    inside = np.asarray(within.all(axis=-1))
    positions = np.where(inside[..., None], positions, np.nan)
    labels = LabelledFrames(
        tuple(images),
        keypoints.keypoints,
        keypoints.individuals,
        positions,
        np.asarray(np.isfinite(positions).all(axis=-1)),
        scorer,
    )
    table = folder / f"CollectedData_{scorer}.csv"
    write_labelled_frames(table, labels, project)
    write_json(table.with_name(table.name + PREDICTED), {"predictions": content_hash(table)})
    return labels


def _image_path(folder: Path, video: FrameSource, number: int) -> Path:
    digits = max(4, len(str(video.n_frames - 1)))
    return folder / f"img{number:0{digits}d}.png"


def _sound(video: FrameSource, numbers: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    batch = video.frames(numbers)
    for number, frame, ok in zip(numbers, batch.frames, batch.ok, strict=True):
        if ok:
            yield int(number), frame


def _write_image(path: Path, frame: np.ndarray) -> None:
    pixels = frame if frame.ndim == 2 else cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    with atomic_write(path, "wb") as file:
        file.write(cv2.imencode(".png", pixels)[1].tobytes())
