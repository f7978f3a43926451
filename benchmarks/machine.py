"""What every benchmark reports of the machine: processor and measured matrix-product peaks."""

from __future__ import annotations

import platform
import time
from pathlib import Path

import torch

from tinbergen.training.device import cpu_flags


def describe_machine() -> dict:
    """Processor, torch, and GFLOP/s of one thread for a 2048 x 2048 x 2048 product."""
    flags = cpu_flags()
    return {
        "cpu": _cpu_name(),
        "bf16": [flag for flag in ("amx_bf16", "avx512_bf16") if flag in flags],
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "peak_gflops": {name: round(peak_gflops(dtype), 1) for name, dtype in DTYPES.items()},
    }


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def peak_gflops(dtype: torch.dtype, n: int = 2048, rounds: int = 5) -> float:
    """Best of several products, in GFLOP per CPU-second."""
    a, b = torch.randn(2, n, n).to(dtype)
    best = float("inf")
    for _ in range(rounds + 1):
        begin = time.process_time()
        a @ b
        best = min(best, time.process_time() - begin)
    return 2 * n**3 / best / 1e9


def _cpu_name() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
