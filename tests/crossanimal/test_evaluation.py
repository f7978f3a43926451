"""An evaluator that cannot be fooled: probes, protocols, nulls, and what it refuses."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression

from tinbergen.crossanimal import (
    FrameSplit,
    Method,
    evaluate_embeddings,
    split_at_end,
    split_by_blocks,
)
from tinbergen.crossanimal.evaluation_probes import (
    SHRINKAGE,
    Moments,
    discriminants,
    knn,
    logistic,
    total,
)
from tinbergen.crossanimal.evaluation_split import keep_fraction
from tinbergen.errors import ConfigError, DataError

NAMES = ("a", "b", "c", "d", "e", "f")


def study(strength=1.5, apart=0.0, n=600, width=8, classes=3, seed=0):
    """Labels in bouts, features that tell them, and what tells the animals apart."""
    rng = np.random.default_rng(seed)
    means = rng.standard_normal((classes, width))
    labels, features = {}, {}
    for name in NAMES:
        codes = np.repeat(rng.permutation(np.arange(n // 10) % classes), 10)
        labels[name] = np.array(["walk", "rest", "groom"])[codes]
        noise = rng.standard_normal((n, width))
        features[name] = strength * means[codes] + noise + apart * rng.standard_normal(width)
    return labels, features, {name: split_at_end(n) for name in NAMES}


def score(result, protocol, fraction=1.0, column="balanced_accuracy", method="m"):
    table = result.summary().set_index(["method", "protocol", "fraction"])
    return table.loc[(method, protocol, fraction), column]


class TestSplits:
    def test_blocks_keep_their_distance(self):
        split = split_by_blocks(10, 1000, test=0.3, gap=7, seed=1)
        assert split.test.sum() == 300 and split.gap == 7
        assert not (split.train & split.test).any()

    @given(st.integers(20, 300), st.integers(2, 8), st.integers(0, 5), st.integers(0, 99))
    def test_any_blocks(self, n, blocks, gap, seed):
        try:
            split = split_by_blocks(blocks, n, gap=gap, seed=seed)
        except DataError:
            return
        assert split.gap >= gap

    def test_whole_trials(self):
        trials = np.repeat(np.arange(8), 25)
        split = split_by_blocks(trials, test=0.25, gap=0)
        assert all(
            split.test[trials == k].all() or split.train[trials == k].all() for k in range(8)
        )

    def test_trials_keep_their_distance_and_the_time_between_is_of_none(self):
        trials = np.r_[np.repeat(np.arange(8), 25), np.full(50, -1)]
        split = split_by_blocks(trials, test=0.25, gap=6, seed=3)
        assert split.gap >= 6 and split.test.sum() == 50
        assert not (split.train | split.test)[trials < 0].any()

    def test_a_gap_longer_than_the_recording(self):
        with pytest.raises(DataError, match="0 in train"):
            split_by_blocks(4, 20, gap=30)

    def test_what_cannot_be(self):
        both = np.array([True, True, False])
        with pytest.raises(DataError, match="2 frames are in train and test"):
            FrameSplit(both, both)
        with pytest.raises(DataError, match="at least two blocks"):
            split_by_blocks(np.zeros(50))
        with pytest.raises(DataError, match="0 in train"):
            split_at_end(20, test=0.5, gap=10)

    @given(st.floats(0.05, 1.0), st.integers(0, 50))
    def test_fractions_keep_every_class_and_their_share(self, fraction, seed):
        labels = np.repeat([0, 1, 0, 2, 0], 200)
        rows = np.arange(100, 1000)
        kept = keep_fraction(labels, rows, fraction, np.random.default_rng(seed))
        assert set(labels[kept]) == {0, 1, 2} and np.isin(kept, rows).all()
        assert (np.diff(kept) > 0).all()
        for code in range(3):
            own = (labels[rows] == code).sum()
            assert abs((labels[kept] == code).sum() - fraction * own) <= 0.05 * own + 1


class TestProbes:
    def rows(self, seed=0, n=900):
        rng = np.random.default_rng(seed)
        codes = np.arange(n) % 3
        x = rng.standard_normal((3, 5))[codes] + rng.standard_normal((n, 5)) @ rng.random((5, 5))
        return x, codes

    def test_the_discriminant_is_that_of_scikit_learn(self):
        x, codes = self.rows()
        ours = discriminants(Moments.of(x, codes[None], 3))[0].predict(x)
        theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=SHRINKAGE).fit(x, codes)
        assert np.array_equal(ours, theirs.predict(x))

    def test_the_logistic_probe_is_that_of_scikit_learn(self):
        x, codes = self.rows(1)
        z = (x - x.mean(axis=0)) / x.std(axis=0)
        theirs = LogisticRegression(C=0.01, class_weight="balanced", max_iter=500).fit(z, codes)
        assert np.mean(logistic(x, codes, 100.0).predict(x) == theirs.predict(z)) > 0.995

    @given(st.integers(0, 1000), st.integers(1, 40))
    @settings(max_examples=30)
    def test_moments_add_up_and_can_be_scaled(self, seed, cut):
        rng = np.random.default_rng(seed)
        x, codes = rng.standard_normal((60, 3)) + 2, rng.integers(0, 4, (2, 60))
        whole = Moments.of(x, codes, 4)
        parts = total(
            [Moments.of(x[:cut], codes[:, :cut], 4), Moments.of(x[cut:], codes[:, cut:], 4)]
        )
        mean, size = rng.standard_normal(3), rng.uniform(0.5, 2, 3)
        scaled, direct = whole.scaled(mean, size), Moments.of((x - mean) / size, codes, 4)
        for a, b in ((whole, parts), (scaled, direct)):
            for name in ("n", "total", "squares"):
                assert np.allclose(getattr(a, name), getattr(b, name), atol=1e-8)

    def test_a_class_that_training_lacks_is_never_named(self):
        x, codes = self.rows()
        seen = codes != 1
        probe = discriminants(Moments.of(x[seen], codes[None, seen], 3))[0]
        assert set(probe.predict(x)) == {0, 2}

    def test_neighbours(self):
        train = np.array([[1.0, 0], [0.9, 0.1], [0, 1.0]])
        assert knn(train, np.array([4, 4, 7]), np.array([[5.0, 0], [0, 0.1]]), 1).tolist() == [
            4,
            7,
        ]


class TestProtocols:
    def test_good_features_within_and_across(self):
        labels, features, splits = study()
        result: Any = evaluate_embeddings([Method("m", [features])], labels, splits)
        for protocol in ("single", "leave-one-out"):
            assert score(result, protocol) > 0.85
            assert score(result, protocol, column="chance") == pytest.approx(1 / 3)
            error = score(result, protocol, column="shuffled_error")
            assert abs(score(result, protocol, column="shuffled") - 1 / 3) < max(3 * error, 0.05)
            assert score(result, protocol, column="rolled") < 0.45
        assert not result.warnings()

    def test_shuffled_labels_tell_what_the_share_of_an_action_tells(self):
        """Animals that do more of one action move the mean of its class; the null says so."""
        labels, features, splits = study()
        for name, action in zip(NAMES, ["walk", "rest", "groom"] * 2, strict=True):
            few = np.flatnonzero((labels[name] != action) & splits[name].train)
            labels[name][few[: int(0.8 * len(few))]] = ""
        result: Any = evaluate_embeddings([Method("m", [features])], labels, splits)
        assert score(result, "leave-one-out", column="shuffled") > 0.6
        assert any("more of an action than others" in text for text in result.warnings())

    @pytest.mark.parametrize("probe", ["discriminant", "logistic"])
    def test_labels_of_the_held_out_animal_never_matter(self, probe):
        labels, features, splits = study()
        kinds = {}
        for poisoned in (False, True):
            given = dict(labels)
            if poisoned:
                wrong = given["c"].astype("<U9").copy()
                train = splits["c"].train
                wrong[train] = np.roll(wrong[train], 37)
                wrong[np.flatnonzero(train)[:50]] = "poison"  # a class that is nowhere else
                given["c"] = wrong
            method = Method("m", [features], strict=[{"c": features}])
            kinds[poisoned] = evaluate_embeddings([method], given, splits, probe=probe, nulls=2)
        for protocol in ("leave-one-out", "strict"):
            rows = [
                each.actions.query(f"protocol == {protocol!r} and animal == 'c'")
                for each in kinds.values()
            ]
            for column in ("balanced_accuracy", "macro_f1", "accuracy", "n_train"):
                assert np.array_equal(rows[0][column], rows[1][column]), (protocol, column)
            nulls = [
                each.wrong.query(f"protocol == {protocol!r} and animal == 'c'")
                for each in kinds.values()
            ]
            assert np.array_equal(*(each["balanced_accuracy"] for each in nulls))
        # It would matter within the animal, so the poison was one.
        single = [
            e.actions.query("protocol == 'single' and animal == 'c'") for e in kinds.values()
        ]
        assert not np.array_equal(*(each["balanced_accuracy"] for each in single))

    def test_test_labels_are_compared_and_no_more(self):
        labels, features, splits = study()
        other = {k: v.copy() for k, v in labels.items()}
        for name, split in splits.items():
            other[name][split.test] = np.roll(other[name][split.test], 31)
        before, after = (
            evaluate_embeddings([Method("m", [features])], each, splits, nulls=0)
            for each in (labels, other)
        )
        assert score(before, "leave-one-out") > 0.85
        assert score(after, "leave-one-out") < 0.5

    def test_features_without_the_animal_are_at_chance(self):
        labels, features, splits = study(strength=0.0)
        result: Any = evaluate_embeddings([Method("m", [features])], labels, splits)
        who = result.identity_summary().set_index("probe")
        n = 6 * 120
        for probe in ("linear", "knn", "distant linear", "distant knn"):
            assert abs(who.loc[probe, "accuracy"] - 1 / 6) < 3 * np.sqrt(1 / 6 * 5 / 6 / n)
            assert who.loc[probe, "chance"] == pytest.approx(1 / 6)
        for protocol in ("single", "leave-one-out"):
            assert score(result, protocol) == pytest.approx(1 / 3, abs=0.06)
        assert any("no better than probes of" in text for text in result.warnings())

    def test_an_animal_that_gives_itself_away(self):
        labels, features, splits = study(strength=0.0, apart=3.0)
        result: Any = evaluate_embeddings([Method("m", [features])], labels, splits)
        assert (result.identity_summary()["accuracy"] > 0.95).all()
        assert score(result, "leave-one-out") == pytest.approx(1 / 3, abs=0.08)

    def test_constant_embeddings_score_chance(self):
        labels, features, splits = study()
        dead = {name: np.ones_like(values) for name, values in features.items()}
        result: Any = evaluate_embeddings([Method("m", [dead])], labels, splits)
        assert score(result, "single") == pytest.approx(1 / 3)

    def test_offsets_and_units_do_not_matter(self):
        labels, features, splits = study()
        other = {name: 1e-3 * values + 1e4 for name, values in features.items()}
        one, two = (
            evaluate_embeddings([Method("m", [each])], labels, splits, nulls=0)
            for each in (features, other)
        )
        assert score(one, "leave-one-out") == pytest.approx(score(two, "leave-one-out"), abs=0.01)

    def test_scaling_by_the_animal_itself(self):
        labels, features, splits = study(apart=4.0)
        common, own = (
            evaluate_embeddings([Method("m", [features])], labels, splits, per_animal=p, nulls=0)
            for p in (False, True)
        )
        assert score(own, "leave-one-out") > score(common, "leave-one-out") + 0.1

    def test_an_animal_draws_the_same_labels_whoever_else_is_there(self):
        labels, features, splits = study(strength=0.5)
        few = {name: splits[name] for name in NAMES[:3]}
        one, two = (
            evaluate_embeddings([Method("m", [features])], labels, each, nulls=3)
            for each in (splits, few)
        )
        for table in ("actions", "wrong"):
            a, b = (
                getattr(e, table).query("protocol == 'single' and animal == 'b'")
                for e in (one, two)
            )
            assert np.array_equal(a["balanced_accuracy"], b["balanced_accuracy"])

    def test_recordings_of_one_animal_are_left_out_together(self):
        """Two recordings with the same code for actions, which no other animal shares."""
        labels, features, splits = study(strength=0.0)
        rng = np.random.default_rng(5)
        for name in "ab":
            for k, action in enumerate(["walk", "rest", "groom"]):
                features[name][labels[name] == action, k] += 4.0
        for name in "cdef":
            features[name] = rng.standard_normal(features[name].shape)
        method = Method("m", [features])
        apart = evaluate_embeddings([method], labels, splits, nulls=0)
        fooled: Any = apart.actions.query("animal == 'a' and protocol == 'leave-one-out'")
        together = evaluate_embeddings(
            [method], labels, splits, nulls=0, subjects={"a": "fly1", "b": "fly1"}
        )
        honest: Any = together.actions.query("animal == 'a' and protocol == 'leave-one-out'")
        assert fooled["balanced_accuracy"].mean() > 0.8
        assert honest["balanced_accuracy"].mean() < 0.55
        assert together.identity["chance"].iloc[0] == pytest.approx(1 / 5)

    def test_seeds_widen_the_interval(self):
        labels, features, splits = study(strength=0.4)
        worse = {
            name: np.random.default_rng(3).standard_normal(v.shape) for name, v in features.items()
        }
        one = evaluate_embeddings([Method("m", [features])], labels, splits, nulls=0)
        two = evaluate_embeddings([Method("m", [features, worse])], labels, splits, nulls=0)
        width = [
            score(e, "single", column="high") - score(e, "single", column="low")
            for e in (one, two)
        ]
        assert width[1] > width[0] and score(two, "single", column="n_seeds") == 2

    def test_traces_of_other_neurons_are_not_carried_over(self):
        labels, features, splits = study()
        raw = {name: np.c_[v, v[:, : k + 1]] for k, (name, v) in enumerate(features.items())}
        method = Method("m", [raw], matched=False, probe="wide logistic")
        result: Any = evaluate_embeddings([method], labels, splits, nulls=1)
        assert set(result.actions["protocol"]) == {"single"} and not len(result.identity)
        with pytest.raises(DataError, match="matched=False"):
            evaluate_embeddings([Method("m", [raw])], labels, splits)

    def test_the_form_of_the_paper(self):
        labels, features, splits = study()
        table = evaluate_embeddings([Method("m", [features])], labels, splits).table()
        assert list(table.index) == ["random", "m"]
        assert list(table.columns) == [
            "single 0.5",
            "single 1",
            "leave-one-out 0.5",
            "leave-one-out 1",
        ]
        assert table.loc["random"].to_numpy() == pytest.approx(100 / 3)

    def test_no_method_may_abstain_from_what_is_hard(self):
        labels, features, splits = study(strength=0.4)
        result: Any = evaluate_embeddings([Method("m", [features])], labels, splits, nulls=0)
        coy = {name: values.copy() for name, values in features.items()}
        for name in NAMES:
            coy[name][(labels[name] != "walk") & splits[name].test] = np.nan
            coy[name][np.flatnonzero(splits[name].test)[:60]] = features[name][
                np.flatnonzero(splits[name].test)[:60]
            ]
        methods = [Method("m", [features]), Method("coy", [coy])]
        both: Any = evaluate_embeddings(methods, labels, splits, nulls=0)
        for protocol in ("single", "leave-one-out"):
            assert score(both, protocol) == score(both, protocol, method="coy")
        assert (both.actions["n_test"] < result.actions["n_test"].max()).all()

    def test_a_slow_drift_is_no_animal(self):
        """Near in time the animal can be told, far in time not: every animal drifts elsewhere."""
        labels, features, splits = study(strength=0.0)
        rng = np.random.default_rng(4)
        late = (np.arange(600) >= 300)[:, None]
        drifting = {
            name: values + np.where(late, *(4 * rng.standard_normal((2, 8))))
            for name, values in features.items()
        }
        still = {name: values + 3 * rng.standard_normal(8) for name, values in features.items()}
        methods = [Method("drifts", [drifting]), Method("differs", [still])]
        result: Any = evaluate_embeddings(methods, labels, splits, nulls=0)
        who: Any = result.identity_summary().set_index(["method", "probe"])["accuracy"]
        assert who["drifts", "knn"] > 0.8
        for probe in ("distant linear", "distant knn"):
            assert who["drifts", probe] < 0.5
            assert who["differs", probe] > 0.9


class TestRefusals:
    def test_a_window_that_reaches_across_the_gap(self):
        labels, features, splits = study()
        with pytest.raises(DataError, match="10 frames lie between .* looks at 20 frames"):
            evaluate_embeddings([Method("m", [features])], labels, splits, window=20)
        with pytest.raises(DataError, match="'far' looks at 13 frames; leave a gap of 12"):
            evaluate_embeddings([Method("far", [features], window=13)], labels, splits)

    def test_lengths_names_and_gaps(self):
        labels, features, splits = study()
        short = {**features, "b": features["b"][:-1]}
        with pytest.raises(DataError, match="m, run 0, animal 'b': expected 600 frames"):
            evaluate_embeddings([Method("m", [short])], labels, splits)
        with pytest.raises(DataError, match="nothing for animal 'f'"):
            evaluate_embeddings([Method("m", [{k: features[k] for k in "abcde"}])], labels, splits)
        nothing = {**features, "d": np.full((600, 8), np.nan)}
        with pytest.raises(DataError, match="animal 'd': no train frame has an embedding"):
            evaluate_embeddings([Method("m", [nothing])], labels, splits)
        with pytest.raises(ConfigError, match="stands twice"):
            evaluate_embeddings([Method("m", [features])] * 2, labels, splits)
        with pytest.raises(ConfigError, match="probe: expected one of"):
            evaluate_embeddings([Method("m", [features])], labels, splits, probe="svm")  # type: ignore[arg-type]

    def test_labels(self):
        labels, features, splits = study()
        with pytest.raises(DataError, match="at least two actions"):
            evaluate_embeddings([Method("m", [features])], {}, splits)
        mixed = {**labels, "a": np.zeros(600)}
        with pytest.raises(DataError, match="names of actions, others numbers"):
            evaluate_embeddings([Method("m", [features])], mixed, splits)

    def test_an_animal_without_labels_or_with_one_action(self):
        labels, features, splits = study()
        labels["a"] = np.full(600, "", dtype="<U5")
        labels["b"] = np.full(600, "walk")
        result: Any = evaluate_embeddings([Method("m", [features])], labels, splits)
        assert set(result.actions.query("protocol == 'single'")["animal"]) == set("cdef")
        assert score(result, "leave-one-out", column="n_animals") == 4
        assert any(text.startswith("b: one action alone") for text in result.warnings())
        assert set(result.identity["animal"]) == set(NAMES)

    def test_one_animal_alone(self):
        labels, features, splits = study()
        method = Method("m", [features], projected=[features])
        result: Any = evaluate_embeddings([method], labels, {"a": splits["a"]})
        assert not len(result.identity)
        assert set(result.actions["protocol"]) == {"single"}


def test_eight_animals_are_evaluated_in_seconds():
    rng = np.random.default_rng(0)
    labels = {f"fly{i}": np.repeat(rng.integers(0, 6, 250), 10) for i in range(8)}
    features = {
        k: rng.standard_normal((6, 64))[v] + rng.standard_normal((2500, 64))
        for k, v in labels.items()
    }
    splits = {name: split_at_end(2500) for name in labels}
    begin = time.process_time()
    evaluate_embeddings([Method("m", [features])], labels, splits)
    assert time.process_time() - begin < 5  # of 20,000 frames, on any machine
