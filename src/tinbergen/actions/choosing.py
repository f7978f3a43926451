"""How to decode, chosen on validation recordings alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tinbergen.actions.decoder import Decoder, fit_temperature
from tinbergen.errors import DataError
from tinbergen.metrics import bout_statistics, frame_scores, segment_scores

_WINDOWS = (1, 7, 15, 31, 61)
_STAYS = (0.9, 0.95, 0.99, 0.999, 0.9999)
_WEIGHTS = (0.1, 0.3, 1.0)


@dataclass(frozen=True, eq=False)
class Choice:
    """A decoder, and how it came out among others.

    Attributes
    ----------
    decoder
        The one that was chosen, fitted.
    table
        A row a candidate: its settings, ``macro_f1``, ``f1_50``, ``edit`` and their mean ``score``
        over all recordings, ``bouts`` (their number), ``behind`` and ``error`` (how far it is
        behind the best one on average over recordings, and the standard error of that), and
        whether it was ``chosen``.
    """

    decoder: Decoder
    table: pd.DataFrame


def choose_decoder(
    probabilities: Sequence[np.ndarray],
    codes: Sequence[np.ndarray],
    *,
    training: Sequence[np.ndarray] | None = None,
    candidates: Sequence[Decoder] | None = None,
) -> Choice:
    """Return the decoder that changes least, of those that are as good as the best.

    Good is the mean of macro F1, segmental F1@50 and edit score. As good as the best is what is no
    more than a standard error behind it (of the differences between recordings): of these the one
    that leaves the most bouts is taken, since others may have shorter bouts than these recordings
    (the one-standard-error rule, Hastie, Tibshirani & Friedman 2009, section 7.10).

    Parameters
    ----------
    probabilities
        ``(time, class)`` of each validation recording, by a model that has not seen it.
    codes
        ``(time,)`` of each, -1 = not scored.
    training
        Codes of the training recordings, from which bout durations and order are learned;
        default: those of the validation recordings, of all but the one that is decoded (of a
        single one its own).
    candidates
        Decoders to choose from; default: means of 1 to 61 frames, sticky and semi-Markov paths,
        at the temperature at which the labels are most likely.

    Raises
    ------
    DataError
        If no validation frame is labelled.
    """
    if not any((np.asarray(each) >= 0).any() for each in codes):
        raise DataError("No validation frame is labelled; there is nothing to choose on.")
    classes = probabilities[0].shape[1]
    if candidates is None:
        candidates = default_candidates(fit_temperature(probabilities, codes))
    scored = [i for i, each in enumerate(codes) if (np.asarray(each) >= 0).any()]
    rows, fitted, each_recording = [], [], []
    for candidate in candidates:
        decoder = _fitted(candidate, training or codes, classes)
        found = decoder.decode(probabilities)
        if training is None and candidate.path == "semi_markov" and len(scored) > 1:
            found = _decoded_by_others(candidate, probabilities, codes, classes)
        scores = decoding_scores(codes, found, classes)
        of_bouts = bout_statistics(found, classes, [np.asarray(each) >= 0 for each in codes])
        row = {**candidate.parameters, **scores, "score": np.mean(list(scores.values()))}
        rows.append({**row, "bouts": int(of_bouts.counts.sum())})
        own = [decoding_scores([codes[i]], [found[i]], classes) for i in scored]
        each_recording.append([np.nanmean(list(values.values())) for values in own])
        fitted.append(decoder)
    table = pd.DataFrame(rows)
    values = np.array(each_recording)
    behind = values[int(table["score"].argmax())] - values
    table["behind"] = behind.mean(axis=1)
    table["error"] = behind.std(axis=1, ddof=1) / len(scored) ** 0.5 if len(scored) > 1 else 0.0
    as_good = (table["behind"] <= table["error"]) & (
        (table["score"] >= table["score"].max()) | (len(scored) > 1)
    )
    best = int(table["bouts"].where(as_good, -1).argmax())
    table["chosen"] = np.arange(len(table)) == best
    return Choice(fitted[best], table)


def _fitted(candidate: Decoder, codes: Sequence[np.ndarray], classes: int) -> Decoder:
    return type(candidate)(**candidate.parameters).fit(codes, classes)


def _decoded_by_others(
    candidate: Decoder,
    probabilities: Sequence[np.ndarray],
    codes: Sequence[np.ndarray],
    classes: int,
) -> list[np.ndarray]:
    """Decode each recording with what the labels of the others say, never its own."""
    found = []
    for i, each in enumerate(probabilities):
        others = [own for j, own in enumerate(codes) if j != i]
        found += _fitted(candidate, others, classes).decode([each])
    return found


def decoding_scores(
    codes: Sequence[np.ndarray], found: Sequence[np.ndarray], n_classes: int
) -> dict[str, float]:
    """Return macro F1 of the frames, segmental F1 at an overlap of .5, and the edit score."""
    segments = segment_scores(codes, found, n_classes, (0.5,))
    return {
        "macro_f1": frame_scores(codes, found, n_classes).macro_f1,
        "f1_50": float(segments.f1[0]),
        "edit": segments.edit,
    }


def default_candidates(temperature: float = 1.0) -> list[Decoder]:
    """Return what :func:`choose_decoder` tries."""
    paths = [Decoder(window=window) for window in _WINDOWS]
    paths += [Decoder("sticky", stay=stay) for stay in _STAYS]
    paths += [Decoder("semi_markov", weight=weight) for weight in _WEIGHTS]
    return [Decoder(**{**each.parameters, "temperature": temperature}) for each in paths]
