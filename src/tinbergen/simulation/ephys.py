"""Neurons beside the film: spikes, true rates and trials of one simulated session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinbergen.errors import ConfigError
from tinbergen.recordings.frames import FrameSource
from tinbergen.simulation.behaviour import Bouts
from tinbergen.simulation.firing import draw_spikes
from tinbergen.simulation.motion import Latents
from tinbergen.simulation.neurons import ARENA_REGIONS, Population, latent_drives
from tinbergen.simulation.task import TASK_REGIONS, Task
from tinbergen.simulation.video_driven import VISUAL_REGIONS, visual_cells, visual_drives

# Busy and steady units: what a short film leaves unknown is then little.
_VISUAL_DRIFT, _VISUAL_HZ = 0.05, (5.0, 30.0)


def check_neurons(
    neurons: int, visual_neurons: int, task: bool, individuals: int, fano: float
) -> None:
    """Refuse what makes no sense, before anything is filmed."""
    for name, count in {"neurons": neurons, "visual_neurons": visual_neurons}.items():
        if count < 0:
            raise ConfigError(f"{name}: expected 0 or more, found {count}.")
    if task and (not neurons or individuals > 1):
        raise ConfigError(
            f"A task needs neurons that take part in it and a single animal in view; found "
            f"{neurons} neurons and {individuals} individuals."
        )
    if not (np.isfinite(fano) and fano >= 1):
        raise ConfigError(f"fano: expected 1 (Poisson) or more, found {fano}.")


def neural_streams(
    latents: Sequence[Latents],
    bouts: Sequence[Bouts],
    n: int,
    seed: Sequence[int],
    *,
    task: bool = False,
    fano: float = 1.0,
) -> dict[str, Any]:
    """Return streams of neurons that are driven by what the animals do.

    Parameters
    ----------
    latents, bouts
        Of each animal in view.
    n
        Units of each.
    seed
        Seed, number of the animal and of its recording: recordings of one animal have the same
        units.
    task
        The animal also works on a visual decision task (which the film does not show), and
        regions that take part in it join the others.
    fano
        See :func:`~tinbergen.simulation.firing.draw_spikes`.

    Returns
    -------
    dict
        ``spikes`` and ``rates`` (or ``spikes_0``, ``rates_0``, ... where several animals are in
        view), and with ``task`` also ``trials``, ``wheel`` and ``whisker``.
    """
    base, animal, recording = seed
    units = np.random.default_rng([base, animal, 0, 4])
    generator = np.random.default_rng([base, animal, recording, 5])
    duration = float(bouts[0].stops[-1])
    streams: dict[str, Any] = {}
    for i, (latent, bout) in enumerate(zip(latents, bouts, strict=True)):
        times = latent.times[latent.times < duration - 1e-9]
        drives = {name: drive[: len(times)] for name, drive in latent_drives(latent, bout).items()}
        regions = ARENA_REGIONS
        if task:
            played = Task().draw(generator, duration=duration)
            streams |= played.streams
            drives |= played.drives(times)
            regions = (*ARENA_REGIONS, *TASK_REGIONS)
        rates = Population.draw(n, units, regions).rates(times, drives, generator)
        suffix = "" if len(latents) == 1 else f"_{i}"
        streams[f"spikes{suffix}"] = draw_spikes(rates, generator, fano)
        streams[f"rates{suffix}"] = rates
    return streams


def visual_streams(
    video: FrameSource, n: int, seed: Sequence[int], *, fano: float = 1.0
) -> dict[str, Any]:
    """Return streams of neurons that are driven by the frames of ``video`` as written.

    Works for any video, simulated or real.

    Parameters
    ----------
    video
        Any source of frames; read once, batch by batch.
    n
        Number of units, shared out among
        :data:`~tinbergen.simulation.video_driven.VISUAL_REGIONS`.
    seed
        Seed, number of the animal and of its recording: recordings of one animal have the same
        units.
    fano
        See :func:`~tinbergen.simulation.firing.draw_spikes`.

    Returns
    -------
    dict
        ``visual_spikes`` and ``visual_rates`` (true rates, Hz).
    """
    base, animal, recording = seed
    units = np.random.default_rng([base, animal, 0, 6])
    population = Population.draw(n, units, VISUAL_REGIONS, _VISUAL_HZ)
    generator = np.random.default_rng([base, animal, recording, 7])
    times, drives = visual_drives(visual_cells(video))
    rates = population.rates(times, drives, generator, drift=_VISUAL_DRIFT)
    return {"visual_spikes": draw_spikes(rates, generator, fano), "visual_rates": rates}
