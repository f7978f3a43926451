"""Scores beside their nulls: the verdict rule and the sentence that states a result."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Verdict = Literal["good", "fair", "poor", "unknown"]

RULE = (
    "Good: the whole interval is better than the null, and no baseline is better. "
    "Fair: better than the null, but some baseline is better. "
    "Poor: not clearly better than the null."
)


class _Record(BaseModel):
    """A record of ``summary.json``; a newer writer may add keys."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Baseline(_Record):
    """What a simpler method scores on the same test."""

    name: str
    value: float | None = None
    interval: tuple[float, float] | None = None


class Score(_Record):
    """One number about a model, with what it has to beat.

    Attributes
    ----------
    name
        What was measured.
    value, interval
        The model's score and its interval, in ``unit``.
    null, null_name
        The score without any information: chance, train mean, shuffled.
    direction
        Whether a lower or a higher value is better.
    baselines
        Simpler methods on the same test.
    verdict, text
        Set where the rule of :meth:`judge` does not apply, such as a leakage whose null is the
        ideal.
    """

    name: str
    value: float | None = None
    interval: tuple[float, float] | None = None
    interval_name: str = "95 % interval"
    null: float | None = None
    null_name: str = "null"
    unit: str = ""
    direction: Literal["lower", "higher"] = "higher"
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
        >>> Score(name="accuracy", value=0.7, interval=(0.6, 0.8), null=0.5).judge()
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

    def sentence(self) -> str:
        """State the value, its interval, the null and the best baseline."""
        if self.text:
            return self.text
        if self.value is None:
            return "Not measured."
        parts = [with_unit(self.value, self.unit)]
        if self.interval is not None:
            low, high = (number(end) for end in self.interval)
            parts[0] += f" ({low} to {high})"
        if self.null is not None:
            parts.append(f"{self.null_name} {with_unit(self.null, self.unit)}")
        best = self.best_baseline()
        if best is not None and best.value is not None:
            parts.append(f"best baseline {with_unit(best.value, self.unit)}, {best.name}")
        return "; ".join(parts) + "."


class Alarm(_Record):
    """A check that should stay quiet, such as the collapse of an embedding."""

    name: str
    raised: bool
    text: str = ""


class Summary(_Record):
    """The content of ``summary.json``."""

    schema_version: int = 1
    room: str = ""
    title: str = ""
    trained_on: str = ""
    seconds: float | None = None
    headline: Score | None = None
    scores: tuple[Score, ...] = Field(default=())
    alarms: tuple[Alarm, ...] = Field(default=())
    notes: tuple[str, ...] = Field(default=())

    def all_scores(self) -> list[Score]:
        """Return the headline and the other scores, in this order."""
        return [*([self.headline] if self.headline else []), *self.scores]


def number(value: float) -> str:
    """Write a number with three or four significant digits, as a reader expects it.

    Examples
    --------
    >>> [number(v) for v in (0.0712, 21.08, 402.31, 14400, 0.0000312, 4.0)]
    ['0.071', '21.1', '402', '14\u202f400', '3.1e-05', '4.0']
    """
    size = abs(value)
    if not math.isfinite(value):
        return "–"
    if size >= 1000:
        return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    if size >= 100:
        return f"{value:.0f}"
    if size >= 1:
        return f"{value:.1f}"
    if size >= 0.001 or size == 0:
        return f"{value:.3f}"
    return f"{value:.1e}"


def with_unit(value: float, unit: str) -> str:
    """Write a number and its unit, parted by a space that does not break."""
    return f"{number(value)}\N{NO-BREAK SPACE}{unit}" if unit else number(value)
