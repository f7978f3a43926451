"""What a run folder says of itself before anything was trained."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

SCHEMA_VERSION = 1
_PACKAGES = ("tinbergen", "torch", "lightning-fabric", "numpy", "pandas", "av", "safetensors")


def first_status(seed: int, inputs: Mapping[str, str]) -> dict[str, Any]:
    """Return what ``status.json`` holds before a run begins."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {
        "schema_version": SCHEMA_VERSION,
        "state": "created",
        "reason": None,
        "created": now,
        "updated": now,
        "seed": seed,
        "inputs": dict(inputs),
        "versions": installed_versions(_PACKAGES),
        "command": sys.argv,
        "notes": [],
    }


def installed_versions(packages: tuple[str, ...]) -> dict[str, str | None]:
    """Return Python's version and those of ``packages``; None where one is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found
