"""From one format of keypoints to another, by the endings of the files."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from tinbergen.errors import ConfigError, DataError, OutputError
from tinbergen.recordings import (
    Keypoints,
    LabelledFrames,
    Recording,
    Video,
    read_coco,
    read_keypoints,
    read_labelled_frames,
    read_sleap_labels,
    write_coco,
    write_dlc_csv,
    write_dlc_h5,
    write_labelled_frames,
    write_nwb,
    write_sleap,
    write_sleap_analysis,
    write_sleap_labels,
)
from tinbergen.recordings.keypoint_table import read_keypoint_table

_LABELS = (".csv", ".json", ".slp")
_ANALYSIS = ".analysis.h5"
_TRACKS = (".csv", ".h5", ".slp", _ANALYSIS, ".nwb")


def convert(
    source: str | os.PathLike,
    out: str | os.PathLike,
    *,
    video: str | os.PathLike | None = None,
    images: str | os.PathLike | None = None,
    overwrite: bool = False,
) -> LabelledFrames | Keypoints:
    """Convert labelled frames, or keypoints tracked over a video, to another format.

    Parameters
    ----------
    source
        ``.csv``: DeepLabCut or Lightning Pose (rows that name images are labels, rows of numbers
        are tracked frames); ``.h5``: DeepLabCut, or SLEAP's analysis file; ``.slp``,
        ``.pkg.slp``: SLEAP; ``.json``: COCO keypoints.
    out
        Labels: ``.csv`` (DeepLabCut), ``.slp``, ``.json`` (COCO). Tracks: ``.csv`` (DeepLabCut),
        ``.h5`` (DeepLabCut), ``.slp`` (needs ``video``), ``.analysis.h5`` (SLEAP's analysis file),
        ``.nwb`` (ndx-pose; needs ``video``, whose frame times it keeps).
    video
        What the keypoints were tracked on, as SLEAP is to find it.
    images
        Folder for the labelled frames of a SLEAP project; its labels are then converted instead
        of what was tracked.
    overwrite
        Replace ``out``.

    Returns
    -------
    LabelledFrames or Keypoints
        What was converted; times are frame numbers.

    Raises
    ------
    ConfigError
        For an ending that is not known, or does not go with what ``source`` holds.
    OutputError
        If ``out`` exists.
    DataError, MissingFileError
        If ``source`` is not as it should be.
    """
    source, out = Path(source), Path(out)
    if out.exists() and not overwrite:
        raise OutputError(f"{out} already exists; choose another name, or --overwrite.")
    found = _read(source, images)
    if isinstance(found, LabelledFrames):
        _write_labels(out, found)
    else:
        _write_tracks(out, found, video, overwrite)
    return found


def _read(source: Path, images: str | os.PathLike | None) -> LabelledFrames | Keypoints:
    kind = source.suffix.lower()
    if kind == ".json":
        return read_coco(source)
    if kind == ".slp" and images is not None:
        return read_sleap_labels(source, images)
    if kind == ".csv":
        index = read_keypoint_table(source).index
        if index and not index[0][0].strip().replace(".", "", 1).isdigit():
            return read_labelled_frames(source)
    if kind not in (".csv", ".h5", ".hdf5", ".slp"):
        raise ConfigError(
            f"{source}: expected a .csv, .h5, .slp or .json file, found {kind or 'no ending'!r}."
        )
    return on_every_frame(read_keypoints(source, fps=1.0))


def on_every_frame(keypoints: Keypoints) -> Keypoints:
    """Return a row for every frame from 0 on, where times are frame numbers; NaN in the gaps."""
    numbers = np.rint(keypoints.times).astype(int)
    n = int(numbers[-1]) + 1 if len(numbers) else 0
    if n == len(numbers):
        return keypoints
    positions = np.full((n, *keypoints.positions.shape[1:]), np.nan)
    confidence = np.full((n, *keypoints.confidence.shape[1:]), np.nan)
    positions[numbers], confidence[numbers] = keypoints.positions, keypoints.confidence
    return Keypoints(
        times=np.arange(n, dtype=float),
        positions=positions,
        confidence=confidence,
        keypoints=keypoints.keypoints,
        individuals=keypoints.individuals,
        unit=keypoints.unit,
    )


def _write_labels(out: Path, frames: LabelledFrames) -> None:
    kind = out.suffix.lower()
    if kind == ".csv":
        write_labelled_frames(out, frames, _root(frames))
    elif kind == ".json":
        write_coco(out, frames, _root(frames))
    elif kind == ".slp":
        write_sleap_labels(out, frames)
    else:
        raise ConfigError(
            f"{out}: labels are written as {', '.join(_LABELS)}, not as {kind or 'no ending'!r}."
        )


def _root(frames: LabelledFrames) -> Path:
    """Folder that image names are written relative to: the project, else what all have above."""
    first = frames.images[0]
    for folder in first.parents:
        if folder.name == "labeled-data" and all(folder in i.parents for i in frames.images):
            return folder.parent
    return Path(os.path.commonpath([image.parent for image in frames.images]))


def _write_tracks(
    out: Path, keypoints: Keypoints, video: str | os.PathLike | None, overwrite: bool
) -> None:
    kind = out.suffix.lower()
    if kind == ".csv":
        write_dlc_csv(out, keypoints)
    elif kind == ".slp":
        if video is None:
            raise ConfigError(f"{out}: a SLEAP project names its video; give it with --video.")
        write_sleap(out, keypoints, video)
    elif out.name.endswith(_ANALYSIS):
        write_sleap_analysis(out, keypoints, video or "")
    elif kind == ".h5":
        write_dlc_h5(out, keypoints)
    elif kind == ".nwb":
        write_nwb(out, _recorded(out, keypoints, video), overwrite=overwrite)
    else:
        raise ConfigError(
            f"{out}: tracked keypoints are written as {', '.join(_TRACKS)}, not as "
            f"{kind or 'no ending'!r}."
        )


def _recorded(out: Path, keypoints: Keypoints, video: str | os.PathLike | None) -> Recording:
    """Return the keypoints on the times of their video, as a recording named like it."""
    if video is None:
        raise ConfigError(f"{out}: NWB keeps times in s; give the tracked video with --video.")
    source = Video(video)
    if len(keypoints) != len(source):
        raise DataError(
            f"{len(keypoints)} tracked frames, but {video} has {len(source)}. Give the video that "
            "was tracked."
        )
    return Recording(source.name, {"keypoints": replace(keypoints, times=source.times)})
