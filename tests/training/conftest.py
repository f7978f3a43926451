import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

_TOY = Path(__file__).with_name("toy.py")


@pytest.fixture(scope="session")
def toy():
    """The module toy.py beside this file."""
    spec = importlib.util.spec_from_file_location("toy", _TOY)
    module = importlib.util.module_from_spec(spec)
    sys.modules["toy"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def start_toy():
    """Start toy.py as its own process."""

    def start(path, *, task=None, resume=False, env=None, **config):
        told = json.dumps({"task": task, "resume": resume, "config": config})
        return subprocess.Popen(
            [sys.executable, str(_TOY), str(path), told],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
        )

    return start
