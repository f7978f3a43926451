"""Where the trials of a sweep run: in this process, in processes beside it, or on SLURM."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tinbergen.errors import ConfigError, DeviceError, PreemptedError

_WEEK_MIN = 7 * 24 * 60


class Job(Protocol):
    """Something that was started."""

    def done(self) -> bool:
        """Whether it has ended, well or not."""
        ...

    def stop(self) -> None:
        """Ask it to save and end."""
        ...


class Launcher(Protocol):
    """Starts functions; what they come to, they write down themselves."""

    @property
    def poll_s(self) -> float:
        """Between two looks at what has ended, s."""
        ...

    def start(self, folder: Path, name: str, function: Callable[..., None], *args: Any) -> Job:
        """Call a function somewhere; what it prints goes into ``folder``."""
        ...


class Here:
    """One after another in this process: for notebooks, and to look for a mistake."""

    poll_s = 0.0

    def start(self, folder: Path, name: str, function: Callable[..., None], *args: Any) -> Job:
        """Call it now; a request to stop ends the sweep as well."""
        function(*args)
        return _Done()


class _Done:
    def done(self) -> bool:
        return True

    def stop(self) -> None:
        pass


@dataclass(frozen=True)
class Processes:
    """Processes on this machine that share out its cores and its GPUs.

    Attributes
    ----------
    at_once
        How many run at a time.
    """

    at_once: int
    poll_s: float = 0.5

    def start(self, folder: Path, name: str, function: Callable[..., None], *args: Any) -> Job:
        """Start a process; its log is ``folder/name.log``."""
        cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
        threads = os.environ.get("OMP_NUM_THREADS", str(max(1, cores // self.at_once)))
        folder.mkdir(parents=True, exist_ok=True)
        process = multiprocessing.get_context("spawn").Process(
            target=_in_process, args=(folder / f"{name}.log", threads, function, args)
        )
        process.start()
        return _Process(process)


@dataclass(frozen=True)
class _Process:
    process: Any

    def done(self) -> bool:
        return not self.process.is_alive()

    def stop(self) -> None:
        self.process.terminate()  # this process waits for it when it ends itself


def _in_process(log: Path, threads: str, function: Callable[..., None], args: tuple) -> None:
    """Write into the log from here on, libraries in other languages included."""
    os.environ["OMP_NUM_THREADS"] = threads  # torch is not loaded yet, and looks only then
    with open(log, "ab", buffering=0) as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    try:
        function(*args)
    except PreemptedError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


@dataclass(frozen=True)
class Submitit:
    """Jobs of SLURM, through submitit; or with ``cluster="local"`` the same without SLURM.

    Attributes
    ----------
    parameters
        Of ``sbatch``: ``partition``, ``time`` (minutes, or HH:MM:SS), ``gpus_per_node``,
        ``cpus_per_task``, ``mem``, ``account``, ...
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    cluster: str = "slurm"
    poll_s: float = 2.0

    def start(self, folder: Path, name: str, function: Callable[..., None], *args: Any) -> Job:
        """Submit a job; its script, its log and what is sent to it lie in ``folder``."""
        executor = self.executor(folder)
        if self.cluster == "slurm":
            executor.update_parameters(job_name=name)
        return _SubmititJob(executor.submit(function, *args))

    def executor(self, folder: Path) -> Any:
        """Return what submits, or refuse.

        Raises
        ------
        DeviceError
            If submitit or SLURM is not there.
        ConfigError
            For a parameter that does not exist.
        """
        try:
            import submitit
        except ImportError:
            raise DeviceError(
                "SLURM needs submitit, which is not installed: pip install 'tinbergen[sweep]'."
            ) from None
        if self.cluster == "local":
            executor = submitit.LocalExecutor(folder)
            executor.update_parameters(timeout_min=_WEEK_MIN, **self.parameters)
            return executor
        try:
            executor = submitit.SlurmExecutor(folder)
        except RuntimeError as error:
            raise DeviceError(
                "Expected SLURM (srun) on this machine, found none. Leave --slurm away to run the "
                "trials here."
            ) from error
        try:
            executor.update_parameters(**{**self.parameters, "time": self._minutes()})
        except (TypeError, ValueError) as error:
            raise ConfigError(f"--slurm: {error}") from error
        return executor

    def _minutes(self) -> int:
        """Return the time of a job as a number, which submitit reckons with."""
        time = self.parameters.get("time", 60)
        if isinstance(time, int):
            return time
        parts = str(time).split(":")
        if len(parts) != 3 or not all(part.isdigit() for part in parts):
            raise ConfigError(f"--slurm: expected time as minutes or HH:MM:SS, found {time!r}.")
        hours, minutes, seconds = map(int, parts)
        return 60 * hours + minutes + (seconds > 0)


@dataclass(frozen=True)
class _SubmititJob:
    job: Any

    def done(self) -> bool:
        # submitit waits for SLURM to requeue what it preempted, which not every cluster does. If
        # it does, two jobs do the same trial, and the second waits for the first.
        return self.job.done() or self.job.state == "PREEMPTED"

    def stop(self) -> None:
        self.job.cancel(check=False)
