"""The index of a frame cache: one row per frame, one entry per video."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from tinbergen.beast.cache import CachedVideo
from tinbergen.beast.neighbours import (
    damaged_spans,
    following,
    frame_interval,
    preceding,
    stretches_of,
)
from tinbergen.beast.selection import SelectedFrames, Selection
from tinbergen.recordings import FrameSource, FrameStatus


def linked(
    chosen: SelectedFrames, video: FrameSource, status: np.ndarray, selection: Selection
) -> SelectedFrames:
    """Link all frames to their neighbours, now that their status is known."""
    stretch = stretches_of(video, status)
    after = chosen.after
    if selection.offset:
        after = following(
            chosen.frames,
            video.times,
            stretch,
            selection.offset,
            selection.offset_unit,
            frame_interval(video.times),
        )
    return replace(
        chosen,
        anchor=status == 0,
        before=preceding(after),
        after=after,
        stretch=stretch,
        n_bad=int(np.count_nonzero(status)),
        n_missing=int(np.count_nonzero(status == FrameStatus.MISSING)),
        damaged=damaged_spans(status),
    )


def table_of(
    number: int,
    chosen: SelectedFrames,
    video: FrameSource,
    status: np.ndarray,
    start: int,
    first_stretch: int,
) -> pd.DataFrame:
    """Rows of one video; its rows begin at ``start``, its stretches at ``first_stretch``."""

    def shifted(values: np.ndarray, by: int) -> np.ndarray:
        return np.where(values >= 0, values + by, -1)

    return pd.DataFrame(
        {
            "video": np.full(len(chosen.frames), number, np.int32),
            "frame": chosen.frames,
            "time": video.times[chosen.frames],
            "status": status,
            "anchor": chosen.anchor & (status == 0),
            "stretch": shifted(chosen.stretch, first_stretch).astype(np.int32),
            "before": shifted(chosen.before, start),
            "after": shifted(chosen.after, start),
        }
    )


def entry_of(
    name: tuple[str, str], video: FrameSource, chosen: SelectedFrames, start: int
) -> CachedVideo:
    """Describe one video of a cache."""
    interval = frame_interval(video.times)
    return CachedVideo(
        recording=name[0],
        stream=name[1],
        path=str(video.path),
        start=start,
        stop=start + len(chosen.frames),
        n_frames=chosen.n_frames,
        n_bad=chosen.n_bad,
        n_missing=chosen.n_missing,
        damaged=chosen.damaged.tolist(),
        interval=interval if np.isfinite(interval) else 0.0,
    )
