"""Two-photon traces as suite2p writes them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from tinbergen.errors import DataError, MissingFileError
from tinbergen.recordings.array_files import read_array
from tinbergen.recordings.plain_pickle import plain_number, read_plain_pickle
from tinbergen.recordings.series import Series

Signal = Literal["corrected", "dF/F", "F", "Fneu", "spks"]
_UNITS = {"dF/F": "dF/F", "spks": "a.u. (deconvolved)"}


def read_suite2p(
    folder: str | os.PathLike,
    fps: float | None = None,
    *,
    signal: Signal = "corrected",
    times: np.ndarray | None = None,
    cells_only: bool = True,
    neuropil: float = 0.7,
    baseline_smoothing: float = 10.0,
    baseline_window: float = 60.0,
) -> Series:
    """Read the traces of one plane: ``F.npy``, ``Fneu.npy``, ``spks.npy``, ``iscell.npy``.

    Nothing is unpickled: the frame rate in ``ops.npy`` and the places in ``stat.npy`` are taken
    out of them without running them, where that can be done.

    Parameters
    ----------
    folder
        ``.../plane0``, or the folder above it if that has one plane.
    fps
        Volumes a second; default: ``fs`` of ``ops.npy``.
    signal
        ``"corrected"``: F - ``neuropil`` * Fneu. ``"dF/F"``: of the corrected trace, against its
        running baseline F0 (suite2p's ``maximin``: Gaussian smoothing, then the minimum and the
        maximum over ``baseline_window``); NaN where F0 <= 0, where the ratio means nothing.
        ``"F"``, ``"Fneu"``, ``"spks"``: as they are in the file.
    times
        ``(frame,)`` s on the clock of the recording, instead of ``fps`` and a start at 0.
    cells_only
        Leave out what suite2p (or the curator) does not call a cell.
    neuropil
        Share of the surrounding signal to subtract.
    baseline_smoothing
        Frames (standard deviation).
    baseline_window
        s.

    Returns
    -------
    ``(frame, ROI)``. The table has ``iscell``, ``probability`` and, where known, ``y``, ``x`` (px)
    and ``pixels``; channels are called by the number of the ROI.

    Raises
    ------
    MissingFileError, DataError
    """
    plane = _plane(Path(folder))
    names = {"corrected": ("F", "Fneu"), "dF/F": ("F", "Fneu")}.get(signal, (signal,))
    traces = [read_array(plane / f"{name}.npy") for name in names]
    shapes = {name: each.shape for name, each in zip(names, traces, strict=True)}
    if len(set(shapes.values())) > 1 or traces[0].ndim != 2:
        raise DataError(f"{plane}: expected (ROI, frame) arrays of one shape, found {shapes}.")
    n_rois, n_frames = traces[0].shape
    table = _table(plane, n_rois)
    rate = fps or _frame_rate(plane)
    if rate is None and (times is None or signal == "dF/F"):
        raise DataError(
            f"{plane}: the frame rate is not known (no ops.npy with a plain fs); give fps."
        )
    if times is not None and len(times) != n_frames:
        raise DataError(f"{plane}: {n_frames} frames, but {len(times)} times.")
    at = np.arange(n_frames) / (rate or 1.0) if times is None else times
    kept = (
        table["iscell"].to_numpy() if cells_only and "iscell" in table else np.ones(n_rois, bool)
    )
    if not kept.any():
        raise DataError(f"{plane}: none of {n_rois} ROIs is called a cell; see cells_only.")
    values = traces[0][kept]
    if len(traces) > 1:
        values = values - neuropil * traces[1][kept]
    if signal == "dF/F":
        values = _over_baseline(values, baseline_smoothing, round(baseline_window * (rate or 1.0)))
    return Series(at, values.T, unit=_UNITS.get(signal, "a.u."), table=table.loc[kept])


def _plane(folder: Path) -> Path:
    if (folder / "F.npy").is_file() or (folder / "spks.npy").is_file():
        return folder
    planes = sorted(file.parent for file in folder.glob("**/F.npy"))
    if len(planes) == 1:
        return planes[0]
    if planes:
        shown = ", ".join(plane.relative_to(folder).as_posix() for plane in planes)
        raise DataError(f"{folder} has {len(planes)} planes; name one of: {shown}.")
    raise MissingFileError(f"Expected a folder of suite2p with F.npy at {folder}, found none.")


def _table(plane: Path, n_rois: int) -> pd.DataFrame:
    table = pd.DataFrame(index=range(n_rois))
    if (plane / "iscell.npy").is_file():
        cells = read_array(plane / "iscell.npy")
        if cells.shape != (n_rois, 2):
            raise DataError(
                f"{plane}/iscell.npy: expected (ROI, 2) for {n_rois} ROIs, found {cells.shape}."
            )
        table["iscell"], table["probability"] = cells[:, 0] > 0, cells[:, 1]
    places = _places(plane, n_rois)
    return table if places is None else table.join(places)


def _pickled(path: Path) -> list[Any] | None:
    """Return the items of an array of objects, read without running anything; None if not so."""
    if not path.is_file():
        return None
    with open(path, "rb") as file:
        try:
            first = np.lib.format.read_magic(file) == (1, 0)
            header = np.lib.format
            read = header.read_array_header_1_0 if first else header.read_array_header_2_0
            read(file)
            return list(read_plain_pickle(file.read(), unread=True).state[-1])
        except (ValueError, AttributeError, TypeError):
            return None


def _frame_rate(plane: Path) -> float | None:
    items = _pickled(plane / "ops.npy")
    if not items or not isinstance(items[0], dict):
        return None
    rate = plain_number(items[0].get("fs"))
    return rate if rate and rate > 0 else None


def _places(plane: Path, n_rois: int) -> pd.DataFrame | None:
    items = _pickled(plane / "stat.npy")
    if items is None or len(items) != n_rois or not all(isinstance(i, dict) for i in items):
        return None
    rows = []
    for item in items:
        middle = item.get("med")
        yx = [plain_number(v) for v in middle] if isinstance(middle, list | tuple) else []
        rows.append((*(yx if len(yx) == 2 else (None, None)), plain_number(item.get("npix"))))
    places = pd.DataFrame(rows, columns=["y", "x", "pixels"], dtype=float)
    return places.dropna(axis="columns", how="all")


def _over_baseline(traces: np.ndarray, smoothing: float, window: int) -> np.ndarray:
    from scipy.ndimage import gaussian_filter1d, maximum_filter1d, minimum_filter1d

    traces = traces.astype(np.float64)
    smooth = gaussian_filter1d(traces, smoothing, axis=1)
    lowest = minimum_filter1d(smooth, max(window, 1), axis=1)
    base = maximum_filter1d(lowest, max(window, 1), axis=1)
    change = np.full_like(traces, np.nan)
    return np.divide(traces - base, base, out=change, where=base > 0)
