"""How well a second person agrees with the labels: the ceiling beside a model's scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tinbergen.actions.config import LabelConfig
from tinbergen.actions.data import Sequences, codes_of, has_labels
from tinbergen.actions.segmenter import UNLABELLED
from tinbergen.errors import DataError
from tinbergen.metrics import Score, frame_scores, segment_scores
from tinbergen.metrics.score import Baseline
from tinbergen.metrics.segments import OVERLAPS
from tinbergen.recordings import Dataset, Labels


def rater_codes(
    dataset: Dataset, sequences: Sequences, config: LabelConfig, rater: str
) -> list[np.ndarray]:
    """Return what another person saw in the frames of each recording, ``(time,)`` codes.

    Parameters
    ----------
    dataset, sequences, config
        The recordings, their features and codes, and how their labels were read.
    rater
        Stream of the other person's labels.

    Raises
    ------
    DataError
        If a recording has no such stream, or the labels cannot be read as the others were.
    """
    theirs = config.model_copy(update={"stream": rater})
    found = []
    for name, features in zip(sequences.names, sequences.features, strict=True):
        if not has_labels(dataset[name], theirs):
            raise DataError(
                f"Recording {name!r} has no labels called {rater!r}; it has: "
                f"{', '.join(dataset[name].streams)}."
            )
        labels = dataset[name][rater]
        found.append(codes_of(labels, features.series.times, sequences.classes, theirs, name))
    return found


def without_raters(dataset: Dataset, config: LabelConfig, raters: Sequence[str]) -> LabelConfig:
    """Return the settings that read the labels which are not the raters', where there is one.

    Raises
    ------
    DataError
        If no recording has labels of one of the raters.
    """
    known = {
        name
        for recording in dataset.values()
        for name, stream in recording.streams.items()
        if isinstance(stream, Labels)
    }
    if unknown := [rater for rater in raters if rater not in known]:
        raise DataError(
            f"No recording has labels called {unknown[0]!r}; there are: "
            f"{', '.join(sorted(known)) or 'none'}."
        )
    others = known - {*raters, config.weak}
    if config.stream is not None or len(others) != 1:
        return config
    return config.model_copy(update={"stream": others.pop()})


def scored_by_all(sequences: Sequences, theirs: Mapping[str, list[np.ndarray]]) -> Sequences:
    """Return the sequences with the codes of those frames alone that every rater scored as well.

    Raises
    ------
    DataError
        If there is no such frame.
    """
    codes = tuple(
        np.where(np.min(each, axis=0) >= 0, own, UNLABELLED)
        for own, *each in zip(sequences.codes, *theirs.values(), strict=True)
    )
    before, after = (sum(int((y >= 0).sum()) for y in each) for each in (sequences.codes, codes))
    who = " and ".join(theirs)
    if not after:
        raise DataError(f"{who} scored none of the frames that the labels score.")
    notes = sequences.notes
    if after < before:
        notes += (
            f"Scored on the {after:,} of {before:,} labelled frames that {who} scored as well.",
        )
    return replace(sequences, codes=codes, notes=notes)


def beside_rater(
    scores: Sequence[Score],
    codes: Sequence[np.ndarray],
    theirs: Sequence[np.ndarray],
    n_classes: int,
    rater: str,
) -> list[Score]:
    """Put another person's agreement beside each score as a baseline.

    Parameters
    ----------
    scores
        Of a model.
    codes, theirs
        ``(time,)`` codes of each recording by the two people, -1 = not scored, in ``codes`` also
        where ``theirs`` are.
    n_classes
        Number of classes.
    rater
        Name of the other person.
    """
    frames = frame_scores(codes, theirs, n_classes)
    segments = segment_scores(codes, theirs, n_classes, OVERLAPS)
    known = {
        "macro F1": (frames.macro_f1, frames.macro_f1_interval),
        "edit score": (segments.edit, segments.edit_interval),
        "Cohen's kappa": (frames.kappa, frames.kappa_interval),
        "accuracy": (frames.accuracy, None),
    }
    for overlap, *measured in zip(OVERLAPS, segments.f1, segments.f1_intervals, strict=True):
        known[f"F1@{100 * overlap:.0f}"] = (measured[0], measured[1])
    return [
        replace(score, baselines=(*score.baselines, Baseline(rater, *known[score.name])))
        if score.name in known
        else score
        for score in scores
    ]
