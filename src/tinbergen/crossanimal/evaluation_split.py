"""Which frames a model and its probes may learn from, and which they are judged on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tinbergen.errors import DataError


@dataclass(frozen=True, eq=False)
class FrameSplit:
    """Frames of one animal: for training, for the test, or (close to the test) for neither.

    Attributes
    ----------
    train, test
        ``(time,)`` bool; no frame is in both.
    """

    train: np.ndarray
    test: np.ndarray

    def __post_init__(self) -> None:
        train, test = np.array(self.train), np.array(self.test)
        if train.dtype != bool or test.dtype != bool or train.shape != test.shape:
            raise DataError(
                f"split: expected train and test as bool (time,), found {train.dtype} of shape "
                f"{train.shape} and {test.dtype} of shape {test.shape}."
            )
        if (both := int((train & test).sum())) or not train.any() or not test.any():
            raise DataError(
                f"split: {both} frames are in train and test, {train.sum()} in train, "
                f"{test.sum()} in test; expected each frame in one part at most, and none empty."
            )
        for name, value in (("train", train), ("test", test)):
            value.flags.writeable = False
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.train)

    @property
    def gap(self) -> int:
        """Fewest frames that lie between a training and a test frame."""
        train, test = np.flatnonzero(self.train), np.flatnonzero(self.test)
        after = np.searchsorted(train, test)
        right = train[np.minimum(after, len(train) - 1)]
        left = train[np.maximum(after - 1, 0)]
        return int(np.minimum(np.abs(right - test), np.abs(left - test)).min()) - 1


def split_at_end(n: int, test: float = 0.2, gap: int = 10) -> FrameSplit:
    """Train on the beginning of a recording, test on its end.

    Parameters
    ----------
    n
        Frames.
    test
        Share of the frames, the last ones.
    gap
        Frames before the test that are in no part: at least the window of the model.

    Raises
    ------
    DataError
        If a part stays empty.

    Examples
    --------
    >>> split = split_at_end(10, test=0.3, gap=2)
    >>> np.flatnonzero(split.train), np.flatnonzero(split.test)
    (array([0, 1, 2, 3, 4]), array([7, 8, 9]))
    """
    first = round(n * (1 - test))
    frames = np.arange(n)
    return FrameSplit(frames < first - gap, frames >= first)


def split_by_blocks(
    blocks: ArrayLike | int, n: int | None = None, test: float = 0.2, gap: int = 10, seed: int = 0
) -> FrameSplit:
    """Test on whole trials, or blocks of time, drawn at random.

    Parameters
    ----------
    blocks
        ``(time,)`` number or name of the trial of each frame (numbers below 0: of none, in no
        part); or how many blocks of equal length to cut ``n`` frames into.
    n
        Frames, where ``blocks`` is a number.
    test
        Share of the blocks, at least one.
    gap
        Training frames that lie so near to a test frame, counted in frames, are in no part.

    Raises
    ------
    DataError
        If there are fewer than two blocks, or no training frame is left.
    """
    if isinstance(blocks, int):
        if n is None:
            raise DataError("blocks: give n, the number of frames to cut into blocks.")
        owner = np.arange(n) * blocks // max(n, 1)
    else:
        given = np.asarray(blocks)
        owner = np.unique(given, return_inverse=True)[1]
        if given.dtype.kind in "if":
            owner = np.where(given < 0, -1, owner)
    names = np.unique(owner[owner >= 0])
    if len(names) < 2:
        raise DataError(
            f"split: expected at least two blocks or trials, found {len(names)}; cut the "
            "recording into more blocks of time."
        )
    count = min(max(1, round(test * len(names))), len(names) - 1)
    chosen = np.random.default_rng(seed).choice(names, count, replace=False)
    held = np.isin(owner, chosen)
    near = np.convolve(held, np.ones(2 * gap + 1))[gap : gap + len(held)] > 0.5
    return FrameSplit((owner >= 0) & ~near, held)


def keep_fraction(
    labels: np.ndarray,
    rows: np.ndarray,
    fraction: float,
    generator: np.random.Generator,
    pieces: int = 20,
) -> np.ndarray:
    """Draw a share of the labelled training frames, of each class alike, in stretches of time.

    Frames next to each other are all but equal: half of the *frames* at random would still tell
    nearly everything. So the frames of each class are cut into consecutive pieces, and some of
    these are kept.

    Parameters
    ----------
    labels
        ``(time,)`` codes.
    rows
        Indices of the labelled training frames, ascending.
    fraction
        In (0, 1].

    Returns
    -------
    Indices, ascending; every class keeps at least one piece.
    """
    if not 0 < fraction <= 1:
        raise DataError(f"fractions: expected shares of the labels in (0, 1], found {fraction}.")
    if fraction == 1:
        return rows
    kept = []
    for code in np.unique(labels[rows]):
        cut = np.array_split(rows[labels[rows] == code], pieces)
        cut = [piece for piece in cut if len(piece)]
        count = max(1, round(fraction * len(cut)))
        kept += [cut[i] for i in generator.permutation(len(cut))[:count]]
    return np.sort(np.concatenate(kept))


def check_lengths(
    splits: Mapping[str, FrameSplit], arrays: Mapping[str, np.ndarray], what: str
) -> None:
    """Refuse arrays whose animals or frames are not those of the splits."""
    if missing := sorted(splits.keys() - arrays.keys()):
        raise DataError(
            f"{what}: nothing for animal {missing[0]!r}; there is {', '.join(arrays) or 'none'}."
        )
    for name, split in splits.items():
        if len(arrays[name]) != len(split):
            raise DataError(
                f"{what}, animal {name!r}: expected {len(split)} frames as in its split, found "
                f"{len(arrays[name])}."
            )
