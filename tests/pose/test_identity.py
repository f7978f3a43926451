"""Tracks that were exchanged in an encounter are put right by what the animals look like."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from tinbergen.errors import DataError
from tinbergen.pose import identify, looks_of
from tinbergen.pose.identity import _cheapest
from tinbergen.recordings import Keypoints, Series

SHAPE = np.array([[-10.0, 0.0], [10.0, 0.0], [0.0, 8.0]])
MEETINGS = (40, 90, 120)
N = 160


def meeting_pair(n_animals=2):
    """Animals that come close three times, and their looks: noise with a mean each."""
    rng = np.random.default_rng(0)
    apart = 60 - 55 * np.exp(-((np.arange(N)[:, None] - np.array(MEETINGS)) ** 2 / 20)).sum(axis=1)
    centres = np.zeros((N, n_animals, 2))
    centres[:, :, 0] = 100 + apart[:, None] * np.arange(n_animals)
    looks = rng.normal(0, 1, (N, n_animals, 8)) @ rng.normal(0, 1, (8, 8))
    means = rng.normal(0, 2.0, (n_animals, 8))
    tracks = Keypoints(
        np.arange(N) / 25,
        centres[:, :, None] + SHAPE,
        np.full((N, n_animals, 3), 0.9),
        individuals=tuple(f"track{i}" for i in range(n_animals)),
    )
    return tracks, looks + means


def exchanged(tracks, looks, at):
    """The same, with the first two animals exchanged from each of some frames on."""
    order = np.tile(np.arange(looks.shape[1]), (N, 1))
    for frame in at:
        order[frame:, :2] = order[frame:, 1::-1]
    moved = replace(
        tracks,
        positions=np.take_along_axis(tracks.positions, order[:, :, None, None], axis=1),
        confidence=np.take_along_axis(tracks.confidence, order[:, :, None], axis=1),
    )
    return moved, np.take_along_axis(looks, order[:, :, None], axis=1)


def is_one_animal_each(found, tracks):
    here = found.positions[..., 0, 0], tracks.positions[..., 0, 0]
    far = np.diff(here[1][:, :2], axis=1)[:, 0] > 30
    same = np.isclose(here[0][far], here[1][far]).all(axis=1)
    return same.all() or not same.any()


@pytest.mark.parametrize("at", [(), (40,), (40, 90), (120,), MEETINGS])
def test_exchanges_in_encounters_are_undone(at):
    tracks, looks = meeting_pair()
    assert is_one_animal_each(identify(*exchanged(tracks, looks, at)), tracks)


def test_of_three_animals_the_third_stays_out_of_it():
    tracks, looks = meeting_pair(3)
    found = identify(*exchanged(tracks, looks, (90,)))
    assert is_one_animal_each(found, tracks)


def test_an_exchange_far_from_any_other_animal_cannot_be():
    tracks, looks = meeting_pair()
    moved, moved_looks = exchanged(tracks, looks, (10,))  # 60 px apart: no tracker does that
    found = identify(moved, moved_looks)
    kept = [
        np.array_equal(found.positions[:30], moved.positions[:30][:, o]) for o in ([0, 1], [1, 0])
    ]
    assert any(kept)


def test_without_looks_or_with_one_animal_nothing_changes():
    tracks, looks = meeting_pair()
    assert identify(tracks, np.full_like(looks, np.nan)) is tracks
    alone = looks.copy()
    alone[:80, 0], alone[80:, 1] = np.nan, np.nan  # never two in view together
    assert identify(tracks, alone) is tracks
    with pytest.raises(DataError, match="found shape"):
        identify(tracks, looks[:5])
    many, many_looks = meeting_pair(6)
    with pytest.raises(DataError, match="up to 5"):
        identify(many, many_looks)


def test_viterbi_is_the_cheapest_of_all_paths():
    rng = np.random.default_rng(0)
    for _ in range(20):
        cost = rng.uniform(0, 30, (5, 3))

        def total(path, cost=cost):
            changes = sum(a != b for a, b in itertools.pairwise(path))
            return sum(cost[s, state] for s, state in enumerate(path)) + 10 * changes

        best = min(total(path) for path in itertools.product(range(3), repeat=5))
        assert total(_cheapest(cost).tolist()) == pytest.approx(best)


def test_embeddings_find_their_tracks_by_name():
    tracks, looks = meeting_pair()
    series = {
        f"film_{who}": Series(tracks.times, looks[:, i], tuple(map(str, range(8))))
        for i, who in enumerate(tracks.individuals)
    }
    assert np.array_equal(looks_of(tracks, dict(reversed(series.items()))), looks)
    with pytest.raises(DataError, match="ends in _track1, found 0 among film_track0"):
        looks_of(tracks, {"film_track0": series["film_track0"]})
    short = {**series, "film_track0": series["film_track0"].between(0, 1)}
    with pytest.raises(DataError, match="of 25 frames"):
        looks_of(tracks, short)
