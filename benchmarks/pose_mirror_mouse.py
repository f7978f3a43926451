"""Keypoints of a mouse on a wheel from 72 labelled frames: error, CPU-seconds, speed on video.

Trains as ``tinbergen pose train`` does, on the split that Lightning Pose makes of its example (72,
9 and 9 frames, seed 42), and with ``--folds`` cross-validates over all 90; runs that are in
``--out`` already are not made again, and ``--only`` makes some of the folds. Beside it: the mean
pose, ridge on principal components of the pixels, and a peer measured by us on the same split.

    python benchmarks/pose_mirror_mouse.py DATA/video/mouse_treadmill_mirror_lp --seeds 0 1 2
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from machine import describe_machine
from pose_sets import folds, mirror_mouse
from resuming import resumed
from tinbergen.configuration import merge, parse_overrides
from tinbergen.metrics import bootstrap_interval, pixel_errors
from tinbergen.pose import Predictor, evaluate, train
from tinbergen.pose.fitting import pose_config
from tinbergen.pose.labels import LabelledImages, load_images
from tinbergen.recordings import Video

PEERS = {
    "Lightning Pose 2.4.0, ResNet-18 from scratch, 128 px, 32 epochs": {
        "test_px": 20.9,
        "test_median_px": 8.4,
        "cpu_s": 262,
        "predict_cpu_ms_per_frame": 88,
        "note": "its `default` augmentation; not its recipe, which starts from pretrained weights",
    },
}


def ridge_error(images: LabelledImages, train_rows: list[int], test_rows: list[int]) -> float:
    """Mean distance of ridge regression on 40 principal components of the pixels, px."""
    flat = images.images.reshape(len(images), -1).astype(np.float64) / 255
    mean = flat[train_rows].mean(axis=0)
    _, _, axes = np.linalg.svd(flat[train_rows] - mean, full_matrices=False)
    scores = (flat - mean) @ axes[:40].T
    scores /= scores[train_rows].std(axis=0)
    target = images.positions.reshape(len(images), -1)
    predicted = np.empty((len(test_rows), target.shape[1]))
    for column in range(target.shape[1]):
        rows = [row for row in train_rows if np.isfinite(target[row, column])]
        x, y = scores[rows], target[rows, column]
        weights = np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ (y - y.mean()))
        predicted[:, column] = scores[test_rows] @ weights + y.mean()
    difference = (predicted - target[test_rows]).reshape(len(test_rows), -1, 2)
    return pixel_errors(np.linalg.norm(difference, axis=-1)).mean


def one_run(project: Path, out: Path, split: dict, seed: int, changes: dict) -> dict:
    """Train and score one seed."""
    wall, cpu = time.perf_counter(), time.process_time()
    overrides = {"train": {"seed": seed, "tensorboard": False, "device": "cpu"}}
    run = train(project, out, split=split, overrides=merge(overrides, changes))
    spent = time.process_time() - cpu, time.perf_counter() - wall
    found = evaluate(run, project, part="test", out=False, device="cpu")
    return {
        "seed": seed,
        "test_px": round(pixel_errors(found.distances).mean, 3),
        "test_median_px": round(float(np.nanmedian(found.distances)), 3),
        "validation_px": round(run.status["best_score"], 3),
        "null_px": round(pixel_errors(found.null).mean, 3),
        "cpu_s": round(spent[0], 1),
        "wall_s": round(spent[1], 1),
        "distances": np.round(found.distances, 3).tolist(),
        **found.speed,
    }


def cross_validated(rows: list[dict]) -> dict:
    """Sum up folds: the error over all their test frames, none of which its own run has seen."""
    distances = np.concatenate([np.array(row["distances"], dtype=float) for row in rows])
    frames = np.repeat(np.arange(len(distances)), distances.shape[1])
    interval = bootstrap_interval(distances.ravel(), frames)
    return {
        "folds": len(rows),
        "px": round(pixel_errors(distances).mean, 3),
        "interval_over_frames": [round(end, 3) for end in interval],
        "median_px": round(float(np.nanmedian(distances)), 3),
        "by_fold": [row["test_px"] for row in rows],
        "cpu_s": round(sum(row["cpu_s"] for row in rows), 1),
    }


def on_video(run: Path, path: Path) -> dict:
    """Frames per CPU-second of a whole video, decoding included."""
    video = Video(path)
    predictor = Predictor(run, device="cpu")
    wall, cpu = time.perf_counter(), time.process_time()
    found = predictor.video(video)
    return {
        "frames": len(found),
        "size_px": [video.height, video.width],
        "frames_per_core_s": round(len(found) / (time.process_time() - cpu), 1),
        "frames_per_wall_s": round(len(found) / (time.perf_counter() - wall), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("project", type=Path, help="Lightning Pose's mirror-mouse example")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2], help="may be none")
    parser.add_argument("--set", nargs="*", default=[], help="settings, key=value")
    parser.add_argument("--folds", type=int, default=0, help="also cross-validate")
    parser.add_argument("--only", type=int, nargs="+", help="these folds, counted from 0")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    chosen, changes = mirror_mouse(args.project), parse_overrides(args.set)
    parts = folds(chosen, args.folds, args.only)
    small = {"image_size": [96, 96]}
    images = load_images(chosen.labels, pose_config(chosen.labels, None, small))
    split = chosen.split()
    ridge = ridge_error(images, chosen.parts["train"].tolist(), chosen.parts["test"].tolist())
    fresh = {
        "benchmark": "pose_mirror_mouse",
        "machine": describe_machine(),
        "baselines": {"PCA-40 + ridge": round(ridge, 3)},
        "peers": PEERS,
        "runs": [],
        "fold_runs": {},
    }
    number = {"folds": args.folds} if args.folds else {}
    result = resumed(args.out, fresh, settings=changes, **number)

    def save() -> None:
        if args.out:
            args.out.write_text(json.dumps(result, indent=1) + "\n")

    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        for seed in sorted(set(args.seeds) - {row["seed"] for row in result["runs"]}):
            row = one_run(args.project, scratch / f"seed{seed}", split, seed, changes)
            result["runs"].append({name: v for name, v in row.items() if name != "distances"})
            result["mean_test_px"] = round(np.mean([r["test_px"] for r in result["runs"]]), 3)
            if "video" not in result:
                result["video"] = on_video(scratch / f"seed{seed}", chosen.video)
            save()
        rows = result["fold_runs"]
        for number, part in parts.items():
            if str(number) not in rows:
                split = part.split()
                row = one_run(args.project, scratch / f"fold{number}", split, 0, changes)
                rows[str(number)] = row
                done = [rows[key] for key in sorted(rows, key=int)]
                result["cross_validation"] = cross_validated(done)
                save()
    save()
    print(json.dumps({k: v for k, v in result.items() if k != "fold_runs"}, indent=1))


if __name__ == "__main__":
    main()
