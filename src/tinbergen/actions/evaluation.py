"""How well a model names behaviours of recordings that it has not seen."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tinbergen.actions.data import Sequences, labelled_sequences
from tinbergen.actions.fitting import MODEL
from tinbergen.actions.model import ActionModel, Prediction
from tinbergen.actions.raters import beside_rater, rater_codes, scored_by_all, without_raters
from tinbergen.errors import ConfigError, DataError
from tinbergen.metrics import (
    Score,
    bouts,
    calibration_scores,
    frame_scores,
    segment_scores,
)
from tinbergen.metrics.segments import OVERLAPS
from tinbergen.recordings import Dataset
from tinbergen.training import RunFolder, numpy_generator

_SHUFFLES = 20


@dataclass(frozen=True, eq=False)
class ActionEvaluation:
    """Predictions on labelled recordings, and how good they are.

    Attributes
    ----------
    predictions
        A :class:`~tinbergen.actions.Prediction` each.
    sequences
        Their features and codes.
    scores
        The headline (macro F1) first.
    seconds
        CPU seconds of the prediction of one recording, on average.
    part
        What was scored, in words.
    """

    predictions: tuple[Prediction, ...]
    sequences: Sequences
    scores: tuple[Score, ...]
    seconds: float
    part: str

    @property
    def classes(self) -> tuple[str, ...]:
        """Names."""
        return self.sequences.classes

    @property
    def codes(self) -> list[np.ndarray]:
        """True codes, ``(time,)`` of each recording."""
        return list(self.sequences.codes)

    @property
    def found(self) -> list[np.ndarray]:
        """Predicted codes, ``(time,)`` of each recording."""
        return [each.codes for each in self.predictions]


def evaluate(
    run: RunFolder | str | os.PathLike,
    data: Any,
    *,
    part: str | None = None,
    rater: str | Sequence[str] | None = None,
    out: str | os.PathLike | Literal[False] | None = None,
    skip_bad: bool = False,
    movies: bool = True,
) -> ActionEvaluation:
    """Score a finished run on labelled recordings.

    Parameters
    ----------
    run
        The run.
    data
        The dataset that it was trained on, of which a part was held out, or another one.
    part
        ``"test"``, ``"validation"``, ``"train"`` or another part of the run's split, or ``"all"``.
        Default: the test part, else the validation part, else all that it was not trained on.
    rater
        Stream of labels that somebody else made of the same recordings, or several: each person's
        agreement stands beside each score, all on the frames that everybody scored.
    out
        Folder to write to, default the run; False writes nothing.
    skip_bad
        Leave out recordings that cannot be used instead of refusing.
    movies
        Whether to write a movie of predicted bouts of each class, where recordings have a video.

    Raises
    ------
    ConfigError, DataError, MissingFileError
        If the run is not finished, there is no such part, or nothing is labelled.
    """
    run = run if isinstance(run, RunFolder) else RunFolder.open(run)
    model = ActionModel.load(run.path / MODEL)
    chosen, name = part_to_score(run, Dataset.open(data), part)
    config = model.config
    raters = [rater] if isinstance(rater, str) else list(rater or ())
    if raters:
        own = without_raters(chosen, config.labels, raters)
        config = config.model_copy(update={"labels": own})
    sequences = labelled_sequences(
        chosen,
        config,
        classes=model.classes,
        expected=(model.channels, model.rate, "the model"),
        skip_bad=skip_bad,
    )
    theirs = {each: rater_codes(chosen, sequences, config.labels, each) for each in raters}
    if theirs:
        sequences = scored_by_all(sequences, theirs)
    start = time.process_time()
    predictions = [
        model.of_features(recording, features.series.times, features.series.values)
        for recording, features in zip(sequences.names, sequences.features, strict=True)
    ]
    seconds = (time.process_time() - start) / len(predictions)
    scores = score_predictions(list(sequences.codes), predictions, name)
    for each, codes in theirs.items():
        scores = beside_rater(scores, sequences.codes, codes, len(model.classes), each)
    result = ActionEvaluation(tuple(predictions), sequences, tuple(scores), seconds, name)
    if out is not False:
        from tinbergen.actions.evaluation_folder import write_evaluation

        target = Path(run.path if out is None else out)
        write_evaluation(result, run, target, chosen if movies else {})
    return result


def score_predictions(
    codes: list[np.ndarray], predictions: list[Prediction], part: str
) -> list[Score]:
    """Return all scores, each beside that of the same bouts in another order.

    Parameters
    ----------
    codes
        ``(time,)`` true codes of each recording, -1 = not scored.
    predictions
        Of each recording.
    part
        What was scored, in words.
    """
    if not any((each >= 0).any() for each in codes):
        raise DataError("None of the recordings to score has a labelled frame.")
    found = [each.codes for each in predictions]
    classes = len(predictions[0].classes)
    frames = frame_scores(codes, found, classes)
    segments = segment_scores(codes, found, classes, OVERLAPS)
    null = _shuffled_scores(codes, found, classes)
    scored = np.concatenate([each >= 0 for each in codes])
    calibration = calibration_scores(
        np.concatenate(codes)[scored],
        np.concatenate([each.probabilities for each in predictions])[scored],
    )
    sessions = f"{len(codes)} recording{'s' if len(codes) > 1 else ''}"
    common: dict[str, Any] = {"n": frames.n, "n_name": "frames", "split": f"{part}, {sessions}"}
    shuffled: dict[str, Any] = {"null_name": "predicted bouts in random order"}
    over: dict[str, Any] = {"interval_name": "95 % interval over recordings"}
    scores = [
        Score(
            "macro F1",
            frames.macro_f1,
            interval=frames.macro_f1_interval,
            null=null["macro F1"],
            method="Mean F1 of the classes over labelled frames, pooled.",
            **common,
            **shuffled,
            **over,
        )
    ]
    for overlap, value, interval in zip(OVERLAPS, segments.f1, segments.f1_intervals, strict=True):
        name = f"F1@{100 * overlap:.0f}"
        scores.append(
            Score(
                name,
                value,
                interval=interval,
                null=null[name],
                n=segments.n_true,
                n_name="true bouts",
                split=common["split"],
                method=f"F1 of bouts that overlap a true one by {100 * overlap:.0f} % "
                "(intersection over union).",
                **shuffled,
                **over,
            )
        )
    scores += [
        Score(
            "edit score",
            segments.edit,
            interval=segments.edit_interval,
            null=null["edit score"],
            n=len(codes),
            n_name="recordings",
            split=common["split"],
            method="1 - edit distance of the orders of bouts / the longer one's length.",
            **shuffled,
            **over,
        ),
        Score(
            "Cohen's kappa",
            frames.kappa,
            interval=frames.kappa_interval,
            null=0.0,
            null_name="chance",
            method="Agreement of frames beyond chance.",
            **common,
            **over,
        ),
        Score(
            "accuracy",
            frames.accuracy,
            null=frames.majority,
            null_name="most frequent class",
            method="Share of labelled frames.",
            **common,
        ),
        Score(
            "calibration error",
            calibration.error,
            direction="lower",
            method="Mean distance of confidence and accuracy, 15 bins.",
            verdict="unknown",
            **common,
        ),
    ]
    return scores


def _shuffled_scores(
    codes: list[np.ndarray], found: list[np.ndarray], classes: int
) -> dict[str, float]:
    """Return the mean scores of the predicted bouts in random orders."""
    rows = []
    for draw in range(_SHUFFLES):
        rng = numpy_generator(0, "bouts", draw)
        mixed = [shuffled_bouts(each, rng) for each in found]
        segments = segment_scores(codes, mixed, classes, OVERLAPS)
        frames = frame_scores(codes, mixed, classes)
        row = {"macro F1": frames.macro_f1, "edit score": segments.edit}
        row |= {
            f"F1@{100 * overlap:.0f}": value
            for overlap, value in zip(OVERLAPS, segments.f1, strict=True)
        }
        rows.append(row)
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def shuffled_bouts(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the same bouts in a random order, ``(time,)``.

    Examples
    --------
    >>> mixed = shuffled_bouts(np.array([0, 0, 1, 2, 2, 2]), np.random.default_rng(0))
    >>> np.bincount(mixed).tolist()
    [2, 1, 3]
    """
    found = bouts(codes)
    order = rng.permutation(len(found.codes))
    return np.repeat(found.codes[order], found.lengths[order])


def part_to_score(run: RunFolder, dataset: Dataset, part: str | None) -> tuple[Dataset, str]:
    """Return the recordings to score, and what they are called; see :func:`evaluate`."""
    seen = _trained_on(run, dataset)
    if part == "all":
        known = f", {len(seen)} of {len(dataset)} trained on" if seen else ""
        return dataset, f"all recordings{known}"
    split = run.status.get("split")
    parts = dataset.split(split) if split is not None and split in dataset.splits else {}
    if part is None:
        part = next((name for name in ("test", "validation") if len(parts.get(name, ()))), None)
    if part is not None:
        if part not in parts:
            if part == "train" and not parts and seen:
                return dataset.only(seen), "training recordings"
            raise ConfigError(
                f"part: there is no {part!r} in the run's split; there is: "
                f"{', '.join(parts) or 'none'}. Say 'all' to score every recording."
            )
        return parts[part], f"{part} recordings"
    left = [name for name in dataset if name not in seen]
    if not left:
        raise DataError(
            "The run was trained on all of these recordings, so there is nothing to score it on. "
            "Say part 'train' to score it on them nonetheless, or 'all' if they only have the "
            "same names."
        )
    return dataset.only(left), "recordings it was not trained on"


def _trained_on(run: RunFolder, dataset: Dataset) -> list[str]:
    """Return the recordings of which the run has seen all, or a stretch of time."""
    names = (run.splits or {}).get("train", ())
    whole = {*names, *(name.rpartition("@")[0] for name in names)}
    return [name for name in dataset if name in whole]
