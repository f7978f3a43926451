"""Labels in NWB files: Tinbergen's own, ndx-ethogram's, any TimeIntervals with a label."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tinbergen.errors import DataError
from tinbergen.recordings.hdf5 import opened_hdf5
from tinbergen.recordings.intervals import Intervals
from tinbergen.recordings.label_rows import Bout, Found, Reading, names
from tinbergen.recordings.labels import Labels
from tinbergen.recordings.nwb_hdf5 import Source, is_table, plain, read_frame, type_of

_LABEL = ("label", "behavior", "behaviour", "behavior_name", "state", "motif")
_INDIVIDUAL = ("individual", "subject", "animal")


def read_nwb_labels(how: Reading) -> tuple[Found, tuple[str, ...], Intervals | None]:
    """Read the bouts of a file; ``where: {table: name}`` chooses one of several tables.

    Returns
    -------
    The rows; the classes that the file names (those of its ethogram too, that never occur); and
    where somebody looked, if it says so.
    """
    with opened_hdf5(how.path, "an NWB file") as file:
        source = Source.of(how.path, file)
        tables = _tables(file)
        wanted = how.choice("table")
        if wanted is not None:
            tables = [path for path in tables if path.rsplit("/", 1)[-1] == wanted]
        if len(tables) != 1:
            what = f"found {names(tables)}: choose one (where table)" if tables else "found none"
            raise DataError(f"{how.path}: expected one table of bouts with a label; {what}.")
        group: Any = file[tables[0]]
        own = next((e for e in source.own.values() if e.get("path") == tables[0]), {})
        found = _bouts(group, source, how)
        classes = tuple(own.get("classes", ())) or _catalogue(group)
        looked = None
        if "observation_intervals" in group:
            spans = group["observation_intervals"]
            looked = Intervals(spans["start_time"][()], spans["stop_time"][()])
            looked = looked | Intervals(
                [b.start for b in found.bouts], [b.stop for b in found.bouts]
            )
        return found, classes, looked


def _tables(file: Any) -> list[str]:
    """Return the paths of all tables of bouts; those that say that they are ethograms first."""
    found: dict[str, bool] = {}

    def visit(path: str, item: Any) -> None:
        if is_table(item) and "start_time" in item and "stop_time" in item:
            ethogram = type_of(item) == "EthogramBouts"
            if ethogram or any(name in item for name in _LABEL):
                found[path] = ethogram

    file.visititems(visit)
    return [path for path in found if found[path]] or list(found)


def _bouts(group: Any, source: Source, how: Reading) -> Found:
    table = read_frame(group, source)
    label = next(name for name in _LABEL if name in table)
    who = next((name for name in _INDIVIDUAL if name in table), None)
    rows = zip(
        table["start_time"],
        table["stop_time"],
        table[label],
        table[who] if who else [how.individual] * len(table),
        strict=True,
    )
    bouts = [
        Bout(float(start), float(stop), str(name), str(animal), row)
        for row, (start, stop, name, animal) in enumerate(rows)
    ]
    return Found(bouts, overlaps=True, notes=list(source.notes))


def _catalogue(group: Any) -> tuple[str, ...]:
    if "ethogram" not in group or "behavior" not in group["ethogram"]:
        return ()
    values = plain(group["ethogram"]["behavior"])
    return () if values is None else tuple(map(str, np.ravel(values)))


def write_nwb_labels(path: Path, labels: Labels) -> None:
    """Write an NWB file that holds nothing else; needs pynwb, but no extension."""
    from tinbergen.recordings.nwb_export import write_nwb
    from tinbergen.recordings.recording import Recording

    write_nwb(path, Recording(path.stem, {"behaviour": labels}))
