"""Labelled frames as a network sees them: found, read, checked, and split."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from tinbergen.errors import DataError, MissingFileError
from tinbergen.files import content_hash
from tinbergen.pose.config import PoseConfig
from tinbergen.pose.context import neighbours
from tinbergen.recordings import LabelledFrames, read_labelled_frames
from tinbergen.recordings.geometry import Geometry

PREDICTED = ".json"  # beside a table of labels: the hash that it had when all were predictions
_OUTSIDE = 0.05  # of the image's size: labels farther out belong to another image
_LEAST_GROUPS = 5

Labels = LabelledFrames | str | os.PathLike
Split = Mapping[str, Sequence[str]]


def open_labels(source: Labels | Sequence[Labels]) -> LabelledFrames:
    """Read labelled frames from wherever they are.

    Parameters
    ----------
    source
        A ``CollectedData*.csv``; a Lightning Pose project (a folder with ``CollectedData.csv``); a
        DeepLabCut project, or any folder with ``labeled-data/*/CollectedData*.csv``; labelled
        frames that were read before; or several of these with the same keypoints.

    Raises
    ------
    MissingFileError
        If there is nothing of the kind.
    DataError
        If a table is not as it should be, or several have different keypoints.
    """
    if isinstance(source, LabelledFrames):
        return source
    if not isinstance(source, str | os.PathLike):
        return _joined([open_labels(each) for each in source])
    path = Path(source)
    if not path.is_dir():
        return _read(path)
    if (path / "CollectedData.csv").is_file():
        return read_labelled_frames(path / "CollectedData.csv", path)
    tables = sorted(path.glob("labeled-data/*/CollectedData*.csv"))
    tables = tables or sorted(path.glob("CollectedData*.csv"))
    if not tables:
        raise MissingFileError(
            f"Expected CollectedData.csv (Lightning Pose) or labeled-data/*/CollectedData*.csv "
            f"(DeepLabCut) in {path}, found neither. Name the table of labels itself."
        )
    return _joined([_read(table) for table in tables])


def _read(table: Path) -> LabelledFrames:
    """Read a table of labels, and say so if it still is what a network predicted."""
    labels = read_labelled_frames(table)
    note = table.with_name(table.name + PREDICTED)
    if note.is_file():
        made = json.loads(note.read_text(encoding="utf-8"))
        if made["predictions"] == content_hash(table):
            print(
                f"warning: {table} holds predictions that nobody has corrected, and they count "
                "as labels here. Correct them, or move the table away.",
                file=sys.stderr,
            )
    return labels


def _joined(parts: list[LabelledFrames]) -> LabelledFrames:
    if not parts:
        raise DataError("Expected at least one table of labels, found none.")
    first = parts[0]
    for other in parts[1:]:
        if (other.keypoints, other.individuals) != (first.keypoints, first.individuals):
            differing = set(first.keypoints) ^ set(other.keypoints)
            raise DataError(
                f"Tables of labels differ in their keypoints: {other.images[0].parent} has "
                f"{', '.join(other.keypoints)}, {first.images[0].parent} has "
                f"{', '.join(first.keypoints)} (not in both: {', '.join(sorted(differing))}). "
                "Give tables with the same keypoints in the same order."
            )
    return replace(
        first,
        images=tuple(image for part in parts for image in part.images),
        positions=np.concatenate([part.positions for part in parts]),
        visible=np.concatenate([part.visible for part in parts]),
    )


def chosen_keypoints(labels: LabelledFrames, names: Sequence[str] | None) -> LabelledFrames:
    """Return the labels of some keypoints only.

    Raises
    ------
    DataError
        For a name that is not there.
    """
    if names is None:
        return labels
    if unknown := [name for name in names if name not in labels.keypoints]:
        raise DataError(
            f"No keypoint {unknown[0]!r} in the labels; they have {', '.join(labels.keypoints)}."
        )
    columns = [labels.keypoints.index(name) for name in names]
    return replace(
        labels,
        keypoints=tuple(names),
        positions=labels.positions[:, :, columns],
        visible=labels.visible[:, :, columns],
    )


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Labelled frames in memory.

    Attributes
    ----------
    names
        Of the images: their last two parts, ``video/img0007.png``.
    groups
        ``(n,)`` the folder of each image: one recording, in all usual projects.
    images
        ``(n, height, width, channels)`` uint8, as the network sees them, with neighbours.
    positions
        ``(n, map, 2)`` float64 px of the image file; NaN where not labelled. A map is a keypoint
        of an individual.
    hidden
        ``(n, map)`` bool: labelled, and said to be hidden from view.
    geometries
        How each image file became what is seen.
    lost
        Images that are not there or cannot be read, one sentence each.
    context
        Neighbours on each side that stand in ``images`` as channels.
    """

    names: tuple[str, ...]
    groups: np.ndarray
    images: np.ndarray
    positions: np.ndarray
    hidden: np.ndarray
    geometries: tuple[Geometry, ...]
    lost: tuple[str, ...] = ()
    context: int = 0

    def __len__(self) -> int:
        return len(self.names)

    def picture(self, row: int) -> np.ndarray:
        """``(height, width, channels)`` of an image without its neighbours."""
        return np.array_split(self.images[row], 2 * self.context + 1, axis=-1)[self.context]

    def digests(self) -> dict[str, str]:
        """Return a digest of the pixels of each image, by name: names alone may repeat."""
        pairs = zip(self.names, self.images, strict=True)
        return {name: hashlib.sha256(image.tobytes()).hexdigest()[:16] for name, image in pairs}

    def seen_positions(self) -> np.ndarray:
        """``(n, map, 2)`` float32, px of what the network sees."""
        pairs = zip(self.geometries, self.positions, strict=True)
        return np.stack([g.to_output(p) for g, p in pairs]).astype(np.float32)

    def to_source(self, rows: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """Map ``(row, map, 2)`` px of what the network sees to px of the image files."""
        pairs = zip(rows, positions, strict=True)
        return np.stack([self.geometries[int(row)].to_source(p) for row, p in pairs])


def hidden_labels(labels: LabelledFrames) -> np.ndarray:
    """Which keypoints are labelled as hidden from view, ``(frame, individual, keypoint)`` bool."""
    return np.isfinite(labels.positions).all(axis=-1) & ~labels.visible


def image_name(path: Path) -> str:
    """Return the last two parts of an image's path."""
    return "/".join(path.parts[-2:])


def survey(labels: LabelledFrames) -> tuple[tuple[int, int], int]:
    """Return the most common ``(height, width)`` of the images, px, and 3 if any has colours."""
    sizes: dict[tuple[int, int], int] = {}
    channels = 1
    for path in labels.images:
        image = _decode(path, cv2.IMREAD_COLOR)
        if image is None:
            continue
        size = (image.shape[0], image.shape[1])
        sizes[size] = sizes.get(size, 0) + 1
        if (
            channels == 1
            and ((image[..., 0] != image[..., 1]) | (image[..., 1] != image[..., 2])).any()
        ):
            channels = 3
    if not sizes:
        raise DataError(
            f"None of the {len(labels)} labelled images can be read, such as {labels.images[0]}. "
            "Images are looked for relative to the table of labels."
        )
    return max(sizes, key=lambda size: sizes[size]), channels


def load_images(
    labels: LabelledFrames, config: PoseConfig, *, skip_bad: bool = False
) -> LabelledImages:
    """Read all labelled images at the size that the network sees.

    Parameters
    ----------
    config
        With ``image_size`` and ``channels`` set.
    skip_bad
        Leave out images that are not there or cannot be read instead of refusing.

    Raises
    ------
    DataError
        If images are missing or damaged (unless ``skip_bad``), or labels lie outside of them.
    """
    height, width = config.size
    kept, pixels, geometries, lost = [], [], [], []
    alone = set(labels.images)
    kind = cv2.IMREAD_GRAYSCALE if config.channels == 1 else cv2.IMREAD_COLOR
    for row, path in enumerate(labels.images):
        image = _decode(path, kind)
        if image is None:
            state = "cannot be decoded" if path.is_file() else "is not there"
            lost.append(f"{path} {state}")
            continue
        geometry = Geometry.plan(
            image.shape[1], image.shape[0], config.roi, (height, width), keep_aspect=True
        )
        _refuse_outside(labels, row, image.shape)
        around = [image] * (2 * config.context + 1)
        for place, beside in enumerate(neighbours(path, config.context)):
            other = _decode(beside, kind) if beside != path else None
            if other is not None and other.shape == image.shape:
                around[place] = other
                alone.discard(path)
        kept.append(row)
        pixels.append(np.concatenate([_seen(each, geometry) for each in around], axis=-1))
        geometries.append(geometry)
    if lost and not skip_bad:
        shown = "\n  ".join(lost[:5]) + ("\n  ..." if len(lost) > 5 else "")
        raise DataError(
            f"{len(lost)} of {len(labels)} labelled images cannot be used:\n  {shown}\nRestore "
            "them, or go on without them: --skip-bad (skip_bad=True)."
        )
    if not kept:
        raise DataError(f"None of the {len(labels)} labelled images can be read.")
    if config.context and len(alone) == len(labels):
        expected = neighbours(labels.images[kept[0]], 1)[-1]
        raise DataError(
            f"context: not one of {len(labels)} labelled images has the frame before or after it "
            f"beside it, such as {expected}. Write them with 'tinbergen pose suggest --context "
            f"{config.context}', or leave context at 0."
        )
    positions = labels.positions[kept]
    hidden = hidden_labels(labels)[kept]
    paths = [labels.images[row] for row in kept]
    return LabelledImages(
        names=tuple(image_name(path) for path in paths),
        groups=np.array([path.parent.as_posix() for path in paths]),
        images=np.stack(pixels),
        positions=positions.reshape(len(kept), -1, 2),
        hidden=hidden.reshape(len(kept), -1),
        geometries=tuple(geometries),
        lost=tuple(lost),
        context=config.context,
    )


def _seen(image: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Scale and pad an image as OpenCV read it, ``(height, width, channels)`` gray or RGB."""
    gray = image.ndim == 2
    out = np.zeros((*geometry.size, 1 if gray else 3), np.uint8)
    if gray:
        geometry.apply(image, out[..., 0])
    else:
        geometry.apply(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), out)
    return out


def _decode(path: Path, kind: int) -> np.ndarray | None:
    # Not cv2.imread, which cannot open names outside the code page on Windows.
    if not path.is_file() or not path.stat().st_size:
        return None
    return cv2.imdecode(np.fromfile(path, np.uint8), kind)


def _refuse_outside(labels: LabelledFrames, row: int, shape: tuple[int, ...]) -> None:
    height, width = shape[:2]
    extent = np.array([width, height])
    places = labels.positions[row]
    with np.errstate(invalid="ignore"):
        outside = ((places < -_OUTSIDE * extent) | (places > (1 + _OUTSIDE) * extent)).any(axis=-1)
    if outside.any():
        who, what = np.argwhere(outside)[0]
        x, y = places[who, what]
        raise DataError(
            f"{labels.images[row]}: {labels.keypoints[what]} is labelled at ({x:.1f}, {y:.1f}), "
            f"outside of the image of {width} x {height} px. Were the images resized after they "
            "were labelled? Put the originals back, or correct the label."
        )


def split_rows(
    images: LabelledImages, *, validation: float, test: float, seed: int, split: Split | None
) -> dict[str, np.ndarray]:
    """Split labelled frames into ``train``, ``validation`` and ``test``.

    With five or more folders (recordings), whole folders are held out, so that the test says how
    a new recording would fare; else single frames at random, which is optimistic for that.

    Parameters
    ----------
    validation, test
        Shares of the frames.
    split
        Instead: image names (or their last parts) under these three names; ``val`` is understood.
        Frames that are named nowhere are not used.

    Raises
    ------
    DataError
        If a name is not among the images or stands twice, or nothing is left to train on.
    """
    if split is not None:
        return _named_split(images, split)
    rng = np.random.default_rng([seed, 0x9053])
    folders = np.unique(images.groups)
    by_folder = len(folders) >= _LEAST_GROUPS
    items = rng.permutation(folders) if by_folder else rng.permutation(len(images))
    n_test = _share(test, len(items))
    n_validation = _share(validation, len(items))
    parts = {
        "test": items[:n_test],
        "validation": items[n_test : n_test + n_validation],
        "train": items[n_test + n_validation :],
    }
    if not len(parts["train"]):
        raise DataError(
            f"{len(images)} labelled frames leave none to train on with {validation:.0%} for "
            f"validation and {test:.0%} for the test. Label more, or hold out less."
        )
    if by_folder:
        return {n: np.flatnonzero(np.isin(images.groups, part)) for n, part in parts.items()}
    return {name: np.sort(part) for name, part in parts.items()}


def _share(share: float, n: int) -> int:
    return max(1, round(share * n)) if share and n > 2 else 0


def _named_split(images: LabelledImages, split: Split) -> dict[str, np.ndarray]:
    rows = {name: row for row, name in enumerate(images.names)}
    short = {name.rsplit("/", 1)[-1]: row for name, row in rows.items()}
    short = short if len(short) == len(rows) else {}
    lost = {image_name(Path(text.split(" ")[0])) for text in images.lost}
    parts: dict[str, np.ndarray] = {}
    used: dict[int, str] = {}
    for part, names in split.items():
        part = "validation" if part == "val" else part
        if part not in ("train", "validation", "test"):
            raise DataError(f"split: expected train, validation and test, found {part!r}.")
        found = []
        for name in names:
            last = image_name(Path(name))
            row = rows.get(last, short.get(last.rsplit("/", 1)[-1]))
            if row is None:
                if last in lost:
                    continue
                raise DataError(f"split, {part}: no labelled image is called {name!r}.")
            if row in used:
                raise DataError(f"split: {name!r} stands in {used[row]} and in {part}.")
            used[row] = part
            found.append(row)
        parts[part] = np.array(sorted(found), dtype=int)
    empty = np.zeros(0, dtype=int)
    parts = {name: parts.get(name, empty) for name in ("train", "validation", "test")}
    if not len(parts["train"]):
        raise DataError("split: expected at least one image under 'train', found none.")
    return parts
