"""Behaviours of 16 ten-minute sessions of rat pairs: every algorithm in a row, beside its peers.

Sessions 1 5 8 12 24 25 27 35 40 42 43 are learned from, 46 51 53 54 58 are scored; decoders are
chosen on folds of the former. Pose and labels of github.com/Blossom0913/Mouse-Behavior-Classifier-
Train (figshare 10.6084/m9.figshare.30393298): two rats, five points each, a third of them missing.

    python benchmarks/actions_rat_dyads.py DATA/actions/rat-dyads --out results.json

Rows that are in results.json already are not computed again, so it can be stopped and called anew.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import torch

from machine import describe_machine
from tinbergen.actions import SEGMENTERS, compare
from tinbergen.files import write_json
from tinbergen.recordings import Dataset, Recording, Split, read_dlc_csv, read_labels
from tinbergen.recordings.splits import WHOLE

TRAIN = (1, 5, 8, 12, 24, 25, 27, 35, 40, 42, 43)
TEST = (46, 51, 53, 54, 58)
FPS = 20.0  # 12,000 scored frames of a ten-minute session
SETTINGS = {"features": {"front": "top", "middle": "body", "back": "tail"}}
SEEDS = {name: (0, 1, 2) for name in ("tcn", "mixture", "gru")}
_STATES = {"settings": {"n_components": 10, "max_iterations": 30}, "folds": 2}
OWN = {"hmm": _STATES, "arhmm": _STATES, "slds": _STATES}
"""What is not a default: models of states see ten principal components, in two folds."""
SCORES = ("macro_f1", "f1_10", "f1_25", "f1_50", "edit", "kappa", "calibration_error")
PEERS = {
    "lightning-action TCN, 3 seeds": (0.687, 0.286, 0.242, 0.153, 0.215),
    "lightning-action TCN, 31-frame mean": (0.689, 0.636, 0.550, 0.353, 0.670),
    "lightning-action BiLSTM, 31-frame mean": (0.663, 0.64, 0.53, 0.341, 0.756),
    "lightning-action temporal MLP": (0.645, 0.140, 0.106, None, 0.091),
    "XGBoost, 200 rounds, 31-frame mean": (0.685, 0.600, 0.496, 0.316, 0.605),
    "Gaussian HMM, 3 states, PCA 10": (0.463, 0.076, 0.047, 0.019, 0.060),
}
"""Measured on the same split: macro F1, F1@10, F1@25, F1@50, edit score."""


def main() -> None:
    """Train and score, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--models", nargs="+", default=list(SEGMENTERS))
    parser.add_argument(
        "--seeds", nargs="+", type=int, help="default: 0 1 2 of tcn, mixture and gru, else 0"
    )
    parser.add_argument("--out", type=Path, default=Path("actions_rat_dyads.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    dataset = read_dyads(options.data)
    result = json.loads(options.out.read_text()) if options.out.is_file() else {"rows": {}}
    result["machine"] = describe_machine()
    for model in options.models:
        for seed in options.seeds or SEEDS.get(model, (0,)):
            key = f"{model} {seed}"
            if key in result["rows"]:
                continue
            with tempfile.TemporaryDirectory() as folder:
                overrides = {**SETTINGS, **OWN.get(model, {}), "seed": seed}
                table = compare(dataset, folder, [model], split="dyads", overrides=overrides)
            row = table.iloc[0].drop("model").astype(float).round(4)
            result["rows"][key] = {k: None if np.isnan(v) else v for k, v in row.items()}
            write_json(options.out, result)
    print(as_table(result["rows"]))


def read_dyads(folder: Path) -> Dataset:
    """Return the sessions as a dataset with the split ``dyads``."""
    recordings = []
    for number in (*TRAIN, *TEST):
        table = next((folder / "dlc").glob(f"{number}DLC*.csv"))
        labels = folder / "annotations" / f"{number}_annot.txt"
        pose = read_dlc_csv(table, fps=FPS)
        streams = {
            "pose": pose,
            "behaviour": read_labels(labels, times=pose.times, where={"stream": "S1"}),
        }
        recordings.append(Recording(f"rat{number:02d}", streams))
    parts = {"train": TRAIN, "test": TEST}
    split = Split({k: {f"rat{n:02d}": WHOLE for n in v} for k, v in parts.items()})
    return Dataset(recordings, {"dyads": split})


def as_table(rows: dict[str, dict[str, float]]) -> str:
    """Return a Markdown table: means over seeds, best macro F1 first, then the peers."""
    lines = [
        "| | macro F1 | F1@10 | F1@25 | F1@50 | edit | kappa | calibration | training, CPU-s "
        "| session, CPU-s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    models = {key.rsplit(" ", 1)[0] for key in rows}
    means = {}
    for model in models:
        own = [row for key, row in rows.items() if key.rsplit(" ", 1)[0] == model]
        names = (*SCORES, "train_s", "predict_s")
        values = {n: np.array([row[n] for row in own], dtype=float) for n in names}
        means[model] = (len(own), {name: each.mean() for name, each in values.items()})
    for model, (n, row) in sorted(means.items(), key=lambda item: -item[1][1]["macro_f1"]):
        name = f"`{model}`" + (f", {n} seeds" if n > 1 else "")
        scores = " | ".join(f"{row[s]:.3f}" for s in SCORES)
        lines.append(f"| {name} | {scores} | {row['train_s']:.0f} | {row['predict_s']:.2f} |")
    for name, values in PEERS.items():
        scores = " | ".join("" if v is None else f"{v:.3f}" for v in values)
        lines.append(f"| {name} | {scores} | | | | |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
