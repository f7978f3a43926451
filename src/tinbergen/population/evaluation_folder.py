"""Where an evaluation is written: into the run folder, or as a folder of its own."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tinbergen.errors import OutputError
from tinbergen.files import ensure_output_folder, explain_os_errors, write_json
from tinbergen.population.evaluation_figures import write_figures, write_table
from tinbergen.training import RunFolder

if TYPE_CHECKING:
    from tinbergen.population.evaluation import Evaluation

_OF_THE_RUN = ("config.yaml", "status.json", "splits.json", "metrics.jsonl", "vocabulary.json")
_WRITTEN = ("diagnostics", "scores.csv", "summary.json")  # the summary last: it says all is there


def prepare(run: RunFolder, out: str | os.PathLike | None) -> Path:
    """Return where to write, and make sure that it can be done.

    Raises
    ------
    OutputError
        If there is something already that is not this run, or nothing can be written there.
    """
    if out is None or Path(out).resolve() == run.path.resolve():
        ensure_output_folder(run.path)
        return run.path
    path = Path(out)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise OutputError(
            f"{path} already exists and is not an empty folder. Choose another output folder; "
            "nothing is overwritten."
        )
    ensure_output_folder(path.absolute().parent)
    return path


def write_evaluation(run: RunFolder, target: Path, result: Evaluation) -> Path:
    """Write everything beside ``target``, then move it there.

    A folder of its own also gets copies of the run's settings, curves and split, so that a report
    can be made of it.
    """
    inside = target.resolve() == run.path.resolve()
    parent = target if inside else target.absolute().parent
    with explain_os_errors(target):
        temporary = Path(tempfile.mkdtemp(dir=parent, prefix=f".{target.name}."))
        try:
            made = temporary / "made"
            made.mkdir()
            write_table(made / "scores.csv", result.scores)
            write_json(made / "summary.json", result.summary)
            write_figures(made / "diagnostics", result)
            if inside:
                _replace_parts(made, target)
            else:
                for name in _OF_THE_RUN:
                    if (run.path / name).is_file():
                        shutil.copy(run.path / name, made / name)
                os.replace(made, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return target


def _replace_parts(made: Path, target: Path) -> None:
    for name in reversed(_WRITTEN):
        old = target / name
        if old.is_dir():
            shutil.rmtree(old)
        else:
            old.unlink(missing_ok=True)
    for name in _WRITTEN:
        os.replace(made / name, target / name)
