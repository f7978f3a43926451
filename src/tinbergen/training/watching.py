"""Somebody who sees the score as training goes and may end it, such as a sweep that prunes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Watch = Callable[[int, float], str | None]
"""Takes the step and the best score so far; returns why to end training there, or None.

It is not asked after the last step. With several processes it is sent to them, so it must be
picklable; it is called in the first one."""

_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextmanager
def watched(watch: Watch) -> Iterator[None]:
    """Let ``watch`` look at every :func:`~tinbergen.training.fit` inside the block.

    What calls ``fit`` need not know of it, so every room can be swept as it is. A run that is
    ended is done: it keeps its best weights, and the reason is in its status.
    """
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)


def present_watch() -> Watch | None:
    """Return who watches here, if anybody."""
    return _watch.get()
