"""Calibrated cameras: from mm in space to px of an image, and back to rays."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import rq
from scipy.spatial.transform import Rotation

from tinbergen.errors import DataError, MissingFileError

_LEAST_POINTS = 6
_UNDISTORT_STEPS = 20
_UNDISTORT_MISS = 0.1  # px


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera with lens distortion, in OpenCV's terms.

    Attributes
    ----------
    name
        Of the camera.
    intrinsic
        ``(3, 3)`` upper triangular: focal lengths and principal point, px.
    rotation
        ``(3, 3)``, from the world to the camera.
    translation
        ``(3,)`` in the world's unit: ``rotation @ point + translation`` is seen from the camera.
    distortion
        ``(5,)`` k1, k2, p1, p2, k3 (Brown 1966, as in OpenCV).
    """

    name: str
    intrinsic: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    distortion: np.ndarray

    @property
    def matrix(self) -> np.ndarray:
        """``(3, 4)``: homogeneous points in space to the undistorted image plane at distance 1."""
        return np.column_stack([self.rotation, self.translation])

    def project(self, points: ArrayLike) -> np.ndarray:
        """Return where points in space are seen, ``(..., 3)`` to ``(..., 2)`` px.

        Points behind the camera have no place; theirs is NaN.
        """
        seen = np.asarray(points, dtype=float) @ self.rotation.T + self.translation
        depth = np.where(seen[..., 2:] > 0, seen[..., 2:], np.nan)
        bent = self._distort(seen[..., :2] / depth)
        return bent @ self.intrinsic[:2, :2].T + self.intrinsic[:2, 2]

    def undistort(self, pixels: ArrayLike) -> np.ndarray:
        """Return ``(..., 2)`` px on the undistorted image plane at distance 1, by iteration.

        NaN where that does not come back to within 0.1 px: the lens model bends no ray there.
        """
        shifted = np.asarray(pixels, dtype=float) - self.intrinsic[:2, 2]
        bent = shifted @ np.linalg.inv(self.intrinsic[:2, :2]).T
        plane = bent.copy()
        if self.distortion.any():
            with np.errstate(over="ignore", invalid="ignore"):
                for _ in range(_UNDISTORT_STEPS):
                    plane = plane + bent - self._distort(plane)
                miss = (self._distort(plane) - bent) @ self.intrinsic[:2, :2].T
                found = np.linalg.norm(miss, axis=-1, keepdims=True) <= _UNDISTORT_MISS
            plane = np.where(found, plane, np.nan)
        return plane

    def _distort(self, plane: np.ndarray) -> np.ndarray:
        k1, k2, p1, p2, k3 = self.distortion
        x, y = plane[..., 0], plane[..., 1]
        r2 = x**2 + y**2
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        bent_x = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x**2)
        bent_y = y * radial + p1 * (r2 + 2 * y**2) + 2 * p2 * x * y
        return np.stack([bent_x, bent_y], axis=-1)

    @classmethod
    def from_points(cls, points: ArrayLike, pixels: ArrayLike, name: str = "") -> Self:
        """Find the camera that sees known points at known places; no distortion.

        The direct linear transformation with normalised coordinates (Hartley & Zisserman,
        Multiple View Geometry, 2nd ed., algorithm 7.1, linear part).

        Parameters
        ----------
        points, pixels
            ``(n, 3)`` in space, and ``(n, 2)`` px; rows with a NaN are left out.

        Raises
        ------
        DataError
            If fewer than six points are left, or they lie in a plane.
        """
        points, pixels = np.asarray(points, dtype=float), np.asarray(pixels, dtype=float)
        known = np.isfinite(points).all(axis=-1) & np.isfinite(pixels).all(axis=-1)
        points, pixels = points[known], pixels[known]
        if len(points) < _LEAST_POINTS:
            raise DataError(
                f"camera {name!r}: expected at least {_LEAST_POINTS} points with known places in "
                f"space and image, found {len(points)}."
            )
        from_world, from_image = _normaliser(points), _normaliser(pixels)
        world = np.column_stack([points, np.ones(len(points))]) @ from_world.T
        image = np.column_stack([pixels, np.ones(len(pixels))]) @ from_image.T
        none = np.zeros_like(world)
        rows = [
            np.hstack([world, none, -image[:, :1] * world]),
            np.hstack([none, world, -image[:, 1:2] * world]),
        ]
        _, values, axes = np.linalg.svd(np.concatenate(rows))
        if values[-2] < 1e-9 * values[0]:
            raise DataError(f"camera {name!r}: the points lie in a plane; give some out of it.")
        found = np.linalg.inv(from_image) @ axes[-1].reshape(3, 4) @ from_world
        found *= np.sign(np.linalg.det(found[:, :3]))
        intrinsic, rotation = rq(found[:, :3])
        signs = np.diag(np.sign(np.diag(intrinsic)))
        intrinsic, rotation = intrinsic @ signs, signs @ rotation
        translation = np.linalg.solve(intrinsic, found[:, 3])
        return cls(name, intrinsic / intrinsic[2, 2], rotation, translation, np.zeros(5))


def _normaliser(points: np.ndarray) -> np.ndarray:
    """Homogeneous matrix that moves points to mean 0 and mean distance sqrt(dimensions)."""
    d = points.shape[1]
    mean = points.mean(axis=0)
    scale = d**0.5 / max(np.linalg.norm(points - mean, axis=1).mean(), 1e-300)
    matrix = np.diag([scale] * d + [1.0])
    matrix[:d, d] = -scale * mean
    return matrix


def read_cameras(path: str | os.PathLike) -> list[Camera]:
    """Read a calibration as anipose and Lightning Pose keep it (``calibration.toml``).

    Sections with ``name``, ``matrix``, ``rotation`` (a Rodrigues vector), ``translation`` and
    ``distortions`` each; ``metadata`` is left out.

    Raises
    ------
    MissingFileError
        If there is no such file.
    DataError
        If it is not TOML, or a camera lacks an entry or has one of another shape.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"Expected a calibration (.toml) at {path}, found none.")
    try:
        sections = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not TOML: {error}") from error
    found = [
        _camera(section, f"{path}, [{title}]")
        for title, section in sections.items()
        if isinstance(section, dict) and title != "metadata"
    ]
    if not found:
        raise DataError(f"{path}: expected a section for each camera, found none.")
    return found


def _camera(section: dict[str, Any], place: str) -> Camera:
    def entry(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name not in section:
            raise DataError(f"{place}: expected {name!r}, found {', '.join(section)}.")
        try:
            value = np.array(section[name], dtype=float)
        except (TypeError, ValueError) as error:
            raise DataError(f"{place}: {name!r} is not made of numbers: {error}") from error
        if value.shape != shape:
            raise DataError(f"{place}: expected {name!r} of shape {shape}, found {value.shape}.")
        return value

    if section.get("fisheye"):
        raise DataError(f"{place}: fisheye lenses cannot be read; calibrate with the usual model.")
    rotation = Rotation.from_rotvec(entry("rotation", (3,))).as_matrix()
    return Camera(
        str(section.get("name", "")),
        entry("matrix", (3, 3)),
        rotation,
        entry("translation", (3,)),
        entry("distortions", (5,)),
    )
