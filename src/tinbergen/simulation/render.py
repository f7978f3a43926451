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
from tinbergen.simulation.body import KEYPOINT_RADIUS, Body, articulate
from tinbergen.simulation.disturbances import Bedding, Disturbances
from tinbergen.simulation.motion import Latents
from tinbergen.simulation.scene import Camera, Rig, light_map, paint_background, paint_occluder
from tinbergen.simulation.subject import Subject
from tinbergen.simulation.surface import Coat, Splats

_CHUNK = 128
_FAR = np.float32(-1e6)
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_BALL = (175, 70, 60)


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
        The :class:`~tinbergen.simulation.Camera`.
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
        self._coats = [Coat.of(subject) for subject in subjects]
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
        disturbances = Disturbances.draw(self.rig, times, generator)
        bedding = Bedding(self.rig, self.camera, self._floor, generator)
        background = self._channels(bedding.image().astype(np.float32))
        for start in range(0, len(times), _CHUNK):
            chunk = times[start : start + _CHUNK]
            bodies = [
                articulate(subject, latent.at(chunk))
                for subject, latent in zip(self.subjects, latents, strict=True)
            ]
            drawn = [Splats.of(body, self.camera) for body in bodies]
            balls = Splats.of(disturbances.ball_body(start, len(chunk)), self.camera)
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

    def _draw(self, canvas: np.ndarray, groups: Sequence[Splats], i: int) -> np.ndarray:
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

    def _splat(self, buffer, cover, group: Splats, i: int, part: int, number: int):
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
        points = np.stack(
            [ground, ground + (length / 2 + 1.9 * scale) * along, ground + 1.7 * scale * across]
        )
        (centre, tip, side), _ = self.camera.project(points)
        transform = np.linalg.inv(np.stack([tip - centre, side - centre], axis=1)).astype(
            np.float32
        )
        reach = 1.5 * np.abs(np.stack([tip - centre, side - centre])).sum(axis=0)
        x0, y0 = np.maximum(np.floor(centre - reach), 0).astype(int)
        x1, y1 = np.ceil(centre + reach).astype(int) + 1
        dx = (self._x[x0:x1] - np.float32(centre[0]))[None]
        dy = (self._y[y0:y1] - np.float32(centre[1]))[:, None]
        p = transform[0, 0] * dx + transform[0, 1] * dy
        q = transform[1, 0] * dx + transform[1, 1] * dy
        radius = p * p + q * q
        canvas[y0:y1, x0:x1] *= (1 - 0.5 * np.exp(-1.2 * radius * radius))[..., None]

    def _pass_shadow(self, canvas: np.ndarray, disturbances: Disturbances, i: int) -> None:
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

    def _visible(
        self, keypoints: np.ndarray, nearness: np.ndarray, depth: np.ndarray
    ) -> np.ndarray:
        height, width = self.size
        x, y = np.rint(keypoints).astype(int).transpose(2, 0, 1)
        seen = (x >= 0) & (y >= 0) & (x < width) & (y < height)
        x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
        radius = KEYPOINT_RADIUS * np.array([[subject.scale] for subject in self.subjects])
        return seen & (nearness + radius >= depth[y, x]) & (self._occluder_alpha[y, x] < 0.5)
