"""Fit probes within and across animals on true and on wrong labels, and score their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from tinbergen.crossanimal.evaluation_probes import (
    ALPHA,
    Moments,
    Probe,
    answers,
    choose_alpha,
    choose_shrinkage,
    discriminants,
    logistic,
    spaced,
    total,
)
from tinbergen.crossanimal.evaluation_split import FrameSplit, check_lengths, keep_fraction
from tinbergen.errors import DataError
from tinbergen.metrics import class_scores

Scale = tuple[np.ndarray, np.ndarray]
"""Mean and deviation of each channel; of one that does not vary, infinite."""
_MANY, _FEW = 20, 2  # null draws of each kind, and where a probe is dear
_SAMPLE = 1000  # frames that a centre is taken from


@dataclass(frozen=True, eq=False)
class Labelled:
    """Labels of all recordings as class numbers, -1 = none; what is training and test; whose."""

    classes: np.ndarray
    codes: Mapping[str, np.ndarray]
    splits: Mapping[str, FrameSplit]
    subjects: Mapping[str, str]
    seed: int

    def rows(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Return those of ``rows`` of an animal that have a label."""
        return rows[self.codes[name][rows] >= 0]

    def generator(self, name: str, *more: int) -> np.random.Generator:
        """Return what an animal draws from: the same whichever others are there."""
        return np.random.default_rng([self.seed, *more, *name.encode()])


@dataclass(frozen=True, eq=False)
class Taught:
    """Labelled training rows of an animal, the true and the wrong labels of them, their moments.

    Moments (about the centre of the animal) are None where the probe needs the rows themselves.
    """

    rows: np.ndarray
    codes: np.ndarray
    moments: Moments | None


@dataclass(frozen=True, eq=False)
class View:
    """Embeddings of one run, and the known rows of each animal in training and test.

    Sums of the training frames are taken once an animal, about a centre near its mean; from those
    comes the scale of any group of animals.
    """

    features: dict[str, np.ndarray]
    train: dict[str, np.ndarray]
    test: dict[str, np.ndarray]
    taught: dict[tuple[str, float], Taught] = field(default_factory=dict)
    _sums: dict[str, tuple[np.ndarray, Moments]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        run: Mapping[str, np.ndarray],
        splits: Mapping[str, FrameSplit],
        what: str,
        matched: bool = True,
    ) -> Self:
        """Check the embeddings of a run.

        Raises
        ------
        DataError
        """
        check_lengths(splits, run, what)
        view = cls({}, {}, {})
        for name, split in splits.items():
            values = np.asarray(run[name])
            if values.dtype.kind != "f":
                values = values.astype(np.float64)
            if values.ndim != 2:
                raise DataError(
                    f"{what}, animal {name!r}: expected (time, channel), found {values.shape}."
                )
            known = np.isfinite(values).all(axis=1)
            view.train[name] = np.flatnonzero(split.train & known)
            view.test[name] = np.flatnonzero(split.test & known)
            for part in ("train", "test"):
                if not len(getattr(view, part)[name]):
                    raise DataError(
                        f"{what}, animal {name!r}: no {part} frame has an embedding without NaN."
                    )
            view.features[name] = values
        widths = {name: values.shape[1] for name, values in view.features.items()}
        if matched and len(set(widths.values())) > 1:
            raise DataError(
                f"{what}: animals have different numbers of channels, {widths}; no probe can be "
                "carried over. Say matched=False if they are traces of other neurons."
            )
        return view

    def sums(self, name: str) -> tuple[np.ndarray, Moments]:
        """Return the centre of an animal, and the moments of its training frames about it."""
        if name not in self._sums:
            some = self.features[name][spaced(self.train[name], _SAMPLE)]
            centre = some.mean(axis=0, dtype=np.float64)
            self._sums[name] = (
                centre,
                Moments.of(
                    self._about(centre, name, self.train[name]),
                    np.zeros((1, len(self.train[name])), int),
                    1,
                ),
            )
        return self._sums[name]

    def centred(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Return rows about the centre of the animal: near 0, float32 keeps its digits."""
        return self._about(self.sums(name)[0], name, rows)

    def _about(self, centre: np.ndarray, name: str, rows: np.ndarray) -> np.ndarray:
        unbroken = rows[-1] - rows[0] + 1 == len(rows)  # a slice is no copy
        values = self.features[name][slice(rows[0], rows[-1] + 1) if unbroken else rows]
        out = np.empty(values.shape, np.float32)
        return np.subtract(values, centre, out=out, casting="same_kind")

    def scale(self, names: Sequence[str]) -> Scale:
        """Return mean and deviation of each channel over the training frames of ``names``."""
        parts = [self.sums(name) for name in names]
        counts = np.array([float(sums.n[0, 0]) for _, sums in parts])
        shifts = np.array([sums.total[0, 0] for _, sums in parts]) / counts[:, None]
        means = np.array([centre for centre, _ in parts]) + shifts
        mean = counts @ means / counts.sum()
        within = np.array([np.diagonal(sums.squares) for _, sums in parts])
        within = within.sum(axis=0) - counts @ shifts**2
        power = (np.maximum(within, 0) + counts @ (means - mean) ** 2) / counts.sum()
        deviation = np.sqrt(power)
        # A channel that does not vary says nothing, and must not divide by rounding errors.
        return mean, np.where(deviation > 1e-9 * (1 + np.abs(mean)), deviation, np.inf)

    def scaled(self, name: str, rows: np.ndarray, scale: Scale) -> np.ndarray:
        """Return rows of an animal in units of a scale, float32."""
        shift = (scale[0] - self.sums(name)[0]).astype(np.float32)
        return (self.centred(name, rows) - shift) / scale[1].astype(np.float32)

    def who(
        self, train: Mapping[str, np.ndarray], subjects: Mapping[str, str], probe: Probe
    ) -> dict[str, np.ndarray]:
        """Tell whose each test frame is by a linear probe that learns from frames ``train``.

        Scaled alike: what tells the animals apart must not be taken out of the question.
        """
        names = list(self.features)
        scale = self.scale(names)
        animals = np.array(sorted({subjects[name] for name in names}))
        numbers = np.searchsorted(animals, [subjects[name] for name in names])
        fitted: Any
        if probe in ("logistic", "wide logistic"):
            rows = [self.scaled(name, train[name], scale) for name in names]
            codes = np.repeat(numbers, [len(each) for each in rows])
            fitted = logistic(np.concatenate(rows).astype(np.float64), codes, ALPHA)
        else:
            parts = []
            for name, number in zip(names, numbers, strict=True):
                codes = np.full((1, len(train[name])), number)
                sums = Moments.of(self.centred(name, train[name]), codes, len(animals))
                parts.append(sums.scaled(scale[0] - self.sums(name)[0], scale[1]))
            fitted = discriminants(total(parts))[0]
        return {
            name: animals[fitted.predict(self.scaled(name, self.test[name], scale))]
            for name in names
        }


@dataclass(eq=False)
class Scorer:
    """Scores of one method: ``rows`` of true labels, ``wrong`` of the nulls."""

    labelled: Labelled
    fractions: Sequence[float]
    probe: Probe
    per_animal: bool
    nulls: int | None
    method: str
    rows: list[dict] = field(default_factory=list)
    wrong: list[dict] = field(default_factory=list)

    def single(self, view: View, seed: int) -> None:
        """Probe each animal by itself; those that show one action in training are left out."""
        tested = [
            name
            for name in view.features
            if len(
                np.unique(self.labelled.codes[name][self.labelled.rows(name, view.train[name])])
            )
            > 1
        ]
        self._each_fraction(view, {name: [name] for name in tested}, "single", seed)

    def left_out(self, view: View, seed: int, protocol: str, held: Sequence[str]) -> None:
        """Probe each of ``held`` with what the labels of all others teach."""
        useful = [n for n in view.features if len(self.labelled.rows(n, view.train[n]))]
        subjects = self.labelled.subjects  # nor another recording of the same animal
        teachers = {name: [n for n in useful if subjects[n] != subjects[name]] for name in held}
        self._each_fraction(view, teachers, protocol, seed)

    def _each_fraction(
        self, view: View, teachers: Mapping[str, list[str]], protocol: str, seed: int
    ) -> None:
        for fraction in self.fractions:
            for name, others in teachers.items():
                test = self.labelled.rows(name, view.test[name])
                if not len(test) or not others:
                    continue
                told = self._answers(view, others, name, test, fraction)
                train = np.concatenate([self._taught(view, n, fraction).codes[0] for n in others])
                row = {"protocol": protocol, "seed": seed, "fraction": fraction}
                self._score(told, name, test, train, row)

    def _taught(self, view: View, name: str, fraction: float) -> Taught:
        """Return what an animal teaches, which is the same whoever asks."""
        if (name, fraction) not in view.taught:
            own = self.labelled.codes[name]
            rows = keep_fraction(
                own,
                self.labelled.rows(name, view.train[name]),
                fraction,
                self.labelled.generator(name),
            )
            codes, moments = self._draws(name, own[rows].astype(np.int16)), None
            if self.probe == "discriminant":
                classes = len(self.labelled.classes)
                moments = Moments.of(view.centred(name, rows), codes, classes)
            view.taught[name, fraction] = Taught(rows, codes, moments)
        return view.taught[name, fraction]

    def _draws(self, name: str, codes: np.ndarray) -> np.ndarray:
        """Return ``(draw, row)``: the true labels, then rolled ones, then shuffled ones."""
        generator = self.labelled.generator(name, 1)
        n = self.nulls
        if n is None:
            n = _MANY if self.probe == "discriminant" else _FEW
        shifts = generator.integers(len(codes) // 4, len(codes) - len(codes) // 4 + 1, size=n)
        shifts[:1] = len(codes) // 2
        rolled = [np.roll(codes, int(shift)) for shift in shifts]
        return np.stack([codes, *rolled, *(generator.permutation(codes) for _ in range(n))])

    def _answers(
        self, view: View, others: list[str], name: str, test: np.ndarray, fraction: float
    ) -> np.ndarray:
        """Return the class told for each test row, ``(draw, row)``, the true labels first."""
        common = view.scale(others)
        scales = {n: view.scale([n]) if self.per_animal else common for n in [*others, name]}
        values = view.scaled(name, test, scales[name])
        taught = {n: self._taught(view, n, fraction) for n in others}
        if self.probe == "discriminant":
            parts = [
                each.moments.scaled(scales[n][0] - view.sums(n)[0], scales[n][1])
                for n, each in taught.items()
                if each.moments is not None
            ]
            return answers(discriminants(total(parts)), values)
        rows = [view.scaled(n, each.rows, scales[n]) for n, each in taught.items()]
        features = np.concatenate(rows).astype(np.float64)
        draws = np.concatenate([each.codes for each in taught.values()], axis=1)
        if self.probe == "ridge":
            n = len(self.labelled.classes)
            shrinkage = choose_shrinkage(features, draws[0], n)
            return answers(discriminants(Moments.of(features, draws, n), shrinkage), values)
        wide = self.probe == "wide logistic"
        alpha = choose_alpha(features, draws[0]) if wide else ALPHA
        return np.stack([logistic(features, each, alpha).predict(values) for each in draws])

    def _score(
        self, told: np.ndarray, name: str, test: np.ndarray, train: np.ndarray, row: dict
    ) -> None:
        truth = self.labelled.codes[name][test]
        scores = class_scores(truth, told[0], train)
        seen = np.unique(truth)
        judged = len(seen) > 1  # of one action alone there is nothing to tell
        row = {"method": self.method, **row, "animal": name}
        found = {
            **row,
            "balanced_accuracy": scores.balanced_accuracy if judged else np.nan,
            "macro_f1": scores.macro_f1 if judged else np.nan,
            "accuracy": scores.accuracy,
            "chance": scores.chance,
            "majority": scores.majority,
            "n_train": len(train),
            "n_test": len(truth),
        }
        for code in seen:
            recall = float(np.mean(told[0][truth == code] == code))
            found[f"recall: {self.labelled.classes[code]}"] = recall
        self.rows.append(found)
        if not judged:
            return
        # Balanced accuracy of all draws at once: each hit weighs one over the frames of its class.
        _, which, counts = np.unique(truth, return_inverse=True, return_counts=True)
        balanced = (told[1:] == truth) @ (1 / (counts[which] * len(counts)))
        n = len(balanced) // 2
        for draw, score in enumerate(balanced):
            kind = "rolled" if draw < n else "shuffled"
            found = {"null": kind, "draw": draw % n, "balanced_accuracy": float(score)}
            self.wrong.append({**row, **found})
