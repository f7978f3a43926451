"""Small videos for the tests of this room."""

from __future__ import annotations

import sys
from pathlib import Path

import av
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tiny_*.py, here and in child processes

from tiny_films import ArrayVideo, moving_square  # noqa: E402


@pytest.fixture
def array_video(tmp_path):
    """Make an :class:`ArrayVideo` of ``n`` frames of a moving square."""

    def make(n=120, name="clip.npy", times=None, bad=(), frames=None):
        frames = moving_square(n) if frames is None else frames
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, frames)
        return ArrayVideo(path, frames, times, bad)

    return make


@pytest.fixture
def write_clip():
    """Write an H.264 file of ``n`` frames of a moving square."""

    def write(path: Path, n: int = 60, seed: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=30)
            stream.width = stream.height = 48
            stream.pix_fmt = "yuv420p"
            for frame in moving_square(n, seed=seed):
                for packet in stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")):
                    container.mux(packet)
            for packet in stream.encode():
                container.mux(packet)
        return path

    return write
