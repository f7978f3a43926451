"""CPU-seconds of models across animals: steps, and tables of neighbours. JSON on standard output.

    OMP_NUM_THREADS=1 python benchmarks/crossanimal_speed.py [PART ...] [--steps 500]

Parts, each by itself and all by default: ``trace`` is the default model on 8 animals of 140
neurons (batch 252), ``perceptron`` has a hidden layer over time, ``swap`` adds pose swapping;
``cebra`` has the shape that CEBRA was timed with: one animal, 8000 frames of 100 neurons, 10-frame
windows, 32 hidden units, 8 outputs, batch 512. ``neighbours`` are the tables of 8 animals, 60 pose
columns and ``--frames`` frames each, and of a quarter of that.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from typing import Any

import numpy as np
import torch

from tinbergen.crossanimal import Animal, CrossAnimal
from tinbergen.crossanimal.neighbours import find_neighbours

MODELS: dict[str, dict[str, Any]] = {
    "trace": {},
    "perceptron": {"network": {"temporal": "perceptron"}},
    "swap": {"swap": {"pose": 0.5}},
    "cebra": {
        "windows": {"neural": 10, "pose": 1},
        "network": {"input": 32, "hidden": 32, "output": 8, "members": 1},
        "train": {"batch_size": 512},
    },
}


def animals(n: int, frames: int, neurons: int, pose: int) -> list[Animal]:
    """Return animals of smooth poses that share a two-dimensional latent."""
    made = []
    shared = np.random.default_rng(0).standard_normal((2, pose))
    for i in range(n):
        rng = np.random.default_rng(i)
        latent = np.sin(np.cumsum(rng.standard_normal((frames, 2)) * 0.1, axis=0))
        body = np.tanh(latent @ shared) + 0.05 * rng.standard_normal((frames, pose))
        noise = rng.standard_normal((frames, neurons))
        traces = latent @ rng.standard_normal((2, neurons)) + noise
        times = np.arange(frames) / 16
        made.append(Animal(f"a{i}", traces.astype(np.float32), times, body.astype(np.float32),
                           times))  # fmt: skip
    return made


def step_seconds(data: list[Animal], steps: int, settings: dict[str, Any]) -> float:
    """Return CPU-seconds of 1000 steps: of so many more, so that the start does not count."""
    spent = []
    for n in (20, 20 + steps):
        train = {**settings.get("train", {}), "steps": n, "device": "cpu"}
        model = CrossAnimal(settings={**settings, "train": train})
        start = time.process_time()
        model.fit(data)
        spent.append(time.process_time() - start)
    return 1000 * (spent[1] - spent[0]) / steps


def neighbour_seconds(frames: int) -> dict[str, float]:
    """Return what a table of 8 animals costs, with the peak of the process so far."""
    many = [a.pose for a in animals(8, frames, 1, 60) if a.pose is not None]
    pose, owner = np.concatenate(many), np.repeat(np.arange(8), frames)
    del many
    start = time.process_time()
    table = find_neighbours(pose, owner, list("abcdefgh"))
    return {
        "cpu_s": round(time.process_time() - start, 1),
        "table_mb": round((table.rows.nbytes + table.log_weights.nbytes) / 1e6),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
    }


def main() -> None:
    """Measure and print."""
    parts = [*MODELS, "neighbours"]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", choices=parts)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--frames", type=int, default=90_000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    chosen = args.parts or parts
    models = [part for part in chosen if part in MODELS]
    result: dict[str, object] = {}
    if models:
        step_seconds(animals(2, 500, 20, 6), 20, {})  # first use
    for part in models:
        data = animals(1, 8000, 100, 2) if part == "cebra" else animals(8, 2000, 140, 20)
        seconds = step_seconds(data, args.steps, MODELS[part])
        result[f"{part}, CPU-s per 1000 steps"] = round(seconds, 2)
    if "neighbours" in chosen:
        for frames in (args.frames // 4, args.frames):
            result[f"neighbours 8 x {frames}"] = neighbour_seconds(frames)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
