"""What behaviour says of the factors that units share, and the factors of behaviour; both linear.

``mean(t) = m(t) + sum_b M_b b`` is what the factors are expected to be before any spike is seen,
from the behaviours that are visible; ``b = b_0 + R_b z`` reads a behaviour that is not from what
the visible spikes make of the factors. Both are fitted in closed steps
(:mod:`~tinbergen.population.behaviour_fits`), not trained: with them the network starts from a
linear encoder and a linear decoder for every behaviour, and learns what these leave.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tinbergen.population.batch import Batch
from tinbergen.population.config import PopulationConfig
from tinbergen.population.masks import Hidden
from tinbergen.population.vocabulary import Vocabulary

_REACH = 10
_PARTS = 20


class BehaviourPath(nn.Module):
    """Expected factors from behaviour, and behaviour from factors, of each session.

    Buffers, all 0 until they are fitted: ``mean`` ``(session, time, rank)``; for each behaviour
    ``into_`` (``(session, width, time, rank)`` if static, else ``(session, lags x width, rank)``),
    ``centre_`` ``(session, width)`` and, unless it is counts, ``out_`` ``(session, features,
    width)`` and ``start_`` ``(session, width)``.
    """

    mean: Tensor

    def __init__(
        self, vocabulary: Vocabulary, config: PopulationConfig, copies: int, persistent: bool
    ):
        super().__init__()
        rank = config.units.linear_rank
        self.modalities = config.modalities
        sessions, time = copies * len(vocabulary.sessions), vocabulary.n_bins
        self.lags = 1 + 2 * reach(time)
        keep = partial(self.register_buffer, persistent=persistent)
        keep("mean", torch.zeros(sessions, time, rank))
        for name, modality in config.modalities.items():
            width = vocabulary.widths[name]
            into = (width, time) if modality.static else (self.lags * width,)
            features = (min(time, _PARTS) if modality.static else self.lags) * rank
            keep(f"into_{name}", torch.zeros(sessions, *into, rank))
            keep(f"centre_{name}", torch.zeros(sessions, width))
            if modality.kind != "counts":
                keep(f"out_{name}", torch.zeros(sessions, features, width))
                keep(f"start_{name}", torch.zeros(sessions, width))

    def expected(self, batch: Batch, hidden: Hidden) -> Tensor:
        """Return the factors that visible behaviours let expect, ``(sample, time, rank)``."""
        total = self.mean[batch.session]
        for name, modality in self.modalities.items():
            values = self.shown(name, batch, hidden)
            into = self.get_buffer(f"into_{name}")[batch.session]
            if modality.static:
                total = total + torch.einsum("sw,swtr->str", values, into)
            else:
                total = total + lagged(values) @ into
        return total

    def shown(self, name: str, batch: Batch, hidden: Hidden) -> Tensor:
        """Return a behaviour around its mean, ``(sample, [time,] width)``; 0 where not visible."""
        values = batch.values[name]
        centre = self.get_buffer(f"centre_{name}")
        if self.modalities[name].kind == "categorical":
            values = F.one_hot(values, centre.shape[1])
        centre = centre[batch.session]
        if values.ndim == 3:
            centre = centre[:, None]
        show = batch.there[name] & ~hidden.values[name]
        return (values.float() - centre) * show[..., None]

    def read(self, factors: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return what factors ``(sample, time, rank)`` say of each behaviour.

        ``(sample, [time,] width)``: normalised values, or log odds of classes.
        """
        found = {}
        for name, modality in self.modalities.items():
            if modality.kind == "counts":
                continue
            out = self.get_buffer(f"out_{name}")[batch.session]
            start = self.get_buffer(f"start_{name}")[batch.session]
            if modality.static:
                found[name] = start + (in_parts(factors)[:, None] @ out)[:, 0]
            else:
                found[name] = start[:, None] + lagged(factors) @ out
        return found


def reach(time: int) -> int:
    """Return how many bins away a behaviour may be from what it goes with."""
    return min(_REACH, time // 4)


def lagged(values: Tensor) -> Tensor:
    """Put values around each bin side by side: ``(sample, time, lags x width)``, 0 outside."""
    time, far = values.shape[1], reach(values.shape[1])
    padded = F.pad(values, (0, 0, far, far))
    return torch.cat([padded[:, lag : lag + time] for lag in range(2 * far + 1)], dim=2)


def in_parts(factors: Tensor) -> Tensor:
    """Average over at most 20 parts of a window, ``(sample, part x rank)``."""
    parts = min(factors.shape[1], _PARTS)
    pooled = F.adaptive_avg_pool1d(factors.transpose(1, 2), parts)
    return pooled.transpose(1, 2).flatten(1)
