"""Where the first weights come from: principal components, earlier runs, published files."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny_beast import MemoryCache, tiny_config

from tinbergen.beast.model import Beast
from tinbergen.beast.start import (
    initialise,
    principal_frames,
    start_embedding,
    start_stem,
    starting_weights,
)
from tinbergen.errors import MissingFileError, WeightsError
from tinbergen.nn.foreign import to_lightning_pose
from tinbergen.nn.pixels import to_input
from tinbergen.nn.vit import ViT, ViTConfig, low_resolution, patchify
from tinbergen.training import RunFolder

SHAPE = ViTConfig(image_size=(16, 24), patch=8, width=16, depth=1, heads=2, cls_stem=4)


def patches(n=40, seed=0):
    """Patches of unequal variance, so that their principal axes are well apart."""
    generator = torch.Generator().manual_seed(seed)
    scale = torch.linspace(0.1, 3, 6 * 192).view(6, 192)
    return torch.randn(n, 6, 192, generator=generator) * scale


def test_principal_frames_are_those_of_a_singular_value_decomposition():
    x = patches(30)
    basis = principal_frames(x, 5).flatten(1).numpy()
    _, values, axes = np.linalg.svd(x.flatten(1).numpy(), full_matrices=False)
    expected = values[:5, None] * axes[:5] / np.sqrt(30)
    signs = np.sign((basis * expected).sum(1))
    np.testing.assert_allclose(basis * signs[:, None], expected, atol=1e-4)


def test_principal_frames_beyond_the_rank_are_zero():
    basis = principal_frames(patches(3), 5)
    assert basis[:3].flatten(1).norm(dim=1).min() > 0
    assert not basis[3:].any()


@pytest.mark.parametrize("width", [16, 256])
def test_embedding_has_unit_deviation_and_the_covariance_of_the_patches(width):
    torch.manual_seed(0)
    encoder, x = ViT(SHAPE.updated(width=width)), patches(60)
    start_embedding(encoder, x)
    flat, weight = x.flatten(0, 1), encoder.embed.weight.detach()
    assert (flat @ weight.T).std().item() == pytest.approx(1, abs=1e-3)
    covariance = (flat.T @ flat / len(flat)).double()
    values, axes = torch.linalg.eigh(covariance)
    leading = axes[:, -min(width, 192) :]
    truncated = leading @ torch.diag(values[-min(width, 192) :]) @ leading.T
    found = (weight.T @ weight).double()
    torch.testing.assert_close(
        found / found.norm(), truncated / truncated.norm(), atol=1e-5, rtol=1e-3
    )


def test_stem_reads_the_leading_components_at_half_a_deviation():
    torch.manual_seed(0)
    encoder, x = ViT(SHAPE), patches(60)
    start_stem(encoder, x)
    low = low_resolution(x, None, SHAPE).flatten(1)
    assert encoder.stem is not None
    weight = encoder.stem.weight.detach()
    assert (low @ weight.T).std().item() == pytest.approx(0.5, abs=1e-3)
    _, _, axes = torch.linalg.svd(low, full_matrices=False)
    inside = weight @ axes[:16].T @ axes[:16]
    torch.testing.assert_close(inside, weight, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("channels", [1, 3])
def test_low_resolution_by_brute_force(channels):
    shape = SHAPE.updated(channels=channels)
    images = torch.randn(2, channels, 16, 24)
    keep = torch.tensor([[4, 1], [0, 5]])
    found = low_resolution(
        patchify(images, 8).gather(1, keep[..., None].expand(-1, -1, 64 * channels)), keep, shape
    )
    expected = torch.zeros(2, 6, 4, 4, channels)
    for n in range(2):
        for patch in keep[n].tolist():
            top, left = 8 * (patch // 3), 8 * (patch % 3)
            for i in range(4):
                for j in range(4):
                    rows = slice(top + 2 * i, top + 2 * i + 2)
                    columns = slice(left + 2 * j, left + 2 * j + 2)
                    block = images[n, :, rows, columns]
                    expected[n, patch, i, j] = block.mean((1, 2)) * 6 / 2
    torch.testing.assert_close(found, expected.flatten(2), atol=1e-6, rtol=1e-5)


def test_initial_weights_come_from_training_rows_only():
    config = tiny_config(objective={"eigenframes": 4})
    one, two = MemoryCache(), MemoryCache()
    two.frames[50:] = 255 - two.frames[50:]
    backgrounds = np.full((2, 16, 24, 3), 100, np.uint8)
    states = []
    for cache in (one, two):
        torch.manual_seed(0)
        model = Beast(config)
        initialise(model, cache, np.arange(50), backgrounds, None)
        states.append(model.state_dict())
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    assert states[0]["eigenframes"].any()


# --- weights from elsewhere ----------------------------------------------------------------


def plain_config(channels=3, **encoder):
    return tiny_config("vit-m", encoder={"channels": channels, **encoder})


@pytest.fixture(scope="module")
def source():
    """An RGB network, and its state."""
    torch.manual_seed(1)
    model = Beast(plain_config()).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    return model


def write(kind, model, folder):
    """Save a network as others do, and give the path to start from."""
    tensors = model.state_dict()
    theirs = to_lightning_pose(tensors, 8)
    if kind == "run":
        run = RunFolder.create(folder / "run", model.config, seed=0)
        run.save_weights(tensors)
        return run.path
    if kind == "weights":
        save_file(tensors, folder / "weights.safetensors")
        return folder / "weights.safetensors"
    if kind == "hugging face":
        bare = {name.removeprefix("vit_mae."): value for name, value in theirs.items()}
        save_file(bare, folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "config.json").write_text(json.dumps({"model_type": "vit_mae"}))
        return folder
    if kind == "reference":
        torch.save({"state_dict": theirs, "epoch": 3}, folder / "last.ckpt")
        return folder / "last.ckpt"
    names = {
        "encoder.embed.": "patch_embed.proj.", "encoder.positions": "pos_embed",
        "decoder.positions": "decoder_pos_embed", "decoder.embed.": "decoder_embed.",
        "decoder.norm.": "decoder_norm.", "decoder.predict.": "decoder_pred.",
        "decoder.blocks.": "decoder_blocks.", "decoder.mask_token": "mask_token",
        "encoder.": "", "attention.qkv": "attn.qkv", "attention.out": "attn.proj",
        "mlp.0": "mlp.fc1", "mlp.2": "mlp.fc2",
    }  # fmt: skip
    meta = {}
    for name, value in tensors.items():
        if name == "encoder.embed.weight":
            value = value.unflatten(1, (8, 8, 3)).permute(0, 3, 1, 2).contiguous()
        value = value[None] if name.endswith("positions") else value
        for ours, their in names.items():
            name = name.replace(ours, their)
        meta[name] = value
    torch.save({"model": meta}, folder / "mae.pth")
    return folder / "mae.pth"


KINDS = ["run", "weights", "hugging face", "reference", "meta"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_weights_arrives_whole(kind, source, tmp_path):
    weights, report = starting_weights(write(kind, source, tmp_path), Beast(plain_config()))
    assert report.complete, str(report)
    own = source.state_dict()
    assert weights.keys() == own.keys()
    assert all(torch.equal(weights[name], own[name]) for name in own)


@pytest.mark.parametrize("kind", KINDS)
def test_gray_network_sees_gray_images_as_the_rgb_one_did(kind, source, tmp_path):
    gray = Beast(plain_config(channels=1)).eval()
    weights, report = starting_weights(write(kind, source, tmp_path), gray)
    assert report.complete
    gray.load_state_dict(weights)
    frames = torch.randint(0, 256, (3, 16, 24, 1), dtype=torch.uint8)
    noise = torch.rand(3, 6)
    with torch.no_grad():
        one = gray(patchify(to_input(frames), 8), noise)
        two = source(patchify(to_input(frames.expand(-1, -1, -1, 3)), 8), noise)
    torch.testing.assert_close(one.cls, two.cls, atol=1e-5, rtol=1e-5)
    # The picture that is predicted is the mean of the three.
    std = torch.tensor([0.229, 0.224, 0.225])
    mean = torch.tensor([0.485, 0.456, 0.406])
    theirs = (two.prediction.unflatten(-1, (64, 3)) * std + mean).mean(-1)
    torch.testing.assert_close(
        one.prediction * std.mean() + mean.mean(), theirs, atol=1e-5, rtol=0
    )


def test_another_image_size_gets_its_own_position_table(source, tmp_path):
    model = Beast(plain_config(image_size=(24, 24)))
    weights, _ = starting_weights(write("meta", source, tmp_path), model)
    assert torch.equal(weights["encoder.positions"], model.encoder.positions)
    assert torch.equal(weights["encoder.embed.weight"], source.encoder.embed.weight)


def test_another_decoder_starts_anew_and_is_reported(source, tmp_path):
    model = Beast(tiny_config("beast", decoder={"width": 24}))
    weights, report = starting_weights(write("run", source, tmp_path), model)
    assert all(name.startswith("encoder.") for name in weights if "predict.bias" not in name)
    assert any(name.startswith("head.") for name in report.missing)
    assert "decoder.embed.weight" in report.wrong_shape


@pytest.mark.parametrize("change", [{"width": 32}, {"depth": 3}, {"patch": 4}, {"cls_stem": 2}])
def test_an_encoder_that_fits_in_part_is_refused(change, source, tmp_path):
    path = write("hugging face", source, tmp_path)
    with pytest.raises(WeightsError, match="does not fit this model|without a CLS stem"):
        starting_weights(path, Beast(plain_config(**change)))
    if "cls_stem" in change or "depth" in change:
        weights, report = starting_weights(path, Beast(plain_config(**change)), partial=True)
        assert report.missing and torch.equal(
            weights["encoder.embed.bias"], source.encoder.embed.bias
        )


def test_what_is_no_weights_is_named(tmp_path):
    model = Beast(plain_config())
    with pytest.raises(MissingFileError, match=r"nothing\.pth"):
        starting_weights(tmp_path / "nothing.pth", model)
    with pytest.raises(WeightsError, match="Expected weights in"):
        starting_weights(tmp_path, model)
    (tmp_path / "a.pth").write_text("text")
    with pytest.raises(WeightsError, match=r"a\.pth"):
        starting_weights(tmp_path / "a.pth", model)
    save_file({"x": torch.ones(1)}, tmp_path / "b.safetensors")
    with pytest.raises(WeightsError, match="No parameter of"):
        starting_weights(tmp_path / "b.safetensors", model)


def test_inputs_name_the_weights_of_a_hugging_face_folder(tmp_path):
    from types import SimpleNamespace

    from tinbergen.beast.pretraining import _inputs

    frames = SimpleNamespace(key="k")
    with pytest.raises(WeightsError, match="found none"):
        _inputs(frames, tmp_path)  # type: ignore[arg-type]
    (tmp_path / "model.safetensors").write_bytes(b"one")
    first = _inputs(frames, tmp_path)  # type: ignore[arg-type]
    (tmp_path / "model.safetensors").write_bytes(b"two")
    assert first["frames"] == "k"
    assert first["start_from"] != _inputs(frames, tmp_path)["start_from"]  # type: ignore[arg-type]
