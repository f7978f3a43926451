"""What is wrong with poses in unlabelled video: jumps, and poses that no label looks like.

The losses of Lightning Pose (Biderman et al., Nature Methods 2024, Methods, "Unsupervised
losses"). Each is a distance in px that costs nothing up to a threshold: most of it is motion and
variety that are real.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tinbergen.errors import DataError
from tinbergen.metrics import PoseSubspace

EXPLAINED = 0.99
"""Share of the variance of labelled poses that the plane of one view explains."""
VIEW_DIMENSIONS = 3
"""A point in space has three coordinates, in however many views it is seen."""
TOLERATED = 99.0
"""Percentile of the labelled poses' own distances from the plane that costs nothing."""


def temporal_loss(
    positions: Tensor, confidence: Tensor, threshold: float, least: float = 0.05
) -> Tensor:
    """Mean of ``max(0, |p_t - p_(t-1)| - threshold)`` over keypoints and pairs of frames.

    Parameters
    ----------
    positions
        ``(time, clip, keypoint, 2)`` px.
    confidence
        ``(time, clip, keypoint)``; pairs with a side below ``least`` do not count.
    threshold
        Step that an animal may take from frame to frame, px.
    least
        Confidence below which a position says nothing.

    Examples
    --------
    >>> walk = torch.tensor([0.0, 0.0, 5.0, 30.0])[:, None, None, None] * torch.tensor([1.0, 0.0])
    >>> loss = temporal_loss(walk, torch.ones(4, 1, 1), 20.0)  # steps of 0, 5 and 25 px
    >>> round(float(loss), 3)
    1.667
    """
    steps = torch.linalg.vector_norm(positions[1:] - positions[:-1], dim=-1)
    sure = torch.minimum(confidence[1:], confidence[:-1]) >= least
    return ((steps - threshold).relu() * sure).sum() / sure.sum().clamp_min(1)


@dataclass(frozen=True, eq=False)
class Plane:
    """The plane near which labelled poses lie, and how near most of them are.

    Attributes
    ----------
    columns
        ``(part, point)`` map of each point of a pose: the keypoints of one view (one part), or
        the views of each of several parts.
    mean
        ``(2 * point,)`` px.
    axes
        ``(dimensions, 2 * point)``, orthonormal.
    threshold
        Distance from the plane that costs nothing, px.
    """

    columns: np.ndarray
    mean: Tensor
    axes: Tensor
    threshold: float

    @classmethod
    def fit(
        cls, positions: np.ndarray, columns: np.ndarray, dimensions: int | None, what: str
    ) -> Plane:
        """Find the plane of labelled poses.

        Parameters
        ----------
        positions
            ``(frame, map, 2)`` px; NaN where not labelled.
        columns
            See :class:`Plane`.
        dimensions
            Of the plane; None: as many as explain 99 % of the variance.
        what
            The setting to turn off, for the message.

        Raises
        ------
        DataError
            If there are fewer complete poses than numbers in a pose.
        """
        poses = positions[:, columns].reshape(-1, columns.shape[1], 2)
        whole = poses[np.isfinite(poses).all(axis=(1, 2))]
        least = 2 * columns.shape[1]
        if len(whole) < least:
            raise DataError(
                f"{what}: expected at least {least} poses with all {columns.shape[1]} points "
                f"labelled to find the plane of possible poses, found {len(whole)}. Label more "
                f"frames, or leave this loss out: --set {what}=0."
            )
        subspace = PoseSubspace.fit(whole, components=dimensions, share=EXPLAINED)
        return cls(
            columns,
            torch.tensor(subspace.mean, dtype=torch.float32),
            torch.tensor(subspace.axes, dtype=torch.float32),
            float(np.percentile(subspace.residuals(whole), TOLERATED)),
        )

    def loss(self, positions: Tensor) -> Tensor:
        """Mean distance of points from where the nearest pose in the plane has them, px.

        With P the projection on the plane and r = (I - P)(pose - mean): the mean over points of
        ``max(0, |r_point| - threshold)``.

        Parameters
        ----------
        positions
            ``(..., map, 2)`` px, finite.
        """
        poses = positions[..., torch.from_numpy(self.columns).to(positions.device), :]
        axes = self.axes.to(positions.device)
        centred = poses.flatten(-2) - self.mean.to(positions.device)
        left = (centred - centred @ axes.T @ axes).unflatten(-1, (-1, 2))
        return (torch.linalg.vector_norm(left, dim=-1) - self.threshold).relu().mean()
