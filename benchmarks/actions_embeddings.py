"""Behaviour from the video alone: BEAST embeddings against true keypoints of virtual animals.

Four virtual animals, filmed obliquely by four rigs, and four pairs. BEAST learns from the videos
of all of them, without labels; then TCNs learn labels and name behaviours, by two protocols:
``time``, other minutes of the same animals (three blocks in turn), and ``animals``, an animal and
rig that no label was seen of (each in turn). A single animal is seen by a window that goes with
it; of a pair, seen whole, what is named is how many of the two walk. Features are

- ``keypoints``: features of the true keypoints, as ``tinbergen actions`` makes them;
- ``path``: speed of the window alone (a single animal), or motion energy (a pair);
- ``pixels``, ``cls``, ``texture``: 32 principal components of the frames, of the embedding's CLS
  token, of its texture, with their absolute changes and the path;
- ``patch``: all patch tokens, pooled by attention that is learned from the labels (first seed).

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
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from sklearn.decomposition import PCA

import tinbergen as tb
from machine import describe_machine
from tinbergen.actions import TCN, Decoder, FeatureConfig, features_of
from tinbergen.actions.choosing import decoding_scores
from tinbergen.files import write_json
from tinbergen.recordings import AnimalView, Dataset, FrameSource, Recording

ANIMALS, SECONDS, FPS, SIZE, WINDOW = 4, 180.0, 15.0, (96, 128), 64
STEPS, EPOCHS, MEAN, COMPONENTS = 300, 40, 7, 32
BLOCKS, GAP = 3, 8  # of the time; frames beside a block that nobody learns from
BODY = {"front": "nose", "middle": "back", "back": "tail_base"}
COUNTS = ("nobody walks", "one walks", "both walk")
NETWORK = {
    "decoder": {"width": 128, "depth": 2, "heads": 4},
    "frames": {"per_video": 1000, "select": "uniform"},
    "objective": {"freeze_embedding": False},
}
ENCODERS = {
    "single": {"image_size": (WINDOW, WINDOW), "channels": 1, "patch": 8, "depth": 6},
    "pair": {"image_size": SIZE, "channels": 1, "patch": 16, "depth": 6},
}
SMALL = 16  # px: side of the shrunken frames


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
            features, codes, classes, seconds = prepare(Path(folder), view)
        result[view] = {"cpu_s": seconds, "classes": classes, "rows": {}}
        for name, (x, tokens) in features.items():
            begin = time.process_time()
            seeds = options.seeds if tokens == 1 else options.seeds[:1]
            row = {
                protocol: means([score(x, codes, classes, tokens, fold, s) for s in seeds])
                for protocol, fold in (("time", by_time(codes)), ("animals", by_animal(codes)))
            }
            fits = len(seeds) * (BLOCKS + ANIMALS)
            row["cpu_s_a_fit"] = round((time.process_time() - begin) / fits, 1)
            result[view]["rows"][name] = row
            print(view, name, row, flush=True)
            write_json(options.out, result)


def means(scores: list[dict[str, float]]) -> dict[str, float]:
    """Return means over seeds, and the deviation of macro F1."""
    row = {k: round(float(np.mean([s[k] for s in scores])), 3) for k in scores[0]}
    return row | {"deviation": round(float(np.std([s["macro_f1"] for s in scores])), 3)}


def prepare(folder: Path, view: str):
    """Return ``{features: ([(time, feature)], tokens)}``, codes, classes and CPU-seconds."""
    begin = time.process_time()
    seconds, pair = {}, view == "pair"
    data = tb.simulate(
        folder / "study", animals=ANIMALS, individuals=1 + pair, duration=SECONDS, fps=FPS,
        size=SIZE, views=("oblique",), seed=0,
    )  # fmt: skip
    seconds["simulation"] = time.process_time() - begin
    begin = time.process_time()
    seen = {name: _seen(each, pair) for name, each in data.items()}
    alone = Dataset([replace(each, streams={"video": seen[name]}) for name, each in data.items()])
    overrides = NETWORK | {"encoder": ENCODERS[view]}
    run = tb.beast.pretrain(
        alone, folder / "beast", size="ti", steps=STEPS, overrides=overrides, evaluate=False
    )
    seconds["pretraining"] = time.process_time() - begin
    begin = time.process_time()
    tokens = ("cls", "texture", "patch")
    found = tb.beast.embed(run, alone, folder / "embeddings", tokens=tokens)
    seconds["embedding"] = time.process_time() - begin
    config = FeatureConfig.model_validate(BODY | ({"sets": ("social",)} if pair else {}))
    small = [_shrunken(each) for each in seen.values()]
    paths = [_energy(each) for each in small] if pair else [_speed(each) for each in seen.values()]
    patches = [found[name].series("patch").values for name in data]
    count = int(np.prod(ENCODERS[view]["image_size"]) / ENCODERS[view]["patch"] ** 2)
    features: dict[str, tuple[list[np.ndarray], int]] = {
        "keypoints": ([features_of(each, config).series.values for each in data.values()], 1),
        "path": (paths, 1),
        "pixels": (_reduced(small, paths), 1),
    }
    for name in ("cls", "texture"):
        values = [found[each].series(name).values for each in data]
        features[name] = (_reduced(values, paths), 1)
    features["patch"] = ([each.reshape(len(each), -1) for each in patches], count)
    codes, classes = targets(data, pair)
    return features, codes, classes, {name: round(each, 1) for name, each in seconds.items()}


def _seen(recording: Recording, pair: bool) -> FrameSource:
    (video,) = recording.videos.values()
    return video if pair else AnimalView(video, WINDOW)


def _shrunken(video: FrameSource) -> np.ndarray:
    frames = video.view(gray=True).frames(np.arange(video.n_frames)).frames
    shape = (SMALL, SMALL)
    small = [cv2.resize(each, shape, interpolation=cv2.INTER_AREA) for each in frames]
    return np.stack(small).reshape(len(frames), -1).astype(np.float32)


def _speed(view: FrameSource) -> np.ndarray:
    """``(time, 3)``: speed of the window, also of its smoothed path, and the change of that."""
    assert isinstance(view, AnimalView)
    steps = np.gradient(view.places.values.astype(float), axis=0)
    smooth = np.stack([np.convolve(each, np.ones(5) / 5, "same") for each in steps.T])
    speed = np.hypot(*smooth)
    return np.column_stack([np.hypot(*steps.T), speed, np.abs(np.gradient(speed))])


def _energy(frames: np.ndarray) -> np.ndarray:
    return np.abs(np.diff(frames, axis=0, prepend=frames[:1])).mean(axis=1, keepdims=True)


def _reduced(values: list[np.ndarray], paths: list[np.ndarray]) -> list[np.ndarray]:
    """Components of all frames, which need no labels, their absolute changes, and the path."""
    flat = [each.reshape(len(each), -1) for each in values]
    pca = PCA(COMPONENTS, random_state=0).fit(np.concatenate(flat))
    found = []
    for each, path in zip(flat, paths, strict=True):
        x = pca.transform(each)
        change = np.abs(np.diff(x, axis=0, prepend=x[:1]))
        found.append(np.concatenate([x, change, path], axis=1).astype(np.float32))
    return found


def targets(data: Dataset, pair: bool) -> tuple[list[np.ndarray], list[str]]:
    """Return codes ``(time,)`` of each recording, and names of the classes."""
    streams = [(each["behaviour"], each["keypoints"].times) for each in data.values()]
    if not pair:
        classes = list(streams[0][0].classes)
        return [labels.codes(times) for labels, times in streams], classes
    walk = [
        np.sum(
            [labels.intervals("walk", who).contains(times) for who in labels.individuals], axis=0
        )
        for labels, times in streams
    ]
    return walk, list(COUNTS)


Part = tuple[int, slice]
"""Recording, and some of its frames."""


def by_time(codes: list[np.ndarray]) -> list[tuple[list[Part], list[Part]]]:
    """Return what each fold learns from and names: blocks of all recordings."""
    folds = []
    for k in range(BLOCKS):
        train, test = [], []
        for i, each in enumerate(codes):
            start, stop = len(each) * k // BLOCKS, len(each) * (k + 1) // BLOCKS
            test.append((i, slice(start, stop)))
            sides = (slice(0, start - GAP), slice(stop + GAP, len(each)))
            train += [(i, side) for side in sides if 0 <= side.start < side.stop]
        folds.append((train, test))
    return folds


def by_animal(codes: list[np.ndarray]) -> list[tuple[list[Part], list[Part]]]:
    """Return what each fold learns from and names: whole recordings."""
    every = [(i, slice(0, len(each))) for i, each in enumerate(codes)]
    return [([part for part in every if part[0] != i], [every[i]]) for i in range(len(codes))]


def score(
    x: list[np.ndarray],
    y: list[np.ndarray],
    classes: list[str],
    tokens: int,
    folds: list[tuple[list[Part], list[Part]]],
    seed: int,
) -> dict[str, float]:
    """Return scores of all frames, each named by a network that has not seen its label."""
    truth, found = [], []
    for train, test in folds:
        shape: dict[str, Any] = {"stride": 2, "blocks": 3, "length": 300}
        model = TCN(tokens=tokens, **shape, epochs=EPOCHS, random_state=seed)
        labels = [y[i][rows] for i, rows in train]
        model.fit([x[i][rows] for i, rows in train], labels, classes=classes)
        decoder = Decoder(window=MEAN).fit(labels, len(classes))
        found += decoder.decode(model.predict_proba([x[i][rows] for i, rows in test]))
        truth += [y[i][rows] for i, rows in test]
    return decoding_scores(truth, found, len(classes))


if __name__ == "__main__":
    main()
