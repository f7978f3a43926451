"""The frames before and after a frame, as further channels of it.

A paw that is hidden or blurred in one frame is seen in the next: with its neighbours a frame says
more (the context models of Biderman et al., Nature Methods 2024). Neighbours stand in the order of
time, ``-context`` to ``+context`` with the frame itself in the middle.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from tinbergen.recordings import FrameBatch

_NUMBERED = re.compile(r"(.*?)(\d+)(\D*)")


def stack_context(frames: np.ndarray, context: int) -> np.ndarray:
    """Join each frame with its neighbours.

    Parameters
    ----------
    frames
        ``(time, height, width, channels)``, ``context`` more than wanted at both ends.

    Returns
    -------
    ``(time - 2 * context, height, width, (2 * context + 1) * channels)``

    Examples
    --------
    >>> frames = np.arange(5).reshape(5, 1, 1, 1)
    >>> stack_context(frames, 1)[:, 0, 0].tolist()
    [[0, 1, 2], [1, 2, 3], [2, 3, 4]]
    """
    n = len(frames) - 2 * context
    return np.concatenate([frames[i : i + n] for i in range(2 * context + 1)], axis=-1)


def neighbours(path: Path, context: int) -> list[Path]:
    """Name the images of the frames around that of ``path``, itself in the middle.

    The last number of an image's name is that of its frame, as in DeepLabCut and Lightning Pose.
    """
    found = _NUMBERED.fullmatch(path.stem)
    if found is None:
        return [path] * (2 * context + 1)
    front, digits, end = found.groups()
    numbers = range(int(digits) - context, int(digits) + context + 1)
    return [
        path.with_name(f"{front}{n:0{len(digits)}d}{end}{path.suffix}") if n >= 0 else path
        for n in numbers
    ]


def with_context(
    batches: Iterable[FrameBatch], context: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Join the frames of a video with their neighbours, as they are decoded.

    Before the first and after the last frame these are repeated; a frame that could not be decoded
    is replaced by the last sound one before it, and is black where there is none.

    Yields
    ------
    indices, ok : ``(n,)``
        Of frames in their order, each once.
    frames : ``(n, height, width, (2 * context + 1) * channels)``
        With their neighbours.
    """
    kept = indices = ok = last = None
    for batch in batches:
        sound = np.maximum.accumulate(np.where(batch.ok, np.arange(len(batch)), 0))
        frames = batch.frames.reshape(*batch.frames.shape[:3], -1)[sound]
        if last is not None:
            frames[~np.logical_or.accumulate(batch.ok)] = last
        last = frames[-1]
        if kept is None or indices is None or ok is None:
            kept, indices, ok = (
                np.repeat(frames[:1], context, axis=0),
                batch.indices[:0],
                batch.ok[:0],
            )
        kept = np.concatenate([kept, frames])
        indices, ok = np.concatenate([indices, batch.indices]), np.concatenate([ok, batch.ok])
        n = len(kept) - 2 * context
        if n > 0:
            yield indices[:n], ok[:n], stack_context(kept, context)
            kept, indices, ok = kept[n:], indices[n:], ok[n:]
    if kept is not None and indices is not None and ok is not None and len(indices):
        kept = np.concatenate([kept, np.repeat(kept[-1:], context, axis=0)])
        yield indices, ok, stack_context(kept, context)
