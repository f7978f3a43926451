"""The run folder of a study: complete or absent."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tinbergen.configuration import Config
from tinbergen.encoding.fitted import FittedModel
from tinbergen.encoding.scoring import Predicted
from tinbergen.encoding.study_figures import write_figures
from tinbergen.encoding.summary import StudyResult
from tinbergen.errors import DataError, OutputError
from tinbergen.files import (
    ensure_output_folder,
    explain_os_errors,
    safe_names,
    write_csv,
    write_json,
)
from tinbergen.metrics import Score
from tinbergen.metrics.score import Baseline
from tinbergen.training import RunFolder

_TEXTS = ("score", "features", "recording", "kind", "name")  # also where they look like numbers
_NULL_TEXTS = ("recording", "target")
_ARRAYS = ("segment", "block", "start", "stop", "trial", "fold")


class StudyFolder:
    """Where a study is written, and read back from."""

    def __init__(self, path: Path):
        self.path = path

    @classmethod
    def prepare(cls, path: str | os.PathLike) -> StudyFolder:
        """Make sure that a run can be written at ``path``, before anything is computed.

        Raises
        ------
        OutputError
            If there is something already, or the folder above cannot be written.
        """
        path = Path(path)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise OutputError(
                f"{path} already exists and is not an empty folder. Choose another output folder; "
                "nothing is overwritten."
            )
        ensure_output_folder(path.absolute().parent)
        return cls(path)

    def write(
        self,
        config: Config,
        result: StudyResult,
        splits: Mapping[str, Any],
        hashes: Mapping[str, str],
        models: Mapping[str, FittedModel],
    ) -> StudyResult:
        """Write everything beside ``path``, then move it there."""
        parent = self.path.absolute().parent
        with explain_os_errors(self.path):
            temporary = Path(tempfile.mkdtemp(dir=parent, prefix=f".{self.path.name}."))
            try:
                seed = getattr(config, "seed", 0)
                run = RunFolder.create(
                    temporary / "run", config, seed=seed, inputs=hashes, splits=splits
                )
                run.checkpoints.rmdir()
                write_csv(run.path / "scores.csv", result.scores)
                write_csv(run.path / "fits.csv", result.fits)
                write_json(run.path / "summary.json", result.summary)
                for name, part in safe_names(result.predicted).items():
                    write_predictions(run.predictions / part, result.predicted[name])
                for name, part in safe_names(models).items():
                    models[name].save(run.path / "models" / part)
                write_figures(run.path / "diagnostics", result)
                run.update_status(state="done")
                os.replace(run.path, self.path)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        return replace(result, path=self.path)

    def read(self) -> StudyResult:
        """Read what :meth:`write` wrote.

        Raises
        ------
        MissingFileError, DataError
            If it is not the folder of a study.
        """
        run = RunFolder.open(self.path)
        if not (self.path / "summary.json").is_file() or not run.predictions.is_dir():
            raise DataError(f"{self.path} is a run, but not one of encode or decode.")
        summary = json.loads((self.path / "summary.json").read_text(encoding="utf-8"))
        folders = sorted(p.parent for p in run.predictions.glob("*/index.csv"))
        predicted = [read_predictions(folder) for folder in folders]
        nulls = self.path / "diagnostics" / "nulls.csv"
        return StudyResult(
            _score(summary["headline"]),
            pd.read_csv(self.path / "scores.csv", converters=dict.fromkeys(_TEXTS, str)),
            summary,
            {p.recording: p for p in predicted},
            pd.read_csv(self.path / "fits.csv") if (self.path / "fits.csv").stat().st_size > 1
            else pd.DataFrame(),
            pd.read_csv(nulls, dtype=dict.fromkeys(_NULL_TEXTS, str), keep_default_na=False)
            if nulls.is_file() else pd.DataFrame(),
            self.path,
        )  # fmt: skip


def _score(values: dict[str, Any]) -> Score:
    baselines = tuple(Baseline(**each) for each in values["baselines"])
    return Score(**{**values, "baselines": baselines})


def write_predictions(folder: Path, predicted: Predicted) -> None:
    """Write ``truth.npy``, an npy a model, ``index.csv`` (rows) and ``columns.csv``."""
    folder.mkdir(parents=True)
    dtype = np.int64 if predicted.kind == "classes" else np.float32
    models = {}
    for number, (name, values) in enumerate(predicted.models.items()):
        models[name] = f"model{number}.npy"
        np.save(folder / models[name], values.astype(dtype))
    np.save(folder / "truth.npy", predicted.truth.astype(dtype))
    rows = (predicted.segment, predicted.blocks, predicted.starts, predicted.stops)
    columns = (*rows, predicted.trial, predicted.fold)
    write_csv(folder / "index.csv", pd.DataFrame(dict(zip(_ARRAYS, columns, strict=True))))
    table = pd.DataFrame({"name": predicted.names})
    if predicted.table is not None:
        known = predicted.table.reset_index(drop=True).add_prefix("table/")
        table = pd.concat([table, known], axis=1)
    write_csv(folder / "columns.csv", table)
    write_json(
        folder / "meta.json",
        {
            "recording": predicted.recording,
            "kind": predicted.kind,
            "classes": list(predicted.classes),
            "models": models,
            "bins": predicted.bins,
            "per_trial": predicted.per_trial,
            "notes": list(predicted.notes),
        },
    )


def read_predictions(folder: Path) -> Predicted:
    """Read what :func:`write_predictions` wrote; the arrays are memory maps."""
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    index = pd.read_csv(folder / "index.csv")
    table = pd.read_csv(folder / "columns.csv", dtype={"name": str}, keep_default_na=False)
    extra = table.filter(regex="^table/").rename(columns=lambda name: name[6:])
    rows = {name: index[name].to_numpy() for name in _ARRAYS}
    return Predicted(
        recording=meta["recording"],
        kind=meta["kind"],
        names=tuple(table["name"]),
        classes=tuple(meta["classes"]),
        truth=np.load(folder / "truth.npy", mmap_mode="r"),
        models={n: np.load(folder / file, mmap_mode="r") for n, file in meta["models"].items()},
        segment=rows["segment"],
        blocks=rows["block"],
        starts=rows["start"],
        stops=rows["stop"],
        trial=rows["trial"],
        fold=rows["fold"],
        table=extra if len(extra.columns) else None,
        bins=meta["bins"],
        per_trial=meta["per_trial"],
        notes=tuple(meta["notes"]),
    )
