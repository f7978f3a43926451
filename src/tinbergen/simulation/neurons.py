"""Neurons that read what an animal does: regions, tuning, latencies, drift.

A unit reads a few *drives*: functions of time of order 1 that say what the animal does, in an
arena (:func:`latent_drives`) or in a task (:class:`tinbergen.simulation.TaskSession`). Its rate is

    rate(t) = scale * gain(state, t) * F( sum_j f_j( sum_b a_b (B_b * drive_j)(t) ) )

with ``B`` a basis of latencies that all units of all animals share (:func:`latency_basis`), ``a``
the unit's own place in it, ``f`` a weight or a bump around a preferred value, and ``F`` an
exponential or a softplus. Animals share regions and basis, never a unit. The names of regions are
there to be readable; what they read is invented.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter1d
from scipy.signal import fftconvolve

from tinbergen.errors import ConfigError
from tinbergen.recordings.intervals import Intervals
from tinbergen.recordings.series import Series
from tinbergen.simulation.behaviour import MOUSE, Bouts
from tinbergen.simulation.motion import Latents, smooth_noise

LATENCIES = np.linspace(-0.2, 0.4, 13)
"""Centres of the shared basis of latencies (s); above 0 the neuron follows the drive."""

_SPACING = float(LATENCIES[1] - LATENCIES[0])
_STATE_SD_S = 0.08
_STEEPEST = 3.0
_FASTEST_HZ = 150.0
_DRIFT_S = 300.0
_REGION_UM = 400.0


@dataclass(frozen=True)
class Region:
    """What the units of one region have in common.

    Attributes
    ----------
    name
        Of the region.
    reads
        Names of the drives that its units choose from.
    latency
        Mean latency (s); above 0 the units follow the drive, below 0 they lead.
    states
        Drives in [0, 1] that scale the rate as a whole, for example behaviours.
    bumps
        Share of drives that a unit reads with a bump around a preferred value.
    """

    name: str
    reads: tuple[str, ...]
    latency: float = 0.0
    states: tuple[str, ...] = ()
    bumps: float = 0.3

    def __post_init__(self) -> None:
        if not self.reads or not LATENCIES[0] <= self.latency <= LATENCIES[-1]:
            raise ConfigError(
                f"Region {self.name!r}: expected drives to read and a latency between "
                f"{LATENCIES[0]:g} and {LATENCIES[-1]:g} s, found {self.reads} and {self.latency}."
            )


ARENA_REGIONS = (
    Region("MOs", ("speed", "turning", "rearing", "head_yaw", "head_pitch"), -0.1, MOUSE.names),
    Region(
        "SSp", ("gait_sin", "gait_cos", "groom_sin", "groom_cos", "speed"), 0.05, MOUSE.names, 0.1
    ),
    Region("STR", (*MOUSE.names, "speed", "arousal"), 0.0, MOUSE.names, 0.0),
    Region("CA1", ("x", "y", "heading_sin", "heading_cos", "speed"), 0.1, ("rest",), 0.7),
    Region("TH", ("arousal", "crouching", "head_yaw", "tail_curl", "breath_sin"), 0.02),
)
"""Five invented regions of an animal that walks about in an arena."""


def latency_basis(dt: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the basis of latencies that all units share.

    Parameters
    ----------
    dt
        Grid step (s).

    Returns
    -------
    lags
        Whole multiples of ``dt`` (s), shape (lag,); above 0 the unit follows.
    basis
        Raised cosines around :data:`LATENCIES`, each of unit sum, shape (lag, kernel).
    """
    reach = int(np.ceil((np.abs(LATENCIES).max() + 2 * _SPACING) / dt))
    lags = np.arange(-reach, reach + 1) * dt
    phase = np.clip((lags[:, None] - LATENCIES) / (2 * _SPACING), -1, 1)
    basis = 1 + np.cos(np.pi * phase)
    return lags, basis / basis.sum(axis=0)


def latent_drives(latents: Latents, bouts: Bouts) -> dict[str, np.ndarray]:
    """Return what the neurons of an animal in an arena can read, each of order 1, ``(time,)``."""
    dt = float(np.median(np.diff(latents.times)))
    get = latents.__getitem__
    drives = {
        name: gaussian_filter1d(bouts.active(name, latents.times).astype(float), _STATE_SD_S / dt)
        for name in dict.fromkeys(bouts.names)
    }
    # A behaviour that never came up in a short recording still has its drive.
    for name in MOUSE.names:
        drives.setdefault(name, np.zeros(len(latents.times)))
    scales = {"x": 6.0, "y": 4.0, "speed": 6.0, "turning": 1.2, "head_yaw": 0.35}
    scales |= {"head_pitch": 0.18, "tail_curl": 1.0, "rearing": 0.4, "crouching": 0.4}
    drives |= {name: get(name) / scale for name, scale in scales.items()}
    heading, gait, groom = get("heading"), get("gait_phase"), get("groom_phase")
    return drives | {
        "arousal": 5.0 * (get("arousal") - 0.5),
        "heading_sin": 1.4 * np.sin(heading),
        "heading_cos": 1.4 * np.cos(heading),
        "gait_sin": 2.0 * np.sin(gait) * get("gait"),
        "gait_cos": 2.0 * np.cos(gait) * get("gait"),
        "groom_sin": 2.5 * np.sin(groom) * get("grooming"),
        "groom_cos": 2.5 * np.cos(groom) * get("grooming"),
        "breath_sin": 1.4 * np.sin(get("breath_phase")),
    }


@dataclass(frozen=True, eq=False)
class Population:
    """The units of one animal, and what each of them reads.

    Attributes
    ----------
    table
        A row a unit: ``region``, ``depth`` (µm from the tip of the probe), ``quality`` (``good``,
        or ``mua``: spikes of several cells, half of them without tuning), ``rate`` (mean, Hz).
    drives
        Names of the drives.
    weights
        ``(unit, drive)``; 0 where a unit does not read a drive.
    preferred
        ``(unit, drive)``, the middle of the bump in units of the drive; NaN where monotone.
    latencies
        ``(unit, kernel)``, weights of the shared basis; absolute values sum to 1.
    states
        Names of the drives that scale the rate as a whole.
    gains
        ``(unit, state)``, log gain in each state.
    soft
        ``(unit,)`` bool: softplus instead of exponential.
    """

    table: pd.DataFrame
    drives: tuple[str, ...]
    weights: np.ndarray
    preferred: np.ndarray
    latencies: np.ndarray
    states: tuple[str, ...]
    gains: np.ndarray
    soft: np.ndarray

    @classmethod
    def draw(
        cls,
        n: int,
        generator: np.random.Generator,
        regions: Sequence[Region] = ARENA_REGIONS,
        rates: tuple[float, float] = (1.0, 30.0),
    ) -> Self:
        """Draw ``n`` units, shared out among ``regions`` as evenly as can be.

        Their mean rates are log-uniform between ``rates`` (Hz).
        """
        if n < 1 or not regions:
            raise ConfigError(
                f"Expected at least 1 neuron and 1 region, found {n} and {len(regions)}."
            )
        parts = [
            _draw_region(region, number, len(share), rates, generator)
            for number, (region, share) in enumerate(
                zip(regions, np.array_split(np.arange(n), len(regions)), strict=True)
            )
        ]
        drives = tuple(dict.fromkeys(name for region in regions for name in region.reads))
        states = tuple(dict.fromkeys(name for region in regions for name in region.states))
        weights, preferred = np.zeros((n, len(drives))), np.full((n, len(drives)), np.nan)
        gains = np.zeros((n, len(states)))
        first = 0
        for region, part in zip(regions, parts, strict=True):
            rows = np.arange(first, first + len(part["table"]))[:, None]
            reads = [drives.index(name) for name in region.reads]
            weights[rows, reads], preferred[rows, reads] = part["weights"], part["preferred"]
            gains[rows, [states.index(name) for name in region.states]] = part["gains"]
            first += len(rows)
        return cls(
            table=pd.concat([part["table"] for part in parts], ignore_index=True),
            drives=drives,
            weights=weights,
            preferred=preferred,
            latencies=np.concatenate([part["latencies"] for part in parts]),
            states=states,
            gains=gains,
            soft=generator.random(n) < 0.5,
        )

    @property
    def n_units(self) -> int:
        """Number of units."""
        return len(self.table)

    def rates(
        self,
        times: np.ndarray,
        drives: Mapping[str, np.ndarray],
        generator: np.random.Generator,
        drift: float = 0.15,
    ) -> Series:
        """Return the rates of all units in one session.

        Parameters
        ----------
        times
            Even grid (s), shape (time,).
        drives
            Name -> ``(time,)`` on that grid; all that the units read.
        generator
            Source of the drift of this session.
        drift
            Standard deviation of the slow (300 s) wander of each unit's log rate.

        Returns
        -------
        Series
            Hz, ``(time, unit)`` float32, constant from each time to the next; mean over the
            session as in the table, with the table of units.
        """
        if missing := sorted({*self.drives, *self.states} - set(drives)):
            raise ConfigError(f"The neurons read {missing}; the drives are {sorted(drives)}.")
        times = np.asarray(times, dtype=np.float64)
        if len(times) < 2 or not np.allclose(np.diff(times), times[1] - times[0], atol=1e-6):
            raise ConfigError("Expected an even grid of at least 2 times.")
        dt = float(times[1] - times[0])
        _, basis = latency_basis(dt)
        signal = np.zeros((len(times), self.n_units))
        for j, name in enumerate(self.drives):
            users = np.flatnonzero(self.weights[:, j])
            read = _delayed(np.asarray(drives[name], float), basis) @ self.latencies[users].T
            preferred = self.preferred[users, j]
            bump = np.exp(-0.5 * ((read - preferred) / 0.6) ** 2) * 2 - 0.5
            signal[:, users] += self.weights[users, j] * np.where(np.isnan(preferred), read, bump)
        signal = _STEEPEST * np.tanh(signal / _STEEPEST)
        rate = np.where(self.soft, np.logaddexp(0.0, 2 * signal), np.exp(signal))
        gain = np.zeros_like(rate)
        for j, name in enumerate(self.states):
            gain += np.asarray(drives[name])[:, None] * self.gains[:, j]
        for unit in range(self.n_units):
            gain[:, unit] += drift * smooth_noise(len(times), dt, _DRIFT_S, generator)
        values = self._scaled(rate * np.exp(gain))
        valid = Intervals(times[:1], times[-1:] + dt)
        channels = tuple(str(unit) for unit in self.table.index)
        return Series(times, values.astype(np.float32), channels, "Hz", valid, table=self.table)

    def _scaled(self, rate: np.ndarray) -> np.ndarray:
        """Give each unit its mean rate, without impossible peaks."""
        mean = self.table["rate"].to_numpy()
        rate = _FASTEST_HZ * np.tanh(rate * (mean / rate.mean(axis=0)) / _FASTEST_HZ)
        rate *= mean / rate.mean(axis=0)
        untuned = np.where(self.table["quality"] == "mua", 0.5, 0.0)
        return (1 - untuned) * rate + untuned * mean


def _draw_region(
    region: Region, number: int, n: int, rates: tuple[float, float], generator: np.random.Generator
) -> dict:
    reads = len(region.reads)
    # Each unit reads one to three drives of its region.
    order = generator.random((n, reads)).argsort(axis=1).argsort(axis=1)
    chosen = order < generator.integers(1, 4, n)[:, None]
    sign = generator.choice([-1.0, 1.0], (n, reads))
    size = generator.uniform(0.4, 1.0, (n, reads)) * sign
    bump = generator.random((n, reads)) < region.bumps
    preferred = generator.uniform(-1.5, 1.5, (n, reads))
    middle = np.clip(
        region.latency + 0.04 * generator.standard_normal(n), LATENCIES[0], LATENCIES[-1]
    )
    latencies = np.exp(-0.5 * ((LATENCIES - middle[:, None]) / (0.6 * _SPACING)) ** 2)
    lowest, highest = rates
    depth = _REGION_UM * (number + np.sort(generator.random(n)))
    table = pd.DataFrame(
        {
            "region": region.name,
            "depth": np.round(depth, 1),
            "quality": np.where(generator.random(n) < 0.15, "mua", "good"),
            "rate": np.round(lowest * (highest / lowest) ** generator.random(n), 3),
        }
    )
    return {
        "table": table,
        # Bumps raise the rate at their middle; only monotone tuning has a sign.
        "weights": np.where(chosen, np.where(bump, np.abs(size), size), 0.0),
        "preferred": np.where(bump, preferred, np.nan),
        "latencies": latencies / np.abs(latencies).sum(axis=1, keepdims=True),
        "gains": 0.3 * generator.standard_normal((n, len(region.states))),
    }


def _delayed(drive: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Filter one drive with every kernel, edges held; ``(time, kernel)``."""
    reach = len(basis) // 2
    padded = np.pad(drive, reach, mode="edge")
    return fftconvolve(padded[:, None], basis, mode="valid", axes=0)
