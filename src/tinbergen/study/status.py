"""What is done of a study, what runs, what failed and why."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tinbergen.study.job import DONE, LOCK, STATE, read_state
from tinbergen.study.plan import Plan, Planned

State = Literal["done", "running", "failed", "stopped", "stale", "waiting"]
_TAIL = 20_000  # bytes of a log that are searched for the error


@dataclass(frozen=True)
class StepStatus:
    """How far a step is.

    Attributes
    ----------
    name, kind, folder, log
        Of the step.
    state
        ``done``; ``running``; ``failed``; ``stopped`` (killed or preempted: the next run goes on);
        ``stale`` (there are results, of other settings or inputs); ``waiting``.
    seconds
        That it has taken so far; None: nothing.
    note
        The last error, or what was lost.
    done
        Content of ``done.json``; empty if it is not done.
    """

    name: str
    kind: str
    state: State
    folder: Path
    log: Path
    seconds: float | None
    note: str
    done: dict[str, Any]


def study_status(plan: Plan) -> list[StepStatus]:
    """Return the state of each step of a plan."""
    return [_status(step) for step in plan.steps.values()]


def leftovers(plan: Plan) -> list[Path]:
    """Return folders with results of other settings or inputs than the study has now."""
    current = {step.folder for step in plan.steps.values()}
    found = [
        folder
        for marker in (*plan.study.out.glob(f"*/*/{DONE}"), *plan.study.out.glob(f"*/*/{STATE}"))
        if (folder := marker.parent) not in current
    ]
    return sorted(set(found))


def _status(step: Planned) -> StepStatus:
    state, done = read_state(step.folder), read_done(step)
    what: State
    note = ""
    if done:
        what, note = "done", "with losses" if done["losses"] else ""
    elif _is_running(step.folder, state):
        what = "running"
        if state.get("host", socket.gethostname()) != socket.gethostname():
            note = f"on {state['host']}"
    elif state.get("state") == "failed":
        what, note = "failed", last_error(step.log)
    elif state:
        what = "stopped"
    else:
        earlier = any(step.folder.parent.glob(f"*/{DONE}"))
        what = "stale" if earlier else "waiting"
    seconds = done.get("seconds", state.get("seconds"))
    return StepStatus(step.name, step.step.kind, what, step.folder, step.log, seconds, note, done)


def read_done(step: Planned) -> dict[str, Any]:
    """Return what ``done.json`` says; empty if the step is not done, or was deleted in part."""
    try:
        done = json.loads((step.folder / DONE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return done if all(path.exists() for path in step.written()) else {}


def _is_running(folder: Path, state: dict[str, Any]) -> bool:
    """Whether a job holds the step; of another machine only what it wrote last is known."""
    import filelock

    if state.get("host", socket.gethostname()) != socket.gethostname():
        return state.get("state") == "running"
    if not (folder / LOCK).is_file():
        return False
    lock = filelock.FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return True
    lock.release()
    return False


def last_error(log: Path) -> str:
    """Return the last line of a log that states an error, or its last line.

    If it ends with a colon, the next line belongs to it: the first of what it lists.
    """
    try:
        with open(log, "rb") as file:
            file.seek(0, 2)
            file.seek(max(file.tell() - _TAIL, 0))
            text = file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    lines = [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
    errors = [i for i, line in enumerate(lines) if line.startswith("error: ") or "Error: " in line]
    if not errors:
        return lines[-1] if lines else ""
    found = lines[errors[-1] :]
    return " ".join(found[: 2 if found[0].endswith(":") else 1])
