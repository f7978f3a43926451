"""Building a cache of binned spikes: recording after recording, then all at once in its place."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tinbergen.errors import DataError, OutputError
from tinbergen.files import (
    atomic_write,
    ensure_output_folder,
    explain_os_errors,
    fsync_folder,
    write_json,
)
from tinbergen.recordings.counts_cache import FORMAT, CachedCounts, CountsCache, CountsConfig
from tinbergen.recordings.recording import Recording
from tinbergen.recordings.spikes import Spikes
from tinbergen.recordings.windows import Windows

_HEADER = 128  # bytes before the counts
_ALIGN = 64
_AT_ONCE = 1 << 22  # counts


def build_counts_cache(
    data: Mapping[str, Recording] | Iterable[Recording],
    out: str | os.PathLike,
    config: CountsConfig,
    *,
    overwrite: bool = False,
) -> CountsCache:
    """Count the spikes of recordings in windows, or reuse the cache at ``out`` if nothing changed.

    Recordings are taken one at a time, so memory does not grow with their number if ``data`` loads
    them one at a time. To leave out units or trials, filter the streams first (see
    :func:`filter_units`).

    Parameters
    ----------
    data
        A dataset, or recordings.
    out
        Folder of the cache; it appears when it is complete.
    overwrite
        Replace a cache of other recordings or settings.

    Raises
    ------
    DataError
        If a recording lacks a stream, no window is left at all, or a count does not fit.
    OutputError
        If ``out`` cannot be written, or holds something else.
    """
    out = Path(out)
    recordings = data.values() if isinstance(data, Mapping) else data
    if (out / "meta.json").is_file() and not overwrite:
        key = _key(config, [_fingerprint(recording, config) for recording in recordings])
        if CountsCache(out).key == key:
            return CountsCache(out)
        raise OutputError(
            f"{out} holds a cache of other recordings or settings. Choose another folder, or pass "
            "overwrite to replace it."
        )
    finished = (out / "meta.json").is_file()
    if out.exists() and not finished and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out} holds something else. Choose another folder.")
    ensure_output_folder(out.parent)
    with explain_os_errors(out):
        building = Path(
            tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".building")
        )
        try:
            _write(recordings, building, config)
            _take_place(building, out)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    return CountsCache(out)


def _take_place(building: Path, out: Path) -> None:
    mask = os.umask(0)
    os.umask(mask)
    building.chmod(0o777 & ~mask)
    fsync_folder(building)
    if out.exists():
        old = building.with_suffix(".old")
        out.rename(old)
        building.rename(out)
        shutil.rmtree(old)
    else:
        building.rename(out)
    fsync_folder(out.parent)


def _write(recordings: Iterable[Recording], folder: Path, config: CountsConfig) -> None:
    entries: list[CachedCounts] = []
    units, windows = [], []
    with open(folder / "counts.npy", "wb") as file:
        file.write(_npy_header(0))
        for recording in recordings:
            if any(entry.name == recording.name for entry in entries):
                raise DataError(f"Two recordings are called {recording.name!r}; rename one.")
            spikes, found = config.windows(recording)
            entry = _write_counts(file, recording, spikes, found, config)
            entries.append(entry)
            units.append(_named(spikes.table, entry.name, "unit", spikes.table.index))
            windows.append(_named(found.table, entry.name, "window_start", found.starts))
            del recording, spikes, found  # before the next one is loaded
        n_bytes = file.tell() - _HEADER
        file.seek(0)
        file.write(_npy_header(n_bytes))
        file.flush()
        os.fsync(file.fileno())
    if not any(entry.n_bytes for entry in entries):
        reasons = [f"{e.name}: {', '.join(e.left_out['reasons']) or 'nothing'}" for e in entries]
        raise DataError(
            f"No window, or no unit, is left in {len(entries)} recordings. Left out: "
            f"{'; '.join(reasons[:5]) or 'nothing'}."
        )
    for tables, name in ((units, "units"), (windows, "windows")):
        table = _plain(pd.concat([each for each in tables if len(each)], ignore_index=True))
        with atomic_write(folder / f"{name}.parquet", "wb") as parquet:
            table.to_parquet(parquet, index=False)
    meta = {
        "format": FORMAT,
        "key": _key(config, [entry.hash for entry in entries]),
        "config": config.model_dump(mode="json"),
        "recordings": [asdict(entry) for entry in entries],
    }
    write_json(folder / "meta.json", meta)


def _write_counts(
    file: Any, recording: Recording, spikes: Spikes, windows: Windows, config: CountsConfig
) -> CachedCounts:
    """Append the counts of a recording, a byte each; begin again with two where one is too few."""
    file.write(b"\0" * (-(file.tell() - _HEADER) % _ALIGN))
    begin = file.tell()
    shape = (len(windows), len(windows.offsets), spikes.n_units)
    rows = max(1, _AT_ONCE // max(1, shape[1] * shape[2]))
    for dtype in ("|u1", "<u2"):
        file.seek(begin)
        most, largest = np.iinfo(dtype).max, 0
        for first in range(0, len(windows), rows):
            counts = windows.only(np.arange(first, min(first + rows, len(windows)))).of(spikes)
            largest = max(largest, int(counts.max(initial=0)))
            if largest > most:
                break
            file.write(counts.astype(dtype).tobytes())
        if largest <= most:
            break
        if dtype == "<u2" or config.overflow == "refuse":
            unit = spikes.table.index[counts.max(axis=(0, 1)).argmax()]
            raise DataError(
                f"Recording {recording.name!r}: unit {unit!r} has {largest} spikes in one bin of "
                f"{config.width:g} s, more than {most}. Use narrower bins"
                + (" or overflow='widen'." if dtype == "|u1" else ".")
            )
    file.truncate()
    return CachedCounts(
        name=recording.name,
        subject=recording.subject,
        offset=begin - _HEADER,
        shape=shape,
        dtype=dtype,
        largest=largest,
        hash=_fingerprint(recording, config),
        left_out=windows.left_out.as_dict(),
    )


def _npy_header(n: int) -> bytes:
    """First bytes of a ``.npy`` file of ``n`` bytes, equally long for every ``n``."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({n},), }}"
    text = text.ljust(_HEADER - 11) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def _named(table: pd.DataFrame, recording: str, column: str, values: Any) -> pd.DataFrame:
    """Put the name of the recording, and another column, before those of a table."""
    new = {"recording": recording, column: values}
    table = table.rename(columns=str).reset_index(drop=True)
    if taken := [name for name in new if name in table]:
        raise DataError(
            f"A table of {recording!r} has a column {taken[0]!r}, a name that the cache needs. "
            "Rename it."
        )
    return pd.DataFrame(new, index=table.index).join(table)


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """Turn columns of mixed objects into text, which every reader of parquet understands."""
    mixed = [name for name in table if pd.api.types.infer_dtype(table[name]).startswith("mixed")]
    return table.assign(
        **{name: table[name].map(str).where(table[name].notna(), None) for name in mixed}
    )


def _key(config: CountsConfig, hashes: list[str]) -> str:
    content = json.dumps([FORMAT, config.model_dump(mode="json"), hashes])
    return hashlib.sha256(content.encode()).hexdigest()


def _fingerprint(recording: Recording, config: CountsConfig) -> str:
    """SHA-256 of all that the counts of a recording are made from."""
    digest = hashlib.sha256(json.dumps([recording.name, recording.subject]).encode())
    spikes = recording[config.spikes]
    arrays = [spikes.times, spikes.units]
    for name in (config.spikes, *config.cover):
        arrays += [recording[name].valid.starts, recording[name].valid.stops]
    for array in arrays:
        digest.update(len(array).to_bytes(8, "little"))
        digest.update(np.ascontiguousarray(array).data)
    tables = [spikes.table] + ([] if config.align is None else [recording[config.trials].table])
    for table in tables:
        digest.update(table.to_csv().encode())
    return digest.hexdigest()
