"""Read what lies in a run folder into plain tables, arrays and texts."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from tinbergen.errors import DataError, MissingFileError
from tinbergen.report.scores import Summary
from tinbergen.training.run import RunFolder

if TYPE_CHECKING:
    import pandas as pd

_TRACES = ("config.yaml", "status.json", "summary.json", "metrics.jsonl", "scores.csv")
_SCORE_COLUMNS = (
    *("score", "recording", "kind", "name", "value", "null", "low", "high"),
    *("unit", "direction", "n"),
)
_VIDEO_COLUMNS = (
    *("recording", "video", "n_frames", "ok", "corrupt", "missing", "fps", "duration"),
    *("width", "height", "damaged_frames", "damaged_times", "message"),
)
_TEXT_COLUMNS = {
    *("score", "recording", "kind", "name", "unit", "direction"),
    *("video", "damaged_frames", "damaged_times", "message"),
}


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
    clip = _read_table(figures / "clip.csv", ("time",), text=())
    clip_frames = _read_images(figures / "clip_frames.npy", 3)
    if clip is not None and clip_frames is not None and len(clip) != len(clip_frames):
        raise DataError(
            f"{figures}: expected one row of clip.csv a frame of clip_frames.npy, found "
            f"{len(clip)} rows and {len(clip_frames)} frames. Write both again."
        )
    return RunResults(
        path=path,
        config=_read_text(path / "config.yaml"),
        status=_read_json(path / "status.json"),
        splits=_read_json(path / "splits.json"),
        summary=_read_summary(path / "summary.json"),
        metrics=_read_metrics(path),
        scores=_read_table(path / "scores.csv", _SCORE_COLUMNS, _TEXT_COLUMNS),
        videos=_read_table(path / "videos.csv", _VIDEO_COLUMNS, _TEXT_COLUMNS),
        captions=_read_json(figures / "figures.json"),
        embedding_map=_read_table(
            figures / "embedding_map.csv", ("x", "y", "recording", "time"), {"recording"}
        ),
        reconstructions=_read_images(figures / "reconstructions.npy", 4),
        clip=clip,
        clip_frames=clip_frames,
    )


def _read_text(path: Path) -> str:
    if not path.is_file():
        return ""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected UTF-8 text, found {error}.") from error


def _read_json(path: Path) -> dict[str, Any]:
    text = _read_text(path)
    if not text:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: expected JSON, found {error}. Write it again.") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: expected an object, found a {type(value).__name__}.")
    return value


def _read_summary(path: Path) -> Summary:
    try:
        return Summary.model_validate(_read_json(path))
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


def _read_table(
    path: Path, columns: tuple[str, ...], text: set[str] | tuple
) -> pd.DataFrame | None:
    """Read a CSV whose ``columns`` must be there; columns of names stay text (``001``, ``NA``)."""
    import pandas as pd

    if not path.is_file():
        return None
    try:
        table = pd.read_csv(
            path, dtype=dict.fromkeys(text, str), keep_default_na=False, na_values=[""]
        )
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: expected a table in CSV, found {error}.") from error
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise DataError(
            f"{path}: expected the columns {', '.join(columns)}; {', '.join(missing)} missing."
        )
    for name in columns:
        if name in text:
            table[name] = table[name].fillna("")
        elif not pd.api.types.is_numeric_dtype(table[name]):
            raise DataError(f"{path}: expected numbers in the column {name!r}, found text.")
    return table


def _read_images(path: Path, dimensions: int) -> np.ndarray | None:
    """Map uint8 images: ``dimensions`` axes if grey, one more if RGB."""
    if not path.is_file():
        return None
    try:
        images = np.load(path, allow_pickle=False, mmap_mode="r")
    except (ValueError, EOFError, OSError) as error:
        raise DataError(f"{path}: expected an array in .npy format, found {error}.") from error
    colour = images.ndim == dimensions + 1 and images.shape[-1] == 3
    if images.dtype != np.uint8 or not (images.ndim == dimensions or colour):
        raise DataError(
            f"{path}: expected uint8 images with {dimensions} axes, or {dimensions + 1} where the "
            f"last is RGB; found {images.dtype} of shape {images.shape}."
        )
    return images if images.size else None
