"""Freed memory stays with the process while it computes on the CPU."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Parameters of mallopt, from glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_MIB = 2**20


@contextmanager
def heap_kept(enabled: bool = True) -> Iterator[None]:
    """Let the allocator keep what is freed inside the block, for the next tensor of that size.

    By default glibc gives every freed block of more than 32 MiB, and the free end of its heap,
    back to the system. Each step then asks for its activations anew and the system clears them
    page by page, which takes up to a tenth of a step of a ViT. At the end all that is free is
    given back. Does nothing with other allocators and systems.
    """
    mallopt = _mallopt() if enabled else None
    if mallopt is None:
        yield
        return
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, -1)
    try:
        yield
    finally:
        # Where glibc's own moving thresholds end up after the first large blocks, and its default.
        mallopt(_TRIM_THRESHOLD, 64 * _MIB)
        mallopt(_MMAP_THRESHOLD, 32 * _MIB)
        mallopt(_MMAP_MAX, 65536)
        ctypes.CDLL(None).malloc_trim(0)


def _mallopt() -> ctypes._NamedFuncPointer | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    # Others than glibc (musl; Alpine) have no gnu_get_libc_version.
    return library.mallopt if hasattr(library, "gnu_get_libc_version") else None
