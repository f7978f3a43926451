import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tinbergen.actions import Decoder, choose_decoder, fit_temperature
from tinbergen.actions.decoder import tempered
from tinbergen.actions.decoding import (
    duration_log_probabilities,
    semi_markov_viterbi,
    smoothed,
    sticky_path,
    without_gaps,
    without_short_bouts,
)
from tinbergen.errors import ConfigError, DataError
from tinbergen.metrics import bouts, segment_scores
from tinbergen.statespace.chains import viterbi

CODES = st.lists(st.integers(-1, 2), min_size=1, max_size=25).map(np.array)


def two_classes(p):
    p = np.array(p)
    return np.stack([p, 1 - p], axis=1)


def lengths(codes):
    return bouts(codes).lengths


def test_a_sticky_path_passes_over_a_short_doubt():
    p = two_classes([0.9, 0.8, 0.4, 0.8, 0.9, 0.2, 0.1, 0.2])
    assert p.argmax(axis=1).tolist() == [0, 0, 1, 0, 0, 1, 1, 1]
    found = Decoder("sticky", stay=0.95).fit([np.array([0, 1])], 2).decode([p])[0]
    assert found.tolist() == [0, 0, 0, 0, 0, 1, 1, 1]


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 3), st.integers(1, 6))
def test_the_semi_markov_path_is_the_best_of_all(seed, n, classes, longest):
    rng = np.random.default_rng(seed)
    logs = rng.normal(size=(n, classes))
    durations = np.log(rng.dirichlet(np.ones(longest), classes).T + 1e-12)
    transitions = rng.dirichlet(np.ones(classes), classes) * (1 - np.eye(classes))
    survival = np.logaddexp.accumulate(durations[::-1], axis=0)[::-1]

    def score(path):
        total, before = -np.log(classes), None
        for begin, stop, k in zip(*bouts(np.array(path))[:3], strict=True):
            length = stop - begin
            if length > longest:
                return -np.inf
            if before is not None:
                total += np.log(transitions[before, k])
            total += (survival if stop == n else durations)[length - 1, k]
            before = k
        return total + sum(logs[t, k] for t, k in enumerate(path))

    scores = {path: score(path) for path in itertools.product(range(classes), repeat=n)}
    best = max(scores.values())
    if not np.isfinite(best):  # one class, which may not last so long
        return
    path, value = semi_markov_viterbi(logs, durations, transitions)
    assert value == pytest.approx(best)
    assert scores[tuple(path.tolist())] == pytest.approx(best)


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 4), st.floats(0.5, 0.999))
def test_the_sticky_path_is_that_of_viterbi(seed, n, classes, stay):
    logs = np.random.default_rng(seed).normal(size=(n, classes))
    moves = np.full((classes, classes), (1 - stay) / max(classes - 1, 1))
    np.fill_diagonal(moves, stay if classes > 1 else 1.0)
    paths, scores = viterbi([logs], np.full(classes, 1 / classes), moves)
    path, score = sticky_path(logs, stay)
    assert_array_equal(path, paths[0])
    assert score == pytest.approx(scores[0])


def test_durations_are_probabilities_around_those_of_the_bouts():
    found = np.exp(duration_log_probabilities([np.array([20.0, 22, 18]), np.array([5.0])], 60))
    assert_allclose(found.sum(axis=0), 1)
    assert 12 < found[:, 0].argmax() < 22
    assert_allclose((found[:, 1] > 0).all(), True)


@given(CODES, st.integers(1, 6))
def test_no_bout_is_left_that_is_too_short(codes, shortest):
    before = codes.copy()
    found = without_short_bouts(codes, shortest)
    assert_array_equal(codes, before)
    assert_array_equal(found < 0, codes < 0)
    begins = np.flatnonzero(np.diff(found < 0, prepend=True, append=True))
    for first, last in zip(begins[::2], begins[1::2], strict=True):
        own = lengths(found[first:last])
        assert len(own) == 1 or own.min() >= shortest


@given(CODES, st.integers(0, 5))
def test_only_gaps_of_background_inside_a_behaviour_are_filled(codes, longest):
    found = without_gaps(codes, longest, background=0)
    changed = found != codes
    assert (codes[changed] == 0).all()
    for first, last in zip(*bouts(np.where(changed, 1, -1))[:2], strict=True):
        assert last - first <= longest
        assert codes[first - 1] == codes[last] == found[first]


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(0, 8))
def test_a_mean_over_frames_keeps_probabilities(seed, n, half):
    p = np.random.default_rng(seed).dirichlet(np.ones(3), n)
    found = smoothed(p, 2 * half + 1)
    assert_allclose(found.sum(axis=1), 1)
    for t in range(n):
        assert_allclose(found[t], p[max(0, t - half) : t + half + 1].mean(axis=0))


def test_the_temperature_that_was_applied_is_found_again():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), 4000)
    codes = np.array([rng.choice(3, p=each) for each in p])
    assert fit_temperature([p], [codes]) == pytest.approx(1, abs=0.1)
    assert fit_temperature([tempered(p, 0.5)], [codes]) == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize("path", ["frames", "sticky", "semi_markov"])
def test_certain_probabilities_are_decoded_as_they_are(path):
    codes = np.repeat([0, 2, 1, 0, 2], [40, 35, 50, 30, 45])
    p = 0.97 * np.eye(3)[codes] + 0.01
    decoder = Decoder(path, weight=1.0).fit([codes], 3)
    assert_array_equal(decoder.decode([p])[0], codes)
    assert decoder.decode([np.empty((0, 3))])[0].shape == (0,)


def test_a_saved_decoder_decodes_alike(tmp_path):
    rng = np.random.default_rng(0)
    codes = np.repeat(rng.integers(0, 3, 20), 15)
    p = [rng.dirichlet(np.ones(3), 200)]
    decoder = Decoder("semi_markov", window=5, shortest=3, temperature=0.7).fit([codes], 3)
    decoder.save(tmp_path)
    assert_array_equal(Decoder.load(tmp_path).decode(p)[0], decoder.decode(p)[0])


def test_the_decoder_is_chosen_by_its_scores_on_validation():
    rng = np.random.default_rng(0)
    codes = np.repeat(rng.integers(0, 3, 30), 40)
    noisy = np.eye(3)[codes] + rng.normal(0, 0.8, (len(codes), 3))
    p = np.exp(noisy) / np.exp(noisy).sum(axis=1, keepdims=True)
    choice = choose_decoder([p], [codes])
    plain = choice.table.query("path == 'frames' and window == 1")["edit"].item()
    chosen = choice.table.query("chosen")
    assert len(chosen) == 1
    assert chosen["edit"].item() > 2 * plain
    assert chosen["path"].item() == choice.decoder.path
    with pytest.raises(DataError, match="nothing to choose on"):
        choose_decoder([p], [np.full(len(p), -1)])


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"path": "best"}, "path: expected frames, sticky or semi_markov"),
        ({"window": 4}, "odd number"),
        ({"path": "sticky", "stay": 1.0}, "from 1/2 to below 1"),
        ({"gap": 3}, "Name the background"),
        ({"temperature": 0.0}, "above 0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, text):
    with pytest.raises(ConfigError, match=text):
        Decoder(**settings).fit([np.array([0, 1])], 2).decode([np.full((5, 2), 0.5)])


def test_durations_are_never_those_of_the_recording_that_is_scored():
    # One recording has bouts of 5 frames, the other of 50; each is decoded as if by the other's.
    rng = np.random.default_rng(0)
    codes = [np.tile(np.repeat([0, 1], length), 300 // length) for length in (5, 50)]
    unsure = [np.where(each[:, None] == [0, 1], 0.7, 0.3) for each in codes]
    unsure = [p + rng.normal(0, 0.05, (600, 1)) * [1, -1] for p in unsure]
    candidate = Decoder("semi_markov", weight=0.3)
    row = choose_decoder(unsure, codes, candidates=[candidate]).table.iloc[0]
    crossed = [
        Decoder("semi_markov", weight=0.3).fit([codes[1 - i]], 2).decode([unsure[i]])[0]
        for i in (0, 1)
    ]
    assert row["edit"] == segment_scores(codes, crossed, 2).edit
    own = Decoder("semi_markov", weight=0.3).fit(codes, 2).decode(unsure)
    assert row["edit"] != segment_scores(codes, own, 2).edit
