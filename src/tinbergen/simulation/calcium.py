"""Calcium traces: what an indicator and a microscope make of spikes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinbergen.errors import ConfigError, DataError
from tinbergen.recordings.series import Series
from tinbergen.recordings.spikes import Spikes
from tinbergen.simulation.firing import step_lengths


@dataclass(frozen=True)
class Indicator:
    """A calcium indicator. The defaults are of the order of GCaMP6f in cortex.

    Attributes
    ----------
    rise, decay
        Time constants (s); one spike gives ``exp(-t / decay) - exp(-t / rise)``.
    amplitude
        Peak of one spike, dF/F.
    saturation
        dF/F that no trace exceeds; ``inf`` is linear.
    """

    rise: float = 0.05
    decay: float = 0.7
    amplitude: float = 0.2
    saturation: float = np.inf

    def __post_init__(self) -> None:
        if not (0 < self.rise < self.decay < np.inf and self.amplitude > 0 < self.saturation):
            raise ConfigError(
                "Indicator: expected 0 < rise < decay (s), amplitude > 0 and saturation > 0, "
                f"found {self}."
            )

    def kernel(self, lags: np.ndarray) -> np.ndarray:
        """Return the response to one spike ``lags`` (s) after it; its peak is 1."""
        lags = np.asarray(lags, dtype=np.float64)
        after = np.clip(lags, 0, None)
        found = np.exp(-after / self.decay) - np.exp(-after / self.rise)
        return np.where(lags >= 0, found, 0.0) / self._peak

    def response(self, source: Spikes | Series, times: np.ndarray) -> np.ndarray:
        """Filter spikes, or their rates, with the kernel.

        Parameters
        ----------
        source
            Spikes; or piecewise constant rates (Hz, ``(time, unit)``), which give the expected
            response: what the best possible encoding model of a linear indicator predicts.
        times
            When the microscope looks (s), ascending, shape (time,).

        Returns
        -------
        numpy.ndarray
            ``(time, unit)`` float64, in peaks of one spike; exact for spikes at any frame times.
        """
        times = np.asarray(times, dtype=np.float64)
        if times.ndim != 1 or not np.isfinite(times).all() or (np.diff(times) < 0).any():
            raise DataError("Expected finite frame times (s) in ascending order, shape (time,).")
        if isinstance(source, Spikes):
            n, events, units = source.n_units, source.times, source.units
            weights = np.ones(len(events))
        else:
            # Each step of the rates counts as that many spikes in its middle.
            n, steps = source.values.shape[1], step_lengths(source)
            events = np.repeat(source.times + steps / 2, n)
            units = np.tile(np.arange(n), len(steps))
            weights = (np.asarray(source.values, np.float64) * steps[:, None]).ravel()
        slow = _decayed(events, units, weights, times, n, self.decay)
        return (slow - _decayed(events, units, weights, times, n, self.rise)) / self._peak

    @property
    def _peak(self) -> float:
        at = np.log(self.decay / self.rise) * self.decay * self.rise / (self.decay - self.rise)
        return float(np.exp(-at / self.decay) - np.exp(-at / self.rise))


def simulate_calcium(
    spikes: Spikes,
    generator: np.random.Generator,
    fps: float = 30.0,
    indicator: Indicator | None = None,
    noise: float = 0.1,
    spread: float = 0.3,
) -> Series:
    """Turn spikes into dF/F traces.

    Parameters
    ----------
    spikes
        Of the cells.
    generator
        Source of all randomness.
    fps
        Frame rate of the microscope (Hz); it looks at the end of each frame.
    indicator
        Default: :class:`Indicator`.
    noise
        Standard deviation of the white noise of a cell of median brightness, dF/F.
    spread
        Standard deviation of the logarithm of amplitude and noise over cells.

    Returns
    -------
    Series
        dF/F, ``(frame, cell)`` float32, within the valid intervals of ``spikes``. Its table is
        that of the spikes with ``amplitude`` (peak of one spike) and ``noise``, both dF/F.
    """
    if not (fps > 0 and noise >= 0 and spread >= 0):
        raise ConfigError(
            f"Expected fps > 0 Hz, noise >= 0 and spread >= 0, found {fps}, {noise} and {spread}."
        )
    indicator = indicator or Indicator()
    step = 1 / fps
    times = np.concatenate([np.zeros(0), *_frames(spikes, step)])
    n = spikes.n_units
    amplitude = indicator.amplitude * np.exp(spread * generator.standard_normal(n))
    sd = noise * np.exp(spread * generator.standard_normal(n))
    trace = amplitude * indicator.response(spikes, times)
    trace /= 1 + trace / indicator.saturation
    trace += sd * generator.standard_normal(trace.shape)
    table = spikes.table.assign(amplitude=amplitude, noise=sd)
    channels = tuple(map(str, table.index))
    values = trace.astype(np.float32)
    return Series(times, values, channels, "dF/F", spikes.valid, table=table)


def _frames(spikes: Spikes, step: float) -> list[np.ndarray]:
    """Return the times at which the frames of each valid interval end."""
    pairs = zip(spikes.valid.starts, spikes.valid.stops, strict=True)
    return [start + step * np.arange(1, np.ceil((stop - start) / step)) for start, stop in pairs]


def _decayed(
    events: np.ndarray,
    units: np.ndarray,
    weights: np.ndarray,
    times: np.ndarray,
    n: int,
    constant: float,
) -> np.ndarray:
    """Sum of ``weight * exp(-(time - event) / constant)`` over past events, ``(time, unit)``."""
    at = np.searchsorted(times, events, side="left")
    seen = at < len(times)
    left = weights[seen] * np.exp(-(times[at[seen]] - events[seen]) / constant)
    total = np.bincount(at[seen] * n + units[seen], left, minlength=len(times) * n)
    total = total.reshape(len(times), n)
    keep = np.exp(-np.diff(times) / constant)
    for i in range(1, len(times)):
        total[i] += keep[i - 1] * total[i - 1]
    return total
