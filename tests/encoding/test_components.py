import numpy as np
import pandas as pd
import pytest

from tinbergen.encoding import components
from tinbergen.encoding.choices import settings_for
from tinbergen.encoding.components import COMPONENTS, WideRows
from tinbergen.encoding.design import FeatureMap
from tinbergen.encoding.features import features_on, find_features, named_features
from tinbergen.encoding.grid import Grid
from tinbergen.encoding.planning import plan
from tinbergen.encoding.problem import make_problem
from tinbergen.errors import MissingFileError
from tinbergen.recordings import Intervals, Recording, Series


def rows(n=300, width=2600, rank=5, seed=0):
    """A few strong directions in many columns, and a little noise."""
    rng = np.random.default_rng(seed)
    strong = rng.normal(size=(n, rank)) * np.geomspace(30, 6, rank)
    axes = np.linalg.qr(rng.normal(size=(width, rank)))[0]
    return (4 + strong @ axes.T + 0.01 * rng.normal(size=(n, width))).astype(np.float32)


@pytest.mark.parametrize("narrow", [100, 10_000])
def test_components_are_those_of_a_singular_value_decomposition(monkeypatch, narrow):
    monkeypatch.setattr(components, "_NARROW", narrow)  # below: by subspace iteration
    values, used = rows(width=600), np.arange(300) < 200
    wide = WideRows(np.arange(300) / 10, values, np.ones(300, bool))
    found = wide.components(used, n=5)
    centred = values - values[used].mean(axis=0)
    _, _, axes = np.linalg.svd(centred[used], full_matrices=False)
    expected = centred @ axes[:5].T
    np.testing.assert_allclose(np.abs(found), np.abs(expected), rtol=2e-3, atol=2e-3)


def test_components_of_many_columns_never_see_the_test():
    values = rows()
    changed = values.copy()
    changed[200:] = -changed[200:]
    used, ok = np.arange(300) < 200, np.ones(300, bool)
    one, other = (
        WideRows(np.arange(300) / 10, v, ok).components(used, 4) for v in (values, changed)
    )
    np.testing.assert_array_equal(one[:200], other[:200])


def test_rows_that_are_not_known_stay_so():
    values, ok = rows(width=50), np.ones(300, bool)
    values[7] = np.nan
    ok[7] = False
    found = WideRows(np.arange(300) / 10, values, ok).components(np.ones(300, bool), 3)
    assert np.flatnonzero(np.isnan(found).any(axis=1)).tolist() == [7]


def test_patch_tokens_come_as_components_of_the_training_rows(tmp_path):
    folder, values = tmp_path / "m", rows(width=1200).reshape(300, 4, 3, 100).astype(np.float16)
    folder.mkdir()
    np.save(folder / "patch.npy", values)
    times = np.arange(300) / 10
    pd.DataFrame({"time": times, "status": 0}).to_parquet(folder / "index.parquet")
    recording = Recording("m", {"wheel": Series(times, times)})
    grid = Grid.over(Intervals([0.0], [30.0]), 0.1)
    features = features_on(find_features(recording, named_features(f"{tmp_path}:patch")), grid)
    train = np.arange(300) < 200
    got = features.columns(f"{tmp_path}:patch", train)
    assert got.shape == (300, COMPONENTS) and features.known.all()
    flat = values.reshape(300, -1).astype(float)
    centred = flat - flat[train].mean(axis=0)
    _, _, axes = np.linalg.svd(centred[train], full_matrices=False)
    np.testing.assert_allclose(
        np.abs(got[:, :5]), np.abs(centred @ axes[:5].T), rtol=1e-2, atol=2e-2
    )


def test_joined_kinds_of_tokens_weigh_the_same(tmp_path):
    rng, folder, times = np.random.default_rng(1), tmp_path / "m", np.arange(300) / 10
    folder.mkdir()
    np.save(folder / "cls.npy", 100 * rng.normal(size=(300, 5)).astype(np.float32))
    np.save(folder / "texture.npy", rng.normal(size=(300, 4, 50)).astype(np.float32))
    pd.DataFrame({"time": times, "status": 0}).to_parquet(folder / "index.parquet")
    recording = Recording("m", {"wheel": Series(times, times)})
    grid = Grid.over(Intervals([0.0], [30.0]), 0.1)
    name = f"{tmp_path}:cls+texture"
    features = features_on(find_features(recording, named_features(name)), grid)
    names = features.sets[name].names
    assert names[0] == "pc of cls0" and names[5] == "pc of texture0"
    train = np.arange(300) < 200
    got = features.columns(name, train)
    assert got.shape == (300, len(names)) == (300, 5 + COMPONENTS)
    for part in (got[:, :5], got[:, 5:]):
        assert part[train].var(axis=0).sum() == pytest.approx(1)
    with pytest.raises(MissingFileError, match="'cat' tokens; it has: cls, texture"):
        find_features(recording, named_features(f"{tmp_path}:cls+cat"))


def test_of_components_a_model_keeps_the_strongest():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 8))
    x = np.linalg.qr(x - x.mean(axis=0))[0] * np.geomspace(100, 1, 8)
    kept = FeatureMap(3, "common").fit(x, np.ones(2000, bool)).projection_
    assert kept is not None
    # On a common scale they are turned, and keep their variances.
    np.testing.assert_allclose(np.abs(kept), np.eye(8)[:, :3], atol=1e-9)
    whitened = FeatureMap(3).fit(x, np.ones(2000, bool)).transform(x)[0]
    np.testing.assert_allclose(whitened.var(axis=0), 1)


@pytest.mark.parametrize("model", ["ridge", "rrr", "glm", "tcn"])
def test_a_study_reduces_components_by_their_strength(tmp_path, model):
    folder, values = tmp_path / "m", rows(n=400, width=1200)
    folder.mkdir()
    np.save(folder / "patch.npy", values)
    times = np.arange(400) / 10
    pd.DataFrame({"time": times, "status": 0}).to_parquet(folder / "index.parquet")
    counts = Series(times, np.ones((400, 2)), ("a", "b"), "spikes/bin")
    recording = Recording("m", {"counts": counts, "wheel": Series(times, times)})
    named = named_features(f"{tmp_path}:patch,wheel")
    planned = plan(recording, named, "counts")
    problem = make_problem(planned)
    alone = settings_for(model, problem, f"{tmp_path}:patch", [128], {}, 0)
    assert alone["scale"] == "common"
    assert alone["components"] == (0 if model == "tcn" else None)  # not reduced once more
    assert "scale" not in settings_for(model, problem, "all", [128, 1], {}, 0)
