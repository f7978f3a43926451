"""What a score says of itself: value, interval, null, direction, and the baselines beside it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

Verdict = Literal["good", "fair", "poor", "unknown"]


class Interval(NamedTuple):
    """Bounds of a 95 % interval."""

    low: float
    high: float


class _Measured:
    """What could not be measured is None: NaN and infinity become it, as JSON has neither."""

    def __post_init__(self) -> None:
        for name in ("value", "null"):
            number = getattr(self, name, None)
            if number is not None:
                number = float(number) if math.isfinite(number) else None
                object.__setattr__(self, name, number)
        bounds = getattr(self, "interval", None)
        if bounds is not None:
            low, high = map(float, bounds)
            finite = math.isfinite(low) and math.isfinite(high)
            object.__setattr__(self, "interval", Interval(low, high) if finite else None)


@dataclass(frozen=True)
class Baseline(_Measured):
    """Another method's value on the same test."""

    name: str
    value: float | None = None
    interval: Interval | None = None


@dataclass(frozen=True)
class Score(_Measured):
    """One number with everything needed to judge it.

    Attributes
    ----------
    name, value, unit
        ``unit`` is empty for shares between 0 and 1; ``value`` is None where there is none.
    direction
        Which way is better.
    null, null_name
        The value without any information: chance, training mean, shuffled.
    interval, interval_name
        95 %, and over what it was drawn.
    baselines
        Plain methods on the same test.
    n, n_name, split, method
        How many of what; how training and test were kept apart; what was done, in a sentence.
    verdict, text
        Set where the rule of :meth:`judge` does not apply, such as a leakage whose null is the
        ideal.
    """

    name: str
    value: float | None = None
    unit: str = ""
    direction: Literal["lower", "higher"] = "higher"
    null: float | None = None
    null_name: str = "null"
    interval: Interval | None = None
    interval_name: str = "95 % interval"
    baselines: tuple[Baseline, ...] = ()
    n: int | None = None
    n_name: str = ""
    split: str = ""
    method: str = ""
    verdict: Verdict | None = None
    text: str = ""

    def judge(self) -> Verdict:
        """Return the verdict that was set, or the one that follows from null and baselines.

        Examples
        --------
        >>> Score("accuracy", 0.7, interval=Interval(0.6, 0.8), null=0.5).judge()
        'good'
        """
        if self.verdict is not None:
            return self.verdict
        if self.value is None or self.null is None:
            return "unknown"
        sign = 1.0 if self.direction == "higher" else -1.0
        worst = min(sign * end for end in self.interval or (self.value,))
        if worst <= sign * self.null:
            return "poor"
        values = [b.value for b in self.baselines if b.value is not None]
        return "good" if all(sign * self.value >= sign * value for value in values) else "fair"

    def best_baseline(self) -> Baseline | None:
        """Return the baseline that is hardest to beat, if there is any."""
        known = [b for b in self.baselines if b.value is not None]
        pick = max if self.direction == "higher" else min
        return pick(known, key=lambda b: b.value or 0.0) if known else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, as the report reads them."""
        return asdict(self)
