"""A network and a cache small enough for tests, without any file."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from tinbergen.beast.config import beast_config
from tinbergen.configuration import merge

SHAPE = {
    "encoder": {"image_size": (16, 24), "patch": 8, "width": 16, "depth": 2, "heads": 2},
    "decoder": {"width": 16, "depth": 1, "heads": 2},
    "objective": {"eigenframes": 0},
    "frames": {"per_video": 20},
    "train": {
        "batch_size": 8, "steps": 12, "device": "cpu", "precision": "fp32",
        "tensorboard": False, "checkpoint_every": 4, "validate_every": 4, "log_every": 1,
    },
}  # fmt: skip


def tiny_config(preset: Any = "tinbergen", **changes: Any):
    """A preset on frames of 16 x 24 px, with ``changes`` of its sections."""
    return beast_config(preset, overrides=merge(SHAPE, changes))


class _MemoryCache:
    """Frames of a few videos as :class:`FrameCache` gives them: consecutive, 50 a second."""

    def __init__(self, lengths=(40, 30), size=(16, 24), channels=3, seed=0):
        generator = np.random.default_rng(seed)
        n = sum(lengths)
        self.frames = generator.integers(0, 256, (n, *size, channels), dtype=np.uint8)
        frame = np.concatenate([np.arange(length) for length in lengths])
        video = np.repeat(np.arange(len(lengths)), lengths)
        self.index = pd.DataFrame(
            {
                "recording": [f"r{v}" for v in video],
                "stream": "video",
                "video": video,
                "frame": frame,
                "time": frame / 50,
                "status": np.uint8(0),
                "anchor": True,
                "stretch": video,
                "before": np.where(frame > 0, np.arange(n) - 1, -1),
                "after": np.where(np.append(video[1:], -1) == video, np.arange(n) + 1, -1),
            }
        )
        self.videos = [SimpleNamespace(interval=1 / 50) for _ in lengths]
        self.usable = np.arange(n)

    def read(self, rows):
        return self.frames[rows]


MemoryCache: Any = _MemoryCache  # stands for a FrameCache, as far as tests look
