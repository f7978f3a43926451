"""What the gradient-trained segmenters have in common: a trunk over time, and heads a frame."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from tinbergen.nn.attention_pool import AttentionPool
from tinbergen.nn.temporal import TemporalConvolutions


class FrameNetwork(nn.Module):
    """A trunk and its heads.

    Parameters
    ----------
    trunk
        Maps ``(batch, channel, time)`` and a mask to ``(batch, width, time)``.
    width, classes
        Channels of the trunk's output; number of classes.
    weak
        Whether to have a second head, for labels that no human gave.
    ahead
        Decoder from the trunk's output to the features of the next frame, or None.

    Attributes
    ----------
    reach
        Frames to each side that an output depends on; None = all of them.
    stride
        Pieces that are predicted by themselves begin at multiples of it.
    """

    def __init__(
        self,
        trunk: nn.Module,
        width: int,
        classes: int,
        *,
        weak: bool = False,
        ahead: nn.Module | None = None,
    ):
        super().__init__()
        self.trunk = trunk
        self.head = nn.Conv1d(width, classes, 1)
        self.weak = nn.Conv1d(width, classes, 1) if weak else None
        self.ahead = ahead
        self.reach = trunk.reach
        self.stride = getattr(trunk, "stride", 1)

    def forward(self, x: Tensor, inside: Tensor | None = None) -> dict[str, Tensor]:
        """Return ``logits`` (and ``weak``) ``(batch, class, time)``, ``ahead`` like ``x``.

        ``inside`` ``(batch, 1, time)`` is 1 for frames that exist.
        """
        hidden = self.trunk(x, inside)
        out = {"logits": self.head(hidden)}
        if self.weak is not None and self.training:
            out["weak"] = self.weak(hidden)
        if self.ahead is not None and self.training:
            out["ahead"] = self.ahead(hidden, inside)
        return out


class PooledTokens(nn.Module):
    """A trunk on tokens that are pooled by attention, frame by frame."""

    def __init__(self, pool: AttentionPool, trunk: nn.Module):
        super().__init__()
        self.pool, self.trunk = pool, trunk
        self.reach, self.stride = trunk.reach, getattr(trunk, "stride", 1)

    def forward(self, x: Tensor, inside: Tensor | None = None) -> Tensor:
        """Return what the trunk does with ``(batch, tokens * channel, time)``."""
        return self.trunk(self.pool(x), inside)


class NextFrame(nn.Module):
    """Predicts features: temporal convolutions whose dilations fall, then one channel mix."""

    def __init__(self, width: int, channels: int, dilations: tuple[int, ...], taps: int):
        super().__init__()
        self.decoder = TemporalConvolutions(width, width, dilations[::-1], taps=taps)
        self.out = nn.Conv1d(width, channels, 1)

    def forward(self, x: Tensor, inside: Tensor | None = None) -> Tensor:
        """Return ``(batch, channel, time)``: what is expected one frame later."""
        return self.out(self.decoder(x, inside))


class WindowNetwork(nn.Module):
    """The temporal perceptron: one convolution over a window, then layers a frame.

    Parameters
    ----------
    inputs, width
        Channels.
    taps
        Length of the window, frames, odd.
    layers
        Layers a frame, of which the last has no rectifier.
    dropout, slope
        Of each layer but the last.
    """

    def __init__(
        self, inputs: int, width: int, taps: int, layers: int, dropout: float, slope: float
    ):
        super().__init__()
        self.window = nn.Conv1d(inputs, width, taps, padding=taps // 2)
        self.layers = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(layers))
        self.drop, self.slope = nn.Dropout(dropout), slope
        self.reach = taps // 2

    def forward(self, x: Tensor, inside: Tensor | None = None) -> Tensor:
        """Return ``(batch, width, time)``."""
        hidden = self.window(x if inside is None else x * inside)
        for layer in self.layers:
            hidden = layer(self.drop(F.leaky_relu(hidden, self.slope)))
        return hidden


class RecurrentNetwork(nn.Module):
    """GRU or LSTM in both directions, then a layer a frame.

    Frames that do not exist stand at the ends of training sequences only, and are not read: the
    way back begins at the last that does. Whole recordings are predicted at once.
    """

    reach = None

    def __init__(self, kind: str, inputs: int, width: int, layers: int, dropout: float):
        super().__init__()
        recurrent = {"gru": nn.GRU, "lstm": nn.LSTM}[kind]
        self.recurrent = recurrent(
            inputs,
            width,
            num_layers=layers,
            bidirectional=True,
            batch_first=True,
            dropout=dropout if layers > 1 else 0.0,
        )
        self.drop = nn.Dropout(dropout)
        self.out = nn.Linear(2 * width, width)

    def forward(self, x: Tensor, inside: Tensor | None = None) -> Tensor:
        """Return ``(batch, width, time)``."""
        rows = x.transpose(1, 2)
        if inside is None:
            hidden, _ = self.recurrent(rows)
        else:
            lengths = inside[:, 0].sum(dim=1).long().clamp(min=1).cpu()
            packed = pack_padded_sequence(rows, lengths, batch_first=True, enforce_sorted=False)
            packed, _ = self.recurrent(packed)
            hidden, _ = pad_packed_sequence(packed, batch_first=True, total_length=x.shape[2])
        return self.out(self.drop(hidden)).transpose(1, 2)


class MultiStage(nn.Module):
    """Several stages, of which each refines the class probabilities of the one before.

    The first stage sees the features, the others only the probabilities. In training the outcome
    of every stage is given, to be scored.

    References
    ----------
    Farha & Gall 2019, "MS-TCN", section 3.
    """

    def __init__(self, trunks: list[nn.Module], width: int, classes: int):
        super().__init__()
        self.trunks = nn.ModuleList(trunks)
        self.heads = nn.ModuleList(nn.Conv1d(width, classes, 1) for _ in trunks)
        self.reach = sum(trunk.reach for trunk in trunks)  # type: ignore[misc]
        self.stride = 1

    def forward(self, x: Tensor, inside: Tensor | None = None) -> dict[str, Tensor]:
        """Return ``logits`` of the last stage and, in training, ``stages`` of those before."""
        stages: list[Tensor] = []
        for trunk, head in zip(self.trunks, self.heads, strict=True):
            seen = torch.softmax(stages[-1], dim=1) if stages else x
            stages.append(head(trunk(seen, inside)))
        out = {"logits": stages[-1]}
        if self.training and len(stages) > 1:
            out["stages"] = torch.stack(stages[:-1])
        return out
