"""Tiny videos, tiny settings, and the command line called as a function."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinbergen.recordings import write_video

SIZE = (48, 64)
TINY = {
    "encoder.image_size": "[48,64]", "encoder.patch": 8, "encoder.width": 16, "encoder.depth": 1,
    "encoder.heads": 2, "encoder.channels": 1, "decoder.width": 16, "decoder.depth": 1,
    "decoder.heads": 2, "objective.eigenframes": 4, "frames.select": "all", "train.batch_size": 8,
    "train.steps": 12, "train.checkpoint_every": 1, "train.log_every": 1,
    "train.validate_every": 4, "train.tensorboard": "false", "train.device": "cpu",
    "train.precision": "fp32",
}  # fmt: skip


@pytest.fixture(scope="session")
def tiny():
    """Arguments for a network that trains in a second, with changed settings."""

    def arguments(**changes) -> list[str]:
        changes = {key.replace("__", "."): value for key, value in changes.items()}
        pairs = (f"{key}={value}" for key, value in {**TINY, **changes}.items())
        return ["--workers", "1", *(part for pair in pairs for part in ("--set", pair))]

    return arguments


def moving_square(n: int, seed: int) -> np.ndarray:
    """``(n, 48, 64)`` uint8."""
    generator = np.random.default_rng(seed)
    frames = np.full((n, *SIZE), 60, np.uint8)
    frames[:, ::7] += 20
    place = np.array([20, 30])
    for frame in frames:
        place = np.clip(place + generator.integers(-4, 5, 2), 0, [36, 52])
        frame[place[0] : place[0] + 12, place[1] : place[1] + 12] = 190
    return frames


@pytest.fixture(scope="session")
def clip():
    """Write an H.264 file of ``n`` frames of a moving square, 30 a second."""

    def write(path: Path, n: int = 120, seed: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, moving_square(n, seed), np.arange(n) / 30)
        return path

    return write


@pytest.fixture(scope="session")
def videos(clip, tmp_path_factory):
    """A folder of two sound videos; nothing may be written into it."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(2):
        clip(folder / f"v{number}.mp4", seed=number)
    return folder


@pytest.fixture(scope="session")
def trained(cli, tiny, videos, tmp_path_factory):
    """A finished run on ``videos``."""
    run = tmp_path_factory.mktemp("trained") / "run"
    said = cli("pretrain", videos, "--out", run, "--no-report", *tiny())
    assert said.code == 0, said.err
    return run


@pytest.fixture
def start():
    """Start ``tinbergen`` as its own process; it does not outlive the test."""
    running = []

    def begin(*arguments) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-m", "tinbergen.cli.main", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def small_disk(tmp_path):
    """Mount a file system of a given size (MB) or read-only; needs root, else skip."""
    mounted = []

    def mount(options: str) -> Path:
        folder = tmp_path / "disk"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("mounting a small file system needs root")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
