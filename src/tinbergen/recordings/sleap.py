"""SLEAP: projects (``.slp``, ``.pkg.slp``) and analysis HDF5, read and written."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tinbergen.errors import DataError, MissingFileError
from tinbergen.files import atomic_write, ensure_output_folder
from tinbergen.recordings.deeplabcut import rows_to_times
from tinbergen.recordings.frames import FrameSource
from tinbergen.recordings.hdf5 import opened_hdf5
from tinbergen.recordings.keypoint_table import SINGLE
from tinbergen.recordings.keypoints import Keypoints
from tinbergen.recordings.labelled_frames import LabelledFrames
from tinbergen.recordings.sleap_file import (
    NO_TRACK,
    PREDICTED,
    USER,
    SleapInstances,
    read_sleap_file,
    write_sleap_file,
)
from tinbergen.recordings.video import Video

Times = FrameSource | np.ndarray | str | os.PathLike | None


def read_sleap(
    path: str | os.PathLike, times: Times = None, *, fps: float | None = None, video: int = 0
) -> Keypoints:
    """Read the tracked instances of one video in a SLEAP project.

    Individuals are the tracks; without tracks, the instances of a frame in their order. Where a
    frame has both a prediction and its correction by hand, the correction counts.

    Parameters
    ----------
    path
        The ``.slp``.
    times
        Time of each frame of the video, s: the video itself, numbers, or a sidecar file.
    fps
        Instead of ``times``: frame k is at k / fps s.
    video
        Its number in the project, from 0.

    Raises
    ------
    MissingFileError, DataError
        Naming the table that is not as it should be.
    """
    found = read_sleap_file(path, video)
    kept = _without_replaced(found)
    frames, names, who = _individuals(found, kept, Path(path))
    numbers = np.unique(frames)
    row = np.searchsorted(numbers, frames)
    positions = np.full((len(numbers), len(names), len(found.nodes), 2), np.nan)
    confidence = np.full(positions.shape[:3], np.nan)
    positions[row, who], confidence[row, who] = found.positions[kept], found.scores[kept]
    return Keypoints(
        times=rows_to_times(numbers, times, fps, Path(path)),
        positions=positions,
        confidence=confidence,
        keypoints=found.nodes,
        individuals=names,
    )


def _without_replaced(found: SleapInstances) -> np.ndarray:
    """Rows of the instances that count: no prediction that was corrected by hand since."""
    labelled = {
        (int(f), int(t))
        for f, t, kind in zip(found.frames, found.track, found.kinds, strict=True)
        if kind == USER and t != NO_TRACK
    }
    again = [
        kind == PREDICTED and (int(f), int(t)) in labelled
        for f, t, kind in zip(found.frames, found.track, found.kinds, strict=True)
    ]
    return np.flatnonzero(~(found.replaces | np.array(again, dtype=bool)))


def _individuals(
    found: SleapInstances, kept: np.ndarray, path: Path
) -> tuple[np.ndarray, tuple[str, ...], np.ndarray]:
    """Frame numbers, names, and the individual of each kept instance."""
    frames, track = found.frames[kept], found.track[kept]
    if not len(kept):
        raise DataError(f"{path}: holds no instance of this video.")
    if (track != NO_TRACK).all():
        used = np.unique(track)
        pairs = np.unique(np.stack([frames, track]), axis=1)
        if pairs.shape[1] != len(kept):
            twice = next(
                (int(f), int(t))
                for i, (f, t) in enumerate(zip(frames, track, strict=True))
                if ((frames[:i] == f) & (track[:i] == t)).any()
            )
            raise DataError(
                f"{path}: track {found.tracks[twice[1]]!r} stands twice in frame {twice[0]}; "
                "correct it in SLEAP."
            )
        names = tuple(found.tracks[int(number)] for number in used)
        return frames, names, np.searchsorted(used, track)
    order = np.zeros(len(kept), dtype=int)
    seen: dict[int, int] = {}
    for row, frame in enumerate(frames.tolist()):
        order[row] = seen.get(frame, 0)
        seen[frame] = order[row] + 1
    most = int(order.max()) + 1
    return frames, (SINGLE,) if most == 1 else tuple(f"instance{i}" for i in range(most)), order


def write_sleap(
    path: str | os.PathLike,
    keypoints: Keypoints,
    video: str | os.PathLike,
    *,
    edges: Sequence[tuple[str, str]] = (),
) -> None:
    """Write keypoints as a SLEAP project of predictions: a track an individual.

    Rows are frames 0, 1, ... of ``video``; times are not part of this format. Positions read back
    to the last bit.

    Parameters
    ----------
    video
        The video file, as SLEAP is to find it.
    edges
        Pairs of keypoints that are joined when drawn.
    """
    positions = keypoints.positions[..., :2]
    there = np.isfinite(positions).all(axis=-1).any(axis=-1)
    frames, who = np.nonzero(there)
    several = tuple(keypoints.individuals) != (SINGLE,)
    write_sleap_file(
        path,
        SleapInstances(
            nodes=keypoints.keypoints,
            tracks=keypoints.individuals if several else (),
            video={"filename": os.fspath(video), "grayscale": False, "bgr": True},
            frames=frames.astype(np.int64),
            kinds=np.full(len(frames), PREDICTED),
            track=who if several else np.full(len(frames), NO_TRACK),
            replaces=np.zeros(len(frames), dtype=bool),
            positions=positions[frames, who],
            scores=keypoints.confidence[frames, who],
        ),
        edges,
    )


def read_sleap_labels(
    path: str | os.PathLike, images: str | os.PathLike, *, video: int = 0
) -> LabelledFrames:
    """Read what was labelled by hand in a SLEAP project, with its frames as images.

    Parameters
    ----------
    path
        The ``.slp`` or ``.pkg.slp``.
    images
        Folder for the frames, as PNG; made if need be, and what is there already is kept. A
        package holds its frames; else they are decoded from the video, which is looked for where
        the project says, then beside it. Image sequences are named where they lie.
    video
        Its number in the project, from 0.

    Raises
    ------
    MissingFileError
        If the video cannot be found.
    DataError
        If nothing was labelled by hand.
    """
    path = Path(path)
    found = read_sleap_file(path, video)
    kept = np.flatnonzero(found.kinds == USER)
    if not len(kept):
        raise DataError(
            f"{path}: nothing in this video was labelled by hand; predictions are read with "
            "read_sleap."
        )
    frames, names, who = _individuals(found, kept, path)
    numbers = np.unique(frames)
    row = np.searchsorted(numbers, frames)
    positions = np.full((len(numbers), len(names), len(found.nodes), 2), np.nan)
    positions[row, who] = found.positions[kept]
    return LabelledFrames(
        images=tuple(_frame_images(path, found.video, numbers, Path(images), video)),
        keypoints=found.nodes,
        individuals=names,
        positions=positions,
        visible=np.asarray(np.isfinite(positions).all(axis=-1)),
    )


def _frame_images(
    path: Path, backend: dict[str, Any], numbers: np.ndarray, folder: Path, video: int
) -> list[Path]:
    if "filenames" in backend:
        names = backend["filenames"]
        return [_beside(path, names[int(number)]) for number in numbers]
    ensure_output_folder(folder)
    targets = [folder / f"img{int(number):08d}.png" for number in numbers]
    if all(target.is_file() for target in targets):
        return targets
    embedded = _embedded(path, video)
    source = None if embedded else Video(_beside(path, str(backend.get("filename", ""))))
    for number, target in zip(numbers.tolist(), targets, strict=True):
        if embedded is not None:
            if number not in embedded:
                raise DataError(f"{path}: the package lacks the labelled frame {number}.")
            image = embedded[number]
        elif source is not None:
            image = cv2.cvtColor(source.frame(number), cv2.COLOR_RGB2BGR)
        with atomic_write(target, "wb") as file:
            file.write(cv2.imencode(".png", image)[1].tobytes())
    return targets


def _beside(path: Path, name: str) -> Path:
    """Find a file where the project says, or of that name beside the project."""
    for candidate in (Path(name), path.parent / name, path.parent / name.replace("\\", "/")):
        if name and candidate.is_file():
            return candidate
    beside = path.parent / name.replace("\\", "/").rsplit("/", 1)[-1]
    if name and beside.is_file():
        return beside
    raise MissingFileError(
        f"{path} was labelled on {name or 'a video without a name'}, which is neither there nor "
        f"beside the project ({path.parent}). Copy it there."
    )


def _embedded(path: Path, video: int) -> dict[int, np.ndarray] | None:
    """Frames that a package holds: number -> image, BGR or gray; None if it is none."""
    with opened_hdf5(path, "a SLEAP project") as file:
        group: Any = file.get(f"video{video}")
        if group is None or "video" not in group:
            return None
        data = group["video"]
        numbers = group["frame_numbers"][:] if "frame_numbers" in group else range(len(data))
        images = {}
        for place, number in enumerate(numbers):
            value = data[place]
            if value.ndim >= 2:
                images[int(number)] = value
                continue
            raw = np.asarray(value).view(np.uint8)
            image = cv2.imdecode(raw, cv2.IMREAD_UNCHANGED)
            if image is None:
                raise DataError(f"{path}: the image of frame {int(number)} is damaged.")
            images[int(number)] = image
    return images


def write_sleap_labels(
    path: str | os.PathLike,
    frames: LabelledFrames,
    *,
    edges: Sequence[tuple[str, str]] = (),
) -> None:
    """Write labelled frames as a SLEAP project on an image sequence."""
    there = np.isfinite(frames.positions).all(axis=-1).any(axis=-1)
    rows, who = np.nonzero(there)
    several = tuple(frames.individuals) != (SINGLE,)
    names = [os.fspath(image) for image in frames.images]
    write_sleap_file(
        path,
        SleapInstances(
            nodes=frames.keypoints,
            tracks=frames.individuals if several else (),
            video={"type": "ImageVideo", "filename": names[0], "filenames": names},
            frames=rows.astype(np.int64),
            kinds=np.full(len(rows), USER),
            track=who if several else np.full(len(rows), NO_TRACK),
            replaces=np.zeros(len(rows), dtype=bool),
            positions=frames.positions[rows, who],
            scores=np.full((len(rows), len(frames.keypoints)), np.nan),
        ),
        edges,
    )


def read_sleap_analysis(
    path: str | os.PathLike, times: Times = None, *, fps: float | None = None
) -> Keypoints:
    """Read SLEAP's analysis HDF5: ``tracks`` (track, 2, node, frame) and its scores.

    For ``times`` and ``fps`` see :func:`read_sleap`.

    Raises
    ------
    MissingFileError, DataError
    """
    path = Path(path)
    with opened_hdf5(path, "a SLEAP analysis HDF5") as file:
        missing = [name for name in ("tracks", "node_names") if name not in file]
        if missing:
            raise DataError(
                f"{path}: expected 'tracks' and 'node_names' of a SLEAP analysis file, found "
                f"no {missing[0]!r}. A project is read with read_sleap."
            )
        tracks = np.asarray(file["tracks"], dtype=float)
        nodes = _texts(file["node_names"])
        names = _texts(file["track_names"]) if "track_names" in file else ()
        scores = np.asarray(file["point_scores"]) if "point_scores" in file else None
    if tracks.ndim != 4 or tracks.shape[1:3] != (2, len(nodes)):
        raise DataError(
            f"{path}, tracks: expected (track, 2, {len(nodes)}, frame), found {tracks.shape}. "
            "Was it written with transposed axes?"
        )
    n_tracks, _, _, n_frames = tracks.shape
    whole = scores is not None and scores.shape == (n_tracks, len(nodes), n_frames)
    return Keypoints(
        times=rows_to_times(np.arange(n_frames), times, fps, path),
        positions=tracks.transpose(3, 0, 2, 1),
        confidence=scores.transpose(2, 0, 1) if whole else None,  # type: ignore[union-attr]
        keypoints=nodes,
        individuals=names or ((SINGLE,) if n_tracks == 1 else _numbered(n_tracks)),
    )


def _texts(data: Any) -> tuple[str, ...]:
    return tuple(v.decode() if isinstance(v, bytes) else str(v) for v in data[:].tolist())


def _numbered(n: int) -> tuple[str, ...]:
    return tuple(f"track_{i}" for i in range(n))


def write_sleap_analysis(
    path: str | os.PathLike, keypoints: Keypoints, video: str | os.PathLike = ""
) -> None:
    """Write keypoints as SLEAP's analysis HDF5, with its (MATLAB) order of axes."""
    import h5py

    positions = keypoints.positions[..., :2].transpose(1, 3, 2, 0)
    scores = keypoints.confidence.transpose(1, 2, 0)
    there = np.asarray(np.isfinite(positions).all(axis=1)).any(axis=1)
    known = np.isfinite(scores)
    mean = np.where(known, scores, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    with atomic_write(path, "w+b") as stream, h5py.File(stream, "w") as file:
        file["tracks"] = positions
        file["track_occupancy"] = there.T.astype(np.uint8)
        file["point_scores"] = scores
        file["instance_scores"] = np.where(known.any(axis=1), mean, np.nan)
        file["tracking_scores"] = np.full(there.shape, np.nan)
        file["node_names"] = np.array([np.bytes_(name.encode()) for name in keypoints.keypoints])
        names = [np.bytes_(name.encode()) for name in keypoints.individuals]
        file["track_names"] = np.array(names)
        file["video_path"] = os.fspath(video)
        file["provenance"] = json.dumps({"writer": "tinbergen"})
