"""Small films in memory, for the tests of this room."""

from __future__ import annotations

import functools

import numpy as np

from tinbergen.recordings import FrameSource, FrameStatus


class ArrayVideo(FrameSource):
    """Frames in memory, some of them damaged; its path is a file that holds them."""

    def __init__(self, path, frames, times=None, bad=()):
        super().__init__(path, times=times)
        self._frames, self._bad = frames, set(bad)

    def _file_times(self):
        return np.arange(len(self._frames)) / 50

    def _source_size(self):
        return self._frames.shape[1:3]

    def _read(self, positions, close):
        for position in positions:
            if position in self._bad:
                yield None, FrameStatus.CORRUPT
            else:
                yield functools.partial(self._pixels, position), FrameStatus.OK

    def _pixels(self, position):
        frame = self._frames[position]
        return np.round(frame.mean(-1)).astype(np.uint8) if self.gray else frame


def moving_square(n: int, size: int = 48, seed: int = 0) -> np.ndarray:
    """``(n, size, size, 3)`` uint8: a square that walks at random, resting half of the time."""
    generator = np.random.default_rng(seed)
    frames = np.full((n, size, size, 3), 40, np.uint8)
    place = np.array([size // 2, size // 2])
    for frame in frames:
        if generator.random() < 0.5:
            place = np.clip(place + generator.integers(-6, 7, 2), 0, size - 10)
        y, x = place
        frame[y : y + 10, x : x + 10] = (200, 120, 60)
    return frames
