"""What a trained population model is asked in an evaluation; imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, get_args

import numpy as np

from tinbergen.errors import ConfigError
from tinbergen.population.config import ModalityConfig
from tinbergen.population.sessions import Session

Task = Literal[
    "co_smoothing",
    "forward",
    "intra_region",
    "inter_region",
    "encoding",
    "decoding",
    "imputation",
]
TASKS: tuple[Task, ...] = get_args(Task)
SPIKES = "spikes"
_FEW = 3
LEAST_REGION = 5
"""Units of a region that is predicted from within, or as a whole."""
_TITLES = {
    "co_smoothing": "Co-smoothing",
    "forward": "Forward prediction",
    "intra_region": "Intra-region",
    "inter_region": "Inter-region",
}
_SAID = {
    "co_smoothing": "each unit from all others",
    "forward": "the last tenth of a window from what is before it",
    "intra_region": "each unit from the others of its region",
    "inter_region": "all units of a region from all other regions",
}


@dataclass(frozen=True)
class Question:
    """One thing that is predicted from others.

    Attributes
    ----------
    task
        One of :data:`TASKS`.
    target
        ``"spikes"`` or a modality.
    given
        What is visible.
    """

    task: Task
    target: str
    given: tuple[str, ...]

    @property
    def title(self) -> str:
        """A name for tables and figures."""
        if self.task in _TITLES:
            return _TITLES[self.task]
        if self.task == "encoding":
            return f"Encoding from {' + '.join(self.given)}"
        if self.task == "decoding":
            return f"Decoding of {self.target}"
        return f"{self.target} from {' + '.join(self.given)}"

    @property
    def said(self) -> str:
        """What is predicted from what, as part of a sentence."""
        if self.task in _SAID:
            return _SAID[self.task]
        if self.task == "encoding":
            return f"all spikes of a window from {' and '.join(self.given)} alone"
        return f"{self.target} from {' and '.join(self.given)}"

    @property
    def of_spikes(self) -> bool:
        """Whether spikes are predicted."""
        return self.target == SPIKES


def questions_of(
    session: Session,
    modalities: Mapping[str, ModalityConfig],
    tasks: Sequence[Task],
    windows: Sequence[np.ndarray],
) -> list[Question]:
    """Return what can be asked about a session: only modalities that it has, only its regions.

    ``windows``: numbers of those to learn from, and of those to score; a modality is one that the
    session has only if both know it.
    """
    known = [
        name
        for name in modalities
        if name in session.values and all(is_known(session.values[name][rows]) for rows in windows)
    ]
    large = large_regions(session.regions)
    possible: dict[str, list[Question]] = {
        "co_smoothing": [Question("co_smoothing", SPIKES, (SPIKES,))],
        "forward": [Question("forward", SPIKES, (SPIKES,))],
        "intra_region": [],
        "inter_region": [],
        "encoding": [Question("encoding", SPIKES, each) for each in subsets(known)],
        "decoding": [Question("decoding", name, (SPIKES,)) for name in known],
        "imputation": [],
    }
    if large and len(set(session.regions)) > 1:
        possible["intra_region"] = [Question("intra_region", SPIKES, (SPIKES,))]
        possible["inter_region"] = [Question("inter_region", SPIKES, (SPIKES,))]
    if len(known) > 1:
        possible["imputation"] = [
            Question("imputation", name, tuple(other for other in known if other != name))
            for name in known
        ]
    return [question for task in tasks for question in possible[task]]


def subsets(modalities: Sequence[str]) -> list[tuple[str, ...]]:
    """Return what is visible together: of up to three every subset, else each by itself, and all.

    The smaller ones first.
    """
    n = len(modalities)
    sizes = range(1, n + 1) if n <= _FEW else (1, n)
    return [each for size in sizes for each in combinations(modalities, size)]


def is_known(values: np.ndarray) -> bool:
    """Whether there is any value, of numbers or of classes."""
    return bool(known_values(values).any())


def known_values(values: np.ndarray) -> np.ndarray:
    """Return where values are known, bool of the same shape."""
    if values.dtype == object:
        return np.array([v is not None for v in values.ravel()], dtype=bool).reshape(values.shape)
    return np.isfinite(values)


def large_regions(regions: np.ndarray) -> list[str]:
    """Return the regions of at least :data:`LEAST_REGION` units, sorted."""
    names, number = np.unique(regions.astype(str), return_counts=True)
    return [str(name) for name in names[number >= LEAST_REGION]]


def checked_tasks(tasks: Sequence[str] | None) -> list[Task]:
    """Return the tasks that were asked for, all by default, in the order of :data:`TASKS`.

    Raises
    ------
    ConfigError
        For an unknown one.
    """
    unknown = [name for name in tasks or () if name not in TASKS]
    if unknown:
        raise ConfigError(f"tasks: expected some of {', '.join(TASKS)}, found {unknown[0]!r}.")
    return [task for task in TASKS if tasks is None or task in tasks]
