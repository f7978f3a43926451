"""Two animals at once, by all three routes: precision, pixel error, identity switches, seconds.

Flies: learned from 120 frames of one pair in courtship (SLEAP's own predictions serve as labels),
scored on a later part of it, and on two other pairs with proofread tracks. Mice: a simulated pair
with a bar in front of them, whose truth is known; hidden keypoints are neither learned nor scored.

    python benchmarks/pose_multi_animal.py DATA/video --out results.json --keep runs
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import json
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from machine import describe_machine
from tinbergen.beast import embed, pretrain
from tinbergen.metrics import keypoint_distances, score_tracks
from tinbergen.pose import (
    Predictor,
    evaluate_tracks,
    export_frames,
    identify,
    looks_of,
    track,
    train,
    write_animal_videos,
)
from tinbergen.pose.evaluation_animals import Animals
from tinbergen.pose.identity import stretches
from tinbergen.recordings import Dataset, FrameSource, Keypoints, Video, read_sleap
from tinbergen.simulation import simulate

ROUTES = ("identity", "top_down", "bottom_up")
N_LABELLED = 120
LOOKS = {
    "encoder": {"image_size": [64, 64], "patch": 8, "depth": 4},
    "contrast": {"temperature": 0.1},
    "frames": {"select": "all"},
    "train": {
        "steps": 150,
        "batch_size": 64,
        "learning_rate": 5e-4,
        "device": "cpu",
        "tensorboard": False,
    },
}
N_SEEN = 8  # keypoints of a simulated mouse that show from above: not the paws


@dataclass(frozen=True)
class Clip:
    """Frames of a video with the truth about them."""

    name: str
    video: FrameSource
    truth: Keypoints

    def part(self, name: str, start: int, stop: int) -> Clip:
        """Frames from ``start`` to before ``stop``."""
        times = np.append(self.video.times, np.inf)
        span = float(times[start]), float(times[stop])
        return Clip(name, self.video.between(*span), self.truth.between(*span))


def flies(data: Path) -> tuple[Clip, list[Clip]]:
    """Return the clip to learn from, and those to score."""

    def clip(name: str, video: str, labels: str) -> Clip:
        source = Video(data / video)
        return Clip(name, source, read_sleap(data / labels, source))

    courtship = clip(
        "courtship",
        "flies_courtship_sleap/20190128_113421.120s.mp4",
        "flies_courtship_sleap/predictions.slp",
    )
    proofread = clip(
        "two_tracked", "flies_two_tracked_sleap/clip.mp4", "flies_two_tracked_sleap/clip.slp"
    )
    short = clip(
        "dreem",
        "multi_animal_tracks_dreem/two_flies.mp4",
        "multi_animal_tracks_dreem/two_flies.slp",
    )
    return courtship.part("courtship", 0, 2200), [
        courtship.part("same pair, 8 s later, 24 s", 2400, 3000),
        proofread.part("other pair, proofread, the 24 s in which they move", 900, 1500),
        replace(short, name="third pair, proofread, 5 s"),
    ]


def mice(folder: Path) -> tuple[Clip, list[Clip]]:
    """Simulate a pair seen from above; return the same."""
    size = (240, 304)
    data = simulate(
        folder, animals=1, individuals=2, duration=50, size=size, seed=5, views=("top",)
    )
    _, _, video = data.videos()[0]
    truth = data["animal0_session0"]["keypoints"]
    hidden = truth.confidence == 0
    positions = np.where(hidden[..., None], np.nan, truth.positions)
    truth = replace(
        truth,
        positions=positions[:, :, :N_SEEN],
        confidence=truth.confidence[:, :, :N_SEEN],
        keypoints=truth.keypoints[:N_SEEN],
    )
    whole = Clip("mice", video, truth)
    return whole.part("mice", 0, 900), [whole.part("same pair, simulated, 18 s", 960, 1500)]


def score(found: Keypoints, tracks: Keypoints, clip: Clip, mean_pose: np.ndarray) -> dict:
    """Scores of one run on one clip."""
    true = clip.truth.positions
    animals = Animals(found.positions, found.confidence, true, mean_pose)
    distances = keypoint_distances(animals.aligned()[0], true)
    minutes = float(np.ptp(clip.video.times)) / 60
    named = score_tracks(tracks.positions, true, minutes)
    wide, narrow = animals.precision_scores()
    return {
        "clip": clip.name,
        "frames": len(found),
        "map_sigma_0.1": round(wide.value or 0, 3),
        "map_sigma_0.025": round(narrow.value or 0, 3),
        "map_null": [round(each.null or 0, 3) for each in (wide, narrow)],
        "px": round(float(np.nanmean(distances)), 2),
        "median_px": round(float(np.nanmedian(distances)), 2),
        "px_null": round(float(np.nanmean(animals.null_distances())), 1),
        "found": round(1 - named.missed / named.n_true, 4),
        "false": named.false,
        "switches": named.switches,
        "switches_per_minute": round(named.switches_per_minute, 2),
        "mota": round(named.mota, 3),
        "idf1": round(named.idf1, 3),
    }


def one_route(route: str, project: Path, out: Path, clips: list[Clip], steps: int) -> dict:
    """Train, predict, track and score."""
    settings = {"steps": steps, "tensorboard": False, "device": "cpu", "validate_every": 100}
    overrides = {
        "animals": {"route": route},
        "augment": {"rotation": 180.0},
        "train": {**settings, "batch_size": 6 if route != "identity" else 12},
    }
    if route == "identity":
        overrides["longest"] = 384
    cpu = time.process_time()
    run = train(project, out, overrides=overrides)
    row: dict = {"route": route, "train_cpu_s": round(time.process_time() - cpu, 1)}
    predictor, row["clips"] = Predictor(run, device="cpu"), []
    shape = (-1, len(predictor.config.keypoints), 2)
    mean_pose = np.array(run.status["mean_pose"]).reshape(shape)
    for clip in clips:
        cpu = time.process_time()
        found = predictor.video(clip.video)
        seen = time.process_time()
        tracks = found if route == "identity" else track(found)
        scores = score(found, tracks, clip, mean_pose)
        scores["predict_cpu_ms_per_frame"] = round(1e3 * (seen - cpu) / len(found), 1)
        scores["track_cpu_ms_per_frame"] = round(
            1e3 * (time.process_time() - seen) / len(found), 2
        )
        row["clips"].append(scores)
        print(json.dumps({"route": route, **scores}), flush=True)
    return row


def by_their_looks(run: Path, clip: Clip, scratch: Path) -> list[dict]:
    """Exchange tracks in some encounters, and put them right by BEAST embeddings.

    The embeddings are learned on the clip itself, from what is cut out along its tracks.
    """
    tracks = track(Predictor(run, device="cpu").video(clip.video))
    write_animal_videos(clip.video, tracks, scratch / "cut")
    videos = Dataset.open([scratch / "cut"])
    cpu = time.process_time()
    pretrained = pretrain(
        videos, scratch / "beast", preset="vit-c", size="ti", overrides=LOOKS, evaluate=False
    )
    found = embed(pretrained, videos, scratch / "embeddings")
    cpu = time.process_time() - cpu
    looks = looks_of(tracks, {name: each.series() for name, each in found.items()})
    encounters = np.flatnonzero(np.diff(stretches(tracks.positions))) + 1
    rng = np.random.default_rng(0)
    rows = []
    for n in (1, 2, 4, 8):
        order = np.tile([0, 1], (len(tracks), 1))
        for frame in rng.choice(encounters, n, replace=False):
            order[frame:] = order[frame:, ::-1]
        positions = np.take_along_axis(tracks.positions, order[:, :, None, None], axis=1)
        wrong = replace(tracks, positions=positions)
        right = identify(wrong, np.take_along_axis(looks, order[:, :, None], axis=1))
        scores = evaluate_tracks(right, clip.truth, wrong)
        row = {each.name: {"before": each.null, "after": each.value} for each in scores}
        rows.append({"exchanges": n, "encounters": len(encounters), **row, "cpu_s": round(cpu, 1)})
    return rows


def from_broken_tracks(clip: Clip, noise: float, lost: float) -> dict:
    """Take proofread tracks apart, and track what is left.

    Animals stand in a random order in each frame; ``noise`` px are added, and a share ``lost`` of
    the animals and of the keypoints is taken away.
    """
    rng = np.random.default_rng(0)
    truth = clip.truth
    n, n_animals = truth.positions.shape[:2]
    order = np.stack([rng.permutation(n_animals) for _ in range(n)])
    positions = np.take_along_axis(truth.positions, order[:, :, None, None], axis=1)
    positions = positions + rng.normal(0, noise, positions.shape)
    positions[rng.random((n, n_animals)) < lost] = np.nan
    positions[rng.random(positions.shape[:3]) < lost] = np.nan
    broken = replace(truth, positions=positions, confidence=np.full(positions.shape[:3], 1.0))
    scores = {each.name: each for each in evaluate_tracks(track(broken), truth, broken)}
    switches = scores["identity switches per minute"]
    return {
        "clip": clip.name,
        "noise_px": noise,
        "lost": lost,
        "switches_per_minute": switches.value,
        "unlinked": switches.null,
        "idf1": scores["IDF1"].value,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path, help="folder of the recordings of flies")
    parser.add_argument("--sets", nargs="*", default=["flies", "mice"])
    parser.add_argument("--routes", nargs="*", default=list(ROUTES))
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--keep", type=Path, help="folder for the runs")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    result: dict = {"benchmark": "pose_multi_animal", "machine": describe_machine(), "sets": {}}
    with tempfile.TemporaryDirectory() as folder:
        scratch = args.keep or Path(folder)
        for name in args.sets:
            made = flies(args.data) if name == "flies" else mice(scratch / "simulated")
            learned, clips = made
            project = scratch / name / "project"
            rows = np.linspace(0, len(learned.video) - 1, N_LABELLED).round().astype(int)
            export_frames(learned.video, rows, project, learned.truth)
            result["sets"][name] = []
            for route in args.routes:
                row = one_route(route, project, scratch / name / route, clips, args.steps)
                result["sets"][name].append(row)
                if name == "flies" and "broken_tracks" not in result:
                    result["broken_tracks"] = [
                        from_broken_tracks(clip, noise, lost)
                        for clip in clips
                        for noise, lost in ((0.0, 0.0), (3.0, 0.1), (6.0, 0.3))
                    ]
                if (name, route) == ("flies", "top_down"):
                    looks = by_their_looks(scratch / name / route, clips[1], scratch)
                    result["by_their_looks"] = looks
                if args.out:
                    args.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
