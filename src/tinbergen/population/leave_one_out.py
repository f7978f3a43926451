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
from tinbergen.population.linear_path import Change, LinearPath, log_gain
from tinbergen.population.masks import Hidden
from tinbergen.population.model import PopulationModel
from tinbergen.population.slots import over_slots, rows
from tinbergen.population.units import balanced

_AT_ONCE = 16_384  # tokens


def leave_one_out(
    model: PopulationModel, batch: Batch, among: Tensor, hidden: Hidden, scheme: Tensor
) -> Tensor:
    """Return the log rate of every unit from the other units of ``among``.

    Parameters
    ----------
    among
        ``(slot, unit)`` bool: the units that see each other, such as those of one region.
    hidden
        Its ``values`` say which behaviours are hidden; its units and bins are not looked at.

    scheme
        ``(sample,)``: the prompt, in models that have one.

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
    tables = model.tables
    among = among & batch.present
    visible = among[:, None, :].expand(-1, batch.n_bins, -1)
    x = tables.read(batch, visible)
    summed, number = tables.sums(x, visible, batch)
    slow = tables.slow_state(batch) if model.config.units.recent else None
    base = tables.base(batch)
    out = torch.full(batch.counts.shape, float("nan"), device=x.device)
    row = torch.arange(len(batch.sample), device=x.device) // batch.per_row
    unit_in, unit_out = tables.vectors_in(batch), tables.vectors_out(batch)
    for slot, unit in _pieces(among, max(1, _AT_ONCE // batch.n_bins)):
        sample, mine = batch.sample[slot], (row[slot], unit)
        own = x[slot, :, unit][:, :, None]
        others = number[sample] - 1
        tokens = balanced(summed[sample] - own * unit_in[mine][:, None], others)
        mine_only = _of_samples(batch, sample), _values_of(hidden, sample)
        past = None if slow is None else slow[sample]
        state = model.encode(tokens, others > 0, *mine_only, past, scheme[sample])[
            :, : batch.n_bins
        ]
        log_rate = (state @ unit_out[mine][:, :, None])[..., 0] + base[slot, unit][:, None]
        out[slot, :, unit] = log_rate.float()
    if model.linear is not None and model.calibration is not None:
        change = change_by_others(model.linear, x, visible, batch, hidden)
        out += model.calibration(change, batch)
        seen = over_slots(among.sum(dim=1), batch)[batch.sample]
        out += tables.without_spikes(visible & (seen > 1)[:, None, None], batch)[:, None]
    return out


def change_by_others(
    path: LinearPath, x: Tensor, visible: Tensor, batch: Batch, hidden: Hidden
) -> Change:
    """Return what the linear path foretells of every visible unit from all others.

    In each eigenvector of the temporal covariance (eigenvalue d) the factors are ``C h`` with
    ``C = (I / d + G)^-1``; taking a unit out of G and h is a change of rank one (Sherman &
    Morrison 1950), so that quadratic forms of what units read and are read by are all it takes.
    """
    expected = path.behaviour.expected(batch, hidden)
    evidence, gram = path.evidence(x, visible, batch, expected)
    scales, modes = torch.linalg.eigh(path.linear_kernel[batch.session])
    eye = torch.eye(gram.shape[-1], device=x.device)
    covariance = torch.linalg.inv(eye / scales[:, :, None, None] + gram[:, None])
    factors = (covariance @ (modes.transpose(1, 2) @ evidence)[..., None])[..., 0]
    surprise = path.surprise(x, visible, batch, expected)
    own, out = rows(path.linear_in, batch), rows(path.linear_out, batch)
    direct = path.direct(path.direct_out, expected, batch)
    found = []
    for slot, sample in enumerate(batch.sample.tolist()):
        a, c = own[slot // batch.per_row], out[slot // batch.per_row]  # (unit, rank)
        of_a, of_c = a @ covariance[sample], c @ covariance[sample]  # (mode, unit, rank)
        share = (of_a * c).sum(2) / (1 - (of_a * a).sum(2))  # (mode, unit)
        of_mode = factors[sample] @ c.T
        turn = modes[sample]  # (time, mode)
        of_mode += share * (factors[sample] @ a.T - turn.T @ surprise[slot])
        untold = ((of_c * c).sum(2) + share * (of_a * c).sum(2)).clamp(min=0)
        told = (scales[sample][:, None] * c.square().sum(1) - untold).clamp(min=0)
        of_mean = expected[sample, :, : c.shape[1]] @ c.T
        gain = log_gain(of_mean + direct[slot] + turn @ of_mode)
        found.append((gain, (turn.square() @ told).sqrt(), (turn.square() @ untold).sqrt()))
    return Change(*(torch.stack(each) for each in zip(*found, strict=True)))


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
        batch.fold[sample],
        batch.recent[none],
        {name: value[sample] for name, value in batch.values.items()},
        {name: there[sample] for name, there in batch.there.items()},
    )


def _values_of(hidden: Hidden, sample: Tensor) -> Hidden:
    values = {name: value[sample] for name, value in hidden.values.items()}
    return Hidden(hidden.units[:0], hidden.bins[sample], hidden.scored[:0], values, values)
