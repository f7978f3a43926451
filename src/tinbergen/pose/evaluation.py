"""Scores of a pose run on its held-out labels, beside what needs no network."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import torch

from tinbergen.errors import DataError
from tinbergen.files import ensure_output_folder
from tinbergen.metrics import Score, keypoint_distances, pck, pixel_error_score, pixel_errors
from tinbergen.metrics.bootstrap import PairedTest, bootstrap_interval, paired_test
from tinbergen.metrics.keypoints import DifficultyCurve, error_by_difficulty
from tinbergen.pose.config import map_names
from tinbergen.pose.evaluation_animals import Animals
from tinbergen.pose.fitting import FRAMES_FILE
from tinbergen.pose.labels import (
    LabelledImages,
    Labels,
    chosen_keypoints,
    load_images,
    open_labels,
)
from tinbergen.pose.locating import Located
from tinbergen.pose.prediction import Predictor
from tinbergen.training import RunFolder

_PCK_PX = (2.0, 5.0, 10.0)
_TIMED_FRAMES = 32


@dataclass(frozen=True, eq=False)
class PoseEvaluation:
    """What :func:`evaluate` found.

    Attributes
    ----------
    scores
        The pixel error first.
    names, groups
        Of the frames: image, and folder (session).
    true, predicted
        ``(frame, map, 2)`` px of the image files; NaN where not labelled, or not found. Of
        look-alikes, each found animal stands where the label is that it resembles most.
    confidence
        ``(frame, map)``, 0 to 1.
    hidden, said_hidden
        ``(frame, map)``: whether the label is said to be hidden from view, and the probability of
        it that the run gives (None where it has not learned that).
    maps
        Name of each map: a keypoint, or individual/keypoint.
    individuals
        Of the labels.
    null
        ``(frame, map)`` px: distances of the mean pose of training; of look-alikes, of the nearest
        one.
    speed
        ``ms_per_frame`` and ``cpu_ms_per_frame`` of the network, ``peak_memory_mb``,
        ``parameters``.
    """

    scores: list[Score]
    names: tuple[str, ...]
    groups: np.ndarray
    true: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    hidden: np.ndarray
    said_hidden: np.ndarray | None
    maps: tuple[str, ...]
    individuals: tuple[str, ...]
    null: np.ndarray
    speed: dict[str, float]

    @property
    def distances(self) -> np.ndarray:
        """``(frame, map)`` px; NaN where not labelled."""
        return keypoint_distances(self.predicted, self.true)

    def table(self) -> pd.DataFrame:
        """One row a keypoint: ``score, recording, kind, name, value, null, low, high, ...``."""
        rows = []
        for column, name in enumerate(self.maps):
            d = self.distances[:, column]
            n = int(np.isfinite(d).sum())
            interval = bootstrap_interval(d, self.groups) if n else (np.nan, np.nan)
            if n and not np.isfinite(interval[0]):
                interval = bootstrap_interval(d)  # one session: over its frames
            row = {"score": "pixel error", "recording": "", "kind": "keypoint", "name": name}
            row |= {"value": pixel_errors(d).mean, "null": pixel_errors(self.null[:, column]).mean}
            row |= {"low": interval[0], "high": interval[1]}
            rows.append(row | {"unit": "px", "direction": "lower", "n": n})
        return pd.DataFrame(rows)

    def by_difficulty(
        self, disagreement: np.ndarray, thresholds: Sequence[float] = (0, 1, 2, 4, 8)
    ) -> DifficultyCurve:
        """Error against ensemble disagreement; see :func:`~tinbergen.metrics.error_by_difficulty`.

        Parameters
        ----------
        disagreement
            ``(frame, map)`` px, of an ensemble on the same frames: :func:`ensemble_disagreement`.
        """
        return error_by_difficulty(self.distances, disagreement, thresholds)

    def compared_with(self, other: PoseEvaluation) -> PairedTest:
        """Test this run against another on the same labels (ours minus theirs, px).

        Signs are flipped by session where there are several, else by frame.
        """
        if self.names != other.names or self.maps != other.maps:
            raise DataError("Two runs are compared on the same frames and keypoints only.")
        sessions = len(np.unique(self.groups)) > 1
        units = self.groups if sessions else np.arange(len(self.names))
        each = np.repeat(units, len(self.maps))
        return paired_test(self.distances.ravel(), other.distances.ravel(), each)


def ensemble_disagreement(evaluations: Sequence[PoseEvaluation]) -> np.ndarray:
    """Return the deviation between runs on the same frames, ``(frame, map)`` px."""
    if len(evaluations) < 2 or len({e.names for e in evaluations}) != 1:
        raise DataError("Disagreement needs two or more runs on the same frames.")
    stacked = np.stack([e.predicted for e in evaluations])
    return np.sqrt(stacked.var(axis=0).sum(axis=-1))


def evaluate(
    run: RunFolder | str | os.PathLike,
    labels: Labels | Sequence[Labels],
    *,
    part: str | None = None,
    out: str | os.PathLike | Literal[False] | None = None,
    device: str = "auto",
    precision: str = "auto",
    skip_bad: bool = False,
) -> PoseEvaluation:
    """Score a finished run on labelled frames, and write what the report reads.

    Parameters
    ----------
    run
        A finished pose run.
    labels
        The labels it was trained on (then ``part`` of its split is scored), or others, all of
        which are scored: a new animal, an out-of-distribution set.
    part
        ``test``, ``validation``, ``train`` or ``all``; default: ``test`` where the run held some
        out, else ``validation``, and ``all`` for other labels.
    out
        Folder for ``summary.json``, ``scores.csv``, ``predictions.csv`` and overlays under
        ``diagnostics``; default: the run folder. False writes nothing.

    Raises
    ------
    DataError
        If the labels have other keypoints than the run, or there is nothing to score.
    """
    predictor = Predictor(run, device=device, precision=precision)
    folder, config = predictor.run, predictor.config
    found = chosen_keypoints(open_labels(labels), config.keypoints)
    look_alike = config.animals.route != "identity"
    if not look_alike and found.individuals != config.individuals:
        raise DataError(
            f"The run knows {', '.join(config.individuals)}, the labels have "
            f"{', '.join(found.individuals)}."
        )
    images = load_images(found, config, skip_bad=skip_bad)
    rows, part = _rows(folder, images, part)
    started = time.perf_counter()
    predicted, confidence, said_hidden = _predict(predictor, images, rows)
    by_animal = (len(rows), -1, len(config.keypoints))
    animals = Animals(
        predicted.reshape(*by_animal, 2),
        confidence.reshape(by_animal),
        images.positions[rows].reshape(*by_animal, 2),
        np.array(folder.status["mean_pose"], dtype=float).reshape(-1, len(config.keypoints), 2),
    )
    if look_alike:
        predicted, confidence = animals.aligned()
        null = animals.null_distances()
    else:
        null = keypoint_distances(animals.mean_pose, animals.true)
    n_maps = len(found.individuals) * len(config.keypoints)
    result = PoseEvaluation(
        scores=[],
        names=tuple(images.names[row] for row in rows),
        groups=images.groups[rows],
        true=images.positions[rows],
        predicted=predicted.reshape(len(rows), n_maps, 2),
        confidence=confidence.reshape(len(rows), n_maps),
        hidden=images.hidden[rows],
        said_hidden=said_hidden,
        individuals=found.individuals,
        maps=map_names(found.individuals, config.keypoints),
        null=null.reshape(len(rows), n_maps),
        speed=_speed(predictor, images.images[rows[:16]]),
    )
    result.scores.extend(_scores(result, part))
    if look_alike:
        result.scores.insert(1, animals.found_score(predicted, result.scores[0].split))
    if len(found.individuals) > 1:
        result.scores.extend(animals.precision_scores(result.scores[0].split))
    from tinbergen.pose.evaluation_folder import write_evaluation

    if out is not False:
        target = folder.path if out is None else ensure_output_folder(out)
        write_evaluation(result, target, folder, images, rows, time.perf_counter() - started)
    return result


def _rows(run: RunFolder, images: LabelledImages, part: str | None) -> tuple[np.ndarray, str]:
    """Choose the frames to score, and what they are called."""
    splits, file = run.splits or {}, run.path / FRAMES_FILE
    stored = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    # Frames of another project may have the same names; the pixels tell them apart.
    ours = {name for name, digest in images.digests().items() if stored.get(name) == digest}
    if part is None:
        part = "all"
        if ours:
            part = "test" if splits.get("test") else "validation"
    if part == "all":
        return np.arange(len(images)), "all"
    if part not in splits:
        raise DataError(f"part: expected {', '.join([*splits, 'all'])}, found {part!r}.")
    chosen = set(splits[part]) & ours
    rows = np.array([i for i, name in enumerate(images.names) if name in chosen], dtype=int)
    if not len(rows):
        raise DataError(
            f"{run.path} has no frame of these labels under {part!r}. Score other labels with "
            "--part all (part='all'), or train with a part held out."
        )
    return rows, part


def _predict(predictor: Predictor, images: LabelledImages, rows: np.ndarray) -> Located:
    found = []
    backgrounds = predictor.still_backgrounds(images)
    for first in range(0, len(rows), 16):
        some = rows[first : first + 16]
        background = None
        if backgrounds is not None:
            background = torch.from_numpy(backgrounds[some]).to(predictor.device)
        found.append(predictor.frames(images.images[some], background))
    positions, confidences = (
        np.concatenate(parts) for parts in list(zip(*found, strict=True))[:2]
    )
    hidden = [each.hidden for each in found if each.hidden is not None]
    positions = images.to_source(rows, positions)
    return Located(positions, confidences, np.concatenate(hidden) if hidden else None)


def _scores(result: PoseEvaluation, part: str) -> list[Score]:
    sessions = len(np.unique(result.groups))
    split = f"{part} frames, {sessions} session{'s' if sessions > 1 else ''}"
    d = result.distances
    labelled = np.asarray(np.isfinite(result.true).all(axis=-1))
    if not labelled.any():
        raise DataError("None of the frames to score has a label.")
    scores = [pixel_error_score(d, result.groups, null=result.null, split=split)]
    found = d[np.isfinite(d)]  # of look-alikes, perhaps none
    median = float(np.median(found)) if len(found) else None
    scores.append(
        Score(
            "median pixel error",
            median,
            "px",
            "lower",
            float(np.nanmedian(result.null)),
            "mean pose of training",
            n=scores[0].n,
            n_name="labels",
            split=split,
            method="median Euclidean distance to the label",
        )
    )
    units = result.groups if sessions > 1 else np.arange(len(result.names))
    each = np.repeat(units, d.shape[1])
    for limit in _PCK_PX:
        near = np.where(labelled, d <= limit, np.nan)  # what is not found is not near
        scores.append(
            Score(
                f"PCK at {limit:g} px",
                float(np.nanmean(near)),
                null=float(pck(result.null, [limit])[0]),
                null_name="mean pose of training",
                interval=bootstrap_interval(near, each),
                n=int(labelled.sum()),
                n_name="labels",
                split=split,
                method=f"share of keypoints within {limit:g} px (<=) of the label; "
                "what is not found counts as not within",
            )
        )
    if result.said_hidden is not None:
        scores.append(_hidden_score(result, labelled, split))
    return scores


def _hidden_score(result: PoseEvaluation, labelled: np.ndarray, split: str) -> Score:
    """How well what is hidden is told from what is seen."""
    from sklearn.metrics import roc_auc_score

    assert result.said_hidden is not None
    truth, said = result.hidden[labelled], result.said_hidden[labelled]
    both = 0 < truth.sum() < len(truth)
    return Score(
        "AUROC of hidden keypoints",
        float(roc_auc_score(truth, said)) if both else None,
        null=0.5,
        null_name="chance",
        n=int(labelled.sum()),
        n_name="labels",
        split=split,
        method=f"{int(truth.sum())} of {len(truth)} labels are marked as hidden; the probability "
        "that a hidden one is called more probably hidden than a seen one",
    )


def _speed(predictor: Predictor, frames: np.ndarray) -> dict[str, float]:
    """Time the network by itself on labelled frames, decoding of heat maps included."""
    config = predictor.config
    frames = frames[np.arange(16) % len(frames)]
    background = None
    if config.residual:
        background = torch.zeros((1, *frames.shape[1:]), dtype=torch.uint8)
    predictor.frames(frames, background)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(_TIMED_FRAMES // 16):
        predictor.frames(frames, background)
    scale = 1e3 / _TIMED_FRAMES
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "ms_per_frame": round((time.perf_counter() - wall) * scale, 3),
        "cpu_ms_per_frame": round((time.process_time() - cpu) * scale, 3),
        "peak_memory_mb": round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1),
        "parameters": sum(p.numel() for p in predictor.model.parameters()),
    }
