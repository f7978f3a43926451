"""Whether poses are possible: how far they are from the subspace that labelled poses span."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tinbergen.errors import DataError


@dataclass(frozen=True, eq=False)
class PoseSubspace:
    """A plane of few dimensions near which poses lie.

    Attributes
    ----------
    mean
        ``(d,)`` px.
    axes
        ``(k, d)`` orthonormal principal axes.
    shares
        ``(d,)`` share of the variance along each principal axis, largest first.
    """

    mean: np.ndarray
    axes: np.ndarray
    shares: np.ndarray

    @classmethod
    def fit(
        cls, poses: ArrayLike, *, components: int | None = None, share: float = 0.99
    ) -> PoseSubspace:
        """Find the plane from example poses.

        Parameters
        ----------
        poses
            ``(n, d)`` px, or ``(n, keypoint, 2)``; rows with a NaN are left out.
        components
            Dimensions of the plane; default: as many as explain ``share`` of the variance.

        Raises
        ------
        DataError
            If fewer complete poses are left than the plane has dimensions.
        """
        flat = _flat(poses)
        whole = flat[np.isfinite(flat).all(axis=1)]
        if len(whole) < max(3, (components or 0) + 1):
            raise DataError(
                f"Expected at least {max(3, (components or 0) + 1)} complete poses, found "
                f"{len(whole)} of {len(flat)}; label more frames, or use fewer keypoints."
            )
        mean = whole.mean(axis=0)
        _, values, axes = np.linalg.svd(whole - mean, full_matrices=False)
        shares = np.zeros(flat.shape[1])
        shares[: len(values)] = values**2 / max(float((values**2).sum()), 1e-300)
        if components is None:
            components = int(np.searchsorted(np.cumsum(shares), share - 1e-12) + 1)
        return cls(mean, axes[:components], shares)

    def residuals(self, poses: ArrayLike) -> np.ndarray:
        """Distance of each keypoint from where the nearest pose in the plane has it.

        Parameters
        ----------
        poses
            ``(n, d)`` or ``(n, keypoint, 2)`` px. Keypoints that are missing are left out: the
            plane is fitted to the others.

        Returns
        -------
        ``(n, keypoint)`` px; NaN where the keypoint is missing, and where fewer coordinates are
        there than the plane has dimensions.
        """
        flat = _flat(poses)
        known = np.isfinite(flat)
        left = np.full_like(flat, np.nan)
        patterns, which = np.unique(known, axis=0, return_inverse=True)
        for number, pattern in enumerate(patterns):
            rows = np.flatnonzero(which.ravel() == number)
            if pattern.sum() < len(self.axes):
                continue
            centred = flat[np.ix_(rows, np.flatnonzero(pattern))] - self.mean[pattern]
            axes = self.axes[:, pattern]
            inside = centred @ np.linalg.pinv(axes) @ axes
            left[np.ix_(rows, np.flatnonzero(pattern))] = centred - inside
        return np.linalg.norm(left.reshape(len(flat), -1, 2), axis=-1)


def _flat(poses: ArrayLike) -> np.ndarray:
    poses = np.asarray(poses, dtype=float)
    flat = poses.reshape(len(poses), -1)
    if flat.shape[1] % 2:
        raise DataError(f"Expected x and y of each keypoint, found poses of shape {poses.shape}.")
    return flat


def stack_views(positions: ArrayLike, views: Sequence[Sequence[int]]) -> np.ndarray:
    """Lay the same parts in several views side by side.

    Parameters
    ----------
    positions
        ``(time, keypoint, 2)`` px.
    views
        Per part its keypoint in each view.

    Returns
    -------
    ``(time * part, view, 2)``: parts of a frame one after the other. Such poses span three
    dimensions if the cameras are far away, whatever the part.
    """
    positions = np.asarray(positions, dtype=float)
    picked = positions[:, np.asarray(views, dtype=int)]  # (time, part, view, 2)
    return picked.reshape(-1, *picked.shape[2:])
