"""Export to the reference layout: what the other side computes is what we compute."""

import pytest
import torch

from tinbergen.beast import export_lightning_pose
from tinbergen.beast.config import beast_config
from tinbergen.beast.model import Beast
from tinbergen.beast.start import starting_weights
from tinbergen.errors import MissingFileError, OutputError
from tinbergen.nn.foreign import from_foreign
from tinbergen.nn.pixels import RESIDUAL_SCALE, to_input
from tinbergen.nn.vit import patchify
from tinbergen.nn.weights import read_tensors
from tinbergen.training import RunFolder

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def config(channels=3, background=False, **encoder):
    return beast_config(
        "vit-m",
        overrides={
            "encoder": {
                "image_size": (16, 24), "patch": 8, "width": 16, "depth": 2, "heads": 2,
                "channels": channels, **encoder,
            },
            "decoder": {"width": 16, "depth": 1, "heads": 2},
            "objective": {"background": background},
            "train": {"batch_size": 4},
        },
    )  # fmt: skip


@pytest.fixture
def finished(tmp_path):
    """Make a finished run with random weights."""

    def make(config):
        torch.manual_seed(0)
        model = Beast(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(0, 0.2)
        run = RunFolder.create(tmp_path / "run", config, seed=0)
        run.save_weights(model.state_dict())
        return run, model

    return make


def other_side(path):
    """The exported weights in a plain RGB network of the same shape."""
    plain = Beast(config()).eval()
    report = plain.load_state_dict(from_foreign(read_tensors(path)), strict=False)
    assert not report.missing_keys
    return plain


def gray_frames(n=3):
    values = torch.randint(0, 256, (n, 16, 24, 1), dtype=torch.uint8)
    return values, values.expand(-1, -1, -1, 3)


def both(ours, seen_by_us, theirs, seen_by_them):
    noise = torch.rand(len(seen_by_us), 6)
    with torch.no_grad():
        return (
            ours(patchify(seen_by_us, 8), noise),
            theirs(patchify(seen_by_them, 8), noise),
            ours.encoder(patchify(seen_by_us, 8)),
            theirs.encoder(patchify(seen_by_them, 8)),
        )


@pytest.mark.parametrize("name", ["beast.ckpt", "beast.safetensors"])
def test_rgb_carries_over_bit_for_bit(finished, tmp_path, name, capsys):
    run, model = finished(config())
    path = tmp_path / name
    assert export_lightning_pose(run, path) == ()
    assert capsys.readouterr().err == ""
    back = from_foreign(read_tensors(path))
    own = model.state_dict()
    assert back.keys() == own.keys()
    assert all(torch.allclose(back[k], own[k], rtol=1e-6) for k in own)


def test_checkpoint_is_plain_tensors_under_state_dict(finished, tmp_path):
    run, _ = finished(config())
    export_lightning_pose(run.path, tmp_path / "a.ckpt")
    content = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert list(content) == ["state_dict"]
    kernel = content["state_dict"]["vit_mae.vit.embeddings.patch_embeddings.projection.weight"]
    assert kernel.shape == (16, 3, 8, 8)


def test_gray_encoder_gives_the_same_tokens_on_gray_images(finished, tmp_path):
    run, model = finished(config(channels=1))
    assert export_lightning_pose(run, tmp_path / "a.safetensors") == ()
    gray, rgb = gray_frames()
    ours, theirs, one, other = both(
        model, to_input(gray), other_side(tmp_path / "a.safetensors"), to_input(rgb)
    )
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    # And predicts the same picture: from normalised values back to gray ones.
    picture = ours.prediction * STD.mean() + MEAN.mean()
    by_channel = theirs.prediction.unflatten(-1, (64, 3)) * STD + MEAN
    for channel in by_channel.unbind(-1):
        torch.testing.assert_close(channel, picture, atol=1e-5, rtol=1e-5)


def test_gray_encoder_sees_the_luma_of_colour_images(finished, tmp_path):
    run, model = finished(config(channels=1))
    export_lightning_pose(run, tmp_path / "a.safetensors")
    colour = torch.rand(3, 16, 24, 3)
    luma = (colour @ torch.tensor([0.299, 0.587, 0.114]))[:, None]
    seen_by_us = (luma - MEAN.mean()) / STD.mean()
    seen_by_them = ((colour - MEAN) / STD).permute(0, 3, 1, 2)
    *_, one, other = both(model, seen_by_us, other_side(tmp_path / "a.safetensors"), seen_by_them)
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_background_relative_input_is_said_and_exact_on_shifted_frames(
    finished, tmp_path, channels, capsys
):
    run, model = finished(config(channels, background=True))
    lost = export_lightning_pose(run, tmp_path / "a.safetensors")
    assert len(lost) == 1
    assert "frame - mean image + ImageNet mean" in lost[0]
    assert lost[0] in capsys.readouterr().err
    difference = torch.randn(3, channels, 16, 24) * 0.1  # frame - mean image; white is 1
    shown = (difference.expand(-1, 3, -1, -1).permute(0, 2, 3, 1) + MEAN - MEAN) / STD
    ours, theirs, one, other = both(
        model,
        difference / RESIDUAL_SCALE,
        other_side(tmp_path / "a.safetensors"),
        shown.permute(0, 3, 1, 2),
    )
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    predicted = (theirs.prediction.unflatten(-1, (64, 3)) * STD).unbind(-1)
    own = (ours.prediction * RESIDUAL_SCALE).unflatten(-1, (64, channels))
    for channel in range(3):
        torch.testing.assert_close(
            predicted[channel], own[..., channel % channels], atol=1e-5, rtol=1e-5
        )


def test_stem_is_said_and_left_out(finished, tmp_path):
    run, _ = finished(config(cls_stem=2))
    (line,) = export_lightning_pose(run, tmp_path / "a.ckpt")
    assert "encoder.stem" in line
    assert not any("stem" in name for name in read_tensors(tmp_path / "a.ckpt"))


def test_export_of_a_gray_run_starts_a_gray_run(finished, tmp_path):
    """Gray to RGB and back to gray is the identity."""
    run, model = finished(config(channels=1))
    export_lightning_pose(run, tmp_path / "a.ckpt")
    weights, report = starting_weights(tmp_path / "a.ckpt", Beast(config(channels=1)))
    assert report.complete
    for name, value in model.state_dict().items():
        torch.testing.assert_close(weights[name], value, atol=1e-6, rtol=1e-5)


def test_nothing_is_overwritten_and_unfinished_runs_are_refused(finished, tmp_path):
    run, _ = finished(config())
    (tmp_path / "a.ckpt").write_text("precious")
    with pytest.raises(OutputError, match="exists already"):
        export_lightning_pose(run, tmp_path / "a.ckpt")
    assert (tmp_path / "a.ckpt").read_text() == "precious"
    run.weights_path.unlink()
    with pytest.raises(MissingFileError, match="Resume it"):
        export_lightning_pose(run, tmp_path / "b.ckpt")
    assert not (tmp_path / "b.ckpt").exists()
