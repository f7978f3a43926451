import numpy as np
import torch

from tinbergen.beast.pooling import coarse, texture


def tokens(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_grid_is_the_mean_of_what_lies_in_each_part():
    patches = torch.arange(2 * 8 * 12 * 5, dtype=torch.float32).reshape(2, 8, 12, 5)
    blocks = patches.reshape(2, 4, 2, 4, 3, 5).mean(dim=(2, 4))
    torch.testing.assert_close(coarse(patches), blocks)
    assert coarse(patches[:, :5]).shape == (2, 4, 4, 5)


def test_texture_is_how_much_neighbours_differ_around_each_place():
    patches = tokens(2, 8, 9, 5)
    found = texture(patches)
    assert found.shape == (2, 3, 3, 4, 5)
    steps = {0: (0, 1), 1: (1, 0), 2: (1, 1), 3: (-1, 1)}
    for direction, (down, right) in steps.items():
        # Each pair of neighbours by itself, weighted by where it stands among the pairs.
        pairs = [(r, c) for r in range(8) for c in range(9) if 0 <= r + down < 8 and c + right < 9]
        rows, columns = 8 - abs(down), 9 - right
        for part in ((0, 0), (1, 2), (2, 1)):
            total, weights = np.zeros((2, 5)), 0.0
            for r, c in pairs:
                at = np.array([min(r, r + down) + 0.5, c + 0.5])
                scale = np.array([rows, columns]) / 3
                weight = np.exp(-0.5 * (((at / scale - np.array(part) - 0.5) / 0.5) ** 2).sum())
                step = patches[:, r + down, c + right] - patches[:, r, c]
                total += weight * step.numpy().astype(float) ** 2
                weights += weight
            expected = np.sqrt(total / weights)
            np.testing.assert_allclose(found[:, *part, direction], expected, rtol=1e-5)


def test_texture_turns_with_the_image_and_knows_no_sign():
    patches = tokens(2, 6, 6, 4)
    found = texture(patches)
    turned = texture(patches.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(found, turned[:, :, :, [1, 0, 2, 3]])
    mirrored = texture(patches.flip(2)).flip(2)
    torch.testing.assert_close(found, mirrored[:, :, :, [0, 1, 3, 2]])
    torch.testing.assert_close(texture(-patches), found)
    assert texture(patches[:, :2, :2]).shape == (2, 3, 3, 4, 4)


def test_texture_of_a_wave_hardly_depends_on_its_phase():
    x = torch.arange(16) * 2 * torch.pi / 5  # a cycle is 5 patches
    phases = torch.linspace(0, 2 * torch.pi, 9)
    waves = torch.sin(x + phases[:, None])[:, None, :, None].expand(-1, 16, -1, 1)
    along_rows = texture(waves)[:, :, :, 0]
    closed_form = 2 * np.sin(np.pi / 5) / 2**0.5  # rms of sin(x + step) - sin(x)
    torch.testing.assert_close(
        along_rows, torch.full_like(along_rows, closed_form), rtol=0.25, atol=0
    )
    assert texture(waves)[:, :, :, 1].abs().max() == 0  # nothing changes along columns
