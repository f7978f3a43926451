"""Population models on simulated animals, whose ceiling is known: encode, decode, adapt.

Animals play a visual decision task; their neurons follow stimulus, choice, wheel, whisker, reward
and block with region-specific tuning. Windows of 2 s around the stimulus in 20 ms bins, as in
NEDS. One network is trained on several animals, asked to encode and decode, and adapted to a new
animal with all or a tenth of its trials, beside that animal alone and beside plain models.

    python benchmarks/population_simulated.py --out simulated.json
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from machine import describe_machine
from tinbergen.metrics import balanced_accuracy, bits_per_spike
from tinbergen.population.config import ModalityConfig, WindowsConfig, population_config
from tinbergen.population.corpus import split_windows
from tinbergen.population.model_run import PopulationRun
from tinbergen.population.pretraining import adapt, pretrain
from tinbergen.population.sessions import Session, cut, session_of
from tinbergen.simulation import expected_counts, simulate_task

WINDOWS = WindowsConfig(width=0.02, align="stim_on", before=0.5, after=1.5)
MODALITIES = {
    "wheel": {"source": "wheel/velocity"},
    "whisker": {},
    "choice": {"source": "trials/choice", "kind": "categorical", "static": True},
    "block": {"source": "trials/prior_left", "kind": "categorical", "static": True},
}
FLOOR = 1e-4


class Animal:
    """A simulated session, its expected counts, and its split."""

    def __init__(self, number: int, trials: int, neurons: int):
        recording = simulate_task(trials=trials, neurons=neurons, animal=number)
        declared = {k: ModalityConfig.model_validate(v) for k, v in MODALITIES.items()}
        self.session = session_of(recording, WINDOWS, declared)
        windows = cut(recording, WINDOWS)
        windows = windows.only(np.argsort(windows.starts, kind="stable"))
        expected = expected_counts(recording["rates"], windows.bins)
        self.expected = expected.reshape(self.session.counts.shape)
        self.parts = split_windows([self.session])
        self.test = self.parts["test"][self.session.name]

    def score(self, rates: np.ndarray) -> float:
        """Mean bits/spike of the test windows beyond the mean rate of the training windows."""
        train = self.session.counts[self.parts["train"][self.session.name]]
        null = np.maximum(train.mean(axis=(0, 1), dtype=float), FLOOR)
        counts = self.session.counts[self.test].astype(float)
        return float(np.nanmean(bits_per_spike(counts, rates, null, floor=FLOOR)))

    @property
    def ceiling(self) -> float:
        """The score of the true rates."""
        return self.score(self.expected[self.test])

    def psth(self) -> float:
        train = self.session.counts[self.parts["train"][self.session.name]].astype(float)
        return self.score(np.broadcast_to(train.mean(axis=0), self.expected[self.test].shape))

    def fewer(self, share: float) -> dict[str, dict[str, np.ndarray]]:
        rows = self.parts["train"][self.session.name]
        n = max(4, round(share * len(rows)))
        kept = rows[np.linspace(0, len(rows) - 1, n).round().astype(int)]
        return {**self.parts, "train": {self.session.name: kept}}


def ask(run: PopulationRun, animal: Animal) -> dict[str, float]:
    """Share of the ceiling that encoding and co-smoothing reach; scores of decoding."""
    name, test, ceiling = animal.session.name, animal.test, animal.ceiling
    found = {
        "encoding": animal.score(run.predict(name, list(MODALITIES), windows=test)) / ceiling,
        "co_smoothing": animal.score(run.predict(name, ["spikes"], windows=test, folds=20))
        / ceiling,
    }
    for modality in ("wheel", "whisker"):
        truth = animal.session.values[modality][test]
        predicted = run.predict(name, ["spikes"], modality, windows=test)
        known = np.isfinite(truth)
        left = ((truth - predicted)[known] ** 2).sum()
        found[modality] = 1 - left / ((truth[known] - truth[known].mean()) ** 2).sum()
    for modality in ("choice", "block"):
        truth = animal.session.values[modality][test].astype(str)
        odds = run.predict(name, ["spikes"], modality, windows=test)
        classes = np.array([str(c) for c in run.vocabulary.classes[modality]])
        found[modality] = balanced_accuracy(
            np.char.replace(truth, ".0", ""), classes[odds.argmax(1)]
        )
    return {key: round(float(value), 3) for key, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--animals", type=int, default=4, help="to pretrain on")
    parser.add_argument("--trials", type=int, default=250)
    parser.add_argument("--neurons", type=int, default=80)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--adapting", type=int, default=200, help="steps on the new animal")
    parser.add_argument("--recent", action="store_true", help="follow drift by recent rates")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    known = [Animal(i, options.trials, options.neurons) for i in range(options.animals)]
    new = Animal(options.animals, options.trials, options.neurons)
    settings: dict[str, Any] = {
        "modalities": MODALITIES,
        "windows": WINDOWS.model_dump(),
        "units": {"recent": options.recent},
        "train": {"tensorboard": False, "workers": 0, "checkpoint_every": 0,
                  "seed": options.seed, "steps": options.steps},
    }  # fmt: skip
    population_config(overrides=settings)  # a misspelt setting is told before the simulation ends
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        sessions: list[Session] = [animal.session for animal in known]
        started = time.process_time()
        base = pretrain(sessions, Path(folder) / "base", overrides=settings)
        seconds = time.process_time() - started
        run = PopulationRun(base, sessions)
        for animal in known:
            rows.append({"animal": animal.session.name, "model": "pretrained together",
                         "ceiling": round(animal.ceiling, 3),
                         "psth": round(animal.psth() / animal.ceiling, 3),
                         **ask(run, animal), "cpu_s": round(seconds, 1)})  # fmt: skip
            print(json.dumps(rows[-1]), flush=True)
        settings["train"]["steps"] = options.adapting
        for share in (1.0, 0.1):
            for name in ("adapted", "alone"):
                out = Path(folder) / f"{name}{share}"
                started = time.process_time()
                parts = new.fewer(share)
                if name == "alone":
                    made = pretrain([new.session], out, overrides=settings, parts=parts)
                else:
                    more = {"train": settings["train"]}
                    made = adapt(base, [new.session], out, overrides=more, parts=parts)
                seconds = time.process_time() - started
                rows.append({"animal": "new", "model": name, "share of trials": share,
                             "ceiling": round(new.ceiling, 3),
                             "psth": round(new.psth() / new.ceiling, 3),
                             **ask(PopulationRun(made, [new.session]), new),
                             "cpu_s": round(seconds, 1)})  # fmt: skip
                print(json.dumps(rows[-1]), flush=True)
    text = json.dumps(
        {"benchmark": "population_simulated", "machine": describe_machine(), "rows": rows},
        indent=1,
    )
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
