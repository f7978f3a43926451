"""Chains of frames that lie one offset apart, and how an epoch cuts them into groups."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tinbergen.beast.neighbours import OffsetUnit, following, preceding


@dataclass(frozen=True)
class Chains:
    """Rows of a cache index in the order (video, chain, time).

    Attributes
    ----------
    rows, video, time, anchor
        Per row: its label in the index, and what the index says.
    start, length
        Per chain: where it begins, and how many rows it has (at least ``size``).
    size
        Frames in a group: an anchor and its positives.
    """

    rows: np.ndarray
    video: np.ndarray
    time: np.ndarray
    anchor: np.ndarray
    start: np.ndarray
    length: np.ndarray
    size: int

    @classmethod
    def link(
        cls,
        index: pd.DataFrame,
        size: int,
        offset: float,
        unit: OffsetUnit,
        intervals: np.ndarray | None,
    ) -> Chains:
        """Link the sound frames of an index; see :class:`~tinbergen.beast.pairs.PairSampler`."""
        column = {name: index[name].to_numpy() for name in index.columns}
        sound = column["status"] == 0
        after = following(
            column["frame"],
            column["time"],
            np.where(sound, column["stretch"], -1),
            offset,
            unit,
            np.nan if intervals is None else np.asarray(intervals)[column["video"]],
        )
        head, place = _heads(after)
        order = np.lexsort((place, head))
        order = order[sound[order]]
        start = np.flatnonzero(place[order] == 0)
        length = np.diff(np.r_[start, len(order)])
        order = order[np.repeat(length >= size, length)]
        return cls._of(
            index.index.to_numpy()[order],
            column["video"][order],
            column["time"][order],
            column["anchor"][order],
            length[length >= size],
            size,
        )

    @classmethod
    def _of(
        cls,
        rows: np.ndarray,
        video: np.ndarray,
        time: np.ndarray,
        anchor: np.ndarray,
        length: np.ndarray,
        size: int,
    ) -> Chains:
        start = np.cumsum(length) - length
        return cls(rows, video, time, anchor, start, length, size)

    def by_video(self) -> list[Chains]:
        """Split into the chains of each video."""
        parts = []
        for number in np.unique(self.video):
            row, chain = self.video == number, self.video[self.start] == number
            parts.append(
                self._of(
                    self.rows[row],
                    self.video[row],
                    self.time[row],
                    self.anchor[row],
                    self.length[chain],
                    self.size,
                )
            )
        return parts

    @property
    def period(self) -> int:
        """Epochs after which the chains are cut in the same places again."""
        return math.lcm(*range(1, self.size + 1))

    def groups(self, epoch: int) -> np.ndarray:
        """Return ``(groups, size)`` positions of consecutive rows that hold an anchor.

        Each chain is cut from a place on that moves with the epoch and differs between chains.
        """
        places = np.minimum(self.size, self.length - self.size + 1)
        first = (epoch + np.arange(len(self.start))) % places
        count = (self.length - first) // self.size
        group = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        begin = np.repeat(self.start + first, count) + group * self.size
        groups = begin[:, None] + np.arange(self.size)
        return groups[self.anchor[groups].any(1)]

    def anchor_first(self, groups: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Put the anchor nearest to the middle of each group first (of two, either)."""
        n, size = groups.shape
        off_centre = np.abs(np.arange(size) - (size - 1) / 2) + 0.25 * generator.random((n, size))
        first = np.where(self.anchor[groups], off_centre, np.inf).argmin(1)
        columns = np.argsort(np.arange(size) != first[:, None], axis=1, kind="stable")
        return np.take_along_axis(groups, columns, axis=1)


def _heads(after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row the first row of its chain and the number of steps from there.

    Pointer doubling: as many rounds as the length of the longest chain has bits.
    """
    back = preceding(after)
    place = (back >= 0).astype(np.int64)
    head = np.where(back >= 0, back, np.arange(len(after)))
    while (place[head] > 0).any():
        place, head = place + place[head], head[head]
    return head, place
