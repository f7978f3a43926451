"""Trials of the descending-neuron data set (Aymanns et al., eLife 2022; Harvard Dataverse "DNs").

A trial is a folder ``.../FlyN/..._trial_NNN`` with tables that pandas pickled; they are read
without running the pickles.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tinbergen.errors import DataError, MissingFileError
from tinbergen.recordings.array_pickle import read_frame_pickle
from tinbergen.recordings.labels import UNLABELLED, Labels
from tinbergen.recordings.recording import Recording
from tinbergen.recordings.series import Series

_TRACES = "2p/roi_dFF.pkl"
_POSE = "behData/images/df3d/post_processed.pkl"
_ACTIONS = "behData/images/df3d/behaviour_predictions_daart.pkl"
_UNSCORED = "background"


def read_descending_neurons(
    folder: str | os.PathLike, *, source: str = "denoised", fps: float = 100.0
) -> Recording:
    """Read one trial.

    Parameters
    ----------
    folder
        Of the trial: holds ``2p/roi_dFF.pkl`` and, below ``behData/images/df3d``,
        ``post_processed.pkl`` and ``behaviour_predictions_daart.pkl``; the last may be missing.
    source
        ``denoised`` or ``warped``: what the traces were measured on.
    fps
        Of the behaviour cameras, on whose frames the traces were interpolated, Hz.

    Returns
    -------
    Recording
        ``neural`` (Series, a channel a region of interest, % dF/F), ``pose`` (Series of the joint
        angles, rad) and ``actions`` (Labels that a network predicted, not hand labels; background
        counts as unscored). Frames that a table lacks are left out of its stream. The subject is
        date, genotype and number of the fly.

    Raises
    ------
    MissingFileError, DataError
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MissingFileError(f"Expected the folder of a trial at {folder}, found none.")
    neural = _table(folder / _TRACES, ("Frame", "ROI", "dFF", "Source file"))
    chosen: Any = neural[neural["Source file"] == source]
    if not len(chosen):
        raise DataError(
            f"{folder / _TRACES}: no rows of the source {source!r}; there are: "
            f"{', '.join(sorted(map(str, neural['Source file'].unique())))}."
        )
    if chosen.duplicated(subset=["Frame", "ROI"]).any():
        raise DataError(f"{folder / _TRACES}: a frame of a region stands twice.")
    traces = chosen.pivot(index="Frame", columns="ROI", values="dFF")
    times, start = _times(folder, chosen, traces, fps)
    streams: dict = {
        "neural": Series(
            times, traces.to_numpy(np.float64), tuple(map(str, traces.columns)), "% dF/F"
        )
    }
    pose = _table(folder / _POSE, ("Frame",)).sort_values("Frame")
    angles = [name for name in pose if str(name).startswith("Angle")]
    if not angles:
        raise DataError(
            f"{folder / _POSE}: expected columns whose names begin with Angle, found "
            f"{', '.join(map(str, pose.columns[:8]))}."
        )
    frames = pose["Frame"].to_numpy(np.float64)
    streams["pose"] = Series(
        start + frames / fps, pose[angles].to_numpy(np.float64), tuple(angles), "rad"
    )
    if (folder / _ACTIONS).is_file():
        streams["actions"] = _actions(folder / _ACTIONS, start, fps)
    flies = re.findall(r"Fly\d+", str(folder.absolute()))[-1:]
    # Every day and genotype has its Fly1.
    about = [str(neural[name].iloc[0]) for name in ("Date", "Genotype") if name in neural]
    subject = "_".join([*about, *flies]) if flies else None
    return Recording("_".join([*flies, folder.name]), streams, subject)


def _times(
    folder: Path, rows: pd.DataFrame, traces: pd.DataFrame, fps: float
) -> tuple[np.ndarray, float]:
    """Return the times of the traces, as measured if the file has them, and that of frame 0."""
    frames = traces.index.to_numpy(np.float64)
    if "Time" not in rows:
        return frames / fps, 0.0
    times = rows.groupby("Frame")["Time"].first().to_numpy(np.float64)
    rate = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else fps
    if abs(rate / fps - 1) > 0.05:
        raise DataError(
            f"{folder / _TRACES}: its times say {rate:.1f} frames a second, expected {fps:g}; "
            "give fps."
        )
    return times, float(np.median(times - frames / fps))


def _actions(path: Path, start: float, fps: float) -> Labels:
    table = _table(path, ("Frame", "Prediction")).sort_values("Frame")
    said = table["Prediction"].astype(str)
    classes = tuple(sorted(set(said) - {_UNSCORED}))
    places = {name: k for k, name in enumerate(classes)}
    codes = said.map(places.get).fillna(UNLABELLED).to_numpy(int)
    return Labels.from_frames(start + table["Frame"].to_numpy(np.float64) / fps, codes, classes)


def _table(path: Path, needed: tuple[str, ...]) -> pd.DataFrame:
    table = read_frame_pickle(path)
    if missing := [name for name in needed if name not in table]:
        raise DataError(
            f"{path}: the column {missing[0]!r} is missing; it has "
            f"{', '.join(map(str, table.columns[:12]))}."
        )
    return table
