"""Six simulated animals that act alike, look different and share no neuron: the paper's table.

A gap of 1 moves each column of the pose by half a standard deviation and scales it by up to 20 %
in each animal. Four actions; the first 80 % of each animal is for training.

    python benchmarks/crossanimal_simulated.py --out results.json

Rows that are in results.json already are not computed again, so it can be stopped and called anew.
The row "latents known" is the ceiling: ridge from the traces to the true latents, as if these had
been recorded.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from crossanimal_worms import GAP, PLAIN, ROWS, as_tables, run_rows, score
from tinbergen.configuration import merge
from tinbergen.crossanimal import Animal, Method, split_at_end
from tinbergen.encoding import Ridge
from tinbergen.files import write_json
from tinbergen.recordings.lags import lagged
from tinbergen.simulation import CONNECTIVE, SharedActions, simulate_shared_actions

CEILING = "latents known"
SETTINGS = {
    "normalise_pose": "all",  # by animal, the gap would be gone before training
    "whiten": 0,
    "network": {"members": 1, "temporal": "perceptron"},
    "train": {"steps": 400, "device": "cpu"},
}


def main() -> None:
    """Simulate, fit and score, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", default=[CEILING, *PLAIN, *ROWS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--gap", type=float, default=1.0)
    parser.add_argument("--slow", action="store_true", help="a trace is 3.3 s late on average")
    parser.add_argument("--out", type=Path, default=Path("crossanimal_simulated.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    study = SharedActions(gap=options.gap)
    if options.slow:
        study = SharedActions(gap=options.gap, indicator=CONNECTIVE, smoothness=12.0)
    recordings = simulate_shared_actions(study)
    animals, labels, latents = [], {}, {}
    for each in recordings:
        neural, pose = each["neural"], each["pose"]
        animals.append(Animal(each.name, neural.values, neural.times, pose.values, pose.times))
        names = np.array(each["actions"].classes)
        labels[each.name] = names[each["actions"].codes(neural.times)]
        latents[each.name] = each["latents"].values
    rows = [row for row in options.rows if row != CEILING]
    if CEILING in options.rows:
        _ceiling(animals, labels, latents, options.out)
    settings = {name: (kind, merge(SETTINGS, own)) for name, (kind, own) in ROWS.items()}
    run_rows(animals, labels, rows, options.seeds, options.out, settings)
    print(as_tables(json.loads(options.out.read_text())))


def _ceiling(
    animals: list[Animal], labels: dict[str, np.ndarray], latents: dict[str, np.ndarray], out: Path
) -> None:
    """Score what the traces say of the true latents, of each animal by its own ridge."""
    result = json.loads(out.read_text()) if out.is_file() else {"runs": {}}
    if f"{CEILING}|0" in result["runs"]:
        return
    splits = {each.name: split_at_end(len(each), gap=GAP) for each in animals}
    told = {}
    for each in animals:
        train = splits[each.name].train
        window = lagged(each.neural, range(-4, 5))
        # The probe sees x, y and the products that a corner of the square needs.
        x = Ridge().fit(window[train], latents[each.name][train]).predict(window)
        told[each.name] = np.column_stack([x, np.tanh(3 * x), x[:, :1] * x[:, 1:]])
    found = score([Method(CEILING, [told])], labels, splits, 0)
    result["runs"][f"{CEILING}|0"] = {
        "cpu_s": 0.0,
        "actions": json.loads(found.actions.to_json(orient="records")),
        "wrong": json.loads(found.wrong.to_json(orient="records")),
        "identity": json.loads(found.identity.to_json(orient="records")),
        "classes": list(found.classes),
    }
    write_json(out, result)


if __name__ == "__main__":
    main()
