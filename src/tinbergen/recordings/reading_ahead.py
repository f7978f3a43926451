"""Decoding on a thread of its own, ahead of whoever computes on the frames."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator

from tinbergen.recordings.frames import FrameBatch, FrameSource


def decode_ahead(
    video: FrameSource, start: int, batch_size: int, ahead: int = 2
) -> Generator[FrameBatch, None, None]:
    """Iterate over a video while a thread decodes up to ``ahead`` batches more."""
    ready: queue.Queue[FrameBatch | BaseException | None] = queue.Queue(ahead)
    stopped = threading.Event()

    def put(item: FrameBatch | BaseException | None) -> None:
        while not stopped.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                continue

    def decode() -> None:
        try:
            for batch in video.iterate(start, batch_size=batch_size):
                if stopped.is_set():
                    return
                put(batch)
            put(None)
        except BaseException as error:  # handed to the other thread, which raises it
            put(error)

    thread = threading.Thread(target=decode, name="decode", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()
