"""Video to spikes with a known ceiling: embeddings beside frames, motion energy and keypoints.

Virtual animals are filmed with units that are driven by the written frames. A network learns from
these films alone, seen by a view that goes with the animal, and embeds them; RRR, GLM and TCN of
``tinbergen encode`` predict the spikes from each feature set (128 components, lags of -1 to 3
bins of 0.1 s as 3 smooth functions; three folds of held-out time with a gap of 1 s), of the whole
recordings and of their first half alone. Two rows are bounds, and no rivals: ``drives`` is what
the units really read, and what it lacks to the ceiling is lost to the length of the recording and
to the slow drift of the rates; ``cells`` are all complex cells of every frame, the best that
features of frames can be.

    python benchmarks/visual_neurons.py --out visual_neurons.json
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import json
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from machine import describe_machine
from tinbergen import beast, encode, simulate
from tinbergen.encoding.summary import StudyResult
from tinbergen.metrics import bits_per_spike, hierarchical_interval
from tinbergen.recordings import AnimalView, Bins, Dataset, Series
from tinbergen.simulation import expected_counts, visual_cells, visual_drives

WINDOW, BIN_S, FLOOR = 64, 0.1, 1e-9  # px, s, spikes/bin
NETWORK = {
    "encoder": {"image_size": (WINDOW, WINDOW), "channels": 1, "patch": 8, "depth": 6},
    "decoder": {"width": 128, "depth": 2, "heads": 4},
    "frames": {"per_video": 2000, "select": "uniform"},
    "objective": {"freeze_embedding": False},
}
LAYERS = (1,)
HALF = ("embedding", "crop components", "cells", "drives")  # also with half the time
MODELS = {
    "rrr": {"components": 128, "lags": (-1, 3), "basis": 3},
    "glm": {"components": 128, "lags": (-1, 3), "basis": 3},
    "tcn": {"components": 128},
}


class Seconds(dict):
    """CPU-seconds of each step."""

    @contextmanager
    def of(self, name: str):
        began = time.process_time()
        yield
        self[name] = round(time.process_time() - began, 1)


def follow(study: Dataset) -> tuple[Dataset, Dataset]:
    """Return the view of the animals alone, and beside everything else that is known."""
    views = {name: AnimalView(each["video"], WINDOW) for name, each in study.items()}
    alone = [replace(each, streams={"video": views[name]}) for name, each in study.items()]
    beside = [
        replace(each, streams={**each.streams, "crop": views[name]})
        for name, each in study.items()
    ]
    return Dataset(alone), Dataset(beside)


def bounds(study: Dataset) -> tuple[dict[str, Series], dict[str, Series]]:
    """Compute the responses of the cells and what the units read of them, by recording."""
    cells, drives = {}, {}
    for name, recording in study.items():
        cells[name] = visual_cells(recording["video"])
        times, values = visual_drives(cells[name])
        drives[name] = Series(times, np.stack(list(values.values()), axis=1), tuple(values))
    return cells, drives


def ceiling(study: Dataset, result: StudyResult) -> np.ndarray:
    """Bits/spike of the true rates on the spikes that were scored, ``(unit,)``."""
    scores = []
    for name, predicted in result.predicted.items():
        rates = study[name]["visual_rates"]
        at = [rates.channels.index(unit) for unit in predicted.names]
        rows = np.zeros(len(predicted.starts), dtype=int)
        bins = Bins(predicted.starts, predicted.stops, BIN_S, rows)
        expected = expected_counts(rates, bins)[:, at]
        scores.append(bits_per_spike(predicted.truth, expected, "mean", FLOOR))
    return np.concatenate(scores)


def compare(study: Dataset, result: StudyResult, sets: list[str], ours: str) -> dict:
    """Score each feature set, and ours against it paired over units."""
    table = result.scores.pivot(index=["recording", "name"], columns="features", values="value")
    order = [(name, unit) for name, found in result.predicted.items() for unit in found.names]
    table = table.loc[order]
    best = ceiling(study, result)
    sessions = table.index.get_level_values("recording").to_numpy()
    rows = {}
    for name in sets:
        value = table[name].to_numpy()
        gain = table[ours].to_numpy() - value
        rows[name] = {
            "bits_per_spike": round(float(value.mean()), 4),
            "share_of_ceiling": round(float(value.mean() / best.mean()), 3),
            "share_by_recording": {
                str(each): round(
                    float(value[sessions == each].mean() / best[sessions == each].mean()), 3
                )
                for each in dict.fromkeys(sessions)
            },
        }
        if name != ours:
            low, high = hierarchical_interval(gain, sessions)
            rows[name]["ours_minus_this"] = [round(float(x), 4) for x in (gain.mean(), low, high)]
            rows[name]["units_better"] = f"{int((gain > 0).sum())} of {len(gain)}"
    return {"ceiling": round(float(best.mean()), 4), "units": len(best), "features": rows}


def first_half(study: Dataset) -> Dataset:
    """Return the recordings with the spikes of their first half alone."""
    halves = []
    for each in study.values():
        spikes = each["visual_spikes"]
        start, stop = spikes.valid.starts[0], spikes.valid.stops[-1]
        cut = spikes.between(start, (start + stop) / 2)
        halves.append(replace(each, streams={**each.streams, "visual_spikes": cut}))
    return Dataset(halves)


def explain(study: Dataset, sets: dict, model: str) -> dict:
    """Predict the spikes from every set and compare the first one with the others."""
    result = encode(
        study, features=sets, target="visual_spikes", model=model, options=MODELS[model],
        bin=BIN_S, folds=3, compare=True,
    )  # fmt: skip
    return compare(study, result, list(sets), next(iter(sets)))


def measure(study: Dataset, folder: Path, steps: int, seconds: Seconds) -> dict:
    alone, beside = follow(study)
    with seconds.of("pretrain"):
        run = beast.pretrain(
            alone, folder / "run", size="ti", steps=steps, overrides=NETWORK, evaluate=False
        )
    with seconds.of("embed"):
        beast.embed(run, alone, folder / "embeddings", tokens=("cls", "texture"), layers=LAYERS)
    with seconds.of("bounds"):
        cells, drives = bounds(study)
    sets = {
        "embedding": f"{folder / 'embeddings'}:cls+texture",
        "cls alone": f"{folder / 'embeddings'}:cls",
        "crop components": "crop:pca",
        "frame components": "video:pca",
        "motion energy": "video:motion",
        "keypoints": "keypoints",
        "cells": cells,
        "drives": drives,
    }
    some = {name: sets[name] for name in HALF}
    parts = {"whole": (beside, sets), "first half": (first_half(beside), some)}
    found = {model: {} for model in MODELS}
    for part, (recordings, chosen) in parts.items():
        for model in MODELS:
            with seconds.of(f"{model}, {part}"):
                found[model][part] = explain(recordings, chosen, model)
            print(json.dumps({model: {part: found[model][part]}}), file=sys.stderr, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0, help="of each animal")
    parser.add_argument("--steps", type=int, default=300, help="of the network")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    seconds = Seconds()
    with tempfile.TemporaryDirectory() as folder:
        with seconds.of("simulate"):
            study = simulate(
                Path(folder) / "study", animals=2, duration=60 * options.minutes, fps=15.0,
                size=(96, 128), visual_neurons=24, seed=12,
            )  # fmt: skip
        found = measure(study, Path(folder), options.steps, seconds)
    seconds["total"] = round(sum(seconds.values()), 1)
    settings = {"minutes": options.minutes, "steps": options.steps}
    about = {"machine": describe_machine(), **settings, "cpu_s": seconds}
    text = json.dumps(about | {"models": found}, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
