import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from tinbergen.actions import (
    GRU,
    HMM,
    LSTM,
    S3LDS,
    TCN,
    BoostedTrees,
    MultiStageTCN,
    ReferenceTCN,
    TemporalMLP,
    gradient,
)
from tinbergen.actions.losses import class_weights, frame_loss, roughness
from tinbergen.actions.sequences import Frames, StretchSampler
from tinbergen.errors import ConfigError, DataError

QUICK = {"epochs": 8, "length": 100, "batch_size": 2, "width": 12, "learning_rate": 1e-2}
KINDS = [TCN, ReferenceTCN, MultiStageTCN, TemporalMLP, GRU, LSTM]


def animals(n=4, frames=300, seed=0):
    """Bouts of three classes, each with a mean of its own."""
    rng = np.random.default_rng(seed)
    codes = [np.repeat(rng.integers(0, 3, frames // 20), 20) for _ in range(n)]
    means = np.array([[0, 0, 2.0], [0, 2, 0], [2, 0, 0]])
    return [means[y] + rng.normal(size=(frames, 3)) for y in codes], codes


@pytest.mark.parametrize("kind", KINDS)
def test_every_network_learns_saves_and_comes_back(kind, tmp_path):
    x, y = animals()
    model = kind(**QUICK).fit(x[:3], y[:3], classes=("a", "b", "c"))
    assert model.score(x[3:], y[3:]) > 0.75
    found = model.predict_proba(x)
    assert [each.shape for each in found] == [(300, 3)] * 4
    assert_allclose(np.concatenate(found).sum(axis=1), 1, atol=1e-5)
    model.save(tmp_path)
    again = kind.load(tmp_path)
    assert again.classes_ == ("a", "b", "c")
    assert_array_equal(again.predict_proba(x)[3], found[3])


@pytest.mark.parametrize("kind", [TCN, ReferenceTCN, MultiStageTCN, TemporalMLP])
def test_a_recording_in_pieces_is_predicted_as_a_whole(kind, monkeypatch):
    x, y = animals()
    model = kind(**QUICK).fit(x, y)
    long = [np.random.default_rng(1).normal(size=(1503, 3))]
    whole = model.predict_proba(long)[0]
    for pieces in (64, 333, 1000):
        monkeypatch.setattr(gradient, "_AT_ONCE", pieces)
        assert_allclose(model.predict_proba(long)[0], whole, atol=1e-6)


def test_the_same_seed_gives_the_same_network():
    x, y = animals()
    one, same, other = (
        TCN(**QUICK, random_state=seed).fit(x, y).predict_proba(x)[0] for seed in (3, 3, 4)
    )
    assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-3


def test_recordings_shorter_than_a_stretch_or_than_the_network_reaches_are_learned_and_predicted():
    x, y = animals(frames=60)
    model = TCN(**{**QUICK, "length": 500, "epochs": 20}).fit(x, y)
    assert model.predict_proba([each[:1] for each in x])[0].shape == (1, 3)
    assert model.score(x, y) > 0.6


@pytest.mark.parametrize("kind", [*KINDS, S3LDS])
@pytest.mark.parametrize("size", [1, 58, 63, 64])
def test_frames_that_do_not_exist_change_nothing(kind, size):
    x, y = animals()
    network = kind(**{**QUICK, "epochs": 1}).fit(x, y).network_.eval()
    rng = torch.Generator().manual_seed(0)
    short = torch.randn(1, 3, size, generator=rng)
    long = torch.randn(1, 3, 100, generator=rng)
    padded = torch.cat([short, torch.full((1, 3, 100 - size), 7.0)], dim=2)
    inside = torch.ones(2, 1, 100)
    inside[0, :, size:] = 0
    with torch.no_grad():
        found = network(torch.cat([padded, long]), inside)["logits"]
        torch.testing.assert_close(found[:1, :, :size], network(short)["logits"])
        torch.testing.assert_close(found[1:], network(long)["logits"])


@pytest.mark.parametrize(
    ("kind", "settings", "text"),
    [
        (TCN, {"epochs": "many"}, "epochs: .*valid integer, found 'many'"),
        (TCN, {"scaling": "day"}, "scaling: .*found 'day'"),
        (ReferenceTCN, {"scaling": "day"}, "scaling: .*found 'day'"),
        (TCN, {"length": 0}, "length: expected at least 2, found 0"),
        (TCN, {"taps": 4}, "taps: expected an odd number, found 4"),
        (TCN, {"stride": 3}, "stride: expected 1 or an even number"),
        (GRU, {"layers": 0}, "layers: expected at least 1"),
        (GRU, {"dropout": 2.0}, "dropout: expected 0 to below 1"),
        (MultiStageTCN, {"pseudo": 0.9}, "one head"),
        (BoostedTrees, {"rounds": 0}, "rounds: expected at least 1"),
        (BoostedTrees, {"learning_rate": 0.0}, "learning_rate: expected above 0"),
        (HMM, {"n_states": 2.5}, "n_states: .*found 2.5"),
        (S3LDS, {"n_latents": 0}, "n_latents: expected at least 1"),
    ],
)
def test_parameters_that_are_of_no_use_are_named(kind, settings, text):
    x, y = animals(2, 60)
    with pytest.raises(ConfigError, match=text):
        kind(**settings).fit(x, y)


def test_unknown_values_in_one_recording_change_no_other():
    x, y = animals()
    model = TCN(**QUICK).fit(x, y)
    broken = [x[0].copy(), x[1]]
    broken[0][50:90] = np.nan
    found = model.predict_proba(broken)
    assert np.isfinite(found[0]).all()
    assert_array_equal(found[1], model.predict_proba(x)[1])


def test_the_best_epoch_on_validation_is_kept():
    x, y = animals(6)
    model = TCN(**QUICK).fit(x[:4], y[:4], validation=(x[4:], y[4:]))
    assert model.score(x[4:], y[4:]) == pytest.approx(model.score_)
    assert model.best_epoch_ is not None and 1 <= model.best_epoch_ <= 8


def test_labels_by_a_rule_teach_what_no_human_labelled():
    x, y = animals(8)
    hand = [np.where(np.arange(300) < 60, each, -1) for each in y]
    alone = TCN(**QUICK).fit(x[:6], hand[:6]).score(x[6:], y[6:])
    helped = TCN(**QUICK).fit(x[:6], hand[:6], weak=y[:6]).score(x[6:], y[6:])
    assert helped > alone
    with pytest.raises(ConfigError, match="one head"):
        MultiStageTCN(**QUICK).fit(x, hand, weak=y)
    with pytest.raises(DataError, match="weak labels, sequence 0"):
        TCN(**QUICK).fit(x, hand, classes=("a", "b", "c"), weak=[each + 1 for each in y])


def test_pseudo_labels_and_the_next_frame_are_learned_beside(tmp_path):
    x, y = animals()
    hand = [np.where(np.arange(300) < 100, each, -1) for each in y]
    model = TCN(**QUICK, pseudo=0.8, ahead=1.0).fit(x, hand)
    assert model.score(x, y) > 0.6
    model.save(tmp_path)
    assert_array_equal(TCN.load(tmp_path).predict_proba(x)[0], model.predict_proba(x)[0])


def test_training_goes_on_from_its_run_and_gives_the_same(tmp_path):
    from tinbergen.actions.config import ActionConfig
    from tinbergen.training import RunFolder

    x, y = animals()
    run = RunFolder.create(tmp_path / "run", ActionConfig(), seed=0)
    first = TCN(**QUICK).fit(x, y, run=run)
    again = TCN(**QUICK).fit(x, y, run=run, resume=True)
    assert_array_equal(first.predict_proba(x)[0], again.predict_proba(x)[0])


class TestLosses:
    def test_unlabelled_frames_have_no_gradient(self):
        logits = torch.randn(2, 3, 10, requires_grad=True)
        codes = torch.randint(0, 3, (2, 10))
        codes[0, 3:7] = -1
        frame_loss(logits, codes, torch.tensor([1.0, 2.0, 8.0]), focal=2.0).backward()
        assert logits.grad is not None
        assert (logits.grad[0, :, 3:7] == 0).all()
        assert (logits.grad[0, :, :3] != 0).any()
        assert frame_loss(logits, torch.full((2, 10), -1)).item() == 0

    def test_it_is_the_weighted_cross_entropy_of_torch(self):
        logits, codes = torch.randn(2, 3, 50), torch.randint(0, 3, (2, 50))
        weights = torch.tensor([1.0, 2.0, 8.0])
        expected = torch.nn.functional.cross_entropy(logits, codes, weights)
        torch.testing.assert_close(frame_loss(logits, codes, weights), expected)
        softened = torch.nn.functional.cross_entropy(logits, codes, label_smoothing=0.1)
        torch.testing.assert_close(frame_loss(logits, codes, softened=0.1), softened)

    def test_focal_loss_of_a_known_probability(self):
        logits = torch.log(torch.tensor([[[0.8], [0.2]]]))
        found = frame_loss(logits, torch.zeros(1, 1, dtype=torch.long), focal=2.0)
        assert found.item() == pytest.approx(-(0.2**2) * np.log(0.8))

    def test_class_weights_are_those_of_the_study(self):
        codes = torch.repeat_interleave(
            torch.arange(4) - 1, torch.tensor([90_000, 4000, 2000, 500])
        )
        assert class_weights(codes, 4).tolist() == [1, 2, 8, 0]

    def test_steady_probabilities_are_smooth_and_a_border_costs_no_more_than_sixteen(self):
        assert roughness(torch.randn(1, 3, 1).expand(1, 3, 20)).item() == 0
        border = torch.zeros(1, 2, 2)
        border[0, 0, 1] = 100.0
        assert roughness(border).item() == pytest.approx((16 + np.log(2) ** 2) / 2, rel=1e-4)
        outside = torch.ones(1, 1, 2)
        outside[0, 0, 1] = 0
        assert roughness(border, outside).item() == 0


class TestStretches:
    @pytest.mark.parametrize("lengths", [[1000], [37, 250, 999], [100, 100]])
    def test_every_frame_is_in_a_stretch_of_every_epoch_and_none_goes_beyond(self, lengths):
        sampler = StretchSampler(np.array(lengths), 100, 4, seed=0)
        for epoch in range(5):
            seen = [np.zeros(n, bool) for n in lengths]
            for recording, start in sampler.epoch(epoch):
                assert 0 <= start <= max(lengths[recording] - 100, 0)
                seen[recording][start : start + 100] = True
            assert all(each.all() for each in seen)

    def test_a_batch_holds_what_belongs_to_it(self):
        x = [np.arange(5.0)[:, None], 100 + np.arange(3.0)[:, None]]
        frames = Frames.of(x, [np.arange(5), np.arange(3)])
        batch = frames.take(np.array([[0, 1], [1, 0]]), 4)
        assert batch["x"][:, 0].tolist() == [[1, 2, 3, 4], [100, 101, 102, 0]]
        assert batch["codes"].tolist() == [[1, 2, 3, 4], [0, 1, 2, -1]]
        assert batch["inside"][:, 0].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
