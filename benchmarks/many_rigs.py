"""Several rigs at once: whether the embedding tells the video instead of what the animal does.

Presets `tinbergen` and `beast` are pretrained on all clips of the real recordings together (same
network 192/6/3, same gray frames, same number of images). Scores on frozen features: how well the
video can be told from CLS (balanced accuracy over blocks of time; chance 1 / videos), and ridge
from all patch tokens to the keypoints of two hand-labelled sets (mirror-mouse, open field).

    python benchmarks/many_rigs.py --steps 600 --seeds 0 --out many_rigs.json
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
from typing import Any

import numpy as np

from tinbergen.beast import Embedder, pretrain
from tinbergen.beast.pretraining import cached_backgrounds, open_frames
from tinbergen.beast.samples import Sample, cached_sample, hand_labelled_sample
from tinbergen.configuration import merge
from tinbergen.metrics import class_probe, effective_rank, grouped_folds, keypoint_probe
from tinbergen.nn.backgrounds import load_backgrounds
from tinbergen.recordings import Dataset, read_labelled_frames

SHAPE = {
    "encoder": {"width": 192, "depth": 6, "heads": 3, "channels": 1},
    "decoder": {"width": 128, "depth": 2, "heads": 4},
    "frames": {"per_video": 100},
    "train": {"batch_size": 32, "tensorboard": False, "validate_every": 0},
}
AS_REFERENCE = {
    "train": {"learning_rate": 5e-4, "warmup": 0.05, "start_lr": 0.0, "final_lr": 0.05}
}
PRESETS = {"tinbergen": SHAPE, "beast": merge(SHAPE, AS_REFERENCE)}
LABELLED = {
    "mirror-mouse": "mouse_treadmill_mirror_lp/CollectedData.csv",
    "open field": "mouse_openfield_top_dlc/labeled-data/m4s1/CollectedData_Pranav.csv",
}
LEAST_FRAMES, BLOCKS = 24, 6


def features(embedder: Embedder, sample: Sample, token: str) -> np.ndarray:
    parts = [embedder.encode(frames, seen)[token] for frames, seen in sample.batches()]
    return np.concatenate(parts)


def blocks_of_time(sample: Sample) -> np.ndarray:
    groups = np.empty(len(sample), dtype=object)
    for name in np.unique(sample.recording):
        rows = np.flatnonzero(sample.recording == name)
        groups[rows] = [f"{name} {i * BLOCKS // len(rows)}" for i in range(len(rows))]
    return groups.astype(str)


def pixels(frames: np.ndarray) -> np.ndarray:
    n, height, width, _ = frames.shape
    gray = frames.astype(np.float32).mean(3)
    return gray.reshape(n, 16, height // 16, 16, width // 16).mean((2, 4)).reshape(n, -1)


def run(preset: str, steps: int, seed: int, root: Path, out: Path) -> dict[str, Any]:
    dataset = Dataset.open(root)
    names = [
        name
        for name, recording in dataset.items()
        if all(v.n_frames >= LEAST_FRAMES for v in recording.videos.values())
    ]
    dataset = dataset.only(names)
    settings = merge(PRESETS[preset], {"train": {"steps": steps, "seed": seed}})
    began = time.process_time()
    folder = pretrain(
        dataset, out / f"{preset}{seed}", preset=preset, size="ti",  # type: ignore[arg-type]
        overrides=settings, evaluate=False, cache=out / "frames",
    )  # fmt: skip
    used = time.process_time() - began
    embedder = Embedder(folder, tokens=("cls", "patch"), precision="fp32")
    frames = open_frames(dataset, embedder.config, out / "frames")
    backgrounds = None
    if embedder.config.objective.background:
        backgrounds = cached_backgrounds(frames, dataset)
    sample = cached_sample(frames, backgrounds, 24 * len(names))
    folds = grouped_folds(blocks_of_time(sample), BLOCKS)
    cls = features(embedder, sample, "cls")
    result: dict[str, Any] = {
        "preset": preset, "seed": seed, "videos": len(names), "chance": 1 / len(names),
        "CPU-s": used, "images": steps * 32, "CLS rank": effective_rank(cls),
        "leakage, CLS": class_probe(cls, sample.recording, folds).balanced_accuracy,
        "leakage, pixels":
            class_probe(pixels(sample.frames), sample.recording, folds).balanced_accuracy,
    }  # fmt: skip
    mean = features(embedder, sample, "patch").mean((1, 2))
    result["leakage, mean token"] = class_probe(mean, sample.recording, folds).balanced_accuracy
    for name, table in LABELLED.items():
        labelled = hand_labelled_sample(
            read_labelled_frames(root / table), load_backgrounds(folder.path),
            size=(224, 224), gray=True, keep_aspect=False,
        )  # fmt: skip
        order = np.random.default_rng(0).permutation(len(labelled))
        own = np.array_split(order, 9)
        for token in ("patch", "cls"):
            probe = keypoint_probe(features(embedder, labelled, token), labelled.positions, own)
            result[f"{name}, {token}"] = probe.mean
        result[f"{name}, mean pose"] = keypoint_probe(None, labelled.positions, own).mean
        result[f"{name}, pixels"] = keypoint_probe(
            pixels(labelled.frames), labelled.positions, own
        ).mean
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args()
    root = Path(os.environ.get("TINBERGEN_DATA", Path(__file__).parents[2] / "shared" / "data"))
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for seed in args.seeds:
            for preset in PRESETS:
                root_video = args.data or root / "video"
                rows.append(run(preset, args.steps, seed, root_video, Path(scratch)))
                print(json.dumps(rows[-1]), flush=True)
    if args.out:
        args.out.write_text(json.dumps({"benchmark": "many_rigs", "runs": rows}, indent=1))


if __name__ == "__main__":
    main()
