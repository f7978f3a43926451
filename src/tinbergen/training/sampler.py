"""Which items stand in which batch: a pure function of the step."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import numpy as np

from tinbergen.errors import ConfigError, DataError
from tinbergen.training.randomness import numpy_generator


class Sampler(Protocol):
    """Anything that names the items of step 0, 1, 2, ...; asked from several threads."""

    def batch(self, step: int) -> np.ndarray:
        """Return the items of the whole batch, ``(item, ...)``, over all processes together."""
        ...


class EpochSampler:
    """Every item once per epoch, in an order that depends on (seed, epoch) alone.

    The last batch of an epoch that does not come out even is filled up from the next epoch, so
    that every batch is full and no item is ever left out. ``batch`` needs no state: resuming in
    mid-epoch is asking for the next step.

    Parameters
    ----------
    n_items
        Number of items.
    batch_size
        Items in a batch over all processes together.
    seed
        Seed of the order.
    shuffle
        ``False`` keeps the items in their order.

    Notes
    -----
    Subclasses with a structure of their own (pairs, windows) override :meth:`epoch`, which may
    return ``(n_items, ...)`` of any trailing shape.

    Examples
    --------
    >>> sampler = EpochSampler(5, batch_size=2, seed=0)
    >>> both_epochs = np.concatenate([sampler.batch(step) for step in range(5)])
    >>> sorted(both_epochs[:5].tolist()), sorted(both_epochs[5:].tolist())
    ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4])
    """

    def __init__(self, n_items: int, batch_size: int, *, seed: int = 0, shuffle: bool = True):
        if n_items < 1:
            raise DataError("Expected at least one item to train on, found none.")
        self.n_items, self.batch_size = int(n_items), int(batch_size)
        self.seed, self.shuffle = seed, shuffle
        self._epoch = lru_cache(maxsize=2)(self.epoch)

    def epoch(self, number: int) -> np.ndarray:
        """Return all items in the order of epoch ``number``, ``(n_items, ...)``."""
        if not self.shuffle:
            return np.arange(self.n_items)
        return numpy_generator(self.seed, "epoch", number).permutation(self.n_items)

    def batch(self, step: int) -> np.ndarray:
        """Return the items of step ``step``, ``(batch_size, ...)``."""
        position, end = step * self.batch_size, (step + 1) * self.batch_size
        parts = []
        while position < end:
            number, start = divmod(position, self.n_items)
            part = self._epoch(number)[start : start + end - position]
            parts.append(part)
            position += len(part)
        return np.concatenate(parts)

    def __getstate__(self) -> dict:
        return {key: value for key, value in self.__dict__.items() if key != "_epoch"}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._epoch = lru_cache(maxsize=2)(self.epoch)


class RowSampler(EpochSampler):
    """Some rows of a table, each once an epoch.

    Parameters
    ----------
    rows
        ``(n_items,)`` what :meth:`batch` names.
    batch_size, seed
        See :class:`EpochSampler`.
    """

    def __init__(self, rows: np.ndarray, batch_size: int, *, seed: int = 0):
        super().__init__(len(rows), batch_size, seed=seed)
        self.rows = rows

    def epoch(self, number: int) -> np.ndarray:
        """Return all rows in the order of epoch ``number``."""
        return self.rows[super().epoch(number)]


def shard(indices: np.ndarray, rank: int, world: int) -> np.ndarray:
    """Return the part of a whole batch that process ``rank`` of ``world`` computes.

    Raises
    ------
    ConfigError
        If the batch cannot be shared out evenly.
    """
    if len(indices) % world:
        raise ConfigError(
            f"A batch of {len(indices)} cannot be shared out evenly over {world} processes. "
            f"Choose a batch_size that is a multiple of {world}."
        )
    each = len(indices) // world
    return indices[rank * each : (rank + 1) * each]
