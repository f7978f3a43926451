"""CPU-seconds of models across animals: steps, and tables of neighbours. JSON on standard output.

    OMP_NUM_THREADS=1 python benchmarks/crossanimal_speed.py [PART ...] [--steps 500]

Parts, each by itself and all by default: ``trace`` is the default model on 8 animals of 140
neurons (batch 252), ``perceptron`` has a hidden layer over time, ``swap`` adds pose swapping;
``cebra`` has the shape that CEBRA was timed with: one animal, 8000 frames of 100 neurons, 10-frame
windows, 32 hidden units, 8 outputs, batch 512. ``neighbours`` are the tables of 8 animals, 60 pose
columns and so many ``--frames`` each; ``evaluation`` are all probes of 8 animals of 100,000 frames
and 64 channels each, h and z.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from typing import Any

import numpy as np
import torch

from tinbergen.crossanimal import (
    Animal,
    CrossAnimal,
    Method,
    evaluate_embeddings,
    split_at_end,
)
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
    for i in range(n):
        rng = np.random.default_rng(i)
        latent, body = _body(rng, frames, pose)
        noise = rng.standard_normal((frames, neurons))
        traces = latent @ rng.standard_normal((2, neurons)) + noise
        times = np.arange(frames) / 16
        made.append(Animal(f"a{i}", traces.astype(np.float32), times, body.astype(np.float32),
                           times))  # fmt: skip
    return made


def _body(rng: np.random.Generator, frames: int, pose: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a latent ``(frames, 2)`` and the pose ``(frames, pose)`` that follows it."""
    shared = np.random.default_rng(0).standard_normal((2, pose))
    latent = np.sin(np.cumsum(rng.standard_normal((frames, 2)) * 0.1, axis=0))
    return latent, np.tanh(latent @ shared) + 0.05 * rng.standard_normal((frames, pose))


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
    pose, owner = np.empty((8 * frames, 60), np.float32), np.repeat(np.arange(8), frames)
    for i in range(8):
        pose[owner == i] = _body(np.random.default_rng(i), frames, 60)[1]
    before = _peak_mb()
    start = time.process_time()
    table = find_neighbours(pose, owner, list("abcdefgh"))
    return {
        "cpu_s": round(time.process_time() - start, 1),
        "table_mb": round((table.rows.nbytes + table.log_weights.nbytes) / 1e6),
        "peak_mb_before": before,
        "peak_mb": _peak_mb(),
    }


def evaluation_seconds(frames: int = 100_000) -> float:
    """Return what all probes of 8 animals cost, h and z, with 20 nulls of each kind."""
    rng = np.random.default_rng(0)
    names, actions = list("abcdefgh"), {}
    h, z = {}, {}
    for name in names:
        actions[name] = np.repeat(rng.integers(0, 6, frames // 50), 50)
        means = rng.standard_normal((6, 64))[actions[name]]
        h[name] = (means + rng.standard_normal((frames, 64))).astype(np.float32)
        z[name] = h[name][:, ::-1].copy()
    splits = {name: split_at_end(frames, gap=10) for name in names}
    start = time.process_time()
    evaluate_embeddings([Method("m", [h], projected=[z], window=9)], actions, splits)
    return round(time.process_time() - start, 2)


def _peak_mb() -> int:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)


def main() -> None:
    """Measure and print."""
    parts = [*MODELS, "neighbours", "evaluation"]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", choices=parts)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--frames", type=int, nargs="+", default=[22_500, 90_000])
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
        for frames in args.frames:
            result[f"neighbours 8 x {frames}"] = neighbour_seconds(frames)
    if "evaluation" in chosen:
        result["evaluation 8 x 100000, CPU-s"] = evaluation_seconds()
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
