"""Spikes and clusters of IBL sessions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tinbergen.errors import DataError
from tinbergen.recordings.alf_files import AlfFiles, snake
from tinbergen.recordings.kilosort import UNLISTED, join_probes
from tinbergen.recordings.spikes import Spikes

_MOST = 10**6  # clusters, which have a row each
_SORTERS = ("", "ks2_matlab", "kilosort", "pykilosort", "iblsorter")  # the last is the newest


def read_spikes_of(files: AlfFiles) -> dict[str, Spikes]:
    """Return ``spikes`` of all probes, if there are any; see :func:`read_alf`."""
    probes: dict[str, str] = {}
    found = files.collections("spikes", "times")
    for collection in sorted(found, key=lambda c: _rank(Path(c).name)):
        parts = collection.split("/")
        sorter = parts[-1] if _rank(parts[-1]) >= 0 else ""
        probe = parts[-2] if sorter and len(parts) > 1 else parts[-1]
        if probe in probes:
            files.notes.append(f"{probe}: {collection} is used, not {probes[probe]}")
        probes[probe] = collection
    read = {}
    for probe, collection in sorted(probes.items()):
        try:
            read[probe] = _probe(files, collection)
        except DataError as error:
            files.notes.append(f"{collection or '.'}: spikes left out: {error}")
    if not read:
        files.notes.append("spikes: none that can be read")
        return {}
    if len(read) > 1:
        return {"spikes": join_probes(read)}
    probe, spikes = next(iter(read.items()))
    table = spikes.table.assign(probe=probe or "probe")
    return {"spikes": Spikes(spikes.times, spikes.units, table, spikes.valid)}


def _rank(name: str) -> int:
    return _SORTERS.index(name) if name in _SORTERS else -1


def _probe(files: AlfFiles, collection: str) -> Spikes:
    times = files.numbers(collection, "spikes", "times")
    clusters = files.numbers(collection, "spikes", "clusters")
    if times is None or clusters is None:
        raise DataError("spikes.times and spikes.clusters are not both there")
    times, clusters = np.ravel(times).astype(np.float64), np.ravel(clusters)
    if len(times) != len(clusters):
        raise DataError(f"{len(times)} spikes.times, but {len(clusters)} spikes.clusters")
    wrong = (clusters < 0) | (clusters > _MOST) | (clusters != np.round(clusters))
    if wrong.any():
        raise DataError(f"{clusters[wrong][0]} in spikes.clusters is no number of a cluster")
    known = np.isfinite(times)
    if not known.all():
        files.notes.append(f"{collection}: {np.sum(~known)} of {len(times)} spikes have no time")
    times, clusters = times[known], clusters[known].astype(np.int64)
    if (np.diff(times) < 0).any():
        files.notes.append(f"{collection}: spikes.times was not ascending; sorted")
    if not len(times):
        raise DataError("there is no spike")
    order = np.argsort(times, kind="stable")
    table: Any = _clusters(files, collection, int(clusters.max(initial=-1)) + 1)
    table["n_spikes"] = np.bincount(clusters, minlength=len(table))
    return Spikes(times[order], clusters[order], table)


def _clusters(files: AlfFiles, collection: str, n_seen: int) -> pd.DataFrame:
    """Return a row a cluster: what clusters.* and channels.* say."""
    columns, lengths = {}, {}
    for attribute in files.attributes(collection, "clusters"):
        values = files.load(collection, "clusters", attribute)
        if attribute == "metrics" or values is None:
            continue
        if isinstance(values, pd.DataFrame):  # clusters.uuids.csv
            values = values.iloc[:, -1].to_numpy()
        if values.ndim == 1:
            columns[snake(attribute)] = values
            lengths[attribute] = len(values)
    metrics = files.load(collection, "clusters", "metrics")
    numbers = None if metrics is None else metrics.get("cluster_id")
    n = max([n_seen, *lengths.values(), 0 if numbers is None else int(numbers.max()) + 1])
    table: Any = pd.DataFrame(index=range(n))
    for name, values in columns.items():
        table[name] = pd.Series(values).reindex(range(n))
    if metrics is None:
        files.notes.append(f"{collection}: no clusters.metrics, so the quality is not known")
    else:
        if numbers is None:
            files.notes.append(f"{collection}: clusters.metrics has no cluster_id; in order")
            numbers = pd.Series(range(len(metrics)))
        metrics, numbers = metrics[numbers.notna()], numbers.dropna()
        metrics = metrics.set_axis(numbers.to_numpy(np.int64)).drop(
            columns=["cluster_id", "Unnamed: 0"], errors="ignore"
        )
        metrics = metrics[~metrics.index.duplicated()]
        fresh = [column for column in metrics if column not in table]
        table = table.join(metrics[fresh])
        if "label" in metrics:
            quality = np.where(table["label"] == 1, "good", "mua")
            table["quality"] = np.where(table.index.isin(metrics.index), quality, UNLISTED)
    if len(set(lengths.values())) > 1:
        files.notes.append(f"{collection}: clusters.* of different lengths: {lengths}")
    if lengths and n_seen > max(lengths.values()):
        lost = n_seen - max(lengths.values())
        files.notes.append(f"{collection}: {lost} clusters have spikes but no entry; kept")
    table = _with_region(files, collection, table)
    short = {"depths": "depth", "channels": "channel"}
    return table.rename(columns={k: v for k, v in short.items() if v not in table})


def _with_region(files: AlfFiles, collection: str, table: pd.DataFrame) -> Any:
    """Add the region of each cluster's channel."""
    if not files.attributes(collection, "channels"):
        collection = collection.rpartition("/")[0]  # of the probe, for all sorters
    attributes = files.attributes(collection, "channels")
    region = next((a for a in attributes if "acronym" in a.lower()), None)
    region = region or next((a for a in attributes if a.startswith("brainLocationIds")), None)
    own = next((a for a in table if "acronym" in str(a).lower()), None)
    if own is not None:
        return table.assign(region=table[own])
    if region is None or "channels" not in table:
        files.notes.append(f"{collection}: no channels.brainLocationIds, so regions are not known")
        return table
    names = files.load(collection, "channels", region)
    names = names.iloc[:, -1].to_numpy() if isinstance(names, pd.DataFrame) else names
    rows: Any = table["channels"].to_numpy(np.float64)
    known = np.isfinite(rows)
    inside = rows[known]
    if names is None or ((inside < 0) | (inside >= len(names))).any():
        files.notes.append(f"{collection}: clusters.channels and channels.{region} do not fit")
        return table
    regions = np.full(len(table), "", dtype=object)
    regions[known] = [str(name) for name in names[rows[known].astype(int)]]
    return table.assign(region=pd.array(regions, dtype="str"))
