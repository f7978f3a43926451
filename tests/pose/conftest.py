"""Small labelled projects, a run on one of them, and the command line called as a function."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # spots.py

from spots import SMALL, write_project  # noqa: E402


@pytest.fixture
def project(tmp_path):
    """A fresh project of 24 frames that a test may break."""
    return write_project(tmp_path / "project")


class Killed(BaseException):
    """Stands for a kill: nothing of ours catches it."""


@pytest.fixture
def killed_at(monkeypatch):
    """Let training die in a step, without saving: ``with killed_at(7): train(...)``."""
    from tinbergen.training.loop import Loop

    update = Loop._update

    @contextmanager
    def kill(at):
        def die(self, step, batch):
            if step == at:
                raise Killed
            return update(self, step, batch)

        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(Loop, "_update", die)
            yield

    return kill


@pytest.fixture
def unread(monkeypatch):
    """Fail where an image or a clip of unlabelled video is read for training."""

    def read(*args, **kwargs):
        raise AssertionError("read before the settings were refused")

    monkeypatch.setattr("tinbergen.pose.labels._decode", read)
    monkeypatch.setattr("tinbergen.pose.fitting.read_clips", read)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A project and a finished run on it; nothing may be written into either."""
    from tinbergen.pose import train

    folder = tmp_path_factory.mktemp("trained")
    made = write_project(folder / "project")
    run = train(made, folder / "run", test=0.2, overrides=SMALL)
    return made, run


@pytest.fixture(scope="session")
def film(tmp_path_factory):
    """A video of the two spots, and where they are: path, ``(time, keypoint, 2)`` px."""
    from spots import picture

    from tinbergen.recordings import write_video

    rng = np.random.default_rng(5)
    n = 40
    steps = rng.normal(0, 1.5, (n, 2, 2)).cumsum(axis=0)
    places = np.clip(np.array([[25.0, 20.0], [55.0, 40.0]]) + steps, 9, [[70, 50]])
    frames = np.stack([picture(each) for each in places])
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_video(path, frames, np.arange(n) / 30)
    return path, places
