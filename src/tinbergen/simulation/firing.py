"""Spikes from known rates, and how well anybody could predict them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tinbergen.errors import ConfigError, DataError
from tinbergen.recordings.intervals import Bins
from tinbergen.recordings.series import Series
from tinbergen.recordings.spikes import Spikes

_CHUNK = 2048
_BUSIEST = 0.9


def draw_spikes(
    rates: Series, generator: np.random.Generator, fano: float = 1.0, refractory: float = 0.0
) -> Spikes:
    """Draw spikes from rates that are constant from one sample to the next.

    Parameters
    ----------
    rates
        Hz, ``(time, unit)``; each holds from its time to the next one, or to the end of the valid
        interval. ``rates.table``, if any, becomes the table of units.
    generator
        Source of all randomness.
    fano
        Variance over mean of the counts in bins that are whole steps of the rates, given the
        rates. 1 is Poisson; above 1 each step gets a Gamma-distributed expected count, so that
        counts are negative binomial, in bins of any number of steps with the same Fano factor.
    refractory
        s. No unit fires twice within it. Where a rate is steady, its mean is kept (the hazard
        between two spikes is ``rate / (1 - rate * refractory)``); counts then vary less than
        Poisson.

    Returns
    -------
    Spikes
        With the valid intervals of ``rates``.

    Raises
    ------
    ConfigError
        If ``fano`` is below 1, both options are asked for at once, or a rate is too high for the
        refractory period.
    DataError
        If a rate is negative or not finite.
    """
    if not (np.isfinite(fano) and fano >= 1):
        raise ConfigError(f"fano: expected 1 (Poisson) or more, found {fano}.")
    if not refractory >= 0 or (refractory and fano > 1):
        raise ConfigError(
            f"Expected refractory >= 0 s, and fano 1 with a refractory period (which makes counts "
            f"less variable, not more); found refractory {refractory} and fano {fano}."
        )
    values = np.asarray(rates.values)
    if not np.isfinite(values).all() or (values < 0).any():
        raise DataError("Expected finite rates >= 0 Hz.")
    if refractory and values.size and values.max() * refractory > _BUSIEST:
        raise ConfigError(
            f"A rate of {values.max():.4g} Hz leaves no room for a refractory period of "
            f"{refractory} s; expected a product of at most {_BUSIEST}."
        )
    steps = step_lengths(rates)
    times, units = [np.zeros(0)], [np.zeros(0, np.int64)]
    for start in range(0, len(values), _CHUNK):
        part = np.s_[start : start + _CHUNK]
        rate = values[part].astype(np.float64)
        expected = rate / (1 - rate * refractory) * steps[part, None]
        if fano > 1:
            expected = generator.gamma(expected / (fano - 1), fano - 1)
        counts = generator.poisson(expected)
        row, unit = np.divmod(np.repeat(np.arange(counts.size), counts.ravel()), counts.shape[1])
        times.append(rates.times[part][row] + generator.random(len(row)) * steps[part][row])
        units.append(unit)
    return _collect(np.concatenate(times), np.concatenate(units), rates, refractory)


def _collect(times: np.ndarray, units: np.ndarray, rates: Series, refractory: float) -> Spikes:
    order = np.argsort(times, kind="stable")
    times, units = times[order], units[order]
    if refractory:
        kept = _outside_refractory(times, units, refractory)
        times, units = times[kept], units[kept]
    table = unit_table(rates)
    return Spikes(times, units, table, rates.valid)


def _outside_refractory(times: np.ndarray, units: np.ndarray, refractory: float) -> np.ndarray:
    """Return which spikes stay when each silences its unit for ``refractory`` s, bool."""
    kept = np.ones(len(times), bool)
    while True:
        index = np.flatnonzero(kept)
        index = index[np.argsort(units[index], kind="stable")]
        same = units[index[1:]] == units[index[:-1]]
        early = np.append(False, same & (np.diff(times[index]) < refractory))
        if not early.any():
            return kept
        # A spike goes only if the one before it stays: that one may be silenced itself.
        kept[index[early & ~np.append(False, early[:-1])]] = False


def unit_table(rates: Series) -> pd.DataFrame:
    """Return the table of units of ``rates``, or one without columns."""
    if rates.table is not None:
        return rates.table
    return pd.DataFrame(index=pd.Index(rates.channels))


def step_lengths(rates: Series) -> np.ndarray:
    """Return how long each sample of piecewise constant ``rates`` holds, s, shape ``(time,)``."""
    if not len(rates):
        return np.zeros(0)
    at = np.searchsorted(rates.valid.starts, rates.times, side="right") - 1
    if (at < 0).any() or (rates.times >= rates.valid.stops[at]).any():
        raise DataError("Expected every sample of the rates inside their valid intervals.")
    return np.minimum(np.append(rates.times[1:], np.inf), rates.valid.stops[at]) - rates.times


def expected_counts(rates: Series, bins: Bins) -> np.ndarray:
    """Integrate piecewise constant ``rates`` (Hz) over each bin, whatever its edges.

    Returns
    -------
    numpy.ndarray
        Expected counts, ``(bin, unit)`` float64, spikes/bin: what the best possible encoding
        model predicts.
    """
    steps = step_lengths(rates)
    values = np.asarray(rates.values, dtype=np.float64)
    if not len(values):
        return np.zeros((len(bins), values.shape[1]))
    until = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values * steps[:, None], 0)])

    def integral(times: np.ndarray) -> np.ndarray:
        at = np.clip(np.searchsorted(rates.times, times, side="right") - 1, 0, None)
        inside = np.clip(times - rates.times[at], 0, steps[at])
        return until[at] + values[at] * inside[:, None]

    return integral(bins.stops) - integral(bins.starts)


def ceiling_bits_per_spike(rates: Series, bins: Bins) -> np.ndarray:
    """Return the expected score of a model that knows the rates, bits/spike, shape ``(unit,)``.

    With the expected count ``m`` of each bin, the expected gain in log-likelihood over the mean
    count is ``sum(m log(m / mean(m)))``: the same for Poisson and for over-dispersed counts, as it
    is linear in them. The score on drawn spikes scatters around it; its null is the true mean
    count, where scores in use take the mean of the counts that they judge.
    """
    expected = expected_counts(rates, bins)
    total = expected.sum(axis=0)
    mean = expected.mean(axis=0) if len(expected) else total
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = expected * np.log2(np.where(expected > 0, expected / mean, 1.0))
        return np.where(total > 0, gain.sum(axis=0) / total, np.nan)
