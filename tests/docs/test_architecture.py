"""The page that says where things live names modules that are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = tuple(path.name for path in (ROOT / "src" / "tinbergen").iterdir() if path.is_dir())


def test_every_module_that_is_named_exists():
    text = (ROOT / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`([a-z_0-9]+/[a-z_0-9]+\.py)`", text))
    assert len(named) > 40
    assert not [name for name in named if not (ROOT / "src" / "tinbergen" / name).is_file()]


def test_every_room_is_in_the_picture():
    picture = (ROOT / "docs" / "images" / "architecture.svg").read_text()
    assert not [room for room in ROOMS if room[0] != "_" and room not in picture]
