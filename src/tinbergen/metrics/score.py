"""What a score says of itself: value, interval, null, direction, and the baselines beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple


class Interval(NamedTuple):
    """Bounds of a 95 % interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Baseline:
    """Another method's value on the same data."""

    name: str
    value: float
    interval: Interval | None = None


@dataclass(frozen=True)
class Score:
    """One number with everything needed to judge it.

    Attributes
    ----------
    name, value, unit
        ``unit`` is empty for shares between 0 and 1. NaN where it could not be computed.
    direction
        Which way is better.
    null, null_name
        The value without any information: chance, training mean, shuffled.
    interval, interval_name
        95 %, and over what it was drawn.
    baselines
        Plain methods on the same data.
    n, n_name, split, method
        How many of what; how training and test were kept apart; what was done, in a sentence.
    verdict, text
        Where the rule of the report (interval against null and baselines) does not fit.
    """

    name: str
    value: float
    unit: str = ""
    direction: Literal["lower", "higher"] = "higher"
    null: float = math.nan
    null_name: str = ""
    interval: Interval | None = None
    interval_name: str = ""
    baselines: tuple[Baseline, ...] = field(default=())
    n: int | None = None
    n_name: str = ""
    split: str = ""
    method: str = ""
    verdict: Literal["good", "fair", "poor", "unknown"] | None = None
    text: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: NaN becomes None, empty texts are left out."""
        result: dict[str, Any] = {
            "name": self.name,
            "value": _number(self.value),
            "interval": _bounds(self.interval),
            "null": _number(self.null),
            "unit": self.unit,
            "direction": self.direction,
            "baselines": [
                {"name": b.name, "value": _number(b.value), "interval": _bounds(b.interval)}
                for b in self.baselines
            ],
        }
        optional = ("null_name", "interval_name", "n", "n_name", "split", "method", "verdict")
        result |= {key: getattr(self, key) for key in (*optional, "text") if getattr(self, key)}
        return result


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _bounds(interval: Interval | None) -> list[float] | None:
    if interval is None or not all(map(math.isfinite, interval)):
        return None
    return [float(interval.low), float(interval.high)]
