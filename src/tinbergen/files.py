"""Writing so that a file is complete or absent, content hashes, and safe names."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tinbergen.errors import MissingFileError, OutputError, WeightsError

if TYPE_CHECKING:
    import pandas as pd

WEIGHTS = "weights.safetensors"
"""Of a run, beside a ``status.json`` that names their hash."""
_HASH_CHUNK = 1 << 20


@contextmanager
def explain_os_errors(path: str | os.PathLike) -> Iterator[None]:
    """Turn a full disk or a read-only folder into an :class:`OutputError` that names ``path``."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        reasons = {
            errno.ENOSPC: "the disk is full; free some space",
            errno.EDQUOT: "the storage quota is used up; free some space",
            errno.EFBIG: "the file would exceed the largest size allowed; see `ulimit -f`",
            errno.EROFS: "the file system is read-only; choose another folder",
            errno.EACCES: "no permission to write there; choose another folder",
            errno.EPERM: "no permission to write there; choose another folder",
            errno.ENOTDIR: "a part of this path is a file, not a folder; choose another one",
        }
        if error.errno not in reasons:
            raise
        raise OutputError(f"Cannot write {path}: {reasons[error.errno]} and try again.") from error


@contextmanager
def atomic_write(path: str | os.PathLike, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary file beside ``path`` that takes its place when the block ends well.

    The bytes are on the disk (fsync) before the rename, so a reader or a crash sees either the
    old file or the new one, never a half.

    Raises
    ------
    OutputError
        If the folder is read-only or the disk is full.
    """
    path = Path(path)
    with explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"
        )
        try:
            encoding = None if "b" in mode else "utf-8"
            newline = None if "b" in mode else ""
            with os.fdopen(handle, mode, encoding=encoding, newline=newline) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(temporary, 0o666 & ~mask)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        fsync_folder(path.parent)


def fsync_folder(folder: str | os.PathLike) -> None:
    """Make renames inside ``folder`` durable, where the system knows how to."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically; NaN is refused because JSON has none."""
    with atomic_write(path) as file:
        json.dump(value, file, indent=2, ensure_ascii=False, allow_nan=False)
        file.write("\n")


def write_csv(path: str | os.PathLike, table: pd.DataFrame) -> None:
    """Write a table without its index, atomically; an empty cell is "not known"."""
    with atomic_write(path) as file:
        table.to_csv(file, index=False, lineterminator="\n")


def content_hash(path: str | os.PathLike) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits.

    Raises
    ------
    MissingFileError
        If there is no such file.
    """
    if not Path(path).is_file():
        raise MissingFileError(f"Expected a file at {path}, found none.")
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_HASH_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def check_weights(path: str | os.PathLike) -> None:
    """See that ``weights.safetensors`` of a run has the bytes that its ``status.json`` names.

    A flipped bit in a weight is still a number: only the hash tells. Other files pass, and weights
    that stand alone or beside a status that names no hash.

    Raises
    ------
    WeightsError
        If they are others.
    """
    expected = _stated_hash(path)
    if expected is not None and content_hash(path) != expected:
        raise WeightsError(
            f"{path} is not the file that status.json beside it describes: it was damaged or "
            "replaced. Copy the run folder again, or train anew."
        )


def weights_hash(path: str | os.PathLike) -> str:
    """SHA-256 of weights that :func:`check_weights` has passed: not computed twice in a run."""
    return _stated_hash(path) or content_hash(path)


def _stated_hash(path: str | os.PathLike) -> str | None:
    if Path(path).name != WEIGHTS:
        return None
    try:
        status = json.loads((Path(path).parent / "status.json").read_text(encoding="utf-8"))
        return status.get("weights_sha256")
    except (OSError, ValueError, AttributeError):
        return None


def ensure_output_folder(folder: str | os.PathLike, need_bytes: int = 0) -> Path:
    """Create ``folder``, try to write in it, and check that ``need_bytes`` are free.

    Raises
    ------
    OutputError
        If it cannot be created or written, or too little space is left; before any long work.
    """
    folder = Path(folder)
    with explain_os_errors(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise OutputError(
                f"Expected a folder at {folder}, found a file. Choose another output."
            ) from error
        with tempfile.TemporaryFile(dir=folder):
            pass
    free = shutil.disk_usage(folder).free
    if free < need_bytes:
        raise OutputError(
            f"{folder} needs about {need_bytes / 1e9:.2f} GB, only {free / 1e9:.2f} GB are free. "
            "Free some space or choose another output."
        )
    return folder


def safe_name(name: str) -> str:
    """Return ``name`` as one path component that cannot leave its folder; unicode and spaces stay.

    Examples
    --------
    >>> safe_name("mouse 1/day:2")
    'mouse 1_day_2'
    >>> safe_name("..")
    '_'
    """
    cleaned = "".join("_" if c in '/\\:*?"<>|\0' or ord(c) < 32 else c for c in name).strip()
    return cleaned if cleaned.strip(".") else "_"


def safe_names(names: Iterable[str]) -> dict[str, str]:
    """Return a path component for each name, no two alike; large and small letters do not tell.

    Examples
    --------
    >>> safe_names(["day/1", "day_1"])
    {'day/1': 'day_1', 'day_1': 'day_1 (2)'}
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        plain = part = safe_name(name)
        number = 1
        while part.casefold() in taken:
            number += 1
            part = f"{plain} ({number})"
        taken.add(part.casefold())
        found[name] = part
    return found
