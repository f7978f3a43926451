"""Behaviour from the video alone: BEAST embeddings against true keypoints of virtual animals.

Six virtual animals filmed from above, and six pairs. BEAST learns from the videos of all of them,
without labels; then TCNs learn the labels of four and name behaviours of the other two, three
times, so that each is named once. Features are the true keypoints, the CLS token of a frame, its
patch tokens, pooled by attention, or, as a control, as many pixels of the shrunken frame as a
token has numbers. Of a pair, what is named is how many of the two walk.

    python benchmarks/actions_embeddings.py --out benchmarks/results/actions_embeddings.json
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

import cv2
import numpy as np
import torch

import tinbergen as tb
from machine import describe_machine
from tinbergen.actions import TCN, Decoder, FeatureConfig, features_of
from tinbergen.actions.choosing import decoding_scores
from tinbergen.files import write_json
from tinbergen.recordings import Dataset, Recording

ANIMALS, SECONDS, FPS, SIZE, PATCH = 6, 40.0, 15.0, (96, 128), 16
STEPS, EPOCHS, WINDOW = 300, 40, 7
FOLDS = ((0, 1), (2, 3), (4, 5))
TOKENS = SIZE[0] // PATCH * (SIZE[1] // PATCH)
BODY = {"front": "nose", "middle": "back", "back": "tail_base"}
COUNTS = ("nobody walks", "one walks", "both walk")
BEAST = {
    "encoder": {"image_size": SIZE, "channels": 1, "patch": PATCH},
    "frames": {"per_video": 400},
}
FEATURES: dict[str, dict[str, Any]] = {
    "keypoints": {},
    "pixels": {},
    "cls": {},
    "patch": {"tokens": TOKENS},
}
SMALL = (16, 12)  # px: 192 numbers, as many as a token has


def main() -> None:
    """Simulate, learn, score; print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--views", nargs="+", default=["single", "pair"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    result = json.loads(options.out.read_text()) if options.out.is_file() else {}
    result["machine"] = describe_machine()
    for view in options.views:
        with tempfile.TemporaryDirectory() as folder:
            features, codes, classes, seconds = prepare(Path(folder), 1 + (view == "pair"))
            result[view] = {"cpu_s": seconds, "classes": classes, "rows": {}}
            for name, settings in FEATURES.items():
                begin = time.process_time()
                scores = [
                    score(features[name], codes, classes, settings, seed) for seed in options.seeds
                ]
                row = {k: round(float(np.mean([s[k] for s in scores])), 4) for k in scores[0]}
                row["deviation"] = round(float(np.std([s["macro_f1"] for s in scores])), 4)
                spent = (time.process_time() - begin) / len(scores) / len(FOLDS)
                result[view]["rows"][name] = {**row, "train_cpu_s": round(spent, 1)}
                print(view, name, result[view]["rows"][name], flush=True)
                write_json(options.out, result)


def prepare(folder: Path, individuals: int):
    """Return ``(time, feature)`` of each animal by name of features, codes, classes, CPU-s."""
    begin = time.process_time()
    data = tb.simulate(
        folder / "study",
        animals=ANIMALS,
        individuals=individuals,
        duration=SECONDS,
        fps=FPS,
        size=SIZE,
        views=("top",),
        seed=0,
    )
    seconds = {"simulation": time.process_time() - begin}
    begin = time.process_time()
    run = tb.beast.pretrain(data, folder / "beast", size="ti", steps=STEPS, overrides=BEAST)
    seconds["pretraining"] = time.process_time() - begin
    begin = time.process_time()
    found = tb.beast.embed(run, data, folder / "embeddings", tokens=("cls", "patch"))
    seconds["embedding"] = time.process_time() - begin
    config = FeatureConfig.model_validate(
        BODY | ({"sets": ("social",)} if individuals > 1 else {})
    )
    features = {
        "keypoints": [features_of(each, config).series.values for each in data.values()],
        "pixels": [pixels(each) for each in data.values()],
        "cls": [found[name].series("cls").values for name in data],
        "patch": [found[name].series("patch").values for name in data],
    }
    codes, classes = targets(data, individuals)
    return features, codes, classes, {name: round(each, 1) for name, each in seconds.items()}


def pixels(recording: Recording) -> np.ndarray:
    """Return ``(time, pixel)`` grey values of the shrunken frames."""
    (video,) = recording.videos.values()
    frames = video.view(gray=True).frames(np.arange(video.n_frames)).frames
    small = [cv2.resize(each, SMALL, interpolation=cv2.INTER_AREA) for each in frames]
    return np.stack(small).reshape(len(frames), -1).astype(np.float32)


def targets(data: Dataset, individuals: int) -> tuple[list[np.ndarray], list[str]]:
    """Return codes ``(time,)`` of each recording, and names of the classes."""
    streams = [(each["behaviour"], each["keypoints"].times) for each in data.values()]
    if individuals == 1:
        classes = list(streams[0][0].classes)
        return [labels.codes(times) for labels, times in streams], classes
    walk = [
        np.sum(
            [labels.intervals("walk", who).contains(times) for who in labels.individuals], axis=0
        )
        for labels, times in streams
    ]
    return walk, list(COUNTS)


def score(
    x: list[np.ndarray], y: list[np.ndarray], classes: list[str], settings: dict, seed: int
) -> dict[str, float]:
    """Return the scores of all animals, each named by a network that has not seen it."""
    found: list[np.ndarray] = [np.empty(0)] * len(x)
    for held in FOLDS:
        train = [i for i in range(len(x)) if i not in held]
        shape = {"stride": 2, "blocks": 3, "length": 300, "scaling": "session"}
        model = TCN(**settings, **shape, epochs=EPOCHS, random_state=seed)
        model.fit([x[i] for i in train], [y[i] for i in train], classes=classes)
        decoder = Decoder(window=WINDOW).fit([y[i] for i in train], len(classes))
        decoded = decoder.decode(model.predict_proba([x[i] for i in held]))
        for i, each in zip(held, decoded, strict=True):
            found[i] = each
    return decoding_scores(y, found, len(classes))


if __name__ == "__main__":
    main()
