"""The 38 points of DeepFly3D's fly: names, and what takes them apart.

Right side first. A side has three legs (front, middle, hind) of five points, the antenna, and
three stripes of the abdomen.
"""

from __future__ import annotations

import numpy as np

_JOINTS = ("coxa", "femur", "tibia", "tarsus", "claw")
_SIDE = (
    *(f"{leg}_{joint}" for leg in ("front", "middle", "hind") for joint in _JOINTS),
    "antenna",
    *(f"stripe{i}" for i in range(1, 4)),
)
FLY_KEYPOINTS = tuple(f"{side}_{point}" for side in ("right", "left") for point in _SIDE)
LEG_ROOTS = (0, 5, 10, 19, 24, 29)
_LEG_POINTS = 15
_POINTS = 19
MOVING = tuple(side + column for side in (0, 2 * _POINTS) for column in range(2 * _LEG_POINTS))
"""Columns of the legs among the 76 (38 points, x and y): 0 to 29 and 38 to 67."""


def legs_of(pose: np.ndarray) -> np.ndarray:
    """Return the columns of the legs alone, ``(time, 76)`` to ``(time, 60)``."""
    return np.asarray(pose)[:, list(MOVING)]


def whole_of(legs: np.ndarray) -> np.ndarray:
    """Return ``(time, 76)`` with the columns of :func:`legs_of` in their places, 0 elsewhere."""
    legs = np.asarray(legs)
    pose = np.zeros((len(legs), 4 * _POINTS), legs.dtype)
    pose[:, list(MOVING)] = legs
    return pose


def from_leg_roots(points: np.ndarray) -> np.ndarray:
    """Return the points of each leg as seen from its root; others as they are.

    Parameters
    ----------
    points
        ``(time, 38, space)``.
    """
    points = np.array(points)
    for root in LEG_ROOTS:
        leg = slice(root, root + len(_JOINTS))
        points[:, leg] -= points[:, root : root + 1].copy()
    return points
