"""Where the animal is filmed: camera, arena with its textures, light, and what hides it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from tinbergen.errors import ConfigError

View = Literal["side", "oblique", "top"]
VIEWS: tuple[View, ...] = ("oblique", "side", "top")

_SUPERSAMPLE = 2
_TEXTURE_PX_PER_CM = 14


@dataclass(frozen=True)
class Rig:
    """One recording rig; two rigs differ in view, arena, textures, light and disturbances.

    Attributes
    ----------
    view
        ``side``, ``oblique`` or ``top``; for reading, the camera follows from the angles.
    elevation, azimuth
        Angle of the camera above the floor and around the arena (degrees).
    arena
        Length, width and height of the walls (cm).
    distance
        From the camera to the middle of the arena (cm).
    gray
        Whether the camera is monochrome.
    floor, wall
        Red, green, blue in [0, 1].
    floor_texture, wall_texture
        ``plain``, ``planks``, ``tiles``, ``speckle`` or ``stripes``.
    light
        Direction towards the lamp in world axes (x, y, z); any length.
    gradient
        Relative change of brightness from one side of the image to the other.
    vignette
        Relative loss of brightness in the corners.
    drift, flicker
        Standard deviation of the slow (30 s) and of the frame-to-frame relative brightness.
    passing_shadow
        Depth of a soft shadow that wanders through the image, in [0, 1].
    noise
        Standard deviation of the sensor noise, gray levels of 255.
    occluder
        What stands between camera and animal: ``none``, ``bar``, ``spout`` or ``mesh``.
    grains
        Number of pieces of bedding, which the animal kicks about.
    ball
        Radius (cm) of a toy ball that rolls through the arena; 0 for none.
    seed
        Seed of the textures.
    """

    view: View = "oblique"
    elevation: float = 40.0
    azimuth: float = 0.0
    arena: tuple[float, float, float] = (24.0, 17.0, 8.0)
    distance: float = 60.0
    gray: bool = False
    floor: tuple[float, float, float] = (0.6, 0.56, 0.5)
    wall: tuple[float, float, float] = (0.5, 0.52, 0.55)
    floor_texture: str = "speckle"
    wall_texture: str = "plain"
    light: tuple[float, float, float] = (0.4, -0.5, 1.0)
    gradient: float = 0.25
    vignette: float = 0.25
    drift: float = 0.06
    flicker: float = 0.01
    passing_shadow: float = 0.25
    noise: float = 4.0
    occluder: str = "bar"
    grains: int = 60
    ball: float = 0.8
    seed: int = 0

    def __post_init__(self) -> None:
        if self.view not in VIEWS:
            raise ConfigError(f"Expected a view of {', '.join(VIEWS)}, found {self.view!r}.")


_GEOMETRY: dict[str, dict[str, tuple[float, float]]] = {
    "side": {
        "elevation": (9, 16),
        "azimuth": (-5, 5),
        "length": (19, 22),
        "width": (9, 10.5),
        "wall": (11.5, 12.5),
    },
    "oblique": {
        "elevation": (34, 50),
        "azimuth": (-14, 14),
        "length": (19, 22),
        "width": (15, 17),
        "wall": (7, 9),
    },
    "top": {
        "elevation": (83, 89),
        "azimuth": (-4, 4),
        "length": (21, 24),
        "width": (16, 18),
        "wall": (3, 6),
    },
}


def random_rig(view: View, generator: np.random.Generator) -> Rig:
    """Draw a rig for one ``view``; angles, arena, colours, textures, light and noise vary."""
    if view not in VIEWS:
        raise ConfigError(f"Expected a view of {', '.join(VIEWS)}, found {view!r}.")

    def between(low: float, high: float) -> float:
        return float(generator.uniform(low, high))

    def pick(*options: str) -> str:
        return str(generator.choice(options))

    def hue(low: float, high: float) -> tuple[float, float, float]:
        red, green, blue = (between(low, high) * generator.uniform(0.88, 1.12, 3)).tolist()
        return red, green, blue

    geometry = {name: between(*limits) for name, limits in _GEOMETRY[view].items()}
    return Rig(
        view=view,
        elevation=geometry["elevation"],
        azimuth=geometry["azimuth"],
        arena=(geometry["length"], geometry["width"], geometry["wall"]),
        distance=between(50, 80),
        gray=bool(generator.random() < 0.4),
        floor=hue(0.3, 0.75),
        wall=hue(0.25, 0.7),
        floor_texture=pick("planks", "tiles", "speckle"),
        wall_texture=pick("plain", "stripes", "speckle", "tiles"),
        light=(between(-0.8, 0.8), between(-0.9, 0.1), 1.0),
        gradient=between(-0.4, 0.4),
        vignette=between(0.1, 0.4),
        drift=between(0.03, 0.08),
        flicker=between(0.004, 0.015),
        passing_shadow=between(0.1, 0.35),
        noise=between(3.0, 6.0),
        occluder=pick("bar", "bar", "mesh") if view == "top" else pick("bar", "spout", "mesh"),
        grains=int(generator.integers(40, 120)),
        ball=between(0.6, 1.0),
        seed=int(generator.integers(2**31)),
    )


@dataclass(frozen=True)
class Camera:
    """Pinhole camera that sees the whole arena.

    Attributes
    ----------
    right, down, forward
        Image axes and viewing direction in world axes, unit vectors, shape (3,).
    target
        World point at ``distance`` in front of the camera (cm), shape (3,).
    distance
        cm.
    focal
        px.
    centre
        x, y of the optical axis in the image (px; the centre of the first pixel is 0, 0).
    """

    right: np.ndarray
    down: np.ndarray
    forward: np.ndarray
    target: np.ndarray
    distance: float
    focal: float
    centre: tuple[float, float]

    @classmethod
    def of_rig(cls, rig: Rig, size: tuple[int, int]) -> Camera:
        """Aim at the arena of ``rig`` so that it fills ``size`` (height, width; px)."""
        elevation, azimuth = np.deg2rad([rig.elevation, rig.azimuth])
        turn = np.array(
            [
                [np.cos(azimuth), -np.sin(azimuth), 0],
                [np.sin(azimuth), np.cos(azimuth), 0],
                [0, 0, 1],
            ]
        )
        right = turn @ [1.0, 0.0, 0.0]
        down = turn @ [0.0, -np.sin(elevation), -np.cos(elevation)]
        forward = turn @ [0.0, np.cos(elevation), -np.sin(elevation)]
        x, y, height = rig.arena
        target = np.array([0, 0, height / 3])
        unit = cls(right, down, forward, target, rig.distance, 1.0, (0.0, 0.0))
        corners = [
            (i * x / 2, j * y / 2, k) for i in (-1, 1) for j in (-1, 1) for k in (0, height)
        ]
        points, _ = unit.project(np.array(corners))
        low, high = points.min(axis=0), points.max(axis=0)
        focal = float(min(0.97 * size[1] / (high - low)[0], 0.97 * size[0] / (high - low)[1]))
        middle = (np.array([size[1], size[0]]) - 1) / 2 - focal * (low + high) / 2
        return cls(
            right, down, forward, target, rig.distance, focal, (float(middle[0]), float(middle[1]))
        )

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Project world ``points`` (cm), shape (..., 3).

        Returns
        -------
        pixels
            x, y (px), shape (..., 2).
        depth
            Distance along the viewing direction (cm), shape (...).
        """
        relative = points - self.target
        depth = relative @ self.forward + self.distance
        flat = np.stack([relative @ self.right, relative @ self.down], axis=-1)
        return flat * (self.focal / depth)[..., None] + self.centre, depth


def paint_background(rig: Rig, camera: Camera, size: tuple[int, int]) -> np.ndarray:
    """Paint the empty arena.

    Returns
    -------
    numpy.ndarray
        Red, green, blue before lighting, uint8, shape (height, width, 3).
    """
    generator = np.random.default_rng(rig.seed)
    height, width = size[0] * _SUPERSAMPLE, size[1] * _SUPERSAMPLE
    room = 0.18 + 0.05 * _fractal_noise((height, width), generator, 5)
    image = np.repeat(room[..., None], 3, axis=-1).astype(np.float32)
    x, y, wall = rig.arena[0] / 2, rig.arena[1] / 2, rig.arena[2]
    planes = [
        (rig.floor, rig.floor_texture, [(-x, y, 0), (x, y, 0), (x, -y, 0), (-x, -y, 0)], 1.0),
        (rig.wall, rig.wall_texture, [(-x, y, wall), (x, y, wall), (x, y, 0), (-x, y, 0)], 0.95),
        (
            rig.wall,
            rig.wall_texture,
            [(-x, -y, wall), (-x, y, wall), (-x, y, 0), (-x, -y, 0)],
            0.75,
        ),
        (rig.wall, rig.wall_texture, [(x, y, wall), (x, -y, wall), (x, -y, 0), (x, y, 0)], 0.7),
    ]
    if rig.elevation > 75:
        planes.append(
            (
                rig.wall,
                rig.wall_texture,
                [(-x, -y, 0), (x, -y, 0), (x, -y, wall), (-x, -y, wall)],
                0.65,
            )
        )
    for colour, kind, corners, shade in planes:
        edges = np.array(corners, dtype=float)
        cm = np.linalg.norm(edges[1] - edges[0]), np.linalg.norm(edges[2] - edges[1])
        columns, rows = (max(int(length * _TEXTURE_PX_PER_CM), 8) for length in cm)
        texture = _texture(kind, (rows, columns), generator)
        pixels = (camera.project(edges)[0] + 0.5) * _SUPERSAMPLE - 0.5
        if _signed_area(pixels) <= 0:
            continue
        source = np.array([(0, 0), (columns, 0), (columns, rows), (0, rows)], np.float32) - 0.5
        homography = cv2.getPerspectiveTransform(source, pixels.astype(np.float32))
        painted = cv2.warpPerspective(texture, homography, (width, height), flags=cv2.INTER_LINEAR)
        mask = cv2.warpPerspective(np.ones_like(texture), homography, (width, height))[..., None]
        image = image * (1 - mask) + mask * painted[..., None] * np.float32(colour) * shade
    image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
    return np.clip(image * 255, 0, 255).astype(np.uint8)


def paint_occluder(rig: Rig, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Paint what stands in front of the animal.

    Returns
    -------
    colour
        Red, green, blue in [0, 255], float32, shape (height, width, 3).
    alpha
        Opacity in [0, 1], float32, shape (height, width).
    """
    generator = np.random.default_rng(rig.seed + 1)
    height, width = size
    scale = 4
    alpha = np.zeros((height * scale, width * scale), np.uint8)
    tone = float(generator.uniform(0.15, 0.8))

    def stroke(start: tuple[float, float], end: tuple[float, float], thickness: float) -> None:
        points = [(int(x * width * scale), int(y * height * scale)) for x, y in (start, end)]
        cv2.line(alpha, points[0], points[1], 255, max(int(thickness * width * scale), 1))

    if rig.occluder == "bar":
        for x in generator.uniform(0.2, 0.8, 2):
            tilt = generator.uniform(-0.06, 0.06)
            stroke((x, -0.1), (x + tilt, 1.1), generator.uniform(0.014, 0.03))
    elif rig.occluder == "spout":
        x = generator.uniform(0.25, 0.75)
        lean = generator.uniform(-0.12, 0.12)
        stroke((x, -0.1), (x + lean, 0.5), 0.05)
        stroke((x + lean, 0.5), (x + 1.3 * lean, 0.66), 0.022)
    elif rig.occluder == "mesh":
        for x in np.arange(generator.uniform(0, 0.16), 1, 0.16):
            stroke((x, -0.1), (x, 1.1), 0.008)
    opacity = (
        cv2.resize(alpha, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    )
    # A rounded look: brighter in the middle of the metal than on its edges.
    core = cv2.GaussianBlur(opacity, (0, 0), max(width / 120, 0.8))
    colour = 255 * tone * (0.5 + 0.6 * core[..., None]) * np.ones(3, np.float32)
    return np.clip(colour, 0, 255).astype(np.float32), opacity


def light_map(rig: Rig, size: tuple[int, int]) -> np.ndarray:
    """Brightness over the image from gradient and vignette, float32, shape (height, width)."""
    y, x = np.mgrid[-1 : 1 : size[0] * 1j, -1 : 1 : size[1] * 1j]
    side = np.array(rig.light[:2])
    side = side / max(np.hypot(*side), 1e-6)
    ramp = 1 + 0.5 * rig.gradient * (side[0] * x - side[1] * y)
    return (ramp * (1 - rig.vignette * (x**2 + y**2) / 2)).astype(np.float32)


def _texture(kind: str, shape: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    """Brightness around 1, float32, for ``_TEXTURE_PX_PER_CM``."""
    rows, columns = shape
    base = 1 + 0.07 * _fractal_noise(shape, generator, 5)
    y, x = np.mgrid[:rows, :columns] / _TEXTURE_PX_PER_CM
    if kind == "planks":
        plank = np.floor(y / 2.5).astype(int)
        tones = generator.normal(1, 0.09, plank.max() + 1)
        grain = cv2.GaussianBlur(
            generator.standard_normal(shape).astype(np.float32), (0, 0), 14, None, 0.9
        )
        base *= tones[plank] + 0.8 * grain
        base[(y % 2.5) < 0.12] *= 0.72
    elif kind == "tiles":
        period = generator.uniform(2.0, 3.5)
        base[((x % period) < 0.14) | ((y % period) < 0.14)] *= 0.75
    elif kind == "stripes":
        base *= 1 + 0.16 * np.sign(np.sin(2 * np.pi * x / generator.uniform(2.0, 4.0)))
    elif kind == "speckle":
        spots = cv2.GaussianBlur(generator.standard_normal(shape).astype(np.float32), (0, 0), 2.0)
        base *= 1 + np.clip(1.6 * spots, -0.35, 0.35)
    return base.astype(np.float32)


def _fractal_noise(
    shape: tuple[int, int], generator: np.random.Generator, octaves: int
) -> np.ndarray:
    """Sum of ever finer random fields, about unit variance, float32."""
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        cells = (3 * 2**octave, 4 * 2**octave)
        coarse = generator.standard_normal(cells).astype(np.float32)
        total += cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC) * 0.75**octave
    return total / max(float(total.std()), 1e-6)


def _signed_area(polygon: np.ndarray) -> float:
    x, y = polygon.T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)
