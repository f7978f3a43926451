"""One temporal basis for several animals against fits of each: the papers' reduced-rank model.

Virtual animals whose neurons read six inputs with gains that follow the same two time courses over
a trial of 30 bins; the weights of inputs and neurons are each animal's own. A shared and a single
fit see the same few trials, choose penalties the same way, and are scored on 150 other trials.

    python benchmarks/shared_basis.py --out shared_basis.json
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import json
import time
from pathlib import Path

import numpy as np

from machine import describe_machine
from tinbergen.encoding import BilinearRRR
from tinbergen.metrics import bits_per_spike, paired_test

BINS, INPUTS, UNITS, ANIMALS, TEST = 30, 6, 15, 5, 150
OPTIONS = {"rank": 2, "l2": (3.0, 30.0), "smooth": 2.0}


def animal(seed: int, trials: int) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs ``(trial, bin, input)`` and counts ``(trial, bin, unit)``."""
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 1, BINS)
    basis = np.stack([np.exp(-((t - 0.3) ** 2) / 0.02), np.exp(-((t - 0.7) ** 2) / 0.01)])
    loadings = rng.normal(size=(2, INPUTS, UNITS))
    x = rng.normal(size=(trials, BINS, INPUTS))
    drive = np.einsum("kti,rin,rt->ktn", x, loadings, basis)
    rates = 0.5 * np.exp(np.clip(0.6 * drive / drive.std(), -1.5, 1.5))
    return x, rng.poisson(rates)


def compare(trials: int) -> dict:
    """Score fits of all animals together and of each alone, paired over neurons."""
    data = [animal(seed, trials + TEST) for seed in range(ANIMALS)]
    xs, ys = [x[:trials] for x, _ in data], [y[:trials] for _, y in data]
    started = time.process_time()
    shared = BilinearRRR(**OPTIONS).fit(xs, ys)
    seconds = time.process_time() - started
    together, alone = [], []
    for (x, y), few_x, few_y, rates in zip(
        data, xs, ys, shared.predict([x[trials:] for x, _ in data]), strict=True
    ):
        own = BilinearRRR(**OPTIONS).fit(few_x, few_y).predict(x[trials:])
        together.append(bits_per_spike(y[trials:], rates, "mean"))
        alone.append(bits_per_spike(y[trials:], own, "mean"))
    test = paired_test(np.concatenate(together), np.concatenate(alone))
    return {
        "trials": trials,
        "together": round(float(np.mean(together)), 4),
        "alone": round(float(np.mean(alone)), 4),
        "gain": round(test.mean, 4),
        "interval": [round(v, 4) for v in test.interval],
        "p": test.p,
        "animals_better": int((np.mean(together, axis=1) > np.mean(alone, axis=1)).sum()),
        "cpu_s_together": round(seconds, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, nargs="+", default=[16, 40, 100])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = [compare(trials) for trials in options.trials]
    for row in rows:
        print(json.dumps(row))
    if options.out:
        result = {"benchmark": "shared_basis", "machine": describe_machine(), "rows": rows}
        options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
