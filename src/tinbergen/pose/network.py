"""The small convolutional network: keypoints from scratch, on a CPU, from a hundred frames."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from tinbergen.configuration import Config


class ConvConfig(Config):
    """Shape of the convolutional network."""

    widths: tuple[int, ...] = Field(default=(16, 32, 64, 128, 128), min_length=2)
    """Channels at stride 2, 4, 8, ..."""
    dilated: int = Field(default=1, ge=0)
    """Further layers at the coarsest stride, each reaching twice as far as the one before."""
    merged: int = Field(default=48, ge=4)
    """Channels in front of the heat maps."""


def conv(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Return a 3 x 3 convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class ConvNet(nn.Module):
    """Image to heat maps at stride 4.

    Down to the coarsest stride, where dilated layers see most of the image, and up again with the
    finer maps added (a feature pyramid, Lin et al., CVPR 2017). The image comes with its x and y
    coordinates, because in an experiment's fixed camera places mean something.

    Parameters
    ----------
    config
        Widths.
    channels
        Of the image, 1 or 3.
    keypoints
        Number of heat maps.
    """

    stride = 4

    def __init__(self, config: ConvConfig, channels: int, keypoints: int):
        super().__init__()
        widths = config.widths
        self.down = nn.ModuleList()
        before = channels + 2
        for level, width in enumerate(widths):
            layers = [conv(before, width, stride=2)]
            if level:
                layers.append(conv(width, width))
            self.down.append(nn.Sequential(*layers))
            before = width
        self.deep = nn.Sequential(
            *(conv(before, before, dilation=2 ** (i + 1)) for i in range(config.dilated))
        )
        self.side, self.merge = nn.ModuleList(), nn.ModuleList()
        self.enter = nn.Conv2d(before, config.merged, 1)
        for width in widths[-2:0:-1]:
            self.side.append(nn.Conv2d(width, config.merged, 1, bias=False))
            self.merge.append(conv(config.merged, config.merged))
        before = config.merged
        self.maps = nn.Conv2d(before, keypoints, 1)
        nn.init.zeros_(self.maps.bias)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        """Map ``(n, channels, height, width)`` to ``(n, keypoints, height / 4, width / 4)``."""
        x = torch.cat([images, ramps(images)], dim=1)
        levels = []
        for stage in self.down:
            x = stage(x)
            levels.append(x)
        x = self.enter(self.deep(x))
        for side, merge, finer in zip(self.side, self.merge, levels[-2:0:-1], strict=True):
            larger = functional.interpolate(x, scale_factor=2, mode="nearest")
            x = merge(larger + side(finer))
        return self.maps(x)


def ramps(images: Tensor) -> Tensor:
    """Return x and y from -1 to 1, ``(n, 2, height, width)``."""
    n, _, height, width = images.shape
    x = torch.linspace(-1, 1, width, device=images.device, dtype=images.dtype)
    y = torch.linspace(-1, 1, height, device=images.device, dtype=images.dtype)
    pair = torch.stack([x.expand(height, width), y[:, None].expand(height, width)])
    return pair.expand(n, -1, -1, -1)
