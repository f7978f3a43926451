"""How much of the visual units' spikes plain inputs explain, as a share of the known ceiling.

Virtual animals are filmed, units driven by the written frames are drawn, and Poisson regression
(32 components, lags of 0 to 3 frames) predicts their spikes from each input. Every fourth block of
10 s is held out. ``drives`` is what the units really read, ``cells`` the stage before that.

    python benchmarks/visual_neurons.py --out visual_neurons.json
    python benchmarks/visual_neurons.py --study STUDY --embeddings EMBEDDINGS
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from tinbergen import simulate
from tinbergen.encoding import PoissonGLM
from tinbergen.metrics import bits_per_spike
from tinbergen.recordings import Dataset, FrameSource, Recording
from tinbergen.recordings.intervals import Bins
from tinbergen.simulation import (
    VISUAL_REGIONS,
    Population,
    draw_spikes,
    expected_counts,
    visual_cells,
    visual_drives,
)

UNITS, BLOCK_S, COMPONENTS = 36, 10.0, 32
FLOOR = 1e-4  # spikes/bin


def inputs(recording: Recording, embeddings: Path | None) -> dict[str, np.ndarray]:
    """Features of every frame, by name."""
    video = recording["video"]
    cells = visual_cells(video)
    times, drives = visual_drives(cells)
    points = recording["keypoints"]
    small = pixels(video)
    moved = np.abs(np.diff(small, axis=0, prepend=small[:1])).mean(axis=1)
    found = {
        "motion energy": np.column_stack([moved, np.log(moved + 0.1)]),
        "keypoints": np.column_stack(
            [points.positions.reshape(len(small), -1), points.confidence.reshape(len(small), -1)]
        ),
        "frame components": small,
        "cells": np.asarray(cells.values, float),
        "drives": np.stack([np.interp(video.times, times, d) for d in drives.values()], axis=1),
    }
    if embeddings is not None:
        found["embedding"] = np.load(embeddings / recording.name / "cls.npy").astype(float)
    return found


def pixels(video: FrameSource) -> np.ndarray:
    frames = [batch.frames for batch in video.view(gray=True, size=(48, 64)).iterate()]
    return np.concatenate(frames).reshape(video.n_frames, -1).astype(float)


def score(counts: np.ndarray, rates: np.ndarray) -> float:
    """Mean over units of the bits/spike beyond each unit's mean on the test data."""
    return float(bits_per_spike(counts, rates, "mean", FLOOR).mean())


def measure(recording: Recording, embeddings: Path | None) -> dict:
    video, generator = recording["video"], np.random.default_rng(0)
    started = time.process_time()
    times, drives = visual_drives(visual_cells(video))
    seconds = time.process_time() - started
    population = Population.draw(UNITS, generator, VISUAL_REGIONS, (5.0, 30.0))
    rates = population.rates(times, drives, generator, drift=0.05)
    bins = Bins.inside(rates.valid, float(np.median(np.diff(video.times))))
    n = min(len(bins), video.n_frames)
    expected = expected_counts(rates, bins)[:n]
    counts = draw_spikes(rates, generator).bin(bins)[:n].astype(float)
    block = (video.times[:n] // BLOCK_S).astype(int)
    test, train = block % 4 == 3, block % 4 != 3
    ceiling = score(counts[test], expected[test])
    shares = {}
    for name, values in inputs(recording, embeddings).items():
        values = values[:n][:, values.std(axis=0) > 0]
        spread = values[train].std(axis=0) if name != "frame components" else 1.0
        values = (values - values[train].mean(axis=0)) / np.maximum(spread, 1e-6)
        if values.shape[1] > COMPONENTS:
            _, axes = np.linalg.eigh(values[train].T @ values[train])
            values = values @ axes[:, ::-1][:, :COMPONENTS]
        model = PoissonGLM(lags=(0, 3), components=None)
        model.fit(values[train], counts[train], segments=block[train])
        predicted = np.asarray(model.predict(values[test], segments=block[test]))
        shares[name] = round(score(counts[test], predicted) / ceiling, 3)
    return {"recording": recording.name, "ceiling": round(ceiling, 3), "shares": shares} | {
        "frames": video.n_frames,
        "cpu_s_of_the_drives": round(seconds, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--study", type=Path, help="simulated already; default: simulate one")
    parser.add_argument("--embeddings", type=Path, help="folder of embeddings of that study")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.study:
            data = Dataset.open(options.study)
        else:
            shape = {"fps": 15.0, "size": (96, 128), "seed": 11}
            data = simulate(Path(folder) / "study", animals=2, duration=300.0, **shape)
        rows = [measure(recording, options.embeddings) for recording in data.values()]
    text = json.dumps(rows, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
