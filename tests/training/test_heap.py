"""The allocator keeps memory inside the block and gives it back after it."""

import ctypes
import sys

import pytest
import torch

from tinbergen.training.heap import heap_kept


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


@pytest.mark.skipif(
    not (sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "gnu_get_libc_version")),
    reason="glibc only",
)
def test_freed_blocks_stay_until_the_end():
    size = 200 * 2**20
    with heap_kept():
        block = torch.ones(size // 4)
        full = resident()
        del block
        assert resident() > full - 0.1 * size
    assert resident() < full - 0.5 * size  # not all of it: some was free before
