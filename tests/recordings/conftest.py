"""Tiny video files made for the tests, whole and damaged."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest


def picture(i: int, width: int = 64, height: int = 48) -> np.ndarray:
    """Frame ``i``: a gray level that grows with ``i`` and a bright bar that moves."""
    image = np.full((height, width), 30 + (i * 3) % 150, np.uint8)
    x = (i * 2) % (width - 8)
    image[8 : height - 8, x : x + 8] = 230
    image[:4, : (i % 16) * 4] = 255
    return image


def write_video(
    path: Path,
    n: int = 40,
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    pts: list[int] | None = None,
    b_frames: int = 2,
    gop: int = 12,
    size: tuple[int, int] = (64, 48),
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Write ``n`` frames of :func:`picture`; ``pts`` in ms, default 40 ms a frame."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream: Any = container.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.gop_size = gop
        if codec in ("libx264", "mpeg4", "mpeg2video"):
            stream.codec_context.max_b_frames = b_frames
        if pts is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for i in range(n):
            frame = av.VideoFrame.from_ndarray(picture(i, width, height), format="gray")
            frame = frame.reformat(format=pix_fmt)
            if pts is not None:
                frame.pts, frame.time_base = pts[i], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        if n:
            container.mux(stream.encode())
        else:
            container.start_encoding()
    return path


def flip_bytes(path: Path, start: float = 0.3, stop: float = 0.9, n: int = 25) -> Path:
    """Overwrite ``n`` bytes between two shares of the file with others."""
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    for at in rng.integers(int(len(data) * start), int(len(data) * stop), n):
        data[at] ^= 0xFF
    path.write_bytes(data)
    return path


def cut_off(path: Path, share: float = 0.6) -> Path:
    """Keep the first part of the file only."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def write_audio(path: Path) -> Path:
    """Write a file that holds sound alone."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("aac", rate=16000, layout="mono")
        for i in range(4):
            sound = np.zeros((1, 1024), np.float32)
            frame = av.AudioFrame.from_ndarray(sound, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16000, i * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="session")
def videos() -> SimpleNamespace:
    """What makes tiny videos and damages them."""
    return SimpleNamespace(
        picture=picture,
        write_video=write_video,
        write_audio=write_audio,
        flip_bytes=flip_bytes,
        cut_off=cut_off,
    )
