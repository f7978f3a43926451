"""What behaviour says of the factors that units share, and the factors of behaviour; both linear.

``mean(t) = m(t) + sum_b M_b b`` is what the factors are expected to be before any spike is seen,
from the behaviours that are visible; ``b = b_0 + R_b z`` reads a behaviour that is not from what
the visible spikes make of the factors. Factors are what units share, and a unit may follow a
behaviour beyond them: ``sum_b D_b b`` are as many components of its own, which no spike changes.
Each set of behaviours that is visible has weights of its own, as these then stand for what they
share with the others, too. All of it is fitted in closed steps
(:mod:`~tinbergen.population.behaviour_fits`), not trained: with it the network starts from a
linear encoder and a linear decoder for every behaviour, and learns what these leave.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tinbergen.population.batch import Batch
from tinbergen.population.config import PopulationConfig
from tinbergen.population.masks import Hidden
from tinbergen.population.questions import subsets
from tinbergen.population.vocabulary import Vocabulary

_REACH = 10
_PARTS = 20
_NARROW = 8
_BUMPS = 7


class BehaviourPath(nn.Module):
    """Expected factors from behaviour, and behaviour from factors, of each session.

    Buffers, all 0 until they are fitted: ``mean`` ``(session, time, rank)``; for each behaviour
    ``into_`` (``(set, session, width, time, 2 rank)`` if static, else ``(set, session, lags x
    width, 2 rank)``: factors, then components beyond them; a set is what is visible, see
    :attr:`sets`), ``centre_`` ``(session, width)`` and, unless it is counts, ``out_`` ``(session,
    features, width)`` and ``start_`` ``(session, width)``. Behaviours of more than 8 channels are
    looked at through 7 smooth functions of the lag instead of every lag.

    Attributes
    ----------
    sets
        Of behaviours, as :func:`~tinbergen.population.questions.subsets` has them. Of a set that
        is not among them, behaviours have the weights that they have with all others.
    """

    mean: Tensor
    bumps: Tensor

    def __init__(
        self, vocabulary: Vocabulary, config: PopulationConfig, copies: int, persistent: bool
    ):
        super().__init__()
        rank = config.units.linear_rank
        self.rank, self.modalities = rank, config.modalities
        self.sets = subsets(tuple(config.modalities))
        sessions, time = copies * len(vocabulary.sessions), vocabulary.n_bins
        self.lags = 1 + 2 * reach(time)
        keep = partial(self.register_buffer, persistent=persistent)
        keep("mean", torch.zeros(sessions, time, rank))
        bumps = torch.as_tensor(lag_bumps(time), dtype=torch.float32)
        self.register_buffer("bumps", bumps, persistent=False)
        for name, modality in config.modalities.items():
            width = vocabulary.widths[name]
            lags = len(bumps) if width > _NARROW else self.lags
            into = (width, time) if modality.static else (lags * width,)
            features = (min(time, _PARTS) if modality.static else self.lags) * rank
            keep(f"into_{name}", torch.zeros(len(self.sets), sessions, *into, 2 * rank))
            keep(f"centre_{name}", torch.zeros(sessions, width))
            if modality.kind != "counts":
                keep(f"out_{name}", torch.zeros(sessions, features, width))
                keep(f"start_{name}", torch.zeros(sessions, width))

    def expected(self, batch: Batch, hidden: Hidden) -> Tensor:
        """Return what visible behaviours let expect, ``(sample, time, 2 rank)``.

        Of the factors, and the components that single units follow beyond them.
        """
        total = F.pad(self.mean[batch.session], (0, self.rank))
        number = self._number(batch, hidden)
        for name, modality in self.modalities.items():
            values = self.shown(name, batch, hidden)
            into = self.get_buffer(f"into_{name}")[number, batch.session]
            if modality.static:
                total = total + torch.einsum("sw,swtr->str", values, into)
            else:
                total = total + self.around(values) @ into
        return total

    def _number(self, batch: Batch, hidden: Hidden) -> Tensor:
        """Return which set of behaviours is visible, in any bin, ``(sample,)``."""
        found = batch.session.new_full(batch.session.shape, len(self.sets) - 1)
        if len(self.sets) < 2:
            return found
        seen = [batch.there[name] & ~hidden.values[name] for name in self.modalities]
        seen = torch.stack([each.view(batch.n_samples, -1).any(dim=1) for each in seen], dim=1)
        for number, names in enumerate(self.sets):
            mine = seen.new_tensor([name in names for name in self.modalities])
            found = torch.where((seen == mine).all(dim=1), number, found)
        return found

    def in_bumps(self, name: str) -> bool:
        """Return whether a behaviour is looked at through functions of the lag."""
        width = self.get_buffer(f"centre_{name}").shape[1]
        return width > _NARROW and not self.modalities[name].static

    def around(self, values: Tensor) -> Tensor:
        """Put values around each bin side by side, ``(sample, time, lags x width)``.

        Lag by lag, or of many channels through functions of the lag.
        """
        if values.shape[2] <= _NARROW:
            return lagged(values)
        return torch.einsum("ftu,suw->stfw", self.bumps, values).flatten(2)

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


def lag_bumps(time: int) -> np.ndarray:
    """Return smooth functions of the lag, as what adds up a window's bins.

    Raised cosines, narrow around lag 0 and wide at the farthest: equally spaced in the signed
    logarithm of 1 + lag. Those of one lag sum to 1.

    Returns
    -------
    ``(function, time, time)``: what the second bin counts for the first; at most 7.
    """
    far = reach(time)
    n = min(_BUMPS, 2 * far + 1)
    lag = np.subtract.outer(np.arange(time), np.arange(time)).T
    at = np.sign(lag) * np.log1p(np.abs(lag))
    centres = np.linspace(-1, 1, n) * np.log1p(far)
    step = centres[1] - centres[0] if n > 1 else 1.0
    bumps = 0.5 * (1 + np.cos(np.pi * np.clip((at - centres[:, None, None]) / step, -1, 1)))
    return bumps * (np.abs(lag) <= far)


def in_parts(factors: Tensor) -> Tensor:
    """Average over at most 20 parts of a window, ``(sample, part x rank)``."""
    parts = min(factors.shape[1], _PARTS)
    pooled = F.adaptive_avg_pool1d(factors.transpose(1, 2), parts)
    return pooled.transpose(1, 2).flatten(1)
