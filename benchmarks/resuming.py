"""Results of a benchmark that was interrupted, to go on with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def resumed(path: Path | None, fresh: dict[str, Any], **settings: object) -> dict[str, Any]:
    """Return the results at ``path``, or ``fresh``; each keeps the settings that it is of.

    Runs of two settings in one table would be compared as if they were alike, so the program ends
    with a line where they differ.
    """
    found = json.loads(path.read_text()) if path is not None and path.is_file() else dict(fresh)
    for name, value in {"benchmark": fresh["benchmark"], **settings}.items():
        if found.setdefault(name, value) != value:
            raise SystemExit(
                f"{path} has {name} {found[name]!r}, and this is {value!r}: choose another --out."
            )
    return found
