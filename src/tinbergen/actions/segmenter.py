"""What every segmenter is: an estimator on sequences of frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self, get_type_hints

import numpy as np
from pydantic import TypeAdapter, ValidationError

from tinbergen.errors import ConfigError, DataError
from tinbergen.metrics import frame_scores
from tinbergen.saving import Saved

UNLABELLED = -1
Validation = tuple[Sequence[Any], Sequence[Any]]
Arrays = list[np.ndarray]
HeldOut = tuple[Arrays, Arrays] | None


class Segmenter(Saved, ABC):
    """Names the behaviour of each frame of a sequence.

    Sequences are recordings, or stretches of them; nothing reaches from one into another. A
    subclass says how in :meth:`_fit` and :meth:`_probabilities`, which get checked input.

    Attributes
    ----------
    classes_
        Names of the classes, in the order of the codes.
    absent_
        Those of them without a frame in the training data; they are never predicted.
    n_features_
        Channels.
    """

    needs_labels: ClassVar[bool] = True
    """Whether :meth:`fit` refuses sequences without any label."""
    resumable: ClassVar[bool] = False
    """Whether :meth:`fit` takes a ``run`` folder to resume from."""
    takes_weak: ClassVar[bool] = False
    """Whether :meth:`fit` takes ``weak`` labels."""

    classes_: tuple[str, ...]
    absent_: tuple[str, ...]
    n_features_: int

    def fit(
        self,
        features: Sequence[Any],
        codes: Sequence[Any],
        *,
        classes: Sequence[str] | None = None,
        validation: Validation | None = None,
    ) -> Self:
        """Learn from labelled sequences.

        Parameters
        ----------
        features
            ``(time, channel)`` of each sequence; NaN = not known.
        codes
            ``(time,)`` int of each: index into ``classes``, -1 = unlabelled or not scored.
        classes
            Names; default ``"0"``, ``"1"``, ... up to the largest code.
        validation
            Other sequences and their codes: to choose on, never to learn from.

        Raises
        ------
        ConfigError
            If a parameter of the constructor is of no use.
        DataError
            If lengths or channels do not fit, a code has no class, or nothing is labelled.
        """
        self.check_parameters()
        x, y = checked_sequences(features, codes)
        largest = max((int(each.max(initial=-1)) for each in y), default=-1)
        names = tuple(map(str, range(largest + 1) if classes is None else classes))
        held = None
        if validation is not None:
            held = checked_sequences(*validation, what="validation")
            check_channels(held[0], x[0].shape[1], "validation")
        for what, each in (("", y), ("validation ", held[1] if held else [])):
            check_codes(each, names, what)
        frames = np.bincount(np.concatenate(y) + 1, minlength=len(names) + 1)[1:]
        if self.needs_labels and not frames.any():
            raise DataError("No frame of any training sequence is labelled; nothing to learn.")
        self.classes_ = names
        self.absent_ = tuple(n for n, seen in zip(names, frames, strict=True) if not seen)
        self.n_features_ = x[0].shape[1]
        self._fit(x, y, held)
        return self

    def predict_proba(self, features: Sequence[Any]) -> list[np.ndarray]:
        """Return the probability of each class in each frame, ``(time, class)`` a sequence."""
        self._check_fitted()
        x = checked_sequences(features)[0]
        check_channels(x, self.n_features_)
        found = [np.asarray(each, np.float64) for each in self._probabilities(x)]
        if self.absent_:
            known = np.array([name not in self.absent_ for name in self.classes_])
            found = [np.where(known, each, 0.0) for each in found]
            found = [each / each.sum(axis=1, keepdims=True) for each in found]
        return found

    def predict(self, features: Sequence[Any]) -> list[np.ndarray]:
        """Return the most probable class of each frame, ``(time,)`` int a sequence."""
        return [each.argmax(axis=1) for each in self.predict_proba(features)]

    def score(self, features: Sequence[Any], codes: Sequence[Any]) -> float:
        """Return the macro F1 of :func:`~tinbergen.metrics.frame_scores`, all frames pooled.

        Raises
        ------
        DataError
            If lengths do not fit, a code has no class, or nothing is labelled.
        """
        self._check_fitted()
        x, y = checked_sequences(features, codes)
        check_codes(y, self.classes_)
        return frame_scores(y, self.predict(x), len(self.classes_)).macro_f1

    def check_parameters(self) -> None:
        """See that the parameters of the constructor are of use.

        Raises
        ------
        ConfigError
            If one has another type than is said, or lies out of range.
        """
        hints = get_type_hints(type(self))
        for name, value in self.parameters.items():
            plain = value.item() if isinstance(value, np.generic) else value
            try:
                TypeAdapter(hints.get(name, Any)).validate_python(plain, strict=True)
            except ValidationError as error:
                what = error.errors()[0]["msg"].removeprefix("Input ")
                raise ConfigError(f"{name}: {what}, found {value!r}.") from None

    @abstractmethod
    def _fit(self, features: Arrays, codes: Arrays, validation: HeldOut) -> None:
        """Learn; ``classes_``, ``absent_`` and ``n_features_`` are set."""

    @abstractmethod
    def _probabilities(self, features: list[np.ndarray]) -> Sequence[np.ndarray]:
        """Return ``(time, class)`` of each sequence."""


def checked_sequences(
    features: Sequence[Any], codes: Sequence[Any] | None = None, what: str = "training"
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return features ``(time, channel)`` float and codes ``(time,)`` int64 of each sequence.

    Raises
    ------
    DataError
        Naming the sequence that is not as it should be.
    """
    if isinstance(features, np.ndarray) and features.ndim == 2:
        raise DataError(
            f"Expected a list of sequences (time, channel), found one array {features.shape}; put "
            "it into a list: [features]."
        )
    x = [np.asarray(each) for each in features]
    if not x:
        raise DataError(f"Expected at least one {what} sequence, found none.")
    for i, each in enumerate(x):
        if each.ndim != 2 or each.dtype.kind not in "biuf" or not each.shape[1]:
            raise DataError(
                f"Sequence {i}: expected numbers (time, channel), found {each.dtype} of shape "
                f"{each.shape}."
            )
        if np.isinf(each).any():
            raise DataError(f"Sequence {i}: features hold infinities; NaN stands for not known.")
    check_channels(x, x[0].shape[1], what)
    if codes is None:
        return x, []
    y = [np.asarray(each) for each in codes]
    if len(y) != len(x):
        raise DataError(f"{len(x)} sequences of features, but {len(y)} of codes.")
    for i, (frames, each) in enumerate(zip(x, y, strict=True)):
        if each.shape != (len(frames),) or each.dtype.kind not in "biu":
            raise DataError(
                f"Sequence {i}: {len(frames)} frames of features, but codes {each.dtype} of shape "
                f"{each.shape}; expected one whole number a frame, -1 = unlabelled."
            )
    return x, [each.astype(np.int64) for each in y]


def check_channels(features: Sequence[np.ndarray], expected: int, what: str = "") -> None:
    """See that all sequences have the channels that are expected."""
    for i, each in enumerate(features):
        if each.shape[1] != expected:
            raise DataError(
                f"{f'{what} sequence'.strip().capitalize()} {i} has {each.shape[1]} channels, "
                f"expected {expected}."
            )


def check_least(model: Segmenter, **least: float) -> None:
    """See that parameters, as far as a model has them, are no less than what is said."""
    for name, value in least.items():
        if getattr(model, name, value) < value:
            raise ConfigError(f"{name}: expected at least {value}, found {getattr(model, name)}.")


def check_codes(codes: Sequence[np.ndarray], classes: Sequence[str], what: str = "") -> None:
    """See that each code has a class."""
    for i, each in enumerate(codes):
        bad = np.flatnonzero((each < UNLABELLED) | (each >= len(classes)))
        if len(bad):
            raise DataError(
                f"{what}sequence {i}, frame {bad[0]} has code {each[bad[0]]}; expected -1 or one "
                f"of the {len(classes)} classes {list(classes)}."
            )
