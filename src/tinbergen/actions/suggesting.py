"""What to label next: clips that a model is undecided about, each unlike the others."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from tinbergen.actions.ensembles import entropy
from tinbergen.actions.model import Prediction
from tinbergen.errors import DataError, MissingFileError
from tinbergen.files import safe_name, write_csv
from tinbergen.metrics import choose_diverse
from tinbergen.recordings import FrameSource, Intervals, Labels, write_video
from tinbergen.recordings.label_rows import Bout, Found, Reading, labels_of_bouts, number
from tinbergen.recordings.label_tables import Table, head

Measure = Literal["entropy", "margin", "disagreement"]
NOTHING = "none"
"""What is written as the label of a clip in which none of the classes happens."""

_COLUMNS = ("recording", "start", "stop", "label", "worth", "why")
_SHORTEST = 0.5  # of a clip's length; the ends of a stretch make no clips of a few frames
_SHARE = 0.2  # of the clips, from which some are chosen
_CHOICE = 3  # at least so many clips for each that is chosen


def undecided(
    probabilities: np.ndarray, variance: np.ndarray | None = None, by: Measure = "entropy"
) -> np.ndarray:
    """Return how undecided a model is in each frame, ``(time,)``; 0 = certain.

    Parameters
    ----------
    probabilities, variance
        ``(time, class)``: what a model or an ensemble says, and the variance between its members.
    by
        ``entropy``, nats; ``margin``: 1 - (highest - second probability); ``disagreement``:
        what the members' answers would tell about the truth, nats: the mutual information of
        Houlsby et al. 2011 (BALD) to second order, ``sum of variance / (2 mean)``. It ignores
        noise that all members agree on.

    Raises
    ------
    DataError
        If disagreement is asked for without an ensemble.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if by == "entropy":
        return entropy(p)
    if by == "margin":
        top = np.sort(p, axis=-1)
        return 1 - (top[..., -1] - top[..., -2]) if p.shape[-1] > 1 else np.zeros(p.shape[:-1])
    if variance is None:
        raise DataError(
            "One model cannot disagree with itself: train an ensemble, or use entropy."
        )
    return (np.asarray(variance) / (2 * np.maximum(p, 1e-6))).sum(axis=-1)


@dataclass(frozen=True, eq=False)
class Clips:
    """Clips worth labelling, the most first.

    Attributes
    ----------
    table
        A row a clip: ``recording``, ``start``, ``stop`` (s), ``label`` (empty, to be filled in),
        ``worth`` and ``why``.
    """

    table: pd.DataFrame

    def __len__(self) -> int:
        return len(self.table)

    @property
    def rows(self) -> list[Any]:
        """The table, a named tuple a row."""
        return list(self.table.itertuples(index=False))

    def write(self, path: str | os.PathLike) -> None:
        """Write a CSV to be filled in; :func:`read_answers` reads it."""
        write_csv(path, self.table)


def suggest_clips(
    predictions: Sequence[Prediction],
    n: int = 20,
    *,
    length: float = 2.0,
    by: Measure | None = None,
    labelled: Mapping[str, Labels] | None = None,
    features: Mapping[str, np.ndarray] | None = None,
) -> Clips:
    """Choose clips to label next.

    What has no labels yet is cut into clips; of the most undecided ones (a fifth, at least 3
    ``n``), the most undecided comes first, and each next one is the clip that is farthest from
    those chosen, times how undecided it is.

    Parameters
    ----------
    predictions
        Of the recordings that may be labelled.
    n
        How many clips.
    length
        s; none crosses a gap or reaches into labels, so that the last of a stretch may be
        shorter, by half at most.
    by
        See :func:`undecided`; default: disagreement where there is an ensemble, else entropy.
    labelled
        Recording -> what was labelled before: such clips are not suggested.
    features
        Recording -> ``(time, feature)`` that tell clips apart; default: the probabilities.

    Raises
    ------
    DataError
        If no clip is left to label.
    """
    labelled = labelled or {}
    rows, what = [], []
    for prediction in predictions:
        measure = by or ("disagreement" if prediction.variance is not None else "entropy")
        doubt = undecided(prediction.probabilities, prediction.variance, measure)
        x = prediction.probabilities if features is None else features[prediction.recording]
        free = Intervals.of_samples(prediction.times)
        if prediction.recording in labelled:
            free = free - labelled[prediction.recording].observed
        for start, stop in free.windows(length):
            first, last = np.searchsorted(prediction.times, [start, stop])
            if first == last or stop - start < _SHORTEST * length:
                continue
            mean = prediction.probabilities[first:last].mean(axis=0)
            why = _why(mean, prediction.classes, measure)
            worth = float(doubt[first:last].mean())
            rows.append((prediction.recording, float(start), float(stop), "", worth, why))
            part = np.nan_to_num(np.asarray(x[first:last], dtype=np.float64))
            what.append(np.concatenate([part.mean(axis=0), part.std(axis=0)]))
    if not rows:
        raise DataError(
            "No clip is left to label: these recordings have labels everywhere, but for stretches "
            f"of less than {_SHORTEST * length:g} s."
        )
    table = pd.DataFrame(rows, columns=list(_COLUMNS))
    worth = table["worth"].to_numpy()
    hard = np.argsort(-worth, kind="stable")[: max(_CHOICE * n, int(_SHARE * len(worth)))]
    vectors = np.stack(what)
    spread = vectors.std(axis=0)
    vectors = (vectors / np.where(spread > 0, spread, 1.0))[hard]
    chosen = hard[choose_diverse(vectors, worth[hard], n)]
    order = chosen[np.argsort(-worth[chosen], kind="stable")]
    return Clips(table.iloc[order].reset_index(drop=True))


def _why(mean: np.ndarray, classes: Sequence[str], measure: str) -> str:
    first, second = np.argsort(-mean, kind="stable")[:2] if len(mean) > 1 else (0, 0)
    names = f"{classes[first]} {mean[first]:.2f}"
    names += f" or {classes[second]} {mean[second]:.2f}" if second != first else ""
    return f"{measure}: {names}"


def export_clips(
    clips: Clips,
    videos: Mapping[str, FrameSource],
    folder: str | os.PathLike,
    *,
    around: float = 1.0,
) -> list[Path]:
    """Write each clip as a small video, a white frame around it while the clip lasts.

    Parameters
    ----------
    clips
        What to show.
    videos
        Recording -> its video.
    folder
        Where ``<number>_<recording>_<start>s.mp4`` go.
    around
        Also shown before and after, s.

    Raises
    ------
    DataError
        If a recording has no video, or shows nothing then.
    """
    written = []
    for place, row in enumerate(clips.rows, 1):
        if row.recording not in videos:
            raise DataError(f"The recording {row.recording!r} has no video to cut clips from.")
        video = videos[row.recording].view(gray=False)
        name = f"{place:03d}_{safe_name(row.recording)}_{row.start:.2f}s.mp4"
        first, last = np.searchsorted(video.times, [row.start - around, row.stop + around])
        batch = video.frames(np.arange(first, last))
        inside = (batch.times >= row.start) & (batch.times < row.stop)
        frames = [
            _framed(frame) if on else frame
            for frame, on, ok in zip(batch.frames, inside, batch.ok, strict=True)
            if ok
        ]
        written.append(Path(folder) / name)
        write_video(written[-1], frames, fps=video.fps)
    return written


def _framed(image: np.ndarray) -> np.ndarray:
    width = max(2, min(image.shape[:2]) // 60)
    new = np.full_like(image, 255)
    new[width:-width, width:-width] = image[width:-width, width:-width]
    return new


def is_clip_list(path: str | os.PathLike) -> bool:
    """Whether a file begins as lists of clips do, whatever a spreadsheet made of them."""
    path = Path(path)
    rows = head(path) if path.is_file() else []
    return bool(rows) and tuple(rows[0][:4]) == _COLUMNS[:4]


def read_answers(path: str | os.PathLike, classes: Sequence[str]) -> dict[str, Labels]:
    """Read a clip list whose labels were filled in: recording -> labels of the clips answered.

    An empty label: not answered. ``none``: watched, and none of the classes.

    Raises
    ------
    MissingFileError, DataError
        Naming the row and column that is not as it should be, or two answers that contradict
        each other.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"Expected a list of clips at {path}, found none.")
    table = Table(path)
    if missing := [c for c in _COLUMNS[:4] if c not in table.header]:
        raise DataError(f"{path}: expected a list of clips, found no column {missing[0]!r}.")
    found: dict[str, Found] = {}
    for line, row in table.rows:
        label = row["label"]
        if not label:
            continue
        if label not in (*classes, NOTHING):
            raise DataError(
                f"{path}, line {line}, column 'label': {label!r} is not among the classes "
                f"{', '.join(classes)}, {NOTHING}."
            )
        start, stop = (number(row[name], name, line, path) for name in ("start", "stop"))
        done = "" if label == NOTHING and NOTHING not in classes else label
        clips = found.setdefault(row["recording"], Found([]))
        clips.bouts.append(Bout(start, stop, done, "", line))
    how = Reading(path, tuple(classes))
    return {recording: labels_of_bouts(clips, how)[0] for recording, clips in found.items()}
