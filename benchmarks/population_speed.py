"""CPU-seconds of a training step of population models on one thread, and what grows with units.

A step is what the loop does: put the batch together, draw masks, forward, backward, clip, AdamW,
log. The reference's figures are those of the released NEDS code at the same shape (300 units, 100
bins, width 256, 5 layers, 8 heads, perceptron 512, wheel, whisker, choice and block; 500 tokens,
fp32), without its data path, measured on another machine: only their order compares.

    python benchmarks/population_speed.py --out population_speed.json
    python benchmarks/population_speed.py --parts steps --cases neds --profile
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from machine import describe_machine
from tinbergen.configuration import merge
from tinbergen.population.asking import Asker
from tinbergen.population.config import PopulationConfig, Preset, population_config
from tinbergen.population.corpus import Corpus
from tinbergen.population.model import PopulationModel
from tinbergen.population.sessions import Session
from tinbergen.population.task import PopulationTask
from tinbergen.population.vocabulary import Vocabulary
from tinbergen.training import fit

UNITS, BINS = 300, 100
MODALITIES = {
    "wheel": {"kind": "continuous"},
    "whisker": {"kind": "continuous"},
    "choice": {"kind": "categorical", "static": True},
    "block": {"kind": "categorical", "static": True},
}
SESSION_UNITS = 300
"""Units of a session where many sessions make up the number."""


@dataclass(frozen=True)
class Case:
    """One setting; ``reference`` and ``target`` are CPU-s a step."""

    preset: Preset
    batch: int
    overrides: dict[str, Any] = field(default_factory=dict)
    reference: float | None = None
    target: float | None = None


ONE = {"network": {"static_tokens": "one"}}
TABLE = {"units": {"read": "table"}}
FP32 = {"train": {"precision": "fp32"}}
CASES = {
    "neds, 500 tokens, batch 4": Case("neds", 4, {}, 1.64, 0.40),
    "neds, 302 tokens, batch 4": Case("neds", 4, ONE, 1.64, 0.20),
    "neds, 302 tokens, table, batch 4": Case("neds", 4, merge(ONE, TABLE), 1.64, 0.20),
    "neds, 500 tokens, fp32, batch 4": Case("neds", 4, FP32, 1.64, 0.40),
    "neds, 500 tokens, batch 16": Case("neds", 16, {}, 8.04, 1.6),
    "neds, 302 tokens, batch 16": Case("neds", 16, ONE, 8.04, 0.8),
    "tinbergen, batch 4": Case("tinbergen", 4),
    "tinbergen, batch 16": Case("tinbergen", 16),
    "tinbergen, batch 32": Case("tinbergen", 32),
}
SIZES = (100, 300, 1_000, 3_000, 10_000, 30_000)


def make_session(name: str, units: int, windows: int) -> Session:
    """Poisson counts of 0.1 to 0.5 spikes a bin and behaviours of noise."""
    rng = np.random.default_rng([len(name), units])
    return Session.of_arrays(
        name,
        rng.poisson(rng.uniform(0.1, 0.5, units), (windows, BINS, units)).astype(np.uint8),
        regions=rng.choice(["CA1", "DG", "LP", "PO", "VISa"], units),
        values={
            "wheel": rng.normal(size=(windows, BINS, 1)),
            "whisker": rng.normal(size=(windows, BINS, 1)),
            "choice": np.array(["left", "right"], dtype=object)[np.arange(windows) % 2],
            "block": np.array(["left", "even", "right"], dtype=object)[np.arange(windows) % 3],
        },
    )


def make_corpus(sessions: list[Session], config: PopulationConfig) -> Corpus:
    train = {s.name: np.arange(len(s)) for s in sessions}
    return Corpus(sessions, Vocabulary.of(sessions, train, config.modalities), config)


class TimedTask(PopulationTask):
    """Training that reads the clock at the beginning of every step."""

    def loss(self, model: nn.Module, batch: Any, generator: torch.Generator) -> Any:
        if not hasattr(self, "seconds"):
            self.seconds = []
        self.seconds.append((time.process_time(), time.perf_counter()))
        return super().loss(model, batch, generator)


def timed_task(case: Case, sessions: list[Session], steps: int) -> TimedTask:
    train = {"batch_size": case.batch, "steps": steps + 3, "workers": 0}
    train |= {"validate_every": 0, "patience": 0}
    changes = {"modalities": MODALITIES, "train": train}
    config = population_config(case.preset, overrides=merge(case.overrides, changes))
    corpus = make_corpus(sessions, config)
    return TimedTask(corpus, np.arange(len(corpus)), np.zeros(0, int))


def median_step(task: TimedTask) -> tuple[float, float]:
    """Median CPU and wall seconds of a step, the first two left out."""
    fit(task, task.config.train)
    cpu, wall = np.median(np.diff(task.seconds, axis=0)[2:], axis=0)
    return float(cpu), float(wall)


def measure_steps(wanted: list[str], steps: int) -> dict[str, dict]:
    sessions, rows = [make_session("one", UNITS, 200)], {}
    for name in wanted:
        case = CASES[name]
        cpu, wall = median_step(timed_task(case, sessions, steps))
        rows[name] = {"cpu_s_per_step": round(cpu, 4), "wall_s_per_step": round(wall, 4)}
        if case.reference and case.target:
            rows[name] |= {
                "reference_cpu_s": case.reference,
                "times_as_fast": round(case.reference / cpu, 2),
                "target_cpu_s": case.target,
                "met": cpu <= case.target,
            }
        print(name, json.dumps(rows[name]), file=sys.stderr, flush=True)
    return rows


def profile_steps(wanted: list[str], steps: int) -> None:
    sessions = [make_session("one", UNITS, 200)]
    for name in wanted:
        task = timed_task(CASES[name], sessions, steps)
        with torch.profiler.profile() as seen:
            fit(task, task.config.train)
        print(name)
        print(seen.key_averages().table(sort_by="self_cpu_time_total", row_limit=25))


def measure_units(steps: int) -> list[dict]:
    """Step and peak memory of the preset ``tinbergen``, batch 16; a process for each number."""
    rows = []
    for units in SIZES:
        command = [sys.executable, __file__, "--only-units", str(units), "--steps", str(steps)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        rows.append(json.loads(said.splitlines()[-1]))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    return rows


def measure_number(units: int, steps: int) -> dict:
    """Step and peak memory with so many units in all."""
    before = peak_mb()
    whole, rest = divmod(units, SESSION_UNITS)
    sizes = [SESSION_UNITS] * whole + [rest] * bool(rest)
    windows = max(10, 200 // len(sizes))
    sessions = [make_session(f"s{i}", size, windows) for i, size in enumerate(sizes)]
    data = sum(s.counts.nbytes for s in sessions) / 2**20
    cpu, wall = median_step(timed_task(Case("tinbergen", 16), sessions, steps))
    return {
        "units": units,
        "sessions": len(sessions),
        "cpu_s_per_step": round(cpu, 4),
        "wall_s_per_step": round(wall, 4),
        "peak_mb_above_start": round(peak_mb() - before, 1),
        "counts_mb": round(data, 1),
    }


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_smoothing(windows: int) -> list[dict]:
    """Every unit of a session from all others, exactly, and in ten groups."""
    session, rows = make_session("one", UNITS, max(windows, 12)), []
    ways: list[tuple[Preset, dict[str, Any]]] = [("tinbergen", {}), ("neds", merge(ONE, TABLE))]
    for preset, changes in ways:
        overrides = merge({"modalities": MODALITIES}, changes)
        config = population_config(preset, overrides=overrides)
        corpus = make_corpus([session], config)
        asker = Asker(PopulationModel(config, corpus.vocabulary).eval(), corpus)
        for folds in (None, 10):
            begin = time.process_time()
            asker.spikes("one", np.arange(windows), "co_smoothing", folds=folds)
            seconds = time.process_time() - begin
            rows.append(
                {
                    "preset": preset,
                    "way": "one by one" if folds is None else f"{folds} groups",
                    "windows": windows,
                    "cpu_s": round(seconds, 2),
                    "cpu_s_per_window": round(seconds / windows, 3),
                }
            )
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cases", nargs="*", default=[], help="parts of names; default: all")
    parser.add_argument("--parts", nargs="*", default=["steps", "units", "smoothing"])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--windows", type=int, default=8, help="of co-smoothing")
    parser.add_argument("--profile", action="store_true", help="print profiles instead")
    parser.add_argument("--only-units", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.only_units:
        print(json.dumps(measure_number(args.only_units, args.steps)))
        return
    wanted = [n for n in CASES if not args.cases or any(part in n for part in args.cases)]
    if args.profile:
        profile_steps(wanted, args.steps)
        return
    result: dict[str, Any] = {"benchmark": "population_speed", "machine": describe_machine()}
    if "steps" in args.parts:
        result["steps"] = measure_steps(wanted, args.steps)
    if "units" in args.parts:
        result["units"] = measure_units(args.steps)
    if "smoothing" in args.parts:
        result["co_smoothing"] = measure_smoothing(args.windows)
    text = json.dumps(result, indent=1)
    if args.out:
        args.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
