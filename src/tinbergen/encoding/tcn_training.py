"""Sequences that never cross a segment, and the training task of the TCN encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tinbergen.training import Task, numpy_generator

_PREDICTED_AT_ONCE = 64
LONGEST = 256  # bins of a sequence that are scored; longer segments are cut


@dataclass(frozen=True, eq=False)
class Sequences:
    """Segments cut into sequences of the same length.

    A sequence of a segment that was cut also holds the bins around it that its filters reach.

    Attributes
    ----------
    rows
        ``(sequence, bin)`` int: row of each bin, -1 where there is none.
    own
        ``(sequence, bin)`` bool: bins that this sequence is to predict; each row is once.
    """

    rows: np.ndarray
    own: np.ndarray

    @classmethod
    def of(cls, segments: np.ndarray, reach: int) -> Sequences:
        """Cut ``segments`` ``(row,)``, for filters that reach so many bins to each side."""
        edges = np.flatnonzero(np.diff(segments, prepend=-1, append=-1))
        spans = []
        for first, last in zip(edges[:-1], edges[1:], strict=True):
            cuts = np.linspace(first, last, -(-(last - first) // LONGEST) + 1).round().astype(int)
            spans += [
                (max(first, a - reach), a, b, min(last, b + reach))
                for a, b in zip(cuts[:-1], cuts[1:], strict=True)
            ]
        begin, a, b, end = np.array(spans).reshape(-1, 4).T[..., None]
        place = begin + np.arange((end - begin).max(initial=0))
        exists = place < end
        return cls(np.where(exists, place, -1), exists & (place >= a) & (place < b))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def inside(self) -> np.ndarray:
        """``(sequence, bin)`` bool: bins that exist."""
        return self.rows >= 0

    def take(self, values: np.ndarray) -> np.ndarray:
        """Return ``(sequence, bin, ...)`` of ``values`` ``(row, ...)``; 0 where there is none."""
        taken = values[np.maximum(self.rows, 0)]
        if (self.rows < 0).any():
            taken[self.rows < 0] = 0
        return taken

    def put(self, values: np.ndarray, out: np.ndarray) -> None:
        """Write ``values`` ``(sequence, bin, ...)`` into ``out`` ``(row, ...)``, own bins only."""
        out[self.rows[self.own]] = values[self.own]


@dataclass(frozen=True, eq=False)
class SessionData:
    """What the network learns of one session.

    Attributes
    ----------
    x, y
        ``(sequence, bin, column)`` and ``(sequence, bin, unit)``, float32.
    weight
        ``(sequence, bin)`` float32: 1 for bins to learn from; None if that is all of them.
    inside
        ``(sequence, bin)`` bool, None if all exist.
    """

    x: Tensor
    y: Tensor
    weight: Tensor | None
    inside: Tensor | None

    @classmethod
    def of(cls, sequences: Sequences, x: np.ndarray, y: np.ndarray, use: np.ndarray):
        """Take the sequences that hold a row to ``use`` ``(row,)`` bool."""
        weight = sequences.take(use) & sequences.own
        some = weight.any(axis=1)
        part = Sequences(sequences.rows[some], sequences.own[some])
        weight, inside = weight[some], part.inside
        return cls(
            torch.from_numpy(part.take(x)),
            torch.from_numpy(part.take(y)),
            None if weight.all() else torch.from_numpy(weight.astype(np.float32)),
            None if inside.all() else torch.from_numpy(inside),
        )


class SessionBatches:
    """Batches of sequences of one session each: every sequence once an epoch, at random.

    Parameters
    ----------
    sizes
        Number of sequences of each session.
    batch_size
        At most so many sequences a batch.
    seed
        Of the order, which depends on seed and epoch alone.
    """

    def __init__(self, sizes: list[int], batch_size: int, seed: int):
        self.sizes, self.batch_size, self.seed = sizes, batch_size, seed
        self.per_epoch = sum(-(-n // batch_size) for n in sizes)
        self._epoch = lru_cache(maxsize=2)(self._draw)

    def batch(self, step: int) -> np.ndarray:
        """Return ``(item, 2)``: session and sequence."""
        return self._epoch(step // self.per_epoch)[step % self.per_epoch]

    def _draw(self, epoch: int) -> list[np.ndarray]:
        rng = numpy_generator(self.seed, "sequences", epoch)
        batches = []
        for session, n in enumerate(self.sizes):
            order = np.stack([np.full(n, session), rng.permutation(n)], axis=1)
            batches += np.array_split(order, -(-n // self.batch_size))
        return [batches[i] for i in rng.permutation(len(batches))]


class TCNTask(Task):
    """Train a network on the sequences of some sessions.

    Parameters
    ----------
    make
        Returns a new network.
    sessions
        What it learns.
    batches
        Which sequences when.
    poisson
        Poisson likelihood of counts under log rates; else squared error.
    roughness
        Weight of the network's roughness in the loss.
    validation
        Score (higher is better) of a network; None trains to the last step.
    """

    def __init__(
        self,
        make: Callable[[], nn.Module],
        sessions: list[SessionData],
        batches: SessionBatches,
        *,
        poisson: bool,
        roughness: float = 0.0,
        validation: Callable[[nn.Module], float] | None = None,
    ):
        self.make, self.sessions, self.sampler = make, sessions, batches
        self.poisson, self.roughness, self.validation = poisson, roughness, validation
        self.score = ("held out", "max") if validation is not None else None

    def build(self) -> nn.Module:
        """Return a new network."""
        return self.make()

    def batches(self) -> SessionBatches:
        """Return the sampler."""
        return self.sampler

    def fetch(self, indices: np.ndarray, step: int) -> dict[str, Any]:
        """Return the batch: session, inputs, targets, and masks where there are any."""
        session = int(indices[0, 0])
        data = self.sessions[session]
        which = torch.from_numpy(indices[:, 1])
        parts = {"x": data.x, "y": data.y, "weight": data.weight, "inside": data.inside}
        batch: dict[str, Any] = {k: v[which] for k, v in parts.items() if v is not None}
        return {**batch, "session": session}

    def loss(self, model: nn.Module, batch: Any, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the mean loss of a bin and unit."""
        y = batch["y"]
        out = model(batch["x"], batch["session"], batch.get("inside"))
        each = out.exp() - y * out if self.poisson else (out - y).square()
        if "weight" in batch:
            weight = batch["weight"]
            loss = (each.mean(dim=2) * weight).sum() / weight.sum()
        else:
            loss = each.mean()
        if self.roughness:
            loss = loss + self.roughness * model.roughness()  # type: ignore[operator]
        return {"loss": loss}

    def validate(self, model: nn.Module) -> dict[str, float] | None:
        """Score the held-out rows."""
        return None if self.validation is None else {"held out": self.validation(model)}


@torch.inference_mode()
def forward(network: nn.Module, sequences: Sequences, x: np.ndarray, session: int) -> np.ndarray:
    """Return the network's output of each row ``(row, unit)``; NaN of rows in no sequence."""
    device = next(network.parameters()).device
    whole = bool(sequences.inside.all())
    found: np.ndarray | None = None
    for start in range(0, len(sequences), _PREDICTED_AT_ONCE):
        block = slice(start, start + _PREDICTED_AT_ONCE)
        part = Sequences(sequences.rows[block], sequences.own[block])
        inside = None if whole else torch.from_numpy(part.inside).to(device)
        out = network(torch.from_numpy(part.take(x)).to(device), session, inside)
        out = out.float().cpu().numpy()
        if found is None:
            found = np.full((len(x), out.shape[2]), np.nan, np.float32)
        part.put(out, found)
    return found if found is not None else np.empty((0, 0), np.float32)
