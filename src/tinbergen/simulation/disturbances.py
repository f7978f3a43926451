"""What changes in the image without the animal: light, a passing shadow, a ball, the bedding."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from tinbergen.simulation.body import FUR, KEYPOINTS, Body
from tinbergen.simulation.motion import smooth_noise
from tinbergen.simulation.scene import Camera, Rig


@dataclass(frozen=True)
class Disturbances:
    """Light, a passing shadow and a rolling ball over the frames of one recording."""

    gain: np.ndarray  # (time,)
    shadow: np.ndarray  # (time, 2), fractions of the image
    ball: np.ndarray  # (time, 3) cm
    radius: float

    @classmethod
    def draw(cls, rig: Rig, times: np.ndarray, generator: np.random.Generator) -> Disturbances:
        """Draw the disturbances at frame ``times`` (s)."""
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
        """Return the ball in ``length`` frames from ``start`` on, as a body of one part."""
        centres = self.ball[start : start + length, None]
        axes = np.broadcast_to(np.eye(3) * max(self.radius, 0.1), (length, 1, 3, 3))
        return Body(centres, axes, ("ball",), (FUR,), np.empty((length, len(KEYPOINTS), 3)))


class Bedding:
    """Pieces of bedding on the floor, kicked about by paws."""

    def __init__(
        self, rig: Rig, camera: Camera, floor: np.ndarray, generator: np.random.Generator
    ):
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
        ends = (
            self._places[:, None]
            + np.array([-0.5, 0.5])[:, None] * (self._lengths[:, None] * along)[:, None]
        )
        points = np.concatenate([ends, np.zeros((*ends.shape[:2], 1))], axis=-1)
        pixels = np.rint(self._camera.project(points)[0] * 16).astype(int)
        for (start, end), colour in zip(pixels.tolist(), self._colours.tolist(), strict=True):
            cv2.line(image, start, end, colour, 1, cv2.LINE_AA, shift=4)
        return image
