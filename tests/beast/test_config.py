"""Presets against what was published, and the refusal of what cannot work."""

import pytest
import torch

from tinbergen.beast.config import PRESETS, beast_config, resumed_config
from tinbergen.beast.mae import Decoder, DecoderConfig
from tinbergen.beast.model import Beast, ProjectionHead
from tinbergen.errors import ConfigError
from tinbergen.training.optim import learning_rate_factor


def test_beast_is_as_published():
    config = beast_config("beast")
    encoder, decoder, contrast, train = (
        config.encoder, config.decoder, config.contrast, config.train
    )  # fmt: skip
    assert (encoder.width, encoder.depth, encoder.heads, encoder.patch) == (768, 12, 12, 16)
    assert (encoder.image_size, encoder.channels) == ((224, 224), 3)
    assert (encoder.norm_eps, encoder.cls_stem, encoder.mlp_ratio) == (1e-12, 0, 4)
    assert (decoder.width, decoder.depth, decoder.heads, decoder.mlp_ratio) == (512, 8, 16, 4)
    goal = config.objective
    assert (goal.mask_ratio, goal.reconstruction, goal.decode) == (0.75, 1, 1)
    assert not (goal.background or goal.eigenframes or goal.data_init)
    assert (contrast.weight, contrast.temperature, contrast.learn_temperature) == (0.03, 1, False)
    assert (contrast.offset, contrast.offset_unit, contrast.positives) == (1, "frames", 1)
    assert (contrast.exclusion, contrast.negatives, contrast.form) == (0, "all", "symmetric")
    assert (contrast.augmentation, contrast.head_norm) == ("independent", "batch")
    augment = config.augment
    assert (augment.flip, augment.crop, augment.crop_range, augment.rotation) == (
        0.5,
        0.4,
        0.15,
        0,
    )
    assert (augment.brightness, augment.contrast) == (0, 0)
    assert (config.frames.select, config.frames.per_video) == ("pca_kmeans", 500)
    assert (train.weight_decay, train.betas, train.decay_all) == (0.05, (0.9, 0.999), True)
    assert (train.warmup, train.batch_size, train.grad_clip) == (0.15, 128, 0)


def test_variants_leave_one_loss_out():
    assert beast_config("vit-m").contrast.weight == 0
    assert beast_config("vit-m").objective.reconstruction == 1
    assert beast_config("vit-c").objective.reconstruction == 0
    assert beast_config("vit-c").contrast.weight == 1


@pytest.mark.parametrize(("batch", "expected"), [(128, 2.5e-5), (1024, 2e-4), (16, 3.125e-6)])
@pytest.mark.parametrize("preset", ["beast", "vit-m", "vit-c"])
def test_learning_rate_follows_the_batch(preset, batch, expected):
    config = beast_config(preset, overrides={"train": {"batch_size": batch}})
    assert config.train.learning_rate == pytest.approx(expected)


def test_a_given_learning_rate_is_kept():
    config = beast_config("beast", overrides={"train": {"learning_rate": 1e-3}})
    assert config.train.learning_rate == 1e-3


def test_schedule_is_the_one_cycle_of_the_reference():
    """Its values at 800 epochs of 8 x 128 images, as printed by torch's OneCycleLR."""
    config = beast_config("beast", overrides={"train": {"batch_size": 1024, "steps": 800}}).train
    for epoch, rate in ((0, 2e-5), (60, 1.112e-4), (120, 2e-4), (400, 1.342e-4), (799, 2e-5)):
        found = config.learning_rate * learning_rate_factor(epoch, config)
        assert found == pytest.approx(rate, rel=0.08 if epoch == 0 else 0.01)


@pytest.mark.parametrize("size", ["ti", "s", "b", "l"])
@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_builds_in_every_size(preset, size):
    with torch.device("meta"):
        model = Beast(beast_config(preset, size=size))
    assert (model.decoder is None) == (preset == "vit-c")
    assert (model.head is None) == (preset == "vit-m")


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("size", "decoder"), [("s", 25_912_576), ("b", 26_109_184), ("l", 26_240_256)]
)
def test_decoder_parameters(size, decoder):
    with torch.device("meta"):
        built = Decoder(DecoderConfig(), beast_config("beast", size=size).encoder)
    assert count(built) + built.positions.numel() == decoder


def test_parameters_of_head_and_sum():
    with torch.device("meta"):
        assert count(ProjectionHead(768, 768, "batch")) == 1_774_848
        model = Beast(beast_config("beast"))
    assert model.decoder is not None
    tables = model.encoder.positions.numel() + model.decoder.positions.numel()
    assert (count(model), tables) == (113_430_528, 252_160)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": {"stesp": 5}}, r"train\.stesp.*did you mean 'steps'"),
        ({"train": 5}, "train: .*found 5"),
        ({"encoder": None}, "encoder"),
        ({"objective": {"mask_ratio": 1.0}}, r"objective\.mask_ratio"),
        ({"objective": {"mask_ratio": 0.0}}, "mask_ratio > 0"),
        ({"objective": {"reconstruction": 0}, "contrast": {"weight": 0}}, "nothing would be"),
        ({"train": {"batch_size": 2}}, "at least two groups"),
        ({"train": {"batch_size": 9}}, "multiple of 2"),
        ({"contrast": {"positives": 2}, "train": {"batch_size": 8}}, "multiple of 3"),
        ({"encoder": {"image_size": (100, 64)}}, "multiples of patch"),
        ({"decoder": {"heads": 7}}, "multiple of heads"),
        ({"contrast": {"temperature": 0}}, r"contrast\.temperature"),
    ],
)
def test_impossible_settings_are_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        beast_config(overrides=changes)


@pytest.mark.parametrize("build", [beast_config, lambda *a, **k: resumed_config({}, *a, **k)])
def test_unknown_preset_and_size_list_the_known(build):
    with pytest.raises(ConfigError, match=r"preset: expected .*vit-m.*found 'best'"):
        build("best")
    with pytest.raises(ConfigError, match="size: expected one of ti, s, b, l, found 'xl'"):
        build(size="xl")


def test_a_resumed_run_keeps_what_is_not_given():
    stored = beast_config("vit-m", size="ti", overrides={"train": {"batch_size": 16}})
    dumped = stored.model_dump(mode="json")
    assert resumed_config(dumped) == stored
    changed = resumed_config(dumped, overrides={"train": {"workers": 7}})
    assert changed.train.workers == 7
    assert changed.updated(train={"workers": stored.train.workers}) == stored
    assert resumed_config(dumped, size="s").encoder.width == 384
    assert resumed_config(dumped, "beast").preset == "beast"
