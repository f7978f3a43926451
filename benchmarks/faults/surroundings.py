"""Full disks, read-only folders, two writers of one run, clocks that jump: what becomes of a run.

Every model that trains in steps, on a small simulated study. A disk of a fifth, half and nine
tenths of what a run needs fills up: the run has to stop with a message, and to go on once there is
room. A read-only folder has to be told before any work. Of two that write one run one has to give
up, and the other to end as if it had been alone. A clock that jumps by hours changes nothing.
Disks are mounted, which needs root.

    python benchmarks/faults/surroundings.py --out surroundings.json
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import contextlib
import functools
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from victims import differences, finish, make_victims, start

from machine import describe_machine


@contextlib.contextmanager
def disk(folder: Path, options: str) -> Iterator[Path]:
    """Mount a file system in memory."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def grow(folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=1g", str(folder)], check=True)


def jump() -> None:
    """Let the clock jump by up to a day, to and fro, at each look."""
    real, chance = time.time, random.Random(0)
    time.time = lambda: real() + chance.uniform(-86400, 86400)


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def judge(code: int | None, log: Path, expected: set[int]) -> list[str]:
    text = log.read_text()
    found = [] if code in expected else [f"exit {code}"]
    if "Traceback" in text:
        found.append("traceback")
    if code and "error:" not in text and code != 75:
        found.append("no message")
    return [*found, text[-1500:]] if found else []


def full_disk(share: float, arguments: list[str], straight: Path, folder: Path) -> list[str]:
    log, n_bytes = folder / "log.txt", int(size_of(straight) * share)
    with disk(folder / "disk", f"size={max(n_bytes // 4096, 1) * 4096}") as place:
        out = ["--out", str(place / "run")]
        code = finish(start([*arguments, *out], log))
        # It may fit all the same: checkpoints are removed on the way.
        found = judge(code, log, {0, 1})
        grow(place)
        log.unlink()
        code = finish(start([*arguments, *out, "--resume"], log))
        found += judge(code, log, {0})
        return found or differences(straight, place / "run")


def read_only(arguments: list[str], straight: Path, folder: Path) -> list[str]:
    log = folder / "log.txt"
    with disk(folder / "disk", "ro") as place:
        began = time.monotonic()
        code = finish(start([*arguments, "--out", str(place / "run")], log))
        found = judge(code, log, {1, 2})
        return [*found, *([] if time.monotonic() - began < 10 else ["told late"])]


def two_writers(arguments: list[str], straight: Path, folder: Path) -> list[str]:
    out = folder / "run"
    logs = [folder / f"log{i}.txt" for i in range(2)]
    children = [start([*arguments, "--out", str(out), "--resume"], log) for log in logs]
    codes = [finish(child) for child in children]
    found = [part for c, log in zip(codes, logs, strict=True) for part in judge(c, log, {0, 1})]
    if 0 not in codes:
        found.append("neither ended")
    return found or differences(straight, out)


def clock(arguments: list[str], straight: Path, folder: Path) -> list[str]:
    out, log = folder / "run", folder / "log.txt"
    code = finish(start([*arguments, "--out", str(out)], log, jump))
    return judge(code, log, {0}) or differences(straight, out)


TRIALS = {
    "disk of a fifth": functools.partial(full_disk, 0.2),
    "disk of a half": functools.partial(full_disk, 0.5),
    "disk of nine tenths": functools.partial(full_disk, 0.9),
    "read-only folder": read_only,
    "two writers": two_writers,
    "clock that jumps": clock,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", nargs="+", help="names of some of them")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, Any] = {"benchmark": "faults/surroundings", "machine": describe_machine()}
    result["rows"] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        chosen = make_victims(folder)
        for number, name in enumerate(options.models or chosen):
            own, arguments = folder / f"model{number}", chosen[name]
            own.mkdir()
            straight = own / "straight"
            if finish(start([*arguments, "--out", str(straight)], own / "straight.txt")):
                raise SystemExit((own / "straight.txt").read_text())
            for trial, run in TRIALS.items():
                place = own / trial.replace(" ", "_")
                place.mkdir()
                row = {"model": name, "trial": trial, "wrong": run(arguments, straight, place)}
                result["rows"].append(row)
                print(json.dumps(row), flush=True)
                shutil.rmtree(place)
            if options.out:
                options.out.write_text(json.dumps(result, indent=1) + "\n")
    wrong = sum(bool(row["wrong"]) for row in result["rows"])
    print(json.dumps({"trials": len(result["rows"]), "wrong": wrong}))
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
