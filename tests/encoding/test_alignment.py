"""CCA against scikit-learn and its definition; Procrustes against scipy and known turns."""

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import procrustes
from sklearn.cross_decomposition import CCA as SklearnCCA

from tinbergen.encoding import CCA, Procrustes
from tinbergen.errors import ConfigError, DataError


def views(n=400, widths=(5, 4), shared=3, noise=0.5, seed=0):
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(n, shared)) * [2.0, 1.0, 0.5][:shared]
    return [
        latent @ rng.normal(size=(shared, w)) + noise * rng.normal(size=(n, w)) for w in widths
    ]


def turn(rng, n):
    return np.linalg.qr(rng.normal(size=(n, n)))[0]


def test_cca_is_scikit_learns():
    x, y = views()
    ours = CCA(3).fit(x, y)
    theirs = SklearnCCA(3, max_iter=5000, tol=1e-12).fit(x, y)
    for own, other in zip(ours.transform(x, y), theirs.transform(x, y), strict=True):
        for a, b in zip(own.T, other.T, strict=True):
            assert abs(np.corrcoef(a, b)[0, 1]) == pytest.approx(1, abs=1e-6)


def test_cca_scores_are_white_and_correlate_as_said():
    x, y = views()
    model = CCA().fit(x, y)
    a, b = model.transform(x, y)
    np.testing.assert_allclose(a.T @ a / len(a), np.eye(4), atol=1e-10)
    np.testing.assert_allclose(b.T @ b / len(b), np.eye(4), atol=1e-10)
    np.testing.assert_allclose(a.T @ b / len(a), np.diag(model.correlations_), atol=1e-10)
    rng = np.random.default_rng(1)
    mixed = CCA().fit(x @ rng.normal(size=(5, 5)) + 3, y)
    np.testing.assert_allclose(mixed.correlations_, model.correlations_, atol=1e-8)


def test_cca_at_full_rank_predicts_as_least_squares():
    x, y = views()
    design = np.column_stack([x, np.ones(len(x))])
    expected = design @ np.linalg.lstsq(design, y, rcond=None)[0]
    np.testing.assert_allclose(CCA().fit(x, y).to_y(x), expected, atol=1e-8)


def test_cca_penalty_and_deficient_columns():
    x, y = views(n=40, widths=(12, 12), noise=1.0)
    free, held = (CCA(l2=l2).fit(x, y) for l2 in (0.0, 1.0))
    test = views(n=4000, widths=(12, 12), noise=1.0)  # another mixture
    assert free.correlations_[-1] > 0 and held.correlations_[0] < free.correlations_[0]
    assert np.isfinite(held.transform(test[0])).all()
    doubled = CCA().fit(np.column_stack([x, x[:, :2]]), y)
    np.testing.assert_allclose(doubled.correlations_, free.correlations_, atol=1e-8)


@pytest.mark.parametrize("scale", [False, True])
def test_procrustes_undoes_turns(scale):
    rng = np.random.default_rng(0)
    shape = rng.normal(size=(6, 20, 4))  # condition, time, latent
    factors = [1.0, 2.0, 0.5] if scale else [1.0] * 3
    sessions = [k * shape @ turn(rng, 4) + rng.normal(size=4) for k in factors]
    model = Procrustes(scale).fit(sessions)
    assert model.disparity_ < 1e-12
    common = [model.transform(x, i) for i, x in enumerate(sessions)]
    for other in common[1:]:
        np.testing.assert_allclose(other, common[0], atol=1e-8)
    np.testing.assert_allclose(model.between(sessions[2], 2, 1), sessions[1], atol=1e-8)
    for rotation in model.rotations_:
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(4), atol=1e-10)


def test_two_sessions_are_scipys_procrustes():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(50, 3))
    b = a @ turn(rng, 3) + 0.3 * rng.normal(size=(50, 3))
    a, b = a - a.mean(0), b - b.mean(0)
    model = Procrustes().fit([a, b])
    rotation = orthogonal_procrustes(b, a)[0]
    np.testing.assert_allclose(model.rotations_[1] @ model.rotations_[0].T, rotation, atol=1e-5)
    assert procrustes(a, b)[2] > 0


def test_a_decoder_of_one_animal_reads_another():
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(2, 8, 30, 3))
    both = latents.mean(axis=0)
    animals = [(both + 0.1 * latents[i]) @ turn(rng, 3) for i in (0, 1)]
    target = both @ rng.normal(size=3)
    half = slice(0, 4), slice(4, 8)
    model = Procrustes().fit([animal[half[0]] for animal in animals])
    x, other = (model.transform(a, i).reshape(-1, 3) for i, a in enumerate(animals))
    weights = np.linalg.lstsq(x, target.ravel(), rcond=None)[0]
    tested = np.arange(240) >= 120
    read = np.corrcoef((other @ weights)[tested], target.ravel()[tested])[0, 1]
    unaligned = np.corrcoef((animals[1].reshape(-1, 3) @ weights)[tested], target.ravel()[tested])
    assert read > 0.95 > unaligned[0, 1]


def test_missing_rows_and_refusals(tmp_path):
    x, y = views()
    holes = x.copy()
    holes[5, 2] = np.nan
    rest = np.delete(np.arange(400), 5)
    np.testing.assert_allclose(
        CCA().fit(holes, y).correlations_, CCA().fit(x[rest], y[rest]).correlations_
    )
    cca, turned = CCA(2, 0.1).fit(x, y), Procrustes().fit([x, y])
    for model in (cca, turned):
        model.save(tmp_path / type(model).__name__)
    again = CCA.load(tmp_path / "CCA")
    np.testing.assert_array_equal(again.to_y(x), cca.to_y(x))
    other = Procrustes.load(tmp_path / "Procrustes")
    np.testing.assert_array_equal(other.transform(y, 1), turned.transform(y, 1))
    with pytest.raises(DataError, match="same conditions"):
        CCA().fit(x, y[1:])
    with pytest.raises(ConfigError):
        CCA(0).fit(x, y)
    with pytest.raises(DataError, match="two sessions"):
        Procrustes().fit([x])
    with pytest.raises(DataError, match="constant"):
        Procrustes().fit([x, np.ones((400, 2))])
