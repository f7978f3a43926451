"""Images with their times: kept on disk, cut without reading, and back from a dataset."""

import numpy as np
import pytest

from tinbergen.errors import DataError, MissingFileError
from tinbergen.recordings import Dataset, ImageSeries, Recording, read_image_series


@pytest.fixture
def images():
    values = np.random.default_rng(0).random((6, 3, 4)).astype(np.float32)
    return ImageSeries(np.arange(6) / 10, values, "dF/F")


def test_saved_with_a_dataset_and_opened_as_a_memory_map(images, tmp_path):
    Dataset([Recording("fly", {"field": images})]).save(tmp_path)
    again = Dataset.open(tmp_path)["fly"]["field"]
    assert isinstance(again, ImageSeries) and isinstance(again.values, np.memmap)
    assert np.array_equal(again.values, images.values)
    assert np.array_equal(again.times, images.times) and again.unit == "dF/F"


def test_cut_and_binned(images):
    recording = Recording("fly", {"field": images})
    part = recording.between(0.1, 0.35)["field"]
    assert np.array_equal(part.values, images.values[1:4])
    assert np.shares_memory(part.values, images.values)
    binned = recording.bin(0.2)["field"]
    assert binned[0] == pytest.approx(images.values[:2].mean(axis=0))


def test_what_does_not_fit(images, tmp_path):
    with pytest.raises(DataError, match="for 5 times, found shape"):
        ImageSeries(np.arange(5), images.values)
    with pytest.raises(DataError, match="expected numbers"):
        ImageSeries(np.arange(6), images.values.astype(str))
    with pytest.raises(MissingFileError, match=r"there is no a\.npy"):
        read_image_series(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", images.values)
    with pytest.raises(MissingFileError, match=r"there is no a\.times\.npy"):
        read_image_series(tmp_path / "a.npy")
    (tmp_path / "a.times.npy").write_bytes(b"no array")
    with pytest.raises(DataError, match=r"a\.times\.npy: expected an array"):
        read_image_series(tmp_path / "a.npy")
