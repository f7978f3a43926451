"""From latents to an articulated body: ellipsoids and keypoints in three dimensions.

Forward kinematics with two-link inverse kinematics of the limbs, vectorised over time. World
axes in cm: x along the arena, y across it, z up, the origin in the middle of the floor.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tinbergen.simulation.motion import Latents
from tinbergen.simulation.subject import Subject

KEYPOINTS = (
    "nose",
    "left_ear",
    "right_ear",
    "neck",
    "back",
    "tail_base",
    "tail_mid",
    "tail_tip",
    "left_forepaw",
    "right_forepaw",
    "left_hindpaw",
    "right_hindpaw",
)
"""Names of the keypoints, in the order of all arrays and files."""

KEYPOINT_RADIUS = np.array([0.35, 0.6, 0.6, 0.9, 0.9, 0.8, 0.4, 0.4, 0.5, 0.5, 0.5, 0.5])
"""How deep below the surface each keypoint may lie and still count as visible (cm)."""

_TAIL_SEGMENTS = 8
FUR, SKIN, PAW, EYE = 0, 1, 2, 3
"""Materials of the parts."""


@dataclass(frozen=True)
class Body:
    """The body over time.

    Attributes
    ----------
    centres
        Centre of each ellipsoid (cm), shape (time, part, 3).
    axes
        Columns are the semi-axes (cm) along the part, across it and up, shape
        (time, part, 3, 3).
    parts
        Name of each part.
    materials
        ``FUR``, ``SKIN``, ``PAW`` or ``EYE`` of each part.
    keypoints
        Positions in the order of :data:`KEYPOINTS` (cm), shape (time, keypoint, 3).
    """

    centres: np.ndarray
    axes: np.ndarray
    parts: tuple[str, ...]
    materials: tuple[int, ...]
    keypoints: np.ndarray


@dataclass
class _Parts:
    """Collects ellipsoids while the body is put together."""

    centres: list[np.ndarray] = field(default_factory=list)
    axes: list[np.ndarray] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    materials: list[int] = field(default_factory=list)

    def add(self, name, material, centre, along, across, radii) -> None:
        up = np.cross(along, across)
        self.centres.append(centre)
        self.axes.append(np.stack([along, across, up], axis=-1) * _radii(radii, len(centre)))
        self.names.append(name)
        self.materials.append(material)

    def bone(self, name, material, start, end, across, thickness) -> None:
        """Add an ellipsoid that reaches a little beyond both ends."""
        along = end - start
        length = np.linalg.norm(along, axis=-1)
        along = _unit(along)
        across = _unit(across - along * _dot(across, along))
        radii = (length / 2 + 0.6 * thickness, thickness, thickness)
        self.add(name, material, (start + end) / 2, along, across, radii)


def articulate(subject: Subject, latents: Latents) -> Body:
    """Put the body of ``subject`` into the posture that ``latents`` describe.

    Parameters
    ----------
    subject
        Whose body.
    latents
        Latents at the wanted times, for example frame times.

    Returns
    -------
    Body
        Ellipsoids and keypoints at the same times.
    """
    get = latents.__getitem__
    zeros = np.zeros(len(latents.times))
    heading = get("heading")
    forward = np.stack([np.cos(heading), np.sin(heading), zeros], axis=-1)
    left = np.stack([-np.sin(heading), np.cos(heading), zeros], axis=-1)
    up = np.broadcast_to([0.0, 0.0, 1.0], forward.shape)
    frame = np.stack([forward, left, up], axis=-1)
    parts = _Parts()
    trunk = _trunk(parts, subject, get, frame)
    head = _head(parts, subject, get, frame, trunk)
    paws = _limbs(parts, get, frame, trunk, head)
    tail = _tail(parts, subject, get, heading, trunk)
    points = [
        head["nose"],
        *head["ears"],
        trunk["nape"],
        trunk["top"],
        tail[0],
        tail[1],
        tail[2],
        *paws,
    ]
    origin = np.stack([get("x"), get("y"), zeros], axis=-1)[:, None]
    scale = subject.scale
    return Body(
        centres=np.stack(parts.centres, axis=1) * scale + origin,
        axes=np.stack(parts.axes, axis=1) * scale,
        parts=tuple(parts.names),
        materials=tuple(parts.materials),
        keypoints=np.stack(points, axis=1) * scale + origin,
    )


def _trunk(parts: _Parts, subject: Subject, get, frame: np.ndarray) -> dict[str, np.ndarray]:
    rear, groom, crouch = get("rearing"), get("grooming"), get("crouching")
    stride = np.sin(2 * get("gait_phase")) * get("gait")
    pitch = 1.15 * rear + 0.62 * groom + 0.05 * stride - 0.08 * crouch
    bend = np.clip(0.16 * get("turning"), -0.5, 0.5)
    hip = _place(
        frame, -2.2 + 0.9 * rear + 0.9 * groom, 0, 1.7 + 0.35 * rear - 0.15 * groom - 0.35 * crouch
    )
    length = 4.1 - 0.9 * crouch - 0.9 * groom + 0.5 * rear + 0.12 * stride
    along = _direction(frame, pitch, bend)
    across = _unit(np.cross(frame[..., 2], along))
    normal = np.cross(along, across)
    chest = hip + length[:, None] * along
    arch = 0.3 + 0.35 * crouch + 0.6 * groom - 0.2 * rear
    middle = hip + 0.5 * length[:, None] * along + arch[:, None] * normal
    breath = 1 + 0.03 * np.sin(get("breath_phase"))
    girth = subject.girth
    wide = 1 + 0.12 * crouch
    parts.add("rump", FUR, hip, along, across, (1.75, 1.35 * girth * wide, 1.4 * girth))
    belly = (2.6, 1.42 * girth * breath * wide, 1.4 * girth * breath)
    parts.add("belly", FUR, middle, along, across, belly)
    parts.add("chest", FUR, chest, along, across, (1.9, 1.15 * girth, 1.25 * girth))
    return {
        "hip": hip,
        "chest": chest,
        "along": along,
        "across": across,
        "normal": normal,
        "top": middle + 1.28 * girth * normal,
        "nape": chest + 0.95 * girth * normal + 0.5 * along,
    }


def _head(
    parts: _Parts, subject: Subject, get, frame: np.ndarray, trunk: dict[str, np.ndarray]
) -> dict:
    rear, groom, crouch = get("rearing"), get("grooming"), get("crouching")
    stroke = np.sin(get("groom_phase"))
    pitch = -0.3 + 0.75 * rear - groom * (0.75 + 0.12 * stroke) - 0.2 * crouch + get("head_pitch")
    base = trunk["chest"] + 1.15 * trunk["along"] + 0.45 * trunk["normal"]
    # The snout reaches down to the floor, not through it.
    pitch = np.maximum(pitch, -np.arcsin(np.clip((base[:, 2] - 0.5) / 2.75, 0, 1)))
    yaw = get("head_yaw") + np.clip(0.25 * get("turning"), -0.7, 0.7)
    along = _direction(frame, pitch, yaw)
    across = _unit(np.cross(frame[..., 2], along))
    normal = np.cross(along, across)
    centre = base + 0.95 * along
    parts.bone("neck", FUR, trunk["chest"] + 0.3 * trunk["normal"], centre, across, 0.9)
    parts.add("head", FUR, centre, along, across, (1.25, 0.86, 0.84))
    parts.add(
        "snout", FUR, centre + 1.05 * along - 0.15 * normal, along, across, (0.85, 0.45, 0.42)
    )
    nose = centre + 1.8 * along - 0.17 * normal
    parts.add("nose", SKIN, nose, along, across, (0.2, 0.2, 0.17))
    size = subject.ears
    ears = []
    for side, sign in (("left", 1), ("right", -1)):
        out = _unit(0.75 * sign * across + 0.7 * normal - 0.15 * along)
        ear = centre - 0.4 * along + (0.75 + 0.3 * size) * out
        facing = _unit(along + 0.5 * sign * across)
        facing = _unit(facing - out * _dot(facing, out))
        parts.add(f"{side}_ear", SKIN, ear, out, facing, (0.62 * size, 0.17, 0.55 * size))
        eye = centre + 0.55 * along + sign * 0.6 * across + 0.28 * normal
        parts.add(f"{side}_eye", EYE, eye, along, across, (0.19, 0.17, 0.17))
        ears.append(ear)
    return {
        "nose": nose,
        "ears": ears,
        "centre": centre,
        "along": along,
        "across": across,
        "normal": normal,
    }


def _limbs(parts: _Parts, get, frame, trunk, head) -> list[np.ndarray]:
    """Add four legs; return the paws in the order of :data:`KEYPOINTS`."""
    fore = [_foreleg(parts, get, frame, trunk, head, side) for side in ("left", "right")]
    return fore + [_hindleg(parts, get, frame, trunk, side) for side in ("left", "right")]


def _foreleg(parts: _Parts, get, frame, trunk, head, side: str) -> np.ndarray:
    """Walk on the floor, wash the face or hang in the air, blended by posture."""
    sign = 1 if side == "left" else -1
    rear, groom, gait = get("rearing"), get("grooming"), get("gait")
    # Trot: the diagonal pairs of legs move together.
    step, lift = _step(get("gait_phase") + (0 if side == "left" else np.pi))
    forward = 2.35 - 0.5 * get("crouching") + 1.5 * gait * step
    floor = _place(frame, forward, sign * 0.9, 0.18 + 0.75 * gait * lift)
    stroke = get("groom_phase") + (0 if side == "left" else 0.5)
    washing = (
        head["centre"]
        + (1.0 + 0.65 * np.cos(stroke))[:, None] * head["along"]
        + sign * 0.45 * head["across"]
        - (0.75 - 0.35 * np.sin(stroke))[:, None] * head["normal"]
    )
    hanging = (
        trunk["chest"]
        + (0.9 + 0.25 * np.sin(0.7 * get("breath_phase") + sign))[:, None] * trunk["along"]
        + sign * 0.75 * trunk["across"]
        - 1.75 * trunk["normal"]
    )
    aloft = np.clip(1.25 * rear + 1.1 * groom, 0, 1)[:, None]
    share = (groom / np.maximum(rear + groom, 1e-6))[:, None]
    paw = _above_floor(floor * (1 - aloft) + (share * washing + (1 - share) * hanging) * aloft)
    across = trunk["across"]
    shoulder = trunk["chest"] + 0.2 * trunk["along"] + sign * 0.75 * across - 0.3 * trunk["normal"]
    elbow = _bend(shoulder, paw, 1.15, -trunk["along"])
    parts.bone(f"{side}_upper_arm", FUR, shoulder, elbow, across, 0.5)
    parts.bone(f"{side}_forearm", FUR, elbow, paw, across, 0.32)
    toes = _unit(head["along"] * aloft + frame[..., 0] * (1 - aloft) + 1e-3)
    parts.bone(f"{side}_forepaw", PAW, paw, paw + 0.35 * toes, across, 0.26)
    return paw


def _hindleg(parts: _Parts, get, frame, trunk, side: str) -> np.ndarray:
    """Walk or stand; the hind paws never leave the floor for anything but a step."""
    sign = 1 if side == "left" else -1
    gait = get("gait")
    step, lift = _step(get("gait_phase") + (np.pi if side == "left" else 0))
    sit = 0.6 * get("rearing") + 0.7 * get("grooming") + 0.5 * get("crouching")
    paw = _place(frame, -1.7 + sit + 1.5 * gait * step, sign * 1.2, 0.2 + 0.65 * gait * lift)
    across, ahead = trunk["across"], frame[..., 0]
    joint = trunk["hip"] + 0.1 * trunk["along"] + sign * 0.95 * across - 0.3 * trunk["normal"]
    knee = _bend(joint, paw, 1.3, ahead)
    parts.bone(f"{side}_thigh", FUR, joint, knee, across, 0.72)
    parts.bone(f"{side}_shin", FUR, knee, paw, across, 0.36)
    parts.bone(f"{side}_hindpaw", PAW, paw - 0.2 * ahead, paw + 0.85 * ahead, frame[..., 1], 0.27)
    return paw


def _tail(parts: _Parts, subject: Subject, get, heading, trunk) -> list[np.ndarray]:
    """Add the tail; return its base, middle and tip."""
    n = _TAIL_SEGMENTS
    length = 8.0 * subject.tail / n
    base = _above_floor(trunk["hip"] - 1.65 * trunk["along"] - 0.2 * trunk["normal"], 0.3)
    yaw = heading + np.pi + 0.3 * get("tail_curl")
    curl = (1.1 * get("tail_curl") - 0.25 * get("turning")) / n
    slope = 0.25 * get("gait") + 0.12
    points = [base]
    for i in range(n):
        wave = 0.1 * get("gait") * np.sin(get("gait_phase") - 0.7 * i)
        yaw = yaw + curl + wave
        flat = np.stack([np.cos(yaw), np.sin(yaw), slope * (1 - 1.6 * i / n)], axis=-1)
        end = _above_floor(points[-1] + length * _unit(flat) - [0, 0, 0.22], 0.15)
        thickness = 0.3 * (1 - 0.75 * i / n)
        parts.bone(f"tail_{i}", SKIN, points[-1], end, np.cross([0, 0, 1.0], flat), thickness)
        points.append(end)
    return [points[0], points[n // 2], points[n]]


def _step(phase: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Paw cycle: 60 % stance, in which the paw stays where it is on the floor, then a swing.

    Returns the offset along the body in [-1, 1] and the lift in [0, 1].
    """
    cycle = (phase / (2 * np.pi)) % 1.0
    stance = cycle < 0.6
    swing = (cycle - 0.6) / 0.4
    offset = np.where(stance, 1 - 2 * cycle / 0.6, -np.cos(np.pi * swing))
    return offset, np.where(stance, 0, np.sin(np.pi * np.clip(swing, 0, 1)))


def _bend(start: np.ndarray, end: np.ndarray, length: float, towards: np.ndarray) -> np.ndarray:
    """Joint of a limb of two links of ``length`` (cm) each, bent ``towards`` a direction."""
    span = end - start
    along = _unit(span)
    side = _unit(towards - along * _dot(towards, along))
    bulge = np.sqrt(np.maximum(length**2 - (np.linalg.norm(span, axis=-1) / 2) ** 2, 0.05))
    return (start + end) / 2 + bulge[:, None] * side


def _place(frame: np.ndarray, forward, left, up) -> np.ndarray:
    local = np.stack([np.broadcast_to(a, len(frame)) for a in (forward, left, up)], axis=-1)
    return np.einsum("tij,tj->ti", frame, local)


def _direction(frame: np.ndarray, pitch: np.ndarray, yaw: np.ndarray) -> np.ndarray:
    return _place(frame, np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), np.sin(pitch))


def _above_floor(points: np.ndarray, height: float = 0.18) -> np.ndarray:
    return np.stack([points[:, 0], points[:, 1], np.maximum(points[:, 2], height)], axis=-1)


def _radii(radii, n: int) -> np.ndarray:
    """Three radii, each a number or one per time, as rows that scale the columns of axes."""
    return np.stack([np.broadcast_to(radius, n) for radius in radii], axis=-1)[:, None]


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(axis=-1, keepdims=True)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
