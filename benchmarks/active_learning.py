"""Does it pay to label the clips that are suggested, instead of any? Rat dyads; JSON.

``python benchmarks/active_learning.py DATA/actions/rat-dyads --out active_learning.json``: the
folder of Blossom0913/Mouse-Behavior-Classifier-Train with ``dlc/`` and ``annotations/``. A person
is played by the annotations: ten clips of 5 s are labelled, then ten more in each round; each
round trains anew and is scored on five sessions that are never labelled. The first ten clips of a
seed are the same in every way of choosing. Curves that the file already holds are not computed
again.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from machine import describe_machine
from tinbergen.actions import FeatureConfig, LogisticFrames, features_of, suggest_clips
from tinbergen.actions.ensembles import combined
from tinbergen.actions.model import Prediction
from tinbergen.files import write_json
from tinbergen.metrics import frame_scores
from tinbergen.recordings import Intervals, Labels, Recording, read_keypoints, read_labels

CLASSES = ("nonsocial", "social", "aggression")
TRAIN = (1, 5, 8, 12, 24, 25, 27, 35, 40, 42, 43)
TEST = (46, 51, 53, 54, 58)
FPS = 20.0
CLIP, PER_ROUND, ROUNDS = 5.0, 10, 7
FEATURES = FeatureConfig(windows=(2.0,))
WAYS = ("random", "entropy", "disagreement")
_TRIES = 20  # to draw clips that hold all classes


def session(folder: Path, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Features ``(time, feature)`` and codes ``(time,)``."""
    (dlc,) = (folder / "dlc").glob(f"{number}DLC*.csv")
    pose = read_keypoints(dlc, fps=FPS)
    labels = read_labels(
        folder / "annotations" / f"{number}_annot.txt",
        CLASSES,
        times=pose.times,
        where={"stream": "S1"},
    )
    features = features_of(Recording(str(number), {"pose": pose}), FEATURES)
    return np.nan_to_num(features.series.values), labels.codes(pose.times)


def fitted(x: list[np.ndarray], codes: list[np.ndarray], seed: int) -> list:
    """Three models, each on a random 70 % of the clips that hold all classes, if any does."""
    rng = np.random.default_rng(seed)
    members = []
    for _ in range(3):
        for _ in range(_TRIES):
            some = [np.where(_blocks(rng, len(c)), c, -1) for c in codes]
            known = np.concatenate(some)
            if len(np.unique(known[known >= 0])) == len(CLASSES):
                break
        else:
            some = codes
        members.append(LogisticFrames(lags=0).fit(x, some, classes=CLASSES))
    return members


def _blocks(rng: np.random.Generator, n: int) -> np.ndarray:
    size = round(CLIP * FPS)
    return np.repeat(rng.random(n // size + 1) < 0.7, size)[:n]


def main() -> None:
    """Label, train, score; print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--figure", type=Path, help="PNG of the curves")
    given = parser.parse_args()
    result: dict[str, Any] = {"curves": {}}
    if given.out.is_file():
        result = json.loads(given.out.read_text("utf-8"))
    result["machine"] = describe_machine()
    curves = result["curves"]
    wanted = [(way, seed) for seed in given.seeds for way in WAYS if f"{way} {seed}" not in curves]
    data = {n: session(given.folder, n) for n in (*TRAIN, *TEST)} if wanted else {}
    for way, seed in wanted:
        begin = time.process_time()
        scores = learned(data, way, seed)
        spent = round(time.process_time() - begin, 1)
        curves[f"{way} {seed}"] = {"way": way, "macro_f1": scores, "cpu_s": spent}
        write_json(given.out, result)
        print(way, seed, scores, spent, flush=True)
    print(as_table(curves))
    if given.figure is not None:
        plot(curves, given.figure)


def learned(data: dict[int, tuple[np.ndarray, np.ndarray]], way: str, seed: int) -> list[float]:
    """Macro F1 on the test sessions after each round."""
    x, y = map(list, zip(*(data[n] for n in TRAIN), strict=True))
    x_test, y_test = map(list, zip(*(data[n] for n in TEST), strict=True))
    times = [np.arange(len(each)) / FPS for each in y]
    rng = np.random.default_rng(seed)
    watched = [Intervals() for _ in y]
    curve: list[float] = []
    members: list = []
    for done in range(ROUNDS):
        if done == 0 or way == "random":
            chosen = _random(rng, y, watched)
        else:
            chosen = _suggested(members, x, y, times, watched, way)
        for s, start in chosen:
            watched[s] = watched[s] | Intervals([start], [start + CLIP])
        codes = [np.where(w.contains(t), c, -1) for w, t, c in zip(watched, times, y, strict=True)]
        members = fitted(x, codes, seed)
        p = [found.probabilities for found in _says(members, x_test)]
        scores = frame_scores(y_test, [each.argmax(axis=1) for each in p], len(CLASSES))
        curve.append(round(scores.macro_f1, 4))
    return curve


def _says(members: list, x: list[np.ndarray]) -> list:
    return [combined([m.predict_proba([each])[0] for m in members]) for each in x]


def _suggested(
    members: list,
    x: list[np.ndarray],
    y: list[np.ndarray],
    times: list[np.ndarray],
    watched: list[Intervals],
    way: Any,
) -> list[tuple[int, float]]:
    predictions = [
        Prediction(str(s), CLASSES, t, p, p.argmax(axis=1), v)
        for s, (t, (p, v)) in enumerate(zip(times, _says(members, x), strict=True))
    ]
    nothing = pd.DataFrame({"start": [], "stop": [], "label": []})
    seen = {
        str(s): Labels(nothing, CLASSES, w | _unscored(t, c))
        for s, (w, t, c) in enumerate(zip(watched, times, y, strict=True))
    }
    clips = suggest_clips(predictions, PER_ROUND, length=CLIP, by=way, labelled=seen)
    return [(int(row.recording), row.start) for row in clips.rows]


def _unscored(times: np.ndarray, codes: np.ndarray) -> Intervals:
    known = times[codes >= 0]
    return Intervals([-1.0], [times[-1] + 1]) - Intervals([known[0]], [known[-1]])


def as_table(curves: dict[str, dict[str, Any]]) -> str:
    """Return a Markdown table: mean macro F1 of each way, and its deviation over seeds."""
    clips = [PER_ROUND * (done + 1) for done in range(ROUNDS)]
    lines = [f"| clips | {' | '.join(map(str, clips))} |", "|---" * (ROUNDS + 1) + "|"]
    for way in WAYS:
        table = np.array([each["macro_f1"] for each in curves.values() if each["way"] == way])
        if len(table):
            spread = table.std(axis=0, ddof=1) if len(table) > 1 else np.full(ROUNDS, np.nan)
            cells = [f"{m:.3f} ({d:.3f})" for m, d in zip(table.mean(axis=0), spread, strict=True)]
            lines.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _random(rng: np.random.Generator, y: list[np.ndarray], watched: list[Intervals]) -> list:
    chosen: list[tuple[int, float]] = []
    taken = list(watched)
    while len(chosen) < PER_ROUND:
        s = int(rng.integers(len(y)))
        known = np.flatnonzero(y[s] >= 0)
        start = float(rng.integers(known[0], known[-1] - round(CLIP * FPS))) / FPS
        if not (taken[s] & Intervals([start], [start + CLIP])).duration:
            taken[s] = taken[s] | Intervals([start], [start + CLIP])
            chosen.append((s, start))
    return chosen


def plot(curves: dict[str, dict[str, Any]], path: Path) -> None:
    """Draw macro F1 against seconds of labels, a line a way: mean and deviation over seeds."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(4.4, 3.2))
    for way in WAYS:
        table = np.array([each["macro_f1"] for each in curves.values() if each["way"] == way])
        if not len(table):
            continue
        seconds = CLIP * PER_ROUND * np.arange(1, table.shape[1] + 1)
        spread = table.std(axis=0, ddof=1) if len(table) > 1 else None
        axis.errorbar(seconds, table.mean(axis=0), spread, label=way, capsize=2)
    axis.set(xlabel="seconds with labels", ylabel="macro F1, five other sessions")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False)
    figure.savefig(path, dpi=120, bbox_inches="tight")


if __name__ == "__main__":
    main()
