"""Foreign weights: parity with transformers, round trips, and loud refusals."""

import pytest
import torch

from tinbergen.beast.mae import Decoder, DecoderConfig, random_mask
from tinbergen.errors import MissingFileError, WeightsError
from tinbergen.nn.foreign import from_foreign, is_foreign, to_lightning_pose
from tinbergen.nn.masked_mse import masked_mse
from tinbergen.nn.vit import ViT, ViTConfig, gather_tokens, patchify
from tinbergen.nn.weights import load_weights, read_tensors

SHAPE = ViTConfig(image_size=(64, 64), width=48, depth=3, heads=3, mlp_ratio=2, norm_eps=1e-12)
DECODER = DecoderConfig(width=32, depth=2, heads=4, mlp_ratio=2)


class MaskedAutoencoder(torch.nn.Module):
    def __init__(self, shape=SHAPE):
        super().__init__()
        self.encoder = ViT(shape)
        self.decoder = Decoder(DECODER, shape)


@pytest.fixture(scope="module")
def hugging_face():
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTMAEConfig(
        hidden_size=48, num_hidden_layers=3, num_attention_heads=3, intermediate_size=96,
        image_size=64, patch_size=16, decoder_hidden_size=32, decoder_num_hidden_layers=2,
        decoder_num_attention_heads=4, decoder_intermediate_size=64,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.ViTMAEForPreTraining(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.normal_(0, 0.2)
    return model


@pytest.mark.parametrize("ratio", [0.5, 0.75])
def test_parity_with_transformers(hugging_face, ratio):
    ours = MaskedAutoencoder().eval()
    report = load_weights(ours, from_foreign(hugging_face.state_dict()), source="transformers")
    assert report.complete
    images, noise = torch.randn(5, 3, 64, 64), torch.rand(5, 16)
    hugging_face.config.mask_ratio = hugging_face.vit.embeddings.config.mask_ratio = ratio
    theirs = hugging_face(pixel_values=images, noise=noise)
    patches, mask = patchify(images, 16), random_mask(noise, ratio)
    for gradients in (True, False):  # the two paths of attention
        with torch.set_grad_enabled(gradients):
            latents = ours.encoder(gather_tokens(patches, mask.keep), mask.keep)
            logits = ours.decoder(latents, mask.keep, mask.hide)
        loss = masked_mse(logits, gather_tokens(patches, mask.hide))
        reference = hugging_face.vit(pixel_values=images, noise=noise).last_hidden_state
        assert torch.allclose(latents, reference, atol=1e-5)
        assert torch.allclose(logits, gather_tokens(theirs.logits, mask.hide), atol=1e-5)
        assert loss.item() == pytest.approx(theirs.loss.item(), abs=1e-5)


def test_lightning_pose_layout_round_trip():
    ours = MaskedAutoencoder().state_dict()
    exported = to_lightning_pose(ours, patch=16)
    assert all(name.startswith("vit_mae.") for name in exported)
    assert is_foreign(exported)
    back = from_foreign(exported)
    assert back.keys() == ours.keys()
    assert all(torch.equal(back[name], ours[name]) for name in ours)


def test_exported_encoder_loads_into_transformers(hugging_face, tmp_path):
    """The files on the hub carry these names; transformers reads them, whatever its own names."""
    from safetensors.torch import save_file

    model = MaskedAutoencoder().eval()
    exported = to_lightning_pose(model.state_dict(), patch=16)
    save_file(
        {name.removeprefix("vit_mae."): value for name, value in exported.items()},
        tmp_path / "model.safetensors",
        metadata={"format": "pt"},
    )
    hugging_face.config.save_pretrained(tmp_path)
    loaded = type(hugging_face).from_pretrained(tmp_path).eval()
    loaded.config.mask_ratio = 0.75
    images, noise = torch.randn(2, 3, 64, 64), torch.rand(2, 16)
    mask = random_mask(noise, 0.75)
    with torch.no_grad():
        theirs = loaded.vit(pixel_values=images, noise=noise).last_hidden_state
        ours = model.encoder(gather_tokens(patchify(images, 16), mask.keep), mask.keep)
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_a_folder_that_transformers_saved_fits_wholly(hugging_face, tmp_path):
    hugging_face.save_pretrained(tmp_path)
    read = from_foreign(read_tensors(tmp_path / "model.safetensors"))
    assert load_weights(MaskedAutoencoder(), read, source="saved").complete


def meta_layout(ours):
    """The same weights under the names of Meta's MAE."""
    names = {
        "encoder.cls_token": "cls_token", "encoder.positions": "pos_embed",
        "encoder.embed": "patch_embed.proj", "encoder.norm": "norm", "encoder.blocks": "blocks",
        "decoder.mask_token": "mask_token", "decoder.positions": "decoder_pos_embed",
        "decoder.embed": "decoder_embed", "decoder.norm": "decoder_norm",
        "decoder.predict": "decoder_pred", "decoder.blocks": "decoder_blocks",
        "attention.qkv": "attn.qkv", "attention.out": "attn.proj", "mlp.0": "mlp.fc1",
        "mlp.2": "mlp.fc2",
    }  # fmt: skip
    theirs = {}
    for name, value in ours.items():
        if name == "encoder.embed.weight":
            value = value.unflatten(1, (16, 16, 3)).permute(0, 3, 1, 2)
        value = value[None] if name.endswith("positions") else value
        for our_part, their_part in names.items():
            name = name.replace(our_part, their_part)
        theirs[name] = value
    return theirs


def test_meta_layout(tmp_path):
    from argparse import Namespace

    ours = MaskedAutoencoder().state_dict()
    path = tmp_path / "mae.pth"
    torch.save({"model": meta_layout(ours), "args": Namespace(lr=1.0), "epoch": 3}, path)
    read = from_foreign(read_tensors(path))
    assert read.keys() == ours.keys()
    assert all(torch.equal(read[name], ours[name]) for name in ours)


def test_reference_checkpoint_with_head(tmp_path):
    """A Lightning file: state_dict with vit_mae.* and proj.*."""
    tensors = to_lightning_pose(MaskedAutoencoder().state_dict(), patch=16)
    tensors["proj.0.weight"] = torch.ones(48, 48)
    path = tmp_path / "best.ckpt"
    torch.save({"state_dict": tensors, "epoch": 1, "hyper_parameters": {"a": 1}}, path)
    read = from_foreign(read_tensors(path))
    assert torch.equal(read["head.layers.0.weight"], torch.ones(48, 48))
    assert "encoder.blocks.2.attention.qkv.bias" in read


def test_partial_match_is_refused_and_leaves_the_model_alone():
    ours = MaskedAutoencoder()
    before = {k: v.clone() for k, v in ours.state_dict().items()}
    tensors = dict(MaskedAutoencoder().state_dict())
    tensors.pop("encoder.norm.bias")
    tensors["surprise"] = torch.ones(1)
    tensors["encoder.embed.bias"] = torch.ones(7)
    with pytest.raises(WeightsError, match=r"encoder.norm.bias.*surprise.*\(7,\) for \(48,\)"):
        load_weights(ours, tensors, source="x.pth")
    after = ours.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    report = load_weights(ours, tensors, source="x.pth", partial=True)
    assert report.missing == ("encoder.norm.bias",)
    assert report.unexpected == ("surprise",)
    assert not report.complete


def test_nothing_in_common_is_refused_even_when_partial():
    with pytest.raises(WeightsError, match="No parameter"):
        load_weights(torch.nn.Linear(2, 2), {"a": torch.ones(1)}, source="x", partial=True)


def test_incomplete_attention_is_refused():
    tensors = to_lightning_pose(MaskedAutoencoder().state_dict(), patch=16)
    del tensors["vit_mae.vit.encoder.layer.0.attention.attention.key.weight"]
    with pytest.raises(WeightsError, match="2 of 3"):
        from_foreign(tensors)


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


def test_pickled_code_is_not_run(tmp_path, capsys):
    path = tmp_path / "evil.ckpt"
    torch.save({"state_dict": {"a": torch.ones(1)}, "evil": Evil()}, path)
    with pytest.raises(WeightsError, match=r"evil.ckpt.*plain tensors"):
        read_tensors(path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["a.safetensors", "a.pth"])
def test_damaged_and_absent_files(tmp_path, name):
    with pytest.raises(MissingFileError, match=name):
        read_tensors(tmp_path / name)
    (tmp_path / name).write_bytes(b"not weights at all")
    with pytest.raises(WeightsError, match=name):
        read_tensors(tmp_path / name)
