"""Writing recordings, and what was computed from them, as NWB files."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tinbergen.errors import DataError
from tinbergen.recordings import nwb_file as nwb
from tinbergen.recordings.frames import FrameSource
from tinbergen.recordings.intervals import Intervals
from tinbergen.recordings.keypoints import Keypoints
from tinbergen.recordings.labels import Labels
from tinbergen.recordings.nwb_hdf5 import SCRATCH
from tinbergen.recordings.nwb_ophys import add_traces
from tinbergen.recordings.recording import Recording
from tinbergen.recordings.series import Series
from tinbergen.recordings.spikes import Spikes
from tinbergen.recordings.trials import Trials
from tinbergen.recordings.video import Video

_MODULES = {
    "behavior": "Behaviour: signals, features and tracked body parts",
    "ecephys": "Spikes of further streams",
    "predictions": "What models predicted",
}
_UNIT_COLUMNS = (
    "id",
    "spike_times",
    "obs_intervals",
    "electrodes",
    "electrode_group",
    "waveforms",
)
_TRIAL_COLUMNS = ("id", "start_time", "stop_time", "tags", "timeseries", "start", "stop", "table")


def write_nwb(
    path: str | os.PathLike,
    recording: Recording,
    *,
    predictions: Mapping[str, Any] | None = None,
    session_start: datetime | None = None,
    description: str = "",
    identifier: str | None = None,
    subject: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a recording as an NWB file that pynwb and pynapple open, and ``read_nwb`` reads back.

    =======================  =====================================================================
    Stream                   In the file
    =======================  =====================================================================
    :class:`Spikes`          units, with the table's columns and ``obs_intervals``
    :class:`Trials`          ``trials`` or, under other names, TimeIntervals
    :class:`Labels`          TimeIntervals with label and individual; an empty label: observed
    :class:`Series`          TimeSeries in the module ``behavior``, with a table of its channels
    the same in dF/F         RoiResponseSeries in DfOverF, with a table of its cells
    :class:`Keypoints`       PoseEstimation of ndx-pose with confidence, one per individual
    :class:`Video`           ImageSeries that names the file by its path from here
    other frames             ImageSeries that holds the frames
    =======================  =====================================================================

    What NWB has no field for (valid intervals of signals, all classes of labels, names with a
    slash) is kept as JSON in ``/scratch/tinbergen``. Unknown text in tables becomes empty text.

    Parameters
    ----------
    path
        New file.
    predictions
        Name -> stream, for example predicted rates ``Series(bin starts, (bin, unit))`` or decoded
        traces, for the module ``predictions``; read back as ``predictions/<name>``.
    session_start
        With a time zone: what time 0 s stands for; default: 1970-01-01 UTC.
    description, identifier
        Of the session; default: the recording's name, and a random UUID.
    subject
        Fields of ``pynwb.file.Subject`` (species, age, sex, ...).
    metadata
        Other fields of ``pynwb.NWBFile`` (experimenter, lab, institution, session_id, ...).
    overwrite
        Replace the file if it exists.

    Raises
    ------
    DataError
        If pynwb or ndx-pose is not installed; if a video is a clip, which no file name expresses;
        if a field is not known to NWB.
    OutputError
        If ``path`` exists.
    """
    path = Path(path)
    nwb.refuse_existing(path, overwrite)
    file = nwb.new_file(
        description or f"Recording {recording.name}",
        identifier or str(uuid.uuid4()),
        session_start,
        metadata,
    )
    about = dict(subject or {})
    if recording.subject is not None:
        about.setdefault("subject_id", recording.subject)
    if about:
        try:
            file.subject = nwb.pynwb().file.Subject(**about)
        except TypeError as error:
            raise DataError(f"The subject is not what NWB knows: {error}") from error
    extra = {f"predictions/{name}": stream for name, stream in (predictions or {}).items()}
    streams = {**recording.streams, **extra}
    writer = _Writer(file, path)
    notes = {name: writer.add(name, stream) for name, stream in streams.items()}
    _add_scratch(file, {"schema_version": 1, "streams": notes, "notes": list(recording.notes)})
    nwb.save(file, path, sum(map(_n_bytes, streams.values())))


def _add_scratch(file: Any, notes: dict[str, Any]) -> None:
    file.add_scratch(
        json.dumps(notes, ensure_ascii=False),
        name=Path(SCRATCH).name,
        description="Written by Tinbergen: what its streams need to be read back exactly",
    )


def _n_bytes(stream: Any) -> int:
    if isinstance(stream, Series):
        return stream.values.nbytes + stream.times.nbytes
    if isinstance(stream, Keypoints):
        return 2 * stream.positions.nbytes
    if isinstance(stream, Video):
        return 8 * stream.n_frames
    if isinstance(stream, FrameSource):
        return stream.n_frames * stream.height * stream.width * stream.channels
    return 1000 * len(stream.table) + (8 * len(stream) if isinstance(stream, Spikes) else 0)


class _Writer:
    """Puts streams into an ``NWBFile``; each method returns what reading back needs to know."""

    def __init__(self, file: Any, path: Path):
        self.file = file
        self.path = path
        self.intervals: list[str] = []

    def add(self, name: str, stream: Any) -> dict[str, Any]:
        kinds: dict[Any, Callable[[str, Any], dict[str, Any]]] = {
            Spikes: self._spikes,
            Trials: self._trials,
            Labels: self._labels,
            Series: self._series,
            Keypoints: self._keypoints,
            FrameSource: self._frames,
        }
        for kind, add in kinds.items():
            if isinstance(stream, kind):
                return add(name, stream)
        raise DataError(f"Stream {name!r}: a {type(stream).__name__} cannot be written as NWB.")

    def _module(self, name: str, default: str) -> tuple[Any, str]:
        """Return the processing module for a stream, and a free name in it."""
        predicted = name.startswith("predictions/")
        module = "predictions" if predicted else default
        if module not in self.file.processing:
            self.file.create_processing_module(module, _MODULES[module])
        holder = self.file.processing[module]
        plain = name.removeprefix("predictions/") if predicted else name
        return holder, nwb.object_name(plain, list(holder.data_interfaces))

    def _spikes(self, name: str, spikes: Spikes) -> dict[str, Any]:
        pynwb = nwb.pynwb()
        table = spikes.table
        ids = table.index.to_numpy()
        numbered = ids.dtype.kind in "iu"
        if not numbered:
            table = table.assign(**{_free("unit_name", table): [str(each) for each in ids]})
        columns, own = nwb.table_columns(table, _UNIT_COLUMNS)
        order = np.argsort(spikes.units, kind="stable")
        ends = np.cumsum(np.bincount(spikes.units, minlength=len(table)))
        pairs = np.stack([spikes.valid.starts, spikes.valid.stops], axis=1)
        observed = np.tile(pairs, (len(table), 1))
        columns += _ragged("spike_times", "s", spikes.times[order], ends)
        ends = np.arange(1, len(table) + 1) * len(pairs)
        columns += _ragged("obs_intervals", "s", observed, ends)
        first = self.file.units is None and not name.startswith("predictions/")
        module, free = (None, "units") if first else self._module(name, "ecephys")
        units = pynwb.misc.Units(
            name=free,
            description=f"Units of {name}",
            columns=columns,
            id=np.asarray(ids if numbered else range(len(ids)), np.int64),
        )
        if module is None:
            self.file.units = units
        else:
            module.add(units)
        path = free if module is None else f"processing/{module.name}/{free}"
        ids_in = None if numbered else own["order"].pop()
        return own | {"kind": "spikes", "path": path, "ids": ids_in, "valid": pairs.tolist()}

    def _trials(self, name: str, trials: Trials) -> dict[str, Any]:
        rest = trials.table.drop(columns=["start", "stop"])
        columns, own = nwb.table_columns(rest, _TRIAL_COLUMNS)
        own["order"] = [str(column) for column in trials.table]
        path = self._add_intervals(name, trials.table, columns, f"Trials: {name}")
        return own | {"kind": "trials", "path": path}

    def _labels(self, name: str, labels: Labels) -> dict[str, Any]:
        quiet = labels.observed - Intervals(labels.table["start"], labels.table["stop"])
        empty = pd.DataFrame({"start": quiet.starts, "stop": quiet.stops})
        rows = [labels.table, empty.assign(label="", individual="")]
        both: Any = pd.concat([part for part in rows if len(part)] or rows[:1])
        table = both.sort_values("start", kind="stable")
        columns, _ = nwb.table_columns(table[["label", "individual"]], _TRIAL_COLUMNS)
        text = "Behaviour; an empty label: somebody looked and saw none of the classes"
        path = self._add_intervals(name, table, columns, text)
        return {"kind": "labels", "path": path, "classes": list(labels.classes)}

    def _add_intervals(self, name: str, table: pd.DataFrame, columns: list, text: str) -> str:
        free = nwb.object_name(name, self.intervals)
        self.intervals.append(free)
        make = nwb.pynwb().epoch.TimeIntervals
        from hdmf.common import VectorData

        column: Any = VectorData
        times = [
            column(name=f"{edge}_time", description="s", data=table[edge].to_numpy(np.float64))
            for edge in ("start", "stop")
        ]
        intervals = make(
            name=free, description=text, columns=[*times, *columns], id=np.arange(len(table))
        )
        special = {"trials": "trials", "epochs": "epochs", "invalid_times": "invalid_times"}
        if free in special:
            setattr(self.file, special[free], intervals)
        else:
            self.file.add_time_intervals(intervals)
        return f"intervals/{free}"

    def _series(self, name: str, series: Series) -> dict[str, Any]:
        values = series.values
        own: dict[str, Any] = {"kind": "series", "unit": series.unit, "valid": _pairs(series)}
        if values.dtype in (np.dtype(bool), np.dtype(np.float16)):
            own["dtype"] = str(values.dtype)
            values = values.astype(np.uint8 if values.dtype == bool else np.float32)
        traces = series.unit == "dF/F" and not name.startswith("predictions/")
        known = series.table is not None or series.channels != _default(values.shape[1])
        columns: list[Any] = []
        if known or traces:
            columns, facts = nwb.channel_columns(series)
            own |= facts | {"has_table": series.table is not None}
        if traces:
            path, table = add_traces(self.file, name, series, values, columns)
            return own | {"path": path, "table": table}
        module, free = self._module(name, "behavior")
        shown = ", ".join(series.channels[:20])
        text = f"Channels: {shown}{' ...' if len(series.channels) > 20 else ''}"
        module.add(nwb.time_series(free, values, series.times, series.unit, text))
        place = f"processing/{module.name}"
        if known:
            own["table"] = f"{place}/{self._table(module, f'{free}_channels', columns)}"
        return own | {"path": f"{place}/{free}"}

    def _table(self, module: Any, name: str, columns: list) -> str:
        from hdmf.common import DynamicTable

        make: Any = DynamicTable
        free = nwb.object_name(name, list(module.data_interfaces))
        text = "A row for each column of the series' data"
        rows = np.arange(len(columns[0].data))
        module.add(make(name=free, description=text, columns=columns, id=rows))
        return free

    def _keypoints(self, name: str, keypoints: Keypoints) -> dict[str, Any]:
        try:
            import ndx_pose
        except ImportError as error:
            raise DataError(
                f"Stream {name!r}: keypoints in NWB need ndx-pose, which is not installed: "
                "pip install 'tinbergen[nwb]'."
            ) from error
        pose: Any = ndx_pose
        module, _ = self._module(name, "behavior")
        if "Skeletons" not in module.data_interfaces:
            module.add(pose.Skeletons(name="Skeletons"))
        skeletons = module["Skeletons"]
        parts: list[str] = []
        for part in keypoints.keypoints:
            parts.append(nwb.object_name(part, parts))
        skeleton = pose.Skeleton(
            name=nwb.object_name(name.split("/")[-1], list(skeletons.skeletons)), nodes=parts
        )
        skeletons.add_skeletons(skeleton)
        paths = []
        for who, individual in enumerate(keypoints.individuals):
            several = len(keypoints.individuals) > 1
            _, free = self._module(f"{name}_{individual}" if several else name, "behavior")
            series: list[Any] = []
            for k, part in enumerate(parts):
                series.append(
                    pose.PoseEstimationSeries(
                        name=part,
                        data=keypoints.positions[:, who, k],
                        reference_frame="(0, 0) is the top left corner of the image",
                        unit={"px": "pixels"}.get(keypoints.unit, keypoints.unit),
                        confidence=keypoints.confidence[:, who, k],
                        timestamps=series[0] if series else keypoints.times,
                    )
                )
            module.add(
                pose.PoseEstimation(
                    name=free,
                    pose_estimation_series=series,
                    description=f"Tracked body parts of {individual}; NaN: not seen",
                    skeleton=skeleton,
                )
            )
            paths.append(f"processing/{module.name}/{free}")
        return {
            "kind": "keypoints",
            "paths": paths,
            "keypoints": list(keypoints.keypoints),
            "individuals": list(keypoints.individuals),
            "unit": keypoints.unit,
            "valid": _pairs(keypoints),
        }

    def _frames(self, name: str, film: FrameSource) -> dict[str, Any]:
        make = nwb.pynwb().image.ImageSeries
        free = nwb.object_name(name, list(self.file.acquisition))
        facts: dict[str, Any] = {"name": free, "unit": "n.a.", "timestamps": np.array(film.times)}
        if isinstance(film, Video):
            if film.is_clip:
                raise DataError(
                    f"Stream {name!r} is a clip of {film.path}; NWB can name whole files only. "
                    "Write the whole recording, or leave the video out with recording.only(...)."
                )
            where = os.path.relpath(film.path.absolute(), self.path.absolute().parent)
            file = Path(where).as_posix()
            facts |= {"external_file": [file], "format": "external", "starting_frame": [0]}
        else:
            from hdmf.data_utils import DataChunkIterator

            chunks: Any = DataChunkIterator
            shape = (film.n_frames, film.height, film.width) + (() if film.gray else (3,))
            facts["data"] = chunks(
                data=_images(film), buffer_size=32, maxshape=shape, dtype=np.dtype(np.uint8)
            )
        self.file.add_acquisition(make(**facts))
        return {"kind": "film", "path": f"acquisition/{free}"}


def _images(film: FrameSource) -> Iterator[np.ndarray]:
    for batch in film.iterate():
        if not batch.ok.all():
            bad = int(batch.indices[~batch.ok][0])
            raise DataError(f"{film.path}: frame {bad} cannot be decoded, so it is not exported.")
        yield from batch.frames


def _ragged(name: str, description: str, values: np.ndarray, ends: np.ndarray) -> list[Any]:
    from hdmf.common import VectorData, VectorIndex

    column: Any = VectorData
    index: Any = VectorIndex
    data = column(name=name, description=description, data=values)
    return [data, index(name=f"{name}_index", target=data, data=ends)]


def _pairs(stream: Any) -> list[list[float]]:
    return np.stack([stream.valid.starts, stream.valid.stops], axis=1).tolist()


def _default(n: int) -> tuple[str, ...]:
    return tuple(map(str, range(n)))


def _free(name: str, table: pd.DataFrame) -> str:
    return nwb.object_name(name, [str(column) for column in table])
