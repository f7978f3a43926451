"""The tables that a scored run keeps: ``scores.csv`` and ``videos.csv``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tinbergen.beast.cache import LEFT_OUT, FrameCache
from tinbergen.files import write_csv
from tinbergen.recordings import Dataset
from tinbergen.training import RunFolder


def write_scores(run: RunFolder, rows: list[dict[str, Any]]) -> None:
    """Write ``scores.csv``: a row a unit, class or keypoint, and recording."""
    columns = ["score", "recording", "kind", "name", "value", "null", "low", "high", "unit"]
    table = pd.DataFrame(rows, columns=[*columns, "direction", "n"])
    write_csv(run.path / "scores.csv", table)


def write_videos(run: RunFolder, dataset: Dataset, frames: FrameCache) -> None:
    """List the videos with what could not be decoded of them, and those left out altogether."""
    sources = {(r, s): video for r, s, video in dataset.videos()}
    rows = []
    for entry in frames.videos:
        video = sources[entry.recording, entry.stream]
        rows.append(
            {
                "recording": entry.recording,
                "video": entry.stream,
                "n_frames": entry.n_frames,
                "ok": entry.n_frames - entry.n_bad,
                "corrupt": entry.n_bad - entry.n_missing,
                "missing": entry.n_missing,
                "fps": video.fps,
                "duration": video.duration,
                "width": video.width,
                "height": video.height,
                "damaged_frames": ";".join(f"{a}-{b}" for a, b in entry.damaged),
                "damaged_times": _when(video.times, entry.damaged),
                "message": "",
            }
        )  # fmt: skip
    reasons = {each["path"]: each["reason"] for each in frames.meta["left_out"]}
    for (recording, stream), video in sources.items():
        if reason := reasons.get(str(video.path)):
            row = {"recording": recording, "video": stream, "n_frames": 0, "ok": 0, "corrupt": 0}
            rows.append(row | {"missing": 0, "message": f"{LEFT_OUT}{reason}"})
    write_csv(run.path / "videos.csv", pd.DataFrame(rows))


def _when(times: np.ndarray, spans: list[list[int]]) -> str:
    return ";".join(f"{times[a] - times[0]:.3f}-{times[b] - times[0]:.3f}" for a, b in spans)
