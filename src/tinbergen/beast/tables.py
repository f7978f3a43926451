"""The tables that a scored run keeps: ``scores.csv`` and ``videos.csv``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tinbergen.beast.cache import FrameCache
from tinbergen.files import atomic_write
from tinbergen.recordings import Dataset
from tinbergen.training import RunFolder


def write_scores(run: RunFolder, rows: list[dict[str, Any]]) -> None:
    """Write ``scores.csv``: a row a unit, class or keypoint, and recording."""
    columns = ["score", "recording", "kind", "name", "value", "null", "low", "high", "unit"]
    table = pd.DataFrame(rows, columns=[*columns, "direction", "n"])
    with atomic_write(run.path / "scores.csv") as file:
        table.to_csv(file, index=False)


def write_videos(run: RunFolder, dataset: Dataset, frames: FrameCache) -> None:
    """List the videos with what could not be decoded of them while frames were chosen."""
    sources = {(r, s): video for r, s, video in dataset.videos()}
    rows = []
    for entry in frames.videos:
        video = sources[entry.recording, entry.stream]
        first = entry.first_bad
        rows.append(
            {
                "recording": entry.recording,
                "video": entry.stream,
                "n_frames": entry.n_frames,
                "ok": entry.n_frames - entry.n_bad,
                "corrupt": entry.n_bad,
                "missing": 0,
                "fps": video.fps,
                "duration": video.duration,
                "width": video.width,
                "height": video.height,
                "damaged_frames": f"{first}-{first}" if first >= 0 else "",
                "damaged_times": _at(video.times, first),
                "message": f"{entry.n_bad} frames cannot be decoded, the first is shown; "
                "'tinbergen check' lists all" if entry.n_bad else "",
            }
        )  # fmt: skip
    with atomic_write(run.path / "videos.csv") as file:
        pd.DataFrame(rows).to_csv(file, index=False)


def _at(times: np.ndarray, frame: int) -> str:
    if frame < 0:
        return ""
    t = times[frame] - times[0]
    return f"{t:.3f}-{t:.3f}"
