"""Population models on real sessions: ridge, one session, many animals, a new one.

Steinmetz et al. 2019: 400 ms from the onset of the stimulus in 20 bins; trials in the order of
recording, of which the first three fifths train, the next validates, the last tests. Spikes are
scored in bits/spike beyond each unit's mean rate in training: mean over units with at least 20
spikes in the test, and 5 in the scored bins.

    python benchmarks/population_steinmetz.py single --seeds 0 1 2 --out single.json
    python benchmarks/population_steinmetz.py masks      # each mask alone, on every task
    python benchmarks/population_steinmetz.py adapt      # from eight other sessions to 1, 5, 9
    python benchmarks/population_steinmetz.py animals    # from two mice to the third
    python benchmarks/population_steinmetz.py decode     # side and feedback, beside logistic

The data is found through TINBERGEN_DATA, or beside the project in ../shared/data.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from machine import describe_machine
from tinbergen.configuration import merge
from tinbergen.metrics import balanced_accuracy, bits_per_spike, paired_test
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
FOLDS = 20
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
QUIET = {"train": {"tensorboard": False, "workers": 0, "checkpoint_every": 0}}


def data_folder() -> Path:
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("TINBERGEN_DATA", beside)) / "neural" / "steinmetz2019_trials"


def load(number: int) -> Session:
    """One session as the protocol has it: units of at least 1 Hz in the training trials."""
    (file,) = data_folder().glob(f"session{number:02d}_*.npz")
    counts = read_array(file, "counts")  # (trial, unit, 40 bins of 10 ms)
    counts = counts.reshape(*counts.shape[:2], 20, 2).sum(axis=3).transpose(0, 2, 1)
    train = counts[: round(0.6 * len(counts))]
    keep = train.sum(axis=(0, 1)) / (len(train) * WINDOW_S) > LEAST_RATE
    side = np.sign(read_array(file, "contrast_right") - read_array(file, "contrast_left"))
    names = np.array(["left", "equal", "right"], dtype=object)
    outcome = np.array(["failure", "reward"], dtype=object)
    return Session.of_arrays(
        file.stem,
        counts[:, :, keep],
        regions=np.asarray(read_array(file, "brain_area")).astype(str)[keep],
        values={
            "side": names[side.astype(int) + 1],
            "feedback": outcome[(read_array(file, "feedback") > 0).astype(int)],
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
        folds = None if task == "co_smoothing" else FOLDS
        rates = run.predict(
            session.name, ["spikes"], task=task, windows=test, folds=folds, future=FUTURE
        )
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


def trained(
    sessions: Sequence[Session],
    seed: int,
    overrides: Mapping[str, Any],
    use: Callable[[PopulationRun, Path], Any],
    base: Path | None = None,
    parts: Mapping[str, Mapping[str, np.ndarray]] | None = None,
) -> tuple[Any, float]:
    """Train in a folder that is thrown away; return what ``use`` made of it, and CPU-s."""
    overrides = merge(merge(QUIET, {"train": {"seed": seed}}), overrides)
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        out = Path(folder) / "run"
        if base is None:
            run = pretrain(sessions, out, overrides=overrides, parts=parts)
        else:
            run = adapt(base, sessions, out, overrides=overrides, parts=parts)
        seconds = time.process_time() - started
        return use(PopulationRun(run, sessions), out), seconds


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


def single(seeds: Sequence[int], variants: Mapping[str, Mapping[str, Any]]) -> list[dict]:
    """Each of three sessions by itself: ridge, the factors alone, the network, with drift."""
    rows = []
    for number in SESSIONS:
        session = load(number)
        linear = {task: ridge(session, task) for task in TASKS}
        calibrated = {task: ridge(session, task, calibrate=True) for task in TASKS}
        for name, scores in (("ridge", linear), ("ridge, calibrated", calibrated)):
            for task in TASKS:
                score = mean(scores[task])
                rows.append({"session": number, "model": name, "task": task, "score": score})
        for name, overrides in variants.items():
            for seed in seeds:
                found, seconds = trained([session], seed, overrides, lambda r, _: ask_all(r, session))
                for task in TASKS:
                    rows.append(
                        {
                            "session": number, "model": name, "seed": seed, "task": task,
                            "score": mean(found[task]), "cpu_s": round(seconds, 1),
                            "to_ridge": compare(found[task], linear[task]),
                            "to_calibrated": compare(found[task], calibrated[task]),
                        }
                    )  # fmt: skip
                print(json.dumps(rows[-len(TASKS) :]), flush=True)
    return rows


FACTORS = {"train": {"steps": 1, "learning_rate": 1e-9}}
SINGLE = {
    "factors alone": FACTORS,
    "factors alone, recent rates": merge(FACTORS, {"units": {"recent": True}}),
    "tinbergen": {},
    "tinbergen, recent rates": {"units": {"recent": True}},
    "network without factors": {"units": {"linear_rank": 0}},
}
ONLY = ("neuron", "intra_region", "inter_region", "temporal", "future")


def masks(seeds: Sequence[int]) -> list[dict]:
    """Networks that were trained with one mask alone, and with all: every task of each."""
    none = dict.fromkeys(ONLY, 0.0)
    variants: dict[str, Mapping[str, Any]] = {"mixture": {"units": {"linear_rank": 0}}}
    for name in ONLY:
        variants[name] = {"masks": {**none, name: 1.0}, "units": {"linear_rank": 0}}
    rows = []
    for number in SESSIONS:
        session = load(number)
        for name, overrides in variants.items():
            for seed in seeds:
                found, seconds = trained([session], seed, overrides, lambda r, _: ask_all(r, session))
                scores = {task: mean(found[task]) for task in TASKS}
                rows.append({"session": number, "masks": name, "seed": seed, **scores,
                             "cpu_s": round(seconds, 1)})  # fmt: skip
                print(json.dumps(rows[-1]), flush=True)
    return rows


def fewer(session: Session, share: float) -> dict[str, dict[str, np.ndarray]]:
    """The usual split with the last ``share`` of the training trials alone."""
    parts = split_windows([session])
    rows = parts["train"][session.name]
    parts["train"] = {session.name: rows[len(rows) - max(4, round(share * len(rows))) :]}
    return parts


def to_new(
    bases: Mapping[int, Sequence[int]],
    seeds: Sequence[int],
    shares: Sequence[float],
    steps: int,
    overrides: Mapping[str, Any],
) -> list[dict]:
    """Pretrain on some sessions, adapt to others, beside these alone at equal steps."""
    rows = []
    for seed in seeds:
        for group, (targets, sources) in enumerate(_groups(bases)):
            others = [load(number) for number in sources]

            def onwards(base: PopulationRun, folder: Path) -> None:
                for number in targets:
                    session = load(number)
                    for share in shares:
                        parts = fewer(session, share)
                        settings = {"session": number, "seed": seed, "share": share}
                        alone, cpu = trained(
                            [session], seed, overrides, lambda r, _: ask_all(r, session), None, parts
                        )
                        adapted, cpu_adapted = trained(
                            [session], seed, {}, lambda r, _: ask_all(r, session), folder, parts
                        )
                        for task in TASKS:
                            rows.append({
                                **settings, "task": task, "alone": mean(alone[task]),
                                "adapted": mean(adapted[task]),
                                "gain": compare(adapted[task], alone[task]),
                                "cpu_s": round(cpu, 1), "cpu_s_adapting": round(cpu_adapted, 1),
                            })  # fmt: skip
                            print(json.dumps(rows[-1]), flush=True)

            more = merge(overrides, {"train": {"steps": steps}})
            _, seconds = trained(others, seed, more, onwards)
            print(json.dumps({"group": group, "cpu_s_with_adapting": round(seconds, 1)}), flush=True)
    return rows


def _groups(bases: Mapping[int, Sequence[int]]) -> list[tuple[list[int], Sequence[int]]]:
    """Targets that share their sources."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for target, sources in bases.items():
        groups.setdefault(tuple(sources), []).append(target)
    return [(targets, sources) for sources, targets in groups.items()]


MICE = {"Cori": (1, 2, 3), "Forssmann": (4, 5, 6, 7), "Hench": (8, 9, 10, 11)}


def decode(seeds: Sequence[int]) -> list[dict]:
    """Side and feedback of the trials of three sessions, beside logistic regression."""
    from tinbergen.encoding import WindowLogistic

    rows = []
    for number in SESSIONS:
        session = load(number)
        parts = {name: each[session.name] for name, each in split_windows([session]).items()}
        counts = session.counts.astype(float)
        known = np.concatenate([parts["train"], parts["validation"]])
        choose = np.isin(known, parts["validation"])
        for seed in seeds:

            def ask(run: PopulationRun, _: Path) -> dict[str, float]:
                found = {}
                for name in LABELS:
                    odds = run.predict(session.name, ["spikes"], name, windows=parts["test"])
                    classes = np.array(run.vocabulary.classes[name], dtype=object)
                    truth = session.values[name][parts["test"]]
                    found[name] = balanced_accuracy(truth.astype(str), classes[odds.argmax(1)].astype(str))
                return found

            settings = {"modalities": LABELS}
            found, seconds = trained([session], seed, settings, ask)
            rows.append({"session": number, "model": "tinbergen", "seed": seed, **found,
                         "cpu_s": round(seconds, 1)})  # fmt: skip
        plain = {}
        for name in LABELS:
            labels = session.values[name].astype(str)
            model = WindowLogistic().fit(counts[known], labels[known], validate=choose)
            predicted = np.asarray(model.predict(counts[parts["test"]])).astype(str)
            plain[name] = balanced_accuracy(labels[parts["test"]], predicted)
        rows.append({"session": number, "model": "logistic", **plain})
        print(json.dumps(rows[-len(seeds) - 1 :]), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["single", "masks", "adapt", "animals", "decode"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=800, help="of pretraining")
    parser.add_argument("--recent", action="store_true", help="follow drift by recent rates")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    drift = {"units": {"recent": options.recent}}
    if options.what == "single":
        rows = single(options.seeds, SINGLE)
    elif options.what == "masks":
        rows = masks(options.seeds)
    elif options.what == "adapt":
        others = [n for n in range(1, 12) if n not in SESSIONS]
        bases = dict.fromkeys(SESSIONS, others)
        rows = to_new(bases, options.seeds, [1.0], options.steps, drift)
    elif options.what == "animals":
        bases = {
            own[1]: [n for mouse, each in MICE.items() if own is not each for n in each]
            for own in MICE.values()
        }
        rows = to_new(bases, options.seeds, [1.0, 0.1], options.steps, drift)
    else:
        rows = decode(options.seeds)
    result = {"benchmark": f"population_steinmetz {options.what}", "machine": describe_machine()}
    text = json.dumps({**result, "rows": rows, "reference": str(REFERENCE)}, indent=1)
    if options.out:
        options.out.write_text(text + "\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
