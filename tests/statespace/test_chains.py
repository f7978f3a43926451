"""Chains of discrete states against all their paths."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from tinbergen.errors import DataError
from tinbergen.statespace import chains
from tinbergen.statespace.chains import forward_backward, viterbi


def all_paths(density: np.ndarray, initial: np.ndarray, moves: np.ndarray):
    """Return marginals, summed pairs, evidence, and the best path, from every path there is."""
    n, k = density.shape
    paths = np.array(list(product(range(k), repeat=n)))
    with np.errstate(divide="ignore"):
        log_initial, log_moves = np.log(initial), np.log(moves)
    score = log_initial[paths[:, 0]] + density[np.arange(n), paths].sum(axis=1)
    score = score + log_moves[paths[:, :-1], paths[:, 1:]].sum(axis=1)
    evidence = logsumexp(score)
    weight = np.exp(score - evidence)
    marginals = np.stack([(weight[:, None] * (paths == s)).sum(axis=0) for s in range(k)], 1)
    pairs = np.zeros((k, k))
    for path, share in zip(paths, weight, strict=True):
        np.add.at(pairs, (path[:-1], path[1:]), share)
    return marginals, pairs, evidence, paths[score.argmax()], score.max()


class TestPublishedNumbers:
    def test_discrete_outputs(self):
        emission = np.array([[0.5, 0.4, 0.1], [0.1, 0.3, 0.6]])
        density = np.log(emission[:, [0, 1, 2, 2]].T)
        initial, moves = np.array([0.6, 0.4]), np.array([[0.7, 0.3], [0.2, 0.8]])
        found = forward_backward([density], initial, moves)
        np.testing.assert_allclose(found.log_likelihoods, -3.998616288, atol=1e-9)
        np.testing.assert_allclose(np.exp(found.log_likelihoods), 0.018341, atol=1e-12)
        np.testing.assert_allclose(
            found.states[0][:, 0], [0.85300692, 0.51109536, 0.09317922, 0.06236301], atol=1e-8
        )
        np.testing.assert_allclose(
            found.pairs, [[0.60163132, 0.85565018], [0.06500627, 1.47771223]], atol=1e-8
        )
        paths, scores = viterbi([density], initial, moves)
        assert paths[0].tolist() == [0, 0, 1, 1]
        np.testing.assert_allclose(scores, -4.925706083, atol=1e-9)

    def test_sticky_smoothing_of_probabilities(self):
        chance = np.array([0.9, 0.8, 0.4, 0.8, 0.9, 0.2, 0.1, 0.2])
        density = np.log(np.stack([chance, 1 - chance], axis=1))
        paths, scores = viterbi([density], np.full(2, 0.5), np.array([[0.95, 0.05], [0.05, 0.95]]))
        assert paths[0].tolist() == [0, 0, 0, 0, 0, 1, 1, 1]
        np.testing.assert_allclose(scores, -6.121585705, atol=1e-9)


@st.composite
def models(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    states = draw(st.integers(1, 3))
    lengths = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    spread = draw(st.sampled_from([0.1, 3.0, 300.0]))
    densities = [rng.normal(size=(n, states)) * spread for n in lengths]
    for density in densities:  # some states are ruled out, never all of a frame
        ruled_out = rng.random(density.shape) < draw(st.sampled_from([0.0, 0.4]))
        ruled_out[np.arange(len(density)), rng.integers(states, size=len(density))] = False
        density[ruled_out] = -np.inf
    initial = rng.dirichlet(np.ones(states))
    return densities, initial, rng.dirichlet(np.ones(states), states)


@settings(deadline=None, max_examples=60)
@given(models(), st.booleans())
def test_inference_is_that_of_all_paths(model, in_blocks):
    densities, initial, moves = model
    with pytest.MonkeyPatch.context() as patch:
        if in_blocks:  # so short sequences would be scanned in one go
            patch.setattr(chains, "_MULTIPLY", -1.0)
        found = forward_backward(densities, initial, moves)
    paths, scores = viterbi(densities, initial, moves)
    total = 0.0
    for i, density in enumerate(densities):
        marginals, pairs, evidence, best, score = all_paths(density, initial, moves)
        total = total + pairs
        np.testing.assert_allclose(found.states[i], marginals, atol=1e-9)
        np.testing.assert_allclose(found.log_likelihoods[i], evidence, rtol=1e-10, atol=1e-9)
        np.testing.assert_allclose(scores[i], score, rtol=1e-10, atol=1e-9)
        assert paths[i].tolist() == best.tolist()
    np.testing.assert_allclose(found.pairs, total, atol=1e-8)


@pytest.mark.parametrize(("lengths", "states"), [((700, 3, 1, 450), 3), ((90, 80), 40)])
def test_blocks_change_nothing(monkeypatch, lengths, states):
    rng = np.random.default_rng(0)
    densities = [rng.normal(size=(n, states)) * 30 for n in lengths]
    initial, moves = rng.dirichlet(np.ones(states)), rng.dirichlet(np.ones(states), states)
    found = []
    for multiply in (-1.0, 1.0):  # always in blocks, never in blocks
        monkeypatch.setattr(chains, "_MULTIPLY", multiply)
        found.append(forward_backward(densities, initial, moves))
    np.testing.assert_allclose(found[0].pairs, found[1].pairs, atol=1e-8)
    np.testing.assert_allclose(found[0].log_likelihoods, found[1].log_likelihoods, rtol=1e-12)
    for one, other in zip(found[0].states, found[1].states, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-10)


def test_a_frame_of_which_nothing_was_seen_is_between_its_neighbours():
    moves = np.array([[0.9, 0.1], [0.1, 0.9]])
    density = np.array([[0.0, -40.0], [0.0, 0.0], [0.0, -40.0]])
    found = forward_backward([density], np.full(2, 0.5), moves)
    np.testing.assert_allclose(found.states[0][1, 0], 0.81 / (0.81 + 0.01), atol=1e-9)


class TestRefused:
    def test_impossible_transition(self):
        density = np.array([[0.0, -np.inf], [-np.inf, 0.0]])
        with pytest.raises(DataError, match=r"Sequence 0 is impossible"):
            forward_backward([density], np.full(2, 0.5), np.eye(2))

    def test_frame_without_a_state(self):
        density = np.array([[0.0, 0.0], [-np.inf, -np.inf]])
        with pytest.raises(DataError, match="Sequence 0, frame 1"):
            forward_backward([density], np.full(2, 0.5), np.full((2, 2), 0.5))

    @pytest.mark.parametrize(
        "density", [np.empty((0, 2)), np.zeros((3, 3)), np.full((2, 2), np.nan)]
    )
    def test_shapes_and_numbers(self, density):
        with pytest.raises(DataError, match=r"log_densities\[0\]"):
            forward_backward([density], np.full(2, 0.5), np.full((2, 2), 0.5))


class TestNoWayBack:
    """States that cannot be left: evidence of more than 700 nats must not underflow."""

    STAY = np.eye(2)

    def test_a_known_beginning(self):
        density = np.stack([np.zeros(2000), np.ones(2000)], axis=1)
        found = forward_backward([density], np.array([1.0, 0.0]), self.STAY)
        np.testing.assert_array_equal(found.states[0], np.tile([1.0, 0.0], (2000, 1)))
        assert found.log_likelihoods == pytest.approx([0.0])
        np.testing.assert_allclose(found.pairs, [[1999, 0], [0, 0]])

    def test_evidence_that_turns(self):
        density = np.zeros((4000, 2))
        density[:2000, 0], density[2000:, 1] = 1.0, 1.5
        found = forward_backward([density, density[:1000]], np.full(2, 0.5), self.STAY)
        assert found.log_likelihoods == pytest.approx([3000 - np.log(2), 1000 - np.log(2)])
        assert found.states[0][0, 1] == pytest.approx(1.0)
        assert found.states[1][0, 0] == pytest.approx(1.0)

    def test_logs_and_blocks_agree(self, monkeypatch):
        rng = np.random.default_rng(0)
        chain = rng.dirichlet(np.ones(3), 3)
        densities = [rng.normal(size=(n, 3)) for n in (400, 1, 37)]
        quick = forward_backward(densities, np.full(3, 1 / 3), chain)
        monkeypatch.setattr(chains, "_NO_WAY", 2.0)
        slow = forward_backward(densities, np.full(3, 1 / 3), chain)
        for one, other in zip(quick.states, slow.states, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-10)
        np.testing.assert_allclose(quick.pairs, slow.pairs)
        np.testing.assert_allclose(quick.log_likelihoods, slow.log_likelihoods)
