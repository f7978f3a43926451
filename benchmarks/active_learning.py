"""Does it pay to label the clips that are suggested, instead of any? Rat dyads; JSON.

``python benchmarks/active_learning.py rat-dyads``: the folder of
Blossom0913/Mouse-Behavior-Classifier-Train with ``dlc/`` and ``annotations/``. A person is played
by the annotations: ten clips of 5 s are labelled, then ten more in each round; each round trains
anew and is scored on five sessions that are never labelled.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from tinbergen.actions import FeatureConfig, LogisticFrames, features_of, suggest_clips
from tinbergen.actions.ensembles import combined
from tinbergen.actions.model import Prediction
from tinbergen.metrics import frame_scores
from tinbergen.recordings import Intervals, Labels, Recording, read_keypoints, read_labels

CLASSES = ("nonsocial", "social", "aggression")
TRAIN = (1, 5, 8, 12, 24, 25, 27, 35, 40, 42, 43)
TEST = (46, 51, 53, 54, 58)
FPS = 20.0
CLIP, PER_ROUND, ROUNDS = 5.0, 10, 7
FEATURES = FeatureConfig(windows=(2.0,))


def session(folder: Path, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Features ``(time, feature)`` and codes ``(time,)``."""
    (dlc,) = (folder / "dlc").glob(f"{number}DLC*.csv")
    pose = read_keypoints(dlc, fps=FPS)
    labels = read_labels(folder / "annotations" / f"{number}_annot.txt", CLASSES, times=pose.times)
    features = features_of(Recording(str(number), {"pose": pose}), FEATURES)
    return np.nan_to_num(features.series.values), labels.codes(pose.times)


def fitted(x: list[np.ndarray], codes: list[np.ndarray], seed: int) -> list:
    """Three models, each on a random 70 % of the clips."""
    rng = np.random.default_rng(seed)
    members = []
    for _ in range(3):
        some = [np.where(_blocks(rng, len(c)), c, -1) for c in codes]
        counts = np.bincount(np.concatenate(some)[np.concatenate(some) >= 0], minlength=3)
        some = some if (counts > 0).all() else codes
        members.append(LogisticFrames(lags=0).fit(x, some))
    return members


def _blocks(rng: np.random.Generator, n: int) -> np.ndarray:
    size = round(CLIP * FPS)
    return np.repeat(rng.random(n // size + 1) < 0.7, size)[:n]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    data = {n: session(given.folder, n) for n in (*TRAIN, *TEST)}
    x_test, y_test = map(list, zip(*(data[n] for n in TEST), strict=True))
    x, y = map(list, zip(*(data[n] for n in TRAIN), strict=True))
    times = [np.arange(len(each)) / FPS for each in y]
    found: dict[Any, list[list[float]]] = {"random": [], "entropy": [], "disagreement": []}
    for way, curves in found.items():
        for seed in range(given.seeds):
            rng = np.random.default_rng(seed)
            watched = [Intervals() for _ in y]
            curve: list[float] = []
            members: list = []
            for done in range(ROUNDS):
                chosen = _random(rng, y, watched) if done == 0 or way == "random" else None
                if chosen is None:
                    says = [combined([m.predict_proba([each])[0] for m in members]) for each in x]
                    predictions = [
                        Prediction(str(s), CLASSES, t, p, p.argmax(axis=1), v)
                        for s, (t, (p, v)) in enumerate(zip(times, says, strict=True))
                    ]
                    seen = {
                        str(s): Labels(_none(), CLASSES, w | _unscored(t, c))
                        for s, (w, t, c) in enumerate(zip(watched, times, y, strict=True))
                    }
                    clips = suggest_clips(
                        predictions, PER_ROUND, length=CLIP, by=way, labelled=seen
                    )
                    chosen = [(int(row.recording), row.start) for row in clips.rows]
                for s, start in chosen:
                    watched[s] = watched[s] | Intervals([start], [start + CLIP])
                codes = [
                    np.where(w.contains(t), c, -1)
                    for w, t, c in zip(watched, times, y, strict=True)
                ]
                members = fitted(x, codes, seed)
                p = [
                    combined([m.predict_proba([each])[0] for m in members]).probabilities
                    for each in x_test
                ]
                scores = frame_scores(y_test, [each.argmax(axis=1) for each in p], 3)
                curve.append(round(scores.macro_f1, 4))
            curves.append(curve)
            print(way, seed, curve, flush=True)
    clips = [PER_ROUND * (done + 1) for done in range(ROUNDS)]
    result = {"clips": clips, "seconds": [CLIP * n for n in clips]}
    for way, curves in found.items():
        table = np.array(curves)
        result[way] = {
            "macro_f1": table.mean(axis=0).round(3).tolist(),
            "deviation": table.std(axis=0, ddof=1).round(3).tolist(),
        }
    print(json.dumps(result, indent=2))


def _none():
    import pandas as pd

    return pd.DataFrame({"start": [], "stop": [], "label": []})


def _unscored(times: np.ndarray, codes: np.ndarray) -> Intervals:
    known = times[codes >= 0]
    return Intervals([-1.0], [times[-1] + 1]) - Intervals([known[0]], [known[-1]])


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


if __name__ == "__main__":
    main()
