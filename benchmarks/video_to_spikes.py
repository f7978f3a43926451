"""Video to spikes in one model, through a study: embeddings beside plain series, and both.

Virtual animals are filmed, with units that are driven by the written frames and units that follow
body, wheel and whiskers. ``docs/examples/video_to_spikes.yaml`` is run on them: a network learns
from the films alone and embeds them, RRR predicts spikes from the embeddings, and a population
model has them as a modality beside series of one channel. What it encodes from every subset is
compared with the true rates on the same spikes, with closed baselines on the same windows and
features, and with embeddings that do not belong to the spikes: of other windows of the recording,
and of the other animal.

    python benchmarks/video_to_spikes.py --folder work --out video_to_spikes.json

What is done in ``--folder`` is not done again.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from machine import describe_machine
from tinbergen import simulate
from tinbergen.cli.study import Commands
from tinbergen.configuration import read_yaml, write_yaml
from tinbergen.metrics import bits_per_spike, hierarchical_interval
from tinbergen.population.model_run import PopulationRun
from tinbergen.population.pretraining import stored_parts
from tinbergen.population.sessions import Session, cut
from tinbergen.recordings import Bins, Dataset
from tinbergen.simulation import expected_counts
from tinbergen.study import make_plan, read_study

EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "video_to_spikes.yaml"
WINDOW, FLOOR, NETWORK = 64, 1e-9, "network"  # px, spikes/bin
MODELS = {"seeing": "visual_rates", "acting": "rates"}
VIDEO = "Encoding from video"


def make_animals(folder: Path, animals: int, minutes: float, seed: int) -> None:
    """Film the animals, and let the study see them through a window that goes with them."""
    if folder.is_dir():
        return
    unfinished = folder.with_suffix(".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    simulate(
        unfinished, animals=animals, duration=60 * minutes, fps=15.0, size=(96, 128),
        neurons=36, visual_neurons=24, task=True, seed=seed,
    )  # fmt: skip
    entry = read_yaml(unfinished / "dataset.yaml")
    for recording in entry["recordings"].values():
        recording["streams"]["video"]["follow"] = WINDOW
    write_yaml(unfinished / "dataset.yaml", entry)
    unfinished.rename(folder)


def ceilings(run: PopulationRun, truth: Dataset, rates: str) -> dict[str, np.ndarray]:
    """Bits/spike of the true rates in the test windows, ``(unit,)`` by recording."""
    found = {}
    for session in run.sessions:
        windows = cut(truth[session.name], run.config.windows)
        windows = windows.only(np.argsort(windows.starts, kind="stable"))
        expected = expected_counts(truth[session.name][rates], windows.bins)
        test = stored_parts(run.run)["test"][session.name]
        found[session.name] = score(run, session, expected.reshape(session.counts.shape)[test])
    return found


def score(run: PopulationRun, session: Session, rates: np.ndarray) -> np.ndarray:
    """Bits/spike in the test windows beyond the mean rate of the training windows, ``(unit,)``."""
    test = stored_parts(run.run)["test"][session.name]
    known = run.vocabulary.sessions[run.vocabulary.number(session.name)]
    counts = session.counts[test].astype(float)
    return bits_per_spike(counts, rates, np.array(known.rates), floor=FLOOR)


def with_other_video(run: PopulationRun, other_animal: bool) -> np.ndarray:
    """Bits/spike from embeddings of windows half the test further on, or of the next animal."""
    parts, found = stored_parts(run.run)["test"], []
    for i, session in enumerate(run.sessions):
        test = parts[session.name]
        source, rows = session, np.roll(test, len(test) // 2)
        if other_animal:
            source = run.sessions[(i + 1) % len(run.sessions)]
            rows = np.resize(parts[source.name], len(test))
        values = session.values["video"].copy()
        values[test] = source.values["video"][rows]
        changed = replace(session, values={**session.values, "video": values})
        asked = PopulationRun(run.run, [changed])
        found.append(score(run, session, asked.predict(session.name, ["video"], windows=test)))
    return np.concatenate(found)


def read_model(folder: Path, truth: Dataset, rates: str) -> dict[str, Any]:
    """Return all methods' share of the ceiling, and paired differences, of one model."""
    run = PopulationRun(folder / "run", Dataset.open(folder / "dataset.yaml"))
    best = ceilings(run, truth, rates)
    recordings = np.repeat(list(best), [len(each) for each in best.values()])
    ceiling = np.concatenate(list(best.values()))
    scores: Any = pd.read_csv(folder / "evaluation" / "scores.csv", dtype={"name": str})
    scores = scores[scores["task"].isin(["encoding", "co_smoothing"])]

    def values(question: str, method: str) -> np.ndarray:
        rows = scores[(scores["score"] == question) & (scores["features"] == method)]
        order = {name: at for at, name in enumerate(best)}
        at = rows["recording"].map(order) * 10_000 + rows["name"].astype(int)
        return rows["value"].to_numpy()[np.argsort(at.to_numpy(), kind="stable")]

    def row(found: np.ndarray) -> dict[str, Any]:
        low, high = hierarchical_interval(found, recordings)
        return {
            "bits_per_spike": rounded(np.nanmean(found), low, high),
            "median": round(float(np.nanmedian(found)), 4),
            "share": round(float(np.nanmean(found) / np.nanmean(ceiling)), 3),
            "by_recording": [
                round(float(np.nanmean(found[recordings == name]) / np.nanmean(each)), 3)
                for name, each in best.items()
            ],
        }

    def less(one: np.ndarray, other: np.ndarray) -> dict[str, Any]:
        low, high = hierarchical_interval(one - other, recordings)
        better = f"{int((one > other).sum())} of {int(np.isfinite(one - other).sum())}"
        return {"difference": rounded(np.nanmean(one - other), low, high), "better": better}

    questions = list(dict.fromkeys(scores["score"]))
    every = max((q for q in questions if q.startswith("Encoding")), key=len)
    series = next(
        q for q in questions if q.startswith("Encoding") and q.count("+") == 1 and "video" not in q
    )
    own = {question: values(question, NETWORK) for question in questions}
    rows = {
        question: {m: row(values(question, m)) for m in methods(scores, question)}
        for question in questions
    }
    rows[VIDEO]["of other windows"] = row(with_other_video(run, other_animal=False))
    rows[VIDEO]["of the other animal"] = row(with_other_video(run, other_animal=True))
    paired = {
        "video less series": less(own[VIDEO], own[series]),
        "both less video": less(own[every], own[VIDEO]),
        "both less series": less(own[every], own[series]),
        **{
            f"{short(question)}: network less {method}": less(
                own[question], values(question, method)
            )
            for question in (VIDEO, series, every)
            for method in ("reduced rank", "ridge")
        },
    }
    return {"ceiling": row(ceiling), "units": len(ceiling), "rows": rows, "paired": paired}


def methods(scores: pd.DataFrame, question: str) -> list[str]:
    return list(dict.fromkeys(scores.loc[scores["score"] == question, "features"]))


def read_closed(folder: Path, truth: Dataset) -> dict[str, Any]:
    """RRR on the whole recordings, in folds of time: its share of the ceiling."""
    scores: Any = pd.read_csv(folder / "run" / "scores.csv", dtype={"name": str})
    scores = scores[scores["kind"] == "unit"]
    value = scores.groupby("recording", sort=False)["value"].mean()
    best = {}
    for name in value.index:
        bins = Bins.inside(truth[name]["visual_rates"].valid, 0.1)
        counts = truth[name]["visual_spikes"].bin(bins).astype(float)
        expected = expected_counts(truth[name]["visual_rates"], bins)
        best[name] = float(np.nanmean(bits_per_spike(counts, expected, "mean", FLOOR)))
    by_recording = [round(float(value[name] / best[name]), 3) for name in best]
    share = round(float(value.mean() / np.mean(list(best.values()))), 3)
    return {"share": share, "by_recording": by_recording}


def rounded(*numbers: float) -> list[float]:
    return [round(float(number), 4) for number in numbers]


def short(question: str) -> str:
    return question.removeprefix("Encoding from ")


def markdown(found: dict[str, Any]) -> str:
    """Return a table of shares of the ceiling, and one of differences, of each model."""
    lines = []
    for name in MODELS:
        model = found[name]
        ceiling = model["ceiling"]["bits_per_spike"][0]
        lines += [f"**{name}** ({model['units']} units; ceiling {ceiling:.3f} bits/spike)", ""]
        kinds = (NETWORK, "reduced rank", "ridge", "PSTH")
        lines += ["| share of the ceiling | " + " | ".join(kinds) + " |", "|---" * 5 + "|"]
        for question, rows in model["rows"].items():
            cells = [f"{rows[kind]['share']:.3f}" if kind in rows else "" for kind in kinds]
            lines.append(f"| {short(question)} | " + " | ".join(cells) + " |")
        for null in ("of other windows", "of the other animal"):
            share = model["rows"][VIDEO][null]["share"]
            lines.append(f"| *video {null}* | {share:.3f} | | | |")
        lines += ["", "| difference, bits/spike | (interval) | units better |", "|---|---|---|"]
        for what, each in model["paired"].items():
            mean, low, high = each["difference"]
            better = each["better"]
            lines.append(f"| {what} | {mean:+.3f} ({low:.3f} to {high:.3f}) | {better} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="to work in, and to go on in")
    parser.add_argument("--animals", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=10.0, help="of each animal")
    parser.add_argument("--seed", type=int, default=12, help="of the animals")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    folder = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    make_animals(folder / "animals", options.animals, options.minutes, options.seed)
    file = folder / EXAMPLE.name
    shutil.copy(EXAMPLE, file)
    command = [sys.executable, "-m", "tinbergen.cli.main", "study", "run", str(file)]
    code = subprocess.run([*command, "--cores", "1"], check=False).returncode
    if code not in (0, 3):
        sys.exit(code)
    plan = make_plan(read_study(file), Commands())
    truth = Dataset.open(folder / "animals")
    done = {
        name: json.loads((s.folder / "done.json").read_text()) for name, s in plan.steps.items()
    }
    found: dict[str, Any] = {
        "benchmark": "video_to_spikes",
        "machine": describe_machine(),
        "animals": options.animals,
        "minutes": options.minutes,
        "seed": options.seed,
        "cpu_s": {name: round(each["cpu_seconds"], 1) for name, each in done.items()},
        "closed": read_closed(plan.steps["closed"].folder, truth),
    }
    for name, rates in MODELS.items():
        found[name] = read_model(plan.steps[name].folder, truth, rates)
    text = json.dumps(found, indent=1)
    print(text)
    print(markdown(found))
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
