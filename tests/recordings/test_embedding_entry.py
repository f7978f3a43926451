"""Embeddings on disk as a stream: one kind of tokens, or several beside each other."""

import numpy as np
import pandas as pd
import pytest

from tinbergen.errors import DataError, MissingFileError
from tinbergen.recordings.embedding_entry import read_embedding

N = 50


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    pd.DataFrame({"time": np.arange(N) / 10}).to_parquet(tmp_path / "index.parquet")
    cls, texture = 100 * rng.normal(size=(N, 3)), rng.normal(size=(N, 2, 2))
    cls[4] = np.nan  # a damaged frame
    np.save(tmp_path / "cls.npy", cls.astype(np.float32))
    np.save(tmp_path / "texture.npy", texture.astype(np.float32))
    np.save(tmp_path / "mean.npy", np.ones((N, 2), np.float32))
    return tmp_path


def test_one_kind_is_as_it_was_written(folder):
    series = read_embedding(folder, "texture")
    np.testing.assert_array_equal(series.values, np.load(folder / "texture.npy").reshape(N, 4))
    assert series.channels == ("texture0", "texture1", "texture2", "texture3")


def test_kinds_beside_each_other_weigh_the_same(folder):
    series = read_embedding(folder, "cls+texture")
    assert series.channels[:4] == ("cls0", "cls1", "cls2", "texture0")
    for columns, name in ((slice(3), "cls"), (slice(3, None), "texture")):
        part = series.values[:, columns]
        np.testing.assert_allclose(np.nanvar(part, axis=0).sum(), 1, rtol=1e-5)
        written = np.load(folder / f"{name}.npy").reshape(N, -1)
        np.testing.assert_allclose(part / part[0], written / written[0], rtol=1e-4)
    assert np.isnan(series.values[4, :3]).all() and np.isfinite(series.values[4, 3:]).all()


def test_tokens_that_never_change_stay_numbers(folder):
    np.testing.assert_array_equal(read_embedding(folder, "mean+texture").values[:, :2], 1)


def test_what_is_not_there_or_not_whole(folder):
    with pytest.raises(MissingFileError, match="no 'grid' tokens; it has: cls, mean, texture"):
        read_embedding(folder, "cls+grid")
    np.save(folder / "grid.npy", np.ones((N - 1, 2)))
    with pytest.raises(DataError, match="expected 50 rows as index.parquet, found 49"):
        read_embedding(folder, "grid")
