"""Draw the animals into the arena, frame by frame.

Each part of the body is an ellipsoid whose outline and surface depth have a closed form under the
affine approximation of the camera at its centre. Parts are resolved by a depth buffer that also
carries where on the fur each pixel lies; light and coat are then computed once for all parts
("deferred shading"), and the normals come from the smoothed depth, so that the parts melt into
one body.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from tinbergen.errors import ConfigError
from tinbergen.simulation.body import (
    EYE,
    FUR,
    KEYPOINT_RADIUS,
    KEYPOINTS,
    PAW,
    Body,
    Subject,
    articulate,
)
from tinbergen.simulation.motion import LATENTS, Latents, smooth_noise
from tinbergen.simulation.scene import Camera, Rig, light_map, paint_background, paint_occluder

_CHUNK = 128
_FUR_SIZE = 256
_FUR_PX_PER_CM = 12.0
_FAR = np.float32(-1e6)
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_BALL = (175, 70, 60)
_FRONT_PARTS = ("head", "snout", "neck", "chest")


@dataclass(frozen=True)
class Frame:
    """One rendered frame with its ground truth.

    Attributes
    ----------
    image
        uint8, shape (height, width) for a monochrome rig, else (height, width, 3).
    keypoints
        x, y (px), also of hidden keypoints, shape (individual, keypoint, 2).
    visible
        False where a keypoint is outside the image or hidden by the animal itself, by another one
        or by an object; shape (individual, keypoint).
    """

    image: np.ndarray
    keypoints: np.ndarray
    visible: np.ndarray


class Renderer:
    """Films ``subjects`` in the arena of ``rig``.

    Parameters
    ----------
    subjects
        The animals in view.
    rig
        Where and how they are filmed.
    size
        Height and width of the image (px).

    Attributes
    ----------
    camera
        The :class:`Camera`.
    background
        The empty arena under steady light, uint8, shape as the frames.
    """

    def __init__(self, subjects: Sequence[Subject], rig: Rig, size: tuple[int, int] = (192, 256)):
        if min(size) < 16:
            raise ConfigError(f"Expected a height and width of at least 16 px, found {size}.")
        self.subjects, self.rig, self.size = tuple(subjects), rig, tuple(size)
        self.camera = Camera.of_rig(rig, size)
        self._floor = paint_background(rig, self.camera, size)
        self._light = light_map(rig, size)[..., None]
        colour, alpha = paint_occluder(rig, size)
        self._occluder_alpha = alpha
        self._occluder = self._channels(colour) * alpha[..., None]
        self._coats = [_Coat.of(subject) for subject in subjects]
        self._x = np.arange(size[1], dtype=np.float32)
        self._y = np.arange(size[0], dtype=np.float32)
        lamp = np.array(rig.light, dtype=float)
        lamp /= np.linalg.norm(lamp)
        camera = self.camera
        self._lamp = np.array([lamp @ camera.right, lamp @ camera.down, -lamp @ camera.forward])
        bank = np.random.default_rng(rig.seed + 2).standard_normal((size[0] + 61, size[1] + 61, 1))
        self._noise = bank.astype(np.float32) * rig.noise
        base = self._channels(self._floor.astype(np.float32))
        self.background = self._expose(base, 1.0)

    def frames(
        self, latents: Sequence[Latents], times: np.ndarray, generator: np.random.Generator
    ) -> Iterator[Frame]:
        """Yield the frames at ``times`` (s), one at a time.

        Parameters
        ----------
        latents
            One per subject, on any grid that covers ``times``.
        times
            Frame times (s), shape (time,).
        generator
            Source of light changes, noise and of the way the bedding moves.
        """
        disturbances = _Disturbances.draw(self.rig, times, generator)
        bedding = _Bedding(self.rig, self.camera, self._floor, generator)
        background = self._channels(bedding.image().astype(np.float32))
        for start in range(0, len(times), _CHUNK):
            chunk = times[start : start + _CHUNK]
            bodies = [
                articulate(subject, latent.at(chunk))
                for subject, latent in zip(self.subjects, latents, strict=True)
            ]
            drawn = [_Splats.of(body, self.camera) for body in bodies]
            balls = _Splats.of(disturbances.ball_body(start, len(chunk)), self.camera)
            pixels = [self.camera.project(body.keypoints) for body in bodies]
            for i in range(len(chunk)):
                paws = np.concatenate([body.keypoints[i, -4:] for body in bodies])
                if bedding.kick(paws, generator):
                    background = self._channels(bedding.image().astype(np.float32))
                canvas, depth = background.copy(), None
                for body, subject in zip(bodies, self.subjects, strict=True):
                    self._cast_shadow(canvas, body, i, subject.scale)
                depth = self._draw(canvas, [*drawn, balls] if self.rig.ball else drawn, i)
                canvas *= 1 - self._occluder_alpha[..., None]
                canvas += self._occluder
                self._pass_shadow(canvas, disturbances, start + i)
                image = self._expose(canvas, disturbances.gain[start + i], generator)
                keypoints = np.stack([place[i] for place, _ in pixels])
                nearness = -np.stack([far[i] for _, far in pixels])
                yield Frame(image, keypoints, self._visible(keypoints, nearness, depth))

    def _channels(self, image: np.ndarray) -> np.ndarray:
        return (image @ _LUMA)[..., None] if self.rig.gray else image

    def _draw(self, canvas: np.ndarray, groups: Sequence[_Splats], i: int) -> np.ndarray:
        """Draw all parts into ``canvas``; return the depth buffer (nearness, cm)."""
        height, width = self.size
        # Rows: nearness, fur u, fur v, dorsal side, part number.
        buffer = np.zeros((5, height, width), np.float32)
        buffer[0] = _FAR
        cover = np.zeros((height, width), np.float32)
        first, box = 0, [width, height, 0, 0]
        for group in groups:
            for part in range(group.n_parts):
                touched = self._splat(buffer, cover, group, i, part, first + part)
                if touched:
                    x0, y0, x1, y1 = touched
                    box = [min(box[0], x0), min(box[1], y0), max(box[2], x1), max(box[3], y1)]
            first += group.n_parts
        if box[0] < box[2]:
            area = np.s_[max(box[1] - 1, 0) : box[3] + 1, max(box[0] - 1, 0) : box[2] + 1]
            colour = self._shade(buffer[(slice(None), *area)])
            alpha = cover[area][..., None]
            canvas[area] += alpha * (colour - canvas[area])
        return buffer[0]

    def _splat(self, buffer, cover, group: _Splats, i: int, part: int, number: int):
        """Put one ellipsoid into the depth buffer; return the box that it touched (px)."""
        x0, y0, x1, y1 = group.boxes[i, part]
        x0, y0 = max(x0, 0), max(y0, 0)
        x1, y1 = min(x1, self.size[1]), min(y1, self.size[0])
        if x0 >= x1 or y0 >= y1:
            return None
        centre_x, centre_y = group.pixels[i, part]
        a, b, c, sharpness = group.outlines[i, part]
        dx, dy = self._x[x0:x1] - centre_x, (self._y[y0:y1] - centre_y)[:, None]
        inside = (1 - a * dx * dx) - dy * (b * dx + c * dy)
        shape = inside.shape
        basis = np.empty((4, *shape), np.float32)
        basis[0], basis[1], basis[3] = dx, dy, 1
        np.sqrt(np.maximum(inside, 0), out=basis[2])
        planes = (group.surfaces[i, part] @ basis.reshape(4, -1)).reshape(4, *shape)
        edge = np.clip(inside * sharpness + 0.5, 0, 1)
        window = buffer[:, y0:y1, x0:x1]
        wins = (edge > 0) & (planes[0] > window[0])
        np.copyto(window[:4], planes, where=wins)
        np.copyto(window[4], np.float32(number), where=wins)
        view = cover[y0:y1, x0:x1]
        np.maximum(view, edge, out=view)
        return x0, y0, x1, y1

    def _shade(self, buffer: np.ndarray) -> np.ndarray:
        """Colour of every pixel of the animals, shape (height, width, channel), in [0, 255]."""
        near, number = buffer[0], buffer[4]
        scale = self.camera.focal / self.camera.distance
        known = near > _FAR / 2
        floor = near[known].min() - 0.4 if known.any() else 0.0
        surface = cv2.GaussianBlur(np.where(known, near, floor) * scale, (0, 0), 1.2)
        slope_x = cv2.Sobel(surface, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
        slope_y = cv2.Sobel(surface, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
        x, y, z = self._lamp
        facing = (z - x * slope_x - y * slope_y) / np.sqrt(1 + slope_x**2 + slope_y**2)
        shade = 0.42 + 0.7 * np.maximum(facing, 0)
        pixels = buffer[:, known]
        index = number[known].astype(np.intp)
        paint = np.empty((len(index), 3), np.float32)
        first = 0
        for coat in self._coats:
            mine = (index >= first) & (index < first + coat.n_parts)
            paint[mine] = coat.colour(index[mine] - first, *pixels[1:4, mine])
            first += coat.n_parts
        paint[index >= first] = _BALL
        colour = np.zeros((*near.shape, 3), np.float32)
        colour[known] = paint
        return self._channels(colour) * shade[..., None]

    def _cast_shadow(self, canvas: np.ndarray, body: Body, i: int, scale: float) -> None:
        """Darken the floor beneath and beside one animal."""
        rump, chest = body.centres[i, 0], body.centres[i, 2]
        middle = (rump + chest) / 2
        lamp = np.array(self.rig.light)
        along = (chest - rump) * [1, 1, 0]
        length = np.linalg.norm(along) + 1e-6
        along = along / length
        across = np.array([-along[1], along[0], 0])
        ground = middle - lamp / lamp[2] * middle[2] * 0.6
        ground[2] = 0.0
        points = np.stack([ground, ground + (length / 2 + 1.9 * scale) * along, ground + 1.7 * scale * across])
        (centre, tip, side), _ = self.camera.project(points)
        transform = np.linalg.inv(np.stack([tip - centre, side - centre], axis=1)).astype(np.float32)
        reach = 1.5 * np.abs(np.stack([tip - centre, side - centre])).sum(axis=0)
        x0, y0 = np.maximum(np.floor(centre - reach), 0).astype(int)
        x1, y1 = np.ceil(centre + reach).astype(int) + 1
        dx = (self._x[x0:x1] - np.float32(centre[0]))[None]
        dy = (self._y[y0:y1] - np.float32(centre[1]))[:, None]
        p = transform[0, 0] * dx + transform[0, 1] * dy
        q = transform[1, 0] * dx + transform[1, 1] * dy
        radius = p * p + q * q
        canvas[y0:y1, x0:x1] *= (1 - 0.5 * np.exp(-1.2 * radius * radius))[..., None]

    def _pass_shadow(self, canvas: np.ndarray, disturbances: _Disturbances, i: int) -> None:
        if not self.rig.passing_shadow:
            return
        height, width = self.size
        x, y = disturbances.shadow[i]
        row = np.exp(-(((self._x / width - x) / 0.22) ** 2))
        column = self.rig.passing_shadow * np.exp(-(((self._y / height - y) / 0.45) ** 2))
        canvas *= (1 - column[:, None] * row)[..., None]

    def _expose(
        self, canvas: np.ndarray, gain: float, generator: np.random.Generator | None = None
    ) -> np.ndarray:
        exposed = canvas * (self._light * np.float32(gain))
        if generator is not None:
            y, x = generator.integers(0, 61, 2)
            exposed += self._noise[y : y + self.size[0], x : x + self.size[1]]
        image = np.clip(exposed + 0.5, 0, 255).astype(np.uint8)
        return image[..., 0] if self.rig.gray else image

    def _visible(self, keypoints: np.ndarray, nearness: np.ndarray, depth: np.ndarray) -> np.ndarray:
        height, width = self.size
        x, y = np.rint(keypoints).astype(int).transpose(2, 0, 1)
        seen = (x >= 0) & (y >= 0) & (x < width) & (y < height)
        x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
        radius = KEYPOINT_RADIUS * np.array([[subject.scale] for subject in self.subjects])
        return seen & (nearness + radius >= depth[y, x]) & (self._occluder_alpha[y, x] < 0.5)


@dataclass(frozen=True)
class _Coat:
    """Colours of one subject's parts and the texture of its fur."""

    top: np.ndarray  # (part, 3), [0, 255]
    under: np.ndarray
    patch: np.ndarray
    contrast: np.ndarray  # (part,)
    fur: np.ndarray  # (2, _FUR_SIZE, _FUR_SIZE): fine hair and large patches
    n_parts: int

    @classmethod
    def of(cls, subject: Subject) -> _Coat:
        body = articulate(subject, Latents(np.zeros(1), np.zeros((1, len(LATENTS)))))
        coat, second, skin = (
            255 * np.array(c, np.float32) for c in (subject.coat, subject.second_coat, subject.skin)
        )
        material = np.array(body.materials)
        top = np.tile(skin, (len(material), 1))
        top[material == FUR] = coat
        top[material == PAW] = 0.5 * (skin + coat)
        top[material == EYE] = 12
        if subject.pattern == "hooded":
            rear = [m == FUR and p not in _FRONT_PARTS for m, p in zip(material, body.parts, strict=True)]
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


@dataclass(frozen=True)
class _Splats:
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
    def of(cls, body: Body, camera: Camera) -> _Splats:
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
        surfaces[..., 2, :] = local[..., 2, :] * radii[..., 2, None] + local[..., 1, :] * radii[..., 1, None]
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
class _Disturbances:
    """What changes in the image without the animal: light, a passing shadow, a rolling ball."""

    gain: np.ndarray  # (time,)
    shadow: np.ndarray  # (time, 2), fractions of the image
    ball: np.ndarray  # (time, 3) cm
    radius: float

    @classmethod
    def draw(cls, rig: Rig, times: np.ndarray, generator: np.random.Generator) -> _Disturbances:
        dt = 0.1
        n = int(np.ceil(times[-1] / dt)) + 2

        def slow(time_constant: float) -> np.ndarray:
            noise = smooth_noise(n, dt, time_constant, generator)
            return np.interp(times, np.arange(n) * dt, noise)

        gain = 1 + rig.drift * slow(30.0) + rig.flicker * generator.standard_normal(len(times))
        shadow = 0.5 + 0.45 * np.stack([slow(6.0), slow(9.0)], axis=-1)
        half = np.array(rig.arena[:2]) / 2 - rig.ball
        ball = np.tanh(0.8 * np.stack([slow(5.0), slow(5.0)], axis=-1)) * half
        height = np.full(len(times), rig.ball)
        return cls(np.clip(gain, 0.5, 1.5), shadow, np.column_stack([ball, height]), rig.ball)

    def ball_body(self, start: int, length: int) -> Body:
        centres = self.ball[start : start + length, None]
        axes = np.broadcast_to(np.eye(3) * max(self.radius, 0.1), (length, 1, 3, 3))
        return Body(centres, axes, ("ball",), (FUR,), np.empty((length, len(KEYPOINTS), 3)))


class _Bedding:
    """Pieces of bedding on the floor, kicked about by paws."""

    def __init__(self, rig: Rig, camera: Camera, floor: np.ndarray, generator: np.random.Generator):
        self._camera, self._floor = camera, floor
        self._half = np.array(rig.arena[:2]) / 2 - 0.3
        self._places = generator.uniform(-1, 1, (rig.grains, 2)) * self._half
        self._angles = generator.uniform(0, np.pi, rig.grains)
        self._lengths = generator.uniform(0.3, 0.9, rig.grains)
        tones = generator.uniform(0.6, 1.15, rig.grains)
        self._colours = np.clip(tones[:, None] * np.array([205, 175, 125]), 0, 255)

    def kick(self, paws: np.ndarray, generator: np.random.Generator) -> bool:
        """Move what lies under a paw on the floor; say whether anything moved."""
        low = paws[paws[:, 2] < 0.9, :2]
        if not len(low) or not len(self._places):
            return False
        near = (((self._places[:, None] - low) ** 2).sum(axis=-1) < 0.5).any(axis=1)
        if not near.any() or generator.random() > 0.3:
            return False
        count = int(near.sum())
        moved = self._places[near] + generator.normal(0, 0.5, (count, 2))
        self._places[near] = np.clip(moved, -self._half, self._half)
        self._angles[near] += generator.normal(0, 0.6, count)
        return True

    def image(self) -> np.ndarray:
        """Floor with bedding, uint8, shape (height, width, 3)."""
        image = self._floor.copy()
        along = np.stack([np.cos(self._angles), np.sin(self._angles)], axis=-1)
        ends = self._places[:, None] + np.array([-0.5, 0.5])[:, None] * (self._lengths[:, None] * along)[:, None]
        points = np.concatenate([ends, np.zeros((*ends.shape[:2], 1))], axis=-1)
        pixels = np.rint(self._camera.project(points)[0] * 16).astype(int)
        for (start, end), colour in zip(pixels.tolist(), self._colours.tolist(), strict=True):
            cv2.line(image, start, end, colour, 1, cv2.LINE_AA, shift=4)
        return image
