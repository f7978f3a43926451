"""Run the steps of a plan that are not done, with Snakemake."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from packaging.version import Version

from tinbergen.configuration import write_yaml
from tinbergen.errors import ConfigError, OutputError
from tinbergen.files import ensure_output_folder, safe_name, write_json
from tinbergen.study.estimates import Estimate
from tinbergen.study.job import DONE, STATE
from tinbergen.study.kinds import KINDS
from tinbergen.study.plan import Plan, Planned
from tinbergen.study.status import read_done

LEAST = Version("9.15")
PLAN, LOG = "plan.json", "snakemake.log"
PROGRAM = [sys.executable, "-m", "tinbergen.cli.main"]
_MARGIN = 4.0  # estimates are that far off at times; SLURM kills what takes longer
_RETRIES = 3  # of a step that SLURM preempted


def require_snakemake(slurm: bool = False) -> None:
    """Make sure that Snakemake, and its executor for SLURM if asked, are installed.

    Raises
    ------
    ConfigError
        Saying what to install.
    """
    how = "pip install 'tinbergen[study]'"
    try:
        found = Version(importlib.metadata.version("snakemake"))
    except importlib.metadata.PackageNotFoundError:
        raise ConfigError(f"A study is run by Snakemake, which is not installed: {how}.") from None
    if found < LEAST:
        raise ConfigError(f"Expected Snakemake {LEAST} or newer, found {found}: {how}.")
    if slurm and importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        raise ConfigError(f"--slurm needs snakemake-executor-plugin-slurm: {how}.")


def run_plan(
    plan: Plan, estimates: dict[str, Estimate], *, cores: int = 1, slurm: bool = False
) -> int:
    """Run what is not done; return Snakemake's exit code.

    A step that fails stops those that use it, and no others. Snakemake's own words go to
    ``snakemake.log`` in the folder of the results.

    Parameters
    ----------
    plan
        Of :func:`~tinbergen.study.plan.make_plan`.
    estimates
        Step -> estimate: what SLURM is asked for.
    cores
        Steps run side by side while their cores add up to no more.
    slurm
        Give the steps to SLURM instead.

    Raises
    ------
    ConfigError
        If Snakemake is not installed.
    OutputError
        If the study is being run already, or its folder cannot be written.
    """
    require_snakemake(slurm)
    out = ensure_output_folder(plan.study.out)
    with _only_runner(out):
        for step in plan.steps.values():
            _prepare(plan, step)
        (out / ".cores").mkdir(exist_ok=True)
        write_json(out / PLAN, plan_file(plan, estimates, None if slurm else cores))
        command = snakemake_command(plan, cores=cores, slurm=slurm)
        with open(out / LOG, "w", encoding="utf-8") as log:
            process = subprocess.Popen(command, cwd=out, stderr=log, env=_environment())
            return _wait(process, slurm)


def plan_file(plan: Plan, estimates: dict[str, Estimate], cores: int | None) -> dict[str, Any]:
    """Return what jobs and the Snakefile read, with absolute paths; ``cores`` None: for SLURM."""
    return {
        "path": str(plan.study.out / PLAN),
        "python": sys.executable,
        "program": PROGRAM,
        "cores": cores,
        "session": uuid.uuid4().hex,
        "steps": {
            name: {
                "kind": step.step.kind,
                "fingerprint": step.fingerprint,
                "folder": str(step.folder),
                "stamp": str(_stamp_path(plan, step)),
                "needs": [str(_stamp_path(plan, plan.steps[used])) for used in step.step.uses],
                "cores": step.step.cores,
                "commands": [
                    {"arguments": list(arguments), "out": str(out), "again": command.again}
                    for arguments, out, command in zip(
                        step.commands,
                        step.written(),
                        KINDS[step.step.kind].commands,
                        strict=True,
                    )
                ],
                "resources": {} if cores else _resources(plan, step, estimates[name]),
            }
            for name, step in plan.steps.items()
        },
    }


def snakemake_command(plan: Plan, *, cores: int, slurm: bool) -> list[str]:
    """Return the call of Snakemake.

    The folders are named by content, so what exists is right and what is missing is to be made:
    Snakemake need not look at times. Its own lock outlives a killed process and is not used; that
    of :func:`run_plan` ends with the process.
    """
    snakefile = str(resources.files("tinbergen.study").joinpath("Snakefile"))
    command = [
        *(sys.executable, "-m", "snakemake", "--snakefile", snakefile),
        *("--directory", str(plan.study.out), "--configfile", str(plan.study.out / PLAN)),
        *("--nolock", "--rerun-incomplete", "--keep-going", "--rerun-triggers", "input"),
        *("--nocolor", "--quiet", "host"),
    ]
    if not slurm:
        return [*command, "--cores", str(cores)]
    return [
        *(*command, "--executor", "slurm", "--jobs", str(plan.study.slurm.jobs)),
        *("--retries", str(_RETRIES), "--latency-wait", "60"),
        *("--slurm-logdir", str(plan.study.out / "slurm"), "--slurm-keep-successful-logs"),
    ]


def _resources(plan: Plan, step: Planned, estimate: Estimate) -> dict[str, Any]:
    asked, config = plan.study.slurm, step.step
    hours = config.hours or max(_MARGIN * estimate.seconds / 3600, 0.5)
    found: dict[str, Any] = {
        "mem_mb": round(1000 * (config.memory_gb or max(1.5 * estimate.memory_gb, 2.0))),
        "runtime": max(round(60 * hours), 1),  # minutes
        "slurm_partition": asked.partition,
        "slurm_account": asked.account,
        "qos": asked.qos,
        "slurm_extra": asked.extra,
        "gpu": config.gpus or None,
    }
    return {key: value for key, value in found.items() if value is not None}


def _stamp_path(plan: Plan, step: Planned) -> Path:
    return plan.study.out / ".stamps" / f"{safe_name(step.name)}-{step.folder.name}"


def _prepare(plan: Plan, step: Planned) -> None:
    """Tell Snakemake whether a step is done, as ``done.json`` says; if not, write its data."""
    stamp = _stamp_path(plan, step)
    if read_done(step):
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.touch()
    else:
        stamp.unlink(missing_ok=True)
        if (step.folder / DONE).is_file():  # but what it wrote was deleted
            for name in (DONE, STATE):
                (step.folder / name).unlink(missing_ok=True)
        write_yaml(step.dataset, step.catalogue.to_dict())


@contextlib.contextmanager
def _only_runner(out: Path) -> Iterator[None]:
    import filelock

    lock = filelock.FileLock(out / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise OutputError(
            f"Another `tinbergen study run` works in {out}. Wait for it or stop it; "
            "`tinbergen study status` says how far it is."
        ) from None
    try:
        yield
    finally:
        lock.release()


def _wait(process: subprocess.Popen, slurm: bool) -> int:
    """Wait, and pass a request to stop on.

    Snakemake begins nothing new when it gets SIGTERM, but waits for what runs, so jobs on this
    machine are told themselves; those of SLURM it cancels when interrupted.
    """
    import psutil

    before = {}

    def stop(number: int, frame: Any) -> None:
        with contextlib.suppress(psutil.Error):
            jobs = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGINT if slurm else signal.SIGTERM)
            for each in jobs:
                with contextlib.suppress(psutil.Error):
                    if "tinbergen.study.job" in each.cmdline():
                        each.terminate()

    for number in (signal.SIGTERM, signal.SIGINT):
        before[number] = signal.signal(number, stop)
    try:
        return process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _environment() -> dict[str, str]:
    """Make jobs import what this process does, also where it is not installed."""
    import tinbergen

    home = str(Path(tinbergen.__file__).resolve().parents[1])
    path = os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path}
