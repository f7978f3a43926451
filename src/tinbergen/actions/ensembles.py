"""Several models that decide together, and how far they agree."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np

from tinbergen.actions.registry import new_segmenter, segmenter_class
from tinbergen.actions.segmenter import UNLABELLED, Arrays, HeldOut, Segmenter, Validation
from tinbergen.configuration import Config
from tinbergen.errors import ConfigError, DataError
from tinbergen.training import RunFolder, numpy_generator

Weighting = Literal["mean", "entropy"]
_SMALLEST_ENTROPY = 1e-3  # nats: a member that is certain outweighs others, but not without limit


class Agreement(NamedTuple):
    """What an ensemble says of a recording.

    Attributes
    ----------
    probabilities, variance
        ``(time, class)``: weighted mean of the members, and their variance around it.
    """

    probabilities: np.ndarray
    variance: np.ndarray


def combined(members: Sequence[np.ndarray], weighting: Weighting = "mean") -> Agreement:
    """Join what several models say of one recording.

    Parameters
    ----------
    members
        ``(time, class)`` of each.
    weighting
        ``"mean"``: all alike; ``"entropy"``: in each frame by 1 / entropy of what a member says.

    Examples
    --------
    >>> sure, unsure = np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]])
    >>> combined([sure, unsure]).probabilities.tolist()
    [[0.75, 0.25]]
    >>> combined([sure, unsure], "entropy").probabilities.round(3).tolist()
    [[0.999, 0.001]]
    """
    each = np.stack(list(members))  # (member, time, class)
    weights = np.ones(each.shape[:2])
    if weighting == "entropy":
        weights = 1.0 / np.maximum(entropy(each), _SMALLEST_ENTROPY)
    elif weighting != "mean":
        raise ConfigError(f"weighting: expected mean or entropy, found {weighting!r}.")
    weights = (weights / weights.sum(axis=0))[..., None]
    mean = (weights * each).sum(axis=0)
    return Agreement(mean, (weights * np.square(each - mean)).sum(axis=0))


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """Return the entropy over the last axis, nats; 0 log 0 = 0."""
    safe = np.where(probabilities > 0, probabilities, 1.0)
    return -(safe * np.log(safe)).sum(axis=-1)


class Members(Segmenter):
    """A segmenter made of others, which are saved with it; a subclass says of which kinds."""

    members_: list[Segmenter]

    @classmethod
    @abstractmethod
    def _kinds(cls, parameters: Mapping[str, Any], n: int) -> list[str]:
        """Return the name of each of the ``n`` members' kinds, by the parameters."""

    def _state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        arrays: dict[str, np.ndarray] = {}
        fitted: dict[str, Any] = {
            name: getattr(self, name) for name in ("classes_", "absent_", "n_features_")
        }
        fitted["members_"] = []
        for i, member in enumerate(self.members_):
            own, rest = member._state()
            arrays |= {f"members_.{i}.{name}": value for name, value in own.items()}
            fitted["members_"].append({"parameters": member.parameters, "fitted": rest})
        return arrays, fitted

    @classmethod
    def _restored(
        cls, parameters: Mapping[str, Any], arrays: Mapping[str, Any], fitted: Mapping[str, Any]
    ) -> Self:
        rest = dict(fitted)
        states = rest.pop("members_")
        model = super()._restored(parameters, arrays, rest)
        model.members_ = []
        for i, (kind, state) in enumerate(
            zip(cls._kinds(parameters, len(states)), states, strict=True)
        ):
            prefix = f"members_.{i}."
            own = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
            member = segmenter_class(kind)._restored(state["parameters"], own, state["fitted"])
            model.members_.append(member)
        return model


class _Fitted(Members):
    """Fitted attributes, which are no parameters."""

    folds_: np.ndarray


@dataclass(kw_only=True, eq=False, repr=False)
class FoldEnsemble(_Fitted):
    """Models of one kind, each trained without one fold of the sequences.

    What a model says of the fold that it has not seen is kept in :attr:`held_out`: on that a
    decoder is chosen, on all training sequences, without one to spare for validation.

    Parameters
    ----------
    member
        Name of the segmenter: ``"tcn"``, ...
    settings
        Of its constructor.
    folds
        Number of members, at most one a labelled sequence; sequences are dealt out at random.
    weighting
        See :func:`combined`.
    stop_on_fold
        Whether a fold is also the validation of its member (the best epoch is kept). What is held
        out is then a little too good.
    random_state
        Of the folds, and of the members.

    Attributes
    ----------
    members_, folds_
        Fitted; ``folds_`` ``(sequence,)`` says which member has not seen a training sequence.
    held_out
        ``(time, class)`` of each training sequence; not saved.
    """

    member: str = "tcn"
    settings: Mapping[str, Any] = field(default_factory=dict)
    folds: int = 4
    weighting: Weighting = "mean"
    stop_on_fold: bool = False
    random_state: int = 0

    def fit(
        self,
        features: Sequence[Any],
        codes: Sequence[Any],
        *,
        classes: Sequence[str] | None = None,
        validation: Validation | None = None,
        weak: Sequence[Any] | None = None,
        folder: str | os.PathLike | None = None,
        resume: bool = False,
    ) -> Self:
        """Learn from labelled sequences; see :meth:`Segmenter.fit`.

        Parameters
        ----------
        features, codes, classes, validation
            As there; a validation is given to every member.
        weak
            See :meth:`tinbergen.actions.TCN.fit`.
        folder, resume
            Where members keep their checkpoints, and whether to go on from them.
        """
        self._given = (weak, None if folder is None else Path(folder), resume)
        try:
            return super().fit(features, codes, classes=classes, validation=validation)
        finally:
            del self._given

    def _fit(self, features: Arrays, codes: Arrays, validation: HeldOut) -> None:
        if self.folds < 2 or len(features) < 2:
            raise DataError(
                f"An ensemble over folds needs two sequences and two folds, found {len(features)} "
                f"and {self.folds}. Fit the segmenter itself, or cut the recording in two."
            )
        weak, folder, resume = self._given
        if weak is not None and not segmenter_class(self.member).takes_weak:
            raise ConfigError(f"{self.member!r} does not learn from weak labels; a tcn does.")
        labelled = np.array([(each != UNLABELLED).any() for each in codes])
        n = min(self.folds, int(labelled.sum()))
        if n < 2:
            raise DataError(
                "An ensemble over folds needs labels in two sequences, found them in one of "
                f"{len(features)}. Fit the segmenter itself (folds=0), or cut that one in two."
            )
        order = numpy_generator(self.random_state, "folds").permutation(len(features))
        order = order[np.argsort(~labelled[order], kind="stable")]  # some labels in every fold
        self.folds_ = np.empty(len(features), np.int64)
        self.folds_[order] = np.arange(len(features)) % n
        self.members_ = []
        self.held_out: list[np.ndarray] = [np.empty((0, len(self.classes_)))] * len(features)
        for fold in range(n):
            kept = np.flatnonzero(self.folds_ != fold).tolist()
            left = np.flatnonzero(self.folds_ == fold)
            held = ([features[i] for i in left], [codes[i] for i in left])
            model = self.new_member(fold)
            more: dict[str, Any] = {}
            if weak is not None:
                more["weak"] = [weak[i] for i in kept]
            if folder is not None and model.resumable:
                more |= {"run": _member_run(folder / str(fold), model, resume), "resume": resume}
            model.fit(
                [features[i] for i in kept],
                [codes[i] for i in kept],
                classes=self.classes_,
                validation=held if self.stop_on_fold else validation,
                **more,
            )
            self.members_.append(model)
            for i, found in zip(left, model.predict_proba(held[0]), strict=True):
                self.held_out[i] = found

    def new_member(self, fold: int) -> Segmenter:
        """Return the segmenter of a fold, not fitted.

        Raises
        ------
        ConfigError
            If it has no such settings, or they are of no use.
        """
        return new_segmenter(self.member, self.settings, self.random_state * 1000 + fold)

    def agreement(self, features: Sequence[Any]) -> list[Agreement]:
        """Return what the members say together of each sequence, and how far they differ."""
        self._check_fitted()
        each = [member.predict_proba(features) for member in self.members_]
        return [combined(of_one, self.weighting) for of_one in zip(*each, strict=True)]

    def _probabilities(self, features: list[np.ndarray]) -> list[np.ndarray]:
        return [found.probabilities for found in self.agreement(features)]

    def _state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        arrays, fitted = super()._state()
        return {**arrays, "folds_": self.folds_}, fitted

    @classmethod
    def _kinds(cls, parameters: Mapping[str, Any], n: int) -> list[str]:
        return [parameters["member"]] * n


class _MemberConfig(Config):
    """What a member's run is about."""

    parameters: dict[str, Any]


def _member_run(folder: Path, model: Segmenter, resume: bool) -> RunFolder:
    config = _MemberConfig(parameters=model.parameters)
    return RunFolder.start(folder, config, seed=model.random_state, resume=resume)  # type: ignore
