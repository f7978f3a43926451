"""What a sweep has come to: ``trials.csv``, ``summary.json``, ``best.yaml``, ``best``."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinbergen.files import atomic_write, write_csv, write_json
from tinbergen.training.space import Space
from tinbergen.training.study import StudyFile

if TYPE_CHECKING:
    import pandas as pd

STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}


@dataclass(frozen=True)
class SweepResult:
    """A sweep.

    Attributes
    ----------
    path
        Its folder.
    trials
        A row a trial: number, state, score, last step at which it was compared, seconds, the
        settings that were searched, reason.
    counts
        State -> trials.
    best
        Number of the best trial that was not pruned, or None.
    better
        ``min`` or ``max``.
    """

    path: Path
    trials: pd.DataFrame
    counts: dict[str, int]
    best: int | None
    better: str

    @property
    def best_run(self) -> Path | None:
        """Run folder of the best trial."""
        return None if self.best is None else trial_folder(self.path, self.best)

    def text(self) -> str:
        """Say it in words."""
        counts = ", ".join(f"{n} {state}" for state, n in self.counts.items() if n)
        lines = [f"{len(self.trials)} trials: {counts}"]
        scores = self.trials["score"].tolist()
        if self.best is not None:
            lines.append(f"best: trial {self.best:03d}, score {scores[self.best]:.6g}")
        if self.best and self.trials["state"].tolist()[0] == "complete":
            lines.append(f"the settings as they were: {scores[0]:.6g}")
        return "\n".join(lines)


def trial_folder(sweep: Path, number: int) -> Path:
    """Return the run folder of a trial."""
    return sweep / "trials" / f"{number:03d}"


def read_result(path: Path, study_file: StudyFile, space: Space) -> SweepResult:
    """Read the trials of a sweep."""
    import pandas as pd

    trials = study_file.open().trials
    rows: list[dict[str, Any]] = []
    for trial in trials:
        steps = trial.intermediate_values
        rows.append(
            {
                "trial": trial.number,
                "state": STATES[trial.state.name],
                "score": trial.value,
                "last_compared": max(steps) if steps else None,
                "seconds": trial.duration.total_seconds() if trial.duration else None,
                **{key: dimension.value(trial.params[key]) for key, dimension in space.items()},
                "reason": trial.user_attrs.get("reason", ""),
            }
        )
    complete = {row["trial"]: row["score"] for row in rows if row["state"] == "complete"}
    choose = min if study_file.better == "min" else max
    best = choose(complete, key=complete.__getitem__) if complete else None
    counts = {state: sum(row["state"] == state for row in rows) for state in STATES.values()}
    return SweepResult(path, pd.DataFrame(rows), counts, best, study_file.better)


def write_result(result: SweepResult) -> None:
    """Write the table, the summary, and what points at the best trial."""
    write_csv(result.path / "trials.csv", result.trials)
    scores = result.trials["score"].tolist()
    failed = result.trials[result.trials["state"] == "failed"]
    summary: dict[str, Any] = {
        "trials": len(result.trials),
        **result.counts,
        "better": result.better,
        "best": None,
        "failures": {
            f"{n:03d}": why for n, why in zip(failed["trial"], failed["reason"], strict=True)
        },
    }
    if result.best is not None and result.best_run is not None:
        summary["best"] = {
            "trial": result.best,
            "score": scores[result.best],
            "run": result.best_run.relative_to(result.path).as_posix(),
        }
        _point(result.path / "best", result.best_run.relative_to(result.path))
        with atomic_write(result.path / "best.yaml", "wb") as file:
            file.write((result.best_run / "config.yaml").read_bytes())
    write_json(result.path / "summary.json", summary)


def _point(link: Path, target: Path) -> None:
    """Let a link point at the best run, where the system has links; summary.json names it too."""
    temporary = link.with_name(".best.tmp")
    with contextlib.suppress(OSError, NotImplementedError):
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(target, target_is_directory=True)
        os.replace(temporary, link)
