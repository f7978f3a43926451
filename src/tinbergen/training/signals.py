"""A request to stop (SIGTERM, SIGUSR1, SIGUSR2, SIGINT): a flag that the loop reads each step."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, Self

from tinbergen.errors import PreemptedError

_NAMES = ("SIGTERM", "SIGUSR1", "SIGUSR2", "SIGINT")


class StopRequest:
    """While entered, the signals set :attr:`received`; a second SIGINT interrupts at once.

    Outside the main thread Python allows no handlers, and the signals keep their meaning.

    Parameters
    ----------
    enabled
        ``False`` leaves all signals as they are.
    forward
        Pass the request on to child processes, for the parent of several.
    """

    def __init__(self, *, enabled: bool = True, forward: bool = False):
        self.received: str | None = None
        self._enabled, self._forward = enabled, forward
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if self._enabled and threading.current_thread() is threading.main_thread():
            for name in _NAMES:
                if hasattr(signal, name):  # Windows has no SIGUSR1
                    number = getattr(signal, name)
                    self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.received == "SIGINT":
            raise KeyboardInterrupt
        self.received = signal.Signals(number).name
        if self._forward:
            # As SIGTERM: a terminal sends its SIGINT to the children too, and two mean "at once".
            for child in multiprocessing.active_children():
                child.terminate()
            return
        with contextlib.suppress(OSError):  # not print, which may be what was interrupted
            os.write(2, f"{self.received}: saving after this step, then stopping\n".encode())


@contextlib.contextmanager
def preemptible(how: str) -> Iterator[None]:
    """Turn SIGTERM, SIGUSR1 and SIGUSR2 into :class:`PreemptedError` at once, for resumable work.

    For what comes before and after training: caching, embedding, scoring. Training itself sets a
    :class:`StopRequest` over it.

    Parameters
    ----------
    how
        What to do to go on; the error says it.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise PreemptedError(f"Stopped by {signal.Signals(number).name}. {how}")

    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in _NAMES[:-1]:
            if hasattr(signal, name):
                before[getattr(signal, name)] = signal.signal(getattr(signal, name), stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
