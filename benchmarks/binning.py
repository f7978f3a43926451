"""Binning an hour of 400 units, reading the cache of counts, and the memory of building it.

Run: ``OMP_NUM_THREADS=1 python benchmarks/binning.py``; prints JSON. Times are CPU-seconds of one
thread, the best of a few. The pickles it compares with are those of the reference of NEDS and
MtM: one file a trial, a dictionary with dense float32 counts padded to the largest number of units
(written into a folder that is removed at the end).
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tinbergen.recordings import (
    Bins,
    CountsCache,
    CountsConfig,
    Intervals,
    Recording,
    Spikes,
    Trials,
    build_counts_cache,
    trial_windows,
)

HOUR = 3600.0
WANTED = {"binning_cpu_s": 1.0, "cache_times_faster": 20.0}
AROUND_STIM = CountsConfig(width=0.02, align="stim_on", before=0.5, after=1.5)
TRIALS, UNITS, LARGEST = 600, 326, 668  # of one session of the reference; padded to the last


def spikes_of(n_units: int, n_spikes: int, seconds: float, seed: int) -> Spikes:
    rng = np.random.default_rng(seed)
    units = rng.integers(0, n_units, n_spikes)
    table = pd.DataFrame({"region": "CA1"}, index=range(n_units))
    return Spikes(
        np.sort(rng.uniform(0, seconds, n_spikes)), units, table, Intervals([0], [seconds])
    )


def session(name: str, n_units: int = UNITS, rate: float = 8.0) -> Recording:
    seconds = TRIALS * 4.0
    starts = np.arange(0, seconds, 4.0)
    table = pd.DataFrame({"start": starts, "stop": starts + 4, "stim_on": starts + 1})
    spikes = spikes_of(n_units, int(rate * n_units * seconds), seconds, len(name))
    return Recording(name, {"spikes": spikes, "trials": Trials(table)})


def best(job: Callable[[], Any], rounds: int = 5) -> float:
    """CPU-seconds of the quickest of several rounds."""
    spent = []
    for _ in range(rounds):
        begin = time.process_time()
        job()
        spent.append(time.process_time() - begin)
    return min(spent)


def binning(n_spikes: int) -> dict:
    spikes = spikes_of(400, n_spikes, HOUR, 0)
    result = {}
    for width in (0.01, 0.02):
        bins = Bins.inside(spikes.valid, width)
        counts = spikes.bin(bins)
        result[f"{width * 1e3:g} ms"] = {
            "cpu_s": round(best(lambda bins=bins: spikes.bin(bins)), 3),
            "cpu_s_of_uint8": round(best(lambda bins=bins: spikes.bin(bins, np.uint8)), 3),
            "every_spike_once": bool(counts.sum() == n_spikes),
        }
    starts = np.arange(2, HOUR - 4, 4.0)
    trials = Trials(pd.DataFrame({"start": starts, "stop": starts + 4}))
    windows = trial_windows(trials, "start", before=0.5, after=1.5, width=0.02)
    result[f"{len(windows)} trials of 100 bins"] = {
        "cpu_s": round(best(lambda: windows.of(spikes)), 3)
    }
    return result


def write_pickles(cache: CountsCache, folder: Path) -> list[Path]:
    """Write a file a trial as the reference does."""
    paths = []
    for row in range(len(cache)):
        counts = cache.window(row)
        dense = np.zeros((len(counts), LARGEST), np.float32)
        dense[:, : counts.shape[1]] = counts
        paths.append(folder / f"trial_{row}.npy")
        np.save(paths[-1], {"spikes_data": dense, "eid": "session"}, allow_pickle=True)  # type: ignore[arg-type]
    return paths


def reading(folder: Path) -> dict:
    """Read every trial in random order, files in the system's memory in both cases."""
    cache = build_counts_cache([session("one")], folder / "cache", AROUND_STIM)
    (folder / "pickles").mkdir()
    paths = write_pickles(cache, folder / "pickles")
    order = np.random.default_rng(0).permutation(len(cache)).tolist()

    def read_pickles() -> None:
        for row in order:
            np.load(paths[row], allow_pickle=True).item()["spikes_data"]

    def read_cache() -> None:
        for row in order:
            cache.window(row).copy()

    def read_cache_as_floats() -> None:
        for row in order:
            cache.window(row).astype(np.float32)

    ms = {
        name: best(job) * 1e3 / len(order)
        for name, job in (
            ("pickles", read_pickles),
            ("cache", read_cache),
            ("cache_as_float32", read_cache_as_floats),
        )
    }
    return {
        "cpu_ms_per_trial": {name: round(value, 4) for name, value in ms.items()},
        "times_faster": round(ms["pickles"] / ms["cache"], 1),
        "times_faster_as_float32": round(ms["pickles"] / ms["cache_as_float32"], 1),
        "bytes_per_trial": {
            "pickles": paths[0].stat().st_size,
            "cache": (folder / "cache/counts.npy").stat().st_size // len(cache),
        },
    }


class Sessions(Mapping[str, Recording]):
    """Recordings that exist while they are looked at."""

    def __init__(self, n: int):
        self.n = n

    def __getitem__(self, name: str) -> Recording:
        return session(name)

    def __iter__(self) -> Iterator[str]:
        return (f"{k:03}" for k in range(self.n))

    def __len__(self) -> int:
        return self.n


def peak_memory(n: int, folder: Path) -> dict:
    """In a process of its own: build a cache of ``n`` recordings, and read it all."""
    command = [sys.executable, __file__, "--memory-of", str(n), "--folder", str(folder)]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(found)


def memory_of(n: int, folder: Path) -> dict:
    build_counts_cache(Sessions(n), folder / f"cache{n}", AROUND_STIM)
    built = peak_mb("VmHWM")
    cache = CountsCache(folder / f"cache{n}")
    total, anonymous = 0, 0.0
    for row in range(len(cache)):
        total += int(cache.window(row).sum())
        if row % 100 == 0:
            anonymous = max(anonymous, peak_mb("RssAnon"))
    size = (folder / f"cache{n}/counts.npy").stat().st_size
    return {
        "recordings": n,
        "cache_mb": round(size / 1e6, 1),
        "peak_mb_of_building": built,
        "own_mb_while_reading": anonymous,
        "spikes": total,
    }


def peak_mb(field: str) -> float:
    """Read a line of this process's memory (Linux), MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return round(int(line.split()[1]) / 1e3, 1)
    return float("nan")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spikes", type=int, default=20_000_000)
    parser.add_argument("--memory-of", type=int)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    if arguments.memory_of:
        print(json.dumps(memory_of(arguments.memory_of, arguments.folder)))
        sys.exit()
    with tempfile.TemporaryDirectory() as scratch:
        result = {
            "wanted": WANTED,
            "hour_of_400_units": {"spikes": arguments.spikes} | binning(arguments.spikes),
            "reading": reading(Path(scratch)),
            "memory": [peak_memory(n, Path(scratch)) for n in (1, 20)],
        }
    print(json.dumps(result, indent=2))
