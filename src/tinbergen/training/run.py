"""The run folder: all about one training run, complete or absent, readable without torch."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tinbergen.configuration import Config, read_yaml, write_yaml
from tinbergen.errors import ConfigError, DataError, MissingFileError, OutputError
from tinbergen.files import WEIGHTS, ensure_output_folder, explain_os_errors, write_json
from tinbergen.training import metrics_file
from tinbergen.training.config import MAY_CHANGE_ON_RESUME
from tinbergen.training.run_status import SCHEMA_VERSION, first_status

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

_LEFT = (
    ".metrics.jsonl.*.tmp",
    ".status.json.*.tmp",
    f".{WEIGHTS}.*.tmp",
    "model/.*.tmp",
)


class RunFolder:
    """One training run on disk.

    ``config.yaml`` (resolved), ``status.json`` (state, reason, versions, seed, input hashes),
    ``metrics.jsonl``, ``weights.safetensors``, ``checkpoints/``, ``splits.json``,
    ``predictions/``. Holds only the path, so it can be sent to another process.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    # --- making and opening ---------------------------------------------------------------

    @classmethod
    def create(
        cls,
        path: str | os.PathLike,
        config: Config,
        *,
        seed: int,
        inputs: Mapping[str, str] | None = None,
        splits: Mapping[str, Any] | None = None,
    ) -> Self:
        """Make a new run folder; it appears whole or not at all.

        Parameters
        ----------
        path
            Absent, or an empty folder.
        config
            The resolved configuration.
        seed
            Seed of the run.
        inputs
            Name -> content hash of what the run is trained on.
        splits
            Split name -> members.

        Raises
        ------
        OutputError
            If there is something at ``path`` already, or it cannot be written.
        """
        path = Path(path)
        if _is_follower():
            return cls._await(path)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise OutputError(cls._explain_occupied(path))
        ensure_output_folder(path.parent)
        with explain_os_errors(path):
            building = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
            try:
                building.chmod(0o777 & ~_umask())
                run = cls(building)
                write_yaml(
                    building / "config.yaml",
                    {"schema_version": SCHEMA_VERSION, **config.model_dump(mode="json")},
                )
                if splits is not None:
                    write_json(building / "splits.json", splits)
                (building / "checkpoints").mkdir()
                write_json(building / "status.json", first_status(seed, inputs or {}))
                os.replace(run.path, path)
            except BaseException as error:
                shutil.rmtree(building, ignore_errors=True)
                if isinstance(error, OSError) and (path / "status.json").is_file():
                    # Another process was quicker by less than it takes to look.
                    raise OutputError(cls._explain_occupied(path)) from error
                raise
        return cls(path)

    @classmethod
    def open(cls, path: str | os.PathLike) -> Self:
        """Open an existing run.

        Raises
        ------
        MissingFileError
            If there is no run at ``path``.
        """
        run = cls(path)
        if not (run.path / "status.json").is_file() or not (run.path / "config.yaml").is_file():
            raise MissingFileError(
                f"Expected a run folder (with config.yaml and status.json) at {run.path}, found "
                f"{'something else' if run.path.exists() else 'nothing'}. Check the path."
            )
        return run

    @classmethod
    def start(
        cls,
        path: str | os.PathLike,
        config: Config,
        *,
        seed: int,
        inputs: Mapping[str, str] | None = None,
        splits: Mapping[str, Any] | None = None,
        resume: bool = False,
    ) -> Self:
        """Create a run, or with ``resume`` go on with the one that is there (if any).

        Raises
        ------
        OutputError
            If there is a run already and ``resume`` is false.
        ConfigError, DataError
            If ``resume`` and the configuration or the inputs are not those of the run.
        """
        if not (resume and (Path(path) / "status.json").is_file()):
            return cls.create(path, config, seed=seed, inputs=inputs, splits=splits)
        run = cls.open(path)
        run.check_same(config, inputs or {})
        return run

    def check_same(self, config: Config, inputs: Mapping[str, str]) -> None:
        """Refuse to go on with another configuration or other inputs than the run began with."""
        before, now = _flatten(self.config), _flatten(config.model_dump(mode="json"))
        changed = sorted(
            key
            for key in before.keys() | now.keys()
            if before.get(key) != now.get(key) and key.split(".")[-1] not in MAY_CHANGE_ON_RESUME
        )
        if changed:
            lines = [
                f"  {key}: {before.get(key)} in the run, {now.get(key)} now" for key in changed
            ]
            raise ConfigError(
                f"{self.path} cannot be resumed with other settings:\n"
                + "\n".join(lines)
                + "\nUse the run's own config.yaml, or another output folder."
            )
        old = self.status["inputs"]
        different = sorted(n for n in old.keys() | inputs.keys() if old.get(n) != inputs.get(n))
        if different:
            raise DataError(
                f"{self.path} cannot be resumed on other data: {_some(different)} changed since "
                "the run began. Restore them, or use another output folder."
            )

    # --- what is in it --------------------------------------------------------------------

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration, without ``schema_version``."""
        config = read_yaml(self.path / "config.yaml")
        version = config.pop("schema_version", None)
        if version != SCHEMA_VERSION:
            raise ConfigError(
                f"{self.path / 'config.yaml'}: expected schema_version {SCHEMA_VERSION}, found "
                f"{version}. The run is from another version of Tinbergen; install that one."
            )
        return config

    @property
    def status(self) -> dict[str, Any]:
        """State (running, done, failed, preempted), reason, versions, seed, inputs, ..."""
        return json.loads((self.path / "status.json").read_text(encoding="utf-8"))

    def update_status(self, **changes: Any) -> None:
        """Change entries of ``status.json``."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        write_json(self.path / "status.json", {**self.status, **changes, "updated": now})

    def note(self, text: str) -> None:
        """Say ``text`` on stderr and keep it in the status: for what a user should not miss."""
        print(f"warning: {text}", file=sys.stderr, flush=True)
        self.update_status(notes=[*self.status["notes"], text])

    @property
    def splits(self) -> dict[str, Any] | None:
        """The splits that the run was given, or None."""
        path = self.path / "splits.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def predictions(self) -> Path:
        """Folder for predictions, made when first asked for."""
        return ensure_output_folder(self.path / "predictions")

    # --- metrics --------------------------------------------------------------------------

    @property
    def metrics_path(self) -> Path:
        """``metrics.jsonl``."""
        return self.path / "metrics.jsonl"

    def log(self, metrics: Mapping[str, Any]) -> None:
        """Append one line to ``metrics.jsonl``; NaN and infinity become null."""
        metrics_file.append_line(self.metrics_path, metrics)

    def metrics(self) -> pd.DataFrame:
        """Return the metrics, one row a line; a half-written last line is left out.

        Raises
        ------
        DataError
            If another line is damaged.
        """
        import pandas as pd

        return pd.DataFrame(metrics_file.read_lines(self.metrics_path))

    # --- weights --------------------------------------------------------------------------

    @property
    def weights_path(self) -> Path:
        """``weights.safetensors``: there once the run is done."""
        return self.path / WEIGHTS

    def save_weights(
        self, state: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
    ) -> None:
        """Write ``weights.safetensors``, atomically, and its content hash into the status."""
        from tinbergen.training.tensors import write_tensors

        digest = write_tensors(self.weights_path, state, metadata)
        self.update_status(weights_sha256=digest)

    def load_weights(self) -> dict[str, Tensor]:
        """Return the weights, on the CPU.

        Raises
        ------
        MissingFileError
            If the run has none, with its state.
        WeightsError
            If the file is damaged.
        """
        if not self.weights_path.is_file():
            raise MissingFileError(
                f"Expected weights at {self.weights_path}, found none: the run is "
                f"{self.status['state']}. Resume it to its end first."
            )
        from tinbergen.nn.weights import read_tensors

        return read_tensors(self.weights_path)

    # --- one writer -----------------------------------------------------------------------

    @contextmanager
    def writing(self, **status: Any) -> Iterator[None]:
        """Hold the run's lock; mark the run running, and failed if the block raises.

        Raises
        ------
        OutputError
            If another process is writing this run.
        """
        with self._locked():
            try:
                owner = {"pid": os.getpid(), "host": socket.gethostname()}
                self.update_status(state="running", reason=None, **owner, **status)
                yield
            except BaseException as error:
                self.mark_failed(error)
                raise

    @contextmanager
    def _locked(self) -> Iterator[None]:
        import filelock

        lock = filelock.FileLock(self.path / ".lock")
        try:
            with explain_os_errors(self.path):
                lock.acquire(timeout=0)
        except filelock.Timeout:
            owner = self.status
            raise OutputError(
                f"{self.path} is being written by process {owner.get('pid')} on "
                f"{owner.get('host')}. Wait for it, stop it, or choose another output folder."
            ) from None
        except NotImplementedError:
            self.note("This file system has no locks: see that nothing else writes this run.")
        for pattern in _LEFT:  # by a writer that was killed
            for path in self.path.glob(pattern):
                path.unlink(missing_ok=True)
        try:
            yield
        finally:
            lock.release()

    def mark_failed(self, error: BaseException) -> None:
        """Write down why the run failed, unless another of its processes failed before."""
        try:
            if self.status["state"] != "failed":
                self.update_status(state="failed", reason=f"{type(error).__name__}: {error}")
        except OSError as second:  # the disk may be what failed; the first error matters more
            error.add_note(f"(and status.json could not be updated: {second})")

    # --- helpers --------------------------------------------------------------------------

    @classmethod
    def _await(cls, path: Path) -> Self:
        """Wait until the first process has made the folder; all of them run the same program."""
        while not (path / "status.json").is_file():
            time.sleep(0.2)
        return cls.open(path)

    @classmethod
    def _explain_occupied(cls, path: Path) -> str:
        if (path / "status.json").is_file():
            state = cls(path).status["state"]
            return (
                f"{path} already holds a run ({state}). Go on with it with resume=True "
                "(--resume), or choose another output folder."
            )
        return (
            f"{path} already exists and is not an empty folder. Choose another output folder; "
            "nothing is overwritten."
        )


def _is_follower() -> bool:
    from tinbergen.training.outer import outer_rank

    return outer_rank() > 0


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            flat |= _flatten(item, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = item
    return flat


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
