"""Forward and backward in eight worms that share no neuron: every objective, within and across.

Whole-brain calcium and posture of freely moving C. elegans (Dag et al., Cell 2023). The first 80 %
of each worm is for training, the last 20 % for the test, 12 frames apart; labels are `reversal`.

    python benchmarks/crossanimal_worms.py DATA/calcium/worms --out results.json

Rows that are in results.json already are not computed again, so it can be stopped and called anew.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from machine import describe_machine
from tinbergen.configuration import merge
from tinbergen.crossanimal import (
    Animal,
    CrossAnimal,
    Evaluation,
    FrameSplit,
    Method,
    baseline_methods,
    evaluate_embeddings,
    fitted_method,
    split_at_end,
)
from tinbergen.crossanimal.cebra import cebra_method
from tinbergen.crossanimal.study import neural_rolled
from tinbergen.errors import TinbergenError
from tinbergen.files import write_json

FRAMES = 799  # the shortest recording
GAP = 12
SETTINGS = {
    "whiten": 8,
    "windows": {"neural": 13, "pose": 5},
    "augment": {"neuron_dropout": 0.5},
    "train": {"device": "cpu"},
}
"""Of all rows; chosen with the contrast on frames 480 to 639, learnt from frames before 470."""
ROWS: dict[str, tuple[str, dict]] = {
    "contrast, same animal": ("contrast", {}),
    "contrast, mixed": ("contrast", {"negatives": "mixed"}),
    "contrast, mixed, swap 0.5": ("contrast", {"negatives": "mixed", "swap": {"pose": 0.5}}),
    "contrast, mixed, swap 1": ("contrast", {"negatives": "mixed", "swap": {"pose": 1.0}}),
    "contrast, same animal, swap 0.5": ("contrast", {"swap": {"pose": 0.5}}),
    "contrast, same animal, swap of features 0.5": ("contrast", {"swap": {"neural": 0.5}}),
    "contrast, mixed, MMD": ("contrast", {"negatives": "mixed", "domain": {"kind": "mmd"}}),
    "contrast, mixed, reversal": (
        "contrast",
        {"negatives": "mixed", "domain": {"kind": "reversal"}},
    ),
    "SimCLR": ("simclr", {}),
    "SimCLR, MMD": ("simclr", {"negatives": "mixed", "domain": {"kind": "mmd"}}),
    "SimCLR, reversal": ("simclr", {"negatives": "mixed", "domain": {"kind": "reversal"}}),
    "regression, convolution": ("regression", {"network": {"temporal": "convolution"}}),
    "regression, recurrent": ("regression", {"network": {"temporal": "recurrent"}}),
    "regression, MMD": (
        "regression",
        {"network": {"temporal": "convolution"}, "domain": {"kind": "mmd"}},
    ),
    "regression, reversal": (
        "regression",
        {"network": {"temporal": "convolution"}, "domain": {"kind": "reversal"}},
    ),
    "syllables": ("syllables", {}),
}
PLAIN = ("raw windows", "aligned")
"""What needs no network."""
STRICT, ROLLED = ", strict", ", neurons rolled"
MORE = (f"contrast, same animal{STRICT}", f"contrast, same animal{ROLLED}", "cebra")
"""Also without each worm in turn; a control without any link; if it is installed."""


def main() -> None:
    """Fit and score, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--rows", nargs="+", default=[*PLAIN, *ROWS, *MORE])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3])
    parser.add_argument("--out", type=Path, default=Path("crossanimal_worms.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    animals, labels = read_worms(options.data)
    settings = {name: (kind, merge(SETTINGS, own)) for name, (kind, own) in ROWS.items()}
    run_rows(animals, labels, options.rows, options.seeds, options.out, settings)
    print(as_tables(json.loads(options.out.read_text())))


def read_worms(folder: Path) -> tuple[list[Animal], dict[str, np.ndarray]]:
    """Return traces with posture and velocity, and whether each frame is backward."""
    animals, labels = [], {}
    for path in sorted(folder.glob("worm_*.npz")):
        worm = np.load(path)
        name = path.stem.removeprefix("worm_")
        pose = np.column_stack([worm["body_angle"], worm["velocity"]])[:FRAMES]
        times = worm["time_s"][:FRAMES].astype(float)
        animals.append(Animal(name, worm["traces_original"][:FRAMES], times, pose, times))
        labels[name] = np.where(worm["reversal"][:FRAMES] > 0, "backward", "forward")
    return animals, labels


def run_rows(
    animals: list[Animal],
    labels: dict[str, np.ndarray],
    rows: list[str],
    seeds: list[int],
    out: Path,
    settings: dict[str, tuple[str, dict]],
) -> None:
    """Compute what is missing; each method and seed is written as soon as it is scored."""
    splits = {each.name: split_at_end(len(each), gap=GAP) for each in animals}
    result = json.loads(out.read_text()) if out.is_file() else {"runs": {}}
    result["machine"] = describe_machine()
    for row in rows:
        for seed in [0] if row in PLAIN else seeds:
            key = f"{row}|{seed}"
            if key in result["runs"]:
                continue
            begin = time.process_time()
            try:
                methods = _methods(row, seed, animals, splits, settings)
            except TinbergenError as error:
                print(f"{row}: {error}")
                break
            spent = time.process_time() - begin
            # Networks have seeds; what has none is drawn wrong labels for more often.
            found = score(methods, labels, splits, seed, 10 if row == "aligned" else None)
            result["runs"][key] = {
                "cpu_s": round(spent, 1),
                "actions": json.loads(found.actions.to_json(orient="records")),
                "wrong": json.loads(found.wrong.to_json(orient="records")),
                "identity": json.loads(found.identity.to_json(orient="records")),
                "classes": list(found.classes),
            }
            write_json(out, result)
            one = found.summary().query("fraction == 1").set_index("protocol")
            print(f"{key}: {spent:.0f} CPU-s {one['balanced_accuracy'].round(3).to_dict()}")


def score(
    methods: list[Method],
    labels: dict[str, np.ndarray],
    splits: dict[str, FrameSplit],
    seed: int,
    nulls: int | None = None,
) -> Evaluation:
    """Logistic probes on features scaled by each animal; two nulls of each kind by default."""
    return evaluate_embeddings(
        methods, labels, splits, probe="logistic", per_animal=True, window=13, seed=seed,
        nulls=nulls,
    )  # fmt: skip


def _methods(
    row: str,
    seed: int,
    animals: list[Animal],
    splits: dict[str, FrameSplit],
    settings: dict[str, tuple[str, dict]],
) -> list[Method]:
    if row in PLAIN:
        neural = {each.name: each.neural for each in animals}
        pose = {each.name: each.pose for each in animals}
        # Each at a penalty of its own, chosen in training: they are to be as good as they can be.
        methods = baseline_methods(neural, pose, splits)
        chosen = [each for each in methods if each.matched == (row == "aligned")]
        return [replace(each, probe=each.probe or "wide logistic") for each in chosen]
    if row == "cebra":
        return [cebra_method(animals, splits, seeds=[seed])]
    strict, rolled = row.endswith(STRICT), row.endswith(ROLLED)
    objective, chosen = settings[row.removesuffix(STRICT).removesuffix(ROLLED)]
    given = [neural_rolled(each) for each in animals] if rolled else animals
    make: Callable[[int], CrossAnimal] = lambda s: CrossAnimal(  # noqa: E731
        objective, settings=chosen, random_state=s
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # far neighbours: the rows say what comes of it
        return [fitted_method(row, make, given, splits, seeds=[seed], strict=strict)]


def as_tables(result: dict) -> str:
    """Return Markdown: balanced accuracy with intervals over animals and seeds, and identity."""
    frames: dict[str, list[pd.DataFrame]] = {"actions": [], "wrong": [], "identity": []}
    spent: dict[str, list[float]] = {}
    classes: tuple[str, ...] = ()
    for key, run in result["runs"].items():
        row, seed = key.rsplit("|", 1)
        spent.setdefault(row, []).append(run["cpu_s"])
        classes = tuple(run["classes"])
        for name, parts in frames.items():
            if run[name]:
                parts.append(pd.DataFrame(run[name]).assign(seed=int(seed)))
    found = Evaluation(*(pd.concat(parts) for parts in frames.values()), classes)
    summary = found.summary().set_index(["method", "protocol", "fraction"])
    identity = found.identity_summary().set_index(["method", "space", "probe"])
    lines = [
        "| | single 0.5 | single 1 | leave-one-out 0.5 | leave-one-out 1 | strict 1 | null | "
        "animal, distant linear | distant kNN | linear | kNN | CPU-s a fit |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    asked = [("single", 0.5), ("single", 1.0), ("leave-one-out", 0.5), ("leave-one-out", 1.0)]
    for method in summary.index.unique("method"):
        cells = [_score(summary, (method, *each)) for each in [*asked, ("strict", 1.0)]]
        null = summary.loc[method].iloc[-1][["rolled", "shuffled"]].max()
        cells.append("" if np.isnan(null) else f"{null:.3f}")
        probes = ("distant linear", "distant knn", "linear", "knn")
        cells += [_score(identity, (method, "h", probe)) for probe in probes]
        cells.append(f"{np.mean(spent[method]):.1f}" if method in spent else "")
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *(f"- {each}" for each in found.warnings())])


def _score(table: pd.DataFrame, key: tuple) -> str:
    if key not in table.index:
        return ""
    row = table.loc[key]
    value = row["balanced_accuracy"] if "balanced_accuracy" in row else row["accuracy"]
    return f"{value:.3f} ({row['low']:.2f} to {row['high']:.2f})"


if __name__ == "__main__":
    main()
