import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tinbergen.beast.augment import AUGMENTATIONS, Augmentation
from tinbergen.nn.augment import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Transforms,
    _resample,
    augment,
    normalise,
    warp,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(n=6, channels=3, height=24, width=32):
    return torch.randint(0, 256, (n, channels, height, width), generator=generator(9)).byte()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_no_change_is_normalisation(channels, layout):
    frames = noise(channels=channels).to(memory_format=layout)
    out = augment(frames, AUGMENTATIONS["none"].draw(6, (24, 32), generator()))
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    if channels == 1:
        mean, std = mean.mean(0, keepdim=True), std.mean(0, keepdim=True)
    expected = (frames / 255 - mean[:, None, None]) / std[:, None, None]
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(normalise(frames), expected, atol=1e-5, rtol=0)
    assert out.shape == frames.shape


def test_mirror_is_exact():
    frames = noise()
    draw = Augmentation(flip=1, crop=0).draw(6, (24, 32), generator())
    assert torch.equal(warp(frames, draw), frames.flip(-1).float())
    corner = draw.matrix[0] @ torch.tensor([0.0, 5.0, 1.0])
    torch.testing.assert_close(corner, torch.tensor([31.0, 5.0]))


def test_quarter_turn_is_exact():
    draw = Augmentation(flip=0, crop=0).draw(1, (24, 24), generator())
    turn = torch.tensor([[[0.0, 1.0, 0.0], [-1.0, 0.0, 23.0]]])
    draw = Transforms(turn, draw.mirrored, ~draw.resampled, draw.contrast, draw.brightness)
    image = noise(1, height=24, width=24)
    torch.testing.assert_close(
        warp(image, draw)[0], image[0].float().rot90(-1, (1, 2)), atol=1e-2, rtol=0
    )


@given(st.integers(0, 10_000), st.booleans())
def test_resampling_equals_opencv(seed, turned):
    """An affine warp by another library, from the matrices that are handed out."""
    height, width = 30, 40
    settings = Augmentation(crop=1, rotation=180 if turned else 0)
    draw = settings.draw(1, (height, width), generator(seed))
    y, x = np.mgrid[:height, :width]
    image = (120 + 60 * np.sin(x / 5) * np.cos(y / 7)).astype(np.float32)
    ours = _resample(torch.from_numpy(image)[None, None], draw.sampling)[0, 0].numpy()
    theirs = cv2.warpAffine(image, draw.matrix[0].numpy(), (width, height))
    assert np.abs(ours - theirs)[2:-2, 2:-2].mean() < 1.5


def test_keypoints_follow_the_pixels():
    frames = torch.zeros(40, 1, 64, 64).byte()
    frames[:, 0, 20:23, 40:43] = 255
    settings = Augmentation(flip=0.5, crop=1, rotation=30)
    draw = settings.draw(40, (64, 64), generator(1))
    moved = warp(frames, draw)[:, 0]
    expected = draw.matrix @ torch.tensor([41.0, 21.0, 1.0])
    inside = ((expected > 4) & (expected < 59)).all(1)
    assert inside.sum() > 20
    grid = torch.arange(64.0)
    mass = moved.sum((1, 2))
    found = torch.stack(
        [(moved.sum(1) * grid).sum(1) / mass, (moved.sum(2) * grid).sum(1) / mass], 1
    )
    assert (found - expected)[inside].abs().max() < 0.2


def test_matrix_is_the_inverse_of_sampling():
    draw = Augmentation(crop=1, rotation=180).draw(50, (24, 32), generator())
    bottom = torch.tensor([0.0, 0.0, 1.0]).expand(50, 1, 3)
    product = torch.cat([draw.matrix, bottom], 1) @ torch.cat([draw.sampling, bottom], 1)
    torch.testing.assert_close(product, torch.eye(3).expand(50, 3, 3), atol=1e-4, rtol=0)


def test_reference_distribution():
    """Mirror in half; sides in 0.4, each uniform within 15 %, so that the scale is 1 +- 0.3."""
    draw = AUGMENTATIONS["default"].draw(20_000, (100, 100), generator())
    assert abs(draw.mirrored.float().mean() - 0.5) < 0.02
    assert abs(draw.resampled.float().mean() - 0.4) < 0.02
    scale = draw.sampling[draw.resampled][:, 1, 1]
    assert 0.7 < scale.min() < 0.73 and 1.27 < scale.max() < 1.3
    assert abs(scale.mean() - 1) < 0.01 and abs(scale.var() - 2 * 0.3**2 / 12) < 0.001
    assert (draw.sampling[~draw.resampled][:, 1, 1] == 1).all()


def test_padding_is_black_and_all_paths_agree():
    frames = torch.full((64, 3, 24, 32), 200).byte()
    draw = AUGMENTATIONS["default"].draw(64, (24, 32), generator())
    whole = Transforms(
        draw.sampling, draw.mirrored, torch.ones_like(draw.resampled), draw.contrast,
        draw.brightness,
    )  # fmt: skip
    torch.testing.assert_close(warp(frames, draw), warp(frames, whole), atol=1e-2, rtol=0)
    assert warp(frames, draw).min() == 0
    textured = noise(64)
    torch.testing.assert_close(warp(textured, draw), warp(textured, whole), atol=2e-2, rtol=0)


def test_brightness_and_contrast():
    draw = Augmentation(flip=0, crop=0, brightness=0.2, contrast=0.5).draw(
        8, (24, 32), generator()
    )
    assert draw.brightness.abs().max() <= 0.2 and (draw.contrast - 1).abs().max() <= 0.5
    frames = noise(8)
    out = augment(frames, draw, mean=[0.0] * 3, std=[1.0] * 3)
    gain, shift = draw.contrast[:, None, None, None], draw.brightness[:, None, None, None]
    torch.testing.assert_close(out, (frames / 255 - 0.5) * gain + 0.5 + shift)


def test_shared_between_the_frames_of_a_pair():
    draw = AUGMENTATIONS["default"].draw(5, (24, 32), generator()).repeat(2)
    frames = noise(5).repeat(2, 1, 1, 1)
    out = augment(frames, draw)
    assert torch.equal(out[:5], out[5:])


def test_same_seed_same_pixels_and_inputs_stay():
    frames = noise()
    before = frames.clone()
    a, b, c = (
        augment(frames, AUGMENTATIONS["top-down"].draw(6, (24, 32), generator(s)))
        for s in (1, 1, 2)
    )
    assert torch.equal(a, b) and not torch.equal(a, c)
    assert torch.equal(frames, before)


@pytest.mark.parametrize("channels", [1, 3])
def test_one_image_at_a_time_or_all_in_one_kernel(channels):
    """OpenCV on the CPU and grid_sample elsewhere read the same pixels."""
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(56.0), indexing="ij")
    waves = [128 + 100 * torch.sin((x * (c + 1) + 2 * y) / 9) for c in range(channels)]
    images = torch.stack(waves).repeat(12, 1, 1, 1).byte()
    drawn = Augmentation(crop=1, rotation=180).draw(12, (40, 56), torch.Generator().manual_seed(3))
    together = _resample(images, drawn.sampling)
    assert (warp(images, drawn) - together).abs().max() < 2  # of 255: OpenCV 4 rounds to 1/32 px
