"""Judge neural representations of several animals: the action, the animal, and what chance says.

Everything here works on arrays: embeddings ``(time, channel)`` of each animal, its labels, and
its :class:`FrameSplit`. Of an animal that is left out, the labels of its test frames are compared
with the answers, and no other label of it is touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from tinbergen.crossanimal.evaluation_probes import (
    PROBES,
    Probe,
    distant,
    spaced,
    told_by_neighbours,
)
from tinbergen.crossanimal.evaluation_scoring import Labelled, Scorer, View
from tinbergen.crossanimal.evaluation_split import FrameSplit, check_lengths
from tinbergen.crossanimal.evaluation_tables import Evaluation
from tinbergen.encoding.logistic import encode_labels
from tinbergen.errors import ConfigError, DataError

_KNN_TRAIN, _KNN_TEST = 500, 250  # frames an animal, evenly spaced: neighbours say the same
Embeddings = Mapping[str, np.ndarray]
"""Animal -> ``(time, channel)``; NaN rows are left out."""


@dataclass(frozen=True, eq=False)
class Method:
    """What one method made of all animals, a run a seed.

    Attributes
    ----------
    name
        Of the row in the tables.
    runs
        A seed each: animal -> ``(time, channel)`` representation h. Of a method that has seen the
        held-out animal without labels (transductive), or needs no training.
    strict
        A seed each: held-out animal -> embeddings by a model that never saw it (of all animals,
        the held-out one among them).
    projected
        A seed each: the projection z, of which the identity probe is reported too.
    matched
        Whether channels mean the same in every animal. Raw traces of other neurons do not: no
        probe can be carried over.
    probe
        Another probe than that of the evaluation.
    window
        Frames that the representation of one frame looks at.
    """

    name: str
    runs: Sequence[Embeddings]
    strict: Sequence[Mapping[str, Embeddings]] = ()
    projected: Sequence[Embeddings] = ()
    matched: bool = True
    probe: Probe | None = None
    window: int = 1


def evaluate_embeddings(
    methods: Sequence[Method],
    labels: Mapping[str, ArrayLike],
    splits: Mapping[str, FrameSplit],
    *,
    fractions: Sequence[float] = (0.5, 1.0),
    probe: Probe = "discriminant",
    per_animal: bool = False,
    nulls: int | None = None,
    window: int = 1,
    subjects: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Evaluation:
    """Probe frozen representations within animals, across animals, and for the animal itself.

    *single*: a linear probe learns from the labelled training frames of an animal and is tested
    on its test frames. *leave-one-out*: it learns from those of all other animals. *strict*: the
    same, of representations by a model that never saw the animal (:attr:`Method.strict`).
    *identity*: linear and nearest-neighbour probes are asked whose frame it is. The *distant* ones
    know of each animal only the half of its training frames that lie farthest from its test, and
    are those to trust: what near frames tell and distant ones do not is the time within a
    recording (slow drifts, which are other ones in every animal), not the animal. A linear probe
    of all training frames is no substitute, as drifts to and fro may cancel in it.

    All methods are judged on the same test frames: those of which every one has an embedding.

    Parameters
    ----------
    methods
        What is compared.
    labels
        Animal -> ``(time,)`` classes as text or numbers; empty text, NaN and None are no label.
        Animals without labels still count for the identity probes.
    splits
        Animal -> its frames for training and test; the animals of all tables.
    fractions
        Shares of the training labels.
    probe
        ``discriminant`` (closed form, fast) or ``logistic`` (L2, scikit-learn's C = 0.01) for
        narrow representations; ``ridge`` and ``wide logistic`` choose their penalty on a fifth of
        the training frames, for inputs of many channels. In all every class counts alike.
    per_animal
        Scale the channels by the training frames of each animal (its unlabelled data), not by
        those that the probe learns from. Identity is always probed with one scale for all.
    nulls
        Draws of wrong labels of each kind that the probes are trained on as well, and tested on
        the true ones: the labels of each animal rolled (by half of its training frames, then by
        random shifts), and shuffled. What they score is chance of this very probe on these data.
        Default: 20, and two where the probe is another than the discriminant, which costs more.
    window
        Frames that the representation of one frame looks at, in all methods at least (see
        :attr:`Method.window`); a split whose gap is shorter is refused, as test frames would be
        seen in training.
    subjects
        Recording -> animal, where an animal has several: all of them are left out together, and
        are one identity. Default: each its own.
    seed
        Of the label fractions and the nulls.

    Raises
    ------
    DataError
        Naming the animal whose labels, split or embedding cannot be used.
    ConfigError
        For an unknown probe, or a method that stands twice.

    References
    ----------
    Günel et al., "Overcoming the domain gap in neural action representations", IJCV 2022, for
    the protocols.
    """
    names = [method.name for method in methods]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"methods: {twice[0]!r} stands twice; give each row its own name.")
    for each in (probe, *(method.probe for method in methods if method.probe)):
        if each not in PROBES:
            raise ConfigError(f"probe: expected one of {', '.join(PROBES)}; found {each!r}.")
    for method in methods:
        _check_gaps(splits, max(window, method.window), method.name)
    splits = _known_to_all(methods, splits)
    owners = {name: (subjects or {}).get(name, name) for name in splits}
    known = _labelled(labels, splits, owners, seed)
    actions: list[dict] = []
    wrong: list[dict] = []
    identity: list[dict] = []
    for method in methods:
        scorer = Scorer(
            known, tuple(fractions), method.probe or probe, per_animal, nulls, method.name
        )
        many = method.matched and len(set(owners.values())) > 1
        for number, run in enumerate(method.runs):
            view = View.of(run, splits, f"{method.name}, run {number}", method.matched)
            scorer.single(view, number)
            if many:
                scorer.left_out(view, number, "leave-one-out", list(splits))
                identity += _identity(view, scorer, number, "h")
        for number, run in enumerate(method.projected):
            view = View.of(run, splits, f"{method.name}, projection of run {number}")
            if many:
                identity += _identity(view, scorer, number, "z")
        for number, models in enumerate(method.strict):
            for held, run in models.items():
                shown = {n: s for n, s in splits.items() if np.isfinite(run[n]).any()}
                view = View.of(run, shown, f"{method.name}, run {number} without {held!r}")
                scorer.left_out(view, number, "strict", [held])
        actions += scorer.rows
        wrong += scorer.wrong
    return Evaluation(
        pd.DataFrame(actions),
        pd.DataFrame(wrong),
        pd.DataFrame(identity),
        tuple(map(str, known.classes)),
    )


def _check_gaps(splits: Mapping[str, FrameSplit], window: int, method: str) -> None:
    if not splits:
        raise DataError("splits: expected at least one animal, found none.")
    for name, split in splits.items():
        if split.gap + 1 < window:
            raise DataError(
                f"split of animal {name!r}: {split.gap} frames lie between training and test, but "
                f"{method!r} looks at {window} frames; leave a gap of {window - 1}."
            )


def _known_to_all(
    methods: Sequence[Method], splits: Mapping[str, FrameSplit]
) -> dict[str, FrameSplit]:
    """Keep the test frames that every method embeds: none may abstain from what is hard."""
    found = {}
    for name, split in splits.items():
        test = split.test.copy()
        for run in _runs(methods):
            values = np.asarray(run.get(name, ()))
            if values.ndim == 2 and len(values) == len(split):  # others are refused later
                known = np.isfinite(values).all(axis=1)
                # None at all: another recording of an animal that a strict model never saw.
                test &= known if known.any() else True
        if not test.any():
            raise DataError(
                f"animal {name!r}: there is no test frame of which all methods have an embedding "
                "without NaN; choose another split, or leave the animal out."
            )
        found[name] = FrameSplit(split.train, test)
    return found


def _runs(methods: Sequence[Method]) -> Iterator[Embeddings]:
    for method in methods:
        yield from method.runs
        yield from method.projected
        for models in method.strict:
            yield from models.values()


def _labelled(
    labels: Mapping[str, ArrayLike],
    splits: Mapping[str, FrameSplit],
    subjects: Mapping[str, str],
    seed: int,
) -> Labelled:
    given = {name: np.asarray(labels[name]) for name in splits if name in labels}
    if len({array.dtype.kind in "biuf" for array in given.values()}) > 1:
        raise DataError("labels: some animals have names of actions, others numbers; use one.")
    check_lengths({name: splits[name] for name in given}, given, "labels")
    classes, numbers = encode_labels(np.concatenate([*given.values()]) if given else np.zeros(0))
    if len(classes) < 2:
        raise DataError(
            f"labels: expected at least two actions over all animals, found {list(classes)}. Were "
            "labels given for the animals of the splits?"
        )
    filled = np.where(np.isnan(numbers), -1, numbers).astype(int)
    parts = np.split(filled, np.cumsum([len(array) for array in given.values()])[:-1])
    codes = dict(zip(given, parts, strict=True))
    for name, split in splits.items():
        codes.setdefault(name, np.full(len(split), -1))
    return Labelled(classes, codes, splits, subjects, seed)


def _identity(view: View, scorer: Scorer, number: int, space: str) -> list[dict]:
    subjects, scale = scorer.labelled.subjects, view.scale(list(view.features))

    def neighbours(train: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        bank, asked = (
            {name: view.scaled(name, spaced(rows, n), scale) for name, rows in frames.items()}
            for frames, n in ((train, _KNN_TRAIN), (view.test, _KNN_TEST))
        )
        return told_by_neighbours(bank, asked, subjects)

    far = {name: distant(rows, view.test[name]) for name, rows in view.train.items()}
    answers = {
        "distant linear": view.who(far, subjects, scorer.probe),
        "distant knn": neighbours(far),
        "linear": view.who(view.train, subjects, scorer.probe),
        "knn": neighbours(view.train),
    }
    found = []
    for kind, told in answers.items():
        for animal in view.features:
            right = told[animal] == subjects[animal]
            found.append(
                {
                    "method": scorer.method,
                    "seed": number,
                    "space": space,
                    "probe": kind,
                    "animal": animal,
                    "recall": float(right.mean()),
                    "chance": 1 / len({subjects[name] for name in view.features}),
                    "n_test": len(right),
                }
            )
    return found
