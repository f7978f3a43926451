"""Frames labelled by hand, as DeepLabCut and Lightning Pose keep them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinbergen.errors import DataError
from tinbergen.recordings.keypoint_table import read_keypoint_table, write_keypoint_table


@dataclass(frozen=True, eq=False)
class LabelledFrames:
    """Images with hand-labelled keypoints.

    Attributes
    ----------
    images
        Path of each image.
    keypoints, individuals
        Names.
    positions
        ``(frame, individual, keypoint, 2)`` float64, px, x and y; NaN where not labelled.
    visible
        ``(frame, individual, keypoint)`` bool. False where hidden or not labelled.
    scorer
        Who labelled.
    """

    images: tuple[Path, ...]
    keypoints: tuple[str, ...]
    individuals: tuple[str, ...]
    positions: np.ndarray
    visible: np.ndarray
    scorer: str = ""

    def __len__(self) -> int:
        return len(self.images)

    def missing_images(self) -> list[Path]:
        """Images that are named but not there."""
        return [image for image in self.images if not image.is_file()]


def read_labelled_frames(
    csv: str | os.PathLike, root: str | os.PathLike | None = None
) -> LabelledFrames:
    """Read ``CollectedData*.csv`` of DeepLabCut (single and multi-animal) or Lightning Pose.

    Parameters
    ----------
    csv
        The table; its first cells name an image each (in one cell, or as DeepLabCut's three:
        ``labeled-data``, video, image). The header row ``scorer`` may be absent: rows are told
        by their names, and it says nothing about the columns.
    root
        Folder that image paths are relative to; default: the nearest folder above ``csv`` in
        which the first image is found, or else the folder of ``csv``.

    Raises
    ------
    MissingFileError, DataError
        Naming the line and cell that is not as it should be.
    """
    csv = Path(csv)
    table = read_keypoint_table(csv)
    if not table.index:
        raise DataError(f"{csv}: expected a row for each labelled image, found only the header.")
    names = [Path(*(cell.replace("\\", "/") for cell in cells)) for cells in table.index]
    if len(set(names)) != len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise DataError(f"{csv}: the image {twice} has two rows; delete one.")
    base = Path(root) if root is not None else _find_root(csv, names)
    columns = table.columns
    positions = np.stack([columns.take(table.values, axis) for axis in ("x", "y")], axis=-1)
    visible = np.isfinite(positions).all(axis=-1)
    if "visible" in columns.fields:
        flags = columns.take(table.values, "visible")
        # Lightning Pose and COCO: 1 is hidden, 2 is seen. Tables of 0 and 1 mean no and yes.
        seen = 2 if (flags == 2).any() else 1
        visible &= np.nan_to_num(flags, nan=seen) >= seen
    return LabelledFrames(
        images=tuple(base / name for name in names),
        keypoints=columns.keypoints,
        individuals=columns.individuals,
        positions=positions,
        visible=np.asarray(visible),
        scorer=columns.scorer,
    )


def _find_root(csv: Path, names: list[Path]) -> Path:
    for folder in csv.absolute().parents:
        if names and (folder / names[0]).is_file():
            return folder
    return csv.parent


def write_labelled_frames(
    csv: str | os.PathLike, frames: LabelledFrames, root: str | os.PathLike
) -> None:
    """Write ``CollectedData*.csv``; image paths are written relative to ``root``.

    Positions read back to the last bit. The ``individuals`` row is written where there are
    several animals, or one with a name; Lightning Pose's third coordinate ``visible`` (0 not
    labelled, 1 hidden, 2 seen) where a label is hidden.

    Raises
    ------
    DataError
        If an image lies outside ``root``.
    """
    root = Path(root)
    try:
        names = [image.relative_to(root).as_posix() for image in frames.images]
    except ValueError as error:
        raise DataError(f"Images must lie below {root}: {error}") from error
    values, fields = frames.positions, ["x", "y"]
    labelled = np.isfinite(values).all(axis=-1)
    if (labelled & ~frames.visible).any():
        flags = np.where(labelled, 1.0 + frames.visible, 0.0)
        values, fields = np.concatenate([values, flags[..., None]], axis=-1), [*fields, "visible"]
    write_keypoint_table(
        csv,
        names,
        values,
        fields,
        frames.individuals,
        frames.keypoints,
        frames.scorer,
    )
