"""Which frames stand together in a batch: anchors with their neighbours in time.

The cached frames of a video form chains: from a frame to the one that lies one offset later, as
long as nothing is broken in between. An epoch cuts every chain into groups of an anchor and its
positives, from a place on that moves from epoch to epoch. So no frame stands twice in an epoch,
every group lies within one unbroken stretch of one video, and every anchor is in a group, except
perhaps at the ends of a chain, where it is in one in the next epoch.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from tinbergen.beast.chains import Chains
from tinbergen.beast.neighbours import OffsetUnit
from tinbergen.beast.spread import spread
from tinbergen.errors import ConfigError
from tinbergen.training import numpy_generator


class PairSampler:
    """Groups of an anchor and its positives, as a pure function of (seed, step).

    Groups that do not fill the last batch of an epoch open the first one of the next.

    Parameters
    ----------
    index
        Index of a :class:`~tinbergen.beast.cache.FrameCache`, or rows of it (a split).
    batch_size
        Frames in a batch over all processes. A batch holds ``batch_size // (1 + positives)``
        groups; the rest of a number that does not come out even is left out.
    offset, unit
        Distance of a positive, in ``frames`` or ``seconds``.
    intervals
        Frame interval (s) of each video, by its number; needed for an offset in seconds.
    positives
        Positives per anchor: 1 is one of its two neighbours, 2 is both (one and the next but one
        at the end of a chain), and so on outwards.
    exclusion
        Groups of one batch from the same video keep this distance (s) from anchor to anchor, as
        far as there is room for it. Where there is none, and at the seam between two epochs, they
        come closer: take such rows out of the negatives with
        :func:`~tinbergen.beast.spread.too_close`.
    within_video
        Fill each batch from a single video; else all videos are mixed.
    seed
        Of the order.

    Attributes
    ----------
    n_groups
        Groups in a batch.
    epoch_length
        Batches in an epoch, on average.

    Raises
    ------
    ConfigError
        If there are too few frames to fill one batch.

    Examples
    --------
    >>> n = np.arange(12)
    >>> index = pd.DataFrame({"video": 0, "frame": n, "time": n / 50, "status": 0,
    ...                       "anchor": True, "stretch": 0})
    >>> batch = PairSampler(index, batch_size=8, offset=2).batch(0)
    >>> batch.shape, abs(batch[:, 1] - batch[:, 0]).tolist()
    ((4, 2), [2, 2, 2, 2])
    """

    def __init__(
        self,
        index: pd.DataFrame,
        batch_size: int,
        *,
        offset: float = 1,
        unit: OffsetUnit = "frames",
        intervals: np.ndarray | None = None,
        positives: int = 1,
        exclusion: float = 0.0,
        within_video: bool = False,
        seed: int = 0,
    ):
        size = 1 + positives
        if positives < 1 or offset <= 0 or batch_size < size:
            raise ConfigError(
                "Expected positives >= 1, an offset above 0 and a batch_size of at least "
                f"1 + positives; found {positives}, {offset} and {batch_size}."
            )
        self.n_groups = batch_size // size
        self.seed = seed
        chains = Chains.link(index, size, offset, unit, intervals)
        parts = chains.by_video() if within_video else [chains]
        self._streams = [
            _Stream(part, self.n_groups, exclusion, seed, number)
            for number, part in enumerate(parts)
        ]
        fewest = min((stream.fewest for stream in self._streams), default=0)
        if fewest < self.n_groups:
            raise _too_few(len(index), self.n_groups, size, fewest, offset, unit, within_video)
        self.epoch_length = sum(s.groups_per_epoch for s in self._streams) / self.n_groups
        self._schedule = lru_cache(maxsize=2)(self._epoch_schedule)

    def batch(self, step: int) -> np.ndarray:
        """Return the index labels of step ``step``, ``(n_groups, 1 + positives)``; anchors first.

        Processes share it out by groups, see :func:`tinbergen.training.shard`.
        """
        epoch = int(step / self.epoch_length)
        while self._first_step(epoch) > step:
            epoch -= 1
        while self._first_step(epoch + 1) <= step:
            epoch += 1
        stream, number = self._schedule(epoch)[step - self._first_step(epoch)]
        return self._streams[stream].batch(int(number))

    def _first_step(self, epoch: int) -> int:
        return sum(stream.first_batch(epoch) for stream in self._streams)

    def _epoch_schedule(self, epoch: int) -> np.ndarray:
        """(stream, its batch number) of each step of an epoch."""
        steps = [
            (number, batch)
            for number, stream in enumerate(self._streams)
            for batch in range(stream.first_batch(epoch), stream.first_batch(epoch + 1))
        ]
        if len(self._streams) == 1:
            return np.array(steps)
        return numpy_generator(self.seed, "schedule", epoch).permutation(steps)

    def __getstate__(self) -> dict:
        return {key: value for key, value in self.__dict__.items() if key != "_schedule"}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._schedule = lru_cache(maxsize=2)(self._epoch_schedule)


class _Stream:
    """The groups of all epochs behind each other, cut into batches."""

    def __init__(self, chains: Chains, n_groups: int, exclusion: float, seed: int, number: int):
        self.chains, self.n_groups, self.exclusion = chains, n_groups, exclusion
        self.seed, self.number = seed, number
        counts = [len(chains.groups(epoch)) for epoch in range(chains.period)]
        self.fewest = min(counts)
        self.groups_per_epoch = sum(counts) / len(counts)
        self._before = np.cumsum([0, *counts]).tolist()
        self._epoch = lru_cache(maxsize=2)(self._ordered)

    def groups_before(self, epoch: int) -> int:
        """Count the groups in all epochs before this one."""
        cycles, rest = divmod(epoch, self.chains.period)
        return cycles * self._before[-1] + self._before[rest]

    def first_batch(self, epoch: int) -> int:
        """Count the batches that are complete before this epoch."""
        return self.groups_before(epoch) // self.n_groups

    def batch(self, number: int) -> np.ndarray:
        position, end = number * self.n_groups, (number + 1) * self.n_groups
        epoch = int(position / self.groups_per_epoch)
        while self.groups_before(epoch) > position:
            epoch -= 1
        parts = []
        while position < end:
            while self.groups_before(epoch + 1) <= position:
                epoch += 1
            begin = position - self.groups_before(epoch)
            parts.append(self._epoch(epoch)[begin : begin + end - position])
            position += len(parts[-1])
        return np.concatenate(parts)

    def _ordered(self, epoch: int) -> np.ndarray:
        """Index labels of an epoch's groups in the order of training, ``(groups, size)``."""
        generator = numpy_generator(self.seed, "pairs", self.number, epoch)
        groups = self.chains.anchor_first(self.chains.groups(epoch), generator)
        if self.exclusion > 0:
            video, time = self.chains.video[groups[:, 0]], self.chains.time[groups[:, 0]]
            head = -self.groups_before(epoch) % self.n_groups
            order = spread(video, time, self.n_groups, self.exclusion, head, generator)
        else:
            order = generator.permutation(len(groups))
        return self.chains.rows[groups[order]]

    def __getstate__(self) -> dict:
        return {key: value for key, value in self.__dict__.items() if key != "_epoch"}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._epoch = lru_cache(maxsize=2)(self._ordered)


def _too_few(
    frames: int, groups: int, size: int, fewest: int, offset: float, unit: str, within_video: bool
) -> ConfigError:
    where = "one of the videos gives" if within_video else f"the {frames} cached frames give"
    fix = f"Lower train.batch_size to {fewest * size}" if fewest else "Use the offset of the cache"
    mix = ", mix videos in a batch (within_video=False)" if within_video else ""
    return ConfigError(
        f"Too few frames for the batch: it needs {groups} groups of {size} frames that lie "
        f"{offset:g} {unit} apart, but {where} {fewest}. {fix}{mix}, or cache more frames."
    )
