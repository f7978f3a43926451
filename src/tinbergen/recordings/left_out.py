"""What a step left out, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

_SHOWN = 8


@dataclass(frozen=True)
class LeftOut:
    """Units, trials or windows that a step left out; prints as a short table.

    Attributes
    ----------
    what
        ``"units"``, ``"trials"``, ``"windows"``, ...
    total
        How many there were.
    reasons
        Reason -> names of those left out for it; each stands under its first reason alone.
    note
        What else to know.

    Examples
    --------
    >>> print(LeftOut("units", 40, {"rate below 1 Hz": (3, 17), "region unknown": (20,)}))
    units: 37 of 40 kept
      rate below 1 Hz  2: 3, 17
      region unknown   1: 20
    """

    what: str
    total: int
    reasons: Mapping[str, tuple] = field(default_factory=dict)
    note: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "reasons", MappingProxyType(dict(self.reasons)))

    def __reduce__(self) -> tuple:
        return type(self), (self.what, self.total, dict(self.reasons), self.note)

    def __len__(self) -> int:
        return sum(map(len, self.reasons.values()))

    def __bool__(self) -> bool:
        return len(self) > 0

    @property
    def kept(self) -> int:
        """How many are left."""
        return self.total - len(self)

    def __str__(self) -> str:
        lines = [f"{self.what}: {self.kept} of {self.total} kept"]
        text = max(map(len, self.reasons), default=0)
        digits = max((len(str(len(names))) for names in self.reasons.values()), default=0)
        for reason, names in self.reasons.items():
            shown = ", ".join(map(str, names[:_SHOWN])) + (", ..." if names[_SHOWN:] else "")
            lines.append(f"  {reason:<{text}}  {len(names):>{digits}}: {shown}")
        return "\n".join([*lines, f"  {self.note}"] if self.note else lines)

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold; names as they are if they are numbers, else as text."""
        reasons = {reason: [_plain(n) for n in names] for reason, names in self.reasons.items()}
        counts = {"what": self.what, "total": self.total, "kept": self.kept}
        return counts | {"reasons": reasons, "note": self.note}


def apply_rules(
    what: str, names: Sequence | np.ndarray, rules: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, LeftOut]:
    """Leave out what breaks a rule.

    Parameters
    ----------
    names
        ``(n,)``, of the units or trials.
    rules
        Reason -> ``(n,)`` bool, True where it is broken; in order: the first reason counts.

    Returns
    -------
    ``(n,)`` bool, True where kept, and the account.
    """
    kept = np.ones(len(names), dtype=bool)
    reasons = {}
    for reason, broken in rules.items():
        rows = np.flatnonzero(kept & broken)
        if len(rows):
            reasons[reason] = tuple(_plain(names[i]) for i in rows.tolist())
        kept[rows] = False
    return kept, LeftOut(what, len(names), reasons)


def _plain(name: Any) -> Any:
    name = name.item() if isinstance(name, np.generic) else name
    return name if isinstance(name, int | float | str) else str(name)
