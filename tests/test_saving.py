import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from tinbergen.encoding import MeanRate, PoissonGLM, Ridge
from tinbergen.errors import MissingFileError, NotFittedError, WeightsError
from tinbergen.saving import read_model, write_model

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.lists(inner).map(tuple),
    max_leaves=6,
)


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.text(), plain, max_size=3))
def test_plain_values_come_back_as_they_were(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("model")
    write_model(folder, "Model", values, {}, {"nan": float("nan"), "labels": np.array(["é", "b"])})
    parameters, _, fitted = read_model(folder, "Model")
    assert parameters == values
    assert np.isnan(fitted["nan"])
    assert_array_equal(fitted["labels"], ["é", "b"])


@pytest.mark.parametrize("kind", ["f4", "f8", "i8", "u1", "?"])
def test_arrays_come_back_bit_for_bit(tmp_path, kind):
    array = np.random.default_rng(0).normal(size=(3, 4)).astype(kind).T
    write_model(tmp_path, "Model", {}, {"a": array}, {})
    back = read_model(tmp_path, "Model")[1]["a"]
    assert back.dtype == array.dtype and back.tobytes() == np.ascontiguousarray(array).tobytes()


@pytest.fixture
def folder(tmp_path):
    MeanRate().fit(np.zeros((4, 1)), np.arange(4.0)).save(tmp_path)
    return tmp_path


def test_nothing_is_pickled(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "weights.safetensors"]
    json.loads((folder / "model.json").read_text())


def test_saving_again_replaces(folder):
    MeanRate().fit(np.zeros((2, 1)), [5.0, 5.0]).save(folder)
    assert MeanRate.load(folder).mean_ == 5


def test_refusals(folder):
    with pytest.raises(NotFittedError, match="Ridge is not fitted"):
        Ridge().save(folder)
    with pytest.raises(WeightsError, match="holds a MeanRate, not a PoissonGLM"):
        PoissonGLM.load(folder)
    with pytest.raises(MissingFileError, match="Expected a saved Ridge"):
        Ridge.load(folder / "nowhere")


def test_damage_is_told(folder):
    weights = folder / "weights.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    with pytest.raises(WeightsError, match="damaged"):
        MeanRate.load(folder)
    weights.write_bytes(whole)
    description = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(description | {"schema_version": 99}))
    with pytest.raises(WeightsError, match="version 99"):
        MeanRate.load(folder)
    (folder / "model.json").write_text(json.dumps(description | {"parameters": {"new": 1}}))
    with pytest.raises(WeightsError, match="does not fit MeanRate"):
        MeanRate.load(folder)
    (folder / "model.json").write_text("{")
    with pytest.raises(WeightsError, match="not a model's description"):
        MeanRate.load(folder)
