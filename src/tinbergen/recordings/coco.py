"""COCO keypoints: labelled frames as JSON, read strictly and written exactly."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tinbergen.errors import DataError, MissingFileError
from tinbergen.files import write_json
from tinbergen.recordings.keypoint_table import SINGLE
from tinbergen.recordings.labelled_frames import LabelledFrames

_NOT_LABELLED, _OCCLUDED, _VISIBLE = 0, 1, 2


def read_coco(
    path: str | os.PathLike, root: str | os.PathLike | None = None, *, category: str | None = None
) -> LabelledFrames:
    """Read labelled frames from a COCO keypoint file.

    Individuals are the annotations of an image in their order; images without any are left out.
    Positions are taken as they are.

    Parameters
    ----------
    path
        The ``.json``, with ``images``, ``annotations`` and ``categories``.
    root
        Folder that image names are relative to; default: that of the file.
    category
        Name of the category to read, where several have keypoints.

    Raises
    ------
    MissingFileError, DataError
        Naming the annotation or image that is not as it should be.
    """
    path = Path(path)
    content = _content(path)
    kind = _category(content, category, path)
    names = tuple(map(str, kind["keypoints"]))
    if len(set(names)) != len(names):
        raise DataError(f"{path}: a keypoint of category {kind.get('name')!r} stands twice.")
    images = {}
    for entry in content["images"]:
        if entry["id"] in images:
            raise DataError(f"{path}: two images have the id {entry['id']}.")
        images[entry["id"]] = entry["file_name"]
    found: dict[Any, list[np.ndarray]] = {}
    for entry in content["annotations"]:
        if entry.get("category_id", kind["id"]) != kind["id"] or not entry.get("keypoints"):
            continue
        values = np.asarray(entry["keypoints"], dtype=float)
        if values.size != 3 * len(names):
            raise DataError(
                f"{path}, annotation {entry.get('id')}: expected x, y and visibility of "
                f"{len(names)} keypoints, found {values.size} numbers."
            )
        if entry.get("image_id") not in images:
            raise DataError(
                f"{path}, annotation {entry.get('id')}: there is no image {entry.get('image_id')}."
            )
        found.setdefault(entry["image_id"], []).append(values.reshape(-1, 3))
    return _frames(found, images, names, Path(root) if root is not None else path.parent, path)


def _content(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise MissingFileError(f"Expected a COCO keypoint file at {path}, found none.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    for name in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(name), list):
            raise DataError(f"{path}: expected a list under {name!r}, as COCO has it.")
    for number, entry in enumerate(content["images"]):
        if "id" not in entry or "file_name" not in entry:
            raise DataError(f"{path}, image {number}: expected an id and a file_name.")
    return content


def _category(content: dict[str, Any], wanted: str | None, path: Path) -> dict[str, Any]:
    with_keypoints = [c for c in content["categories"] if c.get("keypoints")]
    chosen = [c for c in with_keypoints if wanted is None or c.get("name") == wanted]
    if len(chosen) != 1:
        there = ", ".join(str(c.get("name")) for c in with_keypoints) or "none"
        raise DataError(
            f"{path}: expected one category with keypoints"
            f"{f' called {wanted!r}' if wanted else ''}, found {len(chosen)} (there are: {there})."
        )
    return chosen[0]


def _frames(
    found: dict[Any, list[np.ndarray]],
    images: dict[Any, str],
    names: tuple[str, ...],
    root: Path,
    path: Path,
) -> LabelledFrames:
    if not found:
        raise DataError(f"{path}: no annotation has keypoints.")
    order = [number for number in images if number in found]
    most = max(map(len, found.values()))
    positions = np.full((len(order), most, len(names), 2), np.nan)
    visible = np.zeros(positions.shape[:3], dtype=bool)
    for row, number in enumerate(order):
        for who, values in enumerate(found[number]):
            labelled = values[:, 2] > _NOT_LABELLED
            positions[row, who, labelled] = values[labelled, :2]
            visible[row, who] = values[:, 2] >= _VISIBLE
    people = (SINGLE,) if most == 1 else tuple(f"instance{i}" for i in range(most))
    return LabelledFrames(
        images=tuple(root / images[number] for number in order),
        keypoints=names,
        individuals=people,
        positions=positions,
        visible=visible,
    )


def write_coco(
    path: str | os.PathLike,
    frames: LabelledFrames,
    root: str | os.PathLike | None = None,
    *,
    category: str = "animal",
    edges: Sequence[tuple[str, str]] = (),
) -> None:
    """Write labelled frames as a COCO keypoint file.

    Positions read back to the last bit, and so does what is occluded (visibility 1). The box is
    that of the labels, which COCO's scores take the area from. Names of individuals are not part
    of this format.

    Parameters
    ----------
    root
        Folder that image names are written relative to; default: that of the file.
    category
        Name of the animal.
    edges
        Pairs of keypoints that are joined when drawn (COCO counts them from 1).

    Raises
    ------
    DataError
        If an image cannot be read, or lies outside ``root``.
    """
    path = Path(path)
    root = Path(root) if root is not None else path.parent
    images, annotations = [], []
    for number, image in enumerate(frames.images, start=1):
        pixels = cv2.imdecode(np.fromfile(image, np.uint8), 0) if image.is_file() else None
        if pixels is None:
            raise DataError(f"{image}: cannot be read; COCO files state the size of each image.")
        height, width = pixels.shape
        try:
            name = image.relative_to(root).as_posix()
        except ValueError as error:
            raise DataError(f"Images must lie below {root}: {error}") from error
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        for points, seen in zip(
            frames.positions[number - 1], frames.visible[number - 1], strict=True
        ):
            if np.isfinite(points).all(axis=-1).any():
                entry = _annotation(points, seen)
                annotations.append(
                    {"id": len(annotations) + 1, "image_id": number, "category_id": 1, **entry}
                )
    places = {name: i for i, name in enumerate(frames.keypoints, start=1)}
    kind = {
        "id": 1,
        "name": category,
        "supercategory": category,
        "keypoints": list(frames.keypoints),
        "skeleton": [[places[a], places[b]] for a, b in edges],
    }
    write_json(path, {"images": images, "annotations": annotations, "categories": [kind]})


def _annotation(points: np.ndarray, seen: np.ndarray) -> dict[str, Any]:
    labelled = np.isfinite(points).all(axis=-1)
    flag = np.where(labelled, np.where(seen, _VISIBLE, _OCCLUDED), _NOT_LABELLED)
    values: list[float] = []
    for (x, y), state in zip(points.tolist(), flag.tolist(), strict=True):
        values += [x, y, state] if state else [0, 0, 0]
    low, high = points[labelled].min(axis=0), points[labelled].max(axis=0)
    width, height = (high - low).tolist()
    return {
        "keypoints": values,
        "num_keypoints": int(labelled.sum()),
        "bbox": [*low.tolist(), width, height],
        "area": width * height,
        "iscrowd": 0,
    }
