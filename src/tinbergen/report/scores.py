"""The content of ``summary.json``, and the sentence that states a score beside its null."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict

from tinbergen.metrics.score import Score

RULE = (
    "Good: the whole interval is better than the null, and no baseline is better. "
    "Fair: better than the null, but some baseline is better. "
    "Poor: not clearly better than the null. "
    "Where a score has no interval, the value alone is compared. "
    "Where the caption of a score states another rule, that one holds."
)


class _Record(BaseModel):
    """A record of ``summary.json``; a newer writer may add keys."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


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
    scores: tuple[Score, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    notes: tuple[str, ...] = ()

    def all_scores(self) -> list[Score]:
        """Return the headline and the other scores, in this order."""
        return [*([self.headline] if self.headline else []), *self.scores]


def sentence(score: Score) -> str:
    """State a score's value, its interval, the null and the best baseline."""
    if score.text:
        return score.text
    if score.value is None:
        return "Not measured."
    parts = [with_unit(score.value, score.unit)]
    if score.interval is not None:
        low, high = map(number, score.interval)
        parts[0] += f" ({low} to {high})"
    if score.null is not None:
        parts.append(f"{score.null_name} {with_unit(score.null, score.unit)}")
    best = score.best_baseline()
    if best is not None and best.value is not None:
        parts.append(f"best baseline {with_unit(best.value, score.unit)}, {best.name}")
    return "; ".join(parts) + "."


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
