"""What gets disturbed: the training of every model, on a small simulated study."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing import Process
from pathlib import Path
from typing import Any

import tinbergen.actions.fitting
import tinbergen.beast.pretraining
import tinbergen.cli.main
import tinbergen.crossanimal
import tinbergen.pose.fitting  # noqa: F401
from tinbergen.pose import export_frames
from tinbergen.recordings import Dataset
from tinbergen.simulation import simulate

TIMES = ("items_per_s", "data_s", "compute_s", "elapsed_s", "cpu_s")
COMPARED = ("*.safetensors", "*.npy", "*.npz", "*.csv", "splits.json")
EVERY = "train.checkpoint_every=3"
SMALL_VIT = (
    *("encoder.image_size=[32,32]", "encoder.patch=8", "encoder.width=16", "encoder.depth=1"),
    *("encoder.heads=2", "encoder.channels=1", "decoder.width=16", "decoder.depth=1"),
    *("decoder.heads=2", "objective.eigenframes=4", "train.batch_size=16", "train.steps=60"),
    *("train.workers=0", "train.precision=fp32", "train.validate_every=20"),
)
NETWORKS = ("epochs=8", "width=8", "length=200")


def commands(study: Path, project: Path, base: Path) -> dict[str, list[str]]:
    """Return the arguments of each model's training, without ``--out``."""

    def settings(*pairs: str) -> list[str]:
        return [part for pair in pairs for part in ("--set", pair)]

    def actions(model: str, *own: str) -> list[str]:
        of_model = settings("folds=2", *(f"settings.{each}" for each in own))
        return ["actions", "train", str(study), "--model", model, "--no-report", *of_model]

    windows = ["--align", "stim_on", "--before", "0.2", "--after", "0.6", "--bin", "0.05"]
    cross = ["crossanimal", "train", str(study), "--neural", "spikes", "--pose", "keypoints"]
    cross += ["--bin", "0.1", "--steps", "40", *settings(EVERY)]
    pose = ["pose", "train", str(project), "--no-report", "--steps", "20", *settings(EVERY)]
    return {
        "pretrain": [
            *("pretrain", str(study), "--no-report", "--workers", "1"),
            *settings(*SMALL_VIT, EVERY),
        ],
        "pose, convolutional": pose,
        "pose, on a backbone": [*pose, "--backbone", str(base)],
        "actions, tcn": actions("tcn", *NETWORKS),
        "actions, gru": actions("gru", *NETWORKS),
        "actions, mstcn": actions("mstcn", *NETWORKS),
        "actions, s3lds": actions("s3lds", *NETWORKS),
        "population": [
            *("population", "pretrain", str(study), "--modality", "wheel=wheel", *windows),
            *("--steps", "20", *settings(EVERY, "network.width=32", "network.depth=1")),
        ],
        "across animals, contrast": cross,
        "across animals, syllables": [*cross, "--objective", "syllables"],
    }


def make_inputs(study: Path, project: Path) -> None:
    """Write a study and labelled frames; in a process of its own, as threads survive no fork."""
    simulate(study, animals=3, duration=15, neurons=12, task=True, size=(48, 64))
    recording = next(iter(Dataset.open(study).values()))
    rows = range(0, len(recording["video"]), 12)
    export_frames(recording["video"], rows, project, recording["keypoints"], scorer="truth")


def start(arguments: list[str], log: Path, prepare: Callable[[], object] | None = None) -> int:
    """Fork a child that calls ``prepare`` and runs the command; return its process id.

    Forked and not started anew: libraries take seconds to load, and kills should meet the work.
    """
    child = os.fork()
    if child:
        return child
    os.setsid()  # its own workers die with it
    with log.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    code = 1
    try:
        if prepare is not None:
            prepare()
        tinbergen.cli.main.app(arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def finish(child: int, until: float | None = None) -> int | None:
    """Return the exit code, or None if it had to be killed at the time ``until`` (monotonic)."""
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if until is not None and time.monotonic() >= until:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(0.002)


def differences(one: Path, other: Path) -> list[str]:
    """Name the results of two run folders that are not the same."""

    def results(run: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for pattern in COMPARED:
            for file in run.rglob(pattern):
                if "checkpoints" not in file.parts:
                    found[str(file.relative_to(run))] = file.read_bytes()
        for file in run.rglob("metrics.jsonl"):
            lines = [json.loads(line) for line in file.read_text().splitlines()]
            kept = [{k: v for k, v in line.items() if k not in TIMES} for line in lines]
            found[str(file.relative_to(run))] = kept
        found |= {str(file.relative_to(run)): "left" for file in run.rglob("*.tmp")}
        return found

    a, b = results(one), results(other)
    if not any(name.endswith(".safetensors") for name in a):
        return ["no weights"]
    return sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))


def make_victims(folder: Path) -> dict[str, list[str]]:
    """Write a study, labelled frames and a backbone; return the arguments of each training."""
    study, project, base = folder / "study", folder / "project", folder / "base"
    maker = Process(target=make_inputs, args=(study, project))
    maker.start()
    maker.join()
    chosen = commands(study, project, base)
    if finish(start([*chosen["pretrain"], "--out", str(base)], folder / "base.txt")):
        raise SystemExit((folder / "base.txt").read_text())
    return chosen
