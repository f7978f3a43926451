"""Pretrained against random vision transformer at equal labels, beside the convolutional network.

The same transformer, with the same head, on 10, 30 or 72 labelled frames: once as BEAST left it
after a few minutes on the set's video and on the training frames without their labels, once with
weights as they are drawn. BEAST is run once; a seed chooses the labelled frames, the head and the
random transformer. Runs that are in --out already are not made again, so an interrupted benchmark
goes on. At a toy size:

    python benchmarks/pose_pretraining.py DATA/video --sets mirror-mouse --labels 10 --seeds 0 \
        --pretraining-steps 2 --set train.steps=2 --out toy.json

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
from safetensors.torch import save_file

from machine import describe_machine
from pose_sets import PoseSet, mirror_mouse, open_field
from resuming import resumed
from tinbergen.beast import pretrain
from tinbergen.configuration import merge, parse_overrides
from tinbergen.metrics import paired_test, pixel_errors
from tinbergen.nn.vit import ViT, ViTConfig
from tinbergen.pose import evaluate, train
from tinbergen.recordings import write_video

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
    write_video(path, frames, np.arange(len(frames)) / 30)
    return path


def random_backbone(folder: Path, size: tuple[int, int], seed: int) -> Path:
    """Write the transformer as it is drawn, for the head to be trained on it as on BEAST's."""
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    encoder = ViT(ViTConfig(**{**SHAPE, "image_size": size}))
    shape = {"encoder": encoder.config.model_dump(mode="json")}
    (folder / "config.yaml").write_text(json.dumps(shape))
    weights = {f"encoder.{name}": value for name, value in encoder.state_dict().items()}
    save_file(weights, folder / "weights.safetensors")
    return folder


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
    return merge(common, HEADS[arm.split()[1]])


def one_run(
    chosen: PoseSet, arm: str, backbone: Path | None, labels: int, settings: dict[str, Any]
) -> dict[str, Any]:
    """Train on some of the labels and score on the test frames."""
    cpu, seed = time.process_time(), settings["train"]["seed"]
    with tempfile.TemporaryDirectory() as scratch:
        run = train(
            chosen.labels,
            Path(scratch) / "run",
            backbone=backbone,
            split=chosen.split(labels, seed),
            overrides=settings,
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
    parser.add_argument("--set", nargs="*", default=[], help="settings of all runs, key=value")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    changes = parse_overrides(args.set)
    fresh = {"benchmark": "pose_pretraining", "machine": describe_machine(), "sets": {}}
    steps = args.pretraining_steps
    result = resumed(args.out, fresh, pretraining_steps=steps, settings=changes)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        for name in args.sets:
            make, place, size = SETS[name]
            chosen = make(args.videos / place)
            kept = (args.backbones or scratch) / f"{name}-{steps}"
            rows = result["sets"].setdefault(name, {}).setdefault("runs", [])
            done = {(row["arm"], row["labels"], row["seed"]) for row in rows}
            for each in itertools.product(args.seeds, args.labels, args.arms):
                seed, labels, arm = each
                if (arm, labels, seed) not in done:
                    backbone = None
                    if arm.startswith("beast"):
                        backbone = backbone_of(chosen, kept, size, steps)
                    elif arm.startswith("random"):
                        backbone = random_backbone(scratch / f"{name}{len(rows)}", size, seed)
                    settings = merge(settings_of(arm, size, seed), changes)
                    rows.append(one_run(chosen, arm, backbone, labels, settings))
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
