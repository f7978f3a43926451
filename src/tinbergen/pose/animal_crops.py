"""A small video of each animal, cut out along its track: what BEAST learns its looks from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from tinbergen.errors import DataError, OutputError
from tinbergen.files import ensure_output_folder, safe_name
from tinbergen.pose.top_down import cut
from tinbergen.pose.tracking import Scale, mean_positions
from tinbergen.progress import track as progress
from tinbergen.recordings import FrameSource, Keypoints, write_video

_MARGIN = 1.25
_BATCH = 32


def write_animal_videos(
    video: FrameSource,
    tracks: Keypoints,
    folder: str | os.PathLike,
    *,
    overwrite: bool = False,
) -> list[Path]:
    """Write a video of each track: a square around the animal, black where it is missing.

    Parameters
    ----------
    video
        What the tracks are of.
    tracks
        On all of its frames; of :func:`tinbergen.pose.track`.
    folder
        For ``<video>_<track>.mp4``, with the frame times of ``video``.
    overwrite
        Replace videos that are there.

    Returns
    -------
    list of Path
        In the order of the tracks.

    Raises
    ------
    DataError
        If the tracks are not on all frames of the video.
    OutputError
        If a video is there already; before anything is written.
    """
    if len(tracks) != len(video):
        raise DataError(f"Expected tracks on all {len(video)} frames, found {len(tracks)}.")
    positions = tracks.positions[..., :2]
    side = 2 * round(_MARGIN * Scale.of(positions).length / 2)
    centres = mean_positions(positions)
    names = [safe_name(f"{video.name}_{name}") for name in tracks.individuals]
    paths = [ensure_output_folder(folder) / f"{name}.mp4" for name in names]
    if not overwrite and (old := [path for path in paths if path.exists()]):
        raise OutputError(f"{old[0]} already exists; choose another folder, or --overwrite.")
    for animal, path in enumerate(paths):
        images = _crops(video, centres[:, animal], side)
        write_video(path, images, video.times - video.times[0])
    return paths


def _crops(video: FrameSource, centres: np.ndarray, side: int) -> Iterator[np.ndarray]:
    """Yield the square around ``(time, 2)`` px in each frame, ``(side, side)`` uint8."""
    gray = video.view(gray=True)
    batches = gray.iterate(batch_size=_BATCH)
    for batch in progress(batches, f"cutting {video.name}", "batches"):
        crops = np.zeros((len(batch), side, side), np.uint8)
        where = centres[batch.indices]
        there = np.flatnonzero(np.isfinite(where).all(axis=-1) & batch.ok)
        frames = torch.from_numpy(batch.frames.reshape(len(batch), gray.height, gray.width, 1))
        found, _ = cut(frames, torch.from_numpy(there), torch.from_numpy(where[there]), side)
        crops[there] = found[..., 0].numpy()
        yield from crops
