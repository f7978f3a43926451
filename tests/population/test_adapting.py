"""Runs on disk: training, going on after a stop, and carrying a core over to new sessions."""

import numpy as np
import pytest
import torch
from small import SMALL, make_session

from tinbergen.configuration import merge
from tinbergen.errors import ConfigError, DataError, MissingFileError
from tinbergen.population.model_run import PopulationRun
from tinbergen.population.pretraining import OWN, adapt, load_vocabulary, pretrain
from tinbergen.training import RunFolder

MODALITIES = {"wheel": {}, "choice": {"kind": "categorical", "static": True}}
SETTINGS = merge(SMALL, {"modalities": MODALITIES, "train": {"steps": 12, "validate_every": 4}})

TO_THE_END = {"train": {"c1": np.arange(12)}}
"""Nothing to choose on: the last weights are kept, not the best, which may be the first."""


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    sessions = [make_session("a1", 21), make_session("a2", 70)]
    return pretrain(sessions, tmp_path_factory.mktemp("base") / "run", overrides=SETTINGS)


def test_a_run_is_asked_about_its_sessions(base):
    run = PopulationRun(base, [make_session("a1", 21)])
    assert run.predict("a1", ["spikes"]).shape == (12, 10, 21)
    assert run.predict("a1", ["wheel"]).shape == (12, 10, 21)
    assert run.predict("a1", ["spikes"], "wheel").shape == (12, 10, 1)
    odds = run.predict("a1", ["spikes", "wheel"], "choice")
    np.testing.assert_allclose(odds.sum(axis=1), 1, rtol=1e-6)
    forward = run.predict("a1", ["spikes"], task="forward", future=3)
    assert np.isnan(forward[:, :-3]).all() and (forward[:, -3:] > 0).all()


@pytest.mark.parametrize(
    ("question", "error", "text"),
    [
        (("zz", ["spikes"]), DataError, "zz"),
        (("a1", ["pupil"]), ConfigError, "pupil"),
        (("a1", ["spikes"], "pupil"), ConfigError, "pupil"),
        (("a1", ["wheel"], "wheel"), ConfigError, "both given"),
    ],
)
def test_questions_that_make_no_sense(base, question, error, text):
    run = PopulationRun(base, [make_session("a1", 21)])
    with pytest.raises(error, match=text):
        run.predict(*question)


def test_unknown_and_changed_sessions_are_refused(base):
    with pytest.raises(DataError, match="Adapt it"):
        PopulationRun(base, [make_session("new", 21)])
    with pytest.raises(DataError, match="expected 21 units, found 20"):
        PopulationRun(base, [make_session("a1", 20)])
    with pytest.raises(MissingFileError, match="population"):
        empty = RunFolder(base.path.parent)
        load_vocabulary(empty)


@pytest.mark.parametrize("strategy", ["frozen", "gradual", "full"])
def test_strategies(base, tmp_path, strategy):
    new = make_session("c1", 33, seed=5)
    settings = {"train": {"steps": 10, "validate_every": 0}}
    run = adapt(
        base, [new], tmp_path / "run", strategy=strategy, overrides=settings, parts=TO_THE_END
    )
    before, after = base.load_weights(), run.load_weights()
    shared = [n for n in before if not n.startswith(OWN)]
    same = [torch.equal(before[name], after[name]) for name in shared]
    assert all(same) == (strategy == "frozen")
    assert [s.name for s in load_vocabulary(run).sessions] == ["c1"]
    assert PopulationRun(run, [new]).predict("c1", ["spikes"]).shape == (12, 10, 33)


@pytest.mark.parametrize("strategy", ["frozen", "gradual"])
def test_calibration_is_carried_over_and_traits_are_not(base, tmp_path, strategy):
    new = [make_session("c1", 33)]
    run = adapt(base, new, tmp_path / "run", strategy=strategy, parts=TO_THE_END)
    before, after = base.load_weights(), run.load_weights()
    scale = "calibration.centre", "calibration.scale"
    assert all(torch.equal(before[name], after[name]) for name in scale)
    shared = [n for n in before if n.startswith("calibration.") and not n.startswith(OWN)]
    learned = [n for n in shared if n not in scale]
    moved = [float((before[n] - after[n]).abs().max()) for n in learned]
    if strategy == "frozen":
        assert not any(moved)
    else:  # learns on from there: the same hidden units, a little changed
        assert any(moved)
        told = before["calibration.of_gain.weight"], after["calibration.of_gain.weight"]
        assert torch.corrcoef(torch.stack(told).flatten(1))[0, 1] > 0.7
    name = "calibration.unit_traits"
    assert before[name].shape != after[name].shape or not torch.equal(before[name], after[name])


def test_a_new_animal_may_do_without_factors(base, tmp_path):
    settings = {"units": {"linear_rank": 0}, "train": {"steps": 2}}
    new = [make_session("c1", 33)]
    run = adapt(base, new, tmp_path / "run", overrides=settings, parts=TO_THE_END)
    assert not any(name.startswith(("linear.", "calibration.")) for name in run.load_weights())


def test_the_core_waits_with_gradual(base, tmp_path):
    settings = {"train": {"steps": 5}, "adapting": {"frozen_share": 1.0}}
    new = [make_session("c1", 33)]
    run = adapt(base, new, tmp_path / "run", overrides=settings, parts=TO_THE_END)
    before, after = base.load_weights(), run.load_weights()
    stepped = [n for n in before if not n.startswith((*OWN, "calibration."))]
    assert all(torch.equal(before[name], after[name]) for name in stepped)
    assert not torch.equal(after["tables.unit_out"], torch.zeros_like(after["tables.unit_out"]))


def test_regions_keep_their_vectors_by_name(base, tmp_path):
    new = make_session("c1", 33, seed=5)
    regions = np.where(np.arange(33) % 2, "VISp", "BLA")
    new = type(new).of_arrays("c1", new.counts, regions=regions, values=new.values)
    run = adapt(base, [new], tmp_path / "run", strategy="frozen",
                overrides={"train": {"steps": 1}})  # fmt: skip
    old, found = base.load_weights(), run.load_weights()
    names, before = load_vocabulary(run).regions, load_vocabulary(base).regions
    for name in ("tables.region_in", "tables.region_out"):
        np.testing.assert_array_equal(
            found[name][names.index("VISp")], old[name][before.index("VISp")]
        )
        assert not found[name][names.index("BLA")].any()


def test_what_shapes_the_core_cannot_change(base, tmp_path):
    with pytest.raises(ConfigError, match="network"):
        adapt(base, [make_session("c", 9)], tmp_path / "x", overrides={"network": {"width": 32}})
    with pytest.raises(DataError, match="10 bins"):
        adapt(base, [make_session("c", 9, bins=5)], tmp_path / "y")
    assert not list(tmp_path.iterdir())


def test_other_data_cannot_be_resumed_on(base):
    with pytest.raises(DataError, match="a1"):
        pretrain([make_session("a1", 21, seed=9), make_session("a2", 70)], base.path,
                 overrides=SETTINGS, resume=True)  # fmt: skip


@pytest.mark.parametrize("preset", ["tinbergen", "neds", "mtm", "ndt2"])
def test_presets_train_and_adapt_with_two_processes(tmp_path, preset):
    """Every weight has a part in every step: processes that share gradients need that."""
    settings = merge(SETTINGS, {"train": {"steps": 3, "devices": 2, "device": "cpu"}})
    sessions = [make_session("a1", 21), make_session("a2", 70)]
    base = pretrain(sessions, tmp_path / "base", preset=preset, overrides=settings)
    new = make_session("c1", 33)
    run = adapt(base, [new], tmp_path / "new", overrides={"train": {"steps": 2, "devices": 1}})
    assert PopulationRun(run, [new]).predict("c1", ["spikes"], folds=3).shape == (12, 10, 33)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("preset", ["tinbergen", "neds", "mtm", "ndt2"])
def test_presets_train_on_a_gpu(tmp_path, preset):
    settings = merge(SETTINGS, {"train": {"steps": 3, "device": "cuda", "precision": "bf16"}})
    run = pretrain([make_session("a1", 21)], tmp_path / "r", preset=preset, overrides=settings)
    assert run.status["state"] == "done"
