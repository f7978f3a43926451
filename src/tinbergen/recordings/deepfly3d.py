"""Results of DeepFly3D: points in space, points in seven cameras, and the cameras."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from tinbergen.errors import DataError
from tinbergen.recordings.array_pickle import read_array_pickle
from tinbergen.recordings.cameras import Camera
from tinbergen.recordings.fly_body import FLY_KEYPOINTS
from tinbergen.recordings.keypoints import Keypoints
from tinbergen.recordings.recording import Recording

_SIZE = (480, 960)  # rows and columns of the images that points2d is a share of


def read_deepfly3d(
    path: str | os.PathLike, fps: float = 100.0, *, image_size: tuple[int, int] = _SIZE
) -> Recording:
    """Read ``df3d_result*.pkl`` (or ``pose_result*.pkl``), without running the pickle.

    Parameters
    ----------
    path
        The pickle: ``points2d`` (camera, time, 38, 2), row and column as shares of the image, or
        (older) x and y in px; and, where it was triangulated, ``points3d`` (time, 38, 3).
    fps
        Of the cameras, Hz.
    image_size
        Rows and columns, px.

    Returns
    -------
    Recording
        ``pose`` (Keypoints in space, or of two side views where nothing was triangulated: the
        right side of camera 1, the left of camera 5) and ``camera0`` ... (Keypoints, px). Points
        that a camera does not see are NaN.

    Raises
    ------
    MissingFileError, DataError
    """
    path = Path(path)
    result = _result(path)
    seen = _array(result, "points2d", path, 4)
    if seen.shape[2:] != (len(FLY_KEYPOINTS), 2):
        raise DataError(
            f"{path}, points2d: expected (camera, time, {len(FLY_KEYPOINTS)}, 2), found "
            f"{seen.shape}."
        )
    times = np.arange(seen.shape[1]) / fps
    pixels = _pixels(seen.astype(np.float64), image_size)
    streams = {}
    if "points3d" in result:
        space = _array(result, "points3d", path, 3)
        if space.shape != (len(times), len(FLY_KEYPOINTS), 3):
            raise DataError(
                f"{path}, points3d: expected {(len(times), len(FLY_KEYPOINTS), 3)} as points2d "
                f"says, found {space.shape}."
            )
        streams["pose"] = _keypoints(times, space, "a.u.")
    elif len(pixels) > 5:
        half = len(FLY_KEYPOINTS) // 2
        sides = np.concatenate([pixels[1, :, :half], pixels[5, :, half:]], axis=1)
        streams["pose"] = _keypoints(times, sides, "px")
    for k, each in enumerate(pixels):
        streams[f"camera{k}"] = _keypoints(times, each, "px")
    return Recording(path.stem, streams)


def read_deepfly3d_cameras(path: str | os.PathLike) -> dict[int, Camera]:
    """Return the cameras of the same pickle: those numbers of which it holds a calibration.

    Raises
    ------
    MissingFileError, DataError
    """
    path = Path(path)
    found = {}
    for number, about in _result(path).items():
        if not isinstance(number, int) or not isinstance(about, dict):
            continue
        parts = {}
        for key, shape in (("R", (3, 3)), ("tvec", (3,)), ("intr", (3, 3)), ("distort", (5,))):
            value = np.asarray(about.get(key, np.zeros(0)))
            if value.size != int(np.prod(shape)):
                raise DataError(f"{path}, camera {number}: expected {key} of shape {shape}.")
            parts[key] = value.astype(np.float64).reshape(shape)
        found[number] = Camera(
            f"camera{number}", parts["intr"], parts["R"], parts["tvec"], parts["distort"]
        )
    return found


def _pixels(seen: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Return x and y in px; NaN where a camera has no answer, which is a corner at the top."""
    pixels = seen if np.nanmax(seen, initial=0) > 1 else seen[..., ::-1] * image_size[::-1]
    corner = (pixels[..., 1] == 0) & np.isin(pixels[..., 0], (0, image_size[1]))
    return np.where(corner[..., None], np.nan, pixels)


def _result(path: Path) -> dict[Any, Any]:
    result = read_array_pickle(path)
    if not isinstance(result, dict) or "points2d" not in result:
        raise DataError(f"{path}: expected a result of DeepFly3D with points2d.")
    return result


def _array(result: dict, key: str, path: Path, dimensions: int) -> np.ndarray:
    array = result[key]
    if not isinstance(array, np.ndarray) or array.ndim != dimensions:
        raise DataError(f"{path}, {key}: expected an array of {dimensions} axes.")
    return array


def _keypoints(times: np.ndarray, points: np.ndarray, unit: str) -> Keypoints:
    return Keypoints(times, points[:, None], keypoints=FLY_KEYPOINTS, unit=unit)
