"""Run one step: ``python -m tinbergen.study.job PLAN NAME``. Snakemake calls it.

Its commands run one after the other, as on the command line, and what they say goes to
``log.txt`` in the folder of the step. ``state.json`` says how far it is, ``done.json`` is written
last, so that a step is done or is not. Called again after a stop it goes on: finished commands
are not run again, and the one that was stopped is told to resume.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinbergen.files import write_json

if TYPE_CHECKING:
    from filelock import FileLock

DONE, STATE, LOCK = "done.json", "state.json", ".lock"
LOSSES, PREEMPTED = 3, 75
_ATTEMPTS = 20  # of a command that says it was preempted while the step was not


def run_step(plan: Mapping[str, Any], name: str) -> int:
    """Run a step of a plan (the content of ``plan.json``) and return its exit code.

    0 also where a command lost something (3), 75 when a signal stopped it, else that of the
    command that failed.
    """
    import filelock

    step = plan["steps"][name]
    folder = Path(step["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder / LOCK):  # waits for an earlier run that still writes
        state = read_state(folder)
        if (folder / DONE).is_file():
            return _finished(step, 0)
        if state.get("state") == "failed" and state.get("session") == plan["session"]:
            return state["code"]  # Snakemake tries again, which would fail again
        with _cores(Path(plan["path"]).parent / ".cores", plan["cores"], step["cores"]):
            return _finished(step, _Job(plan, name, state).run())


def read_state(folder: Path) -> dict[str, Any]:
    """Return what a step wrote of itself; empty if nothing."""
    try:
        return json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}


def _finished(step: Mapping[str, Any], code: int) -> int:
    if code == 0:
        stamp = Path(step["stamp"])
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.touch()
    return code


class _Job:
    def __init__(self, plan: Mapping[str, Any], name: str, state: Mapping[str, Any]):
        self.program, self.session = plan["program"], plan["session"]
        self.name, self.step = name, plan["steps"][name]
        self.folder = Path(self.step["folder"])
        self.finished = state.get("finished", 0)  # commands
        self.seconds = state.get("seconds", 0.0)
        self.cpu_seconds = state.get("cpu_seconds", 0.0)
        self.losses = state.get("losses", False)
        self.began = time.monotonic()
        self.child: subprocess.Popen | None = None
        self.stopped = False
        _wait_for(state, self.program[-1])

    def run(self) -> int:
        for each in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(each, self._stop)
        print(f"{self.name}: {'going on' if self.finished else 'begins'}", flush=True)
        commands = self.step["commands"]
        with open(self.folder / "log.txt", "a", encoding="utf-8") as log:
            for command in commands[self.finished :]:
                code = self._command(command, log)
                if code not in (0, LOSSES):
                    preempted = code == PREEMPTED or self.stopped
                    code = code if code > 0 else 1  # a signal's number is no exit code
                    self._write("preempted" if preempted else "failed", code)
                    said = "stopped" if preempted else f"failed with exit code {code}"
                    print(f"{self.name}: {said}, see {self.folder / 'log.txt'}", flush=True)
                    return PREEMPTED if preempted else code
                self.losses |= code == LOSSES
                self.finished += 1
                self._write("running")
        self._done()
        return 0

    def _command(self, command: Mapping[str, Any], log: Any) -> int:
        """Run a command; again while it says that something preempted it alone."""
        code = PREEMPTED
        for attempt in range(_ATTEMPTS):
            if self.stopped:
                break
            out = Path(command["out"])
            arguments = list(command["arguments"])
            if command["again"] == "resume":
                arguments.append("--resume")
            elif command["again"] == "anew" and out.exists():
                shutil.rmtree(out) if out.is_dir() else out.unlink()
            print(f"$ tinbergen {' '.join(arguments)}", file=log, flush=True)
            self.child = subprocess.Popen(
                [*self.program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **_threads(self.step["cores"])},
            )
            if self.stopped:  # the signal came while it started
                self.child.terminate()
            self._write("running")
            code = self.child.wait()
            if code < 0 and not self.stopped:
                name = signal.Signals(-code).name
                print(f"error: killed by {name}; was there enough memory?", file=log, flush=True)
            if code != PREEMPTED or self.stopped:
                break
            print(f"(preempted, attempt {attempt + 1}; again)", file=log, flush=True)
        return code

    def _stop(self, number: int, frame: Any) -> None:
        self.stopped = True
        if self.child is not None and self.child.poll() is None:
            self.child.terminate()

    def _write(self, state: str, code: int | None = None) -> None:
        write_json(
            self.folder / STATE,
            {
                "state": state,
                "code": code,
                "session": self.session,
                "finished": self.finished,
                "seconds": self._seconds(),
                "cpu_seconds": self._cpu_seconds(),
                "losses": self.losses,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "child": None if self.child is None else self.child.pid,
                "updated": time.time(),
            },
        )

    def _seconds(self) -> float:
        return round(self.seconds + time.monotonic() - self.began, 3)

    def _cpu_seconds(self) -> float:
        spent = os.times()
        return round(self.cpu_seconds + spent.children_user + spent.children_system, 3)

    def _done(self) -> None:
        from tinbergen import __version__

        self._write("done", 0)
        size = sum(p.stat().st_size for p in self.folder.rglob("*") if p.is_file())
        write_json(
            self.folder / DONE,
            {
                "name": self.name,
                "kind": self.step["kind"],
                "fingerprint": self.step["fingerprint"],
                "seconds": self._seconds(),
                "cpu_seconds": self._cpu_seconds(),
                "memory_gb": round(_largest_child(), 3),
                "disk_gb": round(size / 1e9, 6),
                "losses": self.losses,
                "version": __version__,
                "host": socket.gethostname(),
            },
        )
        print(f"{self.name}: done in {self._seconds():.0f} s", flush=True)


@contextlib.contextmanager
def _cores(folder: Path, total: int | None, wanted: int) -> Iterator[None]:
    """Hold so many of a machine's cores, as locks that end with the process.

    Snakemake 9.10 to 9.15 starts more at once than its ``--cores`` allow: cores of a job that was
    the only one ready are given back without having been taken (its issue 3913).

    Parameters
    ----------
    folder
        Of the lock files.
    total
        All that there are; None where SLURM counts.
    wanted
        Those of the step; if there are fewer, all.
    """
    held: list[FileLock] = []
    count = 0 if total is None else min(wanted, total)
    while len(held) < count:
        held = _take(folder, total or 0, count)
        time.sleep(0.0 if held else 0.2)
    try:
        yield
    finally:
        for lock in held:
            lock.release()


def _take(folder: Path, total: int, count: int) -> list[FileLock]:
    """Lock ``count`` of the files, or none, so that no two steps wait for each other."""
    import filelock

    held: list[FileLock] = []
    with filelock.FileLock(folder / "taking"):
        for number in range(total):
            with contextlib.suppress(filelock.Timeout):
                lock = filelock.FileLock(folder / str(number))
                lock.acquire(timeout=0)
                held.append(lock)
            if len(held) == count:
                return held
        for lock in held:
            lock.release()
    return []


def _threads(cores: int) -> dict[str, str]:
    """Numbers depend on how many threads add them up: those of the step, whatever is free."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {name: str(cores) for name in names}


def _wait_for(state: Mapping[str, Any], program: str) -> None:
    """Wait for a command that outlived the job that began it, if it runs on this machine."""
    import psutil

    if state.get("host") != socket.gethostname() or not state.get("child"):
        return
    try:
        child = psutil.Process(state["child"])
        if child.create_time() <= state["updated"] and program in child.cmdline():
            print(f"waiting for process {child.pid}, which still writes", flush=True)
            child.wait()
    except psutil.Error:  # it is gone
        return


def _largest_child() -> float:
    """Return the most memory that a command held, GB."""
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    unit = 1e9 if sys.platform == "darwin" else 1e6
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit


if __name__ == "__main__":
    sys.exit(run_step(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), sys.argv[2]))
