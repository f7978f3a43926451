"""Population models on real sessions: ridge, one session, many animals, a new one.

Steinmetz et al. 2019: 400 ms from the onset of the stimulus in 20 bins; trials in the order of
recording, of which the first three fifths train, the next validates, the last tests. Spikes are
scored in bits/spike beyond each unit's mean rate in training: mean over units with at least 20
spikes in the test, and 5 in the scored bins.

    python benchmarks/population_steinmetz.py single --seeds 0 1 2 --out single.json
    python benchmarks/population_steinmetz.py masks      # each mask alone, on every task
    python benchmarks/population_steinmetz.py adapt      # from eight other sessions to 1, 5, 9
    python benchmarks/population_steinmetz.py adapt --start --shares 1 0.1   # without a network
    python benchmarks/population_steinmetz.py animals    # from two mice to the third
    python benchmarks/population_steinmetz.py scaling --start   # after 0, 1, 2, 4, 8 sessions
    python benchmarks/population_steinmetz.py decode     # side and feedback, beside logistic
    python benchmarks/population_steinmetz.py whole      # all eleven, evaluations and pages too

With --interleaved trial i is of part i modulo 5 instead, and nothing drifts between the parts.

The data is found through TINBERGEN_DATA, or beside the project in ../shared/data.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from machine import describe_machine
from tinbergen.configuration import merge
from tinbergen.metrics import balanced_accuracy, bits_per_spike, paired_test
from tinbergen.population.config import population_config
from tinbergen.population.corpus import split_windows
from tinbergen.population.model_run import PopulationRun
from tinbergen.population.pretraining import adapt, pretrain
from tinbergen.population.sessions import Session
from tinbergen.recordings import read_array

SESSIONS = (1, 5, 9)
TASKS = ("co_smoothing", "forward", "intra_region", "inter_region")
FUTURE = 2  # bins
LEAST_SPIKES, LEAST_SCORED, LEAST_REGION, LEAST_RATE = 20, 5, 5, 1.0
WINDOW_S = 0.4
REFERENCE = {
    "ridge": {1: (0.278, 0.068, 0.202, 0.246), 5: (0.210, 0.019, 0.188, 0.129),
              9: (0.190, 0.125, 0.114, 0.177)},
    "released MtM": {1: (0.171, 0.023, 0.092, 0.156), 5: (0.168, -0.003, 0.151, 0.131),
                     9: (0.164, 0.097, 0.096, 0.155)},
}  # fmt: skip
LABELS = {
    "side": {"kind": "categorical", "static": True},
    "feedback": {"kind": "categorical", "static": True},
}
DECODING = {"modalities": LABELS, "masks": {"decoding": 3.0}}
QUIET = {"train": {"tensorboard": False, "workers": 0, "checkpoint_every": 0}}


def data_folder() -> Path:
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("TINBERGEN_DATA", beside)) / "neural" / "steinmetz2019_trials"


def load(number: int, interleaved: bool = False) -> Session:
    """One session as the protocol has it: units of at least 1 Hz in the training trials.

    Interleaved, every fifth trial comes together, so that parts of the new order are dealt out
    over the session (they are cut at rounded fifths: one trial may be of its neighbour's part).
    """
    (file,) = data_folder().glob(f"session{number:02d}_*.npz")
    counts = read_array(file, "counts")  # (trial, unit, 40 bins of 10 ms)
    counts = counts.reshape(*counts.shape[:2], 20, 2).sum(axis=3).transpose(0, 2, 1)
    trials = np.arange(len(counts))
    order = np.argsort(trials % 5, kind="stable") if interleaved else trials
    counts = counts[order]
    train = counts[: round(0.6 * len(counts))]
    keep = train.sum(axis=(0, 1)) / (len(train) * WINDOW_S) > LEAST_RATE
    side = np.sign(read_array(file, "contrast_right") - read_array(file, "contrast_left"))[order]
    names = np.array(["left", "equal", "right"], dtype=object)
    outcome = np.array(["failure", "reward"], dtype=object)
    return Session.of_arrays(
        file.stem,
        counts[:, :, keep],
        regions=np.asarray(read_array(file, "brain_area")).astype(str)[keep],
        values={
            "side": names[side.astype(int) + 1],
            "feedback": outcome[(read_array(file, "feedback")[order] > 0).astype(int)],
        },
        subject=file.stem.split("_")[1],
    )


# ---- scores


def unit_scores(session: Session, rates: np.ndarray, task: str) -> np.ndarray:
    """Bits/spike of each unit on the test block; NaN for units that are not scored."""
    parts = split_windows([session])
    train = session.counts[parts["train"][session.name]]
    test = session.counts[parts["test"][session.name]].astype(float)
    bins = slice(-FUTURE, None) if task == "forward" else slice(None)
    scored = test[:, bins]
    enough = (test.sum(axis=(0, 1)) >= LEAST_SPIKES) & (scored.sum(axis=(0, 1)) >= LEAST_SCORED)
    names, sizes = np.unique(session.regions, return_counts=True)
    if task.endswith("region"):
        enough &= np.isin(session.regions, names[sizes >= LEAST_REGION])
    known = np.isfinite(rates[:, bins]).all(axis=(0, 1)) & enough
    null = train.mean(axis=(0, 1), dtype=float)
    scores = np.full(session.n_units, np.nan)
    scores[known] = bits_per_spike(
        scored[..., known], rates[:, bins][..., known], null[known], floor=1e-9
    )
    return scores


def ask_all(run: PopulationRun, session: Session, tasks: Sequence[str] = TASKS) -> dict[str, Any]:
    """Scores of every unit in every task."""
    test = split_windows([session])["test"][session.name]
    found = {}
    for task in tasks:
        rates = run.predict(session.name, ["spikes"], task=task, windows=test, future=FUTURE)
        found[task] = unit_scores(session, rates, task)
    return found


def ridge(session: Session, task: str, calibrate: bool = False) -> np.ndarray:
    """Scores of the linear models of units from units."""
    from tinbergen.encoding import ForwardRidge, PeerRidge

    parts = {name: rows[session.name] for name, rows in split_windows([session]).items()}
    known = np.concatenate([parts["train"], parts["validation"]])
    choose = np.isin(known, parts["validation"])
    counts, test = session.counts[known].astype(float), session.counts[parts["test"]].astype(float)
    if task == "forward":
        model = ForwardRidge(FUTURE, calibrate=calibrate).fit(counts, validate=choose)
        return unit_scores(session, model.predict(test), task)
    peers = {"co_smoothing": "all", "intra_region": "own_region"}.get(task, "other_regions")
    peer_model = PeerRidge(peers, calibrate=calibrate)  # type: ignore[arg-type]
    peer_model.fit(counts, session.regions, validate=choose)
    return unit_scores(session, peer_model.predict(test), task)


# ---- runs


class Work:
    """Trains in a folder that is thrown away at the end."""

    def __init__(self, folder: str, interleaved: bool = False):
        self.folder, self.n_runs, self.interleaved = Path(folder), 0, interleaved

    def load(self, number: int) -> Session:
        return load(number, self.interleaved)

    def train(
        self,
        sessions: Sequence[Session],
        seed: int,
        overrides: Mapping[str, Any],
        base: PopulationRun | None = None,
        parts: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    ) -> tuple[PopulationRun, float]:
        """Return the trained model, from ``base`` if there is one, and CPU-s."""
        overrides = merge(merge(QUIET, {"train": {"seed": seed}}), overrides)
        self.n_runs += 1
        out = self.folder / str(self.n_runs)
        started = time.process_time()
        if base is None:
            run = pretrain(sessions, out, overrides=overrides, parts=parts)
        else:
            run = adapt(base.run, sessions, out, overrides=overrides, parts=parts)
        return PopulationRun(run, sessions), round(time.process_time() - started, 1)


def mean(scores: np.ndarray) -> float:
    return round(float(np.nanmean(scores)), 4)


def compare(ours: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    """Paired over units."""
    test = paired_test(ours, theirs)
    return {
        "difference": round(test.mean, 4),
        "interval": [round(v, 4) for v in test.interval],
        "p": test.p,
        "n": test.n,
    }


def single(
    work: Work, numbers: Sequence[int], seeds: Sequence[int], start: bool
) -> Iterator[dict]:
    """Each of three sessions by itself: ridge, the start alone, the network, with drift.

    All seeds of the network and of what it starts from, one of the rest.
    """
    variants = STARTS if start else {**STARTS, **SINGLE}
    for number in numbers:
        session = work.load(number)
        plain = {}
        for name, calibrate in (("ridge", False), ("ridge, calibrated", True)):
            plain[name] = {task: ridge(session, task, calibrate) for task in TASKS}
            for task in TASKS:
                score = mean(plain[name][task])
                yield {"session": number, "model": name, "task": task, "score": score}
        for name, overrides in variants.items():
            for seed in seeds if name in ("the start", "tinbergen") else seeds[:1]:
                run, seconds = work.train([session], seed, overrides)
                found = ask_all(run, session)
                for task in TASKS:
                    yield {
                        **{"session": number, "model": name, "seed": seed, "task": task},
                        **{"score": mean(found[task]), "cpu_s": seconds},
                        **{f"to {k}": compare(found[task], v[task]) for k, v in plain.items()},
                    }


START = {"train": {"steps": 1, "learning_rate": 1e-9}, "network": {"depth": 0, "width": 16}}
STARTS = {
    "the start": START,
    "the start, recent rates": merge(START, {"units": {"recent": True}}),
}
SINGLE = {
    "tinbergen": {},
    "tinbergen, recent rates": {"units": {"recent": True}},
    "network without factors": {"units": {"linear_rank": 0}},
}
ONLY = ("neuron", "intra_region", "inter_region", "temporal", "future")


def masks(work: Work, numbers: Sequence[int], seeds: Sequence[int]) -> Iterator[dict]:
    """Networks that were trained with one mask alone, and with all: every task of each."""
    none = dict.fromkeys(ONLY, 0.0)
    network = {"units": {"linear_rank": 0}, "train": {"learning_rate": 2e-3}}
    variants = {"mixture": network}
    variants |= {name: merge(network, {"masks": {**none, name: 1.0}}) for name in ONLY}
    for number in numbers:
        session = work.load(number)
        for name, overrides in variants.items():
            for seed in seeds:
                run, seconds = work.train([session], seed, overrides)
                found = ask_all(run, session)
                scores = {task: mean(found[task]) for task in TASKS}
                yield {"session": number, "masks": name, "seed": seed, **scores, "cpu_s": seconds}


def fewer(session: Session, share: float) -> dict[str, dict[str, np.ndarray]]:
    """Split as usual, but keep only the last ``share`` of the training trials."""
    parts = split_windows([session])
    rows = parts["train"][session.name]
    parts["train"] = {session.name: rows[len(rows) - max(4, round(share * len(rows))) :]}
    return parts


def all_of(sessions: Sequence[Session]) -> dict[str, dict[str, np.ndarray]]:
    """Split as usual, but validate on the last block too: these sessions are not tested on."""
    parts = split_windows(sessions)
    test = parts.pop("test")
    for name, rows in parts["validation"].items():
        parts["validation"][name] = np.concatenate([rows, test[name]])
    return parts


def to_new(
    work: Work,
    bases: Mapping[int, Sequence[int]],
    seeds: Sequence[int],
    shares: Sequence[float],
    steps: int,
    overrides: Mapping[str, Any],
) -> Iterator[dict]:
    """Pretrain on some sessions, adapt to others, beside these alone at equal steps."""
    default = {"train": {"steps": population_config().train.steps}}
    longer = merge({"train": {"steps": steps}}, overrides)
    short = merge(default, {"train": overrides.get("train", {})})
    for seed in seeds:
        for targets, sources in _groups(bases):
            others = [work.load(number) for number in sources]
            base, seconds = work.train(others, seed, longer, None, all_of(others))
            yield {"sources": sources, "seed": seed, "cpu_s": seconds}
            for number, share in itertools.product(targets, shares):
                session = work.load(number)
                parts = fewer(session, share)
                alone, cpu = work.train([session], seed, overrides, None, parts)
                adapted, cpu_adapted = work.train([session], seed, short, base, parts)
                ours, theirs = ask_all(adapted, session), ask_all(alone, session)
                for task in TASKS:
                    yield {
                        **{"session": number, "seed": seed, "share": share, "task": task},
                        **{"alone": mean(theirs[task]), "adapted": mean(ours[task])},
                        **{"gain": compare(ours[task], theirs[task])},
                        **{"cpu_s": cpu, "cpu_s_adapting": cpu_adapted},
                    }


def _groups(bases: Mapping[int, Sequence[int]]) -> list[tuple[list[int], Sequence[int]]]:
    """Targets that share their sources."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for target, sources in bases.items():
        groups.setdefault(tuple(sources), []).append(target)
    return [(targets, sources) for sources, targets in groups.items()]


SOURCES = (2, 4, 8, 10, 3, 6, 11, 7)  # of the three mice in turn


def scaling(
    work: Work,
    numbers: Sequence[int],
    seeds: Sequence[int],
    steps: int,
    overrides: Mapping[str, Any],
) -> Iterator[dict]:
    """Adapted to a session after ever more others, beside the session alone."""
    longer = merge({"train": {"steps": steps}}, overrides)
    short = {"train": {"steps": population_config().train.steps} | overrides.get("train", {})}
    sessions = {number: work.load(number) for number in numbers}
    for seed in seeds:
        alone = {}
        for n in (0, 1, 2, 4, 8):
            others = [work.load(number) for number in SOURCES[:n]]
            base = None
            if others:
                base, _ = work.train(others, seed, longer, None, all_of(others))
            for number, session in sessions.items():
                run, seconds = work.train([session], seed, short if n else overrides, base)
                found = ask_all(run, session)
                alone.setdefault(number, found)
                row = {"session": number, "seed": seed, "after": n, "cpu_s": seconds}
                yield row | {
                    task: {"score": mean(found[task])}
                    | ({"gain": compare(found[task], alone[number][task])} if n else {})
                    for task in TASKS
                }


MICE = {"Cori": (1, 2, 3), "Forssmann": (4, 5, 6, 7), "Hench": (8, 9, 10, 11)}


def decode(
    work: Work, numbers: Sequence[int], seeds: Sequence[int], overrides: Mapping[str, Any]
) -> Iterator[dict]:
    """Side and feedback of the trials of each session, beside logistic regression."""
    from tinbergen.encoding import WindowLogistic

    for number in numbers:
        session = work.load(number)
        parts = {name: each[session.name] for name, each in split_windows([session]).items()}
        test, counts = parts["test"], session.counts.astype(float)
        known = np.concatenate([parts["train"], parts["validation"]])
        truth = {name: session.values[name].astype(str) for name in LABELS}
        plain = {}
        for name, labels in truth.items():
            model = WindowLogistic()
            model.fit(counts[known], labels[known], validate=np.isin(known, parts["validation"]))
            predicted = np.asarray(model.predict(counts[test])).astype(str)
            plain[name] = balanced_accuracy(labels[test], predicted)
        yield {"session": number, "model": "logistic", **plain}
        for seed in seeds:
            run, seconds = work.train([session], seed, merge(DECODING, overrides))
            found = {}
            for name, labels in truth.items():
                odds = run.predict(session.name, ["spikes"], name, windows=test)
                classes = np.array(run.vocabulary.classes[name]).astype(str)
                found[name] = balanced_accuracy(labels[test], classes[odds.argmax(axis=1)])
            yield {
                "session": number,
                "model": "tinbergen",
                "seed": seed,
                **found,
                "cpu_s": seconds,
            }


def whole(work: Work) -> Iterator[dict]:
    """All eleven sessions: ten together, the last one adapted, both evaluated beside baselines."""
    from tinbergen.population import evaluate
    from tinbergen.report import write_report

    *others, last = [work.load(number) for number in range(1, 12)]
    stages = {}
    began = time.process_time(), time.monotonic()

    def lap(name: str) -> None:
        nonlocal began
        now = time.process_time(), time.monotonic()
        stages[name] = [round(b - a) for a, b in zip(began, now, strict=True)]
        began = now

    base, _ = work.train(others, 0, DECODING)
    lap("pretrain")
    new, _ = work.train([last], 0, {}, base)
    lap("adapt")
    found = {"ten": evaluate(base.run, others)}
    lap("evaluate")
    found["the new one"] = evaluate(new.run, [last])
    lap("evaluate the new one")
    for result in found.values():
        write_report(result.path)
    lap("reports")
    stages["all"] = [sum(each) for each in zip(*stages.values(), strict=True)]
    for name, result in found.items():
        tasks = result.tasks[["score", "method", "mean", "low", "high", "difference", "p"]]
        yield {"sessions": name, "tasks": tasks.round(4).to_dict("records")}
    yield {"cpu_s, wall_s": stages}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "what", choices=["single", "masks", "adapt", "animals", "scaling", "decode", "whole"]
    )
    parser.add_argument("--sessions", type=int, nargs="+", default=SESSIONS)
    parser.add_argument("--shares", type=float, nargs="+", default=[1.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=800, help="of pretraining")
    parser.add_argument("--recent", action="store_true", help="follow drift by recent rates")
    parser.add_argument("--interleaved", action="store_true", help="split trials in turn")
    parser.add_argument(
        "--start", action="store_true", help="without a network: what models start from"
    )
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    settings = merge({"units": {"recent": options.recent}}, START if options.start else {})
    others = [n for n in range(1, 12) if n not in SESSIONS]
    mice = {
        own[1]: [n for each in MICE.values() if own is not each for n in each]
        for own in MICE.values()
    }
    result: dict[str, Any] = {"benchmark": f"population_steinmetz {options.what}"}
    result |= {"machine": describe_machine(), "reference": REFERENCE, "rows": []}
    with tempfile.TemporaryDirectory() as folder:
        work = Work(folder, options.interleaved)
        seeds, steps = options.seeds, options.steps
        found = {
            "single": lambda: single(work, options.sessions, seeds, options.start),
            "masks": lambda: masks(work, options.sessions, seeds),
            "decode": lambda: decode(work, options.sessions, seeds, settings),
            "whole": lambda: whole(work),
            "scaling": lambda: scaling(work, options.sessions, seeds, steps, settings),
            "adapt": lambda: to_new(
                work, dict.fromkeys(SESSIONS, others), seeds, options.shares, steps, settings
            ),
            "animals": lambda: to_new(work, mice, seeds, options.shares, steps, settings),
        }[options.what]
        for row in found():
            print(json.dumps(row), flush=True)
            result["rows"].append(row)
            if options.out:  # as it goes: the whole takes long
                options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
