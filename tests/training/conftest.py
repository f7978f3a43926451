import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

_TOY = Path(__file__).with_name("toy.py")
sys.path.insert(0, str(_TOY.parent))  # so that spawned processes, and modules here, find it


@pytest.fixture(scope="session")
def toy():
    """The module toy.py beside this file."""
    return importlib.import_module("toy")


@pytest.fixture(scope="session")
def start_toy():
    """Start toy.py as its own process."""

    def start(path, *, task=None, resume=False, env=None, **config):
        told = {"path": str(path), "task": task, "resume": resume, "config": config}
        return subprocess.Popen(
            [sys.executable, str(_TOY), json.dumps([told])],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
        )

    return start
