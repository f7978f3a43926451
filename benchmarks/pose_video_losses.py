"""With and without losses on unlabelled video: pixel error on labels, plausibility on video.

Lightning Pose's mirror-mouse, its own split or, with ``--folds``, every frame in the test of one
fold; the first half of its clip is the unlabelled video, and the second half is what temporal and
multi-view errors are scored on too. Seeds and folds are paired. Runs that are in ``--out`` already
are not made again.

    python benchmarks/pose_video_losses.py DATA/video/mouse_treadmill_mirror_lp --out losses.json
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
from pose_sets import PoseSet, folds, mirror_mouse
from resuming import resumed
from tinbergen.configuration import merge, parse_overrides
from tinbergen.metrics import (
    PoseSubspace,
    paired_test,
    pixel_errors,
    stack_views,
    temporal_norm,
)
from tinbergen.pose import Predictor, evaluate, train
from tinbergen.pose.views import views_by_ending
from tinbergen.recordings import Recording, Video

ENDINGS = ("_top", "_bot")


class Plausibility:
    """How far poses of the video are from each other in time, and from the labelled poses."""

    def __init__(self, chosen: PoseSet):
        names = chosen.labels.keypoints
        groups = views_by_ending(names, ENDINGS)
        self.views = [[names.index(name) for name in group] for group in groups]
        self.usual = [k for k, name in enumerate(names) if not name.startswith("obs")]
        poses = chosen.labels.positions[chosen.parts["train"], 0]
        self.space = PoseSubspace.fit(stack_views(poses, self.views), components=3)
        self.view = PoseSubspace.fit(poses[:, self.usual])

    def __call__(self, poses: np.ndarray) -> dict[str, float]:
        """Score ``(time, keypoint, 2)`` px; all in px."""
        steps = temporal_norm(poses)[1:, self.usual]
        values = {
            "step_px": steps.mean(),
            "jumps_per_1000": 1e3 * (steps > 20).mean(),
            "multiview_px": self.space.residuals(stack_views(poses, self.views)).mean(),
            "singleview_px": self.view.residuals(poses[:, self.usual]).mean(),
        }
        return {name: round(float(value), 3) for name, value in values.items()}


def one_run(
    chosen: PoseSet, out: Path, seed: int, with_video: bool, changes: dict[str, Any]
) -> dict[str, Any]:
    """Train and score one seed, with or without the first half of the video."""
    film = Video(chosen.video)
    half = float(film.times[len(film) // 2])
    settings = merge({"train": {"seed": seed, "tensorboard": False, "device": "cpu"}}, changes)
    videos = None
    if with_video:
        videos = {"clip": Recording("clip", {"camera": film.between(0, half)})}
        settings = merge({"unlabelled": {"views": list(ENDINGS)}}, settings)
    else:
        settings.pop("unlabelled", None)
    cpu = time.process_time()
    run = train(chosen.labels, out, split=chosen.split(), videos=videos, overrides=settings)
    spent = time.process_time() - cpu
    found = evaluate(run, chosen.labels, part="test", out=False, device="cpu")
    poses = Predictor(run, device="cpu").video(film).positions[:, 0]
    score = Plausibility(chosen)
    return {
        "seed": seed, "with_video": with_video, "cpu_s": round(spent, 1),
        "test_px": round(pixel_errors(found.distances).mean, 3),
        "test_median_px": round(float(np.nanmedian(found.distances)), 3),
        "validation_px": round(run.status["best_score"], 3),
        "first_half": score(poses[: len(poses) // 2]),
        "second_half": score(poses[len(poses) // 2 :]),
        "distances": np.round(found.distances, 3).tolist(),
    }  # fmt: skip


def paired_runs(rows: list[dict[str, Any]]) -> list[dict[bool, dict]]:
    """Return the runs of each fold that has both, by whether they had video."""
    pairs: dict[int, dict[bool, dict]] = {}
    for row in rows:
        pairs.setdefault(row["fold"], {})[row["with_video"]] = row
    return [pair for _, pair in sorted(pairs.items()) if len(pair) == 2]


def compared(both: list[dict[bool, dict]]) -> dict[str, Any]:
    """With video less without, over the folds: test frames are paired, and scores of the video."""
    without, with_video = ([pair[how] for pair in both] for how in (False, True))
    left, right = (
        np.concatenate([np.array(row["distances"], dtype=float) for row in side])
        for side in (with_video, without)
    )
    frames = np.repeat(np.arange(len(left)), left.shape[1])
    tests = {"test_px": paired_test(left.ravel(), right.ravel(), frames)}
    for name in without[0]["second_half"]:
        ours, theirs = (
            np.array([row["second_half"][name] for row in side]) for side in (with_video, without)
        )
        tests[name] = paired_test(ours, theirs)
    return {
        "folds": len(both),
        **{
            name: {
                "difference": round(test.mean, 3), "p": round(test.p, 4),
                "interval": [round(test.interval.low, 3), round(test.interval.high, 3)],
            }
            for name, test in tests.items()
        },
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("project", type=Path, help="Lightning Pose's mirror-mouse example")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", nargs="*", default=["longest=160"], help="settings, key=value")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--folds", type=int, default=0, help="cross-validate instead, seed 0")
    parser.add_argument("--only", type=int, nargs="+", help="these folds, counted from 0")
    args = parser.parse_args()
    torch.set_num_threads(1)
    chosen, changes = mirror_mouse(args.project), parse_overrides(args.set)
    fresh = {"benchmark": "pose_video_losses", "machine": describe_machine(), "runs": []}
    result = resumed(args.out, fresh, settings=changes, folds=args.folds)
    parts = folds(chosen, args.folds, args.only)
    plan: list[tuple[int, int | None, PoseSet]] = [(0, i, part) for i, part in parts.items()]
    if not args.folds:
        plan = [(seed, None, chosen) for seed in args.seeds]
    done = {(row["seed"], row["fold"], row["with_video"]) for row in result["runs"]}
    for (seed, fold, part), with_video in itertools.product(plan, (False, True)):
        if (seed, fold, with_video) in done:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            row = one_run(part, Path(scratch) / "run", seed, with_video, changes)
        result["runs"].append({"fold": fold, **row})
        if args.folds and (both := paired_runs(result["runs"])):
            result["compared"] = compared(both)
        args.out.write_text(json.dumps(result) + "\n")
        shown = {k: v for k, v in result["runs"][-1].items() if k != "distances"}
        print(json.dumps(shown), flush=True)
    print(json.dumps(result.get("compared"), indent=1))


if __name__ == "__main__":
    main()
