"""What an evaluation writes into a run: scores, predictions, and tables for the report."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tinbergen.actions.evaluation import ActionEvaluation
from tinbergen.actions.movies import predicted_movies
from tinbergen.files import ensure_output_folder, safe_names, write_csv, write_json
from tinbergen.metrics import bout_errors, bout_statistics, calibration_scores, frame_scores
from tinbergen.recordings import Recording
from tinbergen.training import RunFolder

_CURVE = 200  # points of a precision-recall curve
_SAMPLES = 1500  # of the probabilities of a recording that the ethogram shows
_SHOWN = 8  # recordings, and features around onsets
_AROUND = 2.0  # s
_ALONE = (
    "One recording was scored, which gives no interval: how far another would lie from it is not "
    "known."
)


def write_evaluation(
    result: ActionEvaluation, run: RunFolder, target: Path, recordings: Mapping[str, Recording]
) -> None:
    """Write ``summary.json``, ``scores.csv``, ``predictions/`` and ``diagnostics/``.

    ``recordings`` are those whose bouts are shown where they have videos; empty = no movies.
    """
    ensure_output_folder(target)
    folder = ensure_output_folder(target / "diagnostics")
    shutil.rmtree(folder / "movies", ignore_errors=True)
    names = safe_names(each.recording for each in result.predictions)
    for each in result.predictions:
        each.write(target / "predictions", names[each.recording])
    write_csv(target / "scores.csv", class_scores(result))
    tables = {
        "confusion": confusion(result),
        "ethogram": ethogram(result),
        "probabilities": probabilities(result),
        "precision_recall": precision_recall(result),
        "reliability": reliability(result),
        "bout_lengths": bout_lengths(result),
        "transitions": transitions(result),
        "onsets": onsets(result),
        "onset_errors": onset_errors(result),
        "movies": predicted_movies(folder / "movies", result.predictions, recordings),
    }
    for name, table in tables.items():
        write_csv(folder / f"{name}.csv", table)
    caption = {"classes": {"behaviour": list(result.classes)}, "note": _confusion_note(result)}
    write_json(folder / "figures.json", {"confusion": caption})
    write_json(target / "summary.json", _summary(result, run))


def class_scores(result: ActionEvaluation) -> pd.DataFrame:
    """Return a row a class, recording and score, for ``scores.csv``; no recording = all."""
    rows = []
    n = len(result.classes)
    for name, codes, found in [
        ("", result.codes, result.found),
        *(
            (name, [y], [p])
            for name, y, p in zip(result.sequences.names, result.codes, result.found, strict=True)
            if (y >= 0).any()
        ),
    ]:
        scores = frame_scores(codes, found, n)
        seen = scores.confusion.sum(axis=(0, 2))
        for k, label in enumerate(result.classes):
            for what, value in (
                ("F1", scores.f1[k]),
                ("precision", scores.precision[k]),
                ("recall", scores.recall[k]),
            ):
                rows.append((what, name, "class", label, value, "", "higher", int(seen[k])))
    columns = ["score", "recording", "kind", "name", "value", "unit", "direction", "n"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(null=np.nan, low=np.nan, high=np.nan)


def confusion(result: ActionEvaluation) -> pd.DataFrame:
    """Return ``recording, target, truth, prediction, n`` of labelled frames."""
    counts = frame_scores(result.codes, result.found, len(result.classes)).confusion.sum(axis=0)
    rows = [
        ("", "behaviour", true, predicted, int(counts[i, j]))
        for i, true in enumerate(result.classes)
        for j, predicted in enumerate(result.classes)
    ]
    return pd.DataFrame(rows, columns=["recording", "target", "truth", "prediction", "n"])


def ethogram(result: ActionEvaluation) -> pd.DataFrame:
    """Return a row a bout: ``recording, row`` (labels, predicted), ``label, start, stop`` (s)."""
    parts = []
    for prediction, codes in zip(result.predictions[:_SHOWN], result.codes, strict=False):
        true = _intervals(prediction.times, codes, result.classes)
        parts.append(true.assign(recording=prediction.recording, row="labels"))
        own = prediction.bouts()[["start", "stop", "label"]]
        parts.append(own.assign(recording=prediction.recording, row="predicted"))
    whole: Any = pd.concat(parts)
    return whole[["recording", "row", "label", "start", "stop"]]


def probabilities(result: ActionEvaluation) -> pd.DataFrame:
    """Return ``recording, time``, and the mean probability of each class since the row before."""
    parts = []
    for each in result.predictions[:_SHOWN]:
        step = max(1, -(-len(each.times) // _SAMPLES))
        starts = np.arange(0, len(each.times), step)
        sizes = np.diff(np.append(starts, len(each.times)))
        means = np.add.reduceat(each.probabilities, starts, axis=0) / sizes[:, None]
        table = pd.DataFrame(means.round(4), columns=list(result.classes))
        table.insert(0, "time", each.times[starts])
        table.insert(0, "recording", each.recording)
        parts.append(table)
    return pd.concat(parts)


def precision_recall(result: ActionEvaluation) -> pd.DataFrame:
    """Return ``label, threshold, precision, recall, share``: each class against the others."""
    truth = np.concatenate(result.codes)
    known = truth >= 0
    p = np.concatenate([each.probabilities for each in result.predictions])[known]
    truth = truth[known]
    parts = []
    for k, label in enumerate(result.classes):
        own = truth == k
        if not own.any():
            continue
        order = np.argsort(-p[:, k], kind="stable")
        hits = np.cumsum(own[order])
        at = np.unique(np.linspace(0, len(order) - 1, _CURVE).round().astype(int))
        parts.append(
            pd.DataFrame(
                {
                    "label": label,
                    "threshold": p[order[at], k],
                    "precision": hits[at] / (at + 1),
                    "recall": hits[at] / hits[-1],
                    "share": own.mean(),
                }
            )
        )
    return pd.concat(parts).round(5)


def reliability(result: ActionEvaluation) -> pd.DataFrame:
    """Return ``confidence, accuracy, n`` of each bin of the highest probability."""
    truth = np.concatenate(result.codes)
    p = np.concatenate([each.probabilities for each in result.predictions])
    found = calibration_scores(truth[truth >= 0], p[truth >= 0])
    some = found.counts > 0
    return pd.DataFrame(
        {
            "confidence": found.confidence[some],
            "accuracy": found.accuracy[some],
            "n": found.counts[some],
        }
    ).round(5)


def bout_lengths(result: ActionEvaluation) -> pd.DataFrame:
    """Return a row a bout of the scored frames: ``row, label, seconds``."""
    parts = []
    scored = [codes >= 0 for codes in result.codes]
    for row, codes in (("labels", result.codes), ("predicted", result.found)):
        found = bout_statistics(codes, len(result.classes), scored)
        for label, lengths in zip(result.classes, found.lengths, strict=True):
            seconds = lengths / result.sequences.rate
            parts.append(pd.DataFrame({"row": row, "label": label, "seconds": seconds}))
    return pd.concat(parts)


def transitions(result: ActionEvaluation) -> pd.DataFrame:
    """Return how often one class follows another: ``row, source, target, n``."""
    rows = []
    scored = [codes >= 0 for codes in result.codes]
    for row, codes in (("labels", result.codes), ("predicted", result.found)):
        counts = bout_statistics(codes, len(result.classes), scored).transitions
        rows += [
            (row, source, target, int(counts[i, j]))
            for i, source in enumerate(result.classes)
            for j, target in enumerate(result.classes)
            if i != j
        ]
    return pd.DataFrame(rows, columns=["row", "source", "target", "n"])


def onsets(result: ActionEvaluation) -> pd.DataFrame:
    """Return features around the begin of bouts: ``row, label, feature, lag`` (s), ``mean``.

    Features are z-scored over all frames; of each class those that change most at true onsets.
    """
    rate = result.sequences.rate
    reach = max(1, round(_AROUND * rate))
    x = [np.nan_to_num(np.asarray(each, np.float64)) for each in result.sequences.x]
    together = np.concatenate(x)
    deviation = together.std(axis=0)
    scaled = [(each - together.mean(axis=0)) / np.where(deviation > 0, deviation, 1) for each in x]
    means = {}
    for row, codes in (("labels", result.codes), ("predicted", result.found)):
        for k, label in enumerate(result.classes):
            recordings = zip(scaled, codes, result.codes, strict=True)
            windows = [_around(each, own, truth, k, reach) for each, own, truth in recordings]
            every = np.concatenate(windows)
            if len(every):
                means[row, label] = every.mean(axis=0)
    rows = []
    for label in result.classes:
        if ("labels", label) not in means:
            continue
        true = means["labels", label]
        change = np.abs(true[reach:].mean(axis=0) - true[:reach].mean(axis=0))
        for j in np.argsort(-change, kind="stable")[: _SHOWN // 2]:
            for row in ("labels", "predicted"):
                if (row, label) not in means:
                    continue
                for i, value in enumerate(means[row, label][:, j]):
                    lag = (i - reach) / rate
                    name = result.sequences.channels[j]
                    rows.append((row, label, name, round(lag, 4), round(float(value), 4)))
    return pd.DataFrame(rows, columns=["row", "label", "feature", "lag", "mean"])


def onset_errors(result: ActionEvaluation) -> pd.DataFrame:
    """Return ``label, n, onset, offset`` (median absolute, s), ``bias`` (median onset, s)."""
    found = bout_errors(result.codes, result.found, len(result.classes))
    rows = []
    for k, label in enumerate(result.classes):
        own = found.code == k
        if not own.any():
            continue
        onset = found.onset[own] / result.sequences.rate
        offset = found.offset[own] / result.sequences.rate
        rows.append(
            (label, int(own.sum()), np.median(np.abs(onset)), np.median(np.abs(offset)),
             np.median(onset))
        )  # fmt: skip
    return pd.DataFrame(rows, columns=["label", "n", "onset", "offset", "bias"]).round(4)


def _around(x: np.ndarray, codes: np.ndarray, truth: np.ndarray, k: int, reach: int) -> np.ndarray:
    """Return ``(onset, lag, feature)`` around the begin of scored bouts of class ``k``."""
    # A bout that goes on from frames which nobody scored may have begun in them.
    scored = (truth[1:] >= 0) & (truth[:-1] >= 0)
    begins = 1 + np.flatnonzero((codes[1:] == k) & (codes[:-1] != k) & scored)
    begins = begins[(begins >= reach) & (begins < len(x) - reach)]
    return x[begins[:, None] + np.arange(-reach, reach + 1)]


def _intervals(times: np.ndarray, codes: np.ndarray, classes: tuple[str, ...]) -> pd.DataFrame:
    from tinbergen.recordings import Labels

    table: Any = Labels.from_frames(times, codes, classes).table
    return table[["start", "stop", "label"]]


def _confusion_note(result: ActionEvaluation) -> str:
    return f"Labelled frames of {result.part}."


def _summary(result: ActionEvaluation, run: RunFolder) -> dict[str, object]:
    config, status = run.config, run.status
    trained = run.splits or {}
    metrics = status.get("metrics") or {}
    folds = int(config.get("folds", 0))
    member = f"{folds} x {config['model']}" if folds >= 2 else str(config["model"])
    decoder = status.get("decoder") or {}
    notes = [
        f"Decoded by: {decoder.get('path')}"
        + (f", mean of {decoder['window']} frames" if decoder.get("window", 1) > 1 else "")
        + (f", staying {decoder['stay']}" if decoder.get("path") == "sticky" else "")
        + f"; temperature {decoder.get('temperature', 1.0):.2f}.",
        f"Training took {metrics.get('cpu_s', 0.0):.1f} CPU-s; a recording is predicted in "
        f"{result.seconds:.2f} CPU-s, features apart.",
        *([_ALONE] if len(result.codes) == 1 else []),
        *result.sequences.notes,
        *(f"Left out: {each}" for each in result.sequences.lost),
    ]
    return {
        "schema_version": 1,
        "room": "actions",
        "title": f"Actions: {len(result.classes)} classes by {member}",
        "trained_on": f"{len(trained.get('train', ()))} recordings, "
        f"{metrics.get('labelled_frames', 0):,} labelled frames",
        "seconds": float(metrics.get("elapsed_s", 0.0)),
        "headline": result.scores[0].to_dict(),
        "scores": [score.to_dict() for score in result.scores[1:]],
        "alarms": [],
        "notes": notes,
    }
