"""Batches fetched ahead by threads; the order and the content do not depend on how many."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor


@contextmanager
def fetched_ahead(
    fetch: Callable[[int], Any], steps: range, workers: int
) -> Iterator[Iterator[Any]]:
    """Yield an iterator over ``fetch(step)`` for each step, in order.

    ``workers`` threads run ahead by twice their number; with 0 each batch is fetched when it is
    asked for. An error in ``fetch`` is raised where its batch is asked for.
    """
    if workers == 0:
        yield map(fetch, steps)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="fetch")
    try:
        yield _in_order(pool, fetch, steps, ahead=2 * workers)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _in_order(
    pool: ThreadPoolExecutor, fetch: Callable[[int], Any], steps: range, ahead: int
) -> Iterator[Any]:
    waiting: deque[Future] = deque()
    coming = iter(steps)
    for step in coming:
        waiting.append(pool.submit(fetch, step))
        if len(waiting) >= ahead:
            break
    while waiting:
        yield waiting.popleft().result()
        if (step := next(coming, None)) is not None:
            waiting.append(pool.submit(fetch, step))


def map_tensors(batch: Any, function: Callable[[Tensor], Any]) -> Any:
    """Apply ``function`` to every array and tensor in dicts, lists, tuples and dataclasses."""
    if isinstance(batch, np.ndarray):
        return function(torch.from_numpy(batch))
    if isinstance(batch, Tensor):
        return function(batch)
    if isinstance(batch, dict):
        return {key: map_tensors(value, function) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(map_tensors(value, function) for value in batch))
    if isinstance(batch, list | tuple):
        return type(batch)(map_tensors(value, function) for value in batch)
    if dataclasses.is_dataclass(batch) and not isinstance(batch, type):
        values = {f.name: getattr(batch, f.name) for f in dataclasses.fields(batch)}
        return dataclasses.replace(batch, **map_tensors(values, function))
    return batch


def pin(batch: Any) -> Any:
    """Put a batch into page-locked memory, from which it is copied to a GPU without waiting."""
    return map_tensors(batch, lambda tensor: tensor.pin_memory())


def to_device(batch: Any, device: torch.device) -> Any:
    """Return ``batch`` with tensors on ``device``."""
    return map_tensors(batch, lambda tensor: tensor.to(device, non_blocking=True))
