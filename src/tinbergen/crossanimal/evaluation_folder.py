"""What an evaluation across animals writes: summary, scores, and tables for the report."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tinbergen.crossanimal.evaluation_tables import TRUST, Evaluation
from tinbergen.crossanimal.pairs import Animal
from tinbergen.errors import OutputError
from tinbergen.files import ensure_output_folder, write_csv, write_json
from tinbergen.metrics.score import Baseline, Interval, Score
from tinbergen.training import RunFolder

if TYPE_CHECKING:
    from tinbergen.crossanimal.neighbours import Neighbours

_OF_THE_RUN = ("config.yaml", "status.json", "metrics.jsonl", "streams.json")
_POINTS = 3000  # of the map, over all animals


def prepare(run: RunFolder, out: str | os.PathLike | None) -> Path:
    """Return where to write; refuse what is there already, unless it is the run itself.

    Raises
    ------
    OutputError
    """
    if out is None or Path(out).resolve() == run.path.resolve():
        return run.path
    path = Path(out)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise OutputError(f"{path} already exists; choose another name, nothing is overwritten.")
    return path


@dataclass(frozen=True, eq=False)
class EvaluationFolder:
    """Results of a run, and where they lie.

    Attributes
    ----------
    path
        The folder, of which a report can be made.
    result
        All scores.
    own
        Row of the run itself.
    seconds
        CPU-s of the evaluation.
    """

    path: Path
    result: Evaluation
    own: str
    seconds: float

    def text(self) -> str:
        """Return the tables as lines for a terminal."""
        return self.result.text()

    def write(
        self,
        run: RunFolder,
        animals: Sequence[Animal],
        embedded: Mapping[str, np.ndarray],
        labels: Mapping[str, np.ndarray],
        neighbours: Neighbours | None,
    ) -> None:
        """Write everything; a folder of its own also gets the run's settings and curves."""
        folder = ensure_output_folder(self.path / "diagnostics")
        if self.path.resolve() != run.path.resolve():
            for name in _OF_THE_RUN:
                if (run.path / name).is_file():
                    shutil.copy(run.path / name, self.path / name)
        tables = {
            "across_actions": self.result.summary(),
            "across_identity": self.result.identity_summary(),
            "embedding_map": embedding_map(animals, embedded, labels),
        }
        if neighbours is not None:
            tables["across_neighbours"] = pd.DataFrame(
                {
                    "animal": [each.name for each in animals],
                    "cross": neighbours.cross,
                    "within": neighbours.within,
                }
            )
        for name, table in tables.items():
            if table.shape[1]:
                write_csv(folder / f"{name}.csv", table)
        caption = {
            "method": "First two principal components of h, all animals scaled alike",
            "note": "A representation that carries over mixes the animals and parts the actions.",
        }
        write_json(folder / "figures.json", {"embedding_map": caption})
        write_csv(self.path / "scores.csv", self._scores())
        write_json(self.path / "summary.json", self._summary(run, animals))

    def _scores(self) -> pd.DataFrame:
        """Return a row an animal and protocol, of the run itself at all labels."""
        rows = self.result.actions
        rows = rows[(rows["method"] == self.own) & (rows["fraction"] == rows["fraction"].max())]
        means = rows.groupby(["protocol", "animal"], sort=False)[
            ["balanced_accuracy", "chance", "n_test"]
        ].mean()
        return pd.DataFrame(
            [
                {
                    "score": f"balanced accuracy, {protocol}",
                    "recording": animal,
                    "kind": "animal",
                    "name": animal,
                    "value": row["balanced_accuracy"],
                    "null": row["chance"],
                    "low": np.nan,
                    "high": np.nan,
                    "unit": "",
                    "direction": "higher",
                    "n": int(row["n_test"]),  # type: ignore[arg-type]
                }
                for (protocol, animal), row in means.iterrows()  # type: ignore[misc]
            ]
        )

    def _summary(self, run: RunFolder, animals: Sequence[Animal]) -> dict[str, Any]:
        table: Any = self.result.summary()
        table = table[table["fraction"] == table["fraction"].max()]
        scores = [
            self._score(table[table["protocol"] == protocol], str(protocol))
            for protocol in ("leave-one-out", "strict", "single")
            if ((table["protocol"] == protocol) & (table["method"] == self.own)).any()
        ]
        scores += self._identity_scores()
        metrics = run.status.get("metrics") or {}
        return {
            "schema_version": 1,
            "room": "crossanimal",
            "title": f"Actions across animals: {self.own}",
            "trained_on": f"{len(animals)} recordings, "
            f"{sum(len(each) for each in animals):,} neural frames",
            "seconds": float(metrics.get("elapsed_s", 0.0)),
            "headline": scores[0].to_dict() if scores else None,
            "scores": [score.to_dict() for score in scores[1:]],
            "alarms": [],
            "notes": [
                f"Actions: {', '.join(self.result.classes)}.",
                *self.result.warnings(),
                f"The evaluation took {self.seconds:.1f} CPU-s.",
            ],
        }

    def _score(self, rows: Any, protocol: str) -> Score:
        own = rows[rows["method"] == self.own].iloc[0]
        others = rows[rows["method"] != self.own].to_dict("records")
        learnt = {
            "single": "A linear probe learns from the same animal.",
            "leave-one-out": "A linear probe learns from all other animals; the model saw this "
            "one without labels.",
            "strict": "A linear probe learns from all other animals; of the model, this animal "
            "was shown to the input layer alone.",
        }
        seeds = int(own["n_seeds"])
        return Score(
            name=f"Balanced accuracy, {protocol}",
            value=float(own["balanced_accuracy"]),
            null=float(max(own["chance"], own.get("rolled", 0.0), own.get("shuffled", 0.0))),
            null_name="chance, or wrong labels if higher",
            interval=Interval(float(own["low"]), float(own["high"])),
            interval_name="95 % over animals" + (" and seeds" if seeds > 1 else ""),
            baselines=tuple(
                Baseline(
                    row["method"],
                    row["balanced_accuracy"],
                    Interval(float(row["low"]), float(row["high"])),
                )
                for row in others
            ),
            n=int(own["n_animals"]),
            n_name="animals",
            split="test frames apart in time",
            method=learnt[protocol],
        )

    def _identity_scores(self) -> list[Score]:
        table: Any = self.result.identity_summary()
        if not len(table):
            return []
        found = []
        for row in table[table["method"] == self.own].to_dict("records"):
            distant = row["probe"].startswith("distant")
            at_chance = row["low"] <= row["chance"]
            trust = "." if distant else f"; {TRUST}."
            found.append(
                Score(
                    name=f"Which animal, {row['probe']} probe of {row['space']}",
                    value=row["accuracy"],
                    direction="lower",
                    null=row["chance"],
                    null_name="chance",
                    interval=Interval(row["low"], row["high"]),
                    n=row["n_animals"],
                    n_name="animals",
                    method="Rule: good where the interval reaches down to chance and the probe is "
                    "of distant time; else fair.",
                    verdict="good" if distant and at_chance else "fair",
                    text=f"{row['accuracy']:.3f} ({row['low']:.3f} to {row['high']:.3f}); chance "
                    f"{row['chance']:.3f} is the ideal{trust}",
                )
            )
        return found


def embedding_map(
    animals: Sequence[Animal],
    embedded: Mapping[str, np.ndarray],
    labels: Mapping[str, np.ndarray],
) -> pd.DataFrame:
    """Return ``x, y, recording, time, action``: two principal components of all animals."""
    rows = []
    for each in animals:
        known = np.flatnonzero(np.isfinite(embedded[each.name]).all(axis=1))
        most = max(_POINTS // len(animals), 1)
        if len(known) > most:
            known = known[np.linspace(0, len(known) - 1, most).astype(int)]
        names = labels.get(each.name)
        action = np.full(len(known), "") if names is None else names[known]
        rows.append((each.name, known, each.times[known] - each.times[0], action))
    values = np.concatenate([embedded[name][known] for name, known, _, _ in rows])
    values = values.astype(np.float64) - values.mean(axis=0)
    values /= np.maximum(values.std(axis=0), 1e-9)
    _, axes = np.linalg.eigh(values.T @ values)
    place = values @ axes[:, ::-1][:, :2]
    if place.shape[1] < 2:
        place = np.column_stack([place, np.zeros(len(place))])
    said = [name or "unlabelled" for _, _, _, action in rows for name in action]
    return pd.DataFrame(
        {
            "x": place[:, 0],
            "y": place[:, 1],
            "recording": np.repeat([r[0] for r in rows], [len(r[1]) for r in rows]),
            "time": np.concatenate([r[2] for r in rows]),
            "action": said,
        }
    )
