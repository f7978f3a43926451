"""Material of the report's figures: embedding map, reconstructions, a clip with its trace."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd

from tinbergen.beast.cache import FrameCache
from tinbergen.beast.embedder import Embedder
from tinbergen.beast.reconstruction import judged_frames
from tinbergen.beast.samples import Sample, behaviour_at
from tinbergen.files import atomic_write, ensure_output_folder, write_csv, write_json
from tinbergen.recordings import Dataset
from tinbergen.training import RunFolder

_ROWS = 6
_CLIP = 120
_MAP_PERPLEXITY = 30


def write_figures(
    run: RunFolder,
    dataset: Dataset,
    frames: FrameCache,
    embedder: Embedder,
    sample: Sample,
    cls: np.ndarray,
) -> None:
    """Write ``diagnostics/`` of a run.

    Parameters
    ----------
    sample, cls
        Frames of all videos and their CLS tokens, ``(n, width)``.
    """
    folder = ensure_output_folder(run.path / "diagnostics")
    captions: dict[str, Any] = {}
    axes = _Axes(cls)
    captions["embedding_map"] = _write_map(folder, dataset, sample, cls)
    backgrounds = sample.backgrounds
    judged = judged_frames(run, frames, backgrounds, _ROWS)
    if judged is not None:
        rows, held_out, result = judged
        pictures = result.pictures
        _save(folder / "reconstructions.npy", pictures[..., 0] if _is_gray(pictures) else pictures)
        index = frames.index.iloc[rows]
        captions["reconstructions"] = {
            "columns": ["frame", "masked input", "reconstruction"],
            "rows": [
                {
                    "recording": str(recording),
                    "time": float(time),
                    "error": float(error),
                    "split": "held out" if held_out else "training",
                }
                for recording, time, error in zip(
                    index["recording"], index["time"], result.error, strict=True
                )
            ],
            "error_name": "MSE of hidden patches",
            "note": "Visible patches are pasted into the reconstruction.",
        }
    captions["clip"] = _write_clip(folder, dataset, frames, embedder, backgrounds, axes)
    write_json(folder / "figures.json", captions)


class _Axes:
    """Principal axes of the CLS tokens, for traces in units of their deviation."""

    def __init__(self, cls: np.ndarray):
        self.mean = cls.mean(axis=0)
        _, values, axes = np.linalg.svd(cls - self.mean, full_matrices=False)
        self.axes = axes[:3]
        self.deviation = np.maximum(values[:3] / np.sqrt(len(cls)), 1e-9)

    def __call__(self, cls: np.ndarray) -> np.ndarray:
        return (cls - self.mean) @ self.axes.T / self.deviation


def _write_map(folder: Any, dataset: Dataset, sample: Sample, cls: np.ndarray) -> dict[str, Any]:
    from sklearn.manifold import TSNE

    z = (cls - cls.mean(axis=0)) / (cls.std(axis=0) + 1e-9)
    if len(z) >= 3 * _MAP_PERPLEXITY and z.any():  # all alike: there is nothing to arrange
        method = "t-SNE of CLS tokens"
        labels = {"x_label": "t-SNE 1", "y_label": "t-SNE 2"}
        xy = TSNE(perplexity=_MAP_PERPLEXITY, init="pca", random_state=0).fit_transform(z)
    else:
        method = "PCA of CLS tokens"
        _, values, axes = np.linalg.svd(z - z.mean(axis=0), full_matrices=False)
        share = values**2 / max((values**2).sum(), 1e-12)
        labels = {
            "x_label": f"PC 1 ({share[0]:.0%})",
            "y_label": f"PC 2 ({share[min(1, len(share) - 1)]:.0%})",
        }
        xy = z @ axes[:2].T
        xy = np.pad(xy, ((0, 0), (0, 2 - xy.shape[1])))
    table = pd.DataFrame(
        {"x": xy[:, 0], "y": xy[:, 1], "recording": sample.recording, "time": sample.time}
    )
    behaviour = _behaviours(dataset, sample)
    if behaviour is not None:
        table["behaviour"] = behaviour
    write_csv(folder / "embedding_map.csv", table)
    return {"method": method, **labels, "units": {"time": "s"}}


def _behaviours(dataset: Dataset, sample: Sample) -> np.ndarray | None:
    result = np.full(len(sample), "", dtype=object)
    found = False
    for name in np.unique(sample.recording):
        recording = str(name) if str(name) in dataset else str(name).rpartition("/")[0]
        rows = sample.recording == name
        behaviours = behaviour_at(dataset, recording, sample.time[rows])
        if behaviours is not None:
            result[rows], found = behaviours, True
    return result if found else None


def _write_clip(
    folder: Any,
    dataset: Dataset,
    frames: FrameCache,
    embedder: Embedder,
    backgrounds: np.ndarray | None,
    axes: _Axes,
) -> dict[str, Any]:
    """Show consecutive frames of the first video with the leading axes of CLS beside them."""
    entry = frames.videos[0]
    video = embedder.source(dataset[entry.recording].videos[entry.stream])
    step = max(1, round(video.fps / 25)) if np.isfinite(video.fps) else 1
    n = min(_CLIP, video.n_frames // step)
    start = max(0, (video.n_frames - n * step) // 2)
    batch = video.frames(np.arange(start, start + n * step, step))
    shape = (-1, video.height, video.width, video.channels)
    images = batch.frames.reshape(shape)
    trace = np.full((len(images), 3), np.nan)
    sound = np.flatnonzero(batch.status == 0)
    for rows in np.array_split(sound, max(1, len(sound) // 32)):
        if len(rows):
            seen = None if backgrounds is None else backgrounds[0]
            values = axes(embedder.encode(images[rows], seen)["cls"])
            trace[rows, : values.shape[1]] = values
    _save(folder / "clip_frames.npy", images[..., 0] if _is_gray(images) else images)
    table = pd.DataFrame(trace, columns=["PC 1", "PC 2", "PC 3"])
    table.insert(0, "time", batch.times)
    behaviours = behaviour_at(dataset, entry.recording, batch.times)
    if behaviours is not None:
        table["behaviour"] = behaviours
    write_csv(folder / "clip.csv", table)
    return {"recording": entry.recording, "units": {f"PC {i}": "z" for i in (1, 2, 3)}}


def _is_gray(images: np.ndarray) -> bool:
    return images.shape[-1] == 1


def _save(path: Any, values: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    with atomic_write(path, "wb") as file:
        file.write(buffer.getvalue())
