"""Session folders of the International Brain Laboratory (ALF files), offline."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tinbergen.errors import DataError, MissingFileError, VideoError
from tinbergen.recordings.alf_files import AlfFiles, snake
from tinbergen.recordings.alf_spikes import read_spikes_of
from tinbergen.recordings.intervals import Intervals
from tinbergen.recordings.keypoints import Keypoints
from tinbergen.recordings.recording import Recording
from tinbergen.recordings.series import Series
from tinbergen.recordings.spikes import Spikes
from tinbergen.recordings.trials import Trials
from tinbergen.recordings.video import Video

SPEED_RATE = 250.0  # Hz of the wheel's velocity
SPEED_WINDOW = 0.05  # s over which it is the mean velocity


def read_alf(folder: str | os.PathLike, *, name: str | None = None) -> Recording:
    """Read a session of the IBL, as ONE stores it, from disk alone.

    ===========================  ================================================================
    Stream                       From
    ===========================  ================================================================
    ``spikes``                   spikes.times, spikes.clusters of all probes; the table from
                                 clusters.* and channels.*: region, depth (µm), quality, ...
    ``trials``                   trials.table or trials.*; ``go_cue``, ``stim_on``, ``choice``,
                                 ``probability_left``, ``feedback``, ... (times in s without
                                 "_times"), ``contrast`` = right - left
    ``wheel``                    wheel.position, rad, at its own times
    ``wheel_velocity``,          mean over 50 ms of the position's linear interpolation, at
    ``wheel_speed``              250 Hz, rad/s
    ``left_camera_...``          ROIMotionEnergy, dlc, lightningPose, features and the video of
                                 each camera at its times
    ``licks``                    licks.times: :class:`Spikes` of one unit
    ===========================  ================================================================

    Of several revisions (``#2024-01-01#``) the newest is taken, of several sorters the newest too;
    namespaces and UUIDs in the names do not matter. What is absent, left out or odd stands in
    ``recording.notes``.

    Parameters
    ----------
    folder
        ``lab/Subjects/subject/date/number``, or its ``alf`` folder.
    name
        Of the recording; default ``subject_date_number`` where the path has it.

    Raises
    ------
    MissingFileError
        If the folder is absent or holds no ALF file.

    Notes
    -----
    Quality is ``"good"`` where the label of clusters.metrics is 1 (all of the IBL's criteria),
    else ``"mua"``. Region is the acronym if a file has it, else the Allen atlas's number as text.

    Examples
    --------
    >>> session = read_alf("cortexlab/Subjects/KS014/2019-12-03/001")   # doctest: +SKIP
    >>> session.notes                                                    # doctest: +SKIP
    """
    folder = Path(folder).absolute()
    if not folder.is_dir():
        raise MissingFileError(f"Expected the folder of a session at {folder}, found none.")
    folder = folder.parent if folder.name == "alf" else folder
    files = AlfFiles(folder)
    if not files.files:
        raise MissingFileError(f"{folder} holds no ALF file such as alf/probe00/spikes.times.npy.")
    streams: dict[str, Any] = {}
    readers = (read_spikes_of, _trials, _wheel, _licks, _cameras)
    for read in readers:
        streams.update(read(files))
    subject, given = _session(folder)
    return Recording(name or given, streams, subject, tuple(files.notes))


def _session(folder: Path) -> tuple[str | None, str]:
    date = re.compile(r"\d{4}-\d{2}-\d{2}")
    if date.fullmatch(folder.parent.name):
        subject = folder.parent.parent.name
        return subject, f"{subject}_{folder.parent.name}_{folder.name}"
    return None, folder.name


# Behaviour --------------------------------------------------------------------------------------


def _trials(files: AlfFiles) -> dict[str, Trials]:
    """Trials from all collections that hold some (task_00, task_01, ...), each a stream."""
    collections = sorted({c for c, o, _ in files.files if o == "trials"})
    if not collections:
        files.notes.append("trials: none")
    result = {}
    for collection in collections:
        table: Any = _trial_table(files, collection)
        if not {"start", "stop"} <= set(table):
            files.notes.append(f"trials: left out: no intervals; columns {list(table)}")
            continue
        start, stop = (table[name].to_numpy(np.float64) for name in ("start", "stop"))
        known = np.isfinite(start) & np.isfinite(stop) & (start <= stop)
        if not known.all():
            lost = int((~known).sum())
            files.notes.append(
                f"trials: {lost} of {len(table)} rows left out: start or stop not known, or stop "
                "before start"
            )
        single = len(collections) == 1
        result["trials" if single else f"trials/{Path(collection).name}"] = Trials(
            table.loc[known]
        )
    return result


def _trial_table(files: AlfFiles, collection: str) -> Any:
    table = files.load(collection, "trials", "table")
    columns = {} if table is None else {name: table[name].to_numpy() for name in table}
    for attribute in files.attributes(collection, "trials"):
        values = files.load(collection, "trials", attribute) if attribute != "table" else None
        if isinstance(values, np.ndarray) and values.ndim == 2 and values.shape[1] == 2:
            columns |= {f"{attribute}_{i}": values[:, i] for i in (0, 1)}
        elif isinstance(values, np.ndarray):
            columns.setdefault(attribute, np.ravel(values))
    lengths = [len(values) for values in columns.values()]
    usual = max(lengths, key=lengths.count, default=0) if table is None else len(table)
    for attribute in [name for name, values in columns.items() if len(values) != usual]:
        found = len(columns.pop(attribute))
        files.notes.append(f"trials.{attribute}: left out: {found} rows, not {usual}")
    frame: Any = pd.DataFrame({_trial_column(name): values for name, values in columns.items()})
    if {"contrast_left", "contrast_right"} <= set(frame):
        left, right = frame["contrast_left"], frame["contrast_right"]
        frame["contrast"] = (right.fillna(0) - left.fillna(0)).where(left.notna() | right.notna())
    first = [name for name in ("start", "stop") if name in frame]
    return frame[[*first, *(name for name in frame if name not in first)]]


def _trial_column(name: str) -> str:
    edges = {"intervals_0": "start", "intervals_1": "stop"}
    return edges.get(name) or snake(name.removesuffix("_times"))


def _wheel(files: AlfFiles) -> dict[str, Series]:
    found = files.collections("wheel", "position")
    if not found:
        files.notes.append("wheel: none")
        return {}
    position = files.numbers(found[0], "wheel", "position")
    times = files.numbers(found[0], "wheel", "timestamps")
    try:
        if position is None or times is None:
            raise DataError("position and timestamps are not both there")
        position = np.ravel(position)
        if times.shape == (2, 2):  # (sample, time) of the first and the last
            times = np.interp(np.arange(len(position)), times[:, 0], times[:, 1])
        times = np.ravel(times)
        if len(position) != len(times) or len(times) < 2:
            raise DataError(f"{len(position)} positions, but {len(times)} timestamps")
        if not (np.isfinite(times).all() and np.isfinite(position).all()):
            raise DataError("NaN among positions or timestamps")
        if (np.diff(times) < 0).any():
            raise DataError(f"timestamps run backwards {np.sum(np.diff(times) < 0)} times")
    except DataError as error:
        files.notes.append(f"wheel: left out: {error}")
        return {}
    # The encoder writes a sample only when the wheel turns: no gap means that it stood still.
    valid = Intervals(times[:1], times[-1:])
    half = SPEED_WINDOW / 2
    steady = np.arange(times[0] + half, times[-1] - half, 1 / SPEED_RATE)
    ahead, behind = (np.interp(steady + side, times, position) for side in (half, -half))
    velocity = (ahead - behind) / SPEED_WINDOW
    return {
        "wheel": Series(times, position, ("position",), "rad", valid),
        "wheel_velocity": Series(steady, velocity, ("velocity",), "rad/s", valid),
        "wheel_speed": Series(steady, np.abs(velocity), ("speed",), "rad/s", valid),
    }


def _licks(files: AlfFiles) -> dict[str, Spikes]:
    found = files.collections("licks", "times")
    times = files.numbers(found[0], "licks", "times") if found else None
    if times is None:
        return {}
    times, n = np.sort(np.ravel(times)), np.size(times)
    times = times[np.isfinite(times)]
    if len(times) < n:
        files.notes.append(f"licks: {n - len(times)} of {n} have no time")
    table = pd.DataFrame(index=["lick"])
    return {"licks": Spikes(times, np.zeros(len(times), int), table)}


def _cameras(files: AlfFiles) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for camera in ("left", "right", "body"):
        thing = f"{camera}Camera"
        found = files.collections(thing, "times")
        if not found:
            files.notes.append(f"{thing}: no times")
            continue
        times = files.numbers(found[0], thing, "times")
        if times is None:
            continue
        for name, stream in _camera_streams(files, thing):
            try:
                result[f"{camera}_camera{name}"] = _on_times(stream, np.ravel(times))
            except (DataError, VideoError) as error:
                files.notes.append(f"{thing}{name}: left out: {error}")
    return result


def _camera_streams(files: AlfFiles, thing: str) -> Iterator[tuple[str, Any]]:
    """(end of the stream's name, what was read) of one camera."""
    names = {
        "ROIMotionEnergy": "_motion_energy",
        "dlc": "_dlc",
        "lightningPose": "_lightning_pose",
        "features": "_features",
    }
    for attribute, name in names.items():
        for collection in files.collections(thing, attribute)[:1]:
            values = files.load(collection, thing, attribute)
            if values is not None:
                yield name, values
    for (_, camera, attribute), path in files.files.items():
        if camera == thing and attribute == "raw" and path.suffix == ".mp4":
            yield "", path


def _on_times(values: Any, times: np.ndarray) -> Any:
    if isinstance(values, Path):
        video = Video(values, times=times)
        video.times  # noqa: B018  the number of frames must be that of the times
        return video
    if len(values) != len(times):
        raise DataError(f"{len(values)} rows, but {len(times)} times of the camera")
    if isinstance(values, np.ndarray):
        return Series(times, values, unit="a.u.")
    points = [str(name).removesuffix("_x") for name in values if str(name).endswith("_x")]
    if not points or f"{points[0]}_y" not in values:
        numbers = values.select_dtypes("number")
        return Series(times, numbers.to_numpy(np.float64), tuple(numbers.columns))
    positions = np.stack([values[[f"{p}_x", f"{p}_y"]].to_numpy(float) for p in points], axis=1)
    sure = [f"{p}_likelihood" for p in points]
    confidence = values.reindex(columns=sure).to_numpy(float)
    return Keypoints(times, positions[:, None], confidence[:, None], tuple(points))
