"""A synthetic run folder, written as a room that scores something writes it."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # neural_run.py

HOSTILE = "<script>window.hacked=1</script><img src=x onerror=window.hacked=2>\"'&"
BEHAVIOURS = ("walk", "rear", "groom", "rest")
SCORE_COLUMNS = ["score", "recording", "kind", "name", "value", "null", "low", "high"]
SCORE_COLUMNS += ["unit", "direction", "n"]
VIDEO_COLUMNS = ["recording", "video", "n_frames", "ok", "corrupt", "missing", "fps", "duration"]
VIDEO_COLUMNS += ["width", "height", "damaged_frames", "damaged_times", "message"]
KEYPOINTS = ("nose", "ear left", "ear right", "paw front left", "paw front right", "tail base")


def write_run(path: Path, *, recordings: int = 6, name: str = "mouse {}", seed: int = 0) -> Path:
    """Write every file that the report reads, with plausible numbers."""
    rng = np.random.default_rng(seed)
    names = [name.format(i + 1) for i in range(recordings)]
    (path / "diagnostics").mkdir(parents=True)
    _write_summary(path, name.format(1))
    _write_metrics(path, rng)
    _write_scores(path, names, rng)
    _write_videos(path, names)
    _write_map(path, names, rng)
    _write_pictures(path, names, rng)
    _write_clip(path, names[0], rng)
    config = (
        "seed: 0\nmodel:\n  size: s\n  patch: 16\ntrain:\n  steps: 2000\n  learning_rate: 0.001\n"
    )
    (path / "config.yaml").write_text(f"{config}# {name}\n", encoding="utf-8")
    status = {"state": "done", "seed": 0, "versions": {"tinbergen": "0.1.0", "torch": "2.13.0"}}
    status["inputs"] = {
        n: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" for n in names
    }
    _write_json(path / "status.json", status)
    _write_json(path / "splits.json", {"train": names[:-1], "test": names[-1:]})
    return path


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def score(name, value, half, null, null_name, baselines, **more):
    interval = None if half is None else [value - half, value + half]
    return {
        "name": name,
        "value": value,
        "interval": interval,
        "interval_name": "95 % bootstrap over labelled frames",
        "null": null,
        "null_name": null_name,
        "direction": "higher",
        "baselines": [{"name": n, "value": v, "interval": i} for n, v, i in baselines],
        **more,
    }


def _write_summary(path: Path, name: str) -> None:
    keypoints = score(
        *("Keypoint probe", 19.6, 0.9, 40.2, "mean pose"),
        [("raw-pixel ridge", 22.0, [21.1, 22.9]), ("untrained network", 27.4, [26.2, 28.7])],
        **{"unit": "px", "direction": "lower", "n": 90, "n_name": "labelled frames"},
        split="9-fold cross-validation",
        method="Ridge from all patch tokens to keypoint positions.",
    )
    leakage = score(
        *("Video-identity leakage", 0.41, 0.05, 1 / 6, "chance"),
        [("raw pixels", 0.97, [0.95, 0.99]), ("untrained network", 0.88, [0.84, 0.92])],
        **{"direction": "lower", "verdict": "fair"},
        text="0.410 of held-out frames are given to their video; chance 0.167, raw pixels 0.970.",
    )
    lag = score("Time-lag probe", 0.58, 0.06, 0.5, "chance", [("raw pixels", 0.64, [0.6, 0.68])])
    top1 = score("InfoNCE top-1", 0.71, 0.03, 1 / 63, "chance", [("raw pixels", 0.68, None)])
    rank = score(
        "Effective rank", 12.3, None, 1.0, "collapsed", [("untrained network", 6.1, None)]
    )
    rank["unit"] = "dimensions"
    error = score("Masked reconstruction", 0.151, 0.01, 0.143, "mean image", [], direction="lower")
    summary = {
        "schema_version": 1,
        "room": "beast",
        "title": "BEAST pretraining, ViT-S/16",
        "trained_on": f"6 recordings of 4 animals ({name}, ...), 14 400 frames, 224 × 224 px",
        "seconds": 341.2,
        "headline": keypoints,
        "scores": [lag, leakage, top1, rank, error],
        "alarms": [
            {
                "name": "Collapse",
                "raised": False,
                "text": "effective rank 12.3 of 384; the alarm is below 4.",
            }
        ],
        "notes": ["Probes use 90 labelled frames only: intervals are wide."],
    }
    _write_json(path / "summary.json", summary)


def _write_metrics(path: Path, rng: np.random.Generator) -> None:
    with open(path / "metrics.jsonl", "w", encoding="utf-8") as file:
        for step in range(0, 2000, 10):
            decay = np.exp(-step / 500)
            row = {
                "step": step,
                "loss": 0.2 + 0.8 * decay + rng.normal(0, 0.02),
                "loss_reconstruction": 0.12 + 0.7 * decay + rng.normal(0, 0.02),
                "loss_infonce": 0.8 + 3.3 * decay + rng.normal(0, 0.1),
                "lr": 1e-3 * min(step / 300, 0.5 + 0.5 * np.cos(np.pi * step / 2000)),
                "infonce_top1": 0.7 - 0.6 * decay,
                "infonce_chance": 1 / 63,
                "items_per_s": 104 + rng.normal(0, 3),
                "data_s": 0.012 + rng.exponential(0.004),
                "compute_s": 0.29 + rng.normal(0, 0.01),
            }
            file.write(json.dumps(row) + "\n")
            if step % 200 == 0:
                held_out = {"step": step, "validation/loss_reconstruction": 0.15 + 0.7 * decay}
                file.write(json.dumps(held_out) + "\n")


def _write_scores(path: Path, names: list[str], rng: np.random.Generator) -> None:
    rows = []
    for keypoint in KEYPOINTS:
        for recording in ("", *names[:3]):
            value = rng.uniform(8, 30)
            rows.append(
                ["Keypoint probe", recording, "keypoint", keypoint, value, 40.2]
                + [value - 2, value + 2, "px", "lower", 90]
            )
    for recording in names:
        value = rng.uniform(0.2, 0.6)
        rows.append(
            ["Video-identity leakage", recording, "video", "", value, 1 / 6]
            + [None, None, "", "lower", 200]
        )
    pd.DataFrame(rows, columns=SCORE_COLUMNS).to_csv(path / "scores.csv", index=False)


def _write_videos(path: Path, names: list[str]) -> None:
    rows = [
        [n, f"videos/{n}.mp4", 1800, 1800, 0, 0, 30.0, 60.0, 256, 192, "", "", ""] for n in names
    ]
    rows[1][3:6] = 1776, 20, 4
    rows[1][10:] = "300-319;1200-1203", "10.0-10.633;40.0-40.1", "cut short by the acquisition"
    pd.DataFrame(rows, columns=VIDEO_COLUMNS).to_csv(path / "videos.csv", index=False)


def _write_map(path: Path, names: list[str], rng: np.random.Generator) -> None:
    n = 250 * len(names)
    recording, behaviour = rng.integers(len(names), size=n), rng.integers(len(BEHAVIOURS), size=n)
    angle = 2 * np.pi * behaviour / len(BEHAVIOURS)
    table = pd.DataFrame(
        {
            "x": 4 * np.cos(angle) + 0.3 * recording + rng.normal(0, 0.9, n),
            "y": 4 * np.sin(angle) + rng.normal(0, 0.9, n),
            "recording": np.asarray(names)[recording],
            "time": rng.uniform(0, 60, n),
            "behaviour": np.asarray(BEHAVIOURS)[behaviour],
            "speed": rng.gamma(2, 20, n),
        }
    )
    table.sort_values(["recording", "time"]).to_csv(
        path / "diagnostics/embedding_map.csv", index=False
    )


def scene(t: float, size=(120, 160)) -> np.ndarray:
    """Draw a bright ellipse that walks over a textured floor."""
    y, x = np.mgrid[: size[0], : size[1]]
    floor = 70 + 12 * np.sin(x / 7) * np.cos(y / 9)
    cx, cy = size[1] * (0.5 + 0.3 * np.cos(t)), size[0] * (0.5 + 0.3 * np.sin(1.3 * t))
    body = 170 * np.exp(-((((x - cx) / 18) ** 2 + ((y - cy) / 10) ** 2) ** 2))
    return np.clip(floor + body, 0, 255).astype(np.uint8)


def _write_pictures(path: Path, names: list[str], rng: np.random.Generator) -> None:
    pictures, rows = [], []
    for i in range(6):
        frame = scene(float(i))
        hidden = np.kron(rng.random((6, 8)) < 0.75, np.ones((20, 20), bool))
        blurred = np.clip(frame + rng.normal(0, 14, frame.shape), 0, 255).astype(np.uint8)
        pictures.append([frame, np.where(hidden, 128, frame), np.where(hidden, blurred, frame)])
        name = names[i % len(names)]
        rows.append(
            {"recording": name, "time": 2.5 * i, "error": 0.11 + 0.01 * i, "split": "held out"}
        )
    np.save(path / "diagnostics/reconstructions.npy", np.asarray(pictures, np.uint8))
    captions = {
        "embedding_map": {
            "method": "t-SNE of CLS tokens",
            "x_label": "t-SNE 1",
            "y_label": "t-SNE 2",
            "units": {"time": "s", "speed": "px/s"},
        },
        "reconstructions": {
            "columns": ["frame", "masked input", "reconstruction"],
            "rows": rows,
            "error_name": "MSE, masked patches",
        },
        "clip": {"recording": names[0], "units": {"PC 1": "z", "PC 2": "z", "speed": "px/s"}},
    }
    _write_json(path / "diagnostics/figures.json", captions)


def _write_clip(path: Path, name: str, rng: np.random.Generator) -> None:
    times = 12 + np.arange(90) / 15
    frames = np.stack([scene(t) for t in times])
    np.save(path / "diagnostics/clip_frames.npy", frames)
    table = pd.DataFrame(
        {
            "time": times,
            "PC 1": np.cos(times) + rng.normal(0, 0.1, len(times)),
            "PC 2": np.sin(1.3 * times) + rng.normal(0, 0.1, len(times)),
            "speed": np.abs(40 * np.sin(times)) + rng.normal(0, 2, len(times)),
            "behaviour": np.repeat(["walk", "rear", "walk", "groom", "rest"], 18),
        }
    )
    table.loc[40:43, ["PC 1", "PC 2"]] = np.nan
    table.to_csv(path / "diagnostics/clip.csv", index=False)


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Path:
    """A finished run."""
    return write_run(tmp_path_factory.mktemp("runs") / "mouse")


@pytest.fixture(scope="session")
def hostile_run(tmp_path_factory) -> Path:
    """A run whose names try to become markup and script."""
    return write_run(
        tmp_path_factory.mktemp("runs") / "hostile", name="m{} " + HOSTILE, recordings=4
    )
