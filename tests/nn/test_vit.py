"""The transformer against published numbers, closed forms and brute force."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tinbergen.nn.positions import sincos_2d
from tinbergen.nn.transformer import SelfAttention, attend
from tinbergen.nn.vit import SIZES, ViT, ViTConfig, gather_tokens, patchify, unpatchify


def n_parameters(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (SIZES["s"], 21_665_664),
        (SIZES["b"], 85_798_656),
        ({"width": 1280, "depth": 32, "heads": 16, "patch": 14}, 630_764_800),
        (SIZES["l"], 303_301_632),
    ],
)
def test_parameter_counts_with_position_table(shape, expected):
    with torch.device("meta"):
        vit = ViT(ViTConfig(**shape))
    assert n_parameters(vit) + vit.positions.numel() == expected


def test_block_and_patch_embedding_counts():
    with torch.device("meta"):
        vit = ViT(ViTConfig())
    assert n_parameters(vit.blocks[0]) == 7_087_872
    assert n_parameters(vit.embed) == 590_592


def test_sincos_table():
    table = sincos_2d(14, 14, 768)
    assert table.shape == (197, 768)
    expected = {
        (1, 0): 0, (1, 192): 1, (2, 0): 0.841471, (2, 1): 0.815251, (2, 192): 0.540302,
        (2, 384): 0, (15, 0): 0, (15, 384): 0.841471, (15, 576): 0.540302,
        (196, 0): 0.420167, (196, 384): 0.420167,
    }  # fmt: skip
    for place, value in expected.items():
        assert table[place].item() == pytest.approx(value, abs=1e-6)
    assert table[0].abs().max() == 0
    assert torch.allclose(table[1:].norm(dim=1), torch.tensor(384.0).sqrt(), atol=1e-4)
    assert table.double().sum().item() == pytest.approx(69594.4939, abs=1e-2)


def test_sincos_width_must_fit():
    with pytest.raises(ValueError, match="multiple of 4"):
        sincos_2d(2, 2, 6)


@given(
    rows=st.integers(1, 4),
    columns=st.integers(1, 4),
    patch=st.sampled_from([1, 2, 5]),
    channels=st.sampled_from([1, 3]),
)
@settings(deadline=None, max_examples=30)
def test_patchify_inverts(rows, columns, patch, channels):
    images = torch.randint(0, 255, (2, channels, rows * patch, columns * patch)).byte()
    patches = patchify(images, patch)
    assert patches.shape == (2, rows * columns, patch * patch * channels)
    assert torch.equal(unpatchify(patches, patch, (rows, columns)), images)


def test_patch_order_is_row_column_channel():
    images = torch.arange(3 * 4 * 4).view(1, 3, 4, 4)
    patches = patchify(images, 2)
    assert patches[0, 0, :3].tolist() == images[0, :, 0, 0].tolist()
    assert patches[0, 0, 3:6].tolist() == images[0, :, 0, 1].tolist()
    assert patches[0, 1, :3].tolist() == images[0, :, 0, 2].tolist()


def test_attention_is_softmax_of_scaled_products():
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 2, 5, 4)
    expected = torch.softmax(q @ k.transpose(-2, -1) / 2, -1) @ v
    with torch.no_grad():
        assert torch.allclose(attend(q, k, v), expected, atol=1e-6)
    assert torch.allclose(attend(q.requires_grad_(), k, v), expected, atol=1e-6)


def test_attention_against_torch_module():
    torch.manual_seed(0)
    ours = SelfAttention(12, 3)
    theirs = torch.nn.MultiheadAttention(12, 3, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.qkv.weight)
        theirs.in_proj_bias.copy_(ours.qkv.bias)
        theirs.out_proj.weight.copy_(ours.out.weight)
        theirs.out_proj.bias.copy_(ours.out.bias)
    x = torch.randn(2, 7, 12)
    assert torch.allclose(ours(x), theirs(x, x, x, need_weights=False)[0], atol=1e-6)


def small(**changes):
    shape = {"image_size": (8, 12), "patch": 4, "width": 16, "depth": 2, "heads": 2}
    return ViTConfig(**(shape | changes))


@pytest.mark.parametrize("channels", [1, 3])
def test_rectangular_images_and_one_channel(channels):
    config = small(channels=channels)
    vit = ViT(config)
    patches = patchify(torch.randn(2, channels, 8, 12), 4)
    assert vit(patches).shape == (2, 7, 16)


def test_order_of_kept_patches_only_reorders_tokens():
    torch.manual_seed(0)
    vit = ViT(small()).eval()
    patches = patchify(torch.randn(2, 3, 8, 12), 4)
    order = torch.stack([torch.randperm(6), torch.randperm(6)])
    shuffled = vit(gather_tokens(patches, order), order)
    plain = vit(patches)
    assert torch.allclose(shuffled[:, 0], plain[:, 0], atol=1e-5)
    assert torch.allclose(shuffled[:, 1:], gather_tokens(plain[:, 1:], order), atol=1e-5)


def test_hidden_patches_do_not_matter():
    torch.manual_seed(0)
    vit = ViT(small()).eval()
    patches = patchify(torch.randn(1, 3, 8, 12), 4)
    keep = torch.tensor([[4, 1]])
    before = vit(gather_tokens(patches, keep), keep)
    patches[:, [0, 2, 3, 5]] = torch.nan
    assert torch.equal(before, vit(gather_tokens(patches, keep), keep))


@pytest.mark.parametrize("wanted", [slice(0, 1), slice(3, None)])
def test_wanted_tokens_are_those_of_the_whole(wanted):
    torch.manual_seed(0)
    vit = ViT(small()).double()
    patches = patchify(torch.randn(2, 3, 8, 12), 4).double()
    whole, part = vit(patches)[:, wanted], vit(patches, wanted=wanted)
    assert torch.allclose(whole, part, atol=1e-12)
    weights = list(vit.parameters())
    for one, other in zip(
        torch.autograd.grad(whole.square().sum(), weights),
        torch.autograd.grad(part.square().sum(), weights),
        strict=True,
    ):
        assert torch.allclose(one, other, atol=1e-10)


@pytest.mark.parametrize(
    "bad", [{"image_size": (10, 12)}, {"width": 12, "heads": 5}, {"channels": 2}, {"widht": 3}]
)
def test_impossible_shapes_are_refused(bad):
    from tinbergen.configuration import resolve
    from tinbergen.errors import ConfigError

    with pytest.raises(ConfigError):
        resolve(ViTConfig, bad)
