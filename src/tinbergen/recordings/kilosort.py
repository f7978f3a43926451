"""Folders that Kilosort 2, 2.5, 3 and 4 and phy leave behind."""

from __future__ import annotations

import ast
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tinbergen.errors import DataError, MissingFileError
from tinbergen.recordings.clocks import Clock
from tinbergen.recordings.intervals import Intervals
from tinbergen.recordings.spikes import Spikes

Folder = str | os.PathLike
Seconds = Clock | Callable[[np.ndarray], np.ndarray]

UNLISTED = "unlisted"  # quality of units that no table of the folder names
_RENAMED = {"ch": "channel", "sh": "shank"}


def read_kilosort(
    folder: Folder | Iterable[Folder] | Mapping[str, Folder],
    *,
    sample_rate: float | None = None,
    clock: Seconds | Mapping[str, Seconds] | None = None,
) -> Spikes:
    """Read sorted spikes, curated in phy or not, of one probe or several.

    The units are phy's clusters, or Kilosort's templates where nobody curated. The table has, as
    far as the folder tells: ``quality`` (phy's group, else Kilosort's label; ``"unlisted"`` for
    units that no table names), ``depth`` (µm along the probe) and ``channel`` of the largest
    waveform, ``n_spikes``, and all columns of ``cluster_*.tsv``. Units that are listed but have no
    spike are kept.

    Parameters
    ----------
    folder
        With ``spike_times.npy``. Several, or probe -> folder: the probes are joined, ids become
        ``"<probe>_<id>"``, a column ``probe`` is added, and valid is where all recorded.
    sample_rate
        Hz; default: that of ``params.py``, which is parsed, never run.
    clock
        What turns seconds of the probe's clock into seconds of the recording: a
        :class:`~tinbergen.recordings.Clock`, a function, or probe -> one of them.

    Raises
    ------
    MissingFileError
        If the folder or a file that is needed is absent.
    DataError
        If lengths differ, or times are negative, not in order, not whole samples or NaN.

    Notes
    -----
    The largest waveform is that of the template that most spikes of the unit come from, unwhitened
    as in phy.

    Examples
    --------
    >>> spikes = read_kilosort({"V1": "probe0/ks4", "CA1": "probe1/ks4"})   # doctest: +SKIP
    >>> spikes.table[["probe", "quality", "depth"]]                         # doctest: +SKIP
    """
    if isinstance(folder, str | os.PathLike):
        if isinstance(clock, Mapping):
            raise DataError("Clocks by probe need folders by probe: {'probe': folder}.")
        return _read_probe(Path(folder), sample_rate, clock)
    probes = _named(folder)
    clocks = clock if isinstance(clock, Mapping) else dict.fromkeys(probes, clock)
    if missing := sorted(set(probes) - set(clocks)):
        raise DataError(f"There is no clock for the probe {missing[0]!r}; pass one for each.")
    each = {
        name: _read_probe(path, sample_rate, clocks[name], name) for name, path in probes.items()
    }
    return join_probes(each)


def join_probes(probes: Mapping[str, Spikes]) -> Spikes:
    """Return the units of several probes as one population; valid where all were recording."""
    tables, valid = [], None
    offset, units = 0, []
    for name, spikes in probes.items():
        ids = [f"{name}_{unit}" for unit in spikes.table.index]
        tables.append(spikes.table.assign(probe=name).set_axis(ids))
        units.append(spikes.units + offset)
        offset += spikes.n_units
        valid = spikes.valid if valid is None else valid & spikes.valid
    times = np.concatenate([spikes.times for spikes in probes.values()])
    order = np.argsort(times, kind="stable")
    table = pd.concat(tables)
    return Spikes(times[order], np.concatenate(units)[order], table, valid)  # type: ignore


def _named(folders: Iterable[Folder] | Mapping[str, Folder]) -> dict[str, Path]:
    """Probe -> folder; without given names the shortest ends of the paths that tell them apart."""
    if isinstance(folders, Mapping):
        named = {str(name): Path(path) for name, path in folders.items()}
    else:
        paths = [Path(path) for path in folders]
        parts = [path.absolute().parts for path in paths]
        longest = max(map(len, parts), default=0)
        names: list[str] = []
        for depth in range(1, longest + 1):
            names = ["_".join(each[-depth:]) for each in parts]
            if len(set(names)) == len(names):
                break
        named = dict(zip(names, paths, strict=True))
        if len(named) < len(paths):
            raise DataError(f"The same folder is given twice: {', '.join(map(str, paths))}.")
    if not named:
        raise DataError("Expected one folder or more, found none.")
    return named


def _read_probe(
    folder: Path, sample_rate: float | None, clock: Seconds | None, name: str = ""
) -> Spikes:
    samples = _samples(folder)
    clusters = _labels(folder, len(samples))
    rate = _sample_rate(folder) if sample_rate is None else float(sample_rate)
    if not rate > 0:
        raise DataError(f"{folder}: expected a sample rate in Hz, found {rate}.")
    listed = _tables(folder)
    ids = np.union1d(np.unique(clusters), listed.index.to_numpy(np.int64))
    units = np.searchsorted(ids, clusters)
    table = _unit_table(folder, listed, ids, units)
    times = samples / rate
    if clock is not None:
        times = _on_clock(clock, times, name or str(folder))
    valid = Intervals(times[:1], np.nextafter(times[-1:], np.inf))
    return Spikes(times, units, table, valid)


def _load(path: Path, where: str = "") -> np.ndarray:
    if not path.is_file():
        raise MissingFileError(f"Expected {where or path.name} at {path}, found none.")
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path} is not a .npy file of numbers: {error}") from error


def _samples(folder: Path) -> np.ndarray:
    """Spike times in samples, ascending."""
    path = folder / "spike_times.npy"
    if not path.is_file():
        below = sorted(found.parent for found in folder.glob("*/spike_times.npy"))
        raise MissingFileError(
            f"Expected the output of Kilosort or phy in {folder}, found no spike_times.npy."
            + (f" There is one in {', '.join(map(str, below))}." if below else "")
        )
    given = np.asarray(_load(path)).squeeze()
    given = np.atleast_1d(given)
    if given.ndim != 1 or given.dtype.kind not in "iuf":
        raise DataError(
            f"{path}: expected a sample number a spike, (n,) or (n, 1); found {given.dtype} "
            f"{given.shape}."
        )
    if not len(given):
        raise DataError(f"{path} holds no spike.")
    if given.dtype.kind == "f":
        if not np.isfinite(given).all():
            raise DataError(f"{path}: {np.sum(~np.isfinite(given))} of {len(given)} are NaN.")
        if len(fractions := given[given != np.round(given)]):
            raise DataError(
                f"{path}: expected samples, found fractions such as {fractions[0]}. "
                "If these are seconds, use Spikes directly."
            )
    samples = given.astype(np.int64)  # of unsigned numbers too large for it, negative ones
    if (samples < 0).any():
        i = np.flatnonzero(samples < 0)
        raise DataError(
            f"{path}: {len(i)} of {len(samples)} times are negative, first spike {i[0]} at sample "
            f"{samples[i[0]]}. Remove them here and in the other spike_*.npy."
        )
    back = np.flatnonzero(np.diff(samples) < 0)
    if len(back):
        i = int(back[0])
        raise DataError(
            f"{path}: times must ascend; {len(back)} times they do not, first from sample "
            f"{samples[i]} to {samples[i + 1]} (spike {i + 1}). Were several recordings put "
            "together without an offset?"
        )
    return samples


def _labels(folder: Path, n: int) -> np.ndarray:
    path = folder / "spike_clusters.npy"
    if not path.is_file():
        path = folder / "spike_templates.npy"
    if not path.is_file():
        raise MissingFileError(f"{folder}: expected spike_clusters.npy or spike_templates.npy.")
    given = np.atleast_1d(np.asarray(_load(path)).squeeze())
    if given.shape != (n,):
        raise DataError(f"{path}: {given.shape} units for {n} spikes in spike_times.npy.")
    if given.dtype.kind not in "iuf" or (given != np.round(given)).any():
        raise DataError(f"{path}: expected whole numbers, found {given.dtype} or NaN.")
    return given.astype(np.int64)


def _sample_rate(folder: Path) -> float:
    path = folder / "params.py"
    if not path.is_file():
        raise MissingFileError(
            f"Expected {path} for the sample rate; else give sample_rate in Hz."
        )
    try:
        tree = ast.parse(path.read_text(encoding="utf-8", errors="replace"))
        for line in tree.body:
            if isinstance(line, ast.Assign) and any(
                isinstance(target, ast.Name) and target.id == "sample_rate"
                for target in line.targets
            ):
                return float(ast.literal_eval(line.value))
    except (SyntaxError, ValueError, TypeError) as error:
        raise DataError(f"{path}: the sample rate cannot be told ({error}); give it.") from error
    raise DataError(f"{path} does not name the sample_rate; give it in Hz.")


def _tables(folder: Path) -> Any:
    """Return all columns of ``cluster_*.tsv``; the single ones go before ``cluster_info.tsv``."""
    paths = sorted([*folder.glob("cluster_*.tsv"), *folder.glob("cluster_*.csv")])
    paths.sort(key=lambda path: path.stem == "cluster_info")
    result: Any = pd.DataFrame(index=pd.Index([], dtype=np.int64))
    for path in paths:
        table = _cluster_table(path)
        fresh = [column for column in table if column not in result]
        result = result.join(table.loc[:, fresh], how="outer")
        if path.stem == "cluster_info":  # phy lists there what is not merged or split since
            result = result.loc[result.index.isin(table.index)]
    return result


def _cluster_table(path: Path) -> Any:
    try:
        table: Any = pd.read_csv(path, sep="\t", encoding_errors="replace")
    except ValueError as error:
        raise DataError(f"{path} is not a table: {error}") from error
    key = next((name for name in ("cluster_id", "id") if name in table), None)
    if key is None:
        raise DataError(f"{path}: expected a column cluster_id, found {list(table.columns)}.")
    ids: Any = pd.to_numeric(table.pop(key), errors="coerce")
    bad = np.flatnonzero(ids % 1 != 0)
    if len(bad):
        raise DataError(f"{path}: row {bad[0] + 1} has no whole number as {key}.")
    table = table.set_axis(ids.to_numpy(np.int64))
    if table.index.has_duplicates:
        twice = table.index[table.index.duplicated()][0]
        raise DataError(f"{path}: cluster {twice} stands twice.")
    return table.rename(columns=_RENAMED)


def _unit_table(folder: Path, listed: Any, ids: np.ndarray, units: np.ndarray) -> pd.DataFrame:
    table = listed.reindex(ids)
    if quality := [table[name] for name in ("group", "KSLabel") if name in table]:
        known: Any = pd.Series(np.nan, index=table.index, dtype=object)
        for column in quality:
            words = column.astype(object).where(column.notna() & (column != "unsorted"))
            known = known.where(known.notna(), words)
        known = known.fillna("unsorted")
        known[~table.index.isin(listed.index)] = UNLISTED
        table.insert(0, "quality", known.astype(str))
    table["n_spikes"] = np.bincount(units, minlength=len(ids))
    computed = _places(folder, ids, units)
    for name in computed:
        given = table[name] if name in table else pd.Series(np.nan, index=table.index)
        table[name] = given.where(given.notna(), computed[name])
    return table


def _places(folder: Path, ids: np.ndarray, units: np.ndarray) -> Any:
    """Channel and depth of each unit's largest waveform, as far as the folder has them."""
    result: Any = pd.DataFrame(index=ids)
    positions = _optional(folder, "channel_positions.npy")
    peaks = _peaks(folder, ids, units)
    if peaks is not None:
        known = peaks >= 0
        channels = _optional(folder, "channel_map.npy")
        channels = np.arange(peaks.max() + 1) if channels is None else np.ravel(channels)
        for what, source in (("channel", channels), ("depth", positions)):
            if source is None:
                continue
            if peaks.max() >= len(source):
                raise DataError(
                    f"{folder}: templates have a channel {peaks.max()}, but {what}s are given for "
                    f"{len(source)} channels."
                )
            column = source if source.ndim == 1 else source[:, 1]
            result[what] = column[peaks] if known.all() else np.where(known, column[peaks], np.nan)
    elif (spots := _optional(folder, "spike_positions.npy")) is not None:
        if len(spots) != len(units):
            raise DataError(f"{folder}: {len(spots)} spike_positions for {len(units)} spikes.")
        median: Any = pd.Series(np.asarray(spots[:, 1])).groupby(units).median()
        result["depth"] = median.reindex(range(len(ids))).to_numpy()
    return result


def _peaks(folder: Path, ids: np.ndarray, units: np.ndarray) -> np.ndarray | None:
    """Row of the channel that each unit is largest on, ``(unit,)``; -1 where it has no spike."""
    templates = _optional(folder, "templates.npy")
    if templates is None or templates.ndim != 3:
        return None
    source = _optional(folder, "spike_templates.npy")
    source = ids[units] if source is None else np.ravel(source).astype(np.int64)
    if len(source) != len(units) or source.min() < 0 or source.max() >= len(templates):
        raise DataError(
            f"{folder}: spikes come from templates {source.min()} to {source.max()}, "
            f"templates.npy has {len(templates)}; {len(source)} entries for {len(units)} spikes."
        )
    # The template that most spikes of a unit come from: the last of its pairs by count.
    pairs, counts = np.unique(units * len(templates) + source, return_counts=True)
    order = np.argsort(counts, kind="stable")
    best = np.full(len(ids), -1)
    best[pairs[order] // len(templates)] = pairs[order] % len(templates)
    unwhiten = _optional(folder, "whitening_mat_inv.npy")
    columns = _optional(folder, "templates_ind.npy")
    largest = {
        t: _peak(templates[t], unwhiten, None if columns is None else columns[t])
        for t in np.unique(best[best >= 0]).tolist()
    }
    return np.array([largest.get(t, -1) for t in best])


def _peak(template: np.ndarray, unwhiten: np.ndarray | None, channels: np.ndarray | None) -> int:
    """Channel of the largest wave of a template ``(time, channel)``."""
    wave = np.asarray(template, np.float64)
    every = np.arange(wave.shape[1])
    here = every if channels is None else np.asarray(channels, np.int64)
    if unwhiten is not None and unwhiten.shape == (len(every),) * 2 and (here == every).all():
        wave = wave @ unwhiten
    return int(here[np.argmax(np.where(here >= 0, np.ptp(wave, axis=0), -1))])


def _optional(folder: Path, name: str) -> np.ndarray | None:
    return _load(folder / name) if (folder / name).is_file() else None


def _on_clock(clock: Seconds, times: np.ndarray, where: str) -> np.ndarray:
    mapped = clock.times(times) if isinstance(clock, Clock) else clock(times)
    mapped = np.asarray(mapped, np.float64)
    if mapped.shape != times.shape or not np.isfinite(mapped).all():
        raise DataError(
            f"The clock of {where} must give a finite time for each of {len(times)} spikes; found "
            f"shape {mapped.shape}, {np.sum(~np.isfinite(mapped))} not finite."
        )
    back = np.flatnonzero(np.diff(mapped) < 0)
    if len(back):
        raise DataError(
            f"The clock of {where} runs backwards at {times[back[0]]:.6f} s of the probe's clock."
        )
    return mapped
