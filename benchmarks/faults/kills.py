"""Runs that are killed at random moments end with what an undisturbed run has, or do they.

Every model that trains in steps, on a small simulated study: one undisturbed run, then others that
are killed (SIGKILL) at a moment drawn from the length of that run and called again with --resume,
until they have been killed often enough. Afterwards all weights, arrays and tables of both are
compared byte for byte, and what was logged of every step.

    python benchmarks/faults/kills.py --kills 100 --out kills.json
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from victims import differences, finish, make_victims, start

from machine import describe_machine


def campaign(
    name: str, arguments: list[str], folder: Path, kills: int, chance: random.Random
) -> dict[str, Any]:
    """Kill runs of one model ``kills`` times, and compare each that came to its end."""
    straight, log = folder / "straight", folder / "log.txt"
    began = time.monotonic()
    code = finish(start([*arguments, "--out", str(straight)], log))
    length = time.monotonic() - began
    if code != 0:
        raise SystemExit(f"{name} does not train at all (exit {code}):\n{log.read_text()[-3000:]}")
    killed, runs, wrong = 0, 0, []
    while killed < kills:
        out = folder / f"killed{runs}"
        log.unlink(missing_ok=True)
        here = 0
        while True:
            until = time.monotonic() + chance.random() * length if killed < kills else None
            child = start([*arguments, "--out", str(out), "--resume"], log)
            code = finish(child, until)
            if code is not None:
                break
            killed, here = killed + 1, here + 1
        runs += 1
        text = log.read_text()
        found = [f"exit {code}"] if code else differences(straight, out)
        found += ["traceback"] if "Traceback" in text else []
        if found:
            wrong.append({"run": runs, "kills": here, "found": found, "log": text[-2000:]})
        shutil.rmtree(out, ignore_errors=True)
    row = {"model": name, "kills": killed, "runs": runs, "run_s": round(length, 1)}
    return row | {"unequal": wrong}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="of all models together")
    parser.add_argument("--models", nargs="+", help="names of some of them")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, Any] = {"benchmark": "faults/kills", "machine": describe_machine()}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        chosen = make_victims(folder)
        names = options.models or list(chosen)
        chance, each = random.Random(options.seed), -(-options.kills // len(names))
        result["rows"] = []
        for number, name in enumerate(names):
            own = folder / f"model{number}"
            own.mkdir()
            row = campaign(name, chosen[name], own, each, chance)
            result["rows"].append(row)
            print(json.dumps(row), flush=True)
            if options.out:
                options.out.write_text(json.dumps(result, indent=1) + "\n")
    rows = result["rows"]
    total = {key: sum(row[key] for row in rows) for key in ("kills", "runs")}
    print(json.dumps(total | {"unequal": sum(len(row["unequal"]) for row in rows)}))
    sys.exit(any(row["unequal"] for row in rows))


if __name__ == "__main__":
    main()
