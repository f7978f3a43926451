"""Training sequences: stretches of recordings, batched; none reaches beyond its recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tinbergen.actions.segmenter import UNLABELLED
from tinbergen.training import EpochSampler, numpy_generator


@dataclass(frozen=True, eq=False)
class Frames:
    """All frames of all recordings, one recording behind the other.

    Attributes
    ----------
    x
        ``(channel, frame)`` float32.
    codes, weak
        ``(frame,)`` int64, -1 = unlabelled: by hand, and by rule (None: no such labels).
    firsts, lengths
        ``(recording,)``: where each begins, and how many frames it has.
    """

    x: Tensor
    codes: Tensor
    weak: Tensor | None
    firsts: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of(
        cls,
        features: Sequence[np.ndarray],
        codes: Sequence[np.ndarray],
        weak: Sequence[np.ndarray] | None = None,
    ) -> Frames:
        """Join recordings ``(time, channel)`` with their codes ``(time,)``."""
        lengths = np.array([len(each) for each in features])
        return cls(
            torch.from_numpy(np.concatenate(list(features)).T.astype(np.float32, order="C")),
            torch.from_numpy(np.concatenate(list(codes))),
            None if weak is None else torch.from_numpy(np.concatenate(list(weak))),
            np.cumsum(lengths) - lengths,
            lengths,
        )

    def take(self, stretches: np.ndarray, length: int) -> dict[str, Any]:
        """Return a batch of stretches ``(item, 2)``: recording, and first frame in it.

        Recordings that are shorter than ``length`` are filled up with zeros; ``inside``
        ``(item, 1, time)`` then says which frames exist.
        """
        n = len(stretches)
        x = torch.zeros(n, len(self.x), length)
        codes = torch.full((n, length), UNLABELLED)
        weak = None if self.weak is None else codes.clone()
        inside = torch.zeros(n, 1, length)
        for i, (recording, start) in enumerate(stretches):
            size = min(length, int(self.lengths[recording]) - start)
            here = slice(self.firsts[recording] + start, self.firsts[recording] + start + size)
            x[i, :, :size] = self.x[:, here]
            codes[i, :size] = self.codes[here]
            inside[i, :, :size] = 1
            if weak is not None and self.weak is not None:
                weak[i, :size] = self.weak[here]
        batch = {"x": x, "codes": codes}
        if weak is not None:
            batch["weak"] = weak
        if not bool(inside.all()):
            batch["inside"] = inside
        return batch


class StretchSampler(EpochSampler):
    """Cuts recordings into stretches of one length, anew each epoch; each frame is in one.

    Cuts lie at random; the first and the last stretch of a recording are moved inside it, so that
    they overlap their neighbours.

    Parameters
    ----------
    lengths
        ``(recording,)`` frames of each.
    length
        Of a stretch, frames.
    batch_size, seed
        See :class:`~tinbergen.training.EpochSampler`.
    """

    def __init__(self, lengths: np.ndarray, length: int, batch_size: int, seed: int):
        self.lengths, self.length = lengths, length
        self.counts = np.where(lengths > length, -(-lengths // length) + 1, 1)
        super().__init__(int(self.counts.sum()), batch_size, seed=seed)

    def epoch(self, number: int) -> np.ndarray:
        """Return ``(item, 2)``: recording and first frame of each stretch of an epoch."""
        rng = numpy_generator(self.seed, "cuts", number)
        stretches = []
        for recording, (n, total) in enumerate(zip(self.counts, self.lengths, strict=True)):
            cut = rng.integers(self.length)
            starts = np.clip(
                cut + self.length * np.arange(-1, n - 1), 0, max(total - self.length, 0)
            )
            stretches += [(recording, start) for start in starts]
        return np.array(stretches)[rng.permutation(len(stretches))]
