"""Names of the 38 points of DeepFly3D's fly.

Right side first. A side has three legs (front, middle, hind) of five points, the antenna, and
three stripes of the abdomen.
"""

from __future__ import annotations

_JOINTS = ("coxa", "femur", "tibia", "tarsus", "claw")
_SIDE = (
    *(f"{leg}_{joint}" for leg in ("front", "middle", "hind") for joint in _JOINTS),
    "antenna",
    *(f"stripe{i}" for i in range(1, 4)),
)
FLY_KEYPOINTS = tuple(f"{side}_{point}" for side in ("right", "left") for point in _SIDE)
