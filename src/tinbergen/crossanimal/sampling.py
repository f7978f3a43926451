"""Which windows stand in which batch: some animals, as many windows of each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from tinbergen.training import RowSampler, numpy_generator


class AnimalSampler:
    """Animals in turn, and of each animal every frame once an epoch of its own.

    Animals come in an order that is drawn anew for each round, all equally often, however long
    their recordings are. A pure function of the step.

    Parameters
    ----------
    rows
        Rows of each animal, ``(n,)`` each, none empty.
    animals, windows
        A batch is ``(animals, windows)`` rows.
    """

    def __init__(self, rows: Sequence[np.ndarray], animals: int, windows: int, *, seed: int = 0):
        self.animals, self.windows, self.seed = animals, windows, seed
        self.samplers = [RowSampler(r, windows, seed=seed + i) for i, r in enumerate(rows)]
        self._order = lru_cache(maxsize=2)(self._order_of)

    def batch(self, step: int) -> np.ndarray:
        """Return rows ``(animal, window)`` of one step."""
        n = len(self.samplers)
        rows = []
        for position in range(step * self.animals, (step + 1) * self.animals):
            visit, place = divmod(position, n)
            rows.append(self.samplers[self._order(visit)[place]].batch(visit))
        return np.stack(rows)

    def _order_of(self, visit: int) -> np.ndarray:
        generator = numpy_generator(self.seed, "animals", visit)
        return generator.permutation(len(self.samplers))

    def __getstate__(self) -> dict:
        return {key: value for key, value in self.__dict__.items() if key != "_order"}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._order = lru_cache(maxsize=2)(self._order_of)
