"""Trials of the motion capture and two-photon (MC2P) data set of flies.

A trial is a folder ``YYMMDD_GENOTYPE_FlyN_TRIAL``. Names of files are those of the data set's
description or those that its own reader opens; both are taken. Arrays lie there without a header,
so their length follows from the size of the file, which is checked.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from tinbergen.errors import DataError, MissingFileError
from tinbergen.recordings.array_pickle import read_array_pickle
from tinbergen.recordings.csv_table import read_csv_table
from tinbergen.recordings.fly_body import FLY_KEYPOINTS
from tinbergen.recordings.image_series import ImageSeries
from tinbergen.recordings.keypoints import Keypoints
from tinbergen.recordings.labels import Labels
from tinbergen.recordings.recording import Recording
from tinbergen.recordings.series import Series

_IMAGES = {
    "small": (("*2p_dff_tif_padded_resized.mm", "*2p_dff_resized.mm"), 64),
    "full": (("*2p_dff_tif_padded.mm", "*2p_dff.mm"), 128),
}
_LATENT = (("*2p_dff_tif_padded_resized_ae.mm",), 64)
_POSE = ("*pose_result*.mm", "pose_result.pkl")
_SYNC = ("indices.npy", "sync_indices.pkl")
_ANGLES = ("angles*.pkl", "pose_result_inverse_kinematics.pkl")
_NAME = re.compile(r"(?P<subject>\d{6}_.+_Fly\d+)_(?P<trial>\d{3})$")
_COLUMNS = 2 * len(FLY_KEYPOINTS)


@dataclass(frozen=True, eq=False)
class MC2PTrial:
    """One trial of one fly.

    Attributes
    ----------
    name, subject
        Of the folder; the subject is what stands before the number of the trial.
    images
        ``(frame, height, width)`` float32 dF/F, a memory map: nothing is read before it is asked
        for. None if there is none.
    image_times
        ``(frame,)`` s on the clock of the behaviour camera.
    recording
        ``pose`` (Keypoints, 38 points in two side views), ``angles`` (Series, 42), ``images``
        (ImageSeries) and ``latents`` (Series, 64, at the image times) where there are such files,
        ``rest`` (Labels, resting or moving).
    nearest
        ``(pose frame,)`` int: image at that time.
    """

    name: str
    subject: str
    images: np.ndarray | None = field(repr=False)
    image_times: np.ndarray = field(repr=False)
    recording: Recording
    nearest: np.ndarray = field(repr=False)


def read_mc2p(
    folder: str | os.PathLike, *, size: str = "small", fps: float | None = None
) -> MC2PTrial:
    """Open one trial.

    Parameters
    ----------
    folder
        Of the trial, which has its name.
    size
        ``small`` (64 x 64 px) or ``full`` (128 x 128 px) images.
    fps
        Of the behaviour camera, Hz. Default: 100 where the genotype is a G23xU1 without CLC or
        ABO, else 30, as the data set says.

    Raises
    ------
    MissingFileError
        If the folder, its synchronisation or its pose is not there.
    DataError
        Naming the file whose size or length does not fit.

    References
    ----------
    Günel et al., "Overcoming the domain gap in neural action representations", IJCV 2022.
    """
    folder = Path(folder)
    match = _NAME.search(folder.name)
    if not folder.is_dir():
        raise MissingFileError(f"Expected a folder of an MC2P trial at {folder}, found none.")
    if match is None:
        raise DataError(
            f"{folder}: expected a folder named YYMMDD_GENOTYPE_FlyN_TRIAL, such as "
            "201008_G23xU1_Fly1_001."
        )
    if size not in _IMAGES:
        raise DataError(f"size: expected {' or '.join(_IMAGES)}, found {size!r}.")
    genotype = folder.name.split("_")[1]
    fast = "G23xU1" in genotype and not re.search("CLC|ABO", folder.name)
    fps = fps or (100.0 if fast else 30.0)
    sync_path = _need(folder, _SYNC, "synchronisation")
    nearest = _vector(sync_path, np.int64)
    if not len(nearest):
        raise DataError(f"{sync_path}: expected an image number for each pose frame, found none.")
    pose_path = _need(folder, _POSE, "pose")
    pose = _table(pose_path, _COLUMNS)
    _same(folder, {pose_path: len(pose)}, nearest)
    times = np.arange(len(nearest)) / fps
    patterns, side = _IMAGES[size]
    path = _find(folder, patterns)
    images = None if path is None else _memory_map(path, (side, side))
    latent_path = _find(folder, _LATENT[0])
    latents = None if latent_path is None else _memory_map(latent_path, (_LATENT[1],))
    path, shown = (path, images) if images is not None else (latent_path, latents)
    n = len(shown) if shown is not None else int(nearest.max()) + 1
    if not 0 <= nearest.min() <= nearest.max() < n:
        raise DataError(
            f"{folder}: the synchronisation names images {nearest.min()} to {nearest.max()}, but "
            f"{path} holds {n}."
        )
    image_times = _image_times(nearest, times, n)
    streams: dict = {
        "pose": Keypoints(
            times, pose.reshape(len(pose), 1, len(FLY_KEYPOINTS), 2), keypoints=FLY_KEYPOINTS
        )
    }
    if (path := _find(folder, _ANGLES)) is not None:
        angles = _table(path, 42)
        _same(folder, {path: len(angles)}, nearest)
        streams["angles"] = Series(times, angles, unit="rad")
    if images is not None:
        streams["images"] = ImageSeries(image_times, images, unit="dF/F")
    if latents is not None:
        if len(latents) != n:
            raise DataError(
                f"{latent_path}: expected {n} rows, as there are images; found {len(latents)}."
            )
        streams["latents"] = Series(image_times, latents)
    if (path := _find(folder, ("rest.npy",))) is not None:
        rest = _vector(path, bool)
        _same(folder, {path: len(rest)}, nearest)
        streams["rest"] = Labels.from_frames(times, rest.astype(int), ("moving", "resting"))
    recording = Recording(folder.name, streams, match["subject"])
    return MC2PTrial(folder.name, match["subject"], images, image_times, recording, nearest)


def read_mc2p_annotations(path: str | os.PathLike, fps: float = 100.0) -> dict[str, Labels]:
    """Read run-length labels of several trials.

    Parameters
    ----------
    path
        CSV with date, genotype, fly, trial, start_frame, n_frames, behaviour.
    fps
        Of the behaviour camera, Hz.

    Returns
    -------
    Trial (``YYMMDD_GENOTYPE_FlyN_TRIAL``) -> labels; what is in no row is unlabelled.

    Raises
    ------
    MissingFileError, DataError
    """
    table = read_csv_table(path, "a CSV of runs")
    needed = ["date", "genotype", "fly", "trial", "start_frame", "n_frames", "behaviour"]
    if missing := [name for name in needed if name not in table]:
        raise DataError(
            f"{path}: expected the columns {', '.join(needed)}; {missing[0]!r} is missing, found "
            f"{', '.join(map(str, table.columns))}."
        )
    bad = np.flatnonzero(~(table["n_frames"] > 0) | ~(table["start_frame"] >= 0))
    if len(bad):
        raise DataError(f"{path}, line {bad[0] + 2}: expected a start from 0 and frames above 0.")
    classes = tuple(sorted(table["behaviour"].unique()))
    found = {}
    for key, rows in table.groupby(["date", "genotype", "fly", "trial"]):
        date, genotype, fly, trial = key  # type: ignore[misc]
        start = rows["start_frame"] / fps
        spans = pd.DataFrame(
            {
                "start": start,
                "stop": (rows["start_frame"] + rows["n_frames"]) / fps,
                "label": rows["behaviour"],
            }
        )
        found[f"{date}_{genotype}_Fly{fly}_{trial:03d}"] = Labels(spans, classes)
    return found


def _image_times(nearest: np.ndarray, times: np.ndarray, n: int) -> np.ndarray:
    """Return the mean time of the poses of each image; of images without, from neighbours."""
    if len(nearest) and (back := np.flatnonzero(np.diff(nearest) < 0)).size:
        raise DataError(
            f"synchronisation: image {nearest[back[0] + 1]} follows {nearest[back[0]]} at pose "
            f"frame {back[0] + 1}; expected numbers that ascend."
        )
    count = np.bincount(nearest, minlength=n)
    seen = np.flatnonzero(count)
    at = np.bincount(nearest, weights=times, minlength=n)[seen] / count[seen]
    step = float(np.median(np.diff(at) / np.diff(seen))) if len(seen) > 1 else 1.0
    frames = np.arange(n)
    inside = np.interp(frames, seen, at)
    inside += np.minimum(frames - seen[0], 0) * step + np.maximum(frames - seen[-1], 0) * step
    return inside


def _find(folder: Path, patterns: tuple[str, ...]) -> Path | None:
    found = [path for pattern in patterns for path in sorted(folder.glob(pattern))]
    found = [path for path in found if path.is_file()]
    return found[0] if found else None


def _need(folder: Path, patterns: tuple[str, ...], what: str) -> Path:
    path = _find(folder, patterns)
    if path is None:
        raise MissingFileError(
            f"{folder}: expected the {what} as {' or '.join(patterns)}, found none."
        )
    return path


def _memory_map(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Open float32 rows without a header."""
    size, row = path.stat().st_size, 4 * int(np.prod(shape))
    if not size or size % row:
        raise DataError(
            f"{path}: {size} bytes are no whole number of float32 frames of "
            f"{' x '.join(map(str, shape))} ({row} bytes each). It was cut off; copy it again."
        )
    return np.memmap(path, np.float32, "r", shape=(size // row, *shape))


def _table(path: Path, columns: int) -> np.ndarray:
    """Return float32 rows of a memory map (whatever its ending says), or of a pickled array."""
    if path.suffix != ".pkl" or not _is_pickle(path):
        return np.asarray(_memory_map(path, (columns,)))
    values = read_array_pickle(path)
    if isinstance(values, dict):
        arrays = [each for each in values.values() if isinstance(each, np.ndarray)]
        wide = [each for each in arrays if each.ndim > 1 and each[0].size == columns]
        values = wide[0] if len(wide) == 1 else None
    if not isinstance(values, np.ndarray) or values.ndim < 2 or values[0].size != columns:
        raise DataError(f"{path}: expected one array of {columns} numbers a frame.")
    return values.reshape(len(values), columns).astype(np.float32)


def _is_pickle(path: Path) -> bool:
    """Whether a file begins and ends as a pickle does."""
    if path.stat().st_size < 2:
        return True  # and is refused as one
    with path.open("rb") as file:
        head = file.read(2)
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
    return last == b"." and (
        head[:1] in (b"(", b"]", b"}", b"c") or b"\x80\x02" <= head <= b"\x80\x05"
    )


def _vector(path: Path, dtype: type) -> np.ndarray:
    if path.suffix == ".npy":
        from tinbergen.recordings.array_files import read_array

        values = read_array(path)
    else:
        values = np.asarray(read_array_pickle(path))
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        raise DataError(f"{path}: expected one number a pose frame, found {values.shape}.")
    if values.dtype.kind == "f" and not (values == np.floor(values)).all():
        raise DataError(f"{path}: expected whole numbers.")
    return values.astype(dtype)


def _same(folder: Path, lengths: dict[Path, int], nearest: np.ndarray) -> None:
    for path, n in lengths.items():
        if n != len(nearest):
            raise DataError(
                f"{path}: {n} frames, but the synchronisation of {folder.name} has "
                f"{len(nearest)}; one of the files was cut off."
            )
