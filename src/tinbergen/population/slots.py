"""From tables of units to the slots of a batch, and back to its samples."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from tinbergen.population.batch import Batch


def rows(table: Tensor, batch: Batch) -> Tensor:
    """Return the blocks of a table that a batch needs, ``(row, unit, ...)``.

    An embedding of whole blocks: its gradient is added up block by block, not number by number.
    """
    return F.embedding(batch.block, table.flatten(1)).unflatten(1, table.shape[1:])


def through(x: Tensor, weights: Tensor, batch: Batch) -> Tensor:
    """Multiply ``(slot, time, a)`` by the ``(row, a, b)`` of its row: ``(slot, time, b)``."""
    time = x.shape[1]
    out = x.reshape(len(batch.block), batch.per_row * time, -1) @ weights
    return out.view(len(batch.sample), time, -1)


def over_slots(values: Tensor, batch: Batch) -> Tensor:
    """Add up the slots of each sample, ``(slot, ...)`` to ``(sample, ...)``."""
    out = values.new_zeros(batch.n_samples, *values.shape[1:])
    return out.index_add(0, batch.sample, values)
