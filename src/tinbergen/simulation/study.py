"""Write a whole study of virtual animals: videos with everything that is true about them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from tinbergen.errors import ConfigError, OutputError
from tinbergen.files import ensure_output_folder
from tinbergen.progress import Progress
from tinbergen.recordings.dataset import Dataset
from tinbergen.recordings.keypoint_table import SINGLE
from tinbergen.recordings.keypoints import Keypoints
from tinbergen.recordings.labels import Labels
from tinbergen.recordings.recording import Recording
from tinbergen.recordings.series import Series
from tinbergen.recordings.video import Video
from tinbergen.recordings.video_writing import TICKS_PER_S, write_video
from tinbergen.simulation.behaviour import MOUSE, BehaviourModel, Bouts
from tinbergen.simulation.body import KEYPOINTS
from tinbergen.simulation.ephys import check_neurons, neural_streams, visual_streams
from tinbergen.simulation.labelling import FOLDER, named_splits, write_labels
from tinbergen.simulation.motion import LATENTS, Latents, simulate_latents
from tinbergen.simulation.render import Frame, Renderer
from tinbergen.simulation.scene import VIEWS, Rig, View, random_rig
from tinbergen.simulation.subject import Subject, random_subject

_BYTES_PER_PIXEL = 0.15
_STREAMS = ("keypoints", "behaviour", "latents*")
_NEURAL = ("spikes*", "rates*", "visual_*", "trials", "wheel", "whisker")


@dataclass(frozen=True)
class Session:
    """One simulated recording, before it is filmed.

    Attributes
    ----------
    name
        Name of the recording.
    subject
        Name of the animal, or of the group in view.
    subjects
        The animals in view.
    rig
        Where they are filmed.
    model
        What the bouts were drawn from.
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
    subject: str
    subjects: tuple[Subject, ...]
    rig: Rig
    model: BehaviourModel
    bouts: tuple[Bouts, ...]
    latents: tuple[Latents, ...]
    times: np.ndarray
    seed: tuple[int, ...]

    @classmethod
    def draw(
        cls,
        name: str,
        subject: str,
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
            name=name,
            subject=subject,
            subjects=tuple(subjects),
            rig=rig,
            model=model,
            bouts=tuple(bouts),
            latents=tuple(latents),
            times=times,
            seed=(*seed, 1),
        )

    def film(self, size: tuple[int, int] = (192, 256)) -> Iterator[Frame]:
        """Yield the frames of ``size`` (height, width; px) with their keypoints."""
        renderer = Renderer(self.subjects, self.rig, size)
        return renderer.frames(self.latents, self.times, np.random.default_rng(self.seed))

    def keypoints(self, positions: np.ndarray, visible: np.ndarray) -> Keypoints:
        """Return filmed keypoints as a stream: true positions (px), confidence 1 = visible."""
        names = [subject.name for subject in self.subjects]
        return Keypoints(
            times=self.times,
            positions=np.round(positions, 3),
            confidence=visible.astype(float),
            keypoints=KEYPOINTS,
            individuals=tuple(names) if len(names) > 1 else (SINGLE,),
        )

    def labels(self) -> Labels:
        """Return the bouts of all animals as a stream."""
        rows = [
            (start, stop, label, subject.name)
            for subject, bouts in zip(self.subjects, self.bouts, strict=True)
            for label, start, stop in zip(bouts.names, bouts.starts, bouts.stops, strict=True)
        ]
        return Labels(
            pd.DataFrame(rows, columns=["start", "stop", "label", "individual"]), self.model.names
        )

    def series(self) -> dict[str, Series]:
        """Return the latents at the frame times as streams: ``latents``, or one per animal."""
        return {
            "latents" if len(self.latents) == 1 else f"latents_{i}": Series(
                self.times, latents.at(self.times).values, tuple(LATENTS)
            )
            for i, latents in enumerate(self.latents)
        }


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
    neurons: int = 0,
    visual_neurons: int = 0,
    task: bool = False,
    fano: float = 1.0,
    labels: int = 0,
) -> Dataset:
    """Write videos of virtual animals with their ground truth, and open them as a dataset.

    Each animal has its own size, coat and rig (view, arena, light, what hides it); its recordings
    differ in behaviour, light and noise. The same arguments give the same frames and truth.

    Parameters
    ----------
    out
        Folder to write: ``videos/*.mp4``, ``keypoints/*.csv`` (DeepLabCut), ``behaviour/*.csv``,
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
    neurons
        Units of each animal that follow what it does; adds the streams ``spikes`` and ``rates``
        (true rates, Hz). Frames and truth stay the same.
    visual_neurons
        Units that are driven by the video as written; adds ``visual_spikes`` and
        ``visual_rates``.
    task
        Give the animals a visual decision task that the film does not show: adds ``trials``,
        ``wheel`` and ``whisker``, and regions that take part in it to the ``neurons``.
    fano
        Fano factor of the spike counts given the rates; 1 is Poisson.
    labels
        Frames of each recording to label for :mod:`tinbergen.pose`: a DeepLabCut project in
        ``labelled/``.

    Returns
    -------
    Dataset
        Each recording has the streams ``video``, ``keypoints`` (confidence 1 where visible, 0
        where hidden), ``behaviour`` and ``latents`` (``latents_0``, ``latents_1``, ... where
        several animals are in view; so with spikes and rates), and those of its neurons. Splits:
        ``time``, for recordings of 20 s and more, and ``animals``, where there are three.

    Raises
    ------
    ConfigError
        If a number makes no sense, for example an odd width.
    OutputError
        If ``out`` holds something already, cannot be written, or has too little space.
    """
    _check(animals, recordings_per_animal, individuals, duration, fps, size, views, jitter, seed)
    if not 0 <= labels <= round(duration * fps):
        most = round(duration * fps)
        raise ConfigError(f"labels: expected 0 to {most} frames a recording, found {labels}.")
    check_neurons(neurons, visual_neurons, task, individuals, fano)
    out = Path(out)
    if out.is_dir() and any(out.iterdir()):
        raise OutputError(f"{out} is not empty. Choose a new folder or empty this one.")
    n_frames = animals * recordings_per_animal * round(duration * fps)
    ensure_output_folder(out, int(n_frames * size[0] * size[1] * _BYTES_PER_PIXEL))
    try:
        with Progress(n_frames, "simulating", "frames") as progress:
            recordings = []
            for animal in range(animals):
                drawn = _sessions(
                    animal, recordings_per_animal, individuals, duration, fps, seed, views, jitter
                )
                for number, session in enumerate(drawn):
                    filmed = _record(session, out, size, progress)
                    own, streams = (seed, animal, number), dict(filmed.streams)
                    if neurons:
                        streams |= neural_streams(
                            session.latents, session.bouts, neurons, own, task=task, fano=fano
                        )
                    if visual_neurons:
                        streams |= visual_streams(filmed["video"], visual_neurons, own, fano=fano)
                    recordings.append(replace(filmed, streams=streams))
                    if labels:
                        write_labels(filmed, out / FOLDER, labels)
        path = Dataset(recordings, named_splits(recordings, duration)).save(out)
    except BaseException:
        for folder in ("videos", FOLDER, *_STREAMS, *_NEURAL):
            for found in out.glob(folder):
                shutil.rmtree(found)
        raise
    return Dataset.open(path)


def _check(animals, recordings, individuals, duration, fps, size, views, jitter, seed) -> None:
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
    if seed < 0:
        raise ConfigError(f"seed: expected a whole number >= 0, found {seed}.")


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
        yield Session.draw(f"{name}_session{number}", name, subjects, rig, times, duration, own)


def _record(session: Session, out: Path, size: tuple[int, int], progress: Progress) -> Recording:
    """Film one session to ``out/videos``; keep everything else that is known about it."""
    positions, visible = [], []

    def images() -> Iterator[np.ndarray]:
        for frame in session.film(size):
            positions.append(frame.keypoints)
            visible.append(frame.visible)
            progress.advance()
            yield frame.image

    path = out / "videos" / f"{session.name}.mp4"
    path.parent.mkdir(exist_ok=True)
    write_video(path, images(), session.times)
    streams = {
        "video": Video(path),
        "keypoints": session.keypoints(np.stack(positions), np.stack(visible)),
        "behaviour": session.labels(),
    }
    return Recording(session.name, streams | session.series(), session.subject)
