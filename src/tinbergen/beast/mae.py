"""The masked autoencoder: a sparse encoder of visible patches, a light decoder of hidden ones."""

from __future__ import annotations

from typing import NamedTuple

import pydantic
import torch
from torch import Tensor, nn

from tinbergen.configuration import Config
from tinbergen.nn.positions import sincos_2d
from tinbergen.nn.transformer import Block, init_transformer
from tinbergen.nn.vit import ViTConfig


class DecoderConfig(Config):
    """Shape of the decoder; 8 x 512 is MAE's, and most of a small model's compute."""

    width: int = pydantic.Field(default=512, ge=4, multiple_of=4)
    depth: int = pydantic.Field(default=8, ge=1)
    heads: int = pydantic.Field(default=16, ge=1)
    mlp_ratio: float = pydantic.Field(default=4.0, gt=0)

    @pydantic.model_validator(mode="after")
    def _fits(self) -> DecoderConfig:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} must be a multiple of heads {self.heads}")
        return self


class Decoder(nn.Module):
    """Transformer over visible tokens and mask tokens that predicts the values of hidden patches.

    Attention does not care for the order of tokens, so they stay shuffled (visible first), and
    only mask tokens of patches that are asked for are made: a random part of the hidden ones
    costs, and teaches, in proportion.
    """

    positions: Tensor

    def __init__(self, config: DecoderConfig, encoder: ViTConfig):
        super().__init__()
        self.config = config
        self.embed = nn.Linear(encoder.width, config.width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.register_buffer("positions", sincos_2d(*encoder.grid, config.width))
        hidden = int(config.width * config.mlp_ratio)
        self.blocks = nn.ModuleList(
            Block(config.width, config.heads, hidden, encoder.norm_eps)
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width, eps=encoder.norm_eps)
        self.predict = nn.Linear(config.width, encoder.patch_values)
        init_transformer(self, config.depth)
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(self, latents: Tensor, keep: Tensor, ask: Tensor) -> Tensor:
        """Predict patches.

        Parameters
        ----------
        latents
            Encoder's tokens ``(N, 1 + K, encoder width)``, CLS first.
        keep, ask
            Grid positions of the visible ``(N, K)`` and of the wanted ``(N, M)`` patches.

        Returns
        -------
        Tensor
            ``(N, M, patch_values)``.
        """
        grid = self.positions[1:]
        x = self.embed(latents)
        x = torch.cat([x[:, :1] + self.positions[0], x[:, 1:] + grid[keep]], dim=1)
        x = torch.cat([x, self.mask_token + grid[ask]], dim=1)
        *first, last = self.blocks
        for block in first:
            x = block(x)
        return self.predict(self.norm(last(x, slice(latents.shape[1], None))))


class Mask(NamedTuple):
    """Grid positions of the patches that are seen, ``(N, K)``, and hidden, ``(N, L - K)``."""

    keep: Tensor
    hide: Tensor


def random_mask(noise: Tensor, ratio: float) -> Mask:
    """Hide a share of the patches: those with the largest noise.

    He et al., CVPR 2022, section 3: uniform, without replacement, per image.

    Parameters
    ----------
    noise
        ``(N, L)``, any numbers.
    ratio
        Share to hide; ``int(L * (1 - ratio))`` patches stay visible.
    """
    order = noise.argsort(dim=1)
    n_keep = int(noise.shape[1] * (1 - ratio))
    return Mask(order[:, :n_keep], order[:, n_keep:])
