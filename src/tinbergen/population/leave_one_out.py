"""Exact co-smoothing: every unit predicted from all others, without running the whole model anew.

What the units of a window add up to is computed once; leaving one out is subtracting it. Only the
transformer itself has to run once for every unit.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from tinbergen.errors import ConfigError
from tinbergen.population.batch import Batch
from tinbergen.population.masks import Hidden
from tinbergen.population.model import PopulationModel
from tinbergen.population.units import averaged, balanced, log_gain, rows

_AT_ONCE = 16_384  # tokens


def leave_one_out(
    model: PopulationModel, batch: Batch, among: Tensor, hidden: Hidden
) -> Tensor:
    """Return the log rate of every unit from the other units of ``among``.

    Parameters
    ----------
    among
        ``(slot, unit)`` bool: the units that see each other, such as those of one region.
    hidden
        Its ``values`` say which behaviours are hidden; its units and bins are not looked at.

    Returns
    -------
    ``(slot, time, unit)`` float32; NaN outside of ``among``.

    Raises
    ------
    ConfigError
        If the model does not simply add up its units: there nothing can be subtracted.
    """
    if model.stitch is not None or model.config.network.layout != "bins":
        raise ConfigError(
            "Exact leave-one-out needs units.read: table and network.layout: bins; use folds."
        )
    tables, linear = model.tables, bool(model.config.units.linear_rank)
    among = among & batch.present
    visible = among[:, None, :].expand(-1, batch.n_bins, -1)
    x = tables.read(batch, visible)
    summed, number = tables.sums(tables.unit_in, x, visible, batch)
    if linear:
        evidence, precision = tables.evidence(x, visible, batch)
        covariance = torch.linalg.inv(precision)
        read = tables.scaled(x, batch)
        linear_in, linear_out = rows(tables.linear_in, batch), rows(tables.linear_out, batch)
    slow = tables.slow_state(batch) if model.config.units.recent else None
    base = tables.base(batch)
    out = torch.full(batch.counts.shape, float("nan"), device=x.device)
    row = torch.arange(len(batch.sample), device=x.device) // batch.per_row
    unit_in, unit_out = rows(tables.unit_in, batch), rows(tables.unit_out, batch)
    for slot, unit in _pieces(among, max(1, _AT_ONCE // batch.n_bins)):
        sample, mine = batch.sample[slot], (row[slot], unit)
        own = x[slot, :, unit][:, :, None]
        others = number[sample] - 1
        tokens = balanced(summed[sample] - own * unit_in[mine][:, None], others)
        mine_only = _of_samples(batch, sample), _values_of(hidden, sample)
        past = None if slow is None else slow[sample]
        state = model.encode(tokens, others > 0, *mine_only, past)[:, : batch.n_bins]
        log_rate = (state @ unit_out[mine][:, :, None])[..., 0] + base[slot, unit][:, None]
        if linear:
            weight = _without(covariance[sample], linear_in[mine], linear_out[mine])
            mine_read = read[slot, :, unit][:, :, None]
            there = torch.ones_like(mine_read)
            around = averaged(mine_read, there, tables.config.linear_bins)
            rest = evidence[sample] - around * linear_in[mine][:, None]
            log_rate = log_rate + log_gain((rest @ weight[:, :, None])[..., 0])
        out[slot, :, unit] = log_rate.float()
    return out


def _pieces(among: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    slot, unit = torch.nonzero(among, as_tuple=True)
    for start in range(0, len(slot), size):
        yield slot[start : start + size], unit[start : start + size]


def _of_samples(batch: Batch, sample: Tensor) -> Batch:
    """Return sessions and behaviours of these samples, and no units."""
    none = sample[:0]
    return Batch(
        batch.counts[none],
        batch.present[none],
        batch.region[none],
        batch.sample[none],
        batch.block[none],
        batch.session[sample],
        batch.recent[none],
        {name: value[sample] for name, value in batch.values.items()},
        {name: there[sample] for name, there in batch.there.items()},
    )


def _without(covariance: Tensor, own: Tensor, out: Tensor) -> Tensor:
    """Return ``(P - a a')^-1 c`` from ``P^-1`` (Sherman & Morrison 1950), ``(n, rank)``.

    ``covariance`` is ``(n, rank, rank)``, ``own`` (a) and ``out`` (c) are ``(n, rank)``.
    """
    mine = (covariance @ own[:, :, None])[..., 0]
    wanted = (covariance @ out[:, :, None])[..., 0]
    share = (own * wanted).sum(dim=1) / (1 - (own * mine).sum(dim=1))
    return wanted + mine * share[:, None]


def _values_of(hidden: Hidden, sample: Tensor) -> Hidden:
    values = {name: value[sample] for name, value in hidden.values.items()}
    return Hidden(hidden.units[:0], hidden.bins[sample], hidden.scored[:0], values, values)
