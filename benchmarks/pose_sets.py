"""Labelled sets of one animal, and how their frames are split, for the benchmarks of poses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tinbergen.pose import open_labels
from tinbergen.pose.labels import image_name
from tinbergen.recordings import LabelledFrames

# Rows of the table that torch's generator with seed 42 deals out, as in Lightning Pose.
TEST = (3, 4, 9, 21, 44, 47, 48, 58, 75)
VALIDATION = (15, 30, 41, 50, 51, 52, 64, 83, 89)


@dataclass(frozen=True)
class PoseSet:
    """A set of labelled frames with a video of the same rig.

    Attributes
    ----------
    folder
        The project.
    labels
        All labelled frames.
    names
        Of the images.
    parts
        Rows under ``train``, ``validation`` and ``test``.
    """

    folder: Path
    labels: LabelledFrames
    names: tuple[str, ...]
    parts: dict[str, np.ndarray]

    @property
    def video(self) -> Path:
        """The video that has no labels."""
        return next(iter(sorted((self.folder / "videos").glob("*.mp4"))))

    def split(self, n_train: int | None = None, seed: int = 0) -> dict[str, list[str]]:
        """Image names of each part; of those to train on ``n_train``, chosen by ``seed``."""
        rows = dict(self.parts)
        if n_train is not None and n_train < len(rows["train"]):
            shuffled = np.random.default_rng([seed, 0x1AB]).permutation(rows["train"])
            rows["train"] = np.sort(shuffled[:n_train])
        return {part: [self.names[row] for row in each] for part, each in rows.items()}


def mirror_mouse(folder: Path) -> PoseSet:
    """Lightning Pose's example, with the split that Lightning Pose makes: 72, 9 and 9 frames."""
    held = {"test": np.array(TEST), "validation": np.array(VALIDATION)}
    return _split(folder, held)


def open_field(folder: Path) -> PoseSet:
    """DeepLabCut's example, 80, 10 and 10 % of its 116 frames by numpy's generator with seed 0."""
    order = np.random.default_rng(0).permutation(116)
    return _split(folder, {"test": order[:12], "validation": order[12:24]})


def folds(chosen: PoseSet, number: int, only: Sequence[int] | None = None) -> dict[int, PoseSet]:
    """Return the set ``number`` times; every frame is in the test of one of them.

    Validation frames are as many, drawn from the others. ``only`` names some, counted from 0.
    """
    n = len(chosen.names)
    wanted = range(number) if only is None else only
    if number and not 3 <= number <= n:
        raise SystemExit(f"--folds: expected 3 to {n}, found {number}.")
    if odd := set(wanted) - set(range(number)):
        raise SystemExit(f"--only {min(odd)}: there is no such fold of {number}, from 0.")
    found = {}
    for i in wanted:
        part = np.array_split(np.random.default_rng(0).permutation(n), number)[i]
        rest = np.setdiff1d(np.arange(n), part)
        validation = np.random.default_rng([1, i]).choice(rest, len(part), replace=False)
        train = np.setdiff1d(rest, validation)
        parts = {"test": part, "validation": validation, "train": train}
        found[i] = replace(chosen, parts=parts)
    return found


def _split(folder: Path, held: dict[str, np.ndarray]) -> PoseSet:
    labels = open_labels(folder)
    rest = np.setdiff1d(np.arange(len(labels)), np.concatenate([*held.values()]))
    names = tuple(image_name(path) for path in labels.images)
    return PoseSet(folder, labels, names, {**held, "train": rest})
