"""CPU time per training image of the data path: cache read, augmentation, normalisation.

Run: ``OMP_NUM_THREADS=1 python benchmarks/data_path.py [--device cuda]``; prints JSON. The
reference's figure: 9.4 CPU-ms per item of 396x406 px (PNG decoding, imgaug ``default``, resizing).
"""

import argparse
import json
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

from tinbergen.beast.augment import AUGMENTATIONS, Augmentation
from tinbergen.beast.cache import CacheConfig, FrameCache
from tinbergen.beast.cache_build import build_cache
from tinbergen.beast.pairs import PairSampler
from tinbergen.beast.selection import Selection
from tinbergen.nn.augment import augment, normalise
from tinbergen.simulation import simulate

REFERENCE = {"cpu_ms_per_image": 9.4, "note": "full item with default augmentation, one core"}
SETTINGS = {k: v for k, v in AUGMENTATIONS.items() if k != "none"} | {
    "every image cropped": Augmentation(crop=1)
}
STEPS = 40


def measure(folder: Path, device: str, batch_size: int) -> dict:
    """Measure whole batches, gray and RGB."""
    data = simulate(folder / "study", animals=2, duration=8.0)
    result: dict = {"reference": REFERENCE, "device": device, "batch_size": batch_size}
    for channels, gray in (("gray", True), ("rgb", False)):
        config = CacheConfig(selection=Selection(method="all"), gray=gray)
        cache = build_cache(data, folder / channels, config)
        result[channels] = measure_cache(cache, device, batch_size)
    return result


def measure_cache(cache: FrameCache, device: str, batch_size: int) -> dict:
    """Measure sampler and cache read; then with normalisation, and with each augmentation."""
    sampler = PairSampler(cache.index, batch_size, exclusion=0.25)
    draws = torch.Generator(device).manual_seed(0)

    def read(step: int) -> torch.Tensor:
        rows = sampler.batch(step).T.ravel()
        return torch.from_numpy(cache.read(rows)).to(device).permute(0, 3, 1, 2)

    def augmented(step: int, settings: Augmentation) -> torch.Tensor:
        frames = read(step)
        return augment(frames, settings.draw(len(frames), cache.config.size, draws))

    jobs = {"read only": read, "normalised only": lambda step: normalise(read(step))}
    jobs |= {name: partial(augmented, settings=value) for name, value in SETTINGS.items()}
    return {name: per_image(job, batch_size, device) for name, job in jobs.items()}


def per_image(function, batch_size: int, device: str) -> dict:
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    for step in range(3):
        function(step)
    wait()
    wall, cpu = time.perf_counter(), time.process_time()
    for step in range(STEPS):
        function(step)
    wait()
    spent = np.array([time.process_time() - cpu, time.perf_counter() - wall])
    cpu_ms, wall_ms = (spent * 1e3 / STEPS / batch_size).round(4).tolist()
    return {"cpu_ms_per_image": cpu_ms, "wall_ms_per_image": wall_ms}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-size", type=int, default=32)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(measure(Path(scratch), arguments.device, arguments.batch_size), indent=2))
