"""Sessions that lie on the disk as their program wrote them, without a ``dataset.yaml``."""

from __future__ import annotations

from pathlib import Path

from tinbergen.recordings.alf_files import parse_name
from tinbergen.recordings.dataset_entries import Failures, read_streams
from tinbergen.recordings.recording import Recording

_STREAMS = {"kilosort": "spikes", "nwb": "session", "alf": "session"}
_ALF = ("spikes", "trials", "wheel", "clusters", "licks")


def session_kind(path: Path) -> str | None:
    """Tell what a path is: ``nwb`` (a file), ``kilosort``, ``alf`` (folders), or none of these."""
    if path.is_file():
        return "nwb" if path.suffix.lower() == ".nwb" else None
    if not path.is_dir():
        return None
    if (path / "spike_times.npy").is_file():
        return "kilosort"
    if path.name == "alf" or (path / "alf").is_dir():
        return "alf"
    named = [parse_name(file.name) for file in path.iterdir() if file.is_file()]
    return "alf" if any(name is not None and name[0] in _ALF for name in named) else None


def bare_recording(path: Path, failures: Failures) -> Recording | None:
    """Read a session, whatever it is; None if it is none.

    Parameters
    ----------
    path
        An NWB file, the output folder of Kilosort or phy, or an ALF folder.
    failures
        Is filled with what could not be read.
    """
    kind = session_kind(path)
    if kind is None:
        return None
    path = path.absolute()
    # Many folders are called alike (kilosort, alf, 001); the one above tells them apart.
    name = path.stem if kind == "nwb" else f"{path.parent.name}/{path.name}"
    entry = {_STREAMS[kind]: {"kind": kind, "file": path.name}}
    streams, notes = read_streams(entry, path.parent, name, str(path), failures)
    return Recording(name, streams, notes=notes)
