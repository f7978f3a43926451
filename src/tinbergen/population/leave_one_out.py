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
from tinbergen.population.calibration import Calibration
from tinbergen.population.linear_path import Change, LinearPath, log_gain
from tinbergen.population.masks import Hidden
from tinbergen.population.model import PopulationModel
from tinbergen.population.slots import rows
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
    without = None
    if model.linear is not None and model.calibration is not None:
        without = _Factors(model.linear, model.calibration, x, visible, batch, hidden)
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
        if without is not None:
            change = without.change(slot, unit, sample, mine)
            log_rate = log_rate + without.calibration.of_units(change, without.traits[mine])
        out[slot, :, unit] = log_rate.float()
    return out


class _Factors:
    """The linear path without one unit, in the modes of time in which it is simple.

    In each eigenvector of the temporal covariance (eigenvalue d) the factors are ``(I / d +
    G)^-1 h``; taking a unit out of G and h is a change of rank one (Sherman & Morrison 1950).
    """

    def __init__(
        self,
        path: LinearPath,
        calibration: Calibration,
        x: Tensor,
        visible: Tensor,
        batch: Batch,
        hidden: Hidden,
    ):
        self.calibration, self.traits = calibration, rows(calibration.unit_traits, batch)
        self.expected = path.behaviour.expected(batch, hidden)
        evidence, gram = path.evidence(x, visible, batch, self.expected)
        self.scales, self.modes = torch.linalg.eigh(path.linear_kernel[batch.session])
        eye = torch.eye(gram.shape[-1], device=x.device)
        precision = eye / self.scales[:, :, None, None] + gram[:, None]
        self.covariance = torch.linalg.inv(precision)  # (sample, mode, rank, rank)
        self.evidence = self.modes.transpose(1, 2) @ evidence
        self.read = path.surprise(x, visible, batch, self.expected)
        self.loading, self.out = rows(path.linear_in, batch), rows(path.linear_out, batch)

    def change(
        self, slot: Tensor, unit: Tensor, sample: Tensor, row: tuple[Tensor, Tensor]
    ) -> Change:
        """Return what all others foretell of units, ``(n, time)`` each."""
        own, out, covariance = self.loading[row], self.out[row], self.covariance[sample]
        mine = (covariance @ own[:, None, :, None])[..., 0]
        wanted = (covariance @ out[:, None, :, None])[..., 0]
        both = (own[:, None] * wanted).sum(2)
        share = both / (1 - (own[:, None] * mine).sum(2))
        weight = wanted + mine * share[..., None]  # (n, mode, rank)
        modes = self.modes[sample]
        read = (modes.transpose(1, 2) @ self.read[slot, :, unit][..., None])[..., 0]
        rest = self.evidence[sample] - read[..., None] * own[:, None]
        foreseen = (self.expected[sample] * out[:, None]).sum(2)
        change = foreseen + (modes @ (rest * weight).sum(2, keepdim=True))[..., 0]
        untold = (out[:, None] * weight).sum(2).clamp(min=0)  # of each mode
        before = self.scales[sample] * out.square().sum(1, keepdim=True)
        told = (before - untold).clamp(min=0)
        told, untold = ((modes.square() @ each[..., None])[..., 0] for each in (told, untold))
        return Change(log_gain(change), told.sqrt(), untold.sqrt())


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
