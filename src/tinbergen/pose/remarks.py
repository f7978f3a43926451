"""What a pose run keeps and says of its labelled images before it begins."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tinbergen.pose.config import PoseConfig
from tinbergen.pose.context import neighbours
from tinbergen.pose.labels import LabelledImages
from tinbergen.training import RunFolder

_SHOWN = 3
_NEARLY = 0.9


def label_size(images: LabelledImages) -> list[int]:
    """Most common ``[height, width]`` of the images, px."""
    width, height = _sizes(images)[0][0]
    return [height, width]


def remark(run: RunFolder, images: LabelledImages, parts: Mapping[str, np.ndarray]) -> None:
    """Keep what was lost and the mean pose; say where images are not alike or tests are kind."""
    train = parts["train"]
    known = np.isfinite(images.positions[train])
    total = np.where(known, images.positions[train], 0).sum(axis=0)
    n = known.sum(axis=0)
    # What is never labelled in training has no mean; JSON has no NaN.
    mean = total / np.maximum(n, 1)
    mean_pose = np.where(n > 0, mean.astype(object), np.array(None)).tolist()
    run.update_status(losses=list(images.lost), label_size=label_size(images), mean_pose=mean_pose)
    if images.context and _only_numbered(images):
        run.note(
            "context: nearly every labelled image has another one before or after it by number. "
            "If they are numbered from 0 on and not by their frame in the video, these are no "
            "neighbours in time, and context only harms: leave it at 0."
        )
    if len(sizes := _sizes(images)) > 1:
        text = "; ".join(
            f"{len(names)} of {width} x {height} px ({', '.join(names[:_SHOWN])}"
            f"{', ...' if len(names) > _SHOWN else ''})"
            for (width, height), names in sizes
        )
        run.note(f"The labelled images differ in size: {text}. Each is scaled to fit.")
    if set(images.groups[parts["test"]]) & set(images.groups[train]):
        run.note(
            "The test frames are from recordings that were trained on, so the scores are kinder "
            "than a new recording would be. Label some frames of one more recording and score "
            "those with 'tinbergen pose evaluate'."
        )


def plan(config: PoseConfig, images: LabelledImages, parts: Mapping[str, np.ndarray]) -> str:
    """Say in one sentence or two what a run is going to learn from."""
    counts = ", ".join(f"{len(rows)} {name}" for name, rows in parts.items() if len(rows))
    labelled = int(np.isfinite(images.positions).all(axis=-1).sum())
    height, width = config.size
    return (
        f"{len(images)} labelled frames ({counts}) in {len(np.unique(images.groups))} folders, "
        f"{labelled} labels of {config.n_maps} keypoints; seen at {width} x {height} px, "
        f"{'gray' if config.channels == 1 else 'RGB'}. {config.train.steps} steps of "
        f"{config.train.batch_size} frames."
    )


def _sizes(images: LabelledImages) -> list[tuple[tuple[int, int], list[str]]]:
    """Sizes ``(width, height)`` of the images, px, and names of those that have it; most first."""
    sizes: dict[tuple[int, int], list[str]] = {}
    for name, geometry in zip(images.names, images.geometries, strict=True):
        _, _, width, height = geometry.roi
        sizes.setdefault((width, height), []).append(name)
    return sorted(sizes.items(), key=lambda item: -len(item[1]))


def _only_numbered(images: LabelledImages) -> bool:
    """Whether most labelled images have a labelled one before or after them by number."""
    paths = [Path(name) for name in images.names]
    known = set(paths)
    beside = [len(known & set(neighbours(path, 1))) > 1 for path in paths]
    return bool(np.mean(beside) >= _NEARLY)
