"""With and without frames before and after: a horse whose every frame is labelled.

The video of AmadeusGPT (308 frames, 22 points, the hidden ones without a label) is cut into blocks
of 22 frames. Every fourth block is the test of one of four folds, and the one after it validates;
in the others every third frame is labelled, about sixty. Runs with and without context see the
same images; test frames are paired. Runs that are in ``--out`` already are not made again.

    python benchmarks/pose_context.py DATA/video/horse_labelled_video_amadeus --out context.json
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import itertools
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from machine import describe_machine
from resuming import resumed
from tinbergen.configuration import parse_overrides
from tinbergen.metrics import paired_test
from tinbergen.pose import evaluate, export_frames, open_labels, train
from tinbergen.pose.labels import image_name
from tinbergen.recordings import LabelledFrames, Video, read_dlc_h5

BLOCK, FOLDS, EVERY = 22, 4, 3
FURTHEST = 2  # frames on each side


def one_run(labels: LabelledFrames, fold: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Train on the other blocks and score the frames of one fold's."""
    names = np.array([image_name(path) for path in labels.images])
    block = np.arange(len(names)) // BLOCK % FOLDS
    validation = (fold + 1) % FOLDS
    rest = np.flatnonzero((block != fold) & (block != validation))[::EVERY]
    split = {
        "train": names[rest].tolist(),
        "validation": names[block == validation].tolist(),
        "test": names[block == fold].tolist(),
    }
    cpu = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        run = train(labels, Path(folder) / "run", split=split, overrides=settings)
        spent = time.process_time() - cpu
        found = evaluate(run, labels, part="test", out=False, device="cpu")
        best = run.status["best_score"]
    return {
        "cpu_s": round(spent, 1), "train": len(rest), "test": int((block == fold).sum()),
        "validation_px": round(best, 3), "test_px": round(float(np.nanmean(found.distances)), 3),
        "test_median_px": round(float(np.nanmedian(found.distances)), 3),
        "distances": np.round(found.distances, 3).tolist(),
    }  # fmt: skip


def compared(rows: list[dict[str, Any]], context: int) -> dict[str, Any] | None:
    """Return context less none, px, over all runs that have both; blocks of a fold are paired."""
    sides: dict[tuple[int, int], dict[int, np.ndarray]] = {}
    for row in rows:
        place = sides.setdefault((row["fold"], row["seed"]), {})
        place[row["context"]] = np.array(row["distances"], dtype=float)
    both = {place: side for place, side in sides.items() if {0, context} <= side.keys()}
    if not both:
        return None
    differences, groups = [], []
    for (fold, _), side in both.items():
        gain = np.nanmean(side[context], axis=1) - np.nanmean(side[0], axis=1)
        differences.append(gain)
        groups.append(fold * len(gain) + np.arange(len(gain)) // BLOCK)
    gain = np.concatenate(differences)
    test = paired_test(gain, np.zeros_like(gain), np.concatenate(groups))
    return {
        "context": context, "runs": len(both), "difference": round(test.mean, 3),
        "interval": [round(test.interval.low, 3), round(test.interval.high, 3)],
        "p": round(test.p, 4),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("horse", type=Path, help="folder of the video and its labels")
    parser.add_argument("--contexts", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--set", nargs="*", default=["steps=400"], help="settings, key=value")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    changes = parse_overrides(options.set)
    fresh = {"benchmark": "pose_context", "machine": describe_machine(), "runs": []}
    result = resumed(options.out, fresh, settings=changes)
    rows = result["runs"]
    done = {(row["seed"], row["fold"], row["context"]) for row in rows}
    video = Video(options.horse / "BrownHorseinShadow.mp4")
    with tempfile.TemporaryDirectory() as folder:
        truth = read_dlc_h5(options.horse / "BrownHorseinShadow_gt.h5", times=video.times)
        export_frames(video, range(len(video)), folder, truth, context=FURTHEST)
        labels = open_labels(folder)
        plan = itertools.product(options.seeds, range(FOLDS), options.contexts)
        for seed, fold, context in plan:
            if (seed, fold, context) in done:
                continue
            settings = {**changes, "context": context}
            quiet = {"seed": seed, "tensorboard": False, "device": "cpu"}
            settings["train"] = {**quiet, **changes.get("train", {})}
            row = one_run(labels, fold, settings)
            rows.append({"seed": seed, "fold": fold, "context": context, **row})
            found = [compared(rows, each) for each in options.contexts if each]
            result["compared"] = [each for each in found if each]
            options.out.write_text(json.dumps(result) + "\n")
            print(json.dumps({k: v for k, v in rows[-1].items() if k != "distances"}), flush=True)
    print(json.dumps(result["compared"], indent=1))


if __name__ == "__main__":
    main()
