"""Read what a run wrote that names behaviours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tinbergen.report.files import Names, read_tables

if TYPE_CHECKING:
    import pandas as pd

_TABLES: dict[str, tuple[Names, Names]] = {
    "ethogram": (("recording", "row", "label"), ("start", "stop")),
    "probabilities": (("recording",), ("time",)),
    "precision_recall": (("label",), ("threshold", "precision", "recall", "share")),
    "reliability": ((), ("confidence", "accuracy", "n")),
    "bout_lengths": (("row", "label"), ("seconds",)),
    "transitions": (("row", "source", "target"), ("n",)),
    "onsets": (("row", "label", "feature"), ("lag", "mean")),
    "onset_errors": (("label",), ("n", "onset", "offset", "bias")),
    "movies": (("label", "file"), ("bouts",)),
    "label_density": ((), ("frames", "draw", "macro_f1")),
}


@dataclass(frozen=True)
class BehaviourResults:
    """Tables of ``diagnostics/``, each under the name of its file; None where there is none."""

    ethogram: pd.DataFrame | None
    probabilities: pd.DataFrame | None
    precision_recall: pd.DataFrame | None
    reliability: pd.DataFrame | None
    bout_lengths: pd.DataFrame | None
    transitions: pd.DataFrame | None
    onsets: pd.DataFrame | None
    onset_errors: pd.DataFrame | None
    movies: pd.DataFrame | None
    label_density: pd.DataFrame | None


def read_behaviour_results(folder: Path) -> BehaviourResults:
    """Read the tables of a folder ``diagnostics/``.

    Raises
    ------
    DataError
        If a file does not hold what it should; the text names the file.
    """
    return BehaviourResults(**read_tables(folder, _TABLES))
