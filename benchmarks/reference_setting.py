"""BEAST at the reference's own measured setting: one real clip, a small CPU budget, frozen probes.

The mirror-mouse clip (994 frames, 250 Hz) in four quarters, a held-out block in the middle of
each; ViT 192/6/3 with a 128 x 2 decoder at 224 px; one thread. Scores: ridge from all patch tokens
and from CLS to the 17 keypoints of 90 labelled frames of other recordings (9-fold
cross-validation), masked error on the held-out blocks, effective rank of CLS.

    python benchmarks/reference_setting.py --variant tinbergen --cpu 360 --seeds 0 1 2 --out a.json

``--images`` fixes the images instead of the budget: the same for every variant, on any machine.
``--mark`` scores the network on its way as well, every so many images.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from tinbergen.beast.cache import CacheConfig
from tinbergen.beast.cache_build import build_cache
from tinbergen.beast.config import BeastConfig, beast_config
from tinbergen.beast.mae import random_mask
from tinbergen.beast.model import Beast
from tinbergen.beast.samples import hand_labelled_sample
from tinbergen.beast.selection import Selection
from tinbergen.beast.task import PretrainTask
from tinbergen.configuration import merge, parse_overrides
from tinbergen.metrics import effective_rank, keypoint_probe
from tinbergen.nn.augment import IMAGENET_STD
from tinbergen.nn.pixels import RESIDUAL_SCALE, to_input
from tinbergen.nn.vit import gather_tokens, patchify
from tinbergen.recordings import Dataset, read_labelled_frames
from tinbergen.training import fit

GAP, HELD_OUT = 12, 48
SHAPE = {
    "encoder": {"width": 192, "depth": 6, "heads": 3},
    "decoder": {"width": 128, "depth": 2, "heads": 4},
    "train": {"batch_size": 32, "workers": 0, "tensorboard": False, "log_every": 50},
}
# The reference's runs on this page used AdamW at 5e-4 and its own augmentation.
AS_REFERENCE = {
    "train": {"learning_rate": 5e-4, "warmup": 0.05, "start_lr": 0.0, "final_lr": 0.05}
}
GRAY = {"encoder": {"channels": 1}}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "tinbergen": ("tinbergen", GRAY),
    "tinbergen-lambda0": ("tinbergen", merge(GRAY, {"contrast": {"weight": 0.0}})),
    "tinbergen-contrast": (
        "tinbergen",
        merge(GRAY, {"objective": {"reconstruction": 0.0}, "contrast": {"weight": 1.0}}),
    ),
    "beast": ("beast", AS_REFERENCE),
    "vit-m": ("vit-m", AS_REFERENCE),
    "vit-c": ("vit-c", AS_REFERENCE),
}
REFERENCE = {
    "all tokens": 23.1, "CLS": 38.9, "held-out MSE": 0.202, "CLS rank": 2.9,
    "images per CPU-s": 54, "all-pixel ridge": 22.0, "mean pose": 40.2, "mean image MSE": 0.1429,
}  # fmt: skip


def quarters(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quarter of each frame (-1 near a boundary), whether it is held out, whether it trains."""
    quarter, held = np.full(n, -1), np.zeros(n, bool)
    edges = [round(i * n / 4) for i in range(5)]
    for i in range(4):
        start, stop = edges[i] + (GAP if i else 0), edges[i + 1] - (GAP if i < 3 else 0)
        quarter[start:stop] = i
        middle = (start + stop) // 2
        held[middle - HELD_OUT // 2 : middle + HELD_OUT // 2] = True
    train = np.ones(n, bool)
    for i in np.flatnonzero(held):
        train[max(0, i - GAP) : i + GAP + 1] = False
    return quarter, held, train


class Budget(NamedTuple):
    """How long to train."""

    cpu: float  # CPU-s
    images: int | None  # if given, this many instead
    mark: int  # images between two scores on the way; 0 = none


class Clip:
    """The clip's frames, their split, and the labelled frames."""

    def __init__(self, folder: Path, config: BeastConfig, scratch: Path):
        gray = config.encoder.channels == 1
        selection = Selection(method="all", offset=1)
        self.cache = build_cache(
            Dataset.open(folder / "videos"),
            scratch / ("gray" if gray else "rgb"),
            CacheConfig(selection=selection, gray=gray),
        )
        self.quarter, self.held, train = quarters(len(self.cache))
        self.train = np.flatnonzero(train)
        self.frames = self.cache.read(np.arange(len(self.cache)))
        self.backgrounds = None
        if config.objective.background:
            self.backgrounds = np.rint(self.frames[self.train].mean(0)[None]).astype(np.uint8)
        self.labelled = hand_labelled_sample(
            read_labelled_frames(folder / "CollectedData.csv"),
            self.backgrounds,
            size=(224, 224),
            gray=gray,
            keep_aspect=False,
        )
        order = np.random.default_rng(0).permutation(len(self.labelled))
        self.folds = np.array_split(order, 9)

    def inputs(self, frames: np.ndarray) -> torch.Tensor:
        background = None
        if self.backgrounds is not None:
            background = torch.from_numpy(self.backgrounds)
        return to_input(torch.from_numpy(frames), background)


@torch.inference_mode()
def tokens(model: Beast, clip: Clip, frames: np.ndarray) -> np.ndarray:
    parts = [
        model.encoder(patchify(clip.inputs(frames[i : i + 32]), 16))
        for i in range(0, len(frames), 32)
    ]
    return torch.cat(parts).float().numpy()


@torch.inference_mode()
def held_out_error(model: Beast, clip: Clip) -> tuple[float, float]:
    """Masked error of the model and of the mean training image, in ImageNet-normalised units."""
    frames = clip.frames[clip.held]
    gray = frames.shape[-1] == 1
    # Squared differences of a gray image count 1 / std^2 in each channel, averaged.
    unit = 1.0
    if clip.backgrounds is not None:
        unit = RESIDUAL_SCALE**2 * float(np.mean(1 / np.square(IMAGENET_STD)))
    elif gray:
        unit = np.mean(IMAGENET_STD) ** 2 * float(np.mean(1 / np.square(IMAGENET_STD)))
    mean = clip.frames[clip.train].astype(np.float32).mean(0)
    errors, nulls = [], []
    for draw in range(4):
        noise = torch.rand(len(frames), 196, generator=torch.Generator().manual_seed(100 + draw))
        for i in range(0, len(frames), 32):
            part, n = frames[i : i + 32], noise[i : i + 32]
            patches = patchify(clip.inputs(part), 16)
            mask = random_mask(n, 0.75)
            target = gather_tokens(patches, mask.hide)
            guess = patchify(_as_input(clip, mean, part), 16)
            nulls.append((gather_tokens(guess, mask.hide) - target).square().mean((1, 2)))
            output = model(patches, n, 1.0)
            if output.prediction is not None:
                errors.append((output.prediction - target).square().mean((1, 2)))
    error = float(torch.cat(errors).mean()) * unit if errors else float("nan")
    return error, float(torch.cat(nulls).mean()) * unit


def _as_input(clip: Clip, mean: np.ndarray, part: np.ndarray) -> torch.Tensor:
    low, high = np.floor(mean), np.ceil(mean)
    if clip.backgrounds is not None:
        return torch.zeros(len(part), mean.shape[-1], 224, 224)
    a = clip.inputs(np.broadcast_to(low, part.shape).astype(np.uint8))
    b = clip.inputs(np.broadcast_to(high, part.shape).astype(np.uint8))
    share = torch.from_numpy(mean - low).permute(2, 0, 1)
    return a + (b - a) * share


def scores(model: Any, clip: Clip) -> dict[str, Any]:
    from sklearn.linear_model import LogisticRegression

    model = model.eval().float()
    labelled = clip.labelled
    own = tokens(model, clip, labelled.frames)
    cls = tokens(model, clip, clip.frames)[:, 0]
    every = keypoint_probe(own[:, 1:], labelled.positions, clip.folds)
    whole = keypoint_probe(own[:, 0], labelled.positions, clip.folds)
    error, null = held_out_error(model, clip)
    rows = (clip.quarter >= 0) & ~clip.held
    z = (cls - cls[rows].mean(0)) / (cls[rows].std(0) + 1e-9)
    probe = LogisticRegression(max_iter=3000).fit(z[rows], clip.quarter[rows])
    return {
        "all tokens": every.mean,
        "all tokens, folds": every.fold_means.tolist(),
        "CLS": whole.mean,
        "CLS, folds": whole.fold_means.tolist(),
        "mean tokens": keypoint_probe(own[:, 1:].mean(1), labelled.positions, clip.folds).mean,
        "CLS rank": effective_rank(cls),
        "held-out MSE": error,
        "mean image MSE": null,
        "quarter": float((probe.predict(z[clip.held]) == clip.quarter[clip.held]).mean()),
    }


class MarkedTask(PretrainTask):
    """Pretraining that is scored on its way; the loop calls :meth:`validate` at every mark."""

    clip: Clip
    marks: list[int]
    seconds = 0.0  # CPU-s spent on scoring
    found: list[dict[str, Any]]

    def validate(self, model: torch.nn.Module) -> dict[str, float]:
        begin = time.process_time()
        images = self.marks.pop(0) if self.marks else 0
        if images:
            copy = Beast(self.config)
            copy.load_state_dict(model.state_dict())
            with torch.autocast("cpu", enabled=False):
                self.found.append({"images": images, **scores(copy, self.clip)})
            print(json.dumps(self.found[-1]), flush=True)
        self.seconds += time.process_time() - begin
        return {}


def run(
    variant: str, budget: Budget, seed: int, folder: Path, scratch: Path, more: dict[str, Any]
) -> dict[str, Any]:
    preset, changes = VARIANTS[variant]
    changes = merge(changes, more)

    def settings(steps: int, **train: Any) -> BeastConfig:
        own = {"train": {"seed": seed, "steps": steps, **train}}
        layers = merge(merge(SHAPE, changes), own)
        return beast_config(preset, size="ti", overrides=layers)  # type: ignore[arg-type]

    clip = Clip(folder, settings(1), scratch)

    def task(config: BeastConfig) -> MarkedTask:
        nothing = np.zeros(0, dtype=int)
        made = MarkedTask(config, clip.cache, clip.train, nothing, clip.backgrounds)
        made.clip, made.marks, made.found = clip, [], []
        return made

    if budget.images == 0:  # the network as it starts
        model = task(settings(1)).build()
        return {"variant": variant, "seed": seed, "images": 0, **scores(model, clip)}
    size = settings(1).train.batch_size
    steps = round((budget.images or 0) / size)
    if budget.images is None:
        first = time.process_time()
        fit(task(settings(4)), settings(4).train)
        begin = time.process_time()
        fit(task(settings(64)), settings(64).train)
        per_step = (time.process_time() - begin - (begin - first)) / 60
        steps = max(1, round(budget.cpu / per_step))
    every = budget.mark // size if budget.mark else 0
    config = settings(steps, validate_every=every)
    training = task(config)
    training.marks = [n * every * size for n in range(1, steps // every)] if every else []
    begin, wall = time.process_time(), time.perf_counter()
    result = fit(training, config.train)
    used = time.process_time() - begin - training.seconds
    wall = time.perf_counter() - wall
    model = result.model
    assert isinstance(model, Beast)
    images = steps * size
    return {
        "variant": variant, "seed": seed, "steps": steps, "images": images, "CPU-s": used,
        "wall s": wall, "images per CPU-s": images / used, "on the way": training.found,
        **scores(model, clip),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--variant", choices=VARIANTS, default="tinbergen")
    parser.add_argument("--cpu", type=float, default=360, help="training budget, CPU-s")
    parser.add_argument("--images", type=int, help="images instead of a budget; 0 = untrained")
    parser.add_argument("--mark", type=int, default=0, help="score every so many images too")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", nargs="*", default=[], help="further settings, key=value")
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args()
    torch.set_num_threads(1)
    root = Path(os.environ.get("TINBERGEN_DATA", Path(__file__).parents[2] / "shared" / "data"))
    folder = args.data or root / "video" / "mouse_treadmill_mirror_lp"
    with tempfile.TemporaryDirectory() as scratch:
        more = parse_overrides(args.set)
        budget = Budget(args.cpu, args.images, args.mark)
        rows = []
        for seed in args.seeds:
            rows.append(run(args.variant, budget, seed, folder, Path(scratch), more))
            print(json.dumps(rows[-1]), flush=True)
    result = {
        "benchmark": "reference_setting",
        "machine": platform.processor() or platform.machine(),
        "settings": args.set,
        "reference": REFERENCE,
        "runs": rows,
    }
    text = json.dumps(result, indent=1)
    if args.out:
        args.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
