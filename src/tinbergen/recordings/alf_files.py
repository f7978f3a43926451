"""ALF file names of the International Brain Laboratory: collections, revisions, namespaces."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tinbergen.recordings.csv_table import read_csv_table

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_REVISION = re.compile(r"#(.+)#")
_READABLE = (".npy", ".pqt", ".parquet", ".csv", ".tsv", ".mp4")


@dataclass
class AlfFiles:
    """The newest revision of each ALF file of a session, and what was noted of them.

    ``files``: (collection, object, attribute) -> path, names without namespace and UUID.
    """

    folder: Path
    notes: list[str] = field(default_factory=list)
    files: dict[tuple[str, str, str], Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        newest: dict[tuple[str, str, str], str] = {}
        for path in sorted(self.folder.rglob("*")):
            parts = path.relative_to(self.folder).parts
            named = parse_name(path.name)
            if named is None or any(part.startswith(".") for part in parts):
                continue
            revisions = [found[1] for part in parts if (found := _REVISION.fullmatch(part))]
            plain = [part for part in parts[:-1] if not _REVISION.fullmatch(part)]
            key = ("/".join(part for part in plain if part != "alf"), *named)
            revision = max(revisions, default="")
            if key in newest and newest[key] == revision:
                self.notes.append(f"{path.name}: as {self.files[key].name}, which is used")
            if key not in newest or newest[key] < revision:
                newest[key], self.files[key] = revision, path

    def collections(self, thing: str, attribute: str) -> list[str]:
        """Return the collections that hold this object and attribute."""
        return [c for c, o, a in self.files if (o, a) == (thing, attribute)]

    def load(self, collection: str, thing: str, attribute: str) -> Any:
        """Return what a file holds; None if it is not there, or, with a note, not readable."""
        path = self.files.get((collection, thing, attribute))
        if path is None:
            return None
        try:
            if path.suffix == ".npy":
                return np.load(path, allow_pickle=False)
            if path.suffix in (".pqt", ".parquet"):
                return pd.read_parquet(path)
            return read_csv_table(path, "a table", "\t" if path.suffix == ".tsv" else ",")
        except (ValueError, OSError, EOFError) as error:
            self.notes.append(f"{self.name(path)}: left out: {error}")
            return None

    def numbers(self, collection: str, thing: str, attribute: str) -> np.ndarray | None:
        """Return an array as :meth:`load` does; None, with a note, if it holds no numbers."""
        values = self.load(collection, thing, attribute)
        if values is not None and np.asarray(values).dtype.kind not in "biuf":
            self.notes.append(f"{collection}: {thing}.{attribute} left out: not numbers")
            return None
        return values

    def name(self, path: Path) -> str:
        """Return the path within the session."""
        return path.relative_to(self.folder).as_posix()

    def attributes(self, collection: str, thing: str) -> list[str]:
        """Return what is known of an object in a collection."""
        return [a for c, o, a in self.files if (c, o) == (collection, thing)]


def parse_name(name: str) -> tuple[str, str] | None:
    """Return (object, attribute) of a file name; None if it is no ALF file."""
    parts = [part for part in name.split(".") if not _UUID.fullmatch(part)]
    if len(parts) < 3 or f".{parts[-1]}" not in _READABLE:
        return None
    thing = re.sub(r"^_[^_]+_", "", parts[0])
    return (thing, parts[1]) if thing else None


def snake(name: str) -> str:
    """Return ``probabilityLeft`` as ``probability_left``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
