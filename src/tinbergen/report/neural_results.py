"""Read what a run wrote that predicts spikes, or predicts from them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tinbergen.report.files import read_rates, read_table

if TYPE_CHECKING:
    import pandas as pd

_UNIT_COLUMNS = (
    *("recording", "unit", "region", "depth", "predictor"),
    *("score", "value", "null", "low", "high"),
)
_NULL_COLUMNS = ("recording", "target", "score", "null", "value")
_DECODED_COLUMNS = ("recording", "target", "time", "truth", "prediction", "segment")
_CONFUSION_COLUMNS = ("recording", "target", "truth", "prediction", "n")


@dataclass(frozen=True)
class NeuralResults:
    """Files of ``diagnostics/``; None where there is none.

    Attributes
    ----------
    units, nulls, decoded, confusion
        Tables of the files of these names.
    psth
        ``(condition, 2, unit, time)``: recorded and predicted.
    single_trials
        ``(unit, 2, trial, time)``.
    raster
        ``(2, unit, time)``.
    """

    units: pd.DataFrame | None
    nulls: pd.DataFrame | None
    decoded: pd.DataFrame | None
    confusion: pd.DataFrame | None
    psth: np.ndarray | None
    single_trials: np.ndarray | None
    raster: np.ndarray | None


def read_neural_results(folder: Path) -> NeuralResults:
    """Read the files of a folder ``diagnostics/``.

    Raises
    ------
    DataError
        If a file does not hold what it should; the text names the file.
    """
    return NeuralResults(
        units=read_table(
            folder / "units.csv",
            _UNIT_COLUMNS,
            ("recording", "unit", "region", "predictor", "score"),
        ),
        nulls=read_table(
            folder / "nulls.csv", _NULL_COLUMNS, ("recording", "target", "score", "null")
        ),
        decoded=read_table(
            folder / "decoded.csv", _DECODED_COLUMNS, ("recording", "target", "segment")
        ),
        confusion=read_table(
            folder / "confusion.csv",
            _CONFUSION_COLUMNS,
            ("recording", "target", "truth", "prediction"),
        ),
        psth=read_rates(folder / "psth.npy", 4),
        single_trials=read_rates(folder / "single_trials.npy", 4),
        raster=read_rates(folder / "raster.npy", 3),
    )
