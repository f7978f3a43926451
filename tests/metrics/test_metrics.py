"""Scores against scikit-learn, closed forms and brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from tinbergen.metrics import (
    bootstrap_interval,
    class_probe,
    draw_pairs,
    effective_rank,
    grouped_folds,
    keypoint_probe,
    paired_difference,
    retrieval_top1,
    ridge_path,
    time_lag_probe,
    time_lag_wins,
)


@pytest.mark.parametrize("shape", [(30, 5), (20, 60)])
def test_ridge_path_against_scikit_learn(shape):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=shape), rng.normal(size=(shape[0], 3))
    train = np.arange(shape[0] - 5)
    alphas = [1e-2, 1.0, 100.0]
    paths = ridge_path(x, train, y, alphas)
    for alpha, path in zip(alphas, paths, strict=True):
        expected = Ridge(alpha).fit(x[train], y[train]).predict(x)
        np.testing.assert_allclose(path, expected, atol=1e-8)


def test_effective_rank_of_known_spectra():
    rng = np.random.default_rng(0)
    isotropic = rng.normal(size=(4000, 6))
    assert effective_rank(isotropic) == pytest.approx(6, abs=0.05)
    assert effective_rank(np.outer(rng.normal(size=50), np.ones(8))) == pytest.approx(1)
    assert effective_rank(np.ones((5, 3))) == 1
    assert np.isnan(effective_rank(np.full((3, 3), np.nan)))


@given(
    groups=st.lists(st.integers(0, 6), min_size=3, max_size=40),
    n=st.integers(2, 6),
    seed=st.integers(0, 5),
)
@settings(deadline=None)
def test_folds_tile_and_keep_groups_whole(groups, n, seed):
    folds = grouped_folds(groups, n, seed=seed)
    assert sorted(np.concatenate(folds).tolist()) == list(range(len(groups)))
    owners = [set(np.asarray(groups)[fold]) for fold in folds]
    for i, a in enumerate(owners):
        assert all(a.isdisjoint(b) for b in owners[i + 1 :])
    assert all(len(fold) for fold in folds)


def test_bootstrap_covers_and_keeps_groups():
    rng = np.random.default_rng(1)
    hits = 0
    for k in range(100):
        low, high = bootstrap_interval(rng.normal(size=60), seed=k)
        hits += low <= 0 <= high
    assert 86 <= hits <= 100
    repeated = np.repeat([0.0, 1.0, 2.0, 3.0], 50)
    wide = bootstrap_interval(repeated, np.repeat(np.arange(4), 50))
    narrow = bootstrap_interval(repeated)
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)
    assert np.isnan(bootstrap_interval([1.0])).all()


def test_paired_difference():
    result = paired_difference([1.0, 2.0, np.nan, 4.0], [2.0, 2.0, 5.0, 3.0])
    assert result.mean == 0
    assert result.standard_error == pytest.approx(1 / np.sqrt(3))


def linear_pose(n=80, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 12))
    positions = (features @ rng.normal(size=(12, 6))).reshape(n, 3, 2) * 10
    return features, positions + noise * rng.normal(size=positions.shape)


def test_keypoint_probe_finds_what_is_linear_and_only_that():
    features, positions = linear_pose()
    folds = grouped_folds(np.arange(80), 8)
    assert keypoint_probe(features, positions, folds).mean < 0.5
    null = keypoint_probe(None, positions, folds).mean
    shuffled = keypoint_probe(np.random.default_rng(1).permutation(features), positions, folds)
    assert shuffled.mean > 0.9 * null > 10


def test_keypoint_probe_null_is_the_training_mean():
    _, positions = linear_pose(12)
    folds = grouped_folds(np.arange(12), 4)
    probe = keypoint_probe(None, positions, folds)
    for test in folds:
        mean = positions[np.setdiff1d(np.arange(12), test)].mean(axis=0)
        expected = np.linalg.norm(positions[test] - mean, axis=2)
        np.testing.assert_allclose(probe.errors[test], expected)


def test_keypoint_probe_leaves_missing_labels_out():
    features, positions = linear_pose(60)
    positions[:, 2] = np.nan
    positions[5, 0] = np.nan
    probe = keypoint_probe(features, positions, grouped_folds(np.arange(60), 6))
    assert np.isnan(probe.errors[:, 2]).all()
    assert np.isnan(probe.errors[5, 0])
    assert np.isfinite(probe.errors[:, 1]).all()
    assert np.isfinite(probe.mean)


def test_class_probe_and_its_chance():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 40)
    informative = rng.normal(size=(120, 5)) + labels[:, None] * 4
    folds = grouped_folds(np.arange(120), 5)
    assert class_probe(informative, labels, folds).balanced_accuracy > 0.95
    random = class_probe(rng.normal(size=(120, 5)), labels, folds)
    assert random.chance == pytest.approx(1 / 3)
    assert abs(random.balanced_accuracy - 1 / 3) < 0.17


def test_time_lag_probe_falls_from_smooth_to_chance():
    rng = np.random.default_rng(0)
    walk = np.cumsum(rng.normal(size=(3000, 3)), axis=0)
    smooth = walk - np.stack([np.convolve(w, np.ones(41) / 41, "same") for w in walk.T], 1)
    times = np.arange(3000) / 30
    shares = time_lag_probe(smooth, times, np.zeros(3000), [1 / 30, 0.2, 40.0])
    assert shares[0] > 0.9
    assert shares[0] > shares[1] > shares[2]
    assert shares[2] == pytest.approx(0.5, abs=0.04)
    assert np.isnan(time_lag_probe(smooth, times, np.zeros(3000), [1e4])[0])
    halves = np.repeat(["a", "b"], 1500)
    (won, owner), _ = time_lag_wins(smooth, times, halves, [0.2, 1e4])
    assert np.mean(won) == time_lag_probe(smooth, times, halves, [0.2])[0]
    assert set(owner) == {"a", "b"} and len(owner) == len(won)


def test_drawn_pairs_lie_apart_and_in_one_recording():
    recordings = np.repeat(["a", "b"], 60)
    for rows in draw_pairs(recordings, 2):
        n = len(rows) // 2
        anchors, partners = rows[:n], rows[n:]
        assert (partners == anchors + 2).all()
        assert (recordings[anchors] == recordings[partners]).all()
        assert np.diff(np.sort(anchors)).min() >= 5
    assert draw_pairs(recordings[:8], 2) == []
    assert draw_pairs(recordings[:2], 5) == []


def test_retrieval_of_smooth_and_of_random_features():
    rng = np.random.default_rng(0)
    angle = np.cumsum(rng.uniform(0.1, 0.2, 400))
    smooth = np.stack([np.cos(angle), np.sin(angle), 3 * np.cos(angle / 9)], 1)
    batches = draw_pairs(np.zeros(400), 1)
    noise = retrieval_top1(rng.normal(size=(400, 8)), batches).mean()
    assert retrieval_top1(smooth, batches).mean() > 0.5
    assert noise == pytest.approx(1 / 31, abs=0.04)
