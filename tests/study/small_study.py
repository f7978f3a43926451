"""A study of files that only have to be there, and a program in the place of Tinbergen's."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from tinbergen.cli.study import Commands
from tinbergen.configuration import write_yaml
from tinbergen.study import make_plan, read_study

STEPS = {
    "features": {"kind": "pretrain", "settings": {"size": "ti", "steps": 3}},
    "embeddings": {"kind": "embed", "uses": "features"},
    "neurons": {"kind": "encode", "uses": "embeddings", "settings": {"from": ["embeddings"]}},
    "wheel": {"kind": "decode", "settings": {"to": "wheel"}},
}


class SmallStudy:
    """``study.yaml`` beside ``data/dataset.yaml`` with two recordings of made-up files."""

    def __init__(self, folder: Path):
        self.folder, self.file = folder, folder / "study.yaml"
        recordings = {}
        for name in ("a", "b"):
            streams: dict[str, Any] = {"video": f"{name}.mp4"}
            for kind in ("spikes", "series"):
                stream = "wheel" if kind == "series" else kind
                streams[stream] = {"kind": kind, "file": f"{name}.{stream}.npz"}
            streams["keypoints"] = {"kind": "keypoints", "file": f"{name}.csv", "times": "video"}
            for entry in streams.values():
                self.data(entry if isinstance(entry, str) else entry["file"])
            recordings[name] = {"subject": name, "streams": streams}
        write_yaml(folder / "data" / "dataset.yaml", {"recordings": recordings})
        self.write(STEPS)

    def data(self, name: str, text: str = "first") -> Path:
        path = self.folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name} {text}")
        return path

    def write(self, steps, **others):
        write_yaml(self.file, {"data": "data", "steps": steps, **others})
        return self

    def changed(self, step: str, **settings):
        """Write it with other settings of a step."""
        steps = {name: dict(value) for name, value in STEPS.items()}
        steps[step]["settings"] = {**steps[step].get("settings", {}), **settings}
        return self.write(steps)

    def plan(self):
        return make_plan(read_study(self.file), Commands())

    def fingerprints(self):
        return {name: step.fingerprint for name, step in self.plan().steps.items()}


STUB = """
import json, os, signal, sys, time
from pathlib import Path

arguments = sys.argv[1:]
flag = "--json" if arguments[0] == "check" else "--out"
out = Path(arguments[arguments.index(flag) + 1])
call = [out.parts[-3], arguments, time.time(), os.environ["OMP_NUM_THREADS"]]
with open(os.environ["STUB_CALLS"], "a") as file:
    file.write(json.dumps(call) + "\\n")
orders = json.loads(Path(os.environ["STUB_ORDERS"]).read_text()).get(out.parts[-3], {})
if out.exists() and "--resume" not in arguments and arguments[0] not in ("embed",):
    print("error: it is there already")
    sys.exit(1)
out.mkdir(parents=True, exist_ok=True)
(out / "half").write_text("")
if "exit_once" in orders and not (out.parent / "once").exists():
    (out.parent / "once").write_text("")
    sys.exit(orders["exit_once"])
if "preempt_job_once" in orders and not (out.parent / "once").exists():
    (out.parent / "once").write_text("")
    os.kill(os.getppid(), signal.SIGTERM)  # as SLURM does, which stops the job and this with it
    time.sleep(60)
if "kill" in orders:
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(orders.get("sleep", 0.0))
if orders.get("exit") not in (None, 3):
    print("error: told to fail")
    sys.exit(orders["exit"])
(out / "half").unlink()
(out / "result").write_text("whole")
sys.exit(orders.get("exit", 0))
"""


class Stub:
    """A program that notes how it was called, and does as it is told for a step."""

    def __init__(self, folder: Path):
        self.script = folder / "stub.py"
        self.script.write_text(textwrap.dedent(STUB))
        self.log, self.orders_file = folder / "calls.jsonl", folder / "orders.json"
        self.orders({})

    def orders(self, orders):
        self.orders_file.write_text(json.dumps(orders))

    def calls(self):
        """Return (step, arguments, time, threads) of each call."""
        if not self.log.exists():
            return []
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def names(self):
        return [call[0] for call in self.calls()]

    @property
    def environment(self):
        return {"STUB_CALLS": str(self.log), "STUB_ORDERS": str(self.orders_file)}

    def start(self, file: Path, cores: int = 1, slurm: bool = False) -> subprocess.Popen:
        """Run a study in a process (and group) of its own, with this program for Tinbergen's."""
        code = f"""
            import sys
            from tinbergen.cli.study import Commands
            from tinbergen.study import estimate, make_plan, read_study, run_plan, running
            running.PROGRAM = [sys.executable, {str(self.script)!r}]
            plan = make_plan(read_study({str(file)!r}), Commands())
            sys.exit(run_plan(plan, estimate(plan), cores={cores}, slurm={slurm}))
        """
        return subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)],
            env={**os.environ, **self.environment},
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, file: Path, cores: int = 1, slurm: bool = False) -> int:
        process = self.start(file, cores, slurm)
        said, _ = process.communicate(timeout=400)
        print(said)
        return process.returncode
