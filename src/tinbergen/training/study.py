"""The trials of a sweep: an Optuna study in one file that several machines may write."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tinbergen.errors import DeviceError
from tinbergen.training.randomness import derive_seed
from tinbergen.training.space import Space

if TYPE_CHECKING:
    import optuna

Better = Literal["min", "max"]

_NAME = "sweep"
_KEPT = 3  # one trial in so many goes on from each rung


@dataclass(frozen=True)
class StudyFile:
    """Where the trials of a sweep are written down; holds no open file, so it can be sent.

    A journal, to which records are appended under a lock that also holds on network disks.

    Attributes
    ----------
    better
        Whether a smaller or a larger score is better.
    first_rung
        Steps before a trial is first compared with the others.
    """

    path: Path
    better: Better
    first_rung: int

    def open(self) -> optuna.Study:
        """Read what is in the file; it is made if it is not there."""
        optuna = import_optuna()
        pruner = optuna.pruners.SuccessiveHalvingPruner(
            min_resource=self.first_rung, reduction_factor=_KEPT
        )
        return optuna.create_study(
            storage=self._storage(),
            study_name=_NAME,
            direction="minimize" if self.better == "min" else "maximize",
            pruner=pruner,
            load_if_exists=True,
        )

    def repair(self) -> None:
        """Cut off half a record, which a crash or a full disk may have left at the end."""
        if self.path.is_file():
            data = self.path.read_bytes()
            whole = data.rfind(b"\n") + 1
            if whole < len(data):
                os.truncate(self.path, whole)

    def add(self, space: Space, seed: int, first: Mapping[str, Any]) -> int:
        """Draw the values of one more trial; return its number.

        They depend on the seed, its number and the trials before alone. They are drawn on a copy
        in memory and then written in one record, so that a kill never leaves half a trial.

        Parameters
        ----------
        first
            Values of the first trial, as Optuna has them; what is missing is drawn.
        """
        optuna = import_optuna()
        study = self.open()
        number = len(study.trials)
        own_seed = derive_seed(seed, "trial", number) % 2**32
        sampler = optuna.samplers.TPESampler(seed=own_seed)
        copy = optuna.create_study(direction=study.direction, sampler=sampler)
        copy.add_trials(study.trials)
        if number == 0:
            copy.enqueue_trial(dict(first))
        asked = copy.ask({key: dimension.distribution() for key, dimension in space.items()})
        trial = optuna.trial.create_trial(
            state=optuna.trial.TrialState.RUNNING,
            params=asked.params,
            distributions=asked.distributions,
        )
        study.add_trial(trial)
        return number

    def finish(self, number: int, state: str, reason: str, score: float | None = None) -> None:
        """Write down how a trial ended: ``complete`` with a score, ``pruned`` or ``fail``."""
        study = self.open()
        self.note(number, reason=reason)
        study.tell(number, score, state=import_optuna().trial.TrialState[state.upper()])

    def note(self, number: int, **words: Any) -> None:
        """Write something down beside a trial that is not finished."""
        storage, identity = self._find(number)
        for key, value in words.items():
            storage.set_trial_user_attr(identity, key, value)

    def _find(self, number: int) -> tuple[Any, int]:
        storage = self._storage()
        study = storage.get_study_id_from_name(_NAME)
        return storage, storage.get_trial_id_from_study_id_trial_number(study, number)

    def _storage(self) -> Any:
        import_optuna()
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        return JournalStorage(JournalFileBackend(str(self.path)))


@dataclass(frozen=True)
class TrialWatch:
    """Reports the score of one trial as it trains, and ends it when others did better by then.

    Successive halving without waiting for each other (Li et al. 2020, arXiv 1810.05934): after
    ``first_rung`` steps, and three times as many, and so on, a trial goes on if its best score so
    far is among the best third of those that have come as far.
    """

    study: StudyFile
    number: int

    def __call__(self, step: int, score: float) -> str | None:
        """Return why the trial shall end, or None."""
        study = self.study.open()
        storage, identity = self.study._find(self.number)
        trial = storage.get_trial(identity)
        if step not in trial.intermediate_values:  # a resumed trial comes by a second time
            storage.set_trial_intermediate_value(identity, step, score)
            trial = storage.get_trial(identity)
            if study.pruner.prune(study, trial):
                storage.set_trial_user_attr(identity, "pruned", f"pruned after step {step}")
        return storage.get_trial(identity).user_attrs.get("pruned")


def import_optuna() -> Any:
    """Import Optuna, which speaks only of what is wrong.

    Raises
    ------
    DeviceError
        If it is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise DeviceError(
            "A sweep needs Optuna, which is not installed: pip install 'tinbergen[sweep]'."
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
