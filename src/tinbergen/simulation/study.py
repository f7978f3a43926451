"""Write a whole study of virtual animals: videos with everything that is true about them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tinbergen.errors import ConfigError, OutputError
from tinbergen.files import ensure_output_folder
from tinbergen.progress import Progress
from tinbergen.simulation.behaviour import MOUSE, BehaviourModel, Bouts
from tinbergen.simulation.body import KEYPOINTS, Subject, random_subject
from tinbergen.simulation.files import TICKS_PER_S, write_video
from tinbergen.simulation.motion import LATENTS, Latents, simulate_latents
from tinbergen.simulation.render import Frame, Renderer
from tinbergen.simulation.scene import VIEWS, Rig, View, random_rig

if TYPE_CHECKING:
    from tinbergen.recordings import Dataset, Keypoints

_BYTES_PER_PIXEL = 0.15


@dataclass(frozen=True)
class Session:
    """One simulated recording, before it is filmed.

    Attributes
    ----------
    name
        Name of the recording.
    subjects
        The animals in view.
    rig
        Where they are filmed.
    bouts
        Behaviour of each animal.
    latents
        Latents of each animal on a 50 Hz grid; ``latents[0].at(times)`` gives them at any other
        times, for example to drive neurons.
    times
        Frame times (s), float64, shape (time,).
    seed
        Seed of everything that happens in front of the camera but is not the animal.
    """

    name: str
    subjects: tuple[Subject, ...]
    rig: Rig
    bouts: tuple[Bouts, ...]
    latents: tuple[Latents, ...]
    times: np.ndarray
    seed: tuple[int, ...]

    @classmethod
    def draw(
        cls,
        name: str,
        subjects: Sequence[Subject],
        rig: Rig,
        times: np.ndarray,
        duration: float,
        seed: Sequence[int],
        model: BehaviourModel = MOUSE,
    ) -> Session:
        """Draw behaviour and latents of ``duration`` (s); the same ``seed``, the same session."""
        generator = np.random.default_rng([*seed, 0])
        bouts = [model.sample(duration, generator) for _ in subjects]
        scales = [subject.scale for subject in subjects]
        latents = simulate_latents(bouts, scales, rig.arena[:2], generator)
        return cls(
            name, tuple(subjects), rig, tuple(bouts), tuple(latents), times, (*seed, 1)
        )

    def film(self, size: tuple[int, int] = (192, 256)) -> Iterator[Frame]:
        """Yield the frames of ``size`` (height, width; px) with their keypoints."""
        renderer = Renderer(self.subjects, self.rig, size)
        return renderer.frames(self.latents, self.times, np.random.default_rng(self.seed))


def frame_times(
    duration: float, fps: float, jitter: float = 0.0, generator: np.random.Generator | None = None
) -> np.ndarray:
    """Return frame times on the clock of the video file.

    Parameters
    ----------
    duration
        s.
    fps
        Mean frame rate (Hz).
    jitter
        Standard deviation of the interval between frames relative to its mean; 0 gives a constant
        frame rate.
    generator
        Needed where ``jitter`` is not 0.

    Returns
    -------
    numpy.ndarray
        Seconds from 0 in [0, ``duration``), ascending, float64, multiples of 1/90000 s.
    """
    n = max(round(duration * fps), 1)
    steps = np.full(n, 1.0)
    if jitter:
        if generator is None:
            raise ConfigError("Expected a generator for jitter, found none.")
        steps = np.clip(1 + jitter * generator.standard_normal(n), 0.2, None)
    times = np.concatenate([[0.0], np.cumsum(steps)[:-1]]) * (n / fps / steps.sum())
    return np.rint(times * TICKS_PER_S) / TICKS_PER_S


def simulate(
    out: str | os.PathLike,
    *,
    animals: int = 4,
    recordings_per_animal: int = 1,
    individuals: int = 1,
    duration: float = 60.0,
    fps: float = 30.0,
    size: tuple[int, int] = (192, 256),
    seed: int = 0,
    views: Sequence[View] = VIEWS,
    jitter: float = 0.0,
) -> Dataset:
    """Write videos of virtual animals with their ground truth, and open them as a dataset.

    Each animal has its own size, coat and rig (view, arena, light, what hides it); its recordings
    differ in behaviour, light and noise. The same arguments give the same frames and truth.

    Parameters
    ----------
    out
        Folder to write: ``videos/*.mp4``, ``keypoints/*.csv`` (DeepLabCut), ``behaviours/*.csv``,
        ``latents/*.npz`` and ``dataset.yaml``. Must be empty or absent.
    animals
        Number of animals, or of groups where ``individuals`` is more than 1.
    recordings_per_animal
        Recordings of each.
    individuals
        Animals in view at once.
    duration
        Length of each recording (s).
    fps
        Frame rate (Hz).
    size
        Height and width of the videos (px), both even.
    seed
        Seed of everything.
    views
        ``oblique``, ``side`` or ``top``; the animals take them in turn.
    jitter
        Standard deviation of the frame interval relative to its mean; 0 is a constant rate.

    Returns
    -------
    Dataset
        Each recording has the streams ``video``, ``keypoints``, ``behaviour`` and ``latents``
        (``behaviour_1``, ``latents_1``, ... for further individuals).

    Raises
    ------
    ConfigError
        If a number makes no sense, for example an odd width.
    OutputError
        If ``out`` holds something already, cannot be written, or has too little space.
    """
    _check(animals, recordings_per_animal, individuals, duration, fps, size, views, jitter)
    out = Path(out)
    if out.is_dir() and any(out.iterdir()):
        raise OutputError(f"{out} is not empty. Choose a new folder or empty this one.")
    n_frames = animals * recordings_per_animal * round(duration * fps)
    ensure_output_folder(out, int(n_frames * size[0] * size[1] * _BYTES_PER_PIXEL))
    try:
        with Progress(n_frames, "simulating", "frames") as progress:
            entries = [
                _write(session, out, size, progress)
                for animal in range(animals)
                for session in _sessions(
                    animal, recordings_per_animal, individuals, duration, fps, seed, views, jitter
                )
            ]
    except BaseException:
        for folder in ("videos", "keypoints", "behaviours", "latents"):
            shutil.rmtree(out / folder, ignore_errors=True)
        raise
    return _finish(out, entries)


def _check(animals, recordings, individuals, duration, fps, size, views, jitter) -> None:
    counts = {"animals": animals, "recordings_per_animal": recordings, "individuals": individuals}
    for name, count in counts.items():
        if count < 1:
            raise ConfigError(f"{name}: expected at least 1, found {count}.")
    if not (np.isfinite(duration) and duration > 0 and np.isfinite(fps) and fps > 0):
        raise ConfigError(
            f"Expected a duration (s) and fps (Hz) above 0, found {duration} and {fps}."
        )
    if round(duration * fps) < 1:
        raise ConfigError(f"{duration} s at {fps} Hz hold no frame; ask for a longer duration.")
    if len(size) != 2 or any(side < 32 or side % 2 for side in size):
        raise ConfigError(
            f"size: expected an even height and width of at least 32 px, found {tuple(size)}; "
            "the videos are yuv420p, in which two by two pixels share one colour."
        )
    if not views or any(view not in VIEWS for view in views):
        raise ConfigError(f"views: expected some of {', '.join(VIEWS)}, found {tuple(views)}.")
    if not 0 <= jitter < 1:
        raise ConfigError(f"jitter: expected 0 <= jitter < 1, found {jitter}.")


def _sessions(
    animal: int, recordings: int, individuals: int, duration, fps, seed: int, views, jitter
) -> Iterator[Session]:
    generator = np.random.default_rng([seed, animal])
    name = f"animal{animal}"
    names = [name] if individuals == 1 else [f"{name}_{i}" for i in range(individuals)]
    subjects = [random_subject(subject, generator) for subject in names]
    rig = random_rig(views[animal % len(views)], generator)
    for number in range(recordings):
        own = (seed, animal, number)
        times = frame_times(duration, fps, jitter, np.random.default_rng([*own, 2]))
        yield Session.draw(f"{name}_session{number}", subjects, rig, times, duration, own)


def _write(session: Session, out: Path, size: tuple[int, int], progress: Progress) -> None:
    """Film one session and write its files."""
    keypoints, visible = [], []

    def images() -> Iterator[np.ndarray]:
        for frame in session.film(size):
            keypoints.append(frame.keypoints)
            visible.append(frame.visible)
            progress.advance()
            yield frame.image

    (out / "videos").mkdir(exist_ok=True)
    write_video(out / "videos" / f"{session.name}.mp4", images(), session.times, size)
    return np.stack(keypoints), np.stack(visible)


def _finish(out, entries):
    return entries
