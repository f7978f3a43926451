"""Where an evaluation is written: scores, predictions and pictures, as the report reads them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tinbergen.files import atomic_write, ensure_output_folder, write_csv, write_json
from tinbergen.metrics import pixel_errors
from tinbergen.pose.labels import LabelledImages
from tinbergen.pose.overlay import draw_keypoints
from tinbergen.recordings.keypoint_table import write_keypoint_table
from tinbergen.training import RunFolder

if TYPE_CHECKING:
    from tinbergen.pose.evaluation import PoseEvaluation

_PICTURES = 8


def write_evaluation(
    result: PoseEvaluation,
    target: Path,
    run: RunFolder,
    images: LabelledImages,
    rows: np.ndarray,
    seconds: float,
) -> None:
    """Write scores, predictions and overlays; the summary last: it says that all is there."""
    speed, config = result.speed, run.config
    write_csv(target / "scores.csv", result.table())
    keypoints = config["keypoints"]
    values = np.concatenate([result.predicted, result.confidence[..., None]], axis=-1)
    write_keypoint_table(
        target / "predictions.csv",
        result.names,
        values.reshape(len(values), len(result.individuals), len(keypoints), 3),
        ("x", "y", "likelihood"),
        result.individuals,
        keypoints,
        "tinbergen",
    )
    _write_overlays(result, target, images, rows)
    trained = len((run.splits or {}).get("train", ()))
    height, width = config["image_size"]
    kind = "vision transformer" if config["encoder"] else "convolutional network"
    write_json(
        target / "summary.json",
        {
            "schema_version": 1,
            "room": "pose",
            "title": f"Pose of {len(keypoints)} keypoints: {kind}, {width} x {height} px",
            "trained_on": f"{trained} labelled frames",
            "seconds": seconds + float((run.status.get("metrics") or {}).get("elapsed_s", 0.0)),
            "headline": result.scores[0].to_dict(),
            "scores": [score.to_dict() for score in result.scores[1:]],
            "alarms": [],
            "notes": [
                f"{speed['parameters']:,.0f} parameters; {speed['ms_per_frame']:.1f} ms a frame "
                f"({speed['cpu_ms_per_frame']:.1f} ms of CPU time); "
                f"{speed['peak_memory_mb']:.0f} MB at most."
            ],
        },
    )


def _write_overlays(
    result: PoseEvaluation, target: Path, images: LabelledImages, rows: np.ndarray
) -> None:
    """Draw the frames with the largest and the smallest errors: truth beside prediction."""
    true, predicted = (np.isfinite(p).all(axis=-1) for p in (result.true, result.predicted))
    missed = (true & ~predicted).reshape(len(rows), -1).any(axis=1)
    largest = np.nan_to_num(result.distances).reshape(len(rows), -1).max(axis=1)
    worst = np.argsort(-np.where(missed, np.inf, largest))
    chosen = [*worst[: _PICTURES // 2], *worst[::-1][: _PICTURES // 2]]
    chosen = list(dict.fromkeys(int(i) for i in chosen))
    pictures, captions = [], []
    for i in chosen:
        row, geometry = int(rows[i]), images.geometries[int(rows[i])]
        image = images.picture(row)
        drawn = [
            draw_keypoints(
                image, geometry.to_output(points), sure, individuals=len(result.individuals)
            )
            for points, sure in (
                (result.true[i], None),
                (result.predicted[i], result.confidence[i]),
            )
        ]
        pictures.append(np.stack(drawn))
        error = pixel_errors(result.distances[i]).mean
        captions.append({"recording": result.names[i], "error": None if error != error else error})
    folder = ensure_output_folder(target / "diagnostics")
    with atomic_write(folder / "reconstructions.npy", "wb") as file:
        np.save(file, np.stack(pictures), allow_pickle=False)
    write_json(
        folder / "figures.json",
        {
            "reconstructions": {
                "title": "Labels and predictions",
                "columns": ["labels", "predictions"],
                "rows": captions,
                "error_name": "pixel error",
                "note": "The frames with the largest errors first, then those with the smallest. "
                "Hollow: confidence below 0.1.",
            }
        },
    )
