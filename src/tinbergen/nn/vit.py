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
    cls_stem: int = pydantic.Field(default=0, ge=0)
    """Side of the grid of block means by which each patch feeds the CLS token directly; 0 = the
    CLS token starts from nothing but a learned constant, as in the original."""

    @pydantic.model_validator(mode="after")
    def _fits(self) -> ViTConfig:
        if any(side < self.patch or side % self.patch for side in self.image_size):
            raise ValueError(
                f"both sides of image_size {self.image_size} must be multiples of "
                f"patch {self.patch}"
            )
        if self.width % self.heads:
            raise ValueError(f"width {self.width} must be a multiple of heads {self.heads}")
        if self.cls_stem and self.patch % self.cls_stem:
            raise ValueError(f"patch {self.patch} must be a multiple of cls_stem {self.cls_stem}")
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


def low_resolution(patches: Tensor, keep: Tensor | None, config: ViTConfig) -> Tensor:
    """Block means of each patch at its place in the frame, zero where a patch is hidden.

    Scaled up by the share of hidden patches, so that their sum over a frame stays the same.

    Parameters
    ----------
    patches, keep
        As :meth:`ViT.forward` takes them.

    Returns
    -------
    Tensor
        ``(N, n_patches, cls_stem * cls_stem * C)``.
    """
    n, k, _ = patches.shape
    side, block, channels = config.cls_stem, config.patch // config.cls_stem, config.channels
    means = patches.view(n, k, side, block, side, block, channels).mean(dim=(3, 5)).flatten(2)
    if keep is None:
        return means
    frame = means.new_zeros(n, config.n_patches, means.shape[-1])
    index = keep.unsqueeze(-1).expand_as(means)
    return frame.scatter(1, index, means) * (config.n_patches / k)


class ViT(nn.Module):
    """Vision transformer over the patches of an image, all of them or a chosen few.

    Tokens that are not asked for cost nothing: they are dropped before the patch embedding.
    Position tables are fixed sine-cosine tables; a CLS token stands in front. With a ``cls_stem``
    the CLS token starts as a linear map of the visible patches at low resolution, each patch at
    its own place, so that it knows the whole frame before the first block.
    """

    positions: Tensor

    def __init__(self, config: ViTConfig):
        super().__init__()
        self.config = config
        self.embed = nn.Linear(config.patch_values, config.width)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.register_buffer("positions", sincos_2d(*config.grid, config.width))
        self.stem = None
        if config.cls_stem:
            low = config.n_patches * config.cls_stem**2 * config.channels
            self.stem = nn.Linear(low, config.width)
        hidden = int(config.width * config.mlp_ratio)
        self.blocks = nn.ModuleList(
            Block(config.width, config.heads, hidden, config.norm_eps) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        init_transformer(self, config.depth)
        nn.init.normal_(self.cls_token, std=0.02)
        if self.stem is not None:
            nn.init.normal_(self.stem.weight, std=self.stem.in_features**-0.5)

    def forward(
        self, patches: Tensor, keep: Tensor | None = None, wanted: slice = slice(None)
    ) -> Tensor:
        """Encode patches.

        Parameters
        ----------
        patches
            ``(N, L, patch_values)``, normalised; with ``keep`` given, only the kept ones, ``(N, K,
            patch_values)``.
        keep
            Positions in the grid of the given patches, ``(N, K)``; all of them by default.
        wanted
            Tokens to return; the last block makes no others.

        Returns
        -------
        Tensor
            ``(N, 1 + K, width)``; the CLS token first, then the patches in the given order; the
            ``wanted`` of them.
        """
        *first, last = self.blocks
        x = self._tokens(patches, keep)
        for block in first:
            x = block(x)
        return self.norm(last(x, wanted))

    def layers(
        self, patches: Tensor, keep: Tensor | None = None, last: int | None = None
    ) -> list[Tensor]:
        """Return the tokens after every block up to ``last`` (from 1; all), before the norm."""
        x = self._tokens(patches, keep)
        outputs = []
        for block in self.blocks[:last]:
            x = block(x)
            outputs.append(x)
        return outputs

    def _tokens(self, patches: Tensor, keep: Tensor | None) -> Tensor:
        """Return what the first block sees, ``(N, 1 + K, width)``."""
        grid = self.positions[1:]
        x = self.embed(patches) + (grid if keep is None else grid[keep])
        cls = (self.cls_token + self.positions[0]).expand(len(x), -1, -1)
        if self.stem is not None:
            low = low_resolution(patches, keep, self.config).flatten(1)
            cls = cls + self.stem(low).unsqueeze(1)
        return torch.cat([cls, x], dim=1)
