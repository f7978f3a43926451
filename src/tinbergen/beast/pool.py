"""One process per video, several at a time."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from tinbergen.errors import TinbergenError
from tinbergen.progress import Progress

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_videos(
    function: Callable[[Item], Result],
    items: Mapping[str, Item],
    workers: int,
    description: str,
) -> Iterator[tuple[str, Result | TinbergenError]]:
    """Yield (name, ``function(item)``) for each item as it is done.

    A :class:`TinbergenError` of one item is handed out in place of its result; any other error
    ends the work. With one worker or one item nothing is started; else ``function`` and the items
    must be picklable, and a script needs its ``if __name__ == "__main__":``.
    """
    with Progress(len(items), description, "videos") as progress:
        if workers <= 1 or len(items) <= 1:
            for name, item in items.items():
                yield name, _try(function, item)
                progress.advance()
            return
        context = multiprocessing.get_context("spawn")  # a fork would copy threads' held locks
        with ProcessPoolExecutor(min(workers, len(items)), context, _one_thread) as pool:
            try:
                tasks = {pool.submit(_try, function, item): name for name, item in items.items()}
                for task in as_completed(tasks):
                    yield tasks[task], task.result()
                    progress.advance()
            except BrokenProcessPool as error:
                raise TinbergenError(
                    f"A worker process died while {description}. Either memory ran out, or the "
                    "script that started it has no 'if __name__ == \"__main__\":' around its "
                    "work. Use fewer workers; workers=1 starts no process."
                ) from error
            finally:
                pool.shutdown(cancel_futures=True)


def _try(function: Callable[[Item], Result], item: Item) -> Result | TinbergenError:
    try:
        return function(item)
    except TinbergenError as error:
        return error


def _one_thread() -> None:
    import cv2

    cv2.setNumThreads(1)
