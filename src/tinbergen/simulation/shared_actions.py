"""Animals that act alike but look different and share no neuron, for models across animals.

A two-dimensional latent wanders in a square, smoothly and in every animal for itself; its quadrant
is the action. All animals turn the latent into pose by one non-linear map, then each adds its own
offset and gain: the *gap* between animals. Neurons have bumps of tuning over the latent, drawn
anew for each animal, and are seen through the slow response of a calcium indicator.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import fftconvolve

from tinbergen.errors import ConfigError
from tinbergen.recordings.labels import Labels
from tinbergen.recordings.recording import Recording
from tinbergen.recordings.series import Series
from tinbergen.simulation.calcium import Indicator

CONNECTIVE = Indicator(rise=1 / 7.4, decay=1 / 0.3)
"""Response of calcium in fly descending neurons, ``exp(-0.3 t) - exp(-7.4 t)``, from the code of
Aymanns et al., eLife 2022, 81527."""
FAST = Indicator(rise=0.01, decay=0.5)
ACTIONS = ("left down", "left up", "right down", "right up")
_TUNING = 0.4  # standard deviation of a bump, in a square of side 2
_RESPONSE_S = 15.0  # where the kernel is cut off


@dataclass(frozen=True)
class SharedActions:
    """Settings of :func:`simulate_shared_actions`.

    Attributes
    ----------
    animals, neurons, pose
        How many of each; neurons an animal, columns of the pose.
    duration
        s of each animal.
    fps, pose_fps
        Hz of neural frames and of poses.
    smoothness
        s over which the latent is averaged; an action lasts about as long.
    gap
        Of the pose between animals: 0 none, 1 an offset of half a standard deviation and a gain
        of +-20 % in each column.
    indicator
        Between activity and trace: half a second of decay, or for example :data:`CONNECTIVE`,
        through which a trace is 3.3 s late on average.
    noise
        Standard deviation of a trace; the activity of a neuron reaches 0.5 to 1.5.
    """

    animals: int = 6
    neurons: int = 100
    pose: int = 20
    duration: float = 187.5
    fps: float = 16.0
    pose_fps: float = 16.0
    smoothness: float = 3.1
    gap: float = 1.0
    indicator: Indicator = FAST
    noise: float = 0.3

    def __post_init__(self) -> None:
        least = min(self.animals, self.neurons, self.pose)
        positive = min(self.duration, self.fps, self.pose_fps, self.smoothness) > 0
        if least < 1 or not positive or self.gap < 0 or self.noise < 0:
            raise ConfigError(
                "SharedActions: expected at least one animal, neuron and column of pose, times "
                f"and rates above 0, and gap and noise of at least 0; found {self}."
            )


def simulate_shared_actions(
    settings: SharedActions | None = None, *, seed: int = 0
) -> list[Recording]:
    """Draw the recordings of several animals.

    Parameters
    ----------
    settings
        Default: :class:`SharedActions`.
    seed
        Of everything; an animal does not depend on how many there are.

    Returns
    -------
    list of Recording
        Of each animal ``neural`` (Series, a.u., what the microscope shows), ``clean`` (the same
        without noise), ``pose`` (Series), ``latents`` (Series, at the times of the pose) and
        ``actions`` (Labels). What decodes the latents best from ``neural`` with the latents known
        in training is the ceiling; without noise or blur it is 1.

    Examples
    --------
    >>> first, second = simulate_shared_actions(SharedActions(animals=2, duration=20.0))
    >>> first["neural"].values.shape, first["pose"].values.shape, first.subject
    ((320, 100), (320, 20), 'animal1')
    """
    settings = settings or SharedActions()
    body = np.random.default_rng([seed, 0])
    maps = body.standard_normal((2, settings.pose)), body.standard_normal((settings.pose,) * 2) / 5
    return [
        _animal(settings, maps, f"animal{k + 1}", np.random.default_rng([seed, k + 1]))
        for k in range(settings.animals)
    ]


def _animal(
    settings: SharedActions,
    maps: tuple[np.ndarray, np.ndarray],
    name: str,
    rng: np.random.Generator,
) -> Recording:
    rate = max(settings.fps, settings.pose_fps)
    before = round(_RESPONSE_S * rate)  # so that the first frame has a past
    n = round(settings.duration * rate)
    latent = _wander(before + n, round(settings.smoothness * rate), rng)
    grid = (np.arange(before + n) - before) / rate
    times = np.arange(round(settings.duration * settings.fps)) / settings.fps
    pose_times = np.arange(round(settings.duration * settings.pose_fps)) / settings.pose_fps
    clean = _at(times, grid, _traces(latent, settings, rate, rng))
    noisy = clean + settings.noise * rng.standard_normal(clean.shape)
    shown = _at(pose_times, grid, latent)
    codes = 2 * (shown[:, 0] > 0).astype(int) + (shown[:, 1] > 0)
    return Recording(
        name,
        {
            "neural": Series(times, noisy.astype(np.float32), unit="a.u."),
            "clean": Series(times, clean.astype(np.float32), unit="a.u."),
            "pose": Series(pose_times, _posture(shown, settings, maps, rng).astype(np.float32)),
            "latents": Series(pose_times, shown, ("x", "y")),
            "actions": Labels.from_frames(pose_times, codes, ACTIONS),
        },
        subject=name,
    )


def _wander(n: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Return a smooth path in the square of side 2, ``(n, 2)``."""
    kernel = np.hanning(max(width, 1) + 2)[1:-1, None]
    path = fftconvolve(rng.standard_normal((n + len(kernel) - 1, 2)), kernel, "valid", axes=0)
    return np.tanh(path / np.sqrt((kernel**2).sum()))


def _traces(
    latent: np.ndarray, settings: SharedActions, rate: float, rng: np.random.Generator
) -> np.ndarray:
    centres = rng.uniform(-1, 1, (settings.neurons, 2))
    gains = rng.uniform(0.5, 1.5, settings.neurons)
    distance = ((latent[:, None] - centres) ** 2).sum(axis=-1)
    activity = gains * np.exp(-distance / (2 * _TUNING**2))
    kernel = settings.indicator.kernel(np.arange(round(_RESPONSE_S * rate)) / rate)
    return fftconvolve(activity, kernel[:, None] / kernel.sum(), axes=0)[: len(latent)]


def _posture(
    latent: np.ndarray,
    settings: SharedActions,
    maps: tuple[np.ndarray, np.ndarray],
    rng: np.random.Generator,
) -> np.ndarray:
    first, second = maps
    pose = np.tanh(latent @ first) + 0.3 * np.sin(3 * latent @ first @ second)
    gain = rng.uniform(1 - 0.2 * settings.gap, 1 + 0.2 * settings.gap, settings.pose)
    offset = 0.5 * settings.gap * rng.standard_normal(settings.pose)
    return pose * gain + offset + 0.05 * rng.standard_normal(pose.shape)


def _at(times: np.ndarray, grid: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Interpolate each column of ``values`` on ``grid`` at ``times``."""
    place = np.interp(times, grid, np.arange(len(grid)))
    low = np.minimum(place.astype(int), len(grid) - 2)
    share = (place - low)[:, None]
    return (1 - share) * values[low] + share * values[low + 1]
