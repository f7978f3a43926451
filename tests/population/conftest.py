import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def sessions():
    """Of unequal numbers of units: fewer than a block, exactly one, and more."""
    from small import make_session

    return [make_session("a1", 21), make_session("a2", 64), make_session("b1", 130)]
