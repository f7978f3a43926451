"""Progress for anything over two seconds: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Self, TypeVar

Item = TypeVar("Item")

_SILENT_S = 2.0
_LINE_EVERY_S = 30.0


class Progress:
    """Count ``total`` items; say how far, how fast and how much longer.

    On a terminal this is a bar; elsewhere a line every 30 seconds. Nothing is printed by work
    that ends within two seconds.

    Examples
    --------
    >>> with Progress(3, "reading") as progress:
    ...     for _ in range(3):
    ...         progress.advance()
    """

    def __init__(self, total: int | None, description: str, unit: str = "items", done: int = 0):
        self.total, self.description, self.unit = total, description, unit
        self.done = self._start_done = done
        self._note = ""
        self._bar = None
        self._task = None

    def __enter__(self) -> Self:
        self._start = time.monotonic()
        self._last = self._start + _SILENT_S - _LINE_EVERY_S
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._show()
            self._bar.stop()
        elif time.monotonic() - self._start > _SILENT_S:
            self._print_line()

    def advance(self, n: int = 1, note: str = "") -> None:
        """Add ``n`` finished items; ``note`` is a short text such as the current loss."""
        self.done += n
        self._note = note or self._note
        self._show()

    def _show(self) -> None:
        now = time.monotonic()
        if now - self._start < _SILENT_S:
            return
        if sys.stderr.isatty():
            self._update_bar()
        elif now - self._last >= _LINE_EVERY_S:
            self._last = now
            self._print_line()

    def _update_bar(self) -> None:
        if self._bar is None:
            from rich import progress as rich_progress
            from rich.console import Console

            self._bar = rich_progress.Progress(
                rich_progress.TextColumn("{task.description}"),
                rich_progress.BarColumn(),
                rich_progress.MofNCompleteColumn(),
                rich_progress.TimeElapsedColumn(),
                rich_progress.TimeRemainingColumn(),
                rich_progress.TextColumn("{task.fields[note]}"),
                console=Console(stderr=True),
            )
            self._bar.start()
            self._task = self._bar.add_task(
                self.description, total=self.total, completed=self.done, note=""
            )
        self._bar.update(self._task, completed=self.done, note=self._note)  # type: ignore[arg-type]

    def _print_line(self) -> None:
        elapsed = time.monotonic() - self._start
        rate = (self.done - self._start_done) / max(elapsed, 1e-9)
        text = f"{self.description}: {self.done}"
        if self.total is not None:
            text += f"/{self.total}"
        text += f" {self.unit}, {rate:.3g}/s"
        if self.total is not None and rate > 0 and self.done < self.total:
            text += f", {_duration((self.total - self.done) / rate)} left"
        print(f"{text}  {self._note}".rstrip(), file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    """Write a time to wait in the units that people wait in.

    Examples
    --------
    >>> _duration(8), _duration(754), _duration(77046), _duration(300000)
    ('8 s', '13 min', '21 h 24 min', '3 d 11 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def track(items: Iterable[Item], description: str, unit: str = "items") -> Iterator[Item]:
    """Yield ``items`` while reporting progress."""
    total = len(items) if hasattr(items, "__len__") else None  # type: ignore[arg-type]
    with Progress(total, description, unit) as progress:
        for item in items:
            yield item
            progress.advance()
