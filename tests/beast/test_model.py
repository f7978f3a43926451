"""The network: masks, what is decoded, eigenframes, and what has no influence."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_beast import MemoryCache, tiny_config

from tinbergen.beast.mae import random_mask
from tinbergen.beast.model import Beast, ProjectionHead
from tinbergen.beast.task import PretrainTask
from tinbergen.nn.vit import gather_tokens

L, VALUES = 6, 8 * 8 * 3


def build(preset="tinbergen", **changes):
    torch.manual_seed(0)
    model = Beast(tiny_config(preset, **changes)).eval()
    with torch.no_grad():
        for name, value in [*model.named_parameters(), *model.named_buffers()]:
            if "positions" not in name and "temperature" not in name:
                value.normal_(0, 0.3)
    return model


@pytest.mark.parametrize(
    ("patches", "ratio", "kept"),
    [(196, 0.5, 98), (196, 0.75, 49), (196, 0.8, 39), (196, 0.9, 19),
     (256, 0.5, 128), (256, 0.75, 64), (256, 0.8, 51), (256, 0.9, 25)],
)  # fmt: skip
def test_number_of_kept_patches(patches, ratio, kept):
    mask = random_mask(torch.rand(3, patches), ratio)
    assert mask.keep.shape == (3, kept)
    assert mask.hide.shape == (3, patches - kept)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(1, 60), ratio=st.floats(0, 0.99))
def test_kept_patches_have_the_smallest_noise(seed, n, ratio):
    noise = torch.rand(2, n, generator=torch.Generator().manual_seed(seed))
    mask = random_mask(noise, ratio)
    for values, keep, hide in zip(noise, mask.keep, mask.hide, strict=True):
        assert sorted([*keep.tolist(), *hide.tolist()]) == list(range(n))
        assert len(keep) == int(n * (1 - ratio))
        if len(keep) and len(hide):
            assert values[keep].max() <= values[hide].min()


@pytest.mark.parametrize(("share", "decoded"), [(1.0, 5), (0.4, 2), (1 / 3, 2), (0.01, 1)])
def test_share_of_hidden_patches_that_is_decoded(share, decoded):
    model = build(objective={"decode": share})  # 6 patches, 1 visible
    output = model(torch.randn(3, L, VALUES), torch.rand(3, L))
    assert output.hidden.shape == (3, 5)
    assert output.prediction.shape == (3, decoded, VALUES)
    assert torch.equal(output.decoded, output.hidden[:, :decoded])
    assert model(torch.randn(3, L, VALUES), torch.rand(3, L), 1.0).decoded.shape == (3, 5)


def test_loss_is_that_of_hidden_patches_only():
    """sum(mask * patch error) / sum(mask), whatever would be predicted of visible patches."""
    model = build("vit-m", objective={"mask_ratio": 0.5})
    patches, noise = torch.randn(4, L, VALUES), torch.rand(4, L)
    output = model(patches, noise)
    none = np.zeros(0, dtype=int)
    task = PretrainTask(model.config, MemoryCache(), none, none)
    loss = task._image_losses(output, patches)["loss_reconstruction"]
    index = output.decoded[..., None].expand(-1, -1, VALUES)
    mask = torch.zeros(4, L).scatter(1, output.decoded, 1.0)
    for visible in (0.0, 1e6):
        prediction = torch.full_like(patches, visible).scatter(1, index, output.prediction)
        error = ((prediction - patches) ** 2).mean(-1)
        assert loss.item() == pytest.approx(((mask * error).sum() / mask.sum()).item(), rel=1e-6)


def test_hidden_patches_do_not_reach_the_encoder():
    model = build()
    patches, noise = torch.randn(2, L, VALUES), torch.rand(2, L)
    hidden = random_mask(noise, 0.75).hide
    other = patches.scatter(1, hidden[..., None].expand(-1, -1, VALUES), 1e3)
    one, two = model(patches, noise), model(other, noise)
    for name in ("cls", "embedding", "prediction"):
        assert torch.equal(getattr(one, name), getattr(two, name))


def test_eigenframes_add_what_cls_says():
    model = build(objective={"eigenframes": 3, "decode": 1.0})
    patches, noise = torch.randn(2, L, VALUES), torch.rand(2, L)
    assert model.coefficients is not None
    assert model.decoder is not None
    whole = model(patches, noise)
    coefficients = model.coefficients(whole.cls)
    frames = torch.einsum("nk,klv->nlv", coefficients, model.eigenframes)
    with torch.no_grad():
        model.coefficients.weight.zero_()
        model.coefficients.bias.zero_()
    alone = model(patches, noise)
    mask = random_mask(noise, 0.75)
    tokens = model.encoder(gather_tokens(patches, mask.keep), mask.keep)
    assert torch.equal(alone.prediction, model.decoder(tokens, mask.keep, mask.hide))
    expected = alone.prediction + gather_tokens(frames, mask.hide)
    torch.testing.assert_close(whole.prediction, expected, atol=1e-5, rtol=1e-5)


def test_training_starts_at_the_mean_image():
    """With a background nothing is predicted at first, whatever is seen."""
    model = Beast(tiny_config(objective={"eigenframes": 3})).eval()
    prediction = model(torch.randn(2, L, VALUES), torch.rand(2, L)).prediction
    assert not prediction.any()


def test_temperature_is_kept_within_bounds():
    fixed = build(contrast={"temperature": 0.3})
    assert fixed.temperature.item() == pytest.approx(0.3)
    assert "log_temperature" not in fixed.state_dict()
    learned = Beast(tiny_config(contrast={"temperature": 0.3, "learn_temperature": True}))
    assert learned.temperature.item() == pytest.approx(0.3)
    for log, bound in ((-50.0, 0.01), (50.0, 1.0)):
        torch.nn.init.constant_(learned.log_temperature, log)
        assert learned.temperature.item() == pytest.approx(bound)


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_head_is_three_layers_with_the_norm_asked_for(norm):
    head, x = ProjectionHead(5, 3, norm), torch.randn(20, 5)

    def normalise(h):
        axis = {"batch": 0, "layer": 1}.get(norm)
        if axis is None:
            return h
        variance = h.var(axis, unbiased=False, keepdim=True)
        return (h - h.mean(axis, keepdim=True)) / (variance + 1e-5).sqrt()

    first, second, last = (m for m in head.layers if isinstance(m, torch.nn.Linear))
    expected = last(normalise(second(normalise(first(x)).relu())).relu())
    torch.testing.assert_close(head(x), expected, atol=1e-5, rtol=1e-4)
