"""Small sound files of every format that is read, and what they hold by another reader's account.

A format knows how to write a file, how Tinbergen reads it, and how somebody else would: h5py,
numpy, Python's csv, PyYAML. Where both read a broken file and differ, Tinbergen is wrong.
"""

from __future__ import annotations

import csv
import io
import json
import math
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import operators
import pandas as pd
import yaml

from tinbergen.beast.config import beast_config
from tinbergen.configuration import read_yaml
from tinbergen.encoding import Ridge
from tinbergen.nn.weights import read_tensors
from tinbergen.recordings import (
    Dataset,
    Keypoints,
    Labels,
    Recording,
    Series,
    Spikes,
    Trials,
    Video,
    read_array,
    read_keypoints,
    read_labels,
    read_nwb,
    read_series,
    read_spikes,
    read_trials,
    write_dlc_csv,
    write_dlc_h5,
    write_labels,
    write_nwb,
    write_sleap,
    write_sleap_analysis,
    write_video,
)
from tinbergen.training import RunFolder
from tinbergen.training.checkpoint import Checkpoints

Values = list[Any]
FPS = 30.0


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes
    ----------
    write
        Writes a sound one into a folder and returns the file to be broken.
    read
        Returns what Tinbergen finds.
    other
        Returns what another reader finds, or raises; None: whatever is read has to be the
        original, for the format has a checksum.
    broken
        How it gets broken.
    """

    write: Callable[[Path], Path]
    read: Callable[[Path], Values]
    other: Callable[[Path], Values] | None
    broken: Sequence[operators.Operator]


# ---- what is written


def _keypoints(n: int = 60) -> Keypoints:
    chance = np.random.default_rng(0)
    positions = chance.uniform(0, 100, (n, 1, 3, 2)).round(3)
    positions[5:9, 0, 1] = np.nan
    confidence = np.where(np.isnan(positions[..., 0]), np.nan, chance.uniform(0, 1, (n, 1, 3)))
    return Keypoints(np.arange(n) / FPS, positions, confidence.round(3), ("nose", "ear", "tail"))


def _labels() -> Labels:
    starts = np.arange(0, 30, 3.0)
    names = ["walk", "rear", "groom", "rest", "walk"] * 2
    table = pd.DataFrame({"start": starts, "stop": starts + 2.5, "label": names})
    return Labels(table, ("walk", "rear", "groom", "rest"))


def _spikes() -> Spikes:
    chance = np.random.default_rng(1)
    times, units = np.sort(chance.uniform(0, 30, 500)), chance.integers(0, 5, 500)
    return Spikes(times, units, pd.DataFrame({"region": list("AABBC")}, index=range(5)))


def _wheel() -> Series:
    times = np.arange(0, 30, 0.1)
    values = np.stack([np.sin(times), np.cos(times)], axis=1).round(5)
    return Series(times, values, ("position", "velocity"), "rad")


def _trials() -> Trials:
    start = np.arange(1.0, 29, 2)
    side = np.where(np.arange(len(start)) % 2, "left", "right")
    return Trials(pd.DataFrame({"start": start, "stop": start + 1, "side": side}))


def _saved(name: str, save: Callable[[Path], Any]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        save(folder / name)
        return folder / name

    return write


# ---- how Tinbergen reads it


def _of_keypoints(path: Path) -> Values:
    found = read_keypoints(path, fps=FPS)
    return [found.times, found.positions, found.confidence, *found.keypoints]


def _of_labels(path: Path) -> Values:
    table = read_labels(path).table
    return [table["start"].to_numpy(), table["stop"].to_numpy(), *table["label"]]


def _of_spikes(path: Path) -> Values:
    found = read_spikes(path)
    return [found.times, found.units, *found.table["region"]]


def _of_series(path: Path) -> Values:
    found = read_series(path)
    return [found.times, found.values, *found.channels]


def _of_trials(path: Path) -> Values:
    table = read_trials(path).table
    return [table["start"].to_numpy(), table["stop"].to_numpy(), *map(str, table["side"])]


def _of_nwb(path: Path) -> Values:
    found = read_nwb(path)
    if missing := {"spikes", "trials", "wheel"} - set(found.streams):
        return ["told"] if found.notes else ["lost", *missing]
    spikes, trials, wheel = (found[name] for name in ("spikes", "trials", "wheel"))
    order = np.lexsort((spikes.times, spikes.units))
    return [
        *(spikes.times[order], np.bincount(spikes.units, minlength=len(spikes.table))),
        *(trials.table["start"].to_numpy(), trials.table["stop"].to_numpy()),
        *(wheel.times, wheel.values),
        *map(str, trials.table["side"]),
    ]


def _of_dataset(path: Path) -> Values:
    found = Dataset.open(path)
    return [
        text
        for name, recording in found.items()
        for text in (name, str(recording.subject), *map(str, sorted(recording.streams)))
    ]


def _of_settings(path: Path) -> Values:
    config = beast_config("beast", overrides=read_yaml(path)).model_dump(mode="json")
    return sorted(f"{name}={value}" for name, value in _leaves(config))


def _of_checkpoint(path: Path) -> Values:
    tensors, scalars, complaints = Checkpoints(path.parent).load_last() or ({}, {}, [])
    if complaints:  # it fell back on the one before, and says so
        return ["told"]
    return [scalars["step"], *(tensors[name].numpy() for name in sorted(tensors))]


def _of_run(path: Path) -> Values:
    one, other = RunFolder.open(path.parent).load_weights(), read_tensors(path)
    same = one.keys() == other.keys() and all((one[k] == other[k]).all() for k in one)
    return [*(one[name].numpy() for name in sorted(one)), same]


def _of_model(path: Path) -> Values:
    return [Ridge.load(path.parent).coef_]


def read_video(path: Path) -> Values:
    """Return (frame number by its time, pixels or None) of each frame, and what was told."""
    video = Video(path, gray=True)
    check = video.check()
    batch = video.frames(range(len(video)))
    numbers = np.round(video.times * FPS).astype(int)
    frames = [
        (int(number), frame if status == 0 else None)
        for number, frame, status in zip(numbers, batch.frames, batch.status, strict=True)
    ]
    return [frames, bool(check.problems or check.corrupt or check.missing)]


# ---- how others read it


def _text(path: Path) -> list[list[str]]:
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:  # as old programs write it
        text = data.decode("latin-1")
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    rows = [row for row in rows if row]
    if len({len(row) for row in rows}) != 1:
        raise ValueError("ragged")
    return rows


def _number(cell: str) -> float:
    return math.nan if cell.strip() in ("", "nan", "NaN") else float(cell)


def _dlc_csv(path: Path) -> Values:
    rows = _text(path)
    body = [row for row in rows if row[0] not in ("scorer", "bodyparts", "coords")]
    header = {row[0]: row[1:] for row in rows if row not in body}
    values = np.array([[_number(cell) for cell in row[1:]] for row in body])
    names = list(dict.fromkeys(header["bodyparts"]))
    places = list(zip(header["bodyparts"], header["coords"], strict=True))
    if len(set(places)) != len(places):
        raise ValueError("twice")

    def column(name: str, field: str) -> np.ndarray:
        return values[:, places.index((name, field))]

    positions = np.stack([[column(n, "x"), column(n, "y")] for n in names])
    confidence = np.stack([column(n, "likelihood") for n in names], axis=-1)[:, None]
    frames = np.array([int(row[0]) for row in body])
    return [frames / FPS, positions.transpose(2, 0, 1)[:, None], confidence, *names]


def _bouts_csv(path: Path) -> Values:
    header, *rows = _text(path)
    table = [dict(zip(header, row, strict=True)) for row in rows]
    table.sort(key=lambda row: (float(row["start"]), float(row["stop"])))
    spans = [np.array([float(row[key]) for row in table]) for key in ("start", "stop")]
    return [*spans, *(row["label"] for row in table)]


def _series_csv(path: Path) -> Values:
    header, *rows = _text(path)
    values = np.array([[_number(cell) for cell in row] for row in rows])
    return [values[:, 0], values[:, 1:], *header[1:]]


def _trials_csv(path: Path) -> Values:
    header, *rows = _text(path)
    table = [dict(zip(header, row, strict=True)) for row in rows]
    spans = [np.array([float(row[key]) for row in table]) for key in ("start", "stop")]
    return [*spans, *(row["side"] or "nan" for row in table)]


def _npz(*keys: str) -> Callable[[Path], Values]:
    def read(path: Path) -> Values:
        with zipfile.ZipFile(path) as file:
            if file.testzip():
                raise ValueError("checksum")
        with np.load(path) as file:
            found = [file[key] for key in keys]
            return [v for a in found for v in (a.tolist() if a.dtype.kind in "UO" else [a])]

    return read


def _dlc_h5(path: Path) -> Values:
    with h5py.File(path) as file:
        (group,) = file.values()
        rows = group["table"][:]
    values = rows["values_block_0"].reshape(len(rows), 3, 3)
    positions, confidence = values[:, None, :, :2], values[:, None, :, 2]
    return [rows["index"] / FPS, positions, confidence, "nose", "ear", "tail"]


def _analysis(path: Path) -> Values:
    with h5py.File(path) as file:
        tracks, scores = file["tracks"][:], file["point_scores"][:]
        names = [name.decode() for name in file["node_names"][:]]
    times = np.arange(tracks.shape[-1]) / FPS
    return [times, tracks.transpose(3, 0, 2, 1), scores.transpose(2, 0, 1), *names]


def _slp(path: Path) -> Values:
    with h5py.File(path) as file:
        frames, instances = file["frames"][:], file["instances"][:]
        points = file["pred_points"][:]
        names = [node["name"] for node in json.loads(file["metadata"].attrs["json"])["nodes"]]
    frames = np.sort(frames, order="frame_idx")
    n = len(frames)
    positions, scores = np.full((n, 1, 3, 2), np.nan), np.full((n, 1, 3), np.nan)
    for row, frame in enumerate(frames):
        for each in instances[frame["instance_id_start"] : frame["instance_id_end"]]:
            own = points[each["point_id_start"] : each["point_id_end"]]
            seen = own["visible"] & np.isfinite(own["x"])
            places = np.stack([own["x"], own["y"]], axis=1)
            positions[row, 0] = np.where(seen[:, None], places, np.nan)
            scores[row, 0] = np.where(seen, own["score"], np.nan)
    return [frames["frame_idx"] / FPS, positions, scores, *names]


def _nwb(path: Path) -> Values:
    with h5py.File(path) as file:
        units, trials = file["units"], file["intervals/trials"]
        ends = units["spike_times_index"][:]
        wheel = file["processing/behavior/wheel"]
        values = wheel["data"]
        scale, offset = (values.attrs.get(k, d) for k, d in (("conversion", 1), ("offset", 0)))
        return [
            *(units["spike_times"][:], np.diff(ends, prepend=0)),
            *(trials["start_time"][:], trials["stop_time"][:]),
            *(wheel["timestamps"][:], values[:] * scale + offset),
            *(side.decode() for side in trials["side"][:]),
        ]


def _yaml_dataset(path: Path) -> Values:
    tree = yaml.load(path.read_text("utf-8"), yaml.BaseLoader)  # texts: `yes` is no Boolean
    return [
        text
        for name, entry in tree["recordings"].items()
        for text in (str(name), entry.get("subject", "None"), *sorted(map(str, entry["streams"])))
    ]


def _yaml_settings(path: Path) -> Values:
    given = yaml.safe_load(path.read_text("utf-8")) or {}
    config = beast_config("beast").model_dump(mode="json")
    changed = {name: value for name, value in _leaves(given)}
    leaves = {name: value for name, value in _leaves(config)} | changed
    return sorted(f"{name}={value}" for name, value in leaves.items())


def _leaves(tree: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if not isinstance(tree, dict) or not tree:
        plain = float(tree) if isinstance(tree, int) and not isinstance(tree, bool) else tree
        return [(prefix, plain)]
    return [leaf for key, value in tree.items() for leaf in _leaves(value, f"{prefix}.{key}")]


# ---- files of several parts


def _write_dataset(folder: Path) -> Path:
    recordings = [
        Recording(f"day{n}", {"spikes": _spikes(), "wheel": _wheel()}, subject=f"mouse{n}")
        for n in range(2)
    ]
    Dataset(recordings).save(folder)
    return folder / "dataset.yaml"


def _write_settings(folder: Path) -> Path:
    text = (
        "encoder:\n  patch: 8\n  width: 64\n  heads: 4\naugment:\n  flip: 0.5\n  crop: 1.0\n"
        "train:\n  steps: 500\n  learning_rate: 0.001\n  batch_size: 32\n  device: cpu\n"
        "  grad_clip: 1.0\n  validate_every: 100\n"
    )
    (folder / "settings.yaml").write_text(text)
    return folder / "settings.yaml"


def _tensors() -> dict[str, Any]:
    import torch

    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(40, 8, generator=generator) for name in ("a", "b")}


def _write_checkpoint(folder: Path) -> Path:
    store = Checkpoints(folder)
    for step in (10, 20):
        store.save(step, _tensors(), {"epoch": step})
    return max(folder.glob("step_*.safetensors"))


def _write_run(folder: Path) -> Path:
    from tinbergen.training import TrainConfig

    run = RunFolder.create(folder / "run", TrainConfig(steps=3), seed=0)
    run.save_weights(_tensors())
    return run.weights_path


def _write_model(folder: Path) -> Path:
    chance = np.random.default_rng(0)
    x, y = chance.normal(size=(200, 5)), chance.normal(size=(200, 3))
    Ridge().fit(x, y).save(folder / "model")
    return folder / "model" / "weights.safetensors"


def _write_video(path: Path) -> None:
    rows = np.arange(64 * 48).reshape(48, 64) % 97
    frames = np.stack([np.roll(rows, 2 * k, axis=1) for k in range(60)]).astype(np.uint8) * 2
    write_video(path, frames, np.arange(60) / FPS)


def _write_nwb(path: Path) -> None:
    streams = {"spikes": _spikes(), "trials": _trials(), "wheel": _wheel()}
    write_nwb(path, Recording("day1", streams))


TABLES = (*operators.TABLE, operators.flip_bit)
FORMATS: dict[str, Format] = {
    "video (.mp4)": Format(_saved("v.mp4", _write_video), read_video, None, operators.BYTES),
    "keypoints (DeepLabCut .csv)": Format(
        _saved("k.csv", lambda p: write_dlc_csv(p, _keypoints())), _of_keypoints, _dlc_csv, TABLES
    ),
    "bouts (.csv)": Format(
        _saved("b.csv", lambda p: write_labels(p, _labels(), "bouts")),
        *(_of_labels, _bouts_csv, TABLES),
    ),
    "signals (.csv)": Format(
        _saved("s.csv", lambda p: _frame(_wheel()).to_csv(p, index=False)),
        *(_of_series, _series_csv, TABLES),
    ),
    "trials (.csv)": Format(
        _saved("t.csv", lambda p: _trials().write(p)), _of_trials, _trials_csv, TABLES
    ),
    "keypoints (DeepLabCut .h5)": Format(
        _saved("k.h5", lambda p: write_dlc_h5(p, _keypoints())),
        *(_of_keypoints, _dlc_h5, operators.BYTES),
    ),
    "keypoints (SLEAP .h5)": Format(
        _saved("a.h5", lambda p: write_sleap_analysis(p, _keypoints())),
        *(_of_keypoints, _analysis, operators.BYTES),
    ),
    "keypoints (SLEAP .slp)": Format(
        _saved("k.slp", lambda p: write_sleap(p, _keypoints(), "video.mp4")),
        *(_of_keypoints, _slp, operators.BYTES),
    ),
    "NWB": Format(_saved("n.nwb", _write_nwb), _of_nwb, _nwb, operators.BYTES),
    "spikes (.npz)": Format(
        _saved("s.npz", lambda p: _spikes().write(p)),
        *(_of_spikes, _npz("times", "units", "table/region"), operators.BYTES),
    ),
    "signals (.npz)": Format(
        _saved("w.npz", lambda p: _wheel().write(p)),
        *(_of_series, _npz("times", "values", "channels"), operators.BYTES),
    ),
    "arrays (.npy)": Format(
        _saved("x.npy", lambda p: np.save(p, _wheel().values)),
        *(lambda p: [read_array(p)], lambda p: [np.load(p)], operators.BYTES),
    ),
    "dataset.yaml": Format(_write_dataset, _of_dataset, _yaml_dataset, operators.YAML),
    "settings (.yaml)": Format(_write_settings, _of_settings, _yaml_settings, operators.YAML),
    "checkpoint": Format(_write_checkpoint, _of_checkpoint, None, operators.BYTES),
    "weights of a run": Format(_write_run, _of_run, None, operators.BYTES),
    "saved model": Format(_write_model, _of_model, None, operators.BYTES),
}


def _frame(series: Series) -> pd.DataFrame:
    columns = dict(zip(series.channels, series.values.T, strict=True))
    return pd.DataFrame({"time": series.times, **columns})
