"""Points in space from several calibrated views, and how well the views agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from tinbergen.errors import DataError

if TYPE_CHECKING:
    from tinbergen.recordings.cameras import Camera

_REFINEMENTS = 5
_DIFFERENCE = 1e-6


def triangulate(pixels: ArrayLike, cameras: Sequence[Camera]) -> np.ndarray:
    """Find points in space from where they are seen.

    The linear solution in undistorted coordinates (Hartley & Zisserman, Multiple View Geometry,
    2nd ed., section 12.2), then Gauss-Newton steps on the squared distances in px, which are what
    noise in the images adds to: the maximum-likelihood point for equal noise in every view.

    Parameters
    ----------
    pixels
        ``(view, ..., 2)`` px; NaN where not seen.
    cameras
        One a view.

    Returns
    -------
    ``(..., 3)`` in the unit of the cameras; NaN where fewer than two views see the point, or it
    would lie behind a camera that sees it.

    Raises
    ------
    DataError
        If there is not one camera a view.
    """
    pixels = _checked(pixels, cameras)
    flat = pixels.reshape(len(cameras), math.prod(pixels.shape[1:-1]), 2)
    planes = np.stack([c.undistort(places) for c, places in zip(cameras, flat, strict=True)])
    seen = np.asarray(np.isfinite(planes).all(axis=-1))
    flat = np.where(seen[..., None], flat, np.nan)
    rows = []
    for camera, undistorted, known in zip(cameras, planes, seen, strict=True):
        plane = np.where(known[:, None], undistorted, 0.0)
        matrix = camera.matrix
        equations = plane[:, :, None] * matrix[2] - matrix[:2]
        # A point on the plane at distance 1: rows of unequal length would weigh views unequally.
        equations /= np.linalg.norm(equations[..., :3], axis=-1, keepdims=True)
        rows.append(equations * known[:, None, None])
    _, _, axes = np.linalg.svd(np.concatenate(rows, axis=1), full_matrices=False)
    with np.errstate(divide="ignore", invalid="ignore"):
        points = axes[:, -1, :3] / axes[:, -1, 3:]
    points[(seen.sum(axis=0) < 2) | ~np.isfinite(points).all(axis=-1)] = np.nan
    points[~np.isfinite(_residuals(points, flat, cameras)).all(axis=-1)] = np.nan
    known = np.isfinite(points).all(axis=-1)
    for _ in range(_REFINEMENTS):
        points[known] = _refined(points[known], flat[:, known], cameras)
    return points.reshape(*pixels.shape[1:-1], 3)


def _refined(points: np.ndarray, pixels: np.ndarray, cameras: Sequence[Camera]) -> np.ndarray:
    """Take the Gauss-Newton step of each point, ``(n, 3)``, where it helps."""
    now = _residuals(points, pixels, cameras)
    step = _DIFFERENCE * np.abs(points).max(axis=1, keepdims=True, initial=1.0)
    beside = [_residuals(points + step * axis, pixels, cameras) for axis in np.eye(3)]
    slopes = np.stack([(there - now) / step for there in beside], axis=-1)
    slopes[~np.isfinite(slopes)] = 0.0
    moved = points - (np.linalg.pinv(slopes) @ now[..., None])[..., 0]
    after = _residuals(moved, pixels, cameras)
    better = (after**2).sum(axis=1) < (now**2).sum(axis=1)
    return np.where(better[:, None], moved, points)


def _residuals(points: np.ndarray, pixels: np.ndarray, cameras: Sequence[Camera]) -> np.ndarray:
    """``(n, 2 * view)`` px: 0 where not seen; infinite where seen, but behind the camera."""
    left = np.stack([camera.project(points) for camera in cameras]) - pixels  # (view, n, 2)
    left[~np.isfinite(left)] = np.inf
    left[~np.isfinite(pixels)] = 0.0
    return left.transpose(1, 0, 2).reshape(len(points), 2 * len(cameras))


def reprojection_errors(
    pixels: ArrayLike, cameras: Sequence[Camera], *, held_out: bool = False
) -> np.ndarray:
    """Distance of each view's keypoints from where the point in space should be seen.

    Parameters
    ----------
    pixels
        ``(view, ..., 2)`` px; NaN where not seen.
    cameras
        One a view.
    held_out
        Triangulate each view's points from the other views only, so that a view cannot pull the
        point to itself: what an independent observer would see.

    Returns
    -------
    ``(view, ...)`` px; NaN where the view does not see the point, or too few others do.
    """
    pixels = _checked(pixels, cameras)
    if not held_out:
        points = triangulate(pixels, cameras)
        seen = np.stack([camera.project(points) for camera in cameras])
        return np.linalg.norm(seen - pixels, axis=-1)
    errors = []
    for view, camera in enumerate(cameras):
        others = np.delete(pixels, view, axis=0)
        points = triangulate(others, [*cameras[:view], *cameras[view + 1 :]])
        errors.append(np.linalg.norm(camera.project(points) - pixels[view], axis=-1))
    return np.stack(errors)


def _checked(pixels: ArrayLike, cameras: Sequence[Camera]) -> np.ndarray:
    pixels = np.asarray(pixels, dtype=float)
    if len(pixels) != len(cameras) or pixels.shape[-1] != 2:
        raise DataError(
            f"Expected x and y in each of {len(cameras)} views, (view, ..., 2), found "
            f"{pixels.shape}."
        )
    return pixels
