"""The vision transformer that every image model here stands on."""

from __future__ import annotations

from typing import Literal

import pydantic
import torch
from torch import Tensor, nn

from tinbergen.configuration import Config
from tinbergen.nn.positions import sincos_2d
from tinbergen.nn.transformer import Block, init_transformer

Size = Literal["ti", "s", "b", "l"]
SIZES: dict[Size, dict[str, int]] = {
    "ti": {"width": 192, "depth": 12, "heads": 3},
    "s": {"width": 384, "depth": 12, "heads": 6},
    "b": {"width": 768, "depth": 12, "heads": 12},
    "l": {"width": 1024, "depth": 24, "heads": 16},
}


class ViTConfig(Config):
    """Shape of a vision transformer; image and patch sizes in px."""

    image_size: tuple[int, int] = (224, 224)
    patch: int = pydantic.Field(default=16, ge=1)
    channels: Literal[1, 3] = 3
    width: int = pydantic.Field(default=768, ge=4, multiple_of=4)
    depth: int = pydantic.Field(default=12, ge=1)
    heads: int = pydantic.Field(default=12, ge=1)
    mlp_ratio: float = pydantic.Field(default=4.0, gt=0)
    norm_eps: float = pydantic.Field(default=1e-6, gt=0)

    @pydantic.model_validator(mode="after")
    def _fits(self) -> ViTConfig:
        if any(side < self.patch or side % self.patch for side in self.image_size):
            raise ValueError(
                f"both sides of image_size {self.image_size} must be multiples of "
                f"patch {self.patch}"
            )
        if self.width % self.heads:
            raise ValueError(f"width {self.width} must be a multiple of heads {self.heads}")
        return self

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.image_size[0] // self.patch, self.image_size[1] // self.patch

    @property
    def n_patches(self) -> int:
        """Patches of an image."""
        return self.grid[0] * self.grid[1]

    @property
    def patch_values(self) -> int:
        """Values of one patch: ``patch * patch * channels``."""
        return self.patch**2 * self.channels


def patchify(images: Tensor, patch: int) -> Tensor:
    """Cut ``(N, C, H, W)`` into ``(N, rows * columns, patch * patch * C)``.

    Within a patch the order is row, column, channel. Any dtype.
    """
    n, c, height, width = images.shape
    cut = images.reshape(n, c, height // patch, patch, width // patch, patch)
    return cut.permute(0, 2, 4, 3, 5, 1).reshape(n, -1, patch * patch * c)


def unpatchify(patches: Tensor, patch: int, grid: tuple[int, int]) -> Tensor:
    """Put patches back together: the inverse of :func:`patchify`."""
    n, _, values = patches.shape
    c = values // patch**2
    cut = patches.reshape(n, *grid, patch, patch, c).permute(0, 5, 1, 3, 2, 4)
    return cut.reshape(n, c, grid[0] * patch, grid[1] * patch)


def gather_tokens(tokens: Tensor, index: Tensor) -> Tensor:
    """Pick tokens ``(N, K, D)`` out of ``(N, L, D)`` by ``index`` ``(N, K)``."""
    return tokens.gather(1, index.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))


class ViT(nn.Module):
    """Vision transformer over the patches of an image, all of them or a chosen few.

    Tokens that are not asked for cost nothing: they are dropped before the patch embedding.
    Position tables are fixed sine-cosine tables; a CLS token stands in front.
    """

    positions: Tensor

    def __init__(self, config: ViTConfig):
        super().__init__()
        self.config = config
        self.embed = nn.Linear(config.patch_values, config.width)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.register_buffer("positions", sincos_2d(*config.grid, config.width))
        hidden = int(config.width * config.mlp_ratio)
        self.blocks = nn.ModuleList(
            Block(config.width, config.heads, hidden, config.norm_eps) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        init_transformer(self)
        nn.init.normal_(self.cls_token, std=0.02)

    def forward(self, patches: Tensor, keep: Tensor | None = None) -> Tensor:
        """Encode patches.

        Parameters
        ----------
        patches
            ``(N, L, patch_values)``, normalised; with ``keep`` given, only the kept ones, ``(N, K,
            patch_values)``.
        keep
            Positions in the grid of the given patches, ``(N, K)``; all of them by default.

        Returns
        -------
        Tensor
            ``(N, 1 + K, width)``; the CLS token first, then the patches in the given order.
        """
        return self.norm(self.layers(patches, keep)[-1])

    def layers(self, patches: Tensor, keep: Tensor | None = None) -> list[Tensor]:
        """Return the tokens after every block, before the last norm; ``depth`` tensors."""
        grid = self.positions[1:]
        x = self.embed(patches) + (grid if keep is None else grid[keep])
        x = torch.cat([(self.cls_token + self.positions[0]).expand(len(x), -1, -1), x], dim=1)
        outputs = []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        return outputs
