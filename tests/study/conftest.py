"""A small study in a folder of its own."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for small_study.py
from small_study import SmallStudy, Stub  # noqa: E402


@pytest.fixture
def small(tmp_path):
    return SmallStudy(tmp_path)


@pytest.fixture
def stub(tmp_path_factory):
    return Stub(tmp_path_factory.mktemp("stub"))
