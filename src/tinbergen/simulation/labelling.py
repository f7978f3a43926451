"""What hands add to a simulated study: frames labelled for pose, and named splits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from tinbergen.files import atomic_write
from tinbergen.recordings.intervals import Intervals
from tinbergen.recordings.labelled_frames import LabelledFrames, write_labelled_frames
from tinbergen.recordings.recording import Recording
from tinbergen.recordings.splits import Split, split_by_recording

FOLDER, SCORER = "labelled", "truth"
_GAP = 1.0  # s, between parts of a split by time
_SMALLEST = 20.0  # s, of a recording that is split by time


def write_labels(recording: Recording, project: Path, number: int) -> None:
    """Add evenly spread frames of a recording to a DeepLabCut project, with the visible keypoints.

    Parameters
    ----------
    recording
        With the streams ``video`` and ``keypoints``.
    project
        Images go to ``labeled-data/<recording>/``, the table beside them.
    number
        Frames.
    """
    video, keypoints = recording["video"], recording["keypoints"]
    frames = np.linspace(0, len(video) - 1, number).round().astype(int)
    folder = project / "labeled-data" / recording.name
    images = []
    for frame, image in zip(frames, video.frames(frames).frames, strict=True):
        images.append(folder / f"img{frame:06d}.png")
        pixels = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        with atomic_write(images[-1], "wb") as file:
            file.write(cv2.imencode(".png", pixels)[1].tobytes())
    visible = keypoints.confidence[frames] > 0
    positions = np.where(visible[..., None], keypoints.positions[frames], np.nan)
    labels = LabelledFrames(
        *(tuple(images), keypoints.keypoints, keypoints.individuals),
        *(positions, visible, SCORER),
    )
    write_labelled_frames(folder / f"CollectedData_{SCORER}.csv", labels, project)


def named_splits(recordings: Sequence[Recording], duration: float) -> dict[str, Split]:
    """Return the splits of a study: ``time``, and ``animals`` where there are three or more.

    ``time`` takes the first 60 % of each recording for training, the next 20 % for validation and
    the last for the test, 1 s apart; only recordings of 20 s or more have it. ``animals`` gives
    whole animals to each.
    """
    found = {}
    if duration >= _SMALLEST:
        first, second = 0.6 * duration, 0.8 * duration
        parts = {
            "train": Intervals([-np.inf], [first]),
            "validation": Intervals([first + _GAP], [second]),
            "test": Intervals([second + _GAP], [np.inf]),
        }
        found["time"] = Split({p: {r.name: each for r in recordings} for p, each in parts.items()})
    animals = {recording.name: recording.subject for recording in recordings}
    if len(set(animals.values())) >= 3:
        found["animals"] = split_by_recording(animals, seed=0)
    return found
