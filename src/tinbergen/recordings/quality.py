"""Which units and trials to keep, and an account of those that go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from tinbergen.errors import DataError
from tinbergen.recordings.intervals import Bins
from tinbergen.recordings.left_out import LeftOut, apply_rules
from tinbergen.recordings.spikes import Spikes
from tinbergen.recordings.trials import Trials


def unit_quality(
    spikes: Spikes, *, presence_width: float = 60.0, refractory: float = 0.0015
) -> pd.DataFrame:
    """Measure each unit.

    Parameters
    ----------
    presence_width
        Of the bins in which a unit is present or not, s.
    refractory
        Two spikes of a neuron cannot be closer than this, s.

    Returns
    -------
    A row a unit: ``n_spikes``; ``rate``, Hz over the recorded time; ``presence``, share of bins
    with a spike; ``isi_violations``, share of a unit's intervals that are shorter than
    ``refractory`` (NaN with fewer than two spikes).
    """
    inside = spikes.valid.contains(spikes.times)
    times, units = spikes.times[inside], spikes.units[inside]
    n_spikes = np.bincount(units, minlength=spikes.n_units)
    duration = spikes.valid.duration
    rate = n_spikes / duration if duration > 0 else np.full(spikes.n_units, np.nan)
    bins = Bins.inside(spikes.valid, presence_width)
    present = (spikes.bin(bins) > 0).mean(axis=0) if len(bins) else rate
    order = np.argsort(units, kind="stable")
    same = np.diff(units[order]) == 0
    short = same & (np.diff(times[order]) < refractory)
    counts = [
        np.bincount(units[order][1:][rows], minlength=spikes.n_units) for rows in (short, same)
    ]
    violations = np.divide(*counts, out=np.full(spikes.n_units, np.nan), where=counts[1] > 0)
    columns = {"n_spikes": n_spikes, "rate": rate, "presence": present}
    return pd.DataFrame(columns | {"isi_violations": violations}, index=spikes.table.index)


def filter_units(
    spikes: Spikes,
    *,
    min_rate: float = 0.0,
    max_rate: float = np.inf,
    where: Mapping[str, Any] | None = None,
    min_presence: float = 0.0,
    presence_width: float = 60.0,
    max_isi_violations: float = np.inf,
    refractory: float = 0.0015,
) -> tuple[Spikes, LeftOut]:
    """Keep the units that pass every rule; by default those with a spike.

    Parameters
    ----------
    min_rate, max_rate
        Hz, over the recorded time, ends included. Silent units go in any case.
    where
        Column of the unit table -> the value, or values, that it must have, for example
        ``{"quality": "good", "region": ["CA1", "DG"]}``. Unknown values do not pass.
    min_presence
        Smallest share of bins of ``presence_width`` s with a spike.
    max_isi_violations
        Largest share of intervals between a unit's spikes shorter than ``refractory`` s.

    Returns
    -------
    The units that are kept, and which ones went for what reason.

    Raises
    ------
    DataError
        If the unit table has no such column.
    """
    found = unit_quality(spikes, presence_width=presence_width, refractory=refractory)
    rate = found["rate"].to_numpy()
    rules = {"no spike in the recorded time": found["n_spikes"].to_numpy() == 0}
    rules |= _not_among(spikes.table, where or {}, "table of units")
    rules[f"rate below {min_rate:g} Hz"] = ~(rate >= min_rate)
    rules[f"rate above {max_rate:g} Hz"] = rate > max_rate
    rules[f"present in less than {min_presence:g} of {presence_width:g}-s bins"] = (
        found["presence"].to_numpy() < min_presence
    )
    rules[f"more than {max_isi_violations:g} of intervals below {refractory * 1e3:g} ms"] = (
        found["isi_violations"].to_numpy() > max_isi_violations
    )
    kept, left_out = apply_rules("units", spikes.table.index.to_numpy(), rules)
    return spikes.only(kept), left_out


def filter_trials(
    trials: Trials,
    *,
    duration: tuple[float, float] = (0.0, np.inf),
    reaction: tuple[str, str] | None = None,
    reaction_time: tuple[float, float] = (0.08, 2.0),
    known: Iterable[str] = (),
    where: Mapping[str, Any] | None = None,
    drop_overlapping: bool = False,
    mask: Any = None,
) -> tuple[Trials, LeftOut]:
    """Keep the trials that pass every rule; by default all of them.

    Parameters
    ----------
    duration
        Shortest and longest trial, s, ends included.
    reaction
        Columns with the times of the stimulus and of the response, s.
    reaction_time
        Shortest and longest time between them, s; default as in the Brain-Wide Map of the
        International Brain Laboratory. Trials that lack either go.
    known
        Columns that must have a value.
    where
        Column -> the value, or values, that it must have: ``{"choice": [-1, 1]}`` leaves out
        trials without a response that are coded 0.
    drop_overlapping
        Leave out trials that share time with another one.
    mask
        ``(trial,)`` bool, True = keep.

    Returns
    -------
    The trials that are kept, and which rows went for what reason.

    Raises
    ------
    DataError
        If there is no such column, or the mask has another length.
    """
    rules: dict[str, np.ndarray] = {}
    if mask is not None:
        mask = np.asarray(mask)
        if mask.shape != (len(trials),) or mask.dtype != bool:
            raise DataError(
                f"Expected a mask of {len(trials)} trials, bool; found {mask.dtype} of shape "
                f"{mask.shape}."
            )
        rules["left out by the mask"] = ~mask
    for name in known:
        rules[f"{name!r} unknown"] = pd.isna(trials.column(name))
    rules |= _not_among(trials.table, where or {}, "table of trials")
    low, high = duration
    length = trials.stop - trials.start
    rules[f"duration not {low:g} to {high:g} s"] = ~((length >= low) & (length <= high))
    if reaction is not None:
        low, high = reaction_time
        first, last = (trials.column(name).astype(np.float64) for name in reaction)
        rules[f"no time in {reaction[0]!r} or {reaction[1]!r}"] = ~np.isfinite(last - first)
        passed = (last - first >= low) & (last - first <= high)
        rules[f"reaction time not {low:g} to {high:g} s"] = ~passed
    if drop_overlapping:
        rules["overlaps another trial"] = trials.overlapping
    kept, left_out = apply_rules("trials", np.arange(len(trials)), rules)
    return Trials(trials.table.loc[kept]), left_out


def _not_among(table: pd.DataFrame, where: Mapping[str, Any], what: str) -> dict[str, np.ndarray]:
    """For each column, the rows without one of the wanted values; unknown ones apart."""
    rules = {}
    for name, wanted in where.items():
        if name not in table:
            raise DataError(
                f"There is no column {name!r} in the {what}; there is: "
                f"{', '.join(map(str, table)) or 'none'}."
            )
        single = isinstance(wanted, str) or not isinstance(wanted, Iterable)
        values = [wanted] if single else list(wanted)
        rules[f"{name} unknown"] = table[name].isna().to_numpy()
        rules[f"{name} not {' or '.join(map(str, values))}"] = ~table[name].isin(values).to_numpy()
    return rules
