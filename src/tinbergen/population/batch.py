"""A batch of windows from any mix of sessions, without padding to the largest.

Units come in blocks of :data:`BLOCK`. A slot of a batch is one block of units of one window, and
windows of the same session share rows of slots, so that the vectors of a block are fetched once
for all of them:

    row 0: block 0 of session A, windows 3 and 7        slots 0, 1
    row 1: block 1 of session A, windows 3 and 7        slots 2, 3
    row 2: block 0 of session B, window 5 and none      slots 4, 5

So the work is linear in the units that are there, and everything about units is one batched
matrix product, however many sessions a batch mixes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

BLOCK = 64


@dataclass
class Batch:
    """Windows of a batch; arrays, or tensors of the same shapes.

    Attributes
    ----------
    counts
        ``(slot, time, unit)`` uint8 or int32, spikes/bin; 0 where no unit is.
    present
        ``(slot, unit)`` bool.
    region
        ``(slot, unit)`` int64: number of the unit's region in the vocabulary.
    sample
        ``(slot,)`` int64: the sample that a slot belongs to; 0 for an empty one.
    block
        ``(row,)`` int64: number of the row's block in the tables of the model.
    session
        ``(sample,)`` int64.
    fold
        ``(sample,)`` int64: which part of the training windows a window is of, from 1; 0: of none.
    recent
        ``(slot, unit)`` float32: log of the unit's rate in the windows before, relative to its
        mean in training.
    values
        Modality -> ``(sample, time, width)`` float32, or ``(sample, width)`` for a static one;
        classes as ``(sample, time)`` or ``(sample,)`` int64. 0 where nothing is known.
    there
        Modality -> ``(sample, time)`` or ``(sample,)`` bool: whether a value is known.
    """

    counts: Any
    present: Any
    region: Any
    sample: Any
    block: Any
    session: Any
    fold: Any
    recent: Any
    values: dict[str, Any] = field(default_factory=dict)
    there: dict[str, Any] = field(default_factory=dict)

    @property
    def n_samples(self) -> int:
        """Windows in the batch."""
        return len(self.session)

    @property
    def n_bins(self) -> int:
        """Bins of a window."""
        return self.counts.shape[1]

    @property
    def per_row(self) -> int:
        """Slots in a row: windows of one session that share a block."""
        return len(self.sample) // len(self.block)
