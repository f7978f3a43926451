"""Continuous latents: where the animal is, how it holds itself, and how aroused it is.

They follow from the bouts of behaviour and from slow Ornstein-Uhlenbeck processes, on a grid of
50 Hz that does not depend on the camera, so the same seed gives the same movement at any frame
rate. The latents drive the body; neurons can be driven by the same latents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import lfilter

from tinbergen.errors import ConfigError
from tinbergen.simulation.behaviour import Bouts

LATENTS = {
    "x": "cm",
    "y": "cm",
    "heading": "rad",
    "speed": "cm/s",
    "turning": "rad/s",
    "gait_phase": "rad",
    "gait": "1",
    "rearing": "1",
    "grooming": "1",
    "groom_phase": "rad",
    "crouching": "1",
    "head_yaw": "rad",
    "head_pitch": "rad",
    "tail_curl": "rad",
    "breath_phase": "rad",
    "arousal": "1",
}
"""Name -> unit. Angles and phases are unwrapped; x, y lie on the floor from its centre."""

_DT = 0.02
_BLEND_S = 0.09
_STRIDE_CM = 5.0
_WALK_CM_S = 11.0
_REACH_CM = 5.0
_SPACING_CM = 5.0


@dataclass(frozen=True)
class Latents:
    """The latents of one individual.

    Attributes
    ----------
    times
        Seconds, float64, shape (time,).
    values
        Columns in the order of :data:`LATENTS`, float64, shape (time, latent).
    """

    times: np.ndarray
    values: np.ndarray

    def __getitem__(self, name: str) -> np.ndarray:
        """Return one latent, shape (time,)."""
        return self.values[:, list(LATENTS).index(name)]

    def at(self, times: np.ndarray) -> Latents:
        """Interpolate linearly to other ``times`` (s)."""
        columns = [np.interp(times, self.times, column) for column in self.values.T]
        return Latents(np.asarray(times, dtype=float), np.stack(columns, axis=1))


def simulate_latents(
    bouts: Sequence[Bouts],
    scales: Sequence[float],
    arena: tuple[float, float],
    generator: np.random.Generator,
) -> list[Latents]:
    """Draw the latents of all individuals that share one arena.

    Parameters
    ----------
    bouts
        Behaviour of each individual, all of one duration; the names ``walk``, ``rear``, ``groom``
        and ``rest`` move the body.
    scales
        Size of each individual relative to a mouse of about 9 cm; scales speed and stride.
    arena
        Length and width of the floor (cm).
    generator
        Source of all randomness.

    Returns
    -------
    list of Latents
        One per individual, on a grid of 50 Hz over the duration (s).
    """
    if not bouts or len(bouts) != len(scales):
        raise ConfigError(
            f"Expected bouts and a scale for each individual, found {len(bouts)} bouts "
            f"and {len(scales)} scales."
        )
    duration = float(bouts[0].stops[-1])
    times = np.arange(int(np.ceil(duration / _DT)) + 2) * _DT
    drives = [
        _drive(bout, times, scale, generator) for bout, scale in zip(bouts, scales, strict=True)
    ]
    x, y, heading = _paths(drives, np.asarray(scales, dtype=float), arena, generator)
    return [
        _complete(times, drive, scale, x[:, i], y[:, i], heading[:, i])
        for i, (drive, scale) in enumerate(zip(drives, scales, strict=True))
    ]


def smooth_noise(
    n: int, dt: float, time_constant: float, generator: np.random.Generator
) -> np.ndarray:
    """Ornstein-Uhlenbeck process of unit variance sampled every ``dt`` (s), shape (n,)."""
    decay = np.exp(-dt / time_constant)
    kicks = generator.standard_normal(n) * np.sqrt(1 - decay**2)
    kicks[0] = generator.standard_normal()
    return np.asarray(lfilter([1.0], [1.0, -decay], kicks))


def _drive(
    bouts: Bouts, times: np.ndarray, scale: float, generator: np.random.Generator
) -> dict[str, np.ndarray]:
    """Everything that does not depend on the walls and on the other animals."""

    def noise(time_constant: float) -> np.ndarray:
        # A body has inertia: without the filter, the steps of the process look like a tremor.
        rough = smooth_noise(times.size, _DT, time_constant, generator)
        return gaussian_filter1d(rough, 0.15 * time_constant / _DT)

    def blend(name: str) -> np.ndarray:
        return gaussian_filter1d(bouts.active(name, times).astype(float), _BLEND_S / _DT)

    walk, rear, groom, rest = (blend(name) for name in ("walk", "rear", "groom", "rest"))
    arousal = 1 / (1 + np.exp(-(noise(20.0) + 1.2 * (walk + rear - rest - 0.3))))
    arousal = gaussian_filter1d(arousal, 0.8 / _DT)
    pace = (0.45 + arousal) * np.exp(0.2 * noise(0.8))
    head, nod = noise(0.35), noise(0.3)
    strokes = 2 * np.pi * (5.0 + noise(0.5))
    return {
        "speed": _WALK_CM_S * scale * walk * pace,
        "turning": (0.03 + walk) * 1.1 * noise(0.7),
        "rearing": rear * np.clip(0.85 + 0.2 * noise(0.5), 0.3, 1.1),
        "grooming": groom,
        "groom_phase": np.cumsum(np.clip(strokes, 0, None) * (groom > 0.02)) * _DT,
        "crouching": rest,
        "head_yaw": (0.35 + 0.25 * rear - 0.15 * rest) * head,
        "head_pitch": (0.16 + 0.15 * rear) * nod + 0.12 * walk * np.sin(2 * np.pi * 3.1 * times),
        "tail_curl": 0.9 * noise(1.2) + 0.9 * rest * np.sign(noise(30.0)),
        "breath_phase": np.cumsum(2 * np.pi * (1.6 + 2.4 * arousal)) * _DT,
        "arousal": arousal,
    }


def _paths(
    drives: Sequence[dict[str, np.ndarray]],
    scales: np.ndarray,
    arena: tuple[float, float],
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Walk all individuals through the arena; they turn away from walls and from each other."""
    n = len(drives)
    half = np.maximum(np.array(arena) / 2 - 2.8 * scales.max(), 0.1)
    speed = np.stack([drive["speed"] for drive in drives], axis=1)
    turning = np.stack([drive["turning"] for drive in drives], axis=1)
    place = np.stack([np.linspace(-0.6, 0.6, n + 2)[1:-1] * half[0], np.zeros(n)], axis=1)
    place += generator.uniform(-0.3, 0.3, (n, 2)) * half
    angle = generator.uniform(-np.pi, np.pi, n)
    path = np.empty((len(speed), n, 3))
    for step in range(len(speed)):
        path[step, :, :2], path[step, :, 2] = place, angle
        forward = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        nose = place + _REACH_CM * scales[:, None] * forward
        push = np.clip(nose, -half, half) - nose
        place = place.copy()
        for i in range(n):
            for j in range(n):
                gap = place[i] - place[j]
                distance = float(np.hypot(*gap))
                if i != j and distance < 2 * _SPACING_CM:
                    away = gap / max(distance, 1e-6)
                    push[i] += away * (2 * _SPACING_CM - distance) / 4
                    overlap = max(_SPACING_CM * (scales[i] + scales[j]) / 2 - distance, 0.0)
                    place[i] = place[i] + away * min(overlap * 2.0, 5.0) * _DT
        strength = np.hypot(push[:, 0], push[:, 1])
        wanted = np.arctan2(push[:, 1], push[:, 0])
        going = np.minimum(speed[step] / (_WALK_CM_S * scales), 1.0)
        steer = np.sin(wanted - angle) + 0.3 * (np.cos(wanted - angle) < -0.9)
        angle = angle + _DT * (turning[step] + 3.2 * going * np.minimum(strength, 1.5) * steer)
        blocked = np.clip(1 + np.cos(wanted - angle) * np.minimum(strength / 2.5, 1), 0.05, 1)
        place = place + (_DT * speed[step] * blocked)[:, None] * forward
        place = np.clip(place, -half, half)
    return path[..., 0], path[..., 1], path[..., 2]


def _complete(
    times: np.ndarray,
    drive: dict[str, np.ndarray],
    scale: float,
    x: np.ndarray,
    y: np.ndarray,
    heading: np.ndarray,
) -> Latents:
    """Derive speed, turning and gait from the path that was really walked."""
    speed = np.hypot(np.gradient(x, _DT), np.gradient(y, _DT))
    turning = np.gradient(heading, _DT)
    # Turning on the spot is stepping too: a paw 2 cm from the centre travels 2 cm per rad.
    stepping = speed + 2.0 * scale * np.abs(turning)
    found = drive | {
        "x": x,
        "y": y,
        "heading": heading,
        "speed": speed,
        "turning": turning,
        "gait_phase": np.cumsum(2 * np.pi * stepping / (_STRIDE_CM * scale)) * _DT,
        "gait": 1 - np.exp(-stepping / (2.0 * scale)),
    }
    return Latents(times, np.stack([found[name] for name in LATENTS], axis=1))
