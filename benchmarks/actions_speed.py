"""How fast behaviours are learned and predicted, on one thread: frames per CPU-second.

python benchmarks/actions_speed.py
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
import torch

from machine import describe_machine
from tinbergen.actions import TCN, Decoder, FoldEnsemble, ReferenceTCN
from tinbergen.statespace.chains import forward_backward

SESSION = 12_000  # frames: ten minutes at 20 Hz
CHANNELS, CLASSES, SESSIONS = 38, 3, 4
STATES = 8


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    codes = [np.repeat(rng.integers(0, CLASSES, SESSION // 100), 100) for _ in range(SESSIONS)]
    x = [rng.normal(size=(SESSION, CHANNELS)) + y[:, None] for y in codes]
    result: dict = {"machine": describe_machine(), "training": {}, "session_s": {}}
    for kind in (ReferenceTCN, TCN):
        # The difference of two trainings leaves out what does not grow with the frames.
        short = best(lambda k=kind: k(epochs=1).fit(x, codes), rounds)
        long = best(lambda k=kind: k(epochs=5).fit(x, codes), rounds)
        frames = 4 * SESSION * SESSIONS
        result["training"][kind.__name__] = {
            "frames_per_cpu_s": round(frames / (long - short)),
            "with_everything": round(5 * SESSION * SESSIONS / long),
        }
    models = {
        "ReferenceTCN": ReferenceTCN(epochs=1).fit(x[:2], codes[:2]),
        "TCN": TCN(epochs=1).fit(x[:2], codes[:2]),
        "4 TCN": FoldEnsemble(settings={"epochs": 1}, folds=4).fit(x[:4], codes[:4]),
    }
    for name, model in models.items():
        result["session_s"][name] = round(best(lambda m=model: m.predict_proba(x[:1]), rounds), 4)
    probabilities = models["TCN"].predict_proba(x[:1])
    for path in ("sticky", "semi_markov"):
        decoder = Decoder(path).fit(codes, CLASSES)
        seconds = best(lambda d=decoder: d.decode(probabilities), rounds)
        result["session_s"][f"decoding, {path}"] = round(seconds, 4)
    logs = [rng.normal(size=(SESSION, STATES)) for _ in range(SESSIONS)]
    stay = np.full((STATES, STATES), 0.05 / (STATES - 1))
    np.fill_diagonal(stay, 0.95)
    start = np.full(STATES, 1 / STATES)
    seconds = best(lambda: forward_backward(logs, start, stay), rounds)
    result["forward_backward_frame_states_per_cpu_s"] = round(
        SESSION * SESSIONS * STATES / seconds
    )
    print(json.dumps(result, indent=2))


def best(work: Callable[[], object], rounds: int) -> float:
    """Return the least CPU-seconds of several rounds."""
    found = []
    for _ in range(rounds):
        begin = time.process_time()
        work()
        found.append(time.process_time() - begin)
    return min(found)


if __name__ == "__main__":
    main()
