"""Losses of class logits a frame."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tinbergen.actions.segmenter import UNLABELLED

_STEEPEST = 4.0  # of a log probability from frame to frame: what is more is meant to be a border


def frame_loss(
    logits: Tensor,
    codes: Tensor,
    weights: Tensor | None = None,
    *,
    focal: float = 0.0,
    softened: float = 0.0,
) -> Tensor:
    """Weighted mean cross-entropy of the labelled frames; 0 where there is none.

    Parameters
    ----------
    logits, codes
        ``(batch, class, time)``, ``(batch, time)`` int64; frames of code -1 have no gradient.
    weights
        ``(class,)``; the mean is over the sum of weights.
    focal
        Exponent of (1 - p) that each frame is weighed with (Lin et al. 2017, eq. 4); 0 = all
        alike.
    softened
        Share of the target that goes to all classes evenly (label smoothing).
    """
    known = codes != UNLABELLED
    log_p = F.log_softmax(logits, dim=1)
    index = codes.clamp(min=0)
    own = log_p.gather(1, index[:, None])[:, 0]
    weight = known.to(log_p.dtype)
    if weights is not None:
        weight = weight * weights[index]
    each = -own if not softened else -(1 - softened) * own - softened * log_p.mean(dim=1)
    if focal:
        each = each * (1 - own.exp()) ** focal
    return (each * weight).sum() / weight.sum().clamp(min=1e-6)


def roughness(logits: Tensor, inside: Tensor | None = None) -> Tensor:
    """Mean squared change of log probabilities from frame to frame, at most 16 each.

    The gradient is that of the later frame alone (Farha & Gall 2019, eq. 7 to 9).

    Parameters
    ----------
    logits
        ``(batch, class, time)``.
    inside
        ``(batch, 1, time)``: 1 for frames that exist.
    """
    log_p = F.log_softmax(logits, dim=1)
    change = (log_p[..., 1:] - log_p[..., :-1].detach()).square().clamp(max=_STEEPEST**2)
    if inside is None:
        return change.mean()
    both = inside[..., 1:] * inside[..., :-1]
    return (change * both).sum() / (both.sum() * logits.shape[1]).clamp(min=1)


def class_weights(codes: Tensor, classes: int) -> Tensor:
    """Weight of each class, ``(class,)``: frames of the largest / its own; 0 of absent ones.

    Examples
    --------
    >>> codes = torch.repeat_interleave(torch.arange(4) - 1, torch.tensor([7, 40, 20, 5]))
    >>> class_weights(codes, 3).tolist()
    [1.0, 2.0, 8.0]
    """
    frames = torch.bincount(codes[codes != UNLABELLED], minlength=classes)
    return torch.where(frames > 0, frames.max() / frames.clamp(min=1), 0.0)
