"""The tables of a SLEAP project (``.slp``, HDF5): read strictly, and written as SLEAP has them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinbergen.errors import DataError
from tinbergen.files import atomic_write
from tinbergen.recordings.hdf5 import opened_hdf5

USER, PREDICTED = 0, 1
NO_TRACK = -1
_FORMAT = 1.2
_FRAMES = np.dtype(
    [
        *(("frame_id", "<u8"), ("video", "<u4"), ("frame_idx", "<u8")),
        *(("instance_id_start", "<u8"), ("instance_id_end", "<u8")),
    ]
)
_INSTANCES = np.dtype(
    [
        *(("instance_id", "<i8"), ("instance_type", "u1"), ("frame_id", "<u8")),
        *(("skeleton", "<u4"), ("track", "<i4"), ("from_predicted", "<i8"), ("score", "<f4")),
        *(("point_id_start", "<u8"), ("point_id_end", "<u8"), ("tracking_score", "<f4")),
    ]
)
_POINTS = np.dtype([("x", "<f8"), ("y", "<f8"), ("visible", "?"), ("complete", "?")])
_PREDICTED_POINTS = np.dtype([*_POINTS.descr, ("score", "<f8")])
_NEEDED = ("metadata", "frames", "instances", "points", "pred_points", "videos_json")


@dataclass(frozen=True, eq=False)
class SleapInstances:
    """All instances of one video in a project.

    Attributes
    ----------
    nodes, tracks
        Names.
    video
        What the file says of the video: its ``backend``.
    frames
        ``(n,)`` int64, frame number of each instance.
    kinds
        ``(n,)`` 0 labelled by hand, 1 predicted.
    track
        ``(n,)`` number of the track, -1 without.
    replaces
        ``(n,)`` bool: a prediction that was corrected by hand since.
    positions
        ``(n, node, 2)`` px, pixel centres; NaN where not visible.
    scores
        ``(n, node)``, NaN for labels.
    """

    nodes: tuple[str, ...]
    tracks: tuple[str, ...]
    video: dict[str, Any]
    frames: np.ndarray
    kinds: np.ndarray
    track: np.ndarray
    replaces: np.ndarray
    positions: np.ndarray
    scores: np.ndarray


def read_sleap_file(path: str | os.PathLike, video: int = 0) -> SleapInstances:
    """Read the instances of one video.

    Parameters
    ----------
    video
        Its number in the project, from 0.

    Raises
    ------
    MissingFileError
        If there is no such file.
    DataError
        Naming the table that is not as it should be.
    """
    path = Path(path)
    with opened_hdf5(path, "a SLEAP project") as file:
        missing = [name for name in _NEEDED if name not in file]
        if missing:
            raise DataError(
                f"{path}: expected the tables of a SLEAP project, found no {missing[0]!r} "
                f"(there are {', '.join(list(file)[:8])}). An analysis HDF5 is read with "
                "read_sleap_analysis."
            )
        attributes: dict[str, Any] = dict(file["metadata"].attrs)
        tables: dict[str, np.ndarray] = {name: file[name][:] for name in _NEEDED[1:]}  # type: ignore
        tracks: Any = file["tracks_json"][:] if "tracks_json" in file else []  # type: ignore
    try:
        metadata = json.loads(attributes["json"])
        version = float(attributes["format_id"])
        videos = [json.loads(text) for text in tables["videos_json"]]
        names = tuple(str(_track_name(json.loads(text))) for text in tracks)
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path}: its metadata cannot be read: {error!r}.") from error
    if not 0 <= video < len(videos):
        raise DataError(f"{path} has {len(videos)} videos (from 0); asked for number {video}.")
    _check(tables, path)
    return _of_video(tables, metadata, names, videos[video], version, video, path)


def _track_name(entry: Any) -> Any:
    """Tracks are stored as [first frame, name]; newer files may keep a mapping."""
    return entry["name"] if isinstance(entry, dict) else entry[1]


def _check(tables: dict[str, np.ndarray], path: Path) -> None:
    needed = {"frames": _FRAMES, "instances": _INSTANCES, "points": _POINTS}
    for name, kind in {**needed, "pred_points": _PREDICTED_POINTS}.items():
        names = tables[name].dtype.names or ()
        for column in kind.names or ():
            # tracking_score came with format 1.2.
            if column not in names and column != "tracking_score":
                raise DataError(
                    f"{path}, {name}: expected a column {column!r}, found {', '.join(names)}."
                )
    for kind, name in ((USER, "points"), (PREDICTED, "pred_points")):
        chosen = tables["instances"][tables["instances"]["instance_type"] == kind]
        if len(chosen) and int(chosen["point_id_end"].max()) > len(tables[name]):
            raise DataError(
                f"{path}, instances: rows up to {int(chosen['point_id_end'].max())} of {name} are "
                f"named, but it has {len(tables[name])}. The file is cut off; save it again."
            )


def _check_ranges(frames: np.ndarray, instances: np.ndarray, rows: np.ndarray, path: Path) -> None:
    """See that frames name the instances that name them: one of the two may be damaged."""
    starts = frames["instance_id_start"].astype(np.int64)
    counts = frames["instance_id_end"].astype(np.int64) - starts
    agree = bool(((counts >= 0) & (counts <= len(rows))).all()) and counts.sum() == len(rows)
    if agree:
        inside = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        named = np.repeat(starts, counts) + inside
        agree = bool((np.sort(named) == rows).all()) and bool(
            (instances["frame_id"][named] == np.repeat(frames["frame_id"], counts)).all()
        )
    if not agree:
        raise DataError(
            f"{path}: the tables 'frames' and 'instances' contradict each other about which "
            "instances are in which frame. The file is damaged; save it again with SLEAP."
        )


def _node_names(metadata: dict[str, Any], path: Path) -> tuple[str, ...]:
    skeletons = metadata.get("skeletons", [])
    if len(skeletons) != 1:
        raise DataError(
            f"{path}: expected one skeleton, found {len(skeletons)}. Keep one a project."
        )
    names = [node["name"] if isinstance(node, dict) else node for node in metadata["nodes"]]
    ids = [node["id"] for node in skeletons[0]["nodes"]]
    if not all(isinstance(number, int) and 0 <= number < len(names) for number in ids):
        raise DataError(f"{path}: the nodes of its skeleton are not numbers of its node list.")
    return tuple(str(names[number]) for number in ids)


def _of_video(
    tables: dict[str, np.ndarray],
    metadata: dict[str, Any],
    tracks: tuple[str, ...],
    video: dict[str, Any],
    version: float,
    number: int,
    path: Path,
) -> SleapInstances:
    nodes = _node_names(metadata, path)
    frames, instances = tables["frames"], tables["instances"]
    which = frames["video"] == number
    ids, numbers = frames["frame_id"][which].tolist(), frames["frame_idx"][which].tolist()
    index_of = dict(zip(ids, numbers, strict=True))
    if not len(ids) == len(index_of) == len(set(numbers)):
        raise DataError(
            f"{path}, frames: {len(ids)} rows are of {len(set(numbers))} frames of the video and "
            f"have {len(index_of)} ids; expected one row a frame. The table is damaged."
        )
    owners = instances["frame_id"].tolist()
    rows = np.array([row for row, owner in enumerate(owners) if owner in index_of], dtype=int)
    _check_ranges(frames[which], instances, rows, path)
    chosen = instances[rows]
    positions = np.full((len(rows), len(nodes), 2), np.nan)
    scores = np.full((len(rows), len(nodes)), np.nan)
    corner = 0.5 if version < 1.1 else 0.0  # 1.0 counted from the corner of the first pixel
    for row, instance in enumerate(chosen):
        name = "points" if instance["instance_type"] == USER else "pred_points"
        points = tables[name][int(instance["point_id_start"]) : int(instance["point_id_end"])]
        if len(points) != len(nodes):
            raise DataError(
                f"{path}, instance {int(instance['instance_id'])}: expected {len(nodes)} points, "
                f"found {len(points)}."
            )
        seen = points["visible"]
        positions[row, seen, 0] = points["x"][seen] - corner
        positions[row, seen, 1] = points["y"][seen] - corner
        if name == "pred_points":
            scores[row] = np.where(seen, points["score"], np.nan)
    corrected = set(chosen["from_predicted"][chosen["from_predicted"] >= 0].tolist())
    return SleapInstances(
        nodes=nodes,
        tracks=tracks,
        video=video.get("backend", video),
        frames=np.array([index_of[f] for f in chosen["frame_id"].tolist()], dtype=np.int64),
        kinds=chosen["instance_type"].astype(int),
        track=chosen["track"].astype(int),
        replaces=np.array([int(i) in corrected for i in chosen["instance_id"]], dtype=bool),
        positions=positions,
        scores=scores,
    )


def write_sleap_file(
    path: str | os.PathLike,
    instances: SleapInstances,
    edges: Sequence[tuple[str, str]] = (),
) -> None:
    """Write a project of one video; the instances must be sorted by frame.

    Positions and scores read back to the last bit.
    """
    import h5py

    frames, starts = np.unique(instances.frames, return_index=True)
    ends = np.append(starts[1:], len(instances.frames))
    frame_table = np.zeros(len(frames), _FRAMES)
    frame_table["frame_id"] = np.arange(len(frames))
    frame_table["frame_idx"] = frames
    frame_table["instance_id_start"], frame_table["instance_id_end"] = starts, ends
    rows = np.zeros(len(instances.frames), _INSTANCES)
    rows["instance_id"] = np.arange(len(rows))
    rows["instance_type"] = instances.kinds
    rows["frame_id"] = np.searchsorted(frames, instances.frames)
    rows["track"], rows["from_predicted"] = instances.track, -1
    rows["score"] = _mean_scores(instances)
    n = len(instances.nodes)
    tables = {"frames": frame_table, "instances": rows}
    for kind, name, dtype in (
        (USER, "points", _POINTS),
        (PREDICTED, "pred_points", _PREDICTED_POINTS),
    ):
        chosen = np.flatnonzero(instances.kinds == kind)
        rows["point_id_start"][chosen] = np.arange(len(chosen)) * n
        rows["point_id_end"][chosen] = (np.arange(len(chosen)) + 1) * n
        points = np.zeros(len(chosen) * n, dtype)
        flat = instances.positions[chosen].reshape(-1, 2)
        points["x"], points["y"] = flat[:, 0], flat[:, 1]
        points["visible"] = np.isfinite(flat).all(axis=1)
        if kind == PREDICTED:
            points["score"] = np.nan_to_num(instances.scores[chosen]).ravel()
        tables[name] = points
    with atomic_write(path, "w+b") as stream, h5py.File(stream, "w") as file:
        metadata = file.create_group("metadata")
        metadata.attrs["format_id"] = _FORMAT
        metadata.attrs["json"] = np.bytes_(json.dumps(_metadata(instances.nodes, edges)))
        for name, table in tables.items():
            file.create_dataset(name, data=table, maxshape=(None,))
        texts = {
            "videos_json": [json.dumps({"backend": instances.video})],
            "tracks_json": [json.dumps([0, track]) for track in instances.tracks],
            "suggestions_json": [],
        }
        for name, lines in texts.items():
            data = np.array([np.bytes_(line) for line in lines], dtype="S") if lines else []
            file.create_dataset(name, data=data, maxshape=(None,))


def _mean_scores(instances: SleapInstances) -> np.ndarray:
    known = np.isfinite(instances.scores)
    total = np.where(known, instances.scores, 0).sum(axis=1)
    return np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan)


def _metadata(nodes: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return what SLEAP keeps as JSON; edges as its (jsonpickle) graph has them."""
    places = {name: i for i, name in enumerate(nodes)}
    kind = {"py/reduce": [{"py/type": "sleap.skeleton.EdgeType"}, {"py/tuple": [1]}]}
    links = [
        {
            "edge_insert_idx": number,
            "key": 0,
            "source": places[source],
            "target": places[target],
            "type": kind if number == 0 else {"py/id": 1},
        }
        for number, (source, target) in enumerate(edges)
    ]
    skeleton = {
        "directed": True,
        "graph": {"name": "Skeleton-0", "num_edges_inserted": len(links)},
        "links": links,
        "multigraph": True,
        "nodes": [{"id": i} for i in range(len(nodes))],
    }
    return {
        "version": "2.0.0",
        "skeletons": [skeleton],
        "nodes": [{"name": name, "weight": 1.0} for name in nodes],
        "videos": [],
        "tracks": [],
        "suggestions": [],
        "negative_anchors": {},
        "provenance": {"writer": "tinbergen"},
    }
