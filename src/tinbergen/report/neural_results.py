"""Read what a run wrote that predicts spikes, or predicts from them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tinbergen.report.files import Names, read_rates, read_tables

if TYPE_CHECKING:
    import pandas as pd

_TABLES: dict[str, tuple[Names, Names]] = {
    "units": (
        ("recording", "unit", "region", "predictor", "score"),
        ("depth", "value", "null", "low", "high"),
    ),
    "nulls": (("recording", "target", "score", "null"), ("value",)),
    "decoded": (("recording", "target", "segment"), ("time", "truth", "prediction")),
    "confusion": (("recording", "target", "truth", "prediction"), ("n",)),
}


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
        **read_tables(folder, _TABLES),
        psth=read_rates(folder / "psth.npy", 4),
        single_trials=read_rates(folder / "single_trials.npy", 4),
        raster=read_rates(folder / "raster.npy", 3),
    )
