import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from tinbergen.beast.clustering import kmeans, nearest, principal_components


def test_principal_components_equal_the_exact_ones():
    generator = np.random.default_rng(0)
    latent = generator.normal(size=(2500, 6)) * [90, 60, 40, 25, 15, 10]
    pictures = latent @ generator.normal(size=(6, 300)) / 6 + generator.normal(size=(2500, 300))
    pictures = np.clip(pictures + 128, 0, 255).astype(np.uint8)
    ours = principal_components(pictures, 6, np.random.default_rng(1))
    exact = PCA(6, svd_solver="full").fit_transform(pictures.astype(float))
    signs = np.sign((ours * exact).sum(0))
    np.testing.assert_allclose(ours * signs, exact, atol=1e-2 * exact.std())


def test_fewer_pictures_than_components():
    pictures = np.random.default_rng(0).integers(0, 255, (5, 40), dtype=np.uint8)
    assert principal_components(pictures, 32, np.random.default_rng(0)).shape == (5, 5)


def test_kmeans_is_as_good_as_scikit_learn():
    points = np.random.default_rng(0).normal(size=(1500, 8)).astype(np.float32)
    centres, cluster = kmeans(points, 40, np.random.default_rng(1))
    inertia = ((points - centres[cluster]) ** 2).sum()
    theirs = KMeans(40, random_state=0).fit(points)
    assert inertia < -1.03 * theirs.score(points)
    assert np.array_equal(nearest(points, centres)[0], cluster)
    for k in range(40):
        np.testing.assert_allclose(centres[k], points[cluster == k].mean(0), atol=1e-5)


def test_kmeans_finds_what_is_plain_and_copes_with_copies():
    blobs = np.repeat(np.eye(4, 5, dtype=np.float32) * 100, 10, axis=0)
    centres, cluster = kmeans(blobs, 4, np.random.default_rng(0))
    assert len(np.unique(cluster.reshape(4, 10), axis=1).ravel()) >= 4
    np.testing.assert_allclose(np.sort(centres, 0), np.sort(np.eye(4, 5) * 100, 0), atol=1e-4)
    same, _ = kmeans(np.ones((6, 3), np.float32), 4, np.random.default_rng(0))
    assert np.isfinite(same).all()
