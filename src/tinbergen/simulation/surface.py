"""The surface of a body: its ellipsoids as a camera sees them, and the coat they wear."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from tinbergen.simulation.body import EYE, FUR, PAW, Body, articulate
from tinbergen.simulation.motion import LATENTS, Latents
from tinbergen.simulation.scene import Camera
from tinbergen.simulation.subject import Subject

_FUR_SIZE = 256
_FUR_PX_PER_CM = 12.0
_FRONT_PARTS = ("head", "snout", "neck", "chest")


@dataclass(frozen=True)
class Splats:
    """Ellipsoids as seen by a camera, for a chunk of frames.

    With (dx, dy) from the projected centre in px, the outline is ``a dx^2 + b dx dy + c dy^2 < 1``
    and, with ``root = sqrt(1 - that)``, nearness to the camera and place on the surface are linear
    in ``(dx, dy, root, 1)``.
    """

    pixels: np.ndarray  # (time, part, 2) float32
    boxes: np.ndarray  # (time, part, 4) int: x0, y0, x1, y1
    outlines: np.ndarray  # (time, part, 4) float32: a, b, c, sharpness of the edge
    surfaces: np.ndarray  # (time, part, 4, 4) float32: nearness, u, v, dorsal
    n_parts: int

    @classmethod
    def of(cls, body: Body, camera: Camera) -> Splats:
        """Project all ellipsoids of ``body`` into the image of ``camera``."""
        pixels, depth = camera.project(body.centres)
        scale = camera.focal / depth
        # Camera axes: right, down (px), towards the camera (cm).
        turn = np.stack([camera.right, camera.down, -camera.forward])
        axes = turn @ body.axes
        axes[..., :2, :] *= scale[..., None, None]
        spread = axes @ axes.swapaxes(-1, -2)
        # Nothing is thinner than a pixel, or it would vanish between the pixel centres.
        flat = spread[..., :2, :2] + 0.3 * np.eye(2)
        inverse = np.linalg.inv(flat)
        lean = (inverse @ spread[..., :2, 2:])[..., 0]
        height = spread[..., 2, 2] - (lean * spread[..., 2, :2]).sum(axis=-1)
        rise = np.sqrt(np.maximum(height, 1e-4))
        # Place on the surface: coordinates along the semi-axes, from -1 to 1.
        back = np.linalg.inv(axes)
        radii = np.linalg.norm(body.axes, axis=-2)
        local = np.empty((*depth.shape, 3, 4))
        local[..., :2] = back[..., :2] + back[..., 2:] * lean[..., None, :]
        local[..., 2] = back[..., 2] * rise[..., None]
        local[..., 3] = 0
        surfaces = np.empty((*depth.shape, 4, 4))
        surfaces[..., 0, :2], surfaces[..., 0, 2], surfaces[..., 0, 3] = lean, rise, -depth
        surfaces[..., 1, :] = local[..., 0, :] * radii[..., 0, None]
        surfaces[..., 2, :] = (
            local[..., 2, :] * radii[..., 2, None] + local[..., 1, :] * radii[..., 1, None]
        )
        surfaces[..., 1:3, :] *= _FUR_PX_PER_CM
        surfaces[..., 1, 3] += 37.0 * np.arange(depth.shape[1])
        surfaces[..., 3, :] = local[..., 2, :]
        trace, product = np.trace(flat, axis1=-2, axis2=-1), np.linalg.det(flat)
        thin = np.sqrt((trace - np.sqrt(np.maximum(trace**2 - 4 * product, 0))) / 2)
        outlines = np.stack(
            [inverse[..., 0, 0], 2 * inverse[..., 0, 1], inverse[..., 1, 1], thin / 2], axis=-1
        )
        reach = np.sqrt(np.diagonal(flat, axis1=-2, axis2=-1)) + 1
        boxes = np.concatenate([np.floor(pixels - reach), np.ceil(pixels + reach) + 1], axis=-1)
        return cls(
            pixels.astype(np.float32),
            boxes.astype(np.int64),
            outlines.astype(np.float32),
            surfaces.astype(np.float32),
            depth.shape[1],
        )


@dataclass(frozen=True)
class Coat:
    """Colours of one subject's parts and the texture of its fur."""

    top: np.ndarray  # (part, 3), [0, 255]
    under: np.ndarray
    patch: np.ndarray
    contrast: np.ndarray  # (part,)
    fur: np.ndarray  # (2, _FUR_SIZE, _FUR_SIZE): fine hair and large patches
    n_parts: int

    @classmethod
    def of(cls, subject: Subject) -> Coat:
        """Colour every part of the body of ``subject``."""
        body = articulate(subject, Latents(np.zeros(1), np.zeros((1, len(LATENTS)))))
        coat, second, skin = (
            255 * np.array(c, np.float32)
            for c in (subject.coat, subject.second_coat, subject.skin)
        )
        material = np.array(body.materials)
        top = np.tile(skin, (len(material), 1))
        top[material == FUR] = coat
        top[material == PAW] = 0.5 * (skin + coat)
        top[material == EYE] = 12
        if subject.pattern == "hooded":
            rear = [
                m == FUR and p not in _FRONT_PARTS
                for m, p in zip(material, body.parts, strict=True)
            ]
            top[rear] = second
        under, patch = top.copy(), top.copy()
        furry = material == FUR
        under[furry] += subject.belly * (235 - under[furry])
        if subject.pattern == "patched":
            patch[furry] = second
        contrast = np.where(furry, subject.fur, 0.04).astype(np.float32)
        return cls(top, under, patch, contrast, _fur(subject.texture_seed), len(material))

    def colour(self, part: np.ndarray, u, v, dorsal) -> np.ndarray:
        """Return colours of pixels given their ``part`` and place on it, shape (pixel, 3)."""
        column = u.astype(np.intp) % _FUR_SIZE
        row = v.astype(np.intp) % _FUR_SIZE
        hair, patches = self.fur[:, row, column]
        under = np.clip(0.5 - 1.6 * dorsal, 0, 1)[:, None]
        colour = self.top[part]
        colour += patches[:, None] * (self.patch[part] - colour)
        colour += under * (self.under[part] - colour) * (1 - patches[:, None])
        return colour * (1 + self.contrast[part] * hair)[:, None]


def _fur(seed: int) -> np.ndarray:
    """Hair that runs along the body and large patches; both tile."""
    generator = np.random.default_rng(seed)

    def field(sigma_x: float, sigma_y: float) -> np.ndarray:
        raw = generator.standard_normal((_FUR_SIZE, _FUR_SIZE)).astype(np.float32)
        padded = np.pad(raw, 64, mode="wrap")
        smooth = cv2.GaussianBlur(padded, (0, 0), sigma_x, None, sigma_y)[64:-64, 64:-64]
        return smooth / smooth.std()

    hair = np.clip(0.7 * field(5.0, 1.5) + 0.5 * field(12.0, 6.0), -2, 2)
    patches = 1 / (1 + np.exp(-12 * (field(11.0, 11.0) - 0.3)))
    return np.stack([hair, patches]).astype(np.float32)
