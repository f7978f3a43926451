"""Dilated residual temporal convolutions: what a frame looks like, given the frames around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm


class TemporalBlock(nn.Module):
    """Two dilated convolutions with a residual connection, same length, non-causal.

    Convolution, leaky rectifier, channel dropout (whole feature maps); the same again; the input
    added (through a 1x1 convolution where the widths differ); leaky rectifier.

    Parameters
    ----------
    inputs, outputs
        Channels.
    taps
        Length of the filters, frames, odd.
    dilation
        Frames between two taps.
    dropout
        Share of channels that are dropped in training.
    slope
        Of the rectifier below zero.
    normed
        Weight normalisation of both convolutions (Salimans & Kingma 2016).

    References
    ----------
    Bai, Kolter & Koltun 2018, "An empirical evaluation of generic convolutional and recurrent
    networks for sequence modeling", section 3.3; non-causal as in Lea et al. 2017.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        taps: int = 9,
        dilation: int = 1,
        dropout: float = 0.1,
        slope: float = 0.05,
        normed: bool = False,
    ):
        super().__init__()
        padding = taps // 2 * dilation
        first = nn.Conv1d(inputs, outputs, taps, padding=padding, dilation=dilation)
        second = nn.Conv1d(outputs, outputs, taps, padding=padding, dilation=dilation)
        self.first = weight_norm(first) if normed else first
        self.second = weight_norm(second) if normed else second
        self.skip = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.drop = nn.Dropout1d(dropout)
        self.slope = slope
        self.reach = 2 * padding

    def forward(self, x: Tensor, inside: Tensor | None = None) -> Tensor:
        """Return ``(batch, channel, time)`` from ``x`` ``(batch, channel, time)``.

        ``inside`` ``(batch, 1, time)`` is 1 for frames that exist; what the others hold never
        reaches them, as if the sequence ended there.
        """
        hidden = self.drop(F.leaky_relu(self.first(_only(x, inside)), self.slope))
        hidden = self.drop(F.leaky_relu(self.second(_only(hidden, inside)), self.slope))
        return F.leaky_relu(hidden + self.skip(x), self.slope)


class TemporalConvolutions(nn.Module):
    """A stack of :class:`TemporalBlock` of one width, one block a dilation.

    Parameters
    ----------
    inputs, width
        Channels of the input, and of every block.
    dilations
        Of each block; rising (1, 2, 4, ...) to encode, falling to decode.
    taps, dropout, slope, normed
        See :class:`TemporalBlock`.

    Attributes
    ----------
    reach
        Frames to each side that an output depends on: 2 * sum(dilations) * (taps // 2).

    Examples
    --------
    >>> TemporalConvolutions(16, 32, (1, 2)).reach
    24
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        dilations: Sequence[int],
        *,
        taps: int = 9,
        dropout: float = 0.1,
        slope: float = 0.05,
        normed: bool = False,
    ):
        super().__init__()
        self.blocks = nn.ModuleList(
            TemporalBlock(
                inputs if i == 0 else width,
                width,
                taps=taps,
                dilation=dilation,
                dropout=dropout,
                slope=slope,
                normed=normed,
            )
            for i, dilation in enumerate(dilations)
        )
        self.reach = 2 * sum(dilations) * (taps // 2)

    def forward(self, x: Tensor, inside: Tensor | None = None) -> Tensor:
        """Return ``(batch, width, time)`` from ``x`` ``(batch, channel, time)``.

        ``inside`` ``(batch, 1, time)``: see :meth:`TemporalBlock.forward`.
        """
        for block in self.blocks:
            x = block(x, inside)
        return x


class Coarse(nn.Module):
    """A network on every ``stride``-th frame: as far a view for a part of the work.

    A convolution over two strides condenses the input; the network follows; its output is
    interpolated back to all frames, linearly, and passed through one more layer.

    Parameters
    ----------
    inputs, width
        Channels of the input, and of the network's input and output.
    deep
        Makes the network, which maps ``(batch, width, time)`` and a mask to the same shape; it
        has a ``reach``, None for all frames.
    stride
        Frames a coarse frame, even.
    dropout, slope
        Of the condensing layer.

    Attributes
    ----------
    reach
        Frames to each side that an output depends on, at most; None = all of them.
    stride
        Sequences have to be cut at multiples of it to be condensed alike.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        deep: Callable[[], nn.Module],
        *,
        stride: int = 4,
        dropout: float = 0.1,
        slope: float = 0.05,
    ):
        super().__init__()
        self.stride, self.slope = stride, slope
        self.condense = nn.Conv1d(inputs, width, 2 * stride, stride=stride, padding=stride // 2)
        self.deep = deep()
        self.out = nn.Conv1d(width, width, 1)
        self.drop = nn.Dropout1d(dropout)
        # A coarse frame sees 1.5 strides around it, and the interpolation the next coarse frame.
        reach: int | None = self.deep.reach  # type: ignore[assignment]
        self.reach = None if reach is None else stride * (reach + 3)

    def forward(self, x: Tensor, inside: Tensor | None = None) -> Tensor:
        """Return ``(batch, width, time)`` from ``x`` ``(batch, channel, time)``.

        ``inside`` ``(batch, 1, time)``: see :meth:`TemporalBlock.forward`; frames that exist come
        first, and the last coarse frame may hold both kinds.
        """
        time = x.shape[-1]
        x = F.pad(_only(x, inside), (0, -time % self.stride))
        coarse = None if inside is None else inside[..., :: self.stride]
        hidden = self.drop(F.leaky_relu(self.condense(x), self.slope))
        hidden = self.deep(hidden, coarse)
        if coarse is not None:
            # Interpolation goes on with the last coarse frame, as at the end of a sequence.
            last = (coarse.sum(dim=2, keepdim=True).long() - 1).clamp(min=0)
            frames = torch.arange(hidden.shape[2], device=x.device).minimum(last)
            hidden = hidden.gather(2, frames.expand_as(hidden))
        fine = F.interpolate(
            hidden, scale_factor=float(self.stride), mode="linear", align_corners=False
        )
        return F.leaky_relu(self.out(fine[..., :time]), self.slope)


class CoarseConvolutions(Coarse):
    """:class:`TemporalConvolutions` on every ``stride``-th frame.

    Parameters
    ----------
    inputs, width, dilations, taps, dropout, slope, normed
        See :class:`TemporalConvolutions`; ``dilations`` count coarse frames.
    stride
        See :class:`Coarse`.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        dilations: Sequence[int],
        *,
        stride: int = 4,
        taps: int = 9,
        dropout: float = 0.1,
        slope: float = 0.05,
        normed: bool = False,
    ):
        def deep() -> nn.Module:
            more = {"taps": taps, "dropout": dropout, "slope": slope, "normed": normed}
            return TemporalConvolutions(width, width, dilations, **more)

        super().__init__(inputs, width, deep, stride=stride, dropout=dropout, slope=slope)


def _only(x: Tensor, inside: Tensor | None) -> Tensor:
    return x if inside is None else x * inside
