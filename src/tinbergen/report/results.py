"""Read what lies in a run folder into plain tables, arrays and texts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from tinbergen.errors import DataError, MissingFileError
from tinbergen.report.behaviour_results import BehaviourResults, read_behaviour_results
from tinbergen.report.files import Names, read_images, read_json, read_tables, read_text
from tinbergen.report.neural_results import NeuralResults, read_neural_results
from tinbergen.report.scores import Summary
from tinbergen.training.run import RunFolder

if TYPE_CHECKING:
    import pandas as pd

_TRACES = ("config.yaml", "status.json", "summary.json", "metrics.jsonl", "scores.csv")
_RUN_TABLES: dict[str, tuple[Names, Names]] = {
    "scores": (
        ("score", "recording", "kind", "name", "unit", "direction"),
        ("value", "null", "low", "high", "n"),
    ),
    "videos": (
        ("recording", "video", "damaged_frames", "damaged_times", "message"),
        (
            *("n_frames", "ok", "corrupt", "missing", "fps", "duration"),
            *("width", "height"),
        ),
    ),
}
_TABLES: dict[str, tuple[Names, Names]] = {
    "embedding_map": (("recording",), ("x", "y", "time")),
    "clip": ((), ("time",)),
    "tasks": (
        ("score", "task", "method", "unit", "flipped"),
        (
            *("mean", "low", "high", "n", "recordings"),
            *("difference", "difference_low", "difference_high", "p"),
        ),
    ),
    "transfer": (("recording", "source", "target"), ("value", "n")),
    "lineage": (("method",), ("animals", "sessions")),
}
_ACROSS: dict[str, tuple[Names, Names]] = {
    "actions": (
        ("protocol", "method"),
        ("fraction", "balanced_accuracy", "low", "high", "chance"),
    ),
    "identity": (("method", "space", "probe"), ("accuracy", "low", "high", "chance")),
    "neighbours": (("animal",), ("cross", "within")),
}


@dataclass(frozen=True)
class AcrossResults:
    """Tables ``diagnostics/across_*.csv`` of a run across animals; None where there is none."""

    actions: pd.DataFrame | None
    identity: pd.DataFrame | None
    neighbours: pd.DataFrame | None


@dataclass(frozen=True)
class RunResults:
    """The content of a run folder; what is absent is empty or None.

    Attributes
    ----------
    path
        The run folder.
    config
        Text of ``config.yaml``.
    status, splits
        Content of ``status.json`` and ``splits.json``.
    summary
        Content of ``summary.json``.
    metrics
        Rows of ``metrics.jsonl``.
    scores, videos
        Tables of ``scores.csv`` and ``videos.csv``.
    captions
        Content of ``diagnostics/figures.json``.
    embedding_map, clip
        Tables of ``diagnostics/embedding_map.csv`` and ``diagnostics/clip.csv``.
    reconstructions
        uint8 ``(row, column, height, width)`` or ``(..., 3)``.
    clip_frames
        uint8 ``(time, height, width)`` or ``(..., 3)``.
    tasks, transfer, lineage
        Tables of ``diagnostics/tasks.csv``, ``diagnostics/transfer.csv`` and
        ``diagnostics/lineage.csv``.
    neural
        What a run wrote that predicts spikes, or predicts from them.
    behaviour
        What a run wrote that names behaviours.
    across
        What a run across animals wrote.
    """

    path: Path
    config: str
    status: dict[str, Any]
    splits: dict[str, Any]
    summary: Summary
    metrics: list[Mapping[str, Any]]
    scores: pd.DataFrame | None
    videos: pd.DataFrame | None
    captions: dict[str, Any]
    embedding_map: pd.DataFrame | None
    reconstructions: np.ndarray | None
    clip: pd.DataFrame | None
    clip_frames: np.ndarray | None
    tasks: pd.DataFrame | None
    transfer: pd.DataFrame | None
    lineage: pd.DataFrame | None
    neural: NeuralResults
    behaviour: BehaviourResults
    across: AcrossResults


def read_results(run: str | os.PathLike) -> RunResults:
    """Read a run folder.

    Raises
    ------
    MissingFileError
        If there is no such folder, or nothing of a run lies in it.
    DataError
        If a file in it does not hold what it should; the text names the file.
    """
    path = Path(run)
    if not path.is_dir():
        raise MissingFileError(f"Expected a run folder at {path}, found none.")
    if not any((path / name).is_file() for name in _TRACES):
        raise MissingFileError(
            f"{path} is no run folder: expected one of {', '.join(_TRACES)} in it, found none. "
            "Name the folder given to --out."
        )
    figures = path / "diagnostics"
    tables = read_tables(figures, _TABLES)
    clip = tables["clip"]
    clip_frames = read_images(figures / "clip_frames.npy", 3)
    if clip is not None and clip_frames is not None and len(clip) != len(clip_frames):
        raise DataError(
            f"{figures}: expected one row of clip.csv a frame of clip_frames.npy, found "
            f"{len(clip)} rows and {len(clip_frames)} frames. Write both again."
        )
    return RunResults(
        path=path,
        config=read_text(path / "config.yaml"),
        status=read_json(path / "status.json"),
        splits=read_json(path / "splits.json"),
        summary=_read_summary(path / "summary.json"),
        metrics=_read_metrics(path),
        **read_tables(path, _RUN_TABLES),
        **tables,
        captions=read_json(figures / "figures.json"),
        reconstructions=read_images(figures / "reconstructions.npy", 4),
        clip_frames=clip_frames,
        neural=read_neural_results(figures),
        behaviour=read_behaviour_results(figures),
        across=AcrossResults(**read_tables(figures, _ACROSS, "across_")),
    )


def _read_summary(path: Path) -> Summary:
    try:
        return Summary.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DataError(
            f"{path}: {where}: {first['msg']}, found {first['input']!r}. "
            "See the help of tinbergen.report for what belongs there."
        ) from None


def _read_metrics(path: Path) -> list[Mapping[str, Any]]:
    rows = RunFolder(path).metrics()
    if "step" not in rows:
        return []
    return rows.dropna(subset="step").astype({"step": int}).to_dict("records")  # type: ignore
