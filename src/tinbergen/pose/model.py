"""Frames to heat maps: the small convolutional network, or a head on a vision transformer."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tinbergen.nn.augment import IMAGENET_MEAN, IMAGENET_STD, Transforms, augment, normalise
from tinbergen.nn.pixels import to_input
from tinbergen.nn.vit import ViT, patchify
from tinbergen.pose.config import PoseConfig
from tinbergen.pose.network import ConvNet, conv, ramps

AnyModule = TypeVar("AnyModule", bound=nn.Module)
HEAD_STRIDE = 4
"""Px of the image per px of a heat map."""
_COARSER = 2
_FLOOR = 0.01  # of the mean variance of a channel: what varies less is not blown up to noise


class TokenHead(nn.Module):
    """Patch tokens to heat maps at stride 4: down to where the whole animal is seen, and up again.

    A token knows its patch, and of the rest only what pretraining made of it; so the head looks
    far by itself: two levels coarser than the tokens and back (a feature pyramid, Lin et al., CVPR
    2017), with x and y coordinates, then doubled in size until it is there.

    Most of what tokens vary by may be where in the frame they are, and what tells a nose from a
    paw a thousandth of it; so they are whitened first, by the statistics of the training frames.

    Parameters
    ----------
    width
        Of the tokens.
    patch
        Side of a patch, px of the image.
    channels
        Of the layers between.
    keypoints
        Number of heat maps.
    """

    centre: Tensor
    whitening: Tensor

    def __init__(self, width: int, patch: int, channels: int, keypoints: int):
        super().__init__()
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("whitening", torch.eye(width))
        self.norm = nn.LayerNorm(width)
        self.enter = nn.Conv2d(width, channels, 1)
        self.first = conv(channels + 2, channels)
        self.down = nn.ModuleList(conv(channels, channels, stride=2) for _ in range(_COARSER))
        self.deep = conv(channels, channels)
        self.merge = nn.ModuleList(conv(channels, channels) for _ in range(_COARSER))
        layers: list[nn.Module] = []
        for _ in range((patch // HEAD_STRIDE).bit_length() - 1):
            layers += [
                nn.Conv2d(channels, 4 * channels, 1),
                nn.PixelShuffle(2),
                conv(channels, channels),
            ]
        self.layers = nn.Sequential(*layers)
        self.maps = nn.Conv2d(channels, keypoints, 1)
        nn.init.zeros_(self.maps.bias)  # type: ignore[arg-type]
        self.register_load_state_dict_pre_hook(_not_whitened)

    def whiten(self, tokens: Tensor) -> None:
        """Take the statistics of tokens, ``(..., width)``: mean 0 and covariance 1 from now on."""
        flat = tokens.reshape(-1, tokens.shape[-1]).double()
        centre = flat.mean(dim=0)
        covariance = (flat - centre).T @ (flat - centre) / len(flat)
        values, axes = torch.linalg.eigh(covariance)
        scale = (values.clamp_min(0) + _FLOOR * values.mean()).clamp_min(1e-12).rsqrt()
        self.centre.copy_(centre)
        self.whitening.copy_(axes * scale @ axes.T)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map ``(n, rows, columns, width)`` to ``(n, keypoints, rows * patch / 4, ...)``."""
        white = (tokens - self.centre) @ self.whitening
        x = self.enter(self.norm(white).permute(0, 3, 1, 2))
        x = self.first(torch.cat([x, ramps(x)], dim=1))
        finer = []
        for stage in self.down:
            finer.append(x)
            x = stage(x)
        x = self.deep(x)
        for merge, side in zip(self.merge, finer[::-1], strict=True):
            x = merge(functional.interpolate(x, size=side.shape[-2:], mode="nearest") + side)
        return self.maps(self.layers(x))


def _not_whitened(head: nn.Module, weights: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Let weights of before tokens were whitened leave the tokens as they are."""
    width = len(head.centre)  # type: ignore[arg-type]
    weights.setdefault(f"{prefix}centre", torch.zeros(width))
    weights.setdefault(f"{prefix}whitening", torch.eye(width))


class PoseModel(nn.Module):
    """The network of a pose run, with what it needs to know of its pixels."""

    mean: Tensor
    std: Tensor
    stride = HEAD_STRIDE

    def __init__(self, config: PoseConfig):
        super().__init__()
        self.config = config
        channels = config.channels or 1
        imagenet = config.encoder is not None
        mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        self.register_buffer("mean", mean[:channels] if imagenet else torch.zeros(channels))
        self.register_buffer("std", std[:channels] if imagenet else torch.ones(channels))
        self.encoder: ViT | None = None
        if config.encoder is None:
            self.network: nn.Module = ConvNet(config.conv, config.seen_channels, config.n_outputs)
        else:
            shape = config.encoder
            self.encoder = ViT(shape)
            self.encoder.requires_grad_(not config.head.frozen)
            self.network = TokenHead(shape.width, shape.patch, config.head.width, config.n_outputs)
            if channels == 1:
                self.mean.fill_(mean.mean())
                self.std.fill_(std.mean())

    def prepare(
        self,
        frames: Tensor,
        transforms: Transforms | None = None,
        background: Tensor | None = None,
    ) -> Tensor:
        """Normalise, and augment if there are ``transforms``.

        Parameters
        ----------
        frames
            ``(n, height, width, channels)`` uint8; with neighbours, all of theirs.
        background
            The same for each frame's background, where the encoder sees differences to it.

        Returns
        -------
        Tensor
            ``(n, channels, height, width)`` float32.
        """
        if background is not None:
            return to_input(frames, background, transforms)
        # Neighbours are images of their own here: first all frames' first neighbours.
        apart = frames.unflatten(-1, (-1, len(self.mean))).permute(3, 0, 4, 1, 2)
        images = apart.flatten(0, 1)
        if transforms is None:
            prepared = normalise(images, self.mean, self.std)
        else:
            prepared = augment(images, transforms.repeat(len(apart)), self.mean, self.std)
        if len(apart) == 1:
            return prepared
        return prepared.unflatten(0, apart.shape[:2]).transpose(0, 1).flatten(1, 2)

    def tokens(self, images: Tensor) -> Tensor:
        """Patch tokens of the encoder, ``(n, rows, columns, width)``."""
        assert self.encoder is not None
        shape = self.encoder.config
        patches = patchify(images, shape.patch)
        return self.encoder(patches, wanted=slice(1, None)).unflatten(1, shape.grid)

    def forward(self, images: Tensor | None = None, tokens: Tensor | None = None) -> Tensor:
        """Map prepared images (or the tokens of a frozen encoder) to heat maps.

        Returns
        -------
        Tensor
            ``(n, maps, height / 4, width / 4)``, unnormalised.
        """
        if self.encoder is None:
            return self.network(images)
        if tokens is None:
            assert images is not None
            tokens = self.tokens(images)
        return self.network(tokens)


def quick(model: AnyModule) -> AnyModule:
    """Return a copy for inference, with batch norms folded into their convolutions."""
    model = copy.deepcopy(model).eval()
    for module in list(model.modules()):
        if not isinstance(module, nn.Sequential):
            continue
        for place in range(len(module) - 1):
            first, second = module[place], module[place + 1]
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                module[place] = fuse_conv_bn_eval(first, second)
                module[place + 1] = nn.Identity()
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
