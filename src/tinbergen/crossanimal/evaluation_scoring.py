"""Fit probes within and across animals on true and on wrong labels, and score their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from tinbergen.crossanimal.evaluation_probes import (
    ALPHA,
    Moments,
    Probe,
    choose_alpha,
    choose_shrinkage,
    discriminants,
    logistic,
    total,
)
from tinbergen.crossanimal.evaluation_split import FrameSplit, check_lengths, keep_fraction
from tinbergen.errors import DataError
from tinbergen.metrics import balanced_accuracy, class_scores

_FEW = 2  # null draws of each kind where a probe is dear


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
class View:
    """Embeddings of one run, and the known rows of each animal in training and test."""

    features: dict[str, np.ndarray]
    train: dict[str, np.ndarray]
    test: dict[str, np.ndarray]

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
            values = np.asarray(run[name], dtype=np.float64)
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

    def scale(self, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and deviation of each channel over the training frames of ``names``."""
        rows = [self.features[name][self.train[name]] for name in names]
        n = sum(map(len, rows))
        mean = np.sum([each.sum(axis=0) for each in rows], axis=0) / n
        power = np.sum([((each - mean) ** 2).sum(axis=0) for each in rows], axis=0) / n
        deviation = np.sqrt(power)
        # A channel that does not vary says nothing, and must not divide by rounding errors.
        return mean, np.where(deviation > 1e-9 * (1 + np.abs(mean)), deviation, np.inf)

    def scaled(self, names: Sequence[str], per_animal: bool) -> dict[str, np.ndarray]:
        """Scale all animals by the training frames of ``names``, or each by its own."""
        common = None if per_animal else self.scale(names)
        found = {}
        for name, values in self.features.items():
            mean, size = common or self.scale([name])
            found[name] = (values - mean) / size
        return found


@dataclass(eq=False)
class Scorer:
    """Scores of one method: ``rows`` of true labels, ``wrong`` of the nulls."""

    labelled: Labelled
    fractions: Sequence[float]
    probe: Probe
    per_animal: bool
    nulls: int
    method: str
    rows: list[dict] = field(default_factory=list)
    wrong: list[dict] = field(default_factory=list)

    def single(self, view: View, seed: int) -> None:
        """Probe each animal by itself; those that show one action in training are left out."""
        for name, features in view.features.items():
            rows = self.labelled.rows(name, view.train[name])
            if len(np.unique(self.labelled.codes[name][rows])) > 1:
                own = View({name: features}, view.train, view.test)
                self._each_fraction(own, [name], [name], {"protocol": "single", "seed": seed})

    def left_out(self, view: View, seed: int, protocol: str, held: Sequence[str]) -> None:
        """Probe each of ``held`` with what the labels of all others teach."""
        useful = [n for n in view.features if len(self.labelled.rows(n, view.train[n]))]
        self._each_fraction(view, useful, held, {"protocol": protocol, "seed": seed})

    def _each_fraction(
        self, view: View, useful: list[str], tested: Sequence[str], row: dict
    ) -> None:
        tests = {name: self.labelled.rows(name, view.test[name]) for name in tested}
        for fraction in self.fractions:
            rows, codes, parts = {}, {}, {}
            for name in useful:
                rows[name] = keep_fraction(
                    self.labelled.codes[name],
                    self.labelled.rows(name, view.train[name]),
                    fraction,
                    self.labelled.generator(name),
                )
                codes[name] = self._draws(name, self.labelled.codes[name][rows[name]])
            if self.probe == "discriminant":
                centre = view.scale(useful)[0]  # near 0, squares keep their digits
                for name in useful:
                    values = view.features[name][rows[name]] - centre
                    parts[name] = Moments.of(values, codes[name], len(self.labelled.classes))
            for name, test in tests.items():
                others = useful
                if row["protocol"] != "single":  # nor another recording of the same animal
                    own = self.labelled.subjects[name]
                    others = [n for n in useful if self.labelled.subjects[n] != own]
                if not len(test) or not others:
                    continue
                if self.probe == "discriminant":
                    answers = self._from_moments(view, others, parts, centre, name, test)
                else:
                    answers = self._from_rows(view, others, rows, codes, name, test)
                train = np.concatenate([codes[n][0] for n in others])
                self._score(answers, name, test, train, {**row, "fraction": fraction})

    def _draws(self, name: str, codes: np.ndarray) -> np.ndarray:
        """Return ``(draw, row)``: the true labels, then rolled ones, then shuffled ones."""
        generator = self.labelled.generator(name, 1)
        n = self.nulls if self.probe == "discriminant" else min(self.nulls, _FEW)
        shifts = generator.integers(len(codes) // 4, len(codes) - len(codes) // 4 + 1, size=n)
        shifts[:1] = len(codes) // 2
        rolled = [np.roll(codes, int(shift)) for shift in shifts]
        return np.stack([codes, *rolled, *(generator.permutation(codes) for _ in range(n))])

    def _from_moments(
        self,
        view: View,
        others: list[str],
        parts: Mapping[str, Moments],
        centre: np.ndarray,
        name: str,
        test: np.ndarray,
    ) -> list[np.ndarray]:
        common = view.scale(others)
        scales = {n: view.scale([n]) if self.per_animal else common for n in [*others, name]}
        each = [parts[n].scaled(scales[n][0] - centre, scales[n][1]) for n in others]
        values = (view.features[name][test] - scales[name][0]) / scales[name][1]
        return [probe.predict(values) for probe in discriminants(total(each))]

    def _from_rows(
        self,
        view: View,
        others: list[str],
        rows: Mapping[str, np.ndarray],
        codes: Mapping[str, np.ndarray],
        name: str,
        test: np.ndarray,
    ) -> list[np.ndarray]:
        scaled = view.scaled(others, self.per_animal)
        features = np.concatenate([scaled[n][rows[n]] for n in others])
        draws = np.concatenate([codes[n] for n in others], axis=1)
        if self.probe == "ridge":
            n = len(self.labelled.classes)
            shrinkage = choose_shrinkage(features, draws[0], n)
            probes = discriminants(Moments.of(features, draws, n), shrinkage)
        else:
            wide = self.probe == "wide logistic"
            alpha = choose_alpha(features, draws[0]) if wide else ALPHA
            probes = [logistic(features, each, alpha) for each in draws]
        return [probe.predict(scaled[name][test]) for probe in probes]

    def _score(
        self, answers: list[np.ndarray], name: str, test: np.ndarray, train: np.ndarray, row: dict
    ) -> None:
        truth = self.labelled.codes[name][test]
        scores = class_scores(truth, answers[0], train)
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
            recall = float(np.mean(answers[0][truth == code] == code))
            found[f"recall: {self.labelled.classes[code]}"] = recall
        self.rows.append(found)
        n = (len(answers) - 1) // 2
        for draw, answer in enumerate(answers[1:] if judged else []):
            kind = "rolled" if draw < n else "shuffled"
            score = balanced_accuracy(truth, answer)
            self.wrong.append({**row, "null": kind, "draw": draw % n, "balanced_accuracy": score})
