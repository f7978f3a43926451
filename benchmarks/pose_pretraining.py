"""Pretrained against random vision transformer at equal labels, beside the convolutional network.

The same transformer, with the same head, on 10, 30 or all labelled frames: once as BEAST left it
after a few minutes on the set's video and on the training frames without their labels, once as it
was before. Runs that are in --out already are not made again, so an interrupted benchmark goes on.

    python benchmarks/pose_pretraining.py DATA/video --out pose_pretraining.json
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

import cv2
import numpy as np
import torch

from machine import describe_machine
from pose_sets import PoseSet, mirror_mouse, open_field
from tinbergen.beast import pretrain
from tinbergen.configuration import merge
from tinbergen.metrics import paired_test, pixel_errors
from tinbergen.pose import evaluate, train
from tinbergen.simulation.files import write_video

SETS = {
    "mirror-mouse": (mirror_mouse, "mouse_treadmill_mirror_lp", (128, 128)),
    "open-field": (open_field, "mouse_openfield_top_dlc", (96, 128)),
}
SHAPE: dict[str, Any] = {
    "patch": 8,
    "channels": 1,
    "width": 192,
    "depth": 6,
    "heads": 3,
    "norm_eps": 1e-12,
}
# BEAST as published, but for its size and a learning rate for minutes instead of days: in so few
# steps 5e-5 per 256 images moves nothing.
PRETRAINING: dict[str, Any] = {
    "decoder": {"width": 128, "depth": 2, "heads": 4},
    "frames": {"select": "all", "keep_aspect": True},
    "objective": {"decode": 1 / 3},
    "augment": {
        "flip": 0.0,
        "crop": 1.0,
        "crop_range": 0.2,
        "rotation": 15.0,
        "contrast": 0.2,
    },
    "train": {
        "batch_size": 32,
        "learning_rate": 1e-3,
        "grad_clip": 1.0,
        "workers": 0,
        "tensorboard": False,
        "device": "cpu",
        "validate_every": 200,
        "checkpoint_every": 40,
    },
}
TRAINING: dict[str, Any] = {
    "decoder": {"width": 128, "depth": 2, "heads": 4},
    "objective": {"background": False},
    "train": {"workers": 0, "tensorboard": False, "device": "cpu"},
}
TRAINING: dict[str, Any] = {
    "steps": 300, "batch_size": 12, "learning_rate": 1e-3, "weight_decay": 0.01, "warmup": 0.06,
    "final_lr": 0.01, "grad_clip": 5.0, "ema": 0.99, "workers": 0, "validate_every": 50,
    "checkpoint_every": 0, "tensorboard": False, "device": "cpu",
}  # fmt: skip
# Not whitened: so the validation frames of mirror-mouse have it, for both transformers.
HEADS: dict[str, dict[str, Any]] = {
    "frozen": {
        "head": {"width": 32, "views": 8, "whiten": False},
        "train": {"steps": 200, "learning_rate": 2e-3, "validate_every": 100},
    },
    "tuned": {
        "head": {
            "width": 64,
            "whiten": False,
            "frozen": False,
            "backbone_rate": 0.5,
            "layer_decay": 1.0,
            "thaw": 0,
        },
        "train": {"batch_size": 8},
    },
}
ARMS = ("beast frozen", "random frozen", "beast tuned", "random tuned", "conv")


def unlabelled_stills(chosen: PoseSet, path: Path) -> Path:
    """Write the training images as a video, each thrice, for BEAST pairs neighbours in time."""
    images = [chosen.labels.images[row] for row in chosen.parts["train"]]
    pixels = [np.asarray(cv2.imread(str(image), cv2.IMREAD_GRAYSCALE)) for image in images]
    height, width = (side - side % 2 for side in pixels[0].shape)
    frames = np.repeat(np.stack([image[:height, :width] for image in pixels]), 3, axis=0)
    write_video(path, frames, np.arange(len(frames)) / 30, (height, width))
    return path


def backbone_of(chosen: PoseSet, folder: Path, size: tuple[int, int], steps: int) -> Path:
    """Pretrain on the set's video and stills, or go on with it."""
    run = folder / "run"
    if not (run / "weights.safetensors").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        stills = folder / "stills.mp4"
        if not stills.is_file():
            unlabelled_stills(chosen, stills)
        shape = {"encoder": {**SHAPE, "image_size": size}}
        pretrain(
            [chosen.video, stills], run, preset="beast", steps=steps, evaluate=False,
            overrides=merge(PRETRAINING, shape), workers=1, resume=run.exists(),
        )  # fmt: skip
    return run


def settings_of(arm: str, size: tuple[int, int], seed: int) -> dict[str, Any]:
    """Return the settings of a run of one arm."""
    common = {"train": {**TRAINING, "seed": seed}}
    if arm == "conv":
        conv = {"learning_rate": 2e-3, "weight_decay": 1e-4}
        return merge(common, {"image_size": size, "channels": 1, "train": conv})
    found = merge(common, HEADS[arm.split()[1]])
    if arm.startswith("random"):
        shape = {**SHAPE, "image_size": size}
        found = merge(found, {"encoder": shape, "image_size": size, "channels": 1})
    return found


def one_run(
    chosen: PoseSet, arm: str, backbone: Path, size: tuple[int, int], labels: int, seed: int
) -> dict[str, Any]:
    """Train on some of the labels and score on the test frames."""
    cpu = time.process_time()
    with tempfile.TemporaryDirectory() as scratch:
        run = train(
            chosen.labels,
            Path(scratch) / "run",
            backbone=backbone if arm.startswith("beast") else None,
            split=chosen.split(labels, seed),
            overrides=settings_of(arm, size, seed),
        )
        spent = time.process_time() - cpu
        found = evaluate(run, chosen.labels, part="test", out=False, device="cpu")
        return {
            "arm": arm, "labels": labels, "seed": seed,
            "test_px": round(pixel_errors(found.distances).mean, 3),
            "test_median_px": round(float(np.nanmedian(found.distances)), 3),
            "validation_px": round(run.status["best_score"], 3),
            "null_px": round(pixel_errors(found.null).mean, 3),
            "cpu_s": round(spent, 1),
            "distances": np.round(found.distances, 3).tolist(),
        }  # fmt: skip


def paired(rows: list[dict], one: str, other: str, labels: int) -> dict[str, Any]:
    """Compare two arms on the same frames and seeds; signs are flipped by test frame."""

    def stacked(arm: str) -> dict[int, np.ndarray]:
        chosen = [r for r in rows if r["arm"] == arm and r["labels"] == labels]
        return {row["seed"]: np.array(row["distances"], dtype=float) for row in chosen}

    a, b = stacked(one), stacked(other)
    seeds = sorted(a.keys() & b.keys())
    if not seeds:
        return {}
    left, right = (np.stack([d[s] for s in seeds]) for d in (a, b))
    frames = np.broadcast_to(np.arange(left.shape[1])[None, :, None], left.shape)
    test = paired_test(left.ravel(), right.ravel(), frames.ravel())
    return {
        "of": f"{one} less {other}", "labels": labels, "seeds": seeds,
        "px": round(test.mean, 2), "p": round(test.p, 4),
        "interval": [round(test.interval.low, 2), round(test.interval.high, 2)],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("videos", type=Path, help="folder with the two sets")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--labels", type=int, nargs="+", default=[10, 30, 72])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--pretraining-steps", type=int, default=400)
    parser.add_argument("--backbones", type=Path, help="folder that keeps the pretrained runs")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, Any] = {"benchmark": "pose_pretraining", "machine": describe_machine()}
    if args.out.is_file():
        result = json.loads(args.out.read_text())
    with tempfile.TemporaryDirectory() as scratch:
        for name in args.sets:
            make, folder, size = SETS[name]
            chosen = make(args.videos / folder)
            kept = (args.backbones or Path(scratch)) / name
            backbone = backbone_of(chosen, kept, size, args.pretraining_steps)
            rows = result.setdefault("sets", {}).setdefault(name, {}).setdefault("runs", [])
            done = {(row["arm"], row["labels"], row["seed"]) for row in rows}
            for each in itertools.product(args.seeds, args.labels, args.arms):
                seed, labels, arm = each
                if (arm, labels, seed) not in done:
                    rows.append(one_run(chosen, arm, backbone, size, labels, seed))
                    result["sets"][name]["paired"] = [
                        found
                        for n in sorted({row["labels"] for row in rows})
                        for how in HEADS
                        if (found := paired(rows, f"beast {how}", f"random {how}", n))
                    ]
                    args.out.write_text(json.dumps(result) + "\n")
                    shown = {k: v for k, v in rows[-1].items() if k != "distances"}
                    print(json.dumps({"set": name, **shown}), flush=True)


if __name__ == "__main__":
    main()
