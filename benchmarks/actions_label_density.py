"""How few labels do: S3LDS and pseudo-labels against supervised TCNs, on pairs of rats.

The protocol of Blau et al. 2024: training labels are thinned to a goal a class in chunks of 50
frames, five draws a goal; test recordings keep all labels. Each network is trained for the same
number of passes over the same frames, without a validation, and is decoded by a mean of 31 frames.

    python benchmarks/actions_label_density.py shared/data/actions/rat-dyads --out density.json

Rows that the file already holds are not computed again, so it can be stopped and grown. With
``--held validation`` three of the training recordings are scored instead, left out of the
training: to look up how many passes are enough.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import json
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from machine import describe_machine
from tinbergen.actions import (
    S3LDS,
    TCN,
    Decoder,
    FeatureConfig,
    features_of,
    thin_labels,
)
from tinbergen.actions.choosing import decoding_scores
from tinbergen.actions.thinning import GOALS, SEEDS
from tinbergen.files import write_json
from tinbergen.recordings import Recording
from tinbergen.recordings.deeplabcut import read_dlc_csv
from tinbergen.recordings.label_files import read_labels

TRAIN = (1, 5, 8, 12, 24, 25, 27, 35, 40, 42, 43)
TEST = (46, 51, 53, 54, 58)
VALIDATION = (35, 42, 43)
CLASSES = ("nonsocial", "social", "aggression")
FPS = 20.0
FEATURES = {
    "positions": FeatureConfig(sets=("positions",), velocity=False),
    "positions and velocities": FeatureConfig(sets=("positions",)),
    "social": FeatureConfig(sets=("social",), velocity=False),
    "social and velocities": FeatureConfig(sets=("social",)),
}
MODELS: dict[str, tuple[type[TCN], dict[str, Any]]] = {
    "tcn": (TCN, {}),
    "pseudo-labels": (TCN, {"pseudo": 0.9}),
    "s3lds": (S3LDS, {}),
}


def load(folder: Path, sessions: Sequence[int], config: FeatureConfig):
    """Return features ``(time, channel)`` and codes ``(time,)`` of each session."""
    x, y = [], []
    for session in sessions:
        (table,) = folder.glob(f"dlc/{session}DLC*.csv")
        keypoints = read_dlc_csv(table, fps=FPS)
        labels = read_labels(
            folder / "annotations" / f"{session}_annot.txt",
            CLASSES,
            times=keypoints.times,
            where={"stream": "S1"},
        )
        found = features_of(Recording(str(session), {"keypoints": keypoints}), config)
        x.append(np.asarray(found.series.values))
        y.append(labels.codes(keypoints.times))
    return x, y


def shown(
    x: list[np.ndarray], codes: list[np.ndarray], epochs: int, *, alone: bool
) -> tuple[list[np.ndarray], list[np.ndarray], int]:
    """Return what a model learns from, and the passes that make as many steps for each model.

    Where labels are few, most stretches hold none, and a model would meet a label in
    every fortieth stretch. So a model that learns from labels alone is given the stretches around
    them, and the others also those until half of all stretches hold labels.
    """
    length, batch = TCN.length, TCN.batch_size
    around = []
    for a, b in zip(x, codes, strict=True):
        marked = np.flatnonzero(b >= 0)
        while len(marked):
            first = int(np.clip(marked[0] - length // 2, 0, max(len(b) - length, 0)))
            around.append((a[first : first + length], b[first : first + length]))
            marked = marked[marked >= first + length]
    whole = sum(-(-len(each) // length) + 1 for each in x)
    steps = epochs * round(whole / batch)
    repeats = 0 if alone else max(0, round(whole / len(around)) - 1)
    pieces = around if alone else [*zip(x, codes, strict=True), *around * repeats]
    n = len(around) if alone else whole + len(around) * repeats
    passes = max(1, round(steps / max(1, round(n / batch))))
    return [a for a, _ in pieces], [b for _, b in pieces], passes


def main() -> None:
    arguments = parse()
    done: dict[str, Any] = {"machine": describe_machine(), "rows": []}
    if arguments.out.exists():
        done = json.loads(arguments.out.read_text("utf-8"))
    keys = ("features", "model", "goal", "draw", "epochs", "held")
    held, epochs = arguments.held, arguments.epochs
    sessions = {"test": TEST, "validation": VALIDATION}[held]
    training = [n for n in TRAIN if n not in sessions]
    have = {tuple(row[key] for key in keys) for row in done["rows"]}
    for features in arguments.features:
        wanted = [
            (goal, draw, model)
            for draw, goal, model in product(arguments.draws, arguments.goals, arguments.models)
            if (features, model, goal, draw, epochs, held) not in have
        ]
        if not wanted:
            continue
        x, y = load(arguments.data, training, FEATURES[features])
        held_x, held_y = load(arguments.data, sessions, FEATURES[features])
        for goal, draw, model in wanted:
            thin = thin_labels(y, len(CLASSES), goal, seed=SEEDS[draw]) if goal else None
            codes = y if thin is None else thin.codes
            begin = time.process_time()
            kind, settings = MODELS[model]
            own_x, own_codes, passes = shown(x, codes, epochs, alone=model == "tcn")
            fitted = kind(**settings, epochs=passes, random_state=draw)
            fitted.fit(own_x, own_codes, classes=CLASSES)
            seconds = time.process_time() - begin
            found = fitted.predict_proba(held_x)
            values = (features, model, goal, draw, epochs, held)
            row: dict[str, Any] = dict(zip(keys, values, strict=True))
            row["labelled"] = [
                int(sum((c == k).sum() for c in codes)) for k in range(len(CLASSES))
            ]
            decoded = Decoder(window=31).fit(y, len(CLASSES)).decode(found)
            row["macro_f1"] = decoding_scores(
                held_y, [p.argmax(axis=1) for p in found], len(CLASSES)
            )["macro_f1"]
            row["decoded"] = decoding_scores(held_y, decoded, len(CLASSES))
            row["train_cpu_s"] = round(seconds, 1)
            done["rows"].append(row)
            write_json(arguments.out, done)
            print(json.dumps(row), flush=True)
    scored = pd.DataFrame([row for row in done["rows"] if row["held"] == "test"])
    if len(scored):
        print(as_table(scored))
        if arguments.figure is not None:
            plot(scored, arguments.figure)


def as_table(rows: pd.DataFrame) -> str:
    """Return a Markdown table: mean macro F1 and its deviation over draws, decoded."""
    rows = rows.assign(score=[each["macro_f1"] for each in rows["decoded"]])
    found = rows.groupby(["features", "goal", "model"])["score"].agg(["mean", "std", "count"])
    models = [name for name in MODELS if name in set(rows["model"])]
    lines = [f"| features | frames a class | {' | '.join(models)} |"]
    lines.append("|---" * (2 + len(models)) + "|")
    for features in [name for name in FEATURES if name in set(rows["features"])]:
        for goal in sorted(set(rows["goal"])):
            keys = [(features, goal, model) for model in models]
            cells = [
                f"{found.loc[key, 'mean']:.3f} ({found.loc[key, 'std']:.3f}, "
                f"{found.loc[key, 'count']:.0f})"
                if key in found.index
                else ""
                for key in keys
            ]
            if any(cells):
                lines.append(f"| {features} | {goal or 'all'} | {' | '.join(cells)} |")
    return "\n".join(lines)


def plot(scored: pd.DataFrame, path: Path) -> None:
    """Draw a panel for each kind of features: macro F1 against labelled frames a class."""
    import matplotlib.pyplot as plt

    rows: Any = scored[scored["goal"] > 0]
    rows = rows.assign(score=[each["macro_f1"] for each in rows["decoded"]])
    panels = [name for name in FEATURES if name in set(rows["features"])]
    size = (3.4 * len(panels), 3.0)
    figure, axes = plt.subplots(1, len(panels), sharey=True, squeeze=False, figsize=size)
    for axis, features in zip(axes[0], panels, strict=True):
        for model in MODELS:
            own = rows[(rows["features"] == features) & (rows["model"] == model)]
            if own.empty:
                continue
            found = own.groupby("goal")["score"].agg(["mean", "std"])
            axis.errorbar(found.index, found["mean"], found["std"], label=model, capsize=2)
        axis.set(title=features, xscale="log", xlabel="labelled frames a class")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("macro F1, test recordings")
    axes[0][0].legend(frameon=False)
    figure.savefig(path, dpi=120, bbox_inches="tight")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How few labels do.")
    parser.add_argument("data", type=Path, help="folder with dlc/ and annotations/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--features", nargs="+", choices=FEATURES, default=list(FEATURES)[:2])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--goals", nargs="+", type=int, default=GOALS, help="0 = all labels")
    parser.add_argument("--epochs", type=int, default=6, help="passes over the training frames")
    parser.add_argument("--figure", type=Path, help="PNG of the curves")
    parser.add_argument("--held", choices=("test", "validation"), default="test")
    parser.add_argument("--draws", nargs="+", type=int, default=range(len(SEEDS)))
    return parser.parse_args()


if __name__ == "__main__":
    main()
